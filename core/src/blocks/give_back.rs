//! Freeing a block or a run: its granules become part of a gap.

use super::{Blocks, Freed, Rover};
use crate::bits;
use crate::block_map::Gap;
use crate::boundaries::{Near, Place};
use crate::claim::Claim;
use crate::error::Reason;
use crate::policy::Policy;
use crate::units::{Granules, Offset};

impl<P: Policy> Blocks<'_, P> {
    /// Frees the block whose payload starts at `at`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn free(&mut self, at: Offset, claim: impl Claim) -> Result<(), Reason> {
        match self.free_or_none(at, claim) {
            Some(()) => Ok(()),
            None => Err(self.refuse(at, claim)),
        }
    }

    /// Frees the block whose payload starts at `at`. Returns `None` and changes nothing if no live block does, if its header was
    /// overwritten, or if it is not what the caller claims.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn free_or_none(&mut self, at: Offset, claim: impl Claim) -> Option<()> {
        let start = self.map.boundaries.place(at.minus(Granules::HEADER))?;
        // One window shows what is near: the block's end is the first end after its start, and the gap after it ends at the
        // first start from there on.
        let ahead = self.map.boundaries.ahead(start);
        let later = ahead.ends & !1;
        let after = ahead.starts & bits::from_lowest(later);
        let (end, gap_end) = match after {
            0 => self.far_ends(start)?,
            _ => (start.lowest(later), start.lowest(after).offset()),
        };
        let from = start.offset();
        let size = from.up_to(end.offset());
        if ahead.starts & 1 == 0 || !self.region.allocated_is_intact(from, size) || !claim.is_block(size) {
            return None;
        }
        let (previous, next, gap_start);
        if P::ROVES {
            previous = match self.map.boundaries.behind(start).gaps() {
                0 => self.far_previous_gap(from),
                gaps => from.minus(Granules::new(gaps.leading_zeros())),
            };
            next = match ahead.gaps() & bits::above_lowest(later) {
                0 => self.far_next_gap(end.offset()),
                gaps => start.lowest(gaps).offset(),
            };
            gap_start = if ahead.ends & 1 == 0 { previous } else { from };
        } else {
            (previous, next) = (Offset::NIL, Offset::NIL);
            gap_start = match self.map.boundaries.behind(start).ends {
                0 => self.map.gap_start(from),
                ends => from.minus(Granules::new(ends.leading_zeros())),
            };
        }
        self.map.vacate(start, end);
        let end = end.offset();
        self.counters.freed(from.up_to(end));
        self.give_back(Freed { start: from, end, gap: Gap { start: gap_start, end: gap_end }, previous, next });
        Some(())
    }

    /// Frees the run that starts at `at`, a block without a header.
    pub(crate) fn free_run(&mut self, at: Offset) {
        // Not reached: a run that is no block, which only destroyed bookkeeping has.
        let Some(start) = self.map.boundaries.place(at).filter(|_| self.map.is_start(at)) else { return };
        let Some((end, gap_end)) = self.far_ends(start) else { return };
        let gap = Gap { start: self.map.gap_start(at), end: gap_end };
        self.map.vacate(start, end);
        let end = end.offset();
        self.counters.freed(at.up_to(end));
        self.give_back(Freed { start: at, end, gap, previous: Offset::NIL, next: Offset::NIL });
    }

    /// Returns the end of the block that starts at `start`, and of the gap after it.
    #[inline(never)]
    fn far_ends(&self, start: Place) -> Option<(Near, Offset)> {
        let end = self.map.block_end(start.offset());
        let (_, near) = self.map.ends(end, end)?;
        Some((near, self.gap_end(end)))
    }

    /// Takes granules back that were just freed: counts the gap that they lie in, writes its header and links it.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn give_back(&mut self, freed: Freed) {
        let Freed { start, end, gap, previous, next } = freed;
        let (left, right) = (gap.start != start, end.up_to(gap.end));
        let absorbed = u32::from(left).wrapping_add(u32::from(right > Granules::ZERO));
        self.gaps = self.gaps.wrapping_add(1).wrapping_sub(absorbed);
        self.clear_header(start, left);
        self.clear_header(end, right > Granules::ZERO);
        // One comparison: on which side of the gap the rover is cannot be predicted.
        let is_at_rover =
            if P::ROVES { gap.start.up_to(self.rover.at) < gap.size() } else { gap.end == self.map.end() };
        if is_at_rover {
            return self.give_back_at_rover(start, end, gap.start, gap.end, previous, next);
        }
        self.map.add_to_maximum(gap);
        self.remove_from_maximum(end, right);
        self.region.write_free(gap.start, gap.size().minus(Granules::HEADER), next);
        if P::ROVES {
            // If the gap began before `start`, it is `previous` itself, and what is written is its own link once more.
            self.region.link(previous, if left { next } else { gap.start });
            if next == self.rover.at {
                self.rover.previous = gap.start;
            }
            if previous == self.rover.at {
                self.rover.next = gap.start;
            }
        }
    }

    /// Does what [`give_back`](Self::give_back) does where the rover stands in the gap: moves it to the gap's start and holds the gap.
    #[inline(never)]
    fn give_back_at_rover(
        &mut self,
        start: Offset,
        end: Offset,
        gap_start: Offset,
        gap_end: Offset,
        previous: Offset,
        next: Offset,
    ) {
        let gap = Gap { start: gap_start, end: gap_end };
        let (left, right) = (gap.start.up_to(start), end.up_to(gap.end));
        let before = self.rover.at;
        let previous = match left {
            Granules::ZERO => previous,
            _ if !P::ROVES || before == gap.start => self.rover.previous,
            _ => self.previous_gap(gap.start),
        };
        self.rover = Rover { at: gap.start, gap: gap.size(), previous, next };
        if before != gap.start {
            self.remove_from_maximum(gap.start, left);
        }
        if before != end {
            self.remove_from_maximum(end, right);
        }
        self.region.write_free(gap.start, gap.size().minus(Granules::HEADER), next);
        if P::ROVES && left == Granules::ZERO {
            self.region.link(previous, gap.start);
        }
    }
}
