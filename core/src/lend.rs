//! Free bytes lent to the heap's owner for a moment, so that their pages can go back to whoever gave them.

use core::ops::Range;
use core::ptr::NonNull;

use crate::error::Reentered;
use crate::heap::Heap;
use crate::lock::RawLock;
use crate::next_fit::BlockSegment;
use crate::policy::Policy;
use crate::size::{GRANULE, Granules, Offset};
use crate::split::Segment;

/// What the map says of the bytes from an address on.
struct Run {
    start: Offset,
    end: Offset,
}

impl BlockSegment<'_> {
    /// The first granules at or behind `from`, at least `least` side by side, that are free, no header, and not as they
    /// were when the memory was lent: those that no block has ever reached have cost nothing yet, and may be promised to
    /// be zeros.
    fn free_run(&self, from: Offset, least: Granules) -> Option<Run> {
        // The last free block's header may stand there.
        let touched = self.high_water.plus(Granules::HEADER);
        let part = |gap: Offset, end: Offset| {
            let run = Run { start: from.max(gap.plus(Granules::HEADER)), end: end.min(touched) };
            (run.start < run.end && run.start.up_to(run.end) >= least).then_some(run)
        };
        let around = (from < self.map.end() && !self.map.is_allocated(from))
            .then(|| part(self.map.gap_start(from), self.map.gap_end(from)));
        around.flatten().or_else(|| {
            let gap = self.first_fit(from, least.plus(Granules::HEADER))?;
            // If this is cut off because nothing has reached it, it is the last.
            part(gap.start, gap.end)
        })
    }
}

impl<L: RawLock, P: Policy> Heap<'_, L, P> {
    /// Lends to `work` the first free bytes of the next-fit segment at or behind address `from`: at least `least` of them
    /// side by side, rounded up to granules, and no more than `most`, rounded down, and no header among them. Answers with their addresses
    /// and what `work` did, or `None` when nothing behind `from` is as large.
    ///
    /// What for: an operating system can take the pages of free memory back, if nothing is allocated there while it does.
    /// So `work` runs with the segment locked, the one thing of this crate that calls out so: it must be short, and calls of
    /// this heap in it are refused, or never end with a lock that does not know its owner. It may leave anything in
    /// the bytes. What no block has ever reached is not lent. To go through a whole segment, start at its first address, and
    /// go on where the last piece ended.
    ///
    /// In the slab nothing can be lent: every free slot that was used begins with a header.
    ///
    /// Complexity: O(log) in the region's size, beside `work`.
    ///
    /// # Errors
    /// [`Reentered`] if this thread is in the heap.
    ///
    /// ```
    /// use slabfit::{Config, Heap, RegionArray, Segment};
    ///
    /// let mut array = RegionArray::<8192>::new();
    /// let heap: Heap = Heap::new(&mut array, Config::new(64))?;
    /// let object = heap.alloc(4000)?;
    /// // SAFETY: nobody uses the object.
    /// unsafe { heap.free(object.as_ptr()) }?;
    /// let start = heap.segment(Segment::Blocks).start;
    /// let (addresses, bytes) = heap.with_free_ranges(start, 1024, 2048, |free| free.len())?.ok_or("all is in use")?;
    /// assert_eq!((addresses.start, bytes), (start + 16, 2048));
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
        let (least, most) = (Granules::holding(least.max(1)), Granules::within(most));
        if from >= segment.end || least.bytes() > segment.len() || most < least {
            return Ok(None);
        }
        let from = Offset::of_byte(from.saturating_sub(segment.start).next_multiple_of(GRANULE));
        self.with_next_fit(|next_fit| {
            let Run { start, end } = next_fit.free_run(from, least)?;
            let count = start.up_to(end).min(most);
            let first = next_fit.region.pointer(start, count)?;
            let addresses = first.addr().get()..first.addr().get().saturating_add(count.bytes());
            Some((addresses, work(NonNull::slice_from_raw_parts(first, count.bytes()))))
        })
    }
}
