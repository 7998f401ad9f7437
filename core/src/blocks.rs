//! The block segment: the one owner of its free space. It finds gaps, takes blocks out of them, takes blocks back and resizes them:
//! a file for each, below this one, which has what they share.
//!
//! [The block map](crate::block_map) says which blocks there are. What is added here: next fit's rover; headers and the list of
//! gaps in the heap, which are written and never believed; and the counters.
//!
//! Complexity: alloc, free and realloc (apart from its copy) are O(log) in the segment's size, whatever the number of blocks and
//! the alignment.

// In order of dependency, as in lib.rs: each uses this file and what stands above it.
mod find;
mod take;
mod give_back;
mod resize;

use crate::block_map::{BlockMap, Gap};
use crate::claim::Claim;
use crate::classes::MayHave;
use crate::error::Reason;
use crate::memory::{Bump, Piece};
use crate::policy::Policy;
use crate::region::Region;
use crate::stats::{Counters, SegmentStats};
use crate::units::{GRANULE, Granules, Offset};

/// A boundary of the segment, and the gap that starts there, if there is one. That gap is *held*.
///
/// Under a policy that roves it is where the search begins. Under the others it is where the last gap starts, if that reaches the
/// segment's end, and the segment's end otherwise: it serves what no earlier gap can.
///
/// No maximum of the map counts the held gap, so an alloc from it changes two bits and no tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rover {
    pub(crate) at: Offset,
    /// The size of the gap that starts at the rover, or 0.
    pub(crate) gap: Granules,
    /// The gaps before and after it, or [`Offset::NIL`]. Without meaning if there is no gap at the rover, or without a list.
    pub(crate) previous: Offset,
    pub(crate) next: Offset,
}

/// A block that was freed, and what surrounds it.
pub(crate) struct Freed {
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    /// The gap that it lies in now.
    pub(crate) gap: Gap,
    /// The last gap that started before `start`, which is `gap` if that starts there. Only for a policy that roves.
    pub(crate) previous: Offset,
    /// The first gap after `gap`. Only for a policy that roves.
    pub(crate) next: Offset,
}

/// Invariants, beside those of the map:
/// - The rover stands at the start of a gap, at the start of a block or at the segment's end; `rover` says which, and the
///   neighbours of the gap. Under a policy that does not rove, its gap is the one that ends with the segment.
/// - `gaps` is the number of gaps.
/// - Every gap begins with a `FreeHeader`, every block with an `AllocatedHeader`, that say what the map says, unless the heap's
///   user has written over them.
/// - No block has ever reached the granules from `high_water` on.
#[derive(Debug)]
pub(crate) struct Blocks<'a, P: Policy> {
    pub(crate) region: Region<'a>,
    pub(crate) map: BlockMap<'a>,
    pub(crate) rover: Rover,
    pub(crate) gaps: u32,
    pub(crate) high_water: Offset,
    pub(crate) counters: Counters,
    /// Requests for a slot that came here because no slot was free.
    pub(crate) spilled: usize,
    /// Refused frees of addresses in neither segment: they are counted here, as no segment has them.
    pub(crate) refused_outside: usize,
    /// The size classes, if the policy has any.
    pub(crate) classes: P::Classes<'a>,
    /// What a hardened heap knows of its objects, if the policy is.
    pub(crate) ward: P::Ward<'a>,
    /// Whether a slot of a size class was ever kept by an object that was to shrink and could not move: the slots may hold objects
    /// that a smaller class serves.
    pub(crate) kept_slot: bool,
}

impl<'a, P: Policy> Blocks<'a, P> {
    /// A segment of no bytes, all zeros.
    pub(crate) const EMPTY: Self = Self {
        region: Region::EMPTY,
        map: BlockMap::EMPTY,
        rover: Rover { at: Offset::ZERO, gap: Granules::ZERO, previous: Offset::ZERO, next: Offset::ZERO },
        gaps: 0,
        high_water: Offset::ZERO,
        counters: Counters::ZERO,
        spilled: 0,
        refused_outside: 0,
        classes: P::Classes::EMPTY,
        ward: P::Ward::EMPTY,
        kept_slot: false,
    };

    /// Makes an empty segment one gap, with room in the bookkeeping for `reserve` more and for `caches` caches. In place, as a value of
    /// this size is moved by a call of memcpy.
    pub(crate) fn set_up(
        &mut self,
        piece: Piece<'a>,
        reserve: Granules,
        caches: usize,
        memory: &mut Bump<'a>,
    ) -> Option<()> {
        self.region = Region::new(piece);
        let size = self.region.granules();
        // Not reached but by a heap of 64 GiB: more than an offset can count.
        let reserve = reserve.min(Granules::new(u32::MAX - 1).minus(size));
        self.map.set_up(size, reserve, memory)?;
        self.rover = Rover { at: Offset::ZERO, gap: size, previous: Offset::NIL, next: Offset::NIL };
        self.gaps = 1;
        self.clear_unless_zeroed(Offset::ZERO, size);
        self.region.write_free(Offset::ZERO, size.minus(Granules::HEADER), Offset::NIL);
        match self.classes.get_mut() {
            Some(classes) => {
                classes.set_up(self.region.address(Offset::ZERO), size.plus(reserve), caches, memory)?;
                classes.set_end(Offset::ZERO.plus(size));
                Some(())
            }
            None => Some(()),
        }
    }

    /// Clears granules that were lent, where they were not lent as zeros: in a hardened heap all free memory is zeros, but for headers.
    pub(crate) fn clear_unless_zeroed(&mut self, at: Offset, count: Granules) {
        if P::HARDENED && !self.region.is_zeroed() {
            self.region.fill(at, 0..count.bytes(), 0);
        }
    }

    /// Clears a header that comes to lie inside a gap, a run or a payload, where free memory is zeros.
    #[inline(always)]
    fn clear_header(&mut self, at: Offset, is_inside: bool) {
        if P::HARDENED && is_inside {
            self.region.fill(at, 0..GRANULE, 0);
        }
    }

    /// Returns the address from which on the memory is zeros, if it was lent as such: a gap's header may stand at the
    /// high-water mark, none has ever stood after it.
    pub(crate) fn zeros_from(&self) -> usize {
        self.region.zeros_from(self.high_water.plus(Granules::HEADER))
    }

    /// Returns the gap that the rover holds.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn held_gap(&self) -> Gap {
        Gap { start: self.rover.at, end: self.rover.at.plus(self.rover.gap) }
    }

    /// Returns where the gap that the rover holds starts, or [`Offset::NIL`].
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn held(&self) -> Offset {
        if self.rover.gap > Granules::ZERO { self.rover.at } else { Offset::NIL }
    }

    /// Takes a gap that was at `start` and had `size` granules out of its chunk's maximum: recomputes the maximum if this was
    /// it. The bits no longer show the gap, or the rover holds it.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn remove_from_maximum(&mut self, start: Offset, size: Granules) {
        // On a Cortex-M a branch costs less than the chunk's maximum.
        let look = cfg!(target_pointer_width = "64") || size > Granules::ZERO;
        if look && self.map.is_maximum(start, size) {
            self.take_maximum(start.chunk());
        }
    }

    #[inline(never)]
    fn take_maximum(&mut self, chunk: u32) {
        self.map.take_maximum(chunk, self.held());
    }

    /// Finds the live block whose payload starts at `at`.
    #[inline]
    pub(crate) fn live(&self, at: Offset) -> Result<Gap, Reason> {
        // A payload at the segment's first byte has no header; the difference wraps to where no block starts.
        let start = at.minus(Granules::HEADER);
        if !self.map.is_start(start) {
            return Err(self.reason(at));
        }
        Ok(Gap { start, end: self.map.block_end(start) })
    }

    /// Says why `at` is no live payload's start.
    #[cold]
    #[inline(never)]
    fn reason(&self, at: Offset) -> Reason {
        if self.map.is_allocated(at) {
            Reason::NotAStart
        } else if at >= self.high_water {
            Reason::NeverAllocated
        } else {
            Reason::DoubleFree
        }
    }

    /// Refuses a free or realloc of `at` and counts that.
    #[cold]
    #[inline(never)]
    fn refuse(&mut self, at: Offset, claim: impl Claim) -> Reason {
        let reason = match self.live(at) {
            Err(reason) => reason,
            Ok(block) if !claim.is_block(block.size()) => Reason::SizeMismatch,
            Ok(_) => Reason::HeaderOverwritten,
        };
        self.counters.refused(reason)
    }

    /// Returns where the gap ends that starts at `start`, the one that is held included.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn gap_end(&self, start: Offset) -> Offset {
        if start == self.rover.at { start.plus(self.rover.gap) } else { self.map.gap_end(start) }
    }

    /// Finds the live block whose payload starts at `at`, and refuses it if its header was overwritten or if it is not what the caller
    /// claims.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn intact(&mut self, at: Offset, claim: impl Claim) -> Result<Gap, Reason> {
        match self.live(at) {
            Ok(block) if self.region.allocated_is_intact(block.start, block.size()) && claim.is_block(block.size()) => {
                Ok(block)
            }
            _ => Err(self.refuse(at, claim)),
        }
    }

    pub(crate) fn stats(&self) -> SegmentStats {
        let size = self.region.granules();
        let largest = Granules::new(self.map.maxima.root()).max(self.rover.gap);
        self.counters.figures(size.bytes(), size, largest, self.gaps)
    }
}

/// Moves a block's end from `end` to the gap's if one granule would be left: it is too small for a gap and stays with the block.
#[cfg_attr(target_pointer_width = "64", inline(always))]
fn without_sliver(end: Offset, gap_end: Offset) -> Offset {
    if end.up_to(gap_end) < Granules::MIN_BLOCK { gap_end } else { end }
}
