//! Magazines: each serves a slot from its top and takes one back there. An empty one is filled with idle slots of a run; a full one makes
//! its oldest slots idle.

use super::{Keep, Owned, Tag, add};
use crate::size_class::{MAGAZINE, stride};
use crate::sync::Ordering;
use crate::units::{Granules, Offset};
impl Owned<'_> {
    /// Takes the top of a magazine, if it lies before `end`, and makes it live.
    #[inline(always)]
    pub(crate) fn pop(&self, keep: &Keep, class: usize, end: Offset) -> Option<Offset> {
        let magazine = keep.magazines.get(class)?;
        let top = magazine.count.load(Ordering::Relaxed).wrapping_sub(1);
        let at = Offset::new(magazine.slots.get(top as usize)?.load(Ordering::Relaxed));
        if at >= end {
            return None;
        }
        let mark = self.live.get(self.origin.granules_to(at.index() as usize))?;
        // First, so that wherever this ends, in a process that is forked, no more are live than were served.
        magazine.allocs.store(magazine.allocs.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        mark.store(1, Ordering::Release);
        magazine.count.store(top, Ordering::Relaxed);
        Some(at)
    }

    /// Puts a slot that was taken onto its owner's magazine. `None`, and nothing has changed, if that is full.
    #[inline(always)]
    pub(crate) fn push(&self, keep: &Keep, at: Offset, tag: Tag) -> Option<()> {
        let magazine = keep.magazines.get(tag.class())?;
        let count = magazine.count.load(Ordering::Relaxed);
        magazine.slots.get(count as usize)?.store(at.index(), Ordering::Relaxed);
        magazine.count.store(count.wrapping_add(1), Ordering::Relaxed);
        Some(())
    }

    /// Fills a magazine, which is empty, with the lowest idle slots of the run on top of its class's list, the lowest on top.
    pub(crate) fn fill(&self, keep: &Keep, class: usize) -> Option<()> {
        let magazine = keep.magazines.get(class)?;
        let first = magazine.first.load(Ordering::Relaxed);
        let it = self.linked(first)?;
        let (start, stride) = (self.origin.start(first.wrapping_sub(1)), stride(class));
        let mut idle = it.idle.load(Ordering::Relaxed);
        let count = (idle.count_ones() as usize).min(MAGAZINE);
        for place in magazine.slots.get(..count)?.iter().rev() {
            let at = start.plus(Granules::new(idle.trailing_zeros().wrapping_mul(stride.count())));
            place.store(at.index(), Ordering::Relaxed);
            idle &= idle.wrapping_sub(1);
        }
        magazine.count.store(count as u32, Ordering::Relaxed);
        add(&magazine.out, count as u32);
        it.idle.store(idle, Ordering::Relaxed);
        if idle == 0 {
            self.unlink(magazine, it);
        }
        Some(())
    }

    /// Makes slot `index` of a magazine idle, where it stays until [`drop_oldest`](Self::drop_oldest). Returns its run if that is to be
    /// closed.
    pub(crate) fn idle_oldest(&self, keep: &Keep, class: usize, index: usize) -> Option<u32> {
        let at = Offset::new(keep.magazines.get(class)?.slots.get(index)?.load(Ordering::Relaxed));
        let (run, bit) = self.slot(at, class)?;
        // Not reached: a live slot, which only a thread that a fork took away has left here.
        if self.is_live(at) {
            return None;
        }
        self.make_idle(run, bit).then_some(run)
    }

    /// Removes the `count` oldest slots from a magazine.
    pub(crate) fn drop_oldest(&self, keep: &Keep, class: usize, count: usize) -> Option<()> {
        let magazine = keep.magazines.get(class)?;
        let held = self.held(keep, class);
        for (to, from) in magazine.slots.iter().zip(magazine.slots.get(count..held)?) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        magazine.count.store(held.wrapping_sub(count) as u32, Ordering::Relaxed);
        add(&magazine.out, (count as u32).wrapping_neg());
        Some(())
    }

    /// Returns how many slots a magazine holds.
    pub(crate) fn held(&self, keep: &Keep, class: usize) -> usize {
        self.count_of(keep, class).min(MAGAZINE)
    }

    /// Returns how many slots a magazine claims to hold.
    pub(crate) fn count_of(&self, keep: &Keep, class: usize) -> usize {
        keep.magazines.get(class).map_or(0, |magazine| magazine.count.load(Ordering::Relaxed) as usize)
    }
}
