//! The block map: which granules of the next-fit segment are allocated. It is the truth; what lies in the heap is a copy.
//!
//! For every place between two granules there are two bits: "an allocated block starts here" and "an allocated block
//! ends here", that is, the granule before was its last. What lies between an end and the next start is a gap, a free
//! block, so that coalescing is no operation: it is what is left when two bits are cleared.
//!
//! ```text
//! granules   | A  A  A | .  . | B  B | C  C  C | .  .  .  . |
//! starts       1  0  0   0  0   1  0   1  0  0   0  0  0  0   1    (the last one is the segment's end, as if a block
//! ends         1  0  0   1  0   0  0   1  0  0   1  0  0  0   0     started there; the first end is its beginning)
//! gaps        0  0  0   1  0   0  0   0  0  0   1  0  0  0   0    = ends & !starts
//! ```
//!
//! The end bit stands behind the block's last granule, not on it as one might expect: the gaps that start in a word of
//! 64 granules (a chunk) are then one operation on its two words, and with the two outer bits every search for a
//! neighbour finds something. Starts and ends alternate, so one summary serves both: from a start the next place that
//! has any bit has the block's end, from a gap's start it has the next block's start.
//!
//! Complexity of every operation: O(log) in the segment's size.
#![deny(unsafe_code)]

use crate::bit_tree::{self, BitTree};
use crate::max_tree::MaxTree;
use crate::region::{CACHE_LINE, Carver};
use crate::size::{Granules, Offset};
use crate::switch::wrong;
use crate::window::{Around, Chunk, Gap, Window, gaps_of};

const fn is_empty([starts, ends]: Chunk) -> bool {
    starts | ends == 0
}

/// Whether a chunk's summaries may say something else after a change: not while there is a gap in it, and most have one.
const fn may_change_summaries(before: Chunk, after: Chunk) -> bool {
    gaps_of(before) == 0 || gaps_of(after) == 0
}

/// What became of a release.
pub(crate) enum Release {
    /// No block starts there.
    NotAStart,
    /// The block is as it was.
    Refused,
    /// The block is free.
    Done(Around),
}

/// Invariants, with S and E for the two bits of a place:
/// - E at place 0 and S at the last place are set; in between, starts and ends alternate, where both are set the end
///   comes first.
/// - A block is at least two granules, a gap too, unless it is the whole segment.
/// - A chunk is in `boundaries` iff it has a bit set, and in `gaps` iff a gap starts in it.
/// - The number of a chunk in `maxima` is the size of the largest gap that starts in it, not counting the one that is held
///   at the rover, which its owner knows.
#[derive(Debug)]
pub(crate) struct BlockMap<'a> {
    /// An empty one, those of the segment, and another empty one.
    pub(crate) chunks: &'a mut [Chunk],
    pub(crate) boundaries: BitTree<'a>,
    pub(crate) gaps: BitTree<'a>,
    pub(crate) maxima: MaxTree<'a>,
    end: Offset,
}

impl<'a> BlockMap<'a> {
    /// The map of a segment of no granules.
    pub(crate) const fn empty() -> Self {
        Self {
            chunks: &mut [],
            boundaries: BitTree::empty(),
            gaps: BitTree::empty(),
            maxima: MaxTree::empty(),
            end: Offset::ZERO,
        }
    }

    const fn chunks_of(granules: Granules) -> usize {
        // One place more than granules.
        Offset::ZERO.plus(granules).chunk().wrapping_add(1)
    }

    /// Bytes that the map of `granules` takes, with what aligning it costs.
    pub(crate) const fn footprint(granules: Granules) -> usize {
        let chunks = Self::chunks_of(granules);
        CACHE_LINE
            .saturating_add(MaxTree::footprint(chunks))
            .saturating_add(chunks.saturating_add(2).saturating_mul(size_of::<Chunk>()))
            .saturating_add(BitTree::footprint(chunks).saturating_mul(2))
    }

    /// The map of `granules` that are one gap, which is the rover's.
    pub(crate) fn new(granules: Granules, memory: &mut Carver<'a>) -> Option<Self> {
        let chunks = Self::chunks_of(granules);
        memory.align()?;
        let maxima = MaxTree::new(chunks, memory)?;
        let mut map = Self {
            maxima,
            chunks: memory.slice(chunks.checked_add(2)?)?,
            boundaries: BitTree::new(chunks, memory)?,
            gaps: BitTree::new(chunks, memory)?,
            end: Offset::ZERO.plus(granules),
        };
        map.edit(0, |[starts, ends]| [starts, ends | 1]);
        let bit = 1u64.wrapping_shl(map.end.bit());
        map.edit(map.end.chunk(), |[starts, ends]| [starts | bit, ends]);
        Some(map)
    }

    /// The place behind the last granule.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    #[inline]
    pub(crate) fn chunk(&self, chunk: usize) -> Chunk {
        self.chunks.get(chunk.wrapping_add(1)).copied().unwrap_or([0, 0])
    }

    /// Changes the words of a chunk and what the summaries say of it.
    #[inline(always)]
    fn edit(&mut self, chunk: usize, change: impl FnOnce(Chunk) -> Chunk) {
        // Not reached: a chunk that is none, as long as the bookkeeping is whole.
        let Some(words) = self.chunks.get_mut(chunk.wrapping_add(1)) else { return };
        let before = *words;
        *words = change(before);
        if may_change_summaries(before, *words) {
            self.summarise(chunk);
        }
    }

    /// Makes the summaries say of a chunk what they are to say now. Out of line: few calls come here.
    #[inline(never)]
    fn summarise(&mut self, chunk: usize) {
        let after = self.chunk(chunk);
        self.gaps.assign(chunk, gaps_of(after) != 0);
        self.boundaries.assign(chunk, !is_empty(after));
    }

    /// The granules from `start` up to `end`, all of one gap, become a block.
    #[inline(always)]
    pub(crate) fn allocate(&mut self, start: Offset, end: Offset) {
        let chunk = start.chunk();
        if chunk != end.chunk() {
            return self.allocate_across(start, end);
        }
        let [start_bit, end_bit] = [start, end].map(|at| 1u64.wrapping_shl(at.bit()));
        self.edit(chunk, |[starts, ends]| [starts | start_bit, ends | end_bit]);
    }

    /// The same for a block that ends in another chunk.
    #[inline(never)]
    fn allocate_across(&mut self, start: Offset, end: Offset) {
        let [start_bit, end_bit] = [start, end].map(|at| 1u64.wrapping_shl(at.bit()));
        self.edit(start.chunk(), |[starts, ends]| [starts | start_bit, ends]);
        self.edit(end.chunk(), |[starts, ends]| [starts, ends | end_bit]);
    }

    /// Frees the block that starts at `start`, if one does and `accept` agrees to where it ends.
    #[inline(always)]
    pub(crate) fn release(&mut self, start: Offset, accept: impl FnOnce(Offset) -> bool) -> Release {
        let chunk = start.chunk();
        let chunks = self.chunks.get(chunk..).and_then(<[Chunk]>::first_chunk::<3>);
        let Some(&chunks) = chunks else { return Release::NotAStart };
        let window = Window::new(start, chunks);
        // Not reached: the segment's end, which no address in the segment leads to.
        if wrong!("block-start", !window.is_start()) || start == self.end {
            return Release::NotAStart;
        }
        let (end, gap_end) = window.block_and_gap_end().unwrap_or_else(|| self.block_and_gap_end(start));
        if !accept(end) {
            return Release::Refused;
        }
        let gap_start = window.gap_start().unwrap_or_else(|| self.end_before(chunk));
        let around = Around {
            end,
            gap: Gap { start: gap_start, end: gap_end },
            previous: self.previous_gap(start),
            next: self.next_gap(end),
        };
        let (start_bit, end_bit) = (1u64.wrapping_shl(start.bit()), 1u64.wrapping_shl(end.bit()));
        if end.chunk() == chunk {
            self.edit(chunk, |[s, e]| [s ^ start_bit, e ^ end_bit]);
        } else {
            self.edit(chunk, |[s, e]| [s ^ start_bit, e]);
            self.edit(end.chunk(), |[s, e]| [s, e ^ end_bit]);
        }
        Release::Done(around)
    }

    /// Where the block that starts at `start` ends, and where the gap ends that there would be without it.
    #[inline(never)]
    fn block_and_gap_end(&self, start: Offset) -> (Offset, Offset) {
        let end = self.block_end(start);
        (end, self.gap_end(end))
    }

    /// The block that ends at `from` ends at `to` instead.
    #[inline]
    pub(crate) fn move_end(&mut self, from: Offset, to: Offset) {
        let [old, new] = [from, to].map(|at| 1u64.wrapping_shl(at.bit()));
        if from.chunk() == to.chunk() {
            return self.edit(from.chunk(), |[starts, ends]| [starts, ends ^ old ^ new]);
        }
        self.edit(from.chunk(), |[starts, ends]| [starts, ends & !old]);
        self.edit(to.chunk(), |[starts, ends]| [starts, ends | new]);
    }

    /// Whether a block starts at `at`. The segment's end is none.
    #[inline]
    pub(crate) fn is_start(&self, at: Offset) -> bool {
        let [starts, _] = self.chunk(at.chunk());
        starts.wrapping_shr(at.bit()) & 1 != 0 && at < self.end
    }

    /// The end of the block that starts at `start`.
    #[inline]
    pub(crate) fn block_end(&self, start: Offset) -> Offset {
        let [_, ends] = self.chunk(start.chunk());
        let here = ends & bit_tree::above_bit(start.bit());
        if here != 0 {
            return Offset::in_chunk(start.chunk(), here.trailing_zeros());
        }
        self.end_behind(start.chunk())
    }

    /// The first end in the chunks behind `chunk`, where nothing starts before it.
    fn end_behind(&self, chunk: usize) -> Offset {
        self.boundaries.next(chunk.wrapping_add(1)).map_or(self.end, |chunk| {
            let [_, ends] = self.chunk(chunk);
            Offset::in_chunk(chunk, ends.trailing_zeros())
        })
    }

    /// The first start in the chunks behind `chunk`, where nothing ends before it.
    fn start_behind(&self, chunk: usize) -> Offset {
        self.boundaries.next(chunk.wrapping_add(1)).map_or(self.end, |chunk| {
            let [starts, _] = self.chunk(chunk);
            Offset::in_chunk(chunk, starts.trailing_zeros())
        })
    }

    /// The last end in the chunks before `chunk`, where nothing starts behind it.
    #[inline(never)]
    fn end_before(&self, chunk: usize) -> Offset {
        self.boundaries.previous(chunk).map_or(Offset::ZERO, |chunk| {
            let [_, ends] = self.chunk(chunk);
            Offset::in_chunk(chunk, bit_tree::highest(ends))
        })
    }

    /// The first start at or behind `at`, which is the end of a block or lies in a gap: where the gap ends.
    #[inline]
    pub(crate) fn gap_end(&self, at: Offset) -> Offset {
        let [starts, _] = self.chunk(at.chunk());
        let here = starts & bit_tree::from_bit(at.bit());
        if here != 0 {
            return Offset::in_chunk(at.chunk(), here.trailing_zeros());
        }
        self.start_behind(at.chunk())
    }

    /// The last end at or before `at`, which is the start of a block or lies in a gap: where the gap starts.
    #[inline]
    pub(crate) fn gap_start(&self, at: Offset) -> Offset {
        let [_, ends] = self.chunk(at.chunk());
        let here = ends & bit_tree::up_to_bit(at.bit());
        if here != 0 {
            return Offset::in_chunk(at.chunk(), bit_tree::highest(here));
        }
        self.end_before(at.chunk())
    }

    /// Whether `at` lies in a block.
    pub(crate) fn is_allocated(&self, at: Offset) -> bool {
        let upto = bit_tree::up_to_bit(at.bit());
        let [starts, ends] = self.chunk(at.chunk()).map(|word| word & upto);
        let [starts, ends] = if is_empty([starts, ends]) {
            self.boundaries.previous(at.chunk()).map_or([0, 1], |chunk| self.chunk(chunk))
        } else {
            [starts, ends]
        };
        // The later bit decides, and of two at one place that is the start.
        starts.leading_zeros() <= ends.leading_zeros()
    }

    /// The gap that starts at `start`.
    #[inline]
    pub(crate) fn gap_at(&self, start: Offset) -> Gap {
        Gap { start, end: self.gap_end(start) }
    }

    /// Where the first gap behind `at` starts, or [`Offset::NONE`]. Whether that is in its chunk or in the next that has one
    /// is anybody's guess and no branch.
    #[inline]
    pub(crate) fn next_gap(&self, at: Offset) -> Offset {
        let chunk = at.chunk();
        let here = gaps_of(self.chunk(chunk)) & bit_tree::above_bit(at.bit());
        let near = self.gaps.next_nearby(chunk);
        let there = gaps_of(self.chunk(near));
        if here | there == 0 {
            return self.gap_behind(chunk);
        }
        let (chunk, gaps) = if here != 0 { (chunk, here) } else { (near, there) };
        Offset::in_chunk(chunk, gaps.trailing_zeros())
    }

    /// Where the last gap before `at` starts, or [`Offset::NONE`]. As for the next one.
    #[inline]
    pub(crate) fn previous_gap(&self, at: Offset) -> Offset {
        let chunk = at.chunk();
        let here = gaps_of(self.chunk(chunk)) & bit_tree::below_bit(at.bit());
        let near = self.gaps.previous_nearby(chunk);
        let there = gaps_of(self.chunk(near));
        if here | there == 0 {
            return self.gap_before(chunk);
        }
        let (chunk, gaps) = if here != 0 { (chunk, here) } else { (near, there) };
        Offset::in_chunk(chunk, bit_tree::highest(gaps))
    }

    /// Where the last gap in the chunks before `chunk` starts, or [`Offset::NONE`].
    #[inline(never)]
    fn gap_before(&self, chunk: usize) -> Offset {
        self.gaps
            .previous(chunk)
            .map_or(Offset::NONE, |chunk| Offset::in_chunk(chunk, bit_tree::highest(gaps_of(self.chunk(chunk)))))
    }

    /// Where the first gap in the chunks behind `chunk` starts, or [`Offset::NONE`].
    #[inline(never)]
    fn gap_behind(&self, chunk: usize) -> Offset {
        self.gaps
            .next(chunk.wrapping_add(1))
            .map_or(Offset::NONE, |chunk| Offset::in_chunk(chunk, gaps_of(self.chunk(chunk)).trailing_zeros()))
    }

    /// The first gap at or behind `from` of at least `size`. The rover's gap is found only where another one's size
    /// led to its chunk: who searches looks at it as well. So below.
    #[inline]
    pub(crate) fn first_fit(&self, from: Offset, size: Granules) -> Option<Gap> {
        let mut chunk = from.chunk();
        if from.bit() > 0 {
            if self.maxima.get(chunk) >= size.count() {
                let gaps = gaps_of(self.chunk(chunk)) & bit_tree::from_bit(from.bit());
                if let Some(gap) = self.first_fit_in(chunk, gaps, size) {
                    return Some(gap);
                }
            }
            chunk = chunk.wrapping_add(1);
        }
        let chunk = self.maxima.first(chunk, size.count())?;
        self.first_fit_in(chunk, gaps_of(self.chunk(chunk)), size)
    }

    /// The first gap of at least `size`, of those that are counted.
    #[inline]
    pub(crate) fn first_fit_of_all(&self, size: Granules) -> Option<Gap> {
        let chunk = self.maxima.first_of_all(size.count())?;
        self.first_fit_in(chunk, gaps_of(self.chunk(chunk)), size)
    }

    /// The first of the `gaps` of a chunk of at least `size`: at most 32 are looked at.
    #[inline]
    fn first_fit_in(&self, chunk: usize, gaps: u64, size: Granules) -> Option<Gap> {
        let mut left = gaps;
        while left != 0 {
            let gap = self.gap_at(Offset::in_chunk(chunk, left.trailing_zeros()));
            if gap.size() >= size {
                return Some(gap);
            }
            left &= left.wrapping_sub(1);
        }
        None
    }

    /// Counts a gap that is not the rover's. One of no granules changes nothing.
    #[inline]
    pub(crate) fn count_gap(&mut self, gap: Gap) {
        self.maxima.raise(gap.start.chunk(), gap.size().count());
    }

    /// Counts a gap no more, which started at `start` and had `size`, if any; neither the gap at `rover`. The chunk is
    /// counted anew only if its largest gap has left it.
    #[inline]
    pub(crate) fn discount_gap(&mut self, start: Offset, size: Granules, rover: Offset) {
        let chunk = start.chunk();
        // Whether there is one is anybody's guess and no branch: of none, what is looked for is no chunk's number.
        let number = size.count().wrapping_sub(u32::from(size == Granules::NONE));
        if self.maxima.get(chunk) == number {
            let largest = self.largest_in(chunk, rover);
            self.maxima.lower(chunk, largest.count());
        }
    }

    /// The size of the largest gap that starts in `chunk`, but for the one at `rover`.
    pub(crate) fn largest_in(&self, chunk: usize, rover: Offset) -> Granules {
        let held = if rover.chunk() == chunk { 1u64.wrapping_shl(rover.bit()) } else { 0 };
        let mut left = gaps_of(self.chunk(chunk)) & !held;
        let mut largest = Granules::NONE;
        while left != 0 {
            largest = largest.max(self.gap_at(Offset::in_chunk(chunk, left.trailing_zeros())).size());
            left &= left.wrapping_sub(1);
        }
        largest
    }
}
