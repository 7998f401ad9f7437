//! Whole runs: they are opened and closed under the heap's lock, described to the checker, and put in order again after a fork.

use super::{Owned, Tag, add, all_slots};
use crate::size_class::{TABLE, all_of};
use crate::sync::Ordering;
use crate::units::Granules;

/// What is known of an owned run.
pub(crate) struct OwnedRun {
    pub(crate) owner: u32,
    pub(crate) class: usize,
    pub(crate) kibs: u32,
    /// Whether it begins here and each of its KiB has its tag.
    pub(crate) is_whole: bool,
    /// Its slots, a bit each.
    pub(crate) all: u64,
    pub(crate) idle: u64,
    pub(crate) returned: u64,
    pub(crate) live: u64,
}

impl Owned<'_> {
    /// Makes the KiB from `run` on a run of `owner` with idle slots only.
    pub(crate) fn open(&self, run: u32, owner: u32, class: usize) -> Option<()> {
        self.set_tags(run, class, Tag::new(owner, class))?;
        self.make_idle(run, all_slots(class));
        Some(())
    }

    /// Makes a run that is to be closed one no more.
    pub(crate) fn close(&self, run: u32) -> Option<usize> {
        let tag = self.tag(self.origin.start(run));
        let magazine = self.keep(tag.owner())?.magazines.get(tag.class())?;
        let it = self.runs.get(run as usize)?;
        if it.idle.swap(0, Ordering::Relaxed) != 0 {
            self.unlink(magazine, it);
        }
        it.returned.store(0, Ordering::Relaxed);
        self.set_tags(run, tag.class(), Tag::NONE)?;
        Some(tag.class())
    }

    pub(super) fn set_tags(&self, run: u32, class: usize, tag: Tag) -> Option<()> {
        for kib in run..=run | TABLE.get(class)?.mask {
            self.tags.get(kib as usize)?.store(tag.0, Ordering::Relaxed);
        }
        Some(())
    }

    /// Returns the run of which a KiB is the first.
    pub(crate) fn run_at(&self, kib: u32) -> Option<OwnedRun> {
        let tag = self.tag(self.origin.start(kib));
        let class = TABLE.get(tag.class()).filter(|_| tag != Tag::NONE)?;
        let has_tag = |kib: u32| self.tag(self.origin.start(kib)) == tag;
        let it = self.runs.get(kib as usize)?;
        // Before the marks: of a slot that somebody frees meanwhile the mark is cleared first.
        let returned = it.returned.load(Ordering::Acquire);
        let start = |slot: u32| self.origin.start(kib).plus(Granules::new(slot.wrapping_mul(class.stride.count())));
        let live = (0..class.slots).filter(|slot| self.is_live(start(*slot)));
        Some(OwnedRun {
            owner: tag.owner(),
            class: tag.class(),
            kibs: class.mask.wrapping_add(1),
            is_whole: kib & class.mask == 0 && (kib..=kib | class.mask).all(has_tag),
            all: all_of(class.slots),
            live: live.fold(0, |live, slot| live | 1u64.wrapping_shl(slot)),
            idle: it.idle.load(Ordering::Relaxed),
            returned,
        })
    }

    /// Makes every slot that is not live of the run at a KiB idle, counts those that are, and returns how many KiB on to go.
    pub(crate) fn revive(&self, kib: u32) -> u32 {
        let found = self.run_at(kib).and_then(|run| Some((self.runs.get(kib as usize)?, self.keep(run.owner)?, run)));
        let Some((it, keep, run)) = found else { return 1 };
        it.returned.store(0, Ordering::Relaxed);
        it.idle.store(0, Ordering::Relaxed);
        self.make_idle(kib, run.all & !run.live);
        if let Some(magazine) = keep.magazines.get(run.class) {
            add(&magazine.out, run.live.count_ones());
        }
        run.kibs
    }
}
