//! Finding gaps: the first that serves a request, the first that serves an aligned one, and those next to a boundary. Next fit's rover
//! moves here.

use super::{Blocks, Rover};
use crate::bits;
use crate::block_map::Gap;
use crate::max_tree::NO_CHUNK;
use crate::policy::Policy;
use crate::units::{GRANULE, Granules, Offset, Word};

/// Gaps of sufficient size that are tried for an aligned payload, before one is taken that is certain to have one.
const CANDIDATES: u32 = 16;

impl<P: Policy> Blocks<'_, P> {
    /// Finds the gap that serves a request for `need` granules, of which the first is aligned after the `header`, and where the block
    /// starts in it. Where the policy roves, the rover holds the gap then.
    pub(super) fn find_aligned(&mut self, need: Granules, alignment: usize, header: Granules) -> Option<(Gap, Offset)> {
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

    /// Finds the first gap from `from` on of at least `need`, the one that is held included.
    pub(crate) fn first_fit(&self, from: Offset, need: Granules) -> Option<Gap> {
        let counted = self.map.find_from(from, need).map(|found| found.gap);
        if self.rover.gap >= need && self.rover.at >= from {
            let held = self.held_gap();
            return counted.filter(|gap| gap.start < held.start).or(Some(held));
        }
        counted
    }

    /// Moves the rover to the gap that serves a request for `need` granules, which is not the one that it holds.
    #[inline(never)]
    pub(super) fn move_rover(&mut self, need: Granules) -> Option<()> {
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
    pub(super) fn far_next_gap(&self, at: Offset) -> Offset {
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
    pub(super) fn far_previous_gap(&self, at: Offset) -> Offset {
        let counted = match self.map.maxima.last(at.chunk(), 1) {
            NO_CHUNK => Offset::NIL,
            chunk => Offset::in_chunk(chunk, bits::highest(self.map.gaps(chunk))),
        };
        let held = self.held();
        if held < at && (counted == Offset::NIL || held > counted) { held } else { counted }
    }
}
