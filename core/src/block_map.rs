//! The block map: where allocated blocks start and end, in two bits for each granule boundary outside the segment.
//!
//! Between the end of a block and the next start lies a gap. To free a block clears its two bits, and the gap grows by the block:
//! coalescing is not an operation. Nothing here reads or writes a byte of the heap.
//!
//! Most neighbours are within [a window](crate::bits). A summary of the chunks that have a boundary finds those further away. A
//! tree of maxima, of the largest gap that starts in each chunk, finds the first gap that is large enough.
//!
//! Complexity: O(log) in the segment's size.

use crate::bit_tree::{BitTree, NO_BIT};
use crate::bits;
use crate::boundaries::{Boundaries, Near, Place, Window};
use crate::maxima::{MOST, Maxima};
use crate::memory::{ALIGNMENT, Bump};
use crate::units::{Granules, Offset, Word};

/// Granules between two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) start: Offset,
    pub(crate) end: Offset,
}

impl Gap {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn size(self) -> Granules {
        self.start.up_to(self.end)
    }
}

/// A gap that serves a request, and what the search learnt of its chunk.
pub(crate) struct Found {
    pub(crate) gap: Gap,
    chunk: u32,
    /// The starts of the chunk.
    starts: Word,
    /// The largest gap of the chunk before this one.
    before: Granules,
    /// The gaps of the chunk after this one, a bit each.
    later: Word,
}

/// Invariants, of the bits and what summarises them:
/// - An end bit at the segment's first granule and a start bit at its end stand for the blocks outside. Between them, starts
///   and ends alternate; where both are set, the end comes first.
/// - A block is at least two granules, a gap too, unless it is the whole segment.
/// - A chunk is in `summary` iff it has a bit set.
/// - What `maxima` has of a chunk is the size of the largest gap that starts in it, but for the gap that the rover holds.
#[derive(Debug)]
pub(crate) struct BlockMap<'a> {
    pub(crate) boundaries: Boundaries<'a>,
    pub(crate) summary: BitTree<'a>,
    pub(crate) maxima: Maxima<'a>,
    end: Offset,
    /// Granules after the end for which there are bits and maxima.
    reserve: Granules,
}

impl<'a> BlockMap<'a> {
    /// The map of a segment of no granules, all zeros.
    pub(crate) const EMPTY: Self = Self {
        boundaries: Boundaries::EMPTY,
        summary: BitTree::EMPTY,
        maxima: Maxima::EMPTY,
        end: Offset::ZERO,
        reserve: Granules::ZERO,
    };

    /// Returns how many chunks a segment has: for one boundary more than granules.
    pub(crate) const fn chunks_of(granules: Granules) -> u32 {
        Offset::ZERO.plus(granules).chunk().wrapping_add(1)
    }

    /// Returns how many bytes the map of `granules` takes, alignment included.
    pub(crate) const fn footprint(granules: Granules) -> usize {
        let chunks = Self::chunks_of(granules);
        let words = Boundaries::words(chunks).saturating_add(BitTree::words(chunks));
        (ALIGNMENT - 1)
            .saturating_add(Maxima::footprint(chunks))
            .saturating_add(words.saturating_mul(size_of::<Word>()))
    }

    /// Makes an empty map that of `granules` which are one gap, with room for `reserve` more. The gap is in no maximum yet.
    pub(crate) fn set_up(&mut self, granules: Granules, reserve: Granules, memory: &mut Bump<'a>) -> Option<()> {
        let chunks = Self::chunks_of(granules.plus(reserve));
        memory.align();
        self.maxima.set_up(chunks, memory)?;
        self.boundaries.set_up(chunks, memory)?;
        self.summary.set_up(chunks, memory)?;
        self.end = Offset::ZERO.plus(granules);
        self.reserve = reserve;
        let (first, last) = self.span(Offset::ZERO, self.end)?;
        self.boundaries.flip_end(first.near());
        self.boundaries.flip_start(last);
        self.summary.set(0);
        self.summary.set(self.end.chunk());
        Some(())
    }

    /// Returns the boundary after the last granule.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    /// Returns how many granules the segment can be extended by.
    pub(crate) fn reserve(&self) -> Granules {
        self.reserve
    }

    /// Moves the segment's end to `end`, which is after it, within the reserve. No maximum counts what lies between yet. `None` if
    /// there are no bits for it, and nothing has changed.
    pub(crate) fn extend(&mut self, end: Offset) -> Option<()> {
        let (old, new) = (self.boundaries.place(self.end)?.near(), self.boundaries.place(end)?.near());
        self.boundaries.flip_start(new);
        self.summary.set(end.chunk());
        let now = self.boundaries.flip_start(old);
        if now.starts | now.ends == 0 {
            self.summarise(old, false);
        }
        self.reserve = self.reserve.minus(self.end.up_to(end));
        self.end = end;
        Some(())
    }

    /// Returns the gaps that start in a chunk, a bit each.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn gaps(&self, chunk: u32) -> Word {
        self.boundaries.chunk(chunk).gaps()
    }

    /// Returns what the windows at `at` show, from there on and up to there; nothing if it is no boundary.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn ahead(&self, at: Offset) -> Window {
        self.boundaries.place(at).map_or(Window { starts: 0, ends: 0 }, |place| self.boundaries.ahead(place))
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn behind(&self, at: Offset) -> Window {
        self.boundaries.place(at).map_or(Window { starts: 0, ends: 0 }, |place| self.boundaries.behind(place))
    }

    /// Returns the gaps that start at `at` or after it, as far as a window shows them, from bit 0 of the answer up.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn gaps_ahead(&self, at: Offset) -> Word {
        self.ahead(at).gaps()
    }

    /// Returns the gaps that start at `at` or before it, as far as a window shows them, from the highest bit of the answer
    /// down.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn gaps_behind(&self, at: Offset) -> Word {
        self.behind(at).gaps()
    }

    /// Makes a block of the granules from `start`, where a gap starts, up to `end`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn occupy(&mut self, start: Place, end: Near) {
        // The gap's own end bit is in the first chunk, before and after.
        self.boundaries.flip_start(start.near());
        self.set_end(end);
    }

    /// Makes a block of granules inside a gap.
    pub(crate) fn occupy_inside(&mut self, start: Place, end: Near) {
        let now = self.boundaries.flip_start(start.near());
        if now.starts & now.starts.wrapping_sub(1) | now.ends == 0 {
            self.summary.set(start.offset().chunk());
        }
        self.set_end(end);
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn set_end(&mut self, at: Near) {
        let now = self.boundaries.flip_end(at);
        if now.ends & now.ends.wrapping_sub(1) | now.starts == 0 {
            self.summarise(at, true);
        }
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn clear_end(&mut self, at: Near) {
        let now = self.boundaries.flip_end(at);
        if now.ends | now.starts == 0 {
            self.summarise(at, false);
        }
    }

    /// Frees the granules of the block from `start` up to `end`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn vacate(&mut self, start: Place, end: Near) {
        let now = self.boundaries.flip_start(start.near());
        if now.starts | now.ends == 0 {
            self.summarise(start.near(), false);
        }
        self.clear_end(end);
    }

    /// Returns the boundaries of a block, if they have bits.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn span(&self, start: Offset, end: Offset) -> Option<(Place, Near)> {
        Some((self.boundaries.place(start)?, self.boundaries.place(end)?.near()))
    }

    /// Returns two boundaries whose end bits can be flipped.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn ends(&self, from: Offset, to: Offset) -> Option<(Near, Near)> {
        Some((self.boundaries.place(from)?.near(), self.boundaries.place(to)?.near()))
    }

    /// Moves a block's end.
    pub(crate) fn move_end(&mut self, from: Near, to: Near) {
        self.set_end(to);
        self.clear_end(from);
    }

    /// Notes that a chunk has a boundary now, or none.
    #[cold]
    #[inline(never)]
    fn summarise(&mut self, at: Near, has_boundary: bool) {
        let chunk = at.offset().chunk();
        if has_boundary { self.summary.set(chunk) } else { self.summary.clear(chunk) }
    }

    /// Returns whether a block starts at `at`. None starts at the segment's end.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn is_start(&self, at: Offset) -> bool {
        self.ahead(at).starts & 1 != 0 && at < self.end
    }

    /// Returns the end of the block that starts at `start`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn block_end(&self, start: Offset) -> Offset {
        match self.ahead(start).ends & !1 {
            0 => self.far_end(start),
            ends => start.plus(Granules::new(ends.trailing_zeros())),
        }
    }

    /// Returns the first start from `at` on, which is the end of a block or lies in a gap: where the gap ends.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn gap_end(&self, at: Offset) -> Offset {
        match self.ahead(at).starts {
            0 => self.far_start(at),
            starts => at.plus(Granules::new(starts.trailing_zeros())),
        }
    }

    /// Returns the last end up to `at`, which is the start of a block or lies in a gap: where the gap starts.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn gap_start(&self, at: Offset) -> Offset {
        match self.behind(at).ends {
            0 => self.far_end_before(at),
            ends => at.minus(Granules::new(ends.leading_zeros())),
        }
    }

    /// Returns the last start up to `at`, which lies in a block: where the block starts.
    pub(crate) fn block_start(&self, at: Offset) -> Offset {
        match self.behind(at).starts {
            0 => self.far_start_before(at),
            starts => at.minus(Granules::new(starts.leading_zeros())),
        }
    }

    /// Returns the gap that starts at `start`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn gap_at(&self, start: Offset) -> Gap {
        Gap { start, end: self.gap_end(start) }
    }

    /// The first end in the chunks after that of `start`, where a block starts: no other boundary comes before it. A window shows
    /// the rest of a chunk.
    #[inline(never)]
    fn far_end(&self, start: Offset) -> Offset {
        self.far(start.chunk(), |window| window.ends)
    }

    /// The first start in the chunks after that of `at`, where no end comes before it but one at `at`.
    #[inline(never)]
    fn far_start(&self, at: Offset) -> Offset {
        self.far(at.chunk(), |window| window.starts)
    }

    /// The lowest of the bits that `choose` chooses in the next chunk after `chunk` that has a boundary; the segment's end if there
    /// is no such chunk.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn far(&self, chunk: u32, choose: impl Fn(Window) -> Word) -> Offset {
        match self.summary.next(chunk.wrapping_add(1)) {
            NO_BIT => self.end,
            chunk => Offset::in_chunk(chunk, choose(self.boundaries.chunk(chunk)).trailing_zeros()),
        }
    }

    /// The last end in the chunks before that of `at`, where no start comes after it but one at `at`. A window shows the chunk up to
    /// `at`.
    #[inline(never)]
    fn far_end_before(&self, at: Offset) -> Offset {
        match self.summary.previous(at.chunk()) {
            NO_BIT => Offset::ZERO,
            chunk => Offset::in_chunk(chunk, bits::highest(self.boundaries.chunk(chunk).ends)),
        }
    }

    /// The last start in the chunks before that of `at`, where no end comes after it.
    fn far_start_before(&self, at: Offset) -> Offset {
        match self.summary.previous(at.chunk()) {
            NO_BIT => Offset::ZERO,
            chunk => Offset::in_chunk(chunk, bits::highest(self.boundaries.chunk(chunk).starts)),
        }
    }

    /// Returns whether `at` lies in a block.
    pub(crate) fn is_allocated(&self, at: Offset) -> bool {
        let Window { starts, ends } = self.boundaries.chunk(at.chunk());
        let upto = bits::up_to_bit(at.bit());
        let (mut starts, mut ends) = (starts & upto, ends & upto);
        if starts | ends == 0 {
            Window { starts, ends } = match self.summary.previous(at.chunk()) {
                NO_BIT => Window { starts: 0, ends: 1 },
                chunk => self.boundaries.chunk(chunk),
            };
        }
        // The later bit decides, and of two at one place that is the start.
        starts.leading_zeros() <= ends.leading_zeros()
    }

    /// Finds the first gap from `from` on of at least `size`, of those that are counted in a maximum.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn find_from(&self, from: Offset, size: Granules) -> Option<Found> {
        let chunk = from.chunk();
        if self.maxima.get(chunk) >= size.count().min(MOST) {
            let here = self.find_in(chunk, from.bit(), size);
            if here.is_some() {
                return here;
            }
        }
        self.find_in(self.maxima.first(chunk.wrapping_add(1), size.count()), 0, size)
    }

    /// Finds the first gap of all of at least `size`, of those that are counted in a maximum.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn find_first(&self, size: Granules) -> Option<Found> {
        self.find_in(self.maxima.first_of_all(size.count()), 0, size)
    }

    /// Finds the first gap of at least `size` that starts in a chunk, from its granule `from` on. At most half a word of
    /// gaps is looked at.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn find_in(&self, chunk: u32, from: u32, size: Granules) -> Option<Found> {
        let window = self.boundaries.chunk(chunk);
        let (mut left, mut before) = (window.gaps(), Granules::ZERO);
        while left != 0 {
            let bit = left.trailing_zeros();
            let gap = self.gap_in(chunk, window.starts, bit);
            left &= left.wrapping_sub(1);
            if gap.size() >= size && bit >= from {
                return Some(Found { gap, chunk, starts: window.starts, before, later: left });
            }
            before = before.max(gap.size());
        }
        None
    }

    /// Recomputes the maximum of a gap's chunk, if it was this gap. `rest` is what is left of the gap; the gap at `held` is not
    /// counted.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn settle(&mut self, found: Found, rest: Gap, held: Offset) {
        let Found { gap, chunk, starts, before, later } = found;
        let in_chunk = rest.start.chunk() == chunk;
        if self.is_maximum(gap.start, gap.size()) {
            let held = if held.chunk() == chunk { (1 as Word).wrapping_shl(held.bit()) } else { 0 };
            let (mut left, mut most) = (later & !held, before.max(if in_chunk { rest.size() } else { Granules::ZERO }));
            while left != 0 {
                most = most.max(self.gap_in(chunk, starts, left.trailing_zeros()).size());
                left &= left.wrapping_sub(1);
            }
            self.maxima.lower(chunk, most.count());
        }
        if !in_chunk {
            self.add_to_maximum(rest);
        }
    }

    /// Returns the gap that starts at granule `bit` of a chunk whose starts are `starts`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn gap_in(&self, chunk: u32, starts: Word, bit: u32) -> Gap {
        let start = Offset::in_chunk(chunk, bit);
        let after = starts.wrapping_shr(bit);
        let end = match after {
            0 => self.far_start_after(chunk),
            _ => start.plus(Granules::new(after.trailing_zeros())),
        };
        Gap { start, end }
    }

    /// Finds the first start in the chunks after `chunk`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn far_start_after(&self, chunk: u32) -> Offset {
        self.gap_end(Offset::in_chunk(chunk.wrapping_add(1), 0))
    }

    /// Returns the size of the largest gap that starts in `chunk`, but for the gap at `held`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn largest_in(&self, chunk: u32, held: Offset) -> Granules {
        let window = self.boundaries.chunk(chunk);
        let held = if held.chunk() == chunk { (1 as Word).wrapping_shl(held.bit()) } else { 0 };
        let mut left = window.gaps() & !held;
        let mut largest = Granules::ZERO;
        while left != 0 {
            largest = largest.max(self.gap_in(chunk, window.starts, left.trailing_zeros()).size());
            left &= left.wrapping_sub(1);
        }
        largest
    }

    /// Counts a gap in its chunk's maximum. A gap of no granules changes nothing.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn add_to_maximum(&mut self, gap: Gap) {
        self.maxima.raise(gap.start.chunk(), gap.size().count());
    }

    /// Returns whether a gap that started at `start` and had `size` granules may be its chunk's maximum. One of 0 granules is not.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn is_maximum(&self, start: Offset, size: Granules) -> bool {
        // Whether there is a gap cannot be predicted, so it is no branch: 0 becomes a number that no chunk has.
        let none = u32::from(size == Granules::ZERO).wrapping_neg();
        self.maxima.get(start.chunk()) == size.count().min(MOST) | none
    }

    /// Recomputes the maximum of a chunk. `held` is the gap that no maximum counts.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn take_maximum(&mut self, chunk: u32, held: Offset) {
        let (largest, number) = (self.largest_in(chunk, held).count(), self.maxima.get(chunk));
        // Of a gap beyond MOST the number does not tell whether it has changed.
        if largest < number || number == MOST {
            self.maxima.lower(chunk, largest);
        }
    }
}
