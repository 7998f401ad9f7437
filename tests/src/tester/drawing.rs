//! The heap as rows of characters, as whoever holds its objects sees it: so that a library's heap is drawn as well as
//! slabfit's own.

use core::iter;
use core::ops::Range;

use serde::{Deserialize, Serialize};
use slabfit::{Block, Kind, Segment, State};

use crate::picture;
use crate::tester::window::{GRANULE, Object};

/// A heap as characters: `X` used, `O` free, `x` partly used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The slots.
    pub slab: Row,
    /// The blocks.
    pub blocks: Row,
}

/// One segment as characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// One for each equal share of the segment.
    pub cells: String,
    /// Bytes of the segment.
    pub bytes: usize,
    /// Bytes of it that slots and blocks in use take, headers included.
    pub used: usize,
    /// Free blocks between them, or free slots of the slab side by side.
    pub gaps: usize,
    /// Bytes of the largest of those.
    pub largest_gap: usize,
}

impl Picture {
    /// The segments below and above `split`, with `objects` live, in at most `width` characters each.
    pub(super) fn draw(objects: impl IntoIterator<Item = Object>, split: usize, end: usize, width: usize) -> Self {
        let mut objects: Vec<Object> = objects.into_iter().collect();
        objects.sort_unstable_by_key(|object| object.offset());
        let blocks = objects.split_off(objects.partition_point(|object| object.offset() < split));
        let slots = objects.into_iter().map(|slot| slot.offset()..slot.end().next_multiple_of(GRANULE));
        let blocks = blocks.into_iter().map(block_around).collect();
        Self {
            slab: Row::draw(Segment::Slab, 0..split, slots.collect(), width),
            blocks: Row::draw(Segment::Blocks, split..end, with_remainders(blocks, end), width),
        }
    }
}

impl Picture {
    /// A heap that shows its slots and blocks, with the segments below and above `split`, in at most `width` characters each.
    pub(super) fn of_blocks(blocks: &[Block], split: usize, end: usize, width: usize) -> Self {
        let of = |segment| blocks.iter().filter(|block| block.segment == segment).copied().collect::<Vec<_>>();
        let row = |segment, bytes| Row::of_blocks(&of(segment), bytes, width);
        Self { slab: row(Segment::Slab, split), blocks: row(Segment::Blocks, end - split) }
    }
}

impl Row {
    /// The slots or blocks of a segment. A free slot of a run is no gap: nothing but a slot can lie there.
    fn of_blocks(blocks: &[Block], bytes: usize, width: usize) -> Self {
        let mut row = Self { cells: picture::scaled(blocks, None, width), bytes, used: 0, gaps: 0, largest_gap: 0 };
        let mut gap = 0;
        for block in blocks {
            if block.state == State::Used {
                row.used += block.size;
            }
            let is_gap = block.state == State::Free && (block.segment, block.kind) != (Segment::Blocks, Kind::Slot);
            row.gaps += usize::from(is_gap && gap == 0);
            gap = if is_gap { gap + block.size } else { 0 };
            row.largest_gap = row.largest_gap.max(gap);
        }
        row
    }

    fn draw(segment: Segment, bytes: Range<usize>, used: Vec<Range<usize>>, width: usize) -> Self {
        let mut row = Self { cells: String::new(), bytes: bytes.len(), used: 0, gaps: 0, largest_gap: 0 };
        let block = |state, range: &Range<usize>| Block {
            address: range.start,
            size: range.len(),
            state,
            segment,
            kind: Kind::Block,
        };
        let mut blocks = Vec::new();
        let mut at = bytes.start;
        let behind = bytes.end..bytes.end;
        for Range { start, end } in used.into_iter().chain(iter::once(behind)) {
            // An allocator that hands out overlapping memory must not break the picture that shows it.
            let (start, end) = (start.clamp(at, bytes.end), end.clamp(at, bytes.end));
            let (gap, taken) = (at..start, start..end);
            if !gap.is_empty() {
                row.gaps += 1;
                row.largest_gap = row.largest_gap.max(gap.len());
                blocks.push(block(State::Free, &gap));
            }
            if !taken.is_empty() {
                row.used += taken.len();
                blocks.push(block(State::Used, &taken));
            }
            at = end.max(start);
        }
        row.cells = picture::scaled(&blocks, None, width);
        row
    }
}

/// The block that holds a payload: a header before it, and the payload rounded up, to 16 at least.
fn block_around(payload: Object) -> Range<usize> {
    payload.offset() - GRANULE..payload.offset() + payload.size().max(1).next_multiple_of(GRANULE)
}

/// A gap of 16 bytes is no free block: it was left over, and stays with the block before it.
fn with_remainders(mut blocks: Vec<Range<usize>>, segment_end: usize) -> Vec<Range<usize>> {
    let mut next = segment_end;
    for block in blocks.iter_mut().rev() {
        if next == block.end + GRANULE {
            block.end = next;
        }
        next = block.start;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use core::ptr::NonNull;

    use super::*;
    use crate::tester::window::Window;

    /// A heap of 256 bytes, 64 of them the slab's, drawn a character a granule.
    fn draw(objects: &[(usize, usize)]) -> Picture {
        let base = NonNull::<u8>::dangling();
        // SAFETY: the window is used for its arithmetic; nothing is read or written through it.
        let window = unsafe { Window::new(base, 256) };
        let place = |offset: usize| NonNull::new(base.as_ptr().wrapping_add(offset)).unwrap();
        let objects = objects.iter().map(|&(offset, size)| window.object(place(offset), size).unwrap());
        Picture::draw(objects.collect::<Vec<_>>(), 64, 256, 12)
    }

    #[test]
    fn slots_and_blocks_are_drawn_as_they_lie() {
        let picture = draw(&[(160, 33), (16, 1), (80, 16)]);
        assert_eq!(picture.slab.cells, "OXOO");
        assert_eq!(picture.blocks.cells, "XXOOOXXXXOOO");
        let Row { bytes, used, gaps, largest_gap, .. } = picture.blocks;
        assert_eq!((bytes, used, gaps, largest_gap), (192, 96, 2, 48));
    }

    #[test]
    fn sixteen_bytes_left_over_belong_to_the_block_before_them() {
        let row = draw(&[(80, 16), (128, 96)]).blocks;
        assert_eq!((row.cells.as_str(), row.used, row.gaps), ("XXXXXXXXXXOO", 160, 1));
        let row = draw(&[(80, 144)]).blocks;
        assert_eq!((row.used, row.gaps), (160, 1), "32 bytes are a free block");
        let row = draw(&[(80, 160)]).blocks;
        assert_eq!((row.used, row.gaps), (192, 0), "and 16 at the end are none");
    }

    #[test]
    fn overlapping_objects_are_drawn_once() {
        let row = draw(&[(80, 100), (96, 16), (112, 144)]).blocks;
        assert_eq!((row.cells.as_str(), row.used, row.gaps), ("XXXXXXXXXXXX", 192, 0));
    }
}
