//! Returned slots: whoever frees a slot of another's run marks it in the run, and pushes the run onto a stack that the owner takes.

use super::{DETACHED, Keep, Owned, Tag, add, all_slots, link_to};
use crate::sync::Ordering;
use crate::units::Offset;
impl<'a> Owned<'a> {
    /// Marks a slot that was taken as returned, for an owner other than the caller. `keep` is the caller's, if the caller is a cache.
    /// Returns whether the owner is detached: the caller settles it then.
    pub(crate) fn give_back(&self, keep: Option<&Keep>, at: Offset, tag: Tag) -> bool {
        if let Some(magazine) = keep.and_then(|keep| keep.magazines.get(tag.class())) {
            add(&magazine.out, 1u32.wrapping_neg());
        }
        let Some((run, bit)) = self.slot(at, tag.class()) else { return false };
        let is_first = self.runs.get(run as usize).is_some_and(|it| it.returned.fetch_or(bit, Ordering::AcqRel) == 0);
        is_first && self.push_returned(run, tag.owner())
    }

    /// Puts a run with returned slots onto its owner's stack, and returns whether the owner is detached.
    pub(crate) fn push_returned(&self, run: u32, owner: u32) -> bool {
        let (Some(it), Some(keep)) = (self.runs.get(run as usize), self.keep(owner)) else { return false };
        let stack = &keep.returned.0;
        let mut old = stack.load(Ordering::Relaxed);
        loop {
            it.next_returned.store(old & !DETACHED, Ordering::Relaxed);
            let new = link_to(run) | old & DETACHED;
            match stack.compare_exchange_weak(old, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return old & DETACHED != 0,
                Err(now) => old = now,
            }
        }
    }

    /// Takes all runs off a cache's stack, the one pushed last first.
    pub(crate) fn take_returned(&self, keep: &Keep) -> Returned<'a> {
        let link = keep.returned.0.fetch_and(DETACHED, Ordering::Acquire) & !DETACHED;
        Returned { owned: *self, link, left: self.runs.len() }
    }

    /// Makes the returned slots of a run idle. Returns whether the run is to be closed.
    pub(crate) fn collect(&self, run: u32) -> bool {
        let bits = self.runs.get(run as usize).map_or(0, |it| it.returned.swap(0, Ordering::AcqRel));
        self.make_idle(run, bits)
    }

    /// Returns whether all slots of a run are returned.
    pub(crate) fn is_all_returned(&self, run: u32) -> bool {
        let tag = self.tag(self.origin.start(run));
        let returned = self.runs.get(run as usize).map(|it| it.returned.load(Ordering::Acquire));
        tag != Tag::NONE && returned == Some(all_slots(tag.class()))
    }
}

/// Runs with returned slots, off a cache's stack.
///
/// Ends also where destroyed links make a circle.
pub(crate) struct Returned<'a> {
    owned: Owned<'a>,
    link: u32,
    left: usize,
}

impl Iterator for Returned<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let run = self.link.wrapping_sub(1);
        // Before the run is the caller's to put back onto a stack.
        self.link = self.owned.runs.get(run as usize)?.next_returned.load(Ordering::Relaxed);
        Some(run)
    }
}
