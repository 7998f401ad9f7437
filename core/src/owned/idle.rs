//! Idle slots: each cache has a list, for each class, of its runs that have some. Only the owner touches the lists.

use super::{Keep, Magazine, Owned, Run, all_slots, link_to};
use crate::sync::Ordering;
impl<'a> Owned<'a> {
    /// Makes slots of a run idle. Returns whether the run is to be closed: all its slots are idle, and its class has another run with
    /// idle slots.
    pub(super) fn make_idle(&self, run: u32, bits: u64) -> bool {
        let tag = self.tag(self.origin.start(run));
        let (Some(it), Some(keep)) = (self.runs.get(run as usize), self.keep(tag.owner())) else { return false };
        let Some(magazine) = keep.magazines.get(tag.class()) else { return false };
        let idle = it.idle.load(Ordering::Relaxed);
        it.idle.store(idle | bits, Ordering::Relaxed);
        if idle == 0 && bits != 0 {
            self.link(magazine, run, it);
        }
        let is_only = magazine.first.load(Ordering::Relaxed) == link_to(run) && it.next.load(Ordering::Relaxed) == 0;
        idle | bits == all_slots(tag.class()) && !is_only
    }

    /// Puts a run onto the list of its class.
    fn link(&self, magazine: &Magazine, run: u32, it: &Run) {
        let first = magazine.first.load(Ordering::Relaxed);
        it.next.store(first, Ordering::Relaxed);
        it.previous.store(0, Ordering::Relaxed);
        if let Some(next) = self.linked(first) {
            next.previous.store(link_to(run), Ordering::Relaxed);
        }
        magazine.first.store(link_to(run), Ordering::Relaxed);
    }

    /// Takes a run off the list of its class.
    pub(super) fn unlink(&self, magazine: &Magazine, it: &Run) {
        let (previous, next) = (it.previous.load(Ordering::Relaxed), it.next.load(Ordering::Relaxed));
        if let Some(next) = self.linked(next) {
            next.previous.store(previous, Ordering::Relaxed);
        }
        match self.linked(previous) {
            Some(previous) => previous.next.store(next, Ordering::Relaxed),
            None => magazine.first.store(next, Ordering::Relaxed),
        }
    }

    pub(super) fn linked(&self, link: u32) -> Option<&'a Run> {
        self.runs.get((link as usize).wrapping_sub(1))
    }

    /// Returns whether a cache has idle slots of a class.
    pub(crate) fn has_idle(&self, keep: &Keep, class: usize) -> bool {
        keep.magazines.get(class).is_some_and(|magazine| magazine.first.load(Ordering::Relaxed) != 0)
    }

    /// Goes through the runs of a class's list that have idle slots only. The one that was found last may be closed meanwhile.
    pub(crate) fn all_idle(&self, keep: &Keep, class: usize) -> AllIdle<'a> {
        AllIdle { owned: *self, class, link: self.first_idle(keep, class), left: self.runs.len() }
    }

    /// Returns the link to the first run of a class that has idle slots.
    pub(crate) fn first_idle(&self, keep: &Keep, class: usize) -> u32 {
        keep.magazines.get(class).map_or(0, |magazine| magazine.first.load(Ordering::Relaxed))
    }
}

/// Runs of a class that have idle slots only.
///
/// Ends also where destroyed links make a circle.
pub(crate) struct AllIdle<'a> {
    owned: Owned<'a>,
    class: usize,
    link: u32,
    left: usize,
}

impl Iterator for AllIdle<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            self.left = self.left.checked_sub(1)?;
            let it = self.owned.linked(self.link)?;
            let run = self.link.wrapping_sub(1);
            self.link = it.next.load(Ordering::Relaxed);
            if it.idle.load(Ordering::Relaxed) == all_slots(self.class) {
                return Some(run);
            }
        }
    }
}
