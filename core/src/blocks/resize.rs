//! Resizing a block where it stands: into the gap after it, or out of it.

use super::{Blocks, Freed, without_sliver};
use crate::block_map::Gap;
use crate::claim::Claim;
use crate::error::Reason;
use crate::policy::Policy;
use crate::units::{Granules, Offset, Resize};

impl<P: Policy> Blocks<'_, P> {
    /// Gives the block whose payload starts at `at` a size of `size` bytes, where it stands if `stay` and if it can.
    #[inline(never)]
    pub(crate) fn resize(&mut self, at: Offset, size: usize, stay: bool, claim: impl Claim) -> Result<Resize, Reason> {
        let block = self.intact(at, claim)?;
        let gap = Gap { start: block.end, end: self.gap_end(block.end) };
        match Granules::of_block(size) {
            Some(need) if stay && need <= block.start.up_to(gap.end) => {
                let room = if need > block.size() { gap.end } else { block.end };
                let end = without_sliver(block.start.plus(need), room);
                if end < block.end {
                    self.shrink(block, end, gap.end);
                } else if end > block.end {
                    self.grow(block, end, gap);
                }
                Ok(Resize::InPlace)
            }
            _ => Ok(Resize::Move(block.size().payload())),
        }
    }

    /// Moves the end of a block forward to `end` and takes back what is after it, up to `gap_end`.
    fn shrink(&mut self, block: Gap, end: Offset, gap_end: Offset) {
        let (mut previous, mut next) = (Offset::NIL, Offset::NIL);
        if P::ROVES {
            (previous, next) = (self.previous_gap(block.start), self.next_gap(block.end));
        }
        // Not reached: the end of a live block that is no boundary, which only a destroyed map has.
        let Some((from, to)) = self.map.ends(block.end, end) else { return };
        self.region.write_allocated(block.start, block.start.up_to(end));
        self.map.move_end(from, to);
        self.counters.shrunk(end.up_to(block.end));
        self.give_back(Freed { start: end, end: block.end, gap: Gap { start: end, end: gap_end }, previous, next });
    }

    /// Moves the end of a block back to `end`, into the gap after it.
    fn grow(&mut self, block: Gap, end: Offset, gap: Gap) {
        let rest = Gap { start: end, end: gap.end };
        let is_held = self.held() == gap.start;
        let (mut previous, mut next) = (Offset::NIL, Offset::NIL);
        if is_held {
            (previous, next) = (self.rover.previous, self.rover.next);
        } else if P::ROVES {
            (previous, next) = (self.previous_gap(gap.start), self.next_gap(gap.start));
        }
        // Not reached: as in `shrink`, but by chance.
        let Some((from, to)) = self.map.ends(block.end, end) else { return };
        self.region.write_allocated(block.start, block.start.up_to(end));
        self.clear_header(gap.start, true);
        self.map.move_end(from, to);
        let used_up = rest.size() == Granules::ZERO;
        if !used_up {
            self.region.write_free(end, rest.size().minus(Granules::HEADER), next);
        }
        self.gaps = self.gaps.wrapping_sub(u32::from(used_up));
        if is_held {
            self.rover.at = end;
            self.rover.gap = rest.size();
        } else {
            self.remove_from_maximum(gap.start, gap.size());
            self.map.add_to_maximum(rest);
        }
        if P::ROVES {
            self.region.link(previous, if used_up { next } else { end });
            if self.rover.previous == gap.start {
                self.rover.previous = if used_up { previous } else { end };
            }
            if self.rover.next == gap.start {
                self.rover.next = if used_up { next } else { end };
            }
        }
        self.high_water = self.high_water.max(end);
        self.counters.grown(block.end.up_to(end));
    }
}
