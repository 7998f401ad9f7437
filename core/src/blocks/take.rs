//! Taking a block or a run out of a gap: from its start, or from a multiple of an alignment on.

use core::ptr::NonNull;

use super::{Blocks, without_sliver};
use crate::block_map::{Found, Gap};
use crate::boundaries::{Near, Place};
use crate::error::AllocError;
use crate::policy::Policy;
use crate::units::{Granules, Offset};

impl<P: Policy> Blocks<'_, P> {
    /// Allocates a payload of `size` bytes; `None` if no gap is large enough, and nothing is counted then.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn alloc_or_none(&mut self, size: usize) -> Option<NonNull<u8>> {
        let need = Granules::of_block(size)?;
        if !P::ROVES {
            return match self.map.find_first(need) {
                Some(found) => self.take_first(found, need),
                None => self.take_held(need),
            };
        }
        if self.rover.gap < need {
            self.move_rover(need)?;
        }
        let gap = self.held_gap();
        self.take(gap, gap.start, need)
    }

    /// Allocates a payload of `size` bytes at a multiple of `alignment`, a power of two; `None` as above.
    #[inline(never)]
    pub(crate) fn alloc_aligned_or_none(&mut self, size: usize, alignment: usize) -> Option<NonNull<u8>> {
        let need = Granules::of_block(size)?;
        let (gap, at) = self.find_aligned(need, alignment, Granules::HEADER)?;
        self.take(gap, at, need)
    }

    /// Takes a block of `need` granules out of the gap that is held, if it is large enough.
    #[inline(never)]
    fn take_held(&mut self, need: Granules) -> Option<NonNull<u8>> {
        let gap = self.held_gap();
        if gap.size() < need {
            return None;
        }
        self.take(gap, gap.start, need)
    }

    /// Takes a block of `need` granules out of a gap that was found, the first that is large enough.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn take_first(&mut self, found: Found, need: Granules) -> Option<NonNull<u8>> {
        let gap = found.gap;
        let end = without_sliver(gap.start.plus(need), gap.end);
        let (start, stop) = self.map.span(gap.start, end)?;
        let payload = self.region.write_split(gap.start, end, gap.end, Offset::NIL)?;
        self.map.occupy(start, stop);
        self.map.settle(found, Gap { start: end, end: gap.end }, self.held());
        self.count(gap.start, end, gap.end);
        Some(payload)
    }

    /// Takes a block of `need` granules from `at` on out of a gap, which the rover holds if the policy roves. What is left before
    /// it stays a gap; what is left after it becomes one, and the rover's, unless it is too small for a block.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn take(&mut self, gap: Gap, at: Offset, need: Granules) -> Option<NonNull<u8>> {
        let end = without_sliver(at.plus(need), gap.end);
        let next = if P::ROVES { self.rover.next } else { Offset::NIL };
        // These steps fail if the map was destroyed; nothing has changed before them.
        let (start, stop) = self.map.span(at, end)?;
        let payload = self.region.write_split(at, end, gap.end, next)?;
        self.occupy(gap, start, stop);
        Some(payload)
    }

    /// Takes a run out of the first gap that has room for one.
    pub(crate) fn take_run(&mut self, length: Granules) -> Option<Offset> {
        let (gap, at) = self.find_aligned(length, length.bytes(), Granules::ZERO)?;
        self.take_without_header(gap, at, length)?;
        Some(at)
    }

    /// Takes a run, which has no header, as [`take`](Self::take) takes a block.
    fn take_without_header(&mut self, gap: Gap, at: Offset, need: Granules) -> Option<()> {
        let end = without_sliver(at.plus(need), gap.end);
        let (start, stop) = self.map.span(at, end)?;
        let rest = end.up_to(gap.end);
        if rest > Granules::ZERO {
            self.region.write_free(end, rest.minus(Granules::HEADER), Offset::NIL);
        }
        self.clear_header(at, at == gap.start);
        self.occupy(gap, start, stop);
        Some(())
    }

    /// Makes a block of a gap's granules from `start` up to `stop`, and counts what is left of the gap.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn occupy(&mut self, gap: Gap, start: Place, stop: Near) {
        let (at, end) = (start.offset(), stop.offset());
        let rest = Gap { start: end, end: gap.end };
        let next = if P::ROVES { self.rover.next } else { Offset::NIL };
        if at == gap.start {
            self.map.occupy(start, stop);
        } else {
            self.map.occupy_inside(start, stop);
            self.leave_lead(Gap { start: gap.start, end: at });
        }
        if P::ROVES {
            self.region.link(self.rover.previous, if rest.size() > Granules::ZERO { end } else { next });
        }
        if P::ROVES || gap.start == self.held() {
            (self.rover.at, self.rover.gap) = (end, rest.size());
        } else {
            self.remove_from_maximum(gap.start, gap.size());
            self.map.add_to_maximum(rest);
        }
        self.count(at, end, gap.end);
    }

    /// Makes a gap of its own of what is left before an aligned block.
    #[cold]
    #[inline(never)]
    fn leave_lead(&mut self, lead: Gap) {
        self.gaps = self.gaps.wrapping_add(1);
        self.region.set_length(lead.start, lead.size().minus(Granules::HEADER));
        self.map.add_to_maximum(lead);
        self.rover.previous = lead.start;
    }

    /// Counts a block that was taken out of the front of a gap which ends at `gap_end`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn count(&mut self, at: Offset, end: Offset, gap_end: Offset) {
        self.gaps = self.gaps.wrapping_sub(u32::from(end == gap_end));
        if end > self.high_water {
            self.high_water = end;
        }
        self.counters.allocated(at.up_to(end));
    }

    /// Counts a request that no gap can serve, and says why.
    #[cold]
    #[inline(never)]
    pub(crate) fn failed(&mut self, size: usize) -> AllocError {
        let all = self.region.granules();
        if all == Granules::ZERO {
            return AllocError::NotInitialised;
        }
        let free = all.minus(self.counters.live());
        let (error, count) = match Granules::of_block(size) {
            Some(need) if need <= free => (AllocError::Fragmented, &mut self.counters.failed_fragmented),
            _ => (AllocError::Full, &mut self.counters.failed_full),
        };
        *count = count.wrapping_add(1);
        error
    }
}
