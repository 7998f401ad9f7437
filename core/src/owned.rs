//! Runs that caches own, and what each cache keeps. All of it lies outside the heap, in atomics: it is read and written without the
//! heap's lock.
//!
//! A slot of an owned run is live, in its owner's magazine, *idle* (at hand for the owner) or *returned* (freed by another, and not
//! yet taken back by the owner). A byte for each slot says whether it is live: to free a slot is to exchange its 1 for a 0, so of
//! several frees at once one finds the 1. Who returns the first slot of a run puts the run onto a stack of its owner's, which is taken
//! as a whole: a stack of this kind has no ABA problem (Treiber, "Systems Programming: Coping with Parallelism", 1986).
//!
//! Who may do what:
//! - While a cache is attached, its magazines and its runs' idle slots are the owner's: one thread at a time.
//! - While it is detached they belong to the holder of the block segment's lock.
//! - Runs are opened and closed under that lock. Nobody but the owner, or the holder of the lock for a run of which all slots are
//!   returned, closes a run; a run with a live slot is never closed, so a slot's tag stands still from the exchange until the slot is
//!   idle or returned.
//!
//! What is ordered by what (tests/loom has a model that fails without each, but for the fourth, of which loom knows too little):
//! - The run's tag: stored, then 1 to the slot's byte (release); exchanged for 0 (acquire), then the tag is read.
//! - What a slot held: used, then returned (release); taken back by the owner, or found returned with all others of its run (acquire).
//! - The links of a stack: stored, then the run is pushed (release); all are taken (acquire), then read. To push keeps up the release of
//!   those who pushed before.
//! - That a link was read before it is stored again: read, then the run's returned slots are taken (release); one returns the first slot
//!   again (acquire), then pushes.
//! - What a cache keeps: detached (release); attached, or found detached under the lock (acquire).

use core::ops::{Range, RangeInclusive};
use core::ptr::NonNull;

// In order of dependency, as in lib.rs: each uses this file and what stands above it.
mod idle;
mod returned;
mod magazine;
mod run;
mod check;

use static_assertions::const_assert;

use crate::lent::{Shared, Zeroable};
use crate::memory::{ALIGNMENT, Bump};
use crate::size_class::{MAGAZINE, MOST_CACHES, Origin, PER_KIB, TABLE, all_of, classes_of, kibs_of};
use crate::stats::CLASSES;
use crate::sync::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, OwnersU32, OwnersU64, OwnersUsize};
use crate::units::{Granules, Offset};

pub(crate) use run::OwnedRun;

/// In a cache's stack of runs: nobody has the cache.
const DETACHED: u32 = 1 << 31;

/// The owner and the class of a run; 0 outside owned runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(u16);

impl Tag {
    const NONE: Self = Self(0);

    const fn new(owner: u32, class: usize) -> Self {
        Self((owner.wrapping_add(1).wrapping_mul(const { CLASSES as u32 }) as u16) | class as u16)
    }

    /// The number of the cache that owns the run; `u32::MAX` for none.
    #[inline(always)]
    pub(crate) const fn owner(self) -> u32 {
        (self.0.wrapping_shr(const { CLASSES.trailing_zeros() }) as u32).wrapping_sub(1)
    }

    #[inline(always)]
    pub(crate) const fn class(self) -> usize {
        self.0 as usize % CLASSES
    }
}

const_assert!(MOST_CACHES <= u16::MAX as usize / CLASSES);

/// What is known of a run, at its first KiB.
///
/// Links to runs are the number of the first KiB plus one, and 0 for none.
///
/// Invariants:
/// - `idle` and `returned` have a bit for each slot that is, and no slot in both; none of these slots is live.
/// - The run is in its owner's list of its class iff `idle` is not 0, and in or on its way to the owner's stack iff `returned` is not 0.
#[derive(Debug)]
#[repr(C)]
struct Run {
    idle: OwnersU64,
    returned: AtomicU64,
    next_returned: AtomicU32,
    next: OwnersU32,
    previous: OwnersU32,
}

/// A cache's stack of free slots of one class, its runs, and what it counts.
///
/// Invariant: the first `count` of `slots` are different slots of the cache's runs of this class, and none is live, idle or returned.
#[derive(Debug)]
#[repr(C, align(64))]
struct Magazine {
    count: OwnersU32,
    /// Slots that went into the magazine, less those that went out of it without a request: made idle here, or freed through this
    /// cache for another owner. The sum of `out - count` of all caches is the number of live slots.
    out: OwnersU32,
    /// Requests that were served.
    allocs: OwnersUsize,
    /// The list of the runs that have idle slots.
    first: OwnersU32,
    /// Where the slots start, from the oldest to the newest.
    slots: [OwnersU32; MAGAZINE],
}

/// What a cache keeps.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Keep {
    magazines: [Magazine; CLASSES],
    returned: Stack,
}

/// The runs of a cache of which others have returned slots, and [`DETACHED`]: a line of its own, as others write to it.
#[derive(Debug)]
#[repr(C, align(64))]
struct Stack(AtomicU32);

// SAFETY: atomics, of which zeros are a value.
#[expect(unsafe_code, reason = "that zeros are a value")]
unsafe impl Zeroable for Run {}
// SAFETY: atomics, of which zeros are a value.
#[expect(unsafe_code, reason = "that zeros are a value")]
unsafe impl Zeroable for Keep {}

/// The tables that all caches of a heap share. A copy is another view of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owned<'a> {
    /// 1 for each granule, from the origin on, where a live slot of an owned run starts: the bytes of a KiB share their lines with no other.
    live: Shared<'a, AtomicU8>,
    /// The tag of each KiB.
    tags: Shared<'a, AtomicU16>,
    runs: Shared<'a, Run>,
    keeps: Shared<'a, Keep>,
    origin: Origin,
    /// The number of classes that exist.
    classes: usize,
}

/// Adds to a counter that one thread writes.
#[inline(always)]
fn add(counter: &OwnersU32, count: u32) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

const fn link_to(run: u32) -> u32 {
    run.wrapping_add(1)
}

impl<'a> Owned<'a> {
    /// No caches, all zeros.
    pub(crate) const EMPTY: Self = Self {
        live: Shared::EMPTY,
        tags: Shared::EMPTY,
        runs: Shared::EMPTY,
        keeps: Shared::EMPTY,
        origin: Origin::ZERO,
        classes: 0,
    };

    /// Returns how many bytes the tables of `caches` caches take for a segment of `granules`, alignment included.
    pub(crate) const fn footprint(granules: Granules, caches: usize) -> usize {
        let kibs = kibs_of(granules) as usize;
        if caches == 0 || kibs == 0 {
            return 0;
        }
        // Three tables start at a cache line.
        (3 * (ALIGNMENT - 1))
            .saturating_add(caches.saturating_mul(size_of::<Keep>()))
            .saturating_add(kibs.saturating_mul(const { size_of::<Run>() + size_of::<u16>() + PER_KIB }))
    }

    /// Makes empty tables those of a segment of `granules`.
    pub(crate) fn set_up(
        &mut self,
        origin: Origin,
        granules: Granules,
        caches: usize,
        memory: &mut Bump<'a>,
    ) -> Option<()> {
        let kibs = kibs_of(granules) as usize;
        if caches == 0 || kibs == 0 {
            return Some(());
        }
        memory.align();
        self.keeps = memory.shared(caches)?;
        self.runs = memory.shared(kibs)?;
        memory.align();
        self.live = memory.shared(kibs.wrapping_mul(PER_KIB))?;
        memory.align();
        self.tags = memory.shared(kibs)?;
        (self.origin, self.classes) = (origin, classes_of(granules));
        Some(())
    }

    /// Returns the number of caches.
    pub(crate) fn count(&self) -> u32 {
        self.keeps.len() as u32
    }

    /// Returns what cache `owner` keeps.
    pub(crate) fn keep(&self, owner: u32) -> Option<&'a Keep> {
        self.keeps.get(owner as usize)
    }

    /// Returns the number of classes that exist.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// Returns the tag of the KiB that `at` lies in.
    fn tag(&self, at: Offset) -> Tag {
        self.tags.get(self.origin.kib(at)).map_or(Tag::NONE, |tag| Tag(tag.load(Ordering::Relaxed)))
    }

    pub(crate) fn is_live(&self, at: Offset) -> bool {
        self.live
            .get(self.origin.granules_to(at.index() as usize))
            .is_some_and(|mark| mark.load(Ordering::Acquire) != 0)
    }

    /// Returns the tag of the live slot that starts at `at`, if one does.
    pub(crate) fn live_tag(&self, at: Offset) -> Option<Tag> {
        self.is_live(at).then(|| self.tag(at))
    }

    /// Returns the tag of the live slot that starts at granule `at`, if one does.
    #[inline(always)]
    pub(crate) fn find_live(&self, at: usize) -> Option<Tag> {
        let place = self.origin.granules_to(at);
        let mark = self.live.get(place)?;
        let tag = self.tags.get(place / PER_KIB)?;
        (mark.load(Ordering::Acquire) != 0).then(|| Tag(tag.load(Ordering::Relaxed)))
    }

    /// Makes the live slot that starts at granule `at` one that is not live and the caller's to put away, and returns its tag. `None`
    /// if no live slot starts there.
    #[inline(always)]
    pub(crate) fn take(&self, at: usize) -> Option<Tag> {
        let place = self.origin.granules_to(at);
        let mark = self.live.get(place)?;
        let tag = self.tags.get(place / PER_KIB)?;
        // The exchange decides. It pairs with the store in `pop`: who finds the 1 sees the tag that the run had then.
        if mark.load(Ordering::Relaxed) == 0 || mark.swap(0, Ordering::Acquire) == 0 {
            return None;
        }
        Some(Tag(tag.load(Ordering::Relaxed)))
    }

    /// Returns the run that `at`, a slot's start, lies in, and the slot as a bit.
    fn slot(&self, at: Offset, class: usize) -> Option<(u32, u64)> {
        let class = TABLE.get(class)?;
        let run = self.origin.kib(at) as u32 & !class.mask;
        let slot = self.origin.start(run).up_to(at).count().checked_div(class.stride.count())?;
        Some((run, 1u64.wrapping_shl(slot)))
    }

    /// Attaches a cache that is detached. Returns whether it was.
    pub(crate) fn attach(&self, owner: u32) -> bool {
        self.keep(owner).is_some_and(|keep| keep.returned.0.fetch_and(!DETACHED, Ordering::Acquire) & DETACHED != 0)
    }

    /// Detaches a cache: what it keeps is the lock holder's from here on.
    pub(crate) fn detach(&self, keep: &Keep) {
        keep.returned.0.fetch_or(DETACHED, Ordering::Release);
    }

    pub(crate) fn is_detached(&self, keep: &Keep) -> bool {
        keep.returned.0.load(Ordering::Acquire) & DETACHED != 0
    }

    /// Returns the whole pages of the tables that say something of a range of the segment, and which KiB they are about.
    pub(crate) fn pages(
        &self,
        range: Range<Offset>,
        page: usize,
    ) -> impl Iterator<Item = (RangeInclusive<u32>, NonNull<[u8]>)> {
        const RUN: usize = size_of::<Run>();
        let place = |at: Offset| self.origin.granules_to(at.index() as usize);
        let (start, end) = (place(range.start), place(range.end));
        let marks = self.live.pages(start..end, page);
        let kibs = |at: Range<usize>| (at.start / PER_KIB) as u32..=(at.end.wrapping_sub(1) / PER_KIB) as u32;
        let marks = marks.map(move |(at, bytes)| (kibs(at), bytes));
        let runs = (start / PER_KIB).wrapping_mul(RUN)..(end / PER_KIB).wrapping_add(1).wrapping_mul(RUN);
        let runs = self.runs.pages(runs, page);
        let runs = runs.map(|(at, bytes)| ((at.start / RUN) as u32..=(at.end.wrapping_sub(1) / RUN) as u32, bytes));
        marks.chain(runs)
    }

    /// Forgets what a cache keeps, its runs apart, and whether somebody has it.
    pub(crate) fn reset(&self, owner: u32, is_detached: bool) {
        let Some(keep) = self.keep(owner) else { return };
        for magazine in &keep.magazines {
            magazine.count.store(0, Ordering::Relaxed);
            magazine.out.store(0, Ordering::Relaxed);
            magazine.first.store(0, Ordering::Relaxed);
        }
        keep.returned.0.store(if is_detached { DETACHED } else { 0 }, Ordering::Release);
    }

    /// Counts, after [`reset`](Self::reset), what the heap has freed of the caches' slots: it counts that off.
    pub(crate) fn set_freed_elsewhere(&self, class: usize, count: u32) {
        if let Some(magazine) = self.keep(0).and_then(|keep| keep.magazines.get(class)) {
            add(&magazine.out, count);
        }
    }

    /// Returns the KiB that `at` lies in.
    pub(crate) fn kib(&self, at: Offset) -> u32 {
        self.origin.kib(at) as u32
    }

    /// Returns the live slots of a class, as far as `keep` counts them, and the requests that it served. The live ones wrap: slots that
    /// were freed through another cache are counted off there.
    pub(crate) fn figures(&self, keep: &Keep, class: usize) -> (u32, usize) {
        keep.magazines.get(class).map_or((0, 0), |magazine| {
            let out = magazine.out.load(Ordering::Relaxed);
            (out.wrapping_sub(magazine.count.load(Ordering::Relaxed)), magazine.allocs.load(Ordering::Relaxed))
        })
    }
}

/// Returns all slots of a class's run, a bit each.
fn all_slots(class: usize) -> u64 {
    TABLE.get(class).map_or(0, |class| all_of(class.slots))
}

/// What tests reach.
#[cfg(test)]
impl Owned<'_> {
    /// Makes a circle of two runs of a class's list, which have idle slots only and belong to nobody.
    pub(crate) fn destroy(&self, owner: u32, class: usize, runs: [u32; 2]) -> Option<()> {
        for (run, next) in [(runs[0], runs[1]), (runs[1], runs[0])] {
            let it = self.runs.get(run as usize)?;
            it.idle.store(all_slots(class), Ordering::Relaxed);
            it.next.store(link_to(next), Ordering::Relaxed);
            self.set_tags(run, class, Tag::NONE)?;
        }
        self.keep(owner)?.magazines.get(class)?.first.store(link_to(runs[0]), Ordering::Relaxed);
        Some(())
    }

    /// Makes a magazine claim to hold one slot, which starts at `at`.
    pub(crate) fn claim(&self, owner: u32, class: usize, at: Offset) -> Option<()> {
        let magazine = self.keep(owner)?.magazines.get(class)?;
        magazine.slots.first()?.store(at.index(), Ordering::Relaxed);
        magazine.count.store(1, Ordering::Relaxed);
        Some(())
    }
}
