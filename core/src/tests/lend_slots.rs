//! Free slots of the slab are lent as they lie, and may lose their headers; and a free says what it gives back.

use core::ptr::NonNull;
use std::boxed::Box;
use std::vec::Vec;

use super::Random;
use crate::error::Violation;
use crate::error::{AllocError, Reason, Reentered};
use crate::layout::{Config, Segment};
use crate::lock::NoLock;
use crate::memory::RegionArray;
use crate::policy::{FirstFit, General, NextFit, Policy};
use crate::segments::Heap;
use crate::spin::SpinLock;
use crate::units::GRANULE;
use crate::walk::State;

type Region = RegionArray<60_000>;

/// Slots in rows of free and of live ones, the lowest free or not; and their addresses.
fn heap_of_rows<P: Policy>(region: &mut Region, slot: usize, seed: u64) -> (Heap<'_, SpinLock, P>, Vec<NonNull<u8>>) {
    let heap = Heap::from_memory(region.as_mut(), Config::new(slot)).unwrap();
    let mut random = Random(seed);
    let mut slots: Vec<_> = (0..200).map(|_| heap.alloc(slot).unwrap()).collect();
    let mut row = 0;
    slots.retain(|object| {
        row = if row == 0 { 1 + random.below(150) } else { row - 1 };
        let stays = row % 100 > 70 || row % 8 == 0;
        if !stays {
            // SAFETY: nobody uses the object.
            unsafe { heap.free(object.as_ptr()) }.unwrap();
        }
        stays
    });
    (heap, slots)
}

/// What should be lent, by a walk.
fn expected<P: Policy>(heap: &Heap<'_, SpinLock, P>, within: (usize, usize), least: usize) -> Option<(usize, usize)> {
    let used = heap.stats().unwrap().slab.peak_objects;
    let mut rows: Vec<(usize, usize)> = Vec::new();
    for block in heap.blocks_in(Segment::Slab).take(used).filter(|block| block.state == State::Free) {
        match rows.last_mut() {
            Some((_, end)) if *end == block.address => *end += block.size,
            _ => rows.push((block.address, block.address + block.size)),
        }
    }
    let mut cut = rows.into_iter().map(|(start, end)| (start.max(within.0), end.min(within.1)));
    cut.find(|&(start, end)| start < end && end - start >= least)
}

fn rows_are_lent_under<P: Policy>(slot: usize) {
    let mut region = Box::new(Region::new());
    let mut some = 0;
    for seed in 0..4 {
        let (heap, _) = heap_of_rows::<P>(&mut region, slot, seed);
        let slab = heap.segment(Segment::Slab);
        for start in slab.clone().step_by(7 * GRANULE) {
            for length in [GRANULE, 10 * GRANULE, 64 * GRANULE, 500 * GRANULE, slab.len()] {
                for least in [1, 100, 2000] {
                    let within = start..(start + length).min(slab.end + 100);
                    let lent = heap.with_free_slots(within.clone(), least, |free| (free.addr().get(), free.len()));
                    let found = lent.unwrap().map(|(addresses, (address, bytes))| {
                        assert_eq!((addresses.start, addresses.len()), (address, bytes));
                        (addresses.start, addresses.end)
                    });
                    let end = within.end.min(slab.end) / GRANULE * GRANULE;
                    let sought = expected(&heap, (start, end), least.next_multiple_of(GRANULE));
                    assert_eq!(found, sought, "{least} of {length} from {}", start - slab.start);
                    some += usize::from(found.is_some());
                }
            }
        }
        heap.check().unwrap();
    }
    assert!(some > 500, "{some} times some");
}

#[test]
fn what_is_lent_are_the_first_free_slots_that_suffice() {
    rows_are_lent_under::<NextFit>(48);
    rows_are_lent_under::<FirstFit>(64);
    rows_are_lent_under::<General>(16);
}

/// Clears every free slot, or granules of it.
fn clear<P: Policy>(heap: &Heap<'_, SpinLock, P>) -> usize {
    let slab = heap.segment(Segment::Slab);
    let (mut at, mut pieces) = (slab.start, 0);
    // SAFETY: the bytes are lent for this.
    let zeros = |free: NonNull<[u8]>| unsafe { free.cast::<u8>().write_bytes(0, free.len()) };
    while let Some((lent, ())) = heap.with_free_slots(at..slab.end, 200, zeros).unwrap() {
        (at, pieces) = (lent.end, pieces + 1);
        heap.check().unwrap();
    }
    pieces
}

fn headers_of_zeros_are_intact_under<P: Policy>(slot: usize) {
    let mut region = Box::new(Region::new());
    let (heap, mut live) = heap_of_rows::<P>(&mut region, slot, 5);
    let mut random = Random(6);
    for _ in 0..50 {
        assert!(clear(&heap) > 0);
        for _ in 0..50 {
            if random.below(2) == 0 {
                live.push(heap.alloc(slot).unwrap());
            } else if !live.is_empty() {
                let object = live.swap_remove(random.below(live.len()));
                // SAFETY: nobody uses the object.
                unsafe { heap.free(object.as_ptr()) }.unwrap();
            }
            heap.check().unwrap();
        }
    }
    // A header that is neither is found as before, and every one is written again by a repair.
    clear(&heap);
    let free = heap.blocks_in(Segment::Slab).find(|block| block.state == State::Free).unwrap().address;
    // SAFETY: a free slot, in memory that this test owns.
    unsafe { core::ptr::with_exposed_provenance_mut::<u8>(free).write(1) };
    assert_eq!(heap.check(), Err(Violation::Overwritten { address: free }));
    assert_eq!(heap.repair(), Ok(1));
    heap.check().unwrap();
}

#[test]
fn the_header_of_a_lent_slot_may_be_zeros_and_comes_again() {
    headers_of_zeros_are_intact_under::<NextFit>(48);
    headers_of_zeros_are_intact_under::<FirstFit>(64);
    headers_of_zeros_are_intact_under::<General>(32);
}

#[test]
fn a_header_of_zeros_is_overwritten_where_nothing_was_lent() {
    let mut region = Box::new(Region::new());
    let (heap, _) = heap_of_rows::<NextFit>(&mut region, 64, 7);
    let free = heap.blocks_in(Segment::Slab).find(|block| block.state == State::Free).unwrap().address;
    // SAFETY: a free slot, in memory that this test owns.
    unsafe { core::ptr::with_exposed_provenance_mut::<u8>(free).write_bytes(0, GRANULE) };
    assert_eq!(heap.check(), Err(Violation::Overwritten { address: free }));
}

#[test]
fn every_call_is_refused_while_slots_are_lent_and_none_is_where_there_is_none() {
    let mut region = Box::new(Region::new());
    let heap: Heap<'_, NoLock, NextFit> = Heap::from_memory(region.as_mut(), Config::new(64)).unwrap();
    let (slab, all) = (heap.segment(Segment::Slab), 0..usize::MAX);
    assert_eq!(heap.with_free_slots(all.clone(), 1, |_| ()), Ok(None));
    let slot = heap.alloc(64).unwrap().as_ptr();
    assert_eq!(heap.with_free_slots(all.clone(), 1, |_| ()), Ok(None));
    // SAFETY: nobody uses the object.
    unsafe { heap.free(slot) }.unwrap();
    let lent = heap.with_free_slots(all.clone(), 64, |free| {
        assert_eq!((free.addr().get(), free.len()), (slot.addr(), 64));
        assert_eq!((heap.alloc(64), heap.alloc(65)), (Err(AllocError::Reentered), Err(AllocError::Reentered)));
        assert_eq!(heap.with_free_slots(all.clone(), 1, |_| ()), Err(Reentered));
    });
    assert!(lent.unwrap().is_some() && heap.alloc(65).is_ok());
    for within in [slab.end..usize::MAX, 0..slab.start, slab.start..slab.start, slab.start + 1..slab.start + GRANULE] {
        assert_eq!(heap.with_free_slots(within, 1, |_| ()), Ok(None));
    }
    assert_eq!(heap.with_free_slots(all.clone(), 65, |_| ()), Ok(None));
    assert_eq!(Heap::<SpinLock>::empty().with_free_slots(all, 1, |_| ()), Ok(None));
}

fn a_free_says_what_it_gives_back_under<P: Policy>() {
    let mut region = Box::new(Region::new());
    let heap: Heap<'_, SpinLock, P> = Heap::from_memory(region.as_mut(), Config::new(1000)).unwrap();
    let [block, slot, other] = [5000, 1000, 10].map(|size| heap.alloc(size).unwrap().as_ptr());
    // SAFETY: nobody uses the objects; of two frees the second is refused.
    let free = |object| unsafe { heap.free_measured(object) };
    assert_eq!(free(slot), Ok(1008));
    assert_eq!(free(block), Ok(5008 + GRANULE));
    assert_eq!(free(other), Ok(if P::CLASSES { 0 } else { 2 * GRANULE }));
    for (object, reason) in [(slot, Reason::DoubleFree), (block, Reason::DoubleFree), (other, Reason::DoubleFree)] {
        assert_eq!(free(object).unwrap_err().reason, reason);
    }
    assert_eq!(free(core::ptr::null_mut()).unwrap_err().reason, Reason::OutsideHeap);
    heap.check().unwrap();
}

#[test]
fn a_free_says_what_it_gives_back() {
    a_free_says_what_it_gives_back_under::<NextFit>();
    a_free_says_what_it_gives_back_under::<FirstFit>();
    a_free_says_what_it_gives_back_under::<General>();
}

#[test]
fn a_free_that_ends_runs_says_their_bytes() {
    let mut region = Box::new(Region::new());
    let heap: Heap<'_, SpinLock, General> = Heap::from_memory(region.as_mut(), Config::without_slab()).unwrap();
    let slots: Vec<_> = (0..500).map(|_| heap.alloc(32).unwrap()).collect();
    let live = || heap.stats().unwrap().blocks.live_bytes;
    let (before, mut told) = (live(), 0);
    for slot in slots {
        // SAFETY: nobody uses the object.
        told += unsafe { heap.free_measured(slot.as_ptr()) }.unwrap();
    }
    assert!(told > 8000 && told == before - live(), "{told} bytes of {before}, {} stay", live());
}
