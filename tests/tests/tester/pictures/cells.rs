//! Walks over slots and blocks, and the cells that a picture sums them up in.

use std::ops::Range;

use slabfit::{Block, Config, GRANULE, Kind, Segment, State};
use slabfit_linux::{Cells, MappedHeap, slots};

use super::{SIZES, bytes_in, in_segment, used_heap};

#[test]
fn the_next_fit_blocks_are_those_of_the_whole_walk() {
    for (seed, size) in SIZES.into_iter().enumerate() {
        let heap = used_heap(size, Config::new(64), seed as u64);
        assert_eq!(heap.blocks_in(Segment::Blocks).collect::<Vec<_>>(), in_segment(&heap, Segment::Blocks));
    }
}

#[test]
fn slots_are_all_slots_with_those_never_used_in_one() {
    for slab_size in [1, 24, 64, 1000, 4096, 1 << 30] {
        let heap = used_heap(1 << 20, Config::new(slab_size), 7);
        let stats = heap.stats().expect("nobody is in the heap").slab;
        let walked: Vec<_> = slots(&heap, &stats).collect();
        let all = in_segment(&heap, Segment::Slab);
        assert_eq!(walked[..stats.peak_objects], all[..stats.peak_objects]);
        let rest: usize = all[stats.peak_objects..].iter().map(|slot| slot.size).sum();
        assert_eq!(walked[stats.peak_objects..].iter().map(|block| block.size).sum::<usize>(), rest);
        assert!(walked[stats.peak_objects..].iter().all(|block| block.state == State::Free), "slab size {slab_size}");
    }
}

#[test]
fn a_slab_that_was_full_is_its_slots_and_no_rest() {
    let heap = MappedHeap::new(4096, Config::new(64)).expect("there is memory");
    for live in 1..=16 {
        heap.alloc(64).expect("there is a slot");
        let stats = heap.stats().expect("nobody is in the heap").slab;
        let sizes: Vec<_> = slots(&heap, &stats).map(|slot| slot.size).collect();
        let rest = Some((16 - live) * 64).filter(|&rest| rest > 0);
        assert_eq!(sizes, [64].repeat(live).into_iter().chain(rest).collect::<Vec<_>>());
    }
}

#[test]
fn a_cell_holds_what_its_bytes_hold() {
    for share in [1, 16, 48, 4096, 100_000, 1 << 30] {
        let heap = used_heap(1 << 18, Config::new(48), share as u64);
        for segment in [Segment::Slab, Segment::Blocks] {
            let (range, blocks) = (heap.segment(segment), in_segment(&heap, segment));
            let cells: Vec<_> = Cells::new(blocks.iter().copied(), range.clone(), share).collect();
            assert_eq!(cells.len(), range.len().div_ceil(share));
            for (start, cell) in range.clone().step_by(share).zip(cells) {
                let bytes = start..range.end.min(start + share);
                assert_eq!((cell.used, cell.free), bytes_in(&blocks, &bytes), "{bytes:?} of {range:?}");
                let starts = |block: &&Block| bytes.contains(&block.address) && block.state == State::Used;
                let header = share <= GRANULE && segment == Segment::Blocks && blocks.iter().any(|b| starts(&b));
                assert_eq!(cell.header, header, "{bytes:?}");
            }
        }
    }
}

#[test]
fn a_border_is_seen_where_two_wide_blocks_meet() {
    let block = |granules: Range<usize>, state| Block {
        address: granules.start * GRANULE,
        size: granules.len() * GRANULE,
        state,
        segment: Segment::Blocks,
        kind: Kind::Block,
    };
    let (used, free) = (State::Used, State::Free);
    let blocks = [block(0..4, used), block(4..8, used), block(8..10, free), block(10..14, used), block(14..16, used)];
    let borders = |share: usize| {
        let cells = Cells::new(blocks.into_iter(), 0..16 * GRANULE, share * GRANULE);
        cells.enumerate().filter(|(_, cell)| cell.border).map(|(index, _)| index * share).collect::<Vec<_>>()
    };
    assert_eq!(borders(1), [4, 14]);
    assert_eq!(borders(2), [4], "the last block is one cell wide");
    assert_eq!(borders(4), [] as [usize; 0]);
}

#[test]
fn blocks_that_make_no_sense_end_all_the_same() {
    let block =
        |address, size| Block { address, size, state: State::Used, segment: Segment::Blocks, kind: Kind::Block };
    let blocks = [block(100, 0), block(50, usize::MAX), block(usize::MAX, usize::MAX), block(0, 10), block(90, 64)];
    assert_eq!(Cells::new(blocks.into_iter(), 64..1000, 0).count(), 59);
    assert_eq!(Cells::new(std::iter::empty(), 64..1000, 100).filter(|cell| cell.used + cell.free == 0).count(), 10);
}
