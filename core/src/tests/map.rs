//! The block map agrees with a plain list of blocks at every step, and so do the gaps that the blocks' neighbours are: within a
//! window and far beyond it.

mod heaps;

use core::marker::PhantomData;
use core::ptr::NonNull;
use std::vec;
use std::vec::Vec;

use super::{Random, with_bookkeeping};
use crate::block_map::{BlockMap, Gap};
use crate::blocks::Blocks;
use crate::boundaries::Place;
use crate::maxima::MOST;
use crate::memory::{ALIGNMENT, Piece};
use crate::policy::{FirstFit, NextFit, Policy};
use crate::units::{BITS, GRANULE, Granules, Offset};

/// What a segment of `end` granules holds: the first granules of its blocks and those after them, in order.
struct Model {
    blocks: Vec<(u32, u32)>,
    end: u32,
}

impl Model {
    /// Gaps of some granules, in order.
    fn gaps(&self) -> impl Iterator<Item = (u32, u32)> + Clone + '_ {
        let starts = [0].into_iter().chain(self.blocks.iter().map(|block| block.1));
        let ends = self.blocks.iter().map(|block| block.0).chain([self.end]);
        starts.zip(ends).filter(|(start, end)| start < end)
    }

    fn largest_in(&self, chunk: u32, held: u32) -> u32 {
        let here = self.gaps().filter(|&(start, _)| start / BITS == chunk && start != held);
        here.map(|(start, end)| end - start).max().unwrap_or(0)
    }
}

/// Brings the maxima of some chunks up to date, as whoever changes the map does.
fn update_maxima(map: &mut BlockMap<'_>, model: &Model, chunks: &[u32]) {
    for &chunk in chunks {
        for (start, end) in model.gaps().filter(|gap| gap.0 / BITS == chunk) {
            map.add_to_maximum(gap(start, end));
        }
        map.take_maximum(chunk, Offset::NIL);
    }
}

fn gap(start: u32, end: u32) -> Gap {
    Gap { start: Offset::new(start), end: Offset::new(end) }
}

fn place(map: &BlockMap<'_>, at: u32) -> Place {
    map.boundaries.place(Offset::new(at)).unwrap()
}

/// Compares what the map answers for some granules, and for all chunks, with what the model says.
fn compare(map: &BlockMap<'_>, model: &Model, random: &mut Random) {
    let end = model.end;
    let block_at = |at: u32| model.blocks.iter().copied().find(|block| block.0 <= at && at < block.1);
    let boundaries = model.blocks.iter().flat_map(|block| [block.0, block.1]).chain([0, end]);
    let around = boundaries.flat_map(|at| [at.saturating_sub(1), at, at + 1]);
    let any: Vec<u32> = (0..20).map(|_| random.below(end as usize + 1) as u32).collect();
    for at in around.chain(any).filter(|&at| at <= end) {
        let offset = Offset::new(at);
        let is_start = model.blocks.iter().any(|block| block.0 == at);
        assert_eq!(map.is_start(offset), is_start, "granule {at} of {end}");
        if is_start {
            let block_end = block_at(at).unwrap().1;
            assert_eq!(map.block_end(offset), Offset::new(block_end), "the block at {at} of {end}");
        }
        if at < end {
            assert_eq!(map.is_allocated(offset), block_at(at).is_some(), "granule {at} of {end}");
        }
        if block_at(at).is_none_or(|block| block.0 == at) {
            let gap_start = model.blocks.iter().map(|block| block.1).rfind(|&end| end <= at).unwrap_or(0);
            let gap_end = model.blocks.iter().map(|block| block.0).find(|&start| start >= at).unwrap_or(end);
            assert_eq!(map.gap_start(offset), Offset::new(gap_start), "the gap around {at} of {end}");
            assert_eq!(map.gap_end(offset), Offset::new(gap_end), "the gap around {at} of {end}");
        }
        compare_searches(map, model, at, random);
    }
    compare_sums(map, model);
}

/// Compares what is found from a granule on, and of all, for some size.
fn compare_searches(map: &BlockMap<'_>, model: &Model, at: u32, random: &mut Random) {
    let end = model.end;
    let most = [4, 80, end as usize][random.below(3)];
    let size = 1 + random.below(most) as u32;
    let mut fits = model.gaps().filter(|gap| gap.1 - gap.0 >= size).map(|(start, end)| gap(start, end));
    let first = fits.clone().find(|gap| gap.start >= Offset::new(at));
    let from = map.find_from(Offset::new(at), Granules::new(size));
    assert_eq!(from.map(|found| found.gap), first, "{size} from {at} of {end}");
    assert_eq!(map.find_first(Granules::new(size)).map(|found| found.gap), fits.next(), "{size} of {end}");
}

/// Compares what the map sums up: the largest gaps, the maxima and the summary.
fn compare_sums(map: &BlockMap<'_>, model: &Model) {
    let end = model.end;
    for (start, end) in model.gaps() {
        assert_eq!(map.gap_at(Offset::new(start)), gap(start, end));
        // With the first gap of a chunk held, and with another.
        for held in [start, start + 1, u32::MAX] {
            let largest = Granules::new(model.largest_in(start / BITS, held));
            assert_eq!(map.largest_in(start / BITS, Offset::new(held)), largest, "without the gap at {held}");
        }
    }
    for chunk in 0..=end / BITS {
        let gaps = model.gaps().filter(|gap| gap.0 / BITS == chunk).fold(0, |bits, gap| bits | 1 << (gap.0 % BITS));
        assert_eq!(map.gaps(chunk), gaps, "gaps in chunk {chunk} of {end}");
        assert_eq!(map.maxima.get(chunk), model.largest_in(chunk, u32::MAX).min(MOST), "chunk {chunk} of {end}");
        let is_empty = !model.blocks.iter().any(|block| block.0 / BITS == chunk || block.1 / BITS == chunk);
        let is_edge = chunk == 0 || chunk == end / BITS;
        assert_eq!(map.summary.contains(chunk), is_edge || !is_empty, "chunk {chunk} of {end}");
    }
    assert!(map.summary.is_whole() && map.maxima.is_whole() && map.boundaries.padding_is_clear());
}

/// Makes, moves and frees blocks of up to `longest` granules in a segment of `end` granules, and compares after each step.
fn every_step_agrees(end: u32, longest: u32, steps: usize) {
    with_bookkeeping(BlockMap::footprint(Granules::new(end)), |memory| {
        let mut map = {
            let mut new = BlockMap::EMPTY;
            new.set_up(Granules::new(end), Granules::ZERO, memory).unwrap();
            new
        };
        assert_eq!(map.end(), Offset::new(end));
        let mut model = Model { blocks: Vec::new(), end };
        let mut random = Random(u64::from(end * 1000 + longest));
        update_maxima(&mut map, &model, &[0]);
        compare(&map, &model, &mut random);
        for step in 0..steps {
            let has_gaps = model.gaps().any(|gap| gap.1 - gap.0 >= 2);
            let grows = random.below(8) < if step / 60 % 2 == 0 { 6 } else { 2 };
            let need = 2 + random.below(longest as usize) as u32;
            let touched = if grows && random.below(2) == 0 {
                allocate_first(&mut map, &mut model, need)
            } else if has_gaps && (grows || model.blocks.is_empty()) {
                Some(allocate_anywhere(&mut map, &mut model, need, &mut random))
            } else if random.below(3) > 0 {
                Some(free_any(&mut map, &mut model, &mut random))
            } else {
                resize_any(&mut map, &mut model, &mut random)
            };
            let Some(touched) = touched else { continue };
            update_maxima(&mut map, &model, &touched.map(|at| at / BITS));
            compare(&map, &model, &mut random);
        }
    });
}

// Each step answers with the granules in whose chunks the maxima may have changed, or with nothing where it could not be done.

/// Does what first fit does: find and settle bring the maxima up to date by themselves.
fn allocate_first(map: &mut BlockMap<'_>, model: &mut Model, need: u32) -> Option<[u32; 3]> {
    let fits = model.gaps().find(|gap| gap.1 - gap.0 >= need);
    let found = map.find_first(Granules::new(need));
    assert_eq!(found.as_ref().map(|found| found.gap), fits.map(|(start, end)| gap(start, end)));
    let (found, (start, stop)) = (found?, fits?);
    let (from, to) = map.span(Offset::new(start), Offset::new(start + need)).unwrap();
    map.occupy(from, to);
    map.settle(found, gap(start + need, stop), Offset::NIL);
    let index = model.blocks.partition_point(|block| block.0 < start);
    model.blocks.insert(index, (start, start + need));
    compare_sums(map, model);
    Some([start; 3])
}

/// Makes a block at a gap's start mostly; sometimes inside of it or at its end.
fn allocate_anywhere(map: &mut BlockMap<'_>, model: &mut Model, need: u32, random: &mut Random) -> [u32; 3] {
    let gaps: Vec<(u32, u32)> = model.gaps().filter(|gap| gap.1 - gap.0 >= 2).collect();
    let (start, end) = gaps[random.below(gaps.len())];
    let length = need.min(end - start);
    let at = match random.below(4) {
        0 => start + random.below((end - start - length) as usize + 1) as u32,
        1 => end - length,
        _ => start,
    };
    let (from, to) = (place(map, at), place(map, at + length).near());
    if at == start {
        map.occupy(from, to)
    } else {
        map.occupy_inside(from, to)
    }
    let index = model.blocks.partition_point(|block| block.0 < at);
    model.blocks.insert(index, (at, at + length));
    [start, at, at + length]
}

fn free_any(map: &mut BlockMap<'_>, model: &mut Model, random: &mut Random) -> [u32; 3] {
    let (start, stop) = model.blocks.remove(random.below(model.blocks.len()));
    map.vacate(place(map, start), place(map, stop).near());
    let gap_start = model.gaps().find(|gap| gap.0 <= start && gap.1 >= stop).unwrap().0;
    [gap_start, start, stop]
}

fn resize_any(map: &mut BlockMap<'_>, model: &mut Model, random: &mut Random) -> Option<[u32; 3]> {
    let index = random.below(model.blocks.len());
    let (start, stop) = model.blocks[index];
    let most = model.blocks.get(index + 1).map_or(model.end, |next| next.0);
    let to = start + 2 + random.below((most - start - 1) as usize) as u32;
    if to == stop {
        return None;
    }
    let (before, after) = map.ends(Offset::new(stop), Offset::new(to)).unwrap();
    map.move_end(before, after);
    model.blocks[index].1 = to;
    Some([start, stop, to])
}

#[test]
fn the_map_of_small_segments_agrees_with_a_list() {
    for end in [2, 3, 7, BITS - 1, BITS, BITS + 1, 2 * BITS - 1, 2 * BITS, 3 * BITS] {
        every_step_agrees(end, 6, 300);
    }
}

#[test]
fn the_map_of_blocks_and_gaps_longer_than_a_window_agrees_with_a_list() {
    for longest in [20, 3 * BITS, 40 * BITS] {
        every_step_agrees(BITS * 100 + 5, longest, 400);
        every_step_agrees(BITS * 150 - 1, longest, 400);
    }
    every_step_agrees(BITS * 700, 200 * BITS, 100);
}

#[test]
fn the_blocks_take_what_they_say_and_no_less() {
    fn made<P: Policy>(size: Granules, bytes: usize) -> bool {
        let mut region = vec![0u8; size.bytes() + GRANULE];
        let skip = region.as_ptr().align_offset(GRANULE);
        let start = NonNull::new(region.as_mut_ptr().wrapping_add(skip)).unwrap();
        let piece = Piece { start, size: size.bytes(), zeroed: true, lent: PhantomData };
        with_bookkeeping(bytes, |memory| {
            let mut blocks = Blocks::<P>::EMPTY;
            blocks.set_up(piece, Granules::ZERO, 0, memory).is_some()
        })
    }
    for size in [2, BITS - 1, BITS, 17 * BITS, 257 * BITS].map(Granules::new) {
        let bytes = BlockMap::footprint(size) - (ALIGNMENT - 1);
        assert_eq!([made::<NextFit>(size, bytes), made::<NextFit>(size, bytes - 1)], [true, false], "{size:?}");
        assert_eq!([made::<FirstFit>(size, bytes), made::<FirstFit>(size, bytes - 1)], [true, false], "{size:?}");
    }
}

#[test]
fn the_map_takes_what_it_says_and_no_less() {
    for end in [2, BITS - 1, BITS, 17 * BITS, 257 * BITS, 5000 * BITS].map(Granules::new) {
        // The footprint holds what aligning takes, which here is nothing.
        let bytes = BlockMap::footprint(end) - (ALIGNMENT - 1);
        let made = |bytes| {
            with_bookkeeping(bytes, |memory| {
                let mut map = BlockMap::EMPTY;
                map.set_up(end, Granules::ZERO, memory).is_some()
            })
        };
        assert_eq!([made(bytes), made(bytes - 1)], [true, false], "{end:?}");
    }
}

/// A segment of the largest size, which 32-bit addresses do not reach: 2^31 granules are the most that a maximum says.
#[cfg(target_pointer_width = "64")]
#[test]
fn gaps_that_no_maximum_can_count_are_found_taken_and_given_up() {
    let end = u32::MAX - 1;
    with_bookkeeping(BlockMap::footprint(Granules::new(end)), |memory| {
        let mut map = BlockMap::EMPTY;
        map.set_up(Granules::new(end), Granules::ZERO, memory).unwrap();
        map.add_to_maximum(gap(0, end));
        for taken in [0, 4, 8] {
            assert_eq!(map.maxima.get(0), MOST);
            assert!(map.is_maximum(Offset::new(taken), Granules::new(end - taken)), "the gap is its maximum");
            let all = Granules::new(end - taken);
            let found = map.find_first(all).unwrap();
            assert_eq!(
                [Some(found.gap), map.find_from(Offset::ZERO, all).map(|found| found.gap)],
                [Some(gap(taken, end)); 2]
            );
            assert!(map.find_first(Granules::new(end - taken + 1)).is_none());
            let (start, stop) = map.span(Offset::new(taken), Offset::new(taken + 4)).unwrap();
            map.occupy(start, stop);
            map.settle(found, gap(taken + 4, end), Offset::NIL);
        }
        map.take_maximum(0, Offset::NIL);
        assert_eq!(map.maxima.get(0), MOST);
        map.take_maximum(0, Offset::new(12));
        assert_eq!((map.maxima.get(0), map.maxima.root()), (0, 0));
    });
}

#[test]
fn a_segment_of_no_granules_has_no_blocks_and_no_gaps() {
    let empty = Blocks::<FirstFit>::EMPTY;
    for at in [Offset::ZERO, Offset::new(1), Offset::NIL] {
        assert!(!empty.map.is_start(at));
        assert!(empty.map.find_from(at, Granules::MIN_BLOCK).is_none());
        assert!(empty.live(at).is_err() && empty.found(at).is_none());
    }
    assert!(empty.map.find_first(Granules::MIN_BLOCK).is_none());
    assert_eq!((empty.previous_gap(Offset::ZERO), empty.next_gap(Offset::ZERO)), (Offset::NIL, Offset::NIL));
}
