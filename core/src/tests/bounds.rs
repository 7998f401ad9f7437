//! What stands between an offset or a size and memory that is not the heap's: nothing beyond the end is ever handed out,
//! whoever asks. (Set-up asks for what fits, and offsets come from a map that is right; so no heap gets as far as this.)

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::boxed::Box;

use super::{fill, with_bookkeeping};
use crate::layout::{Config, Segment, bookkeeping_size};
use crate::lent::Lent;
use crate::memory::{ALIGNMENT, Bump, Memory, Piece, RegionArray};
use crate::policy::{FirstFit, NextFit, Policy};
use crate::region::Region;
use crate::segments::Heap;
use crate::spin::SpinLock;
use crate::units::{GRANULE, Granules, MAX_HEAP, Offset, Word};

/// Bytes of the array, and the parts it is divided into.
const SIZE: usize = 1024;
const OWN: usize = 128;
const SLAB: usize = 256;
const BLOCKS: usize = 640;

const WORD: usize = size_of::<Word>();

fn divide(
    array: &mut RegionArray<SIZE>,
    own: usize,
    slab: usize,
    blocks: usize,
) -> Option<(Bump<'_>, Piece<'_>, Piece<'_>)> {
    Memory::from(array).divide(own, slab, blocks)
}

#[test]
fn memory_is_not_divided_into_more_than_there_is() {
    let mut array = RegionArray::new();
    assert!(divide(&mut array, OWN, SLAB, BLOCKS).is_some());
    for [own, slab, blocks] in [
        [OWN + 1, SLAB, BLOCKS],
        [OWN, SLAB + GRANULE, BLOCKS],
        [OWN, SLAB, BLOCKS + 1],
        [0, 0, SIZE + 1],
        [0, SIZE + 1, 0],
        [SIZE + 1, 0, 0],
        [usize::MAX, SLAB, BLOCKS],
        [OWN, usize::MAX, BLOCKS],
        [OWN, SLAB, usize::MAX],
        [usize::MAX, usize::MAX, 2],
    ] {
        assert!(divide(&mut array, own, slab, blocks).is_none(), "{own} + {slab} + {blocks}");
    }
}

#[test]
fn the_segments_follow_the_bookkeeping_and_each_other() {
    let mut array = RegionArray::new();
    let start = (&raw const array).addr();
    let (_, slab, blocks) = divide(&mut array, OWN, SLAB, BLOCKS).unwrap();
    assert_eq!((slab.start.addr().get(), slab.size), (start + OWN, SLAB));
    assert_eq!((blocks.start.addr().get(), blocks.size), (start + OWN + SLAB, BLOCKS));
    let mut apart = RegionArray::<OWN>::new();
    let memory = Memory::with_bookkeeping(array.as_mut(), apart.as_mut());
    let (mut bump, slab, blocks) = memory.divide(0, SLAB, SIZE - SLAB).unwrap();
    assert_eq!((slab.start.addr().get(), blocks.start.addr().get()), (start, start + SLAB));
    let words: Lent<'_, Word> = bump.slice(1).unwrap();
    assert_eq!(words.start().addr(), (&raw const apart).addr());
}

#[test]
fn four_granules_lie_between_the_bookkeeping_and_the_slots_and_three_are_left_to_blocks() {
    for slab_size in [1, GRANULE, 100] {
        let mut array = RegionArray::<SIZE>::new();
        let start = (&raw const array).addr();
        let config = Config::new(slab_size).slab_bytes(usize::MAX);
        let heap: Heap<'_> = Heap::from_memory(&mut array, config).unwrap();
        let before = heap.base().unwrap().addr().get() - start;
        let left = before - bookkeeping_size::<NextFit>(SIZE, config);
        assert!((4 * GRANULE..5 * GRANULE).contains(&left), "{left} bytes");
        assert_eq!(heap.segment(Segment::Blocks).len(), 3 * GRANULE);
    }
}

#[test]
fn the_bookkeeping_does_not_hand_out_more_than_it_has() {
    let mut array = RegionArray::new();
    let (mut bump, ..) = divide(&mut array, OWN, SLAB, BLOCKS).unwrap();
    assert!(bump.slice::<Word>(OWN / WORD + 1).is_none());
    for count in [usize::MAX, usize::MAX / 2, usize::MAX / 4, usize::MAX / WORD + 1] {
        assert!(bump.slice::<Word>(count).is_none(), "{count} words");
    }
    let (first, second): (Lent<'_, Word>, Lent<'_, u32>) = (bump.slice(1).unwrap(), bump.slice(1).unwrap());
    assert_eq!(second.start().addr(), first.start().addr() + WORD);
    let left = (OWN - WORD - 4) / 4;
    assert!(bump.slice::<u32>(left + 1).is_none());
    assert_eq!(bump.slice::<u32>(left).unwrap().len(), left);
    assert!(bump.slice::<u32>(1).is_none());
    assert_eq!(bump.slice::<u32>(0).unwrap().len(), 0);
}

/// A search looks at a node of the maxima on each level: at one cache line, where there are any.
#[test]
fn the_bookkeeping_starts_where_a_cache_line_does() {
    assert_eq!(ALIGNMENT, if usize::BITS == 64 { 64 } else { WORD });
}

#[test]
fn the_bookkeeping_is_not_handed_out_where_it_is_not_aligned() {
    let mut region = RegionArray::<SIZE>::new();
    let mut bookkeeping = RegionArray::<OWN>::new();
    let bytes: &mut [MaybeUninit<u8>] = &mut bookkeeping.as_mut()[1..];
    let (mut bump, ..) = Memory::with_bookkeeping(region.as_mut(), bytes).divide(0, SLAB, BLOCKS).unwrap();
    assert!(bump.slice::<Word>(1).is_none());
    bump.align();
    let words: Lent<'_, Word> = bump.slice(1).unwrap();
    assert_eq!(words.start().addr() % ALIGNMENT, 0);
    let bytes: &mut [MaybeUninit<u8>] = &mut bookkeeping.as_mut()[1..WORD - 1];
    let (mut bump, ..) = Memory::with_bookkeeping(region.as_mut(), bytes).divide(0, SLAB, BLOCKS).unwrap();
    bump.align();
    assert!(bump.slice::<Word>(1).is_none(), "the next multiple is beyond the end");
}

#[test]
fn the_bookkeeping_is_zeros_whatever_the_memory_held() {
    let mut array = RegionArray::new();
    fill(&mut array, 0xA5);
    let (mut bump, ..) = divide(&mut array, OWN, SLAB, BLOCKS).unwrap();
    let words: Lent<'_, Word> = bump.slice(OWN / WORD).unwrap();
    assert!((0..words.len()).all(|index| words.get(index) == 0));
    // SAFETY: all bytes were initialised above.
    let after = array.as_mut()[OWN..].iter().map(|byte| unsafe { byte.assume_init() });
    assert!(after.into_iter().all(|byte| byte == 0xA5), "zeros beyond the end");
}

#[test]
fn lent_values_end_where_the_loan_does() {
    with_bookkeeping(WORD * 6, |bump| {
        let mut lent: Lent<'_, Word> = bump.slice(5).unwrap();
        let mut next: Lent<'_, Word> = bump.slice(1).unwrap();
        *next.get_mut(0).unwrap() = 99;
        for index in 0..5 {
            *lent.get_mut(index).unwrap() = index + 1;
        }
        assert!((0..5).all(|index| lent.get(index) == index + 1));
        for beyond in [5, 6, usize::MAX / WORD, usize::MAX - 1, usize::MAX] {
            assert_eq!((lent.get(beyond), lent.get_ref(beyond)), (0, None), "value {beyond}");
            assert_eq!(lent.get_mut(beyond), None, "value {beyond}");
        }
        let four =
            |index| lent.look_at(index, 0, |values: &[Word; 4]| values.iter().fold(0, |all, value| all * 10 + value));
        assert_eq!((four(0), four(1)), (1234, 2345));
        for beyond in [2, 4, 5, 6, usize::MAX - 4, usize::MAX - 3, usize::MAX] {
            assert_eq!(four(beyond), 0, "four values from {beyond}");
        }
        assert_eq!(lent.look_at(0, 0, |values: &[Word; 5]| values[4]), 5);
        for index in [0, 1, usize::MAX] {
            assert_eq!(lent.look_at(index, 9, |values: &[Word; 6]| values[5]), 9, "six values from {index}");
        }
    });
}

#[test]
fn an_empty_loan_has_no_values() {
    let mut lent = Lent::<Word>::EMPTY;
    for index in [0, 1, usize::MAX] {
        assert_eq!((lent.get(index), lent.look_at(index, 9, |_: &[Word; 1]| 7)), (0, 9), "value {index}");
        assert_eq!(lent.get_mut(index), None, "value {index}");
    }
    assert_eq!(lent.len(), 0);
}

/// The slab segment's bytes as a region, with bytes of others before and after it.
fn region(array: &mut RegionArray<SIZE>) -> Region<'_> {
    Region::new(divide(array, OWN, SLAB, BLOCKS).unwrap().1)
}

const GRANULES: u32 = (SLAB / GRANULE) as u32;

/// Offsets and counts around the end, and such whose sum wraps.
const NUMBERS: [u32; 11] =
    [0, 1, 2, 3, GRANULES - 2, GRANULES - 1, GRANULES, GRANULES + 1, u32::MAX / 2, u32::MAX - 1, u32::MAX];

#[test]
fn no_pointer_leads_beyond_the_end_of_a_segment() {
    let mut array = RegionArray::new();
    let region = region(&mut array);
    for at in NUMBERS {
        for count in NUMBERS {
            let inside = u64::from(at) + u64::from(count) <= u64::from(GRANULES);
            let pointer = region.pointer(Offset::new(at), Granules::new(count));
            assert_eq!(pointer.is_some(), inside, "{count} granules at {at}");
            let address = region.address(Offset::new(at));
            assert!(pointer.is_none_or(|pointer| pointer.addr().get() == address), "{count} granules at {at}");
        }
    }
}

#[test]
fn a_region_has_the_whole_granules_of_its_piece_and_none_that_is_nil() {
    let piece = |size| Piece { start: NonNull::dangling(), size, zeroed: false, lent: PhantomData };
    for (size, granules) in [(0, 0), (GRANULE - 1, 0), (GRANULE, 1), (5 * GRANULE + 1, 5)] {
        assert_eq!(Region::new(piece(size)).granules(), Granules::new(granules), "{size} bytes");
    }
    // No granule of it is touched.
    let most = Region::new(piece(MAX_HEAP)).granules();
    assert!(Offset::ZERO.plus(most) < Offset::NIL);
}

#[test]
fn a_region_of_no_bytes_has_no_pointers_and_no_headers() {
    let mut empty = Region::EMPTY;
    for at in NUMBERS.map(Offset::new) {
        for count in NUMBERS.map(Granules::new) {
            assert_eq!(empty.pointer(at, count), None);
            assert_eq!(empty.write_split(at, at.plus(count), at.plus(count), Offset::NIL), None);
            assert_eq!(empty.write_allocated(at, count), None);
            assert!(!empty.allocated_is_intact(at, count) && !empty.free_is_intact(at, count, Offset::NIL));
            empty.write_free(at, count, Offset::ZERO);
            empty.set_length(at, count);
        }
        empty.link(at, Offset::ZERO);
    }
}

/// Whether no byte of the array is other than it was filled with.
fn is_untouched(array: &mut RegionArray<SIZE>) -> bool {
    // SAFETY: all bytes were initialised, and whoever has written some has failed.
    array.as_mut().iter().all(|byte| unsafe { byte.assume_init() } == 0xA5)
}

#[test]
fn no_header_is_written_beyond_the_end_of_a_segment() {
    let mut array = RegionArray::new();
    fill(&mut array, 0xA5);
    for at in [GRANULES, GRANULES + 1, GRANULES + 16, u32::MAX / 2, u32::MAX - 1, u32::MAX].map(Offset::new) {
        let mut region = region(&mut array);
        region.write_free(at, Granules::new(2), Offset::ZERO);
        region.link(at, Offset::ZERO);
        region.set_length(at, Granules::new(2));
        assert!(!region.free_is_intact(at, Granules::new(2), Offset::NIL), "a header at {at:?}");
        assert!(!region.allocated_is_intact(at, Granules::new(2)), "a header at {at:?}");
        assert!(is_untouched(&mut array), "a header was written at {at:?}");
    }
}

#[test]
fn no_block_is_written_that_ends_beyond_the_end_of_a_segment() {
    let mut array = RegionArray::new();
    fill(&mut array, 0xA5);
    for at in NUMBERS {
        for block in NUMBERS {
            let inside = u64::from(at) + u64::from(block.max(2)) <= u64::from(GRANULES);
            let mut it = region(&mut array);
            let written = it.write_allocated(Offset::new(at), Granules::new(block));
            let payload = it.pointer(Offset::new(at + u32::from(inside)), Granules::ZERO);
            assert_eq!(written, payload.filter(|_| inside), "{block} granules at {at}");
            if inside {
                fill(&mut array, 0xA5);
            }
            assert!(is_untouched(&mut array), "{block} granules at {at}");
        }
    }
}

#[test]
fn no_split_is_written_that_ends_beyond_the_end_of_a_segment() {
    let mut array = RegionArray::new();
    fill(&mut array, 0xA5);
    for at in NUMBERS {
        for end in NUMBERS {
            for gap_end in NUMBERS {
                let inside = at < end && end <= gap_end && gap_end <= GRANULES;
                let what = std::format!("{at} to {end} to {gap_end}");
                let mut it = region(&mut array);
                let [start, stop, last] = [at, end, gap_end].map(Offset::new);
                let written = it.write_split(start, stop, last, Offset::NIL);
                assert_eq!(written.is_some(), inside, "{what}");
                if inside {
                    assert_eq!(written.unwrap().addr().get(), it.address(start) + GRANULE, "{what}");
                    assert!(it.allocated_is_intact(start, start.up_to(stop)), "{what}");
                    let length = stop.up_to(last).minus(Granules::HEADER);
                    assert!(end == gap_end || it.free_is_intact(stop, length, Offset::NIL), "{what}");
                    fill(&mut array, 0xA5);
                }
                assert!(is_untouched(&mut array), "{what}");
            }
        }
    }
}

#[test]
fn a_link_beyond_the_end_of_a_segment_is_null() {
    let mut array = RegionArray::new();
    fill(&mut array, 0xA5);
    let mut region = region(&mut array);
    let (at, size) = (Offset::new(1), Granules::new(2));
    for next in [GRANULES, GRANULES + 1, u32::MAX - 1].map(Offset::new) {
        region.write_free(at, size, next);
        assert!(region.free_is_intact(at, size, Offset::NIL), "a link to {next:?}");
        region.link(at, Offset::ZERO);
        assert!(region.free_is_intact(at, size, Offset::ZERO) && !region.free_is_intact(at, size, Offset::NIL));
        region.link(at, next);
        assert!(region.free_is_intact(at, size, Offset::NIL), "a link to {next:?}");
    }
    let last = Offset::new(GRANULES - 1);
    region.link(at, last);
    assert!(region.free_is_intact(at, size, last) && !region.free_is_intact(at, size, Offset::NIL));
    region.set_length(at, Granules::new(3));
    assert!(region.free_is_intact(at, Granules::new(3), last));
}

fn starts_at_both_ends<P: Policy>(heap: &Heap<'_, SpinLock, P>) -> [bool; 2] {
    let blocks = heap.lock_blocks().unwrap();
    [Offset::ZERO, blocks.map.end()].map(|at| blocks.map.is_start(at))
}

fn no_block_starts_at_the_segments_end_under<P: Policy>() {
    let mut array = Box::new(RegionArray::<SIZE>::new());
    let heap: Heap<'_, SpinLock, P> = Heap::from_memory(array.as_mut(), Config::new(16)).unwrap();
    assert_eq!(starts_at_both_ends(&heap), [false, false]);
    heap.alloc(1).unwrap();
    assert_eq!(starts_at_both_ends(&heap), [true, false]);
}

#[test]
fn no_block_starts_at_the_segments_end() {
    no_block_starts_at_the_segments_end_under::<NextFit>();
    no_block_starts_at_the_segments_end_under::<FirstFit>();
}
