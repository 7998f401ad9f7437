//! Magazines and runs: an empty magazine is filled from a run, or from one that is opened for it; a full magazine gives slots back to
//! their runs, and a run without a live slot is closed.

use super::{Classes, OWNED, first_bit};
use crate::bit_tree::NO_BIT;
use crate::bits::{below_bit, from_bit};
use crate::size_class::{Class, GROUP, MAGAZINE, TABLE, run_granules};
use crate::units::Offset;

impl Classes<'_> {
    /// Finds the run of lowest address that has a slot neither live nor in the magazine, and fills the class's magazine, which is
    /// empty, from it.
    pub(crate) fn refill(&mut self, class: usize) -> Option<()> {
        let kibs = self.class_of.len() as u32;
        let first = first_bit(class, kibs);
        let bit = self.open.next(first);
        if bit == NO_BIT || bit >= first_bit(class.wrapping_add(1), kibs) {
            return None;
        }
        self.fill(class, bit.wrapping_sub(first).wrapping_shl((class / GROUP) as u32))
    }

    /// Fills a class's magazine, which is empty, with the lowest slots of a run that are not live, the lowest on top.
    fn fill(&mut self, class: usize, run: u32) -> Option<()> {
        let Class { stride, slots, .. } = *TABLE.get(class)?;
        let mut free = [0; MAGAZINE];
        let (mut at, mut count, mut left) = (self.start(run), 0, false);
        for _ in 0..slots {
            if !self.is_marked(at) {
                let Some(place) = free.get_mut(count) else {
                    left = true;
                    break;
                };
                *place = at.index();
                count = count.wrapping_add(1);
            }
            at = at.plus(stride);
        }
        free.get_mut(..count)?.reverse();
        let magazine = self.magazines.get_mut(class)?;
        (magazine.slots, magazine.count) = (free, count as u32);
        magazine.out = magazine.out.wrapping_add(count as u32);
        let bit = self.bit_in_open(class, run);
        if left {
            self.open.set(bit);
        } else if self.open.contains(bit) {
            // Not without the question: a write would make a page of the tree resident.
            self.open.clear(bit);
        }
        Some(())
    }

    /// Makes a block that starts at `at` a run of a class whose magazine is empty, and fills that.
    pub(crate) fn open(&mut self, class: usize, at: Offset) -> Option<()> {
        let run = self.origin.kib(at) as u32;
        self.count_run(run, class, class.wrapping_add(1) as u8)?;
        self.fill(class, run)
    }

    /// Sets and counts the class of a run that is opened.
    fn count_run(&mut self, run: u32, class: usize, tag: u8) -> Option<()> {
        self.set_class(run, class, tag)?;
        let magazine = self.magazines.get_mut(class)?;
        magazine.runs = magazine.runs.wrapping_add(1);
        magazine.peak_runs = magazine.peak_runs.max(magazine.runs);
        magazine.opened = magazine.opened.wrapping_add(1);
        Some(())
    }

    /// Sets and counts the class of a run that is opened for a cache, and returns the run.
    #[cfg(target_has_atomic = "64")]
    pub(crate) fn count_owned(&mut self, at: Offset, class: usize) -> Option<u32> {
        let run = self.origin.kib(at) as u32;
        self.count_run(run, class, OWNED | class.wrapping_add(1) as u8)?;
        Some(run)
    }

    /// Sets the class of each KiB of a run, which is one of `class`.
    fn set_class(&mut self, run: u32, class: usize, to: u8) -> Option<()> {
        for kib in run..=run | TABLE.get(class)?.mask {
            *self.class_of.get_mut(kib as usize)? = to;
        }
        Some(())
    }

    /// Gives slot `index` of a class's magazine back to its run, where it stays until [`drop_oldest`](Self::drop_oldest). Returns the
    /// run's start if no slot of it is live: it is no run any more, and its block is to be freed.
    pub(crate) fn give_back(&mut self, class: usize, index: usize) -> Option<Offset> {
        let at = Offset::new(*self.magazines.get_ref(class)?.slots.get(index)?);
        let run = self.run(at, class)?;
        let bit = self.bit_in_open(class, run);
        if self.has_live(class, run) {
            self.open.set(bit);
            return None;
        }
        self.open.clear(bit);
        self.uncount_run(run, class)?;
        Some(self.start(run))
    }

    /// Returns whether a run has a live slot.
    fn has_live(&self, class: usize, run: u32) -> bool {
        let start = self.start(run);
        let end = start.plus(run_granules(class));
        (start.chunk()..=end.chunk()).any(|chunk| {
            let below = if chunk == start.chunk() { below_bit(start.bit()) } else { 0 };
            let above = if chunk == end.chunk() { from_bit(end.bit()) } else { 0 };
            self.marks.get(chunk as usize) & !below & !above != 0
        })
    }

    /// Returns the run of `class` that `at` lies in.
    fn run(&self, at: Offset, class: usize) -> Option<u32> {
        let mask = TABLE.get(class)?.mask;
        (self.class_at(at) == class).then_some(self.origin.kib(at) as u32 & !mask)
    }

    /// Makes a run one no more.
    pub(crate) fn uncount_run(&mut self, run: u32, class: usize) -> Option<()> {
        self.set_class(run, class, 0)?;
        let magazine = self.magazines.get_mut(class)?;
        magazine.runs = magazine.runs.wrapping_sub(1);
        Some(())
    }

    /// Removes the `count` oldest slots from a class's magazine, and every slot whose run was closed.
    pub(crate) fn drop_oldest(&mut self, class: usize, count: usize) -> Option<()> {
        let (slots, held) = (self.magazines.get_ref(class)?.slots, self.held(class));
        let mut kept = 0u32;
        for slot in slots.get(count..held)? {
            if self.class_at(Offset::new(*slot)) == class {
                *self.magazines.get_mut(class)?.slots.get_mut(kept as usize)? = *slot;
                kept = kept.wrapping_add(1);
            }
        }
        let magazine = self.magazines.get_mut(class)?;
        magazine.count = kept;
        magazine.out = magazine.out.wrapping_sub(held as u32).wrapping_add(kept);
        Some(())
    }
}
