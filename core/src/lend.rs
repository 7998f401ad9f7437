//! Lends free bytes to the heap's owner for a moment, so that their pages can go back to the system.

use core::ops::Range;
use core::ptr::NonNull;

use crate::block_map::Gap;
use crate::blocks::Blocks;
use crate::classes::MayHave;
use crate::error::Reentered;
use crate::layout::Segment;
use crate::lock::RawLock;
use crate::policy::Policy;
use crate::segments::Heap;
use crate::slab::Slab;
use crate::units::{GRANULE, Granules, Offset};

impl<P: Policy> Blocks<'_, P> {
    /// Finds the first granules from `from` on, at least `least` side by side, that are free, no header, and not as they were
    /// when the memory was lent: those that no block has ever reached have cost nothing yet, and may be promised to be zeros.
    fn free_range(&self, from: Offset, least: Granules) -> Option<Gap> {
        // The last gap's header may stand there.
        let touched = self.high_water.plus(Granules::HEADER);
        let part = |gap: Gap| {
            let part = Gap { start: from.max(gap.start.plus(Granules::HEADER)), end: gap.end.min(touched) };
            (part.start < part.end && part.size() >= least).then_some(part)
        };
        let around = (from < self.map.end() && !self.map.is_allocated(from))
            .then(|| part(Gap { start: self.map.gap_start(from), end: self.map.gap_end(from) }));
        // If the next one is cut off because nothing has reached it, it is the last.
        around.flatten().or_else(|| part(self.first_fit(from, least.plus(Granules::HEADER))?))
    }
}

impl<P: Policy> Slab<'_, P> {
    /// Finds the first granules in `within`, at least `least` side by side, that lie in free slots which were used before.
    fn free_range(&self, within: Range<Offset>, least: Granules) -> Option<Range<Offset>> {
        let last = self.slot_at(within.end.minus(Granules::new(1)));
        let (mut slot, behind) = (self.slot_at(within.start), last.wrapping_add(1));
        while let Some(slots) = self.first_returned(slot, behind) {
            let (start, end) = (self.offset(slots.start).max(within.start), self.offset(slots.end).min(within.end));
            if start < end && start.up_to(end) >= least {
                return Some(start..end);
            }
            slot = slots.end;
        }
        None
    }
}

impl<L: RawLock, P: Policy> Heap<'_, L, P> {
    /// Lends to `work` the first free bytes of the block segment from address `from` on: at least `least` of them side by side,
    /// rounded up to granules, and no more than `most`, rounded down, and no header among them. Returns their addresses and what
    /// `work` returned, or `None` if nothing from `from` on is as large.
    ///
    /// An operating system can take the pages of free memory back, if nothing is allocated there meanwhile. So `work` runs with
    /// both segments locked: it must be short, and calls of this heap in it are refused, or never end with a lock that does not
    /// know its owner. It may leave anything in the bytes; in a [hardened](crate::Hardened) heap it leaves zeros, as an operating system
    /// does. What no block has ever reached is not lent. To go through a whole segment, start at its first address, and go on where the
    /// last piece ended.
    ///
    /// Nothing of the slab is lent, as every free slot that was used begins with a header:
    /// [`with_free_slots`](Self::with_free_slots) does that.
    ///
    /// Complexity: O(log) in the region's size, plus `work`.
    ///
    /// # Errors
    /// [`Reentered`] if this thread is in the heap.
    ///
    /// ```
    /// use slabfit::{Config, GRANULE, Heap, RegionArray, Segment};
    ///
    /// let mut array = RegionArray::<8192>::new();
    /// let heap = Heap::new(&mut array, Config::new(64))?;
    /// let object = heap.alloc(4000)?;
    /// // SAFETY: nobody uses the object.
    /// unsafe { heap.free(object.as_ptr()) }?;
    /// let start = heap.segment(Segment::Blocks).start;
    /// let (addresses, bytes) = heap.with_free_ranges(start, 1024, 2048, |free| free.len())?.ok_or("all is in use")?;
    /// assert_eq!((addresses.start, bytes), (start + GRANULE, 2048));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn with_free_ranges<R>(
        &self,
        from: usize,
        least: usize,
        most: usize,
        work: impl FnOnce(NonNull<[u8]>) -> R,
    ) -> Result<Option<(Range<usize>, R)>, Reentered> {
        let segment = self.segment(Segment::Blocks);
        let (least, most) = (Granules::from_bytes_ceil(least.max(1)), Granules::from_bytes_floor(most));
        if from >= segment.end || least.bytes() > segment.len() || most < least {
            return Ok(None);
        }
        let from = Offset::of_byte(from.saturating_sub(segment.start).next_multiple_of(GRANULE));
        let (slab, blocks) = self.lock_both();
        let (_slab, blocks) = (slab?, blocks?);
        let Some(free) = blocks.free_range(from, least) else { return Ok(None) };
        let count = free.size().min(most);
        // Not reached: a gap beyond the segment, which only a destroyed map has.
        let Some(first) = blocks.region.pointer(free.start, count) else { return Ok(None) };
        let addresses = first.addr().get()..first.addr().get().saturating_add(count.bytes());
        Ok(Some((addresses, work(NonNull::slice_from_raw_parts(first, count.bytes())))))
    }

    /// Lends to `work`, one after the other, the pages of the caches' tables that say nothing now: no run of a cache lies where they are
    /// about, and addresses `within` the block segment are among those, of those that a block ever reached. They are zeros, or may be: it
    /// may fill granules with zeros, as an operating system does that takes pages back, and must leave all others as they are. `page` is a
    /// power of two. Where there are no [caches](crate::Config::caches) nothing is lent.
    ///
    /// `work` runs as in [`with_free_ranges`](Self::with_free_ranges).
    ///
    /// Complexity: linear in the addresses, a byte for each KiB, plus `work`.
    ///
    /// # Errors
    /// [`Reentered`] if this thread is in the heap.
    pub fn with_idle_tables(
        &self,
        within: Range<usize>,
        page: usize,
        work: impl FnMut(NonNull<[u8]>),
    ) -> Result<(), Reentered> {
        let segment = self.segment(Segment::Blocks);
        let offset =
            |address: usize| Offset::of_byte(address.max(segment.start).min(segment.end).wrapping_sub(segment.start));
        let blocks = self.lock_blocks()?;
        // What is about memory that no block has reached was never written to.
        let reached = offset(within.start)..offset(within.end).min(blocks.high_water);
        if let Some(classes) = blocks.classes.get().filter(|_| !reached.is_empty()) {
            classes.idle_tables(reached, page, work);
        }
        Ok(())
    }

    /// Lends to `work` the first free slots of the slab that lie side by side in the addresses `within`: at least `least` bytes of
    /// them, rounded up to granules, those outside `within` cut off. Returns their addresses and what `work` returned, or `None` if
    /// there are no such slots. Slots that were never used are not lent.
    ///
    /// `work` runs as in [`with_free_ranges`](Self::with_free_ranges). But free slots begin with headers: it may fill granules with
    /// zeros, as an operating system does that takes pages back, and must leave all others as they are. A header of zeros
    /// counts as intact from then on, and says nothing to who walks from one free slot to the next.
    ///
    /// Complexity: O(n) in the slots that `within` holds, 64 of them a step, plus `work`.
    ///
    /// # Errors
    /// [`Reentered`] if this thread is in the heap.
    ///
    /// ```
    /// use slabfit::{Config, Heap, RegionArray, Segment};
    ///
    /// let mut array = RegionArray::<8192>::new();
    /// let heap = Heap::new(&mut array, Config::new(64))?;
    /// let slots = [heap.alloc(64)?, heap.alloc(64)?, heap.alloc(64)?];
    /// for slot in &slots[1..] {
    ///     // SAFETY: nobody uses the slot.
    ///     unsafe { heap.free(slot.as_ptr()) }?;
    /// }
    /// let slab = heap.segment(Segment::Slab);
    /// let (addresses, bytes) = heap.with_free_slots(slab.clone(), 128, |free| free.len())?.ok_or("none is free")?;
    /// assert_eq!((addresses.start, bytes), (slab.start + 64, 128));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn with_free_slots<R>(
        &self,
        within: Range<usize>,
        least: usize,
        work: impl FnOnce(NonNull<[u8]>) -> R,
    ) -> Result<Option<(Range<usize>, R)>, Reentered> {
        let segment = self.segment(Segment::Slab);
        let offset = |address: usize| Offset::of_byte(address.saturating_sub(segment.start));
        let (start, end) = (within.start.max(segment.start), within.end.min(segment.end));
        if start >= end {
            return Ok(None);
        }
        let start = start.next_multiple_of(GRANULE);
        let (slab, blocks) = self.lock_both();
        let (mut slab, _blocks) = (slab?, blocks?);
        let least = Granules::from_bytes_ceil(least.max(1));
        let Some(free) = slab.free_range(offset(start)..offset(end), least) else { return Ok(None) };
        let count = free.start.up_to(free.end);
        // Not reached: slots beyond the segment, which only destroyed bookkeeping has.
        let Some(first) = slab.region.pointer(free.start, count) else { return Ok(None) };
        slab.lent = true;
        let addresses = first.addr().get()..first.addr().get().saturating_add(count.bytes());
        Ok(Some((addresses, work(NonNull::slice_from_raw_parts(first, count.bytes())))))
    }
}
