//! Pictures of a heap: `X` is a used granule, `O` a free one, `|` stands where the rover does. Of a run it is a slot.

use std::fmt::Write;

use slabfit::{Block, GRANULE, Kind, Segment, State};

/// Characters of a row that is drawn to scale. Shorter segments are drawn granule by granule.
const WIDTH: usize = 96;
/// The longest row that is drawn granule by granule.
const LONGEST_EXACT: usize = 256;
/// The most runs that are drawn one by one.
const MOST_RUNS: usize = 32;

/// Blocks drawn apart, one character for every `unit` bytes: `"XXX OOOO |XX"`.
pub fn row(blocks: impl IntoIterator<Item = Block>, rover: Option<usize>, unit: usize) -> String {
    let mut row = String::new();
    let mut end = 0;
    for block in blocks {
        if !row.is_empty() {
            row.push(' ');
        }
        if rover == Some(block.address) {
            row.push('|');
        }
        let mark = if block.state == State::Used { 'X' } else { 'O' };
        row.extend(std::iter::repeat_n(mark, block.size / unit));
        end = block.address + block.size;
    }
    if rover == Some(end) {
        row.push('|');
    }
    row
}

/// One segment in at most `width` characters, each for an equal share of the bytes. A share that is used only in
/// part is drawn `x`.
pub fn scaled(blocks: &[Block], rover: Option<usize>, width: usize) -> String {
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
        return String::new();
    };
    let (base, end) = (first.address, last.address + last.size);
    let share = (end - base).div_ceil(width).next_multiple_of(GRANULE);
    let mut row = String::new();
    let mut rest = blocks.iter().peekable();
    for start in (base..end).step_by(share) {
        let stop = end.min(start + share);
        if rover.is_some_and(|rover| (start..stop).contains(&rover)) {
            row.push('|');
        }
        let mut used = 0;
        // What lies behind the last slot of a run is in no block.
        while let Some(block) = rest.peek().filter(|block| block.address < stop) {
            let block_end = block.address + block.size;
            if block.state == State::Used {
                // Behind the last slot of a run lies nothing.
                used += block_end.min(stop).saturating_sub(block.address.max(start));
            }
            if block_end > stop {
                break;
            }
            rest.next();
        }
        row.push(match used {
            0 => 'O',
            _ if used == stop - start => 'X',
            _ => 'x',
        });
    }
    if rover == Some(end) {
        row.push('|');
    }
    row
}

/// Both segments, with what a row cannot show beside them, and the runs slot by slot.
pub fn heap(blocks: impl IntoIterator<Item = Block>, rover: Option<usize>) -> String {
    let (slots, blocks): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|block| block.segment == Segment::Slab);
    let mut picture = String::new();
    for (name, blocks) in [("slab", &slots), ("blocks", &blocks)] {
        let rover = rover.filter(|_| name == "blocks");
        let bytes: usize = blocks.iter().map(|block| block.size).sum();
        let row = match bytes / GRANULE <= LONGEST_EXACT {
            true => row(blocks.iter().copied(), rover, GRANULE),
            false => scaled(blocks, rover, WIDTH),
        };
        let used = blocks.iter().filter(|block| block.state == State::Used).count();
        let free = blocks.len() - used;
        // Writing to a String cannot fail.
        let _ = writeln!(picture, "{name} ({bytes} bytes, {used} used, {free} free): {row}");
    }
    picture + &runs(&blocks)
}

/// The slots among the blocks, a line for all that lie side by side and are of one size.
fn runs(blocks: &[Block]) -> String {
    let of_one_run = |a: &Block, b: &Block| {
        a.kind == Kind::Slot && b.kind == Kind::Slot && a.size == b.size && a.address + a.size == b.address
    };
    let mut picture = String::new();
    for slots in blocks.chunk_by(of_one_run).filter(|slots| slots[0].kind == Kind::Slot).take(MOST_RUNS) {
        let Block { address, size, .. } = slots[0];
        let marks: String = slots.iter().map(|slot| if slot.state == State::Used { 'X' } else { 'O' }).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(picture, "slots of {size} bytes at {address:#x}: {marks}");
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(sizes: &[(usize, State)]) -> Vec<Block> {
        let mut address = 1600;
        let mut blocks = Vec::new();
        for &(granules, state) in sizes {
            let size = granules * GRANULE;
            blocks.push(Block { address, size, state, segment: Segment::Blocks, kind: Kind::Block });
            address += size;
        }
        blocks
    }

    #[test]
    fn a_row_shows_every_granule_and_the_rover_before_its_block() {
        let blocks = blocks(&[(2, State::Used), (4, State::Free), (3, State::Used)]);
        assert_eq!(row(blocks.clone(), Some(1632), GRANULE), "XX |OOOO XXX");
        assert_eq!(row(blocks.clone(), Some(1744), GRANULE), "XX OOOO XXX|");
        assert_eq!(row(blocks, None, GRANULE), "XX OOOO XXX");
    }

    #[test]
    fn a_scaled_row_tells_full_from_partly_used() {
        let blocks = blocks(&[(4, State::Used), (6, State::Free), (6, State::Used)]);
        assert_eq!(scaled(&blocks, Some(1664), 8), "XX|OOOXXX");
        assert_eq!(scaled(&blocks, None, 4), "XOxX");
        assert_eq!(scaled(&blocks, None, 1), "x");
    }

    #[test]
    fn a_scaled_row_leaves_out_what_is_in_no_block() {
        let mut blocks = blocks(&[(4, State::Used), (6, State::Used), (6, State::Used)]);
        blocks.remove(1);
        assert_eq!(scaled(&blocks, None, 8), "XXOOOXXX");
    }

    #[test]
    fn a_heap_is_drawn_segment_by_segment() {
        let mut blocks = blocks(&[(2, State::Used), (2, State::Free)]);
        blocks[0].segment = Segment::Slab;
        assert_eq!(
            heap(blocks, Some(1632)),
            "slab (32 bytes, 1 used, 0 free): XX\nblocks (32 bytes, 0 used, 1 free): |OO\n"
        );
    }

    #[test]
    fn slots_of_a_run_are_drawn_one_by_one() {
        let mut blocks = blocks(&[(2, State::Free), (2, State::Used), (2, State::Free), (3, State::Used)]);
        blocks[1..3].iter_mut().for_each(|slot| slot.kind = Kind::Slot);
        assert_eq!(
            heap(blocks, None),
            "slab (0 bytes, 0 used, 0 free): \nblocks (144 bytes, 2 used, 2 free): OO XX OO XXX\n\
             slots of 32 bytes at 0x660: XO\n"
        );
    }
}
