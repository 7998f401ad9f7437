//! The map of whole heaps: the gaps beside a block, gaps larger than a maximum can say, and many levels.

use core::ptr::NonNull;
use std::vec;
use std::vec::Vec;

use super::super::Random;
use crate::error::AllocError;
use crate::layout::{Config, Segment, bookkeeping_size};
use crate::memory::Memory;
use crate::policy::{FirstFit, General, NextFit, Policy};
use crate::segments::Heap;
use crate::spin::SpinLock;
use crate::units::{GRANULE, Offset};
use crate::walk::State;

/// Makes a heap without slab of `bytes` zero bytes, of which few are touched.
fn with_heap<P: Policy>(bytes: usize, test: impl FnOnce(&Heap<'_, SpinLock, P>)) {
    let config = Config::without_slab();
    let mut zeros = vec![0u8; bytes + bookkeeping_size::<P>(bytes, config) + 2 * GRANULE];
    let (start, length) = (zeros.as_mut_ptr(), zeros.len());
    let skip = start.align_offset(GRANULE);
    let own = start.wrapping_add(skip + bytes);
    // SAFETY: both pieces are lent to the heap alone, for as long as it lives, and do not overlap.
    let memory = unsafe { Memory::from_raw_parts(start.wrapping_add(skip), bytes, own, length - skip - bytes) };
    // SAFETY: every byte is 0.
    let heap = Heap::from_memory(unsafe { memory.assume_zeroed() }, config).unwrap();
    test(&heap);
}

/// Compares each boundary's neighbours among the gaps with a walk. Only next fit looks for them.
fn compare_neighbours(heap: &Heap<'_, SpinLock>, step: usize) {
    let base = heap.segment(Segment::Blocks).start;
    let all: Vec<(Offset, bool)> = heap
        .blocks_in(Segment::Blocks)
        .map(|block| (Offset::of_byte(block.address - base), block.state == State::Free))
        .collect();
    let blocks = heap.lock_blocks().unwrap();
    let (mut previous, mut expected) = (Offset::NIL, Vec::new());
    for &(at, is_free) in &all {
        expected.push((previous, Offset::NIL));
        if is_free {
            previous = at;
        }
    }
    let mut next = Offset::NIL;
    for (&(at, is_free), neighbours) in all.iter().zip(&mut expected).rev() {
        neighbours.1 = next;
        if is_free {
            next = at;
        }
    }
    for (&(at, _), &neighbours) in all.iter().zip(&expected) {
        let found = (blocks.previous_gap(at), blocks.next_gap(at));
        assert_eq!(found, neighbours, "gaps beside {at:?}, step {step}");
    }
    assert_eq!(blocks.previous_gap(blocks.map.end()), previous, "the last gap, step {step}");
}

fn neighbours_are_found(bytes: usize, largest: usize) {
    with_heap::<NextFit>(bytes, |heap| {
        let (mut random, mut objects) = (Random(bytes as u64 + largest as u64), Vec::new());
        for step in 0..600 {
            if random.below(8) < if step / 150 % 2 == 0 { 6 } else { 2 } || objects.is_empty() {
                let most = if random.below(3) == 0 { largest } else { 200 };
                objects.extend(heap.alloc(1 + random.below(most)).ok());
            } else {
                let object = objects.swap_remove(random.below(objects.len()));
                // SAFETY: nobody uses the object.
                unsafe { heap.free(object.as_ptr()) }.unwrap();
            }
            compare_neighbours(heap, step);
        }
        heap.check().unwrap();
    });
}

#[test]
fn the_gaps_beside_a_block_are_found_near_and_far() {
    for (bytes, largest) in [(20_000, 1_000), (400_000, 20_000), (20_000_000, 3_000_000)] {
        neighbours_are_found(bytes, largest);
    }
}

const MIB: usize = 1 << 20;

/// Gaps beyond the largest number of a chunk, several in a heap: they come, grow, shrink and go, and no maximum is wrong at any time.
fn large_gaps_come_and_go_under<P: Policy>() {
    with_heap::<P>(16 * MIB, |heap| {
        let mut random = Random(5);
        let mut objects: Vec<NonNull<u8>> = Vec::new();
        let (mut beyond, mut served) = (0, 0);
        for step in 0..600 {
            let most = [2 * MIB, MIB / 8, 900][random.below(3)];
            let size = 1 + random.below(most);
            let growing = step / 60 % 2 == 0;
            let at = random.below(objects.len().max(1));
            match (random.below(4), objects.get(at).copied()) {
                (0 | 1, Some(object)) if !growing => {
                    objects.swap_remove(at);
                    // SAFETY: nobody uses the object.
                    unsafe { heap.free(object.as_ptr()) }.unwrap();
                }
                (2, Some(object)) => {
                    // A little more may leave a large gap in its chunk.
                    let little = heap.usable_size(object.as_ptr()).unwrap() + random.below(200);
                    let size = if random.below(2) == 0 { little } else { size };
                    // SAFETY: nobody uses the object.
                    if let Ok(moved) = unsafe { heap.realloc(object.as_ptr(), size) } {
                        objects[at] = moved;
                    }
                }
                _ => objects.extend(heap.alloc(size)),
            }
            assert_eq!(heap.check(), Ok(()), "after step {step}");
            let gaps = heap.blocks().filter(|block| block.state == State::Free && block.size > 600_000);
            beyond += usize::from(gaps.count() > 1);
            served += usize::from(size > 600_000);
        }
        assert!(beyond > 10 && served > 50, "{beyond} times several gaps, {served} large requests");
    });
}

#[test]
fn large_gaps_come_and_go() {
    large_gaps_come_and_go_under::<NextFit>();
    large_gaps_come_and_go_under::<FirstFit>();
    large_gaps_come_and_go_under::<General>();
}

/// Its chunks need five levels of maxima, and more where a word is short. What is too high on the highest would lead a search to
/// where there is nothing.
fn a_heap_with_many_levels_serves_under<P: Policy>() {
    with_heap::<P>(256 * MIB, |heap| {
        assert!(heap.lock_blocks().unwrap().map.boundaries.chunks().count() >= 200_000);
        let first = heap.alloc(60 * MIB).unwrap();
        let second = heap.alloc(60 * MIB).unwrap();
        // SAFETY: nobody uses the object.
        unsafe { heap.free(first.as_ptr()) }.unwrap();
        heap.check().unwrap();
        let largest = || heap.stats().unwrap().blocks.largest_free;
        let mut pieces = Vec::new();
        while largest() > 50 * MIB {
            pieces.push(heap.alloc(10 * MIB).unwrap());
            heap.check().unwrap();
        }
        // Both gaps were made shorter, which one first is the policy's affair.
        assert!(pieces.iter().any(|piece| *piece < second) && pieces.iter().any(|piece| *piece > second));
        assert_eq!(heap.alloc(50 * MIB), Err(AllocError::Fragmented));
        assert!(heap.alloc(1000).is_ok());
        for object in pieces.into_iter().chain([second]) {
            // SAFETY: nobody uses the object.
            unsafe { heap.free(object.as_ptr()) }.unwrap();
            heap.check().unwrap();
        }
    });
}

#[test]
fn a_heap_whose_maxima_have_five_levels_serves_on_after_a_request_that_does_not_fit() {
    a_heap_with_many_levels_serves_under::<NextFit>();
    a_heap_with_many_levels_serves_under::<FirstFit>();
}
