//! The block map: where allocated blocks start and end, in two bits for each granule boundary outside the segment.
//!
//! What lies between the end of a block and the next start is free: a gap. To free a block is to clear its two bits, and the
//! gap is then as much longer: coalescing is no operation. Nothing here reads or writes a byte of the heap.
//!
//! A neighbour is mostly within [a window](crate::bits) of where it is looked for. What is further away is found by the summary
//! of the chunks that have a boundary. The largest gap of each chunk stands in a tree of maxima, which finds the first gap that
//! is large enough.
//!
//! Complexity: O(log) in the segment's size.

use crate::bits::{self, BitTree, Bits, NO_BIT};
use crate::max_tree::{MaxTree, NO_CHUNK};
use crate::memory::{ALIGNMENT, Bump};
use crate::units::{Granules, Offset, Word};

/// Granules between two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) start: Offset,
    pub(crate) end: Offset,
}

impl Gap {
    #[inline(always)]
    pub(crate) fn size(self) -> Granules {
        self.start.up_to(self.end)
    }
}

/// Invariants, of the bits and what summarises them:
/// - An end bit at the segment's first granule and a start bit at its end stand for the blocks outside. Between them, starts
///   and ends alternate; where both are set, the end comes first.
/// - A block is at least two granules, a gap too, unless it is the whole segment.
/// - A chunk is in `boundaries` iff it has a bit set.
/// - The number of a chunk in `maxima` is the size of the largest gap that starts in it, but for the gap that the rover holds.
#[derive(Debug)]
pub(crate) struct BlockMap<'a> {
    pub(crate) starts: Bits<'a>,
    pub(crate) ends: Bits<'a>,
    pub(crate) boundaries: BitTree<'a>,
    pub(crate) maxima: MaxTree<'a>,
    end: Offset,
}

impl<'a> BlockMap<'a> {
    /// The map of a segment of no granules, all zeros.
    pub(crate) const EMPTY: Self = Self {
        starts: Bits::EMPTY,
        ends: Bits::EMPTY,
        boundaries: BitTree::EMPTY,
        maxima: MaxTree::EMPTY,
        end: Offset::ZERO,
    };

    /// Chunks of a segment: one boundary more than granules.
    const fn chunks_of(granules: Granules) -> u32 {
        Offset::ZERO.plus(granules).chunk().wrapping_add(1)
    }

    /// Bytes that the map of `granules` takes, with what aligning it costs.
    pub(crate) const fn footprint(granules: Granules) -> usize {
        let chunks = Self::chunks_of(granules);
        let words = Bits::words(chunks).saturating_mul(2).saturating_add(BitTree::words(chunks));
        (ALIGNMENT - 1)
            .saturating_add(MaxTree::numbers(chunks).saturating_mul(size_of::<u32>()))
            .saturating_add(words.saturating_mul(size_of::<Word>()))
    }

    /// The map of `granules` that are one gap, which is in no maximum yet.
    pub(crate) fn new(granules: Granules, memory: &mut Bump<'a>) -> Option<Self> {
        let chunks = Self::chunks_of(granules);
        memory.align()?;
        let maxima = MaxTree::new(chunks, memory)?;
        let starts = Bits::new(chunks, memory)?;
        let ends = Bits::new(chunks, memory)?;
        let boundaries = BitTree::new(chunks, memory)?;
        let mut map = Self { starts, ends, boundaries, maxima, end: Offset::ZERO.plus(granules) };
        map.ends.flip(Offset::ZERO);
        map.starts.flip(map.end);
        map.boundaries.set(0);
        map.boundaries.set(map.end.chunk());
        Some(map)
    }

    /// The boundary after the last granule.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    /// The gaps that start in a chunk, a bit each.
    #[inline(always)]
    pub(crate) fn gaps(&self, chunk: u32) -> Word {
        self.ends.chunk(chunk) & !self.starts.chunk(chunk)
    }

    /// The gaps that start at `at` or after it, as far as a window shows them, from bit 0 of the answer up.
    #[inline(always)]
    pub(crate) fn gaps_ahead(&self, at: Offset) -> Word {
        self.ends.ahead(at) & !self.starts.ahead(at)
    }

    /// The gaps that start at `at` or before it, as far as a window shows them, from the highest bit of the answer down.
    #[inline(always)]
    pub(crate) fn gaps_behind(&self, at: Offset) -> Word {
        self.ends.behind(at) & !self.starts.behind(at)
    }

    /// Makes a block of the granules from `start` up to `end`, which are free.
    #[inline(always)]
    pub(crate) fn occupy(&mut self, start: Offset, end: Offset) {
        self.flip_start(start);
        self.flip_end(end);
    }

    /// Frees the granules of the block from `start` up to `end`.
    #[inline(always)]
    pub(crate) fn vacate(&mut self, start: Offset, end: Offset) {
        self.flip_start(start);
        self.flip_end(end);
    }

    /// Moves a block's end.
    #[inline(always)]
    pub(crate) fn move_end(&mut self, from: Offset, to: Offset) {
        self.flip_end(from);
        self.flip_end(to);
    }

    /// Turns a start bit over. The summary hears of it if the chunk has become empty, or was.
    #[inline(always)]
    fn flip_start(&mut self, at: Offset) {
        let starts = self.starts.flip(at);
        let others = starts & !(1 as Word).wrapping_shl(at.index()) | self.ends.chunk(at.chunk());
        if others == 0 {
            self.summarise(at.chunk(), starts);
        }
    }

    /// Turns an end bit over, as [`flip_start`](Self::flip_start).
    #[inline(always)]
    fn flip_end(&mut self, at: Offset) {
        let ends = self.ends.flip(at);
        let others = ends & !(1 as Word).wrapping_shl(at.index()) | self.starts.chunk(at.chunk());
        if others == 0 {
            self.summarise(at.chunk(), ends);
        }
    }

    /// Notes whether a chunk has a boundary: whether `bits` is not zero.
    #[cold]
    #[inline(never)]
    fn summarise(&mut self, chunk: u32, bits: Word) {
        if bits == 0 { self.boundaries.clear(chunk) } else { self.boundaries.set(chunk) }
    }

    /// Whether a block starts at `at`. None starts at the segment's end.
    #[inline(always)]
    pub(crate) fn is_start(&self, at: Offset) -> bool {
        self.starts.ahead(at) & 1 != 0 && at < self.end
    }

    /// The end of the block that starts at `start`.
    #[inline(always)]
    pub(crate) fn block_end(&self, start: Offset) -> Offset {
        let first = start.plus(Granules::HEADER);
        match self.ends.ahead(first) {
            0 => self.far_end(start),
            ends => first.plus(Granules::new(ends.trailing_zeros())),
        }
    }

    /// The first start from `at` on, which is the end of a block or lies in a gap: where the gap ends.
    #[inline(always)]
    pub(crate) fn gap_end(&self, at: Offset) -> Offset {
        match self.starts.ahead(at) {
            0 => self.far_start(at),
            starts => at.plus(Granules::new(starts.trailing_zeros())),
        }
    }

    /// The last end up to `at`, which is the start of a block or lies in a gap: where the gap starts.
    #[inline(always)]
    pub(crate) fn gap_start(&self, at: Offset) -> Offset {
        match self.ends.behind(at) {
            0 => self.far_end_before(at),
            ends => at.minus(Granules::new(ends.leading_zeros())),
        }
    }

    /// The gap that starts at `start`.
    #[inline(always)]
    pub(crate) fn gap_at(&self, start: Offset) -> Gap {
        Gap { start, end: self.gap_end(start) }
    }

    /// The first end after `start`, where a block starts: no other boundary comes before it.
    #[inline(never)]
    fn far_end(&self, start: Offset) -> Offset {
        let chunk = start.chunk();
        let here = self.ends.chunk(chunk) & bits::above_bit(start.bit());
        self.far(chunk, here, &self.ends)
    }

    /// The first start from `at` on, where no end comes before it but one at `at`.
    #[inline(never)]
    fn far_start(&self, at: Offset) -> Offset {
        let chunk = at.chunk();
        let here = self.starts.chunk(chunk) & bits::from_bit(at.bit());
        self.far(chunk, here, &self.starts)
    }

    /// The lowest of the bits `here` in `chunk`; if there is none, of the next chunk that has a boundary. The segment's end if
    /// there is no such chunk.
    fn far(&self, chunk: u32, here: Word, bits: &Bits<'_>) -> Offset {
        if here != 0 {
            return Offset::in_chunk(chunk, here.trailing_zeros());
        }
        match self.boundaries.next(chunk.wrapping_add(1)) {
            NO_BIT => self.end,
            chunk => Offset::in_chunk(chunk, bits.chunk(chunk).trailing_zeros()),
        }
    }

    /// The last end up to `at`, where no start comes after it but one at `at`.
    #[inline(never)]
    fn far_end_before(&self, at: Offset) -> Offset {
        let here = self.ends.chunk(at.chunk()) & bits::up_to_bit(at.bit());
        if here != 0 {
            return Offset::in_chunk(at.chunk(), bits::highest(here));
        }
        match self.boundaries.previous(at.chunk()) {
            NO_BIT => Offset::ZERO,
            chunk => Offset::in_chunk(chunk, bits::highest(self.ends.chunk(chunk))),
        }
    }

    /// Whether `at` lies in a block.
    pub(crate) fn is_allocated(&self, at: Offset) -> bool {
        let upto = bits::up_to_bit(at.bit());
        let [starts, ends] = [&self.starts, &self.ends].map(|bits| bits.chunk(at.chunk()) & upto);
        let [starts, ends] = match starts | ends {
            0 => match self.boundaries.previous(at.chunk()) {
                NO_BIT => [0, 1],
                chunk => [self.starts.chunk(chunk), self.ends.chunk(chunk)],
            },
            _ => [starts, ends],
        };
        // The later bit decides, and of two at one place that is the start.
        starts.leading_zeros() <= ends.leading_zeros()
    }

    /// The first gap from `from` on of at least `size`, of those that are counted in a maximum.
    #[inline(always)]
    pub(crate) fn first_fit(&self, from: Offset, size: Granules) -> Option<Gap> {
        let chunk = from.chunk();
        if self.maxima.get(chunk) >= size.count() {
            let here = self.first_fit_in(chunk, bits::from_bit(from.bit()), size);
            if here.is_some() {
                return here;
            }
        }
        match self.maxima.first(chunk.wrapping_add(1), size.count()) {
            NO_CHUNK => None,
            chunk => self.first_fit_in(chunk, Word::MAX, size),
        }
    }

    /// The first gap of all of at least `size`, of those that are counted in a maximum.
    #[inline(always)]
    pub(crate) fn first_fit_of_all(&self, size: Granules) -> Option<Gap> {
        match self.maxima.first_of_all(size.count()) {
            NO_CHUNK => None,
            chunk => self.first_fit_in(chunk, Word::MAX, size),
        }
    }

    /// The first gap of at least `size` among those that start at the granules `among` of a chunk. At most half a word of gaps
    /// is looked at.
    #[inline(always)]
    fn first_fit_in(&self, chunk: u32, among: Word, size: Granules) -> Option<Gap> {
        let starts = self.starts.chunk(chunk);
        let mut left = self.ends.chunk(chunk) & !starts & among;
        while left != 0 {
            let gap = self.gap_in(chunk, starts, left.trailing_zeros());
            if gap.size() >= size {
                return Some(gap);
            }
            left &= left.wrapping_sub(1);
        }
        None
    }

    /// The gap that starts at granule `bit` of a chunk whose starts are `starts`.
    #[inline(always)]
    fn gap_in(&self, chunk: u32, starts: Word, bit: u32) -> Gap {
        let start = Offset::in_chunk(chunk, bit);
        let after = starts.wrapping_shr(bit);
        let end = match after {
            0 => self.far_start_after(chunk),
            _ => start.plus(Granules::new(after.trailing_zeros())),
        };
        Gap { start, end }
    }

    /// The first start in the chunks after `chunk`.
    #[inline(always)]
    fn far_start_after(&self, chunk: u32) -> Offset {
        self.gap_end(Offset::in_chunk(chunk.wrapping_add(1), 0))
    }

    /// The size of the largest gap that starts in `chunk`, but for the gap at `held`.
    #[inline(always)]
    pub(crate) fn largest_in(&self, chunk: u32, held: Offset) -> Granules {
        let starts = self.starts.chunk(chunk);
        let held = if held.chunk() == chunk { (1 as Word).wrapping_shl(held.bit()) } else { 0 };
        let mut left = self.ends.chunk(chunk) & !starts & !held;
        let mut largest = Granules::ZERO;
        while left != 0 {
            largest = largest.max(self.gap_in(chunk, starts, left.trailing_zeros()).size());
            left &= left.wrapping_sub(1);
        }
        largest
    }

    /// Counts a gap in its chunk's maximum. A gap of no granules changes nothing.
    #[inline(always)]
    pub(crate) fn add_to_maximum(&mut self, gap: Gap) {
        self.maxima.raise(gap.start.chunk(), gap.size().count());
    }

    /// Takes a gap that was at `start` and had `size` granules out of its chunk's maximum: the maximum is taken anew if this was
    /// it. The bits no longer show the gap, or it is the one at `held`.
    #[inline(always)]
    pub(crate) fn remove_from_maximum(&mut self, start: Offset, size: Granules, held: Offset) {
        if size > Granules::ZERO && self.maxima.get(start.chunk()) == size.count() {
            self.take_maximum(start.chunk(), held);
        }
    }

    #[inline(never)]
    fn take_maximum(&mut self, chunk: u32, held: Offset) {
        let largest = self.largest_in(chunk, held).count();
        if largest < self.maxima.get(chunk) {
            self.maxima.lower(chunk, largest);
        }
    }
}
