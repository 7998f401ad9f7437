//! The block segment: the one owner of its free space. It finds gaps, takes blocks out of them, and takes blocks back.
//!
//! [The block map](crate::block_map) says which blocks there are. What is added here: next fit's rover; headers and the list of
//! gaps in the heap, which are written and never believed; and the counters.
//!
//! Complexity: alloc, free and realloc (apart from its copy) are O(log) in the segment's size, whatever the number of blocks and
//! the alignment.

use core::ptr::NonNull;

use crate::bits;
use crate::block_map::{BlockMap, Found, Gap};
use crate::boundaries::{Near, Place};
use crate::claim::Claim;
use crate::classes::MayHave;
use crate::error::{AllocError, Reason};
use crate::max_tree::NO_CHUNK;
use crate::memory::{Bump, Piece};
use crate::policy::Policy;
use crate::region::Region;
use crate::stats::{Counters, SegmentStats};
use crate::units::{GRANULE, Granules, Offset, Resize, Word};

/// Gaps of sufficient size that are tried for an aligned payload, before one is taken that is certain to have one.
const CANDIDATES: u32 = 16;

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

    /// Counts a block that was taken out of the front of a gap which ends at `gap_end`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn count(&mut self, at: Offset, end: Offset, gap_end: Offset) {
        self.gaps = self.gaps.wrapping_sub(u32::from(end == gap_end));
        if end > self.high_water {
            self.high_water = end;
        }
        self.counters.allocated(at.up_to(end));
    }

    /// Allocates a payload of `size` bytes at a multiple of `alignment`, a power of two; `None` as above.
    #[inline(never)]
    pub(crate) fn alloc_aligned_or_none(&mut self, size: usize, alignment: usize) -> Option<NonNull<u8>> {
        let need = Granules::of_block(size)?;
        let (gap, at) = self.find_aligned(need, alignment, Granules::HEADER)?;
        self.take(gap, at, need)
    }

    /// Returns the address from which on the memory is zeros, if it was lent as such: a gap's header may stand at the
    /// high-water mark, none has ever stood after it.
    pub(crate) fn zeros_from(&self) -> usize {
        self.region.zeros_from(self.high_water.plus(Granules::HEADER))
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

    /// Moves the rover to the gap that serves a request for `need` granules, which is not the one that it holds.
    #[inline(never)]
    fn move_rover(&mut self, need: Granules) -> Option<()> {
        let found = self.map.find_from(self.rover.at, need).or_else(|| self.map.find_first(need))?;
        let gap = found.gap;
        let (previous, next) = (self.previous_gap(gap.start), self.next_gap(gap.start));
        // The gap that was held counts from here on.
        self.map.settle(found, Gap { start: gap.end, end: gap.end }, Offset::NIL);
        self.map.add_to_maximum(self.held_gap());
        self.rover = Rover { at: gap.start, gap: gap.size(), previous, next };
        Some(())
    }

    /// Moves the rover to a gap and holds it; the gap that was held is counted in its chunk's maximum.
    fn move_rover_to(&mut self, gap: Gap) {
        if gap.start == self.rover.at {
            return;
        }
        let (previous, next) = (self.previous_gap(gap.start), self.next_gap(gap.start));
        self.map.add_to_maximum(self.held_gap());
        self.rover = Rover { at: gap.start, gap: gap.size(), previous, next };
        self.remove_from_maximum(gap.start, gap.size());
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

    /// Finds the first gap from `from` on of at least `need`, the one that is held included.
    pub(crate) fn first_fit(&self, from: Offset, need: Granules) -> Option<Gap> {
        let counted = self.map.find_from(from, need).map(|found| found.gap);
        if self.rover.gap >= need && self.rover.at >= from {
            let held = self.held_gap();
            return counted.filter(|gap| gap.start < held.start).or(Some(held));
        }
        counted
    }

    /// Finds the gap that serves a request for `need` granules, of which the first is aligned after the `header`, and where the block
    /// starts in it. Where the policy roves, the rover holds the gap then.
    fn find_aligned(&mut self, need: Granules, alignment: usize, header: Granules) -> Option<(Gap, Offset)> {
        let origin = if P::ROVES { self.rover.at } else { Offset::ZERO };
        let found = self.first_aligned(origin, need, alignment, header).or_else(|| {
            let room = u32::try_from(alignment / GRANULE).ok()?.checked_add(Granules::MIN_BLOCK.count())?;
            let certain = Granules::new(need.count().checked_add(room)?);
            let gap = self.first_fit(origin, certain).or_else(|| self.first_fit(Offset::ZERO, certain))?;
            Some((gap, self.aligned_in(gap, need, alignment, header)?))
        })?;
        if P::ROVES {
            self.move_rover_to(found.0);
        }
        Some(found)
    }

    /// Tries the first gaps of at least `need`, from `origin` on and wrapping once.
    fn first_aligned(
        &self,
        origin: Offset,
        need: Granules,
        alignment: usize,
        header: Granules,
    ) -> Option<(Gap, Offset)> {
        let (mut from, mut wrapped) = (origin, false);
        for _ in 0..CANDIDATES {
            let mut found = self.first_fit(from, need);
            if found.is_none() && !wrapped {
                wrapped = true;
                found = self.first_fit(Offset::ZERO, need);
            }
            let gap = found.filter(|gap| !wrapped || gap.start < origin)?;
            if let Some(at) = self.aligned_in(gap, need, alignment, header) {
                return Some((gap, at));
            }
            from = gap.start.plus(Granules::HEADER);
        }
        None
    }

    /// Returns where a block of `need` granules starts in `gap` so that what follows its `header` is aligned, and nothing or what can
    /// be a gap is left before it.
    fn aligned_in(&self, gap: Gap, need: Granules, alignment: usize, header: Granules) -> Option<Offset> {
        let first = self.region.address(gap.start).checked_add(header.bytes())?;
        let nearest = first.checked_next_multiple_of(alignment)?;
        let aligned = if nearest.wrapping_sub(first) == GRANULE { nearest.checked_add(alignment)? } else { nearest };
        let lead = Granules::from_bytes_floor(aligned.wrapping_sub(first));
        let whole = lead.count().checked_add(need.count())?;
        (whole <= gap.size().count()).then_some(gap.start.plus(lead))
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

    /// Finds the first gap that starts after `at`, a gap or a block, or [`Offset::NIL`].
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn next_gap(&self, at: Offset) -> Offset {
        match self.map.gaps_ahead(at) & !1 {
            0 => self.far_next_gap(at),
            gaps => at.plus(Granules::new(gaps.trailing_zeros())),
        }
    }

    /// Finds the last gap that starts before `at`, a gap or a block, or [`Offset::NIL`].
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn previous_gap(&self, at: Offset) -> Offset {
        match self.map.gaps_behind(at) & (Word::MAX / 2) {
            0 => self.far_previous_gap(at),
            gaps => at.minus(Granules::new(gaps.leading_zeros())),
        }
    }

    /// Does what [`next_gap`](Self::next_gap) does, by the maxima: a chunk in which a gap starts has one, except for the held gap.
    #[inline(never)]
    fn far_next_gap(&self, at: Offset) -> Offset {
        let chunk = at.chunk();
        let here = self.map.gaps(chunk) & bits::above_bit(at.bit());
        if here != 0 {
            return Offset::in_chunk(chunk, here.trailing_zeros());
        }
        let counted = match self.map.maxima.first(chunk.wrapping_add(1), 1) {
            NO_CHUNK => Offset::NIL,
            chunk => Offset::in_chunk(chunk, self.map.gaps(chunk).trailing_zeros()),
        };
        let held = self.held();
        if held > at { held.min(counted) } else { counted }
    }

    /// [`previous_gap`](Self::previous_gap) by the maxima: the window at `at` shows none in its chunk.
    #[inline(never)]
    fn far_previous_gap(&self, at: Offset) -> Offset {
        let counted = match self.map.maxima.last(at.chunk(), 1) {
            NO_CHUNK => Offset::NIL,
            chunk => Offset::in_chunk(chunk, bits::highest(self.map.gaps(chunk))),
        };
        let held = self.held();
        if held < at && (counted == Offset::NIL || held > counted) { held } else { counted }
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

    /// Returns where the gap ends that starts at `start`, the one that is held included.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn gap_end(&self, start: Offset) -> Offset {
        if start == self.rover.at { start.plus(self.rover.gap) } else { self.map.gap_end(start) }
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
