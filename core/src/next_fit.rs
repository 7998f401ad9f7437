//! Next fit: a moving pointer, the rover, from which the first block that fits is taken. It knows no locks and no slab.
//!
//! The block map says which blocks there are; here stands what next fit adds to it: the rover with its free block, the
//! splitting, and the copies of it all that lie in the heap (headers and the list of free blocks), which are written and
//! never believed.
//!
//! Complexity: alloc, free and realloc (less its copying) are O(log) in the segment's size, whatever the number of
//! blocks. An aligned alloc (above 16 bytes) is O(log) for each free block that is large enough but holds no aligned
//! payload and comes before the one that does; a free block of `size + alignment + 32` bytes always does.

use core::ptr::NonNull;

use crate::block_map::{BlockMap, Release};
use crate::error::{AllocError, Reason};
use crate::region::{Carver, Region};
use crate::size::{GRANULE, Granules, Offset, Resize};
use crate::stats::{Counters, Extent, SegmentStats};
use crate::switch::wrong;
use crate::window::{Around, Gap};

/// Where the search for a free block begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// At the rover, just behind the block that was allocated last.
    #[default]
    NextFit,
    /// At the segment's first byte: slower to fragment, and keeps to the front of the region.
    FirstFit,
}

/// Where the rover stands, and the free block there if there is one.
///
/// This block is held: it is counted in no maximum of the map, and while it lasts, an alloc is a comparison, two headers
/// and two bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rover {
    pub(crate) at: Offset,
    /// The size of the free block that starts at the rover, or none.
    pub(crate) gap: Granules,
    /// That block's neighbours in the list of free blocks, [`Offset::NONE`] at its ends. Without meaning where there
    /// is no such block.
    pub(crate) previous: Offset,
    pub(crate) next: Offset,
}

impl Rover {
    /// Where the free block that is held starts, or [`Offset::NONE`].
    pub(crate) fn held(&self) -> Offset {
        if self.gap > Granules::NONE { self.at } else { Offset::NONE }
    }
}

/// Invariants, beside those of the map:
/// - The rover stands at the start of a free block, at the start of an allocated one or at the segment's end; `rover`
///   says which, and the neighbours in the list.
/// - `gaps` is the number of free blocks.
/// - Every free block begins with a `FreeHeader`, every allocated one with an `AllocatedHeader`, that say what the map
///   says, unless the heap's user has written over them.
/// - No block has ever reached the granules from `high_water` on.
#[derive(Debug)]
pub(crate) struct BlockSegment<'a> {
    pub(crate) region: Region<'a>,
    pub(crate) map: BlockMap<'a>,
    pub(crate) rover: Rover,
    pub(crate) gaps: u32,
    pub(crate) high_water: Offset,
    placement: Placement,
    pub(crate) counters: Counters,
    pub(crate) extent: Extent,
    /// Requests for a slot that came here because the slab was full.
    pub(crate) spilled: u64,
    /// Refused frees of addresses in no segment: they are counted here, as no segment has them.
    pub(crate) refused_outside: u64,
}

impl<'a> BlockSegment<'a> {
    /// A segment of no bytes.
    pub(crate) const fn empty() -> Self {
        Self::of(Region::EMPTY, BlockMap::empty(), Placement::NextFit)
    }

    const fn of(region: Region<'a>, map: BlockMap<'a>, placement: Placement) -> Self {
        Self {
            region,
            map,
            rover: Rover { at: Offset::ZERO, gap: Granules::NONE, previous: Offset::NONE, next: Offset::NONE },
            gaps: 0,
            high_water: Offset::ZERO,
            placement,
            counters: Counters::ZERO,
            extent: Extent::ZERO,
            spilled: 0,
            refused_outside: 0,
        }
    }

    /// A segment that is one free block, with the rover at its start.
    pub(crate) fn new(region: Region<'a>, placement: Placement, memory: &mut Carver<'a>) -> Option<Self> {
        let size = region.granules();
        let mut new = Self::of(region, BlockMap::new(size, memory)?, placement);
        new.rover.gap = size;
        new.gaps = 1;
        new.region.write_free(Offset::ZERO, size.minus(Granules::HEADER), Offset::NONE);
        Some(new)
    }

    /// A payload of `size` bytes.
    #[inline]
    pub(crate) fn alloc(&mut self, size: usize) -> Option<NonNull<u8>> {
        let need = Granules::of_block(size)?;
        if self.rover.gap < need || self.placement == Placement::FirstFit {
            self.move_rover(need)?;
        }
        self.carve(self.rover.at, need)
    }

    /// A payload of `size` bytes at a multiple of `alignment`, a power of two.
    pub(crate) fn alloc_aligned(&mut self, size: usize, alignment: usize) -> Option<NonNull<u8>> {
        if alignment <= GRANULE {
            return self.alloc(size);
        }
        let need = Granules::of_block(size)?;
        let (gap, at) = self.find_aligned(need, alignment)?;
        self.hold(gap);
        self.carve(at, need)
    }

    /// The address from which on the memory is zeros, if it was lent as such. A free block's header may stand at the
    /// high-water mark itself, none has ever stood behind it.
    pub(crate) fn zeros_from(&self) -> usize {
        self.region.zeros_from(self.high_water.plus(Granules::HEADER))
    }

    /// Counts a request for `size` bytes that no block can serve and says why.
    #[cold]
    pub(crate) fn failed(&mut self, size: usize) -> AllocError {
        if self.region.granules() == Granules::NONE {
            return AllocError::NotInitialised;
        }
        let free = self.region.granules().minus(Granules::new(self.extent.live));
        let (error, count) = match Granules::of_block(size) {
            Some(need) if need <= free => (AllocError::Fragmented, &mut self.counters.failed_fragmented),
            _ => (AllocError::Full, &mut self.counters.failed_full),
        };
        *count = count.wrapping_add(1);
        error
    }

    /// The first free block that holds an aligned block of `need`, and where: from the rover or from the segment's start,
    /// and wrapping once.
    fn find_aligned(&self, need: Granules, alignment: usize) -> Option<(Gap, Offset)> {
        let start = match self.placement {
            Placement::NextFit => self.rover.at,
            Placement::FirstFit => Offset::ZERO,
        };
        let until_end = self.find_aligned_between(start, self.map.end(), need, alignment);
        until_end.or_else(|| self.find_aligned_between(Offset::ZERO, start, need, alignment))
    }

    fn find_aligned_between(
        &self,
        start: Offset,
        end: Offset,
        need: Granules,
        alignment: usize,
    ) -> Option<(Gap, Offset)> {
        let mut from = start;
        loop {
            let gap = self.first_fit(from, need).filter(|gap| gap.start < end)?;
            if let Some(at) = self.aligned_in(gap, need, alignment) {
                return Some((gap, at));
            }
            from = gap.start.plus(Granules::HEADER);
        }
    }

    /// The first free block of at least `need` that starts at or behind `from`, the one that is held included.
    pub(crate) fn first_fit(&self, from: Offset, need: Granules) -> Option<Gap> {
        let counted = self.map.first_fit(from, need);
        if self.rover.gap >= need && self.rover.at >= from {
            let held = Gap { start: self.rover.at, end: self.rover.at.plus(self.rover.gap) };
            return counted.filter(|gap| gap.start < held.start).or(Some(held));
        }
        counted
    }

    /// Where a block of `need` starts whose payload is aligned and that leaves before it nothing or what can be a
    /// free block, if the gap holds it.
    fn aligned_in(&self, gap: Gap, need: Granules, alignment: usize) -> Option<Offset> {
        let first = self.region.address(gap.start).checked_add(GRANULE)?;
        let nearest = first.checked_next_multiple_of(alignment)?;
        let payload = if nearest.wrapping_sub(first) == GRANULE { nearest.checked_add(alignment)? } else { nearest };
        let lead = Granules::holding(payload.wrapping_sub(first));
        let whole = lead.count().checked_add(need.count())?;
        (!wrong!("aligned-end", whole > gap.size().count())).then_some(gap.start.plus(lead))
    }

    /// Moves the rover to the free block that a request for `need` granules is served from.
    #[inline(never)]
    fn move_rover(&mut self, need: Granules) -> Option<()> {
        let behind = match self.placement {
            // The one that is held does not suffice, or there would be nothing to move.
            Placement::NextFit => self.map.first_fit(self.rover.at, need),
            Placement::FirstFit => None,
        };
        let counted = behind.or_else(|| self.map.first_fit_of_all(need));
        let stay = self.rover.gap >= need && counted.is_none_or(|gap| self.rover.at < gap.start);
        if !stay {
            self.hold(counted?);
        }
        Some(())
    }

    /// Moves the rover to a free block, holds it, and counts the one that was held.
    #[inline]
    fn hold(&mut self, gap: Gap) {
        if gap.start == self.rover.at {
            return;
        }
        let left = Gap { start: self.rover.at, end: self.rover.at.plus(self.rover.gap) };
        self.map.count_gap(left);
        let [previous, next] = [self.map.previous_gap(gap.start), self.map.next_gap(gap.start)];
        self.rover = Rover { at: gap.start, gap: gap.size(), previous, next };
        self.map.discount_gap(gap.start, gap.size(), gap.start);
    }

    /// Allocates `need` granules from `at` on out of the rover's free block. What is left before them stays a free
    /// block, what is left behind becomes the rover's, unless it is too small for a block.
    #[inline(always)]
    fn carve(&mut self, at: Offset, need: Granules) -> Option<NonNull<u8>> {
        let Rover { at: start, gap, mut previous, next } = self.rover;
        let gap_end = start.plus(gap);
        let end = without_sliver(at.plus(need), gap_end);
        let rest = end.up_to(gap_end);
        // The one step that can fail, if the map was destroyed; nothing has changed before it.
        let payload = self.region.write_split(at, at.up_to(end), at.up_to(gap_end), next)?;
        if start < at {
            let lead = Gap { start, end: at };
            self.map.count_gap(lead);
            self.region.set_length(start, lead.size().minus(Granules::HEADER));
            self.gaps = self.gaps.wrapping_add(1);
            previous = start;
        }
        self.map.allocate(at, end);
        self.region.link(previous, if rest > Granules::NONE { end } else { next });
        self.rover = Rover { at: end, gap: rest, previous, next };
        self.gaps = self.gaps.wrapping_sub(u32::from(rest == Granules::NONE));
        self.high_water = self.high_water.max(end);
        self.counters.allocated();
        self.extent.allocated(at.up_to(end), self.counters.objects);
        Some(payload)
    }

    /// Writes a free block of `size` granules (none: no block) into the list between its neighbours. Where `previous` is none, no
    /// header is linked to it.
    #[inline]
    fn list(&mut self, previous: Offset, start: Offset, size: Granules, next: Offset) {
        let mut follower = next;
        if size > Granules::NONE {
            self.region.write_free(start, size.minus(Granules::HEADER), next);
            follower = start;
        }
        self.region.link(previous, follower);
    }

    /// The live block whose payload starts at `at`.
    #[inline]
    pub(crate) fn live(&self, at: Offset) -> Result<Gap, Reason> {
        // A payload at the segment's first byte has no header; the difference wraps to where no block starts.
        let start = at.minus(Granules::HEADER);
        if wrong!("block-start", !self.map.is_start(start)) {
            return Err(self.reason(at));
        }
        Ok(Gap { start, end: self.map.block_end(start) })
    }

    /// What `at` is if it is no payload's start.
    #[cold]
    fn reason(&self, at: Offset) -> Reason {
        if wrong!("inside-block", self.map.is_allocated(at)) {
            Reason::NotAStart
        } else if wrong!("high-water", at >= self.high_water) {
            Reason::NeverAllocated
        } else {
            Reason::DoubleFree
        }
    }

    /// The live block whose payload starts at `at` and whose header is as it was written. A refusal is counted.
    #[inline]
    fn intact(&mut self, at: Offset) -> Result<Gap, Reason> {
        let found = self.live(at).and_then(|block| {
            let intact = self.region.allocated_is_intact(block.start, block.size());
            if intact { Ok(block) } else { Err(Reason::HeaderOverwritten) }
        });
        found.map_err(|reason| self.counters.refused(reason))
    }

    /// Frees the block whose payload starts at `at`.
    #[inline]
    pub(crate) fn free(&mut self, at: Offset) -> Result<(), Reason> {
        let start = at.minus(Granules::HEADER);
        let region = &self.region;
        let intact = |end| region.allocated_is_intact(start, start.up_to(end));
        match self.map.release(start, intact) {
            Release::Done(freed) => {
                self.counters.freed();
                self.extent.freed(start.up_to(freed.end));
                self.released(start, freed);
                Ok(())
            }
            Release::Refused => Err(self.counters.refused(Reason::HeaderOverwritten)),
            Release::NotAStart => Err(self.counters.refused(self.reason(at))),
        }
    }

    /// The block that started at `start` was given back to the map: the gap that it lies in now is all there is to know.
    #[inline]
    fn released(&mut self, start: Offset, freed: Around) {
        let Around { end, gap, previous, next } = freed;
        let [left, right] = [gap.start.up_to(start), end.up_to(gap.end)];
        let absorbed = u32::from(left > Granules::NONE).wrapping_add(u32::from(right > Granules::NONE));
        self.gaps = self.gaps.wrapping_add(1).wrapping_sub(absorbed);
        // One comparison: on which side of the gap the rover is, nobody can guess.
        if gap.start.up_to(self.rover.at) < gap.size() {
            return self.release_at_rover(start, freed);
        }
        self.map.count_gap(gap);
        self.map.discount_gap(end, right, self.rover.held());
        self.region.write_free(gap.start, gap.size().minus(Granules::HEADER), next);
        // With a gap on the left, which the block has joined, `previous` is this gap and links to what it did.
        self.region.link(previous, if left > Granules::NONE { next } else { gap.start });
        if next == self.rover.at {
            self.rover.previous = gap.start;
        }
        if previous == self.rover.at {
            self.rover.next = gap.start;
        }
    }

    /// The same where the gap is the rover's.
    #[inline(never)]
    fn release_at_rover(&mut self, start: Offset, freed: Around) {
        let Around { end, gap, previous, next } = freed;
        let [left, right] = [gap.start.up_to(start), end.up_to(gap.end)];
        let before = self.rover;
        let previous = match left {
            Granules::NONE => previous,
            _ if before.at == gap.start => before.previous,
            _ => self.map.previous_gap(gap.start),
        };
        self.rover = Rover { at: gap.start, gap: gap.size(), previous, next };
        if left > Granules::NONE && before.at != gap.start {
            self.map.discount_gap(gap.start, left, gap.start);
        }
        if right > Granules::NONE && before.at != end {
            self.map.discount_gap(end, right, gap.start);
        }
        let linked = if left == Granules::NONE { previous } else { Offset::NONE };
        self.list(linked, gap.start, gap.size(), next);
    }

    /// Gives the block whose payload starts at `at` a size of `size` bytes, where it stands if `stay` and if it can.
    pub(crate) fn resize(&mut self, at: Offset, size: usize, stay: bool) -> Result<Resize, Reason> {
        let block = self.intact(at)?;
        let need = Granules::of_block(size);
        let fits = need.is_some_and(|need| stay && (need <= block.size() || self.grow(block, need)));
        if !fits {
            return Ok(Resize::Move(block.size().payload()));
        }
        if let Some(need) = need.filter(|need| need.plus(Granules::MIN_BLOCK) <= block.size()) {
            let end = block.start.plus(need);
            self.region.write_allocated(block.start, need);
            // The tail becomes a block of its own first, so that its release is one like any other.
            self.map.allocate(end, end);
            // Not reached: a refusal; the tail was made a block just now.
            if let Release::Done(freed) = self.map.release(end, |_| true) {
                self.released(end, freed);
            }
            self.extent.resized(block.size(), need);
        }
        Ok(Resize::InPlace)
    }

    /// Lets a block grow to `need` granules into the free block behind it, if that suffices.
    fn grow(&mut self, block: Gap, need: Granules) -> bool {
        let is_held = self.rover.held() == block.end;
        let gap = match is_held {
            true => Gap { start: block.end, end: block.end.plus(self.rover.gap) },
            false => self.map.gap_at(block.end),
        };
        if block.start.up_to(gap.end) < need {
            return false;
        }
        let end = without_sliver(block.start.plus(need), gap.end);
        let (previous, next) = match is_held {
            true => (self.rover.previous, self.rover.next),
            false => (self.map.previous_gap(gap.start), self.map.next_gap(gap.start)),
        };
        self.map.move_end(block.end, end);
        self.region.write_allocated(block.start, block.start.up_to(end));
        let rest = Gap { start: end, end: gap.end };
        self.list(previous, rest.start, rest.size(), next);
        let used_up = rest.size() == Granules::NONE;
        if used_up {
            self.gaps = self.gaps.wrapping_sub(1);
        }
        if is_held {
            self.rover = Rover { at: end, gap: rest.size(), previous, next };
        } else {
            self.map.count_gap(rest);
            self.map.discount_gap(gap.start, gap.size(), self.rover.held());
            if self.rover.previous == gap.start {
                self.rover.previous = if used_up { previous } else { rest.start };
            }
            if self.rover.next == gap.start {
                self.rover.next = if used_up { next } else { rest.start };
            }
        }
        self.high_water = self.high_water.max(end);
        self.extent.resized(block.size(), block.start.up_to(end));
        true
    }

    pub(crate) fn stats(&self) -> SegmentStats {
        let size = self.region.granules();
        let largest = Granules::new(self.map.maxima.root()).max(self.rover.gap);
        self.counters.figures(size.bytes(), size, self.extent, largest, self.gaps)
    }
}

/// The end of an allocation that was to end at `end`: a rest of one granule is too small for a block and stays with it.
#[inline]
fn without_sliver(end: Offset, gap_end: Offset) -> Offset {
    if end.up_to(gap_end) < Granules::MIN_BLOCK { gap_end } else { end }
}
