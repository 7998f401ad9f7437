//! A segment in equal shares, for whoever draws it: what lies in each, whatever the heap's size.

use core::iter;
use core::ops::Range;

use slabfit::{Block, GRANULE, Heap, Kind, Policy, RawLock, Segment, SegmentStats, State};

/// What lies in one share of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Bytes of it that slots or blocks in use take, headers included.
    pub used: usize,
    /// Bytes of `used` that slots take: those of the slab, or of runs.
    pub slots: usize,
    /// Bytes of it that are free. Together with `used` they are less than the share where the segment ends, or the last slot of
    /// the slab or of a run.
    pub free: usize,
    /// Whether a slot or block in use starts here, right after another one in use, and both are wide enough for the border
    /// between them to be seen: two shares each, or a share is a granule.
    pub border: bool,
    /// Whether the share is a granule and holds the header of a block in use.
    pub header: bool,
}

impl Cell {
    /// How full it is: 0 for nothing in use, 4 for nothing free, 1 to 3 in between.
    #[must_use]
    pub fn fullness(&self) -> u8 {
        match (self.used, self.free) {
            (0, _) => 0,
            (_, 0) => 4,
            (used, free) => 1 + used.saturating_mul(3).checked_div(used.saturating_add(free)).unwrap_or(0) as u8,
        }
    }
}

/// Iterator over the shares of a range of addresses, made from the blocks that lie in it in address order.
///
/// Ends whatever the blocks are, also where they overlap or leave bytes out, as they may where other threads use the heap:
/// one cell for every share. Complexity: linear in blocks and cells.
#[derive(Debug)]
pub struct Cells<I> {
    blocks: I,
    /// The block that reaches into the next cell, or starts after it.
    current: Option<Block>,
    /// Size of the block before, if that is in use.
    before: Option<usize>,
    range: Range<usize>,
    share: usize,
}

impl<I: Iterator<Item = Block>> Cells<I> {
    /// The cells of `range`, of `share` bytes each, which 0 counts as a granule for.
    pub fn new(mut blocks: I, range: Range<usize>, share: usize) -> Self {
        let current = blocks.next();
        let share = if share == 0 { GRANULE } else { share };
        Self { blocks, current, before: None, range, share }
    }

    fn is_wide(&self, size: usize) -> bool {
        self.share <= GRANULE || size / 2 >= self.share
    }

    /// Notes in `cell` that `block` starts there.
    fn started(&self, block: &Block, cell: &mut Cell) {
        if block.state == State::Used {
            let both_wide = self.before.is_some_and(|size| self.is_wide(size)) && self.is_wide(block.size);
            cell.border |= both_wide;
            cell.header |= self.share <= GRANULE && block.kind == Kind::Block;
        }
    }
}

impl<I: Iterator<Item = Block>> Iterator for Cells<I> {
    type Item = Cell;

    fn next(&mut self) -> Option<Cell> {
        let start = self.range.start;
        if start >= self.range.end {
            return None;
        }
        let stop = self.range.end.min(start.saturating_add(self.share));
        let mut cell = Cell::default();
        while let Some(block) = self.current {
            let end = block.address.saturating_add(block.size);
            let bytes = end.min(stop).saturating_sub(block.address.max(start));
            match block.state {
                State::Used => {
                    cell.used = cell.used.saturating_add(bytes);
                    cell.slots = cell.slots.saturating_add(if block.kind == Kind::Slot { bytes } else { 0 });
                }
                State::Free => cell.free = cell.free.saturating_add(bytes),
            }
            if (start..stop).contains(&block.address) {
                self.started(&block, &mut cell);
            }
            if end > stop {
                break;
            }
            self.before = (block.state == State::Used).then_some(block.size);
            self.current = self.blocks.next();
        }
        self.range.start = stop;
        Some(cell)
    }
}

/// The slots that were ever in use one by one, and all after them as a single free one: the lowest slot is served first, so
/// those are as many as were ever in use at once. `stats` are the slab's.
pub fn slots<L: RawLock, P: Policy>(heap: &Heap<'_, L, P>, stats: &SegmentStats) -> impl Iterator<Item = Block> {
    let range = heap.segment(Segment::Slab);
    let stride = heap.slab_size().max(1).checked_next_multiple_of(GRANULE).unwrap_or(usize::MAX);
    let slots = range.len().checked_div(stride).unwrap_or(0);
    let met = stats.peak_objects.min(slots);
    let rest = Block {
        address: range.start.saturating_add(met.saturating_mul(stride)),
        size: slots.saturating_sub(met).saturating_mul(stride),
        state: State::Free,
        segment: Segment::Slab,
        kind: Kind::Slot,
    };
    let walked = heap.blocks().take(met).take_while(|block| block.segment == Segment::Slab);
    walked.chain(iter::once(rest).filter(|rest| rest.size > 0))
}
