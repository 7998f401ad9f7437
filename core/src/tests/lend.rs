//! What is lent is free, is no header, and is found wherever it lies.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::slice;
use std::boxed::Box;
use std::vec::Vec;

use super::{Random, fill};
use crate::error::Violation;
use crate::error::{AllocError, ReallocError, Reason, Reentered};
use crate::layout::{Config, Segment};
use crate::lock::NoLock;
use crate::memory::{Memory, RegionArray};
use crate::policy::{FirstFit, NextFit, Policy};
use crate::segments::Heap;
use crate::spin::SpinLock;
use crate::units::{GRANULE, MAX_HEAP};
use crate::walk::State;

type Region = RegionArray<40_000>;

/// Frees two of three objects, so that there are gaps of many sizes and the rover's among them.
fn gappy_heap<P: Policy>(region: &mut Region) -> Heap<'_, SpinLock, P> {
    let heap = Heap::from_memory(region.as_mut(), Config::new(64)).unwrap();
    let mut random = Random(11);
    let objects: Vec<_> = (0..150).map_while(|_| heap.alloc(1 + random.below(300)).ok()).collect();
    for object in objects {
        if random.below(3) > 0 {
            // SAFETY: nobody uses the object.
            unsafe { heap.free(object.as_ptr()) }.unwrap();
        }
    }
    heap
}

/// What should be lent, by a walk: free bytes without the header, cut off before `from` and where nothing ever was.
fn expected<P: Policy>(heap: &Heap<'_, SpinLock, P>, from: usize, least: usize, most: usize) -> Option<(usize, usize)> {
    let blocks = heap.lock_blocks().unwrap();
    let touched = blocks.region.address(blocks.high_water) + GRANULE;
    drop(blocks);
    let free = heap.blocks_in(Segment::Blocks).filter(|block| block.state == State::Free);
    free.map(|block| ((block.address + GRANULE).max(from), (block.address + block.size).min(touched)))
        // Of a block that begins before `from` only what lies after it counts.
        .filter(|&(start, end)| start < end && end - start >= least)
        .map(|(start, end)| (start, end.min(start + most / GRANULE * GRANULE)))
        .next()
}

fn the_first_free_run_is_lent_under<P: Policy>() {
    let mut region = Box::new(Region::new());
    let heap = gappy_heap::<P>(&mut region);
    let segment = heap.segment(Segment::Blocks);
    let (mut lent_pieces, mut none) = (0, 0);
    for from in segment.clone().step_by(GRANULE) {
        for least in [1, GRANULE, GRANULE + 1, 10 * GRANULE, 1000, 5000] {
            let most = least.next_multiple_of(GRANULE).max(100);
            let lent = heap.with_free_ranges(from, least, most, |free| (free.addr().get(), free.len())).unwrap();
            let found = lent.map(|(addresses, (address, bytes))| {
                assert_eq!((addresses.start, addresses.len()), (address, bytes));
                (addresses.start, addresses.end)
            });
            let sought = expected(&heap, from, least.next_multiple_of(GRANULE), most);
            assert_eq!(found, sought, "{least} bytes from {}", from - segment.start);
            *if found.is_some() { &mut lent_pieces } else { &mut none } += 1;
        }
    }
    assert!(lent_pieces > 1000 && none > 1000, "{lent_pieces} times some, {none} times none");
    heap.check().unwrap();
}

#[test]
fn what_is_lent_is_the_first_free_run_that_suffices_and_no_header() {
    the_first_free_run_is_lent_under::<NextFit>();
    the_first_free_run_is_lent_under::<FirstFit>();
}

#[test]
fn what_is_lent_starts_at_the_first_granule_from_an_address_that_is_in_the_midst_of_one() {
    let mut region = Box::new(Region::new());
    let heap = gappy_heap::<NextFit>(&mut region);
    for from in heap.segment(Segment::Blocks) {
        let lent = |from| heap.with_free_ranges(from, 1, 64, |_| ()).unwrap();
        assert_eq!(lent(from), lent(from.next_multiple_of(GRANULE)));
    }
}

fn anything_may_be_left_under<P: Policy>() {
    let mut region = Box::new(Region::new());
    let heap = gappy_heap::<P>(&mut region);
    let (mut from, mut pieces) = (heap.segment(Segment::Blocks).start, 0);
    while let Some((lent, ())) = heap
        // SAFETY: the bytes are lent for this.
        .with_free_ranges(from, 1, 128, |free| unsafe { free.cast::<u8>().write_bytes(0x5a, free.len()) })
        .unwrap()
    {
        assert!(lent.start >= from && lent.end > lent.start && lent.end <= heap.segment(Segment::Blocks).end);
        (from, pieces) = (lent.end, pieces + 1);
    }
    assert!(pieces > 50, "{pieces} pieces");
    heap.check().unwrap();
    assert!(heap.alloc(2000).is_ok());
    heap.check().unwrap();
}

#[test]
fn anything_may_be_left_in_what_was_lent() {
    anything_may_be_left_under::<NextFit>();
    anything_may_be_left_under::<FirstFit>();
}

fn zeros_are_not_lent_under<P: Policy>() {
    let mut region = Box::new(Region::new());
    fill(&mut region, 0);
    // SAFETY: all of it is zero.
    let memory = unsafe { Memory::from(region.as_mut().as_mut()).assume_zeroed() };
    let heap: Heap<'_, SpinLock, P> = Heap::from_memory(memory, Config::new(64)).unwrap();
    let start = heap.segment(Segment::Blocks).start;
    // SAFETY: the bytes are lent for this.
    let spoil = |free: NonNull<[u8]>| unsafe { free.cast::<u8>().write_bytes(0x5a, free.len()) };
    assert!(heap.with_free_ranges(start, GRANULE, 4096, spoil).unwrap().is_none());
    let object = heap.alloc(1000).unwrap();
    // SAFETY: nobody uses the object.
    unsafe { heap.free(object.as_ptr()) }.unwrap();
    let (lent, ()) = heap.with_free_ranges(start, GRANULE, 4096, spoil).unwrap().unwrap();
    let block = 1000usize.next_multiple_of(GRANULE) + GRANULE;
    // The header of the gap after the block stood there: nothing after it was touched.
    assert_eq!(lent, start + GRANULE..start + block + GRANULE);
    let layout = Layout::from_size_align(3000, 8).unwrap();
    let object = heap.alloc_layout_zeroed(layout).unwrap();
    // SAFETY: of 3000 bytes, all initialised.
    let bytes = unsafe { slice::from_raw_parts(object.as_ptr(), 3000) };
    assert!(bytes.iter().all(|&byte| byte == 0));
}

#[test]
fn what_was_promised_to_be_zeros_is_not_lent() {
    zeros_are_not_lent_under::<NextFit>();
    zeros_are_not_lent_under::<FirstFit>();
}

fn calls_are_refused_while_free_bytes_are_lent_under<P: Policy>() {
    let mut region = Box::new(Region::new());
    let heap: Heap<'_, NoLock, P> = Heap::from_memory(region.as_mut(), Config::new(64)).unwrap();
    let [slot, block, gap] = [64, 100, 1000].map(|size| heap.alloc(size).unwrap().as_ptr());
    // SAFETY: nobody uses the object.
    unsafe { heap.free(gap) }.unwrap();
    let start = heap.segment(Segment::Blocks).start;
    let lent = heap.with_free_ranges(start, 512, 512, |_| {
        assert_eq!(heap.alloc(64), Err(AllocError::Reentered), "a slot");
        assert_eq!(heap.alloc(65), Err(AllocError::Reentered), "a block");
        assert_eq!(heap.alloc_zeroed(64), Err(AllocError::Reentered), "a zeroed slot");
        let layout = |size| Layout::from_size_align(size, 64).unwrap();
        assert_eq!(heap.alloc_layout(layout(64)), Err(AllocError::Reentered), "an aligned block");
        assert_eq!(heap.alloc_layout_zeroed(layout(10)), Err(AllocError::Reentered), "a zeroed aligned block");
        for object in [slot, block] {
            // SAFETY: it is refused.
            let freed = unsafe { heap.free(object) };
            assert_eq!(freed.unwrap_err().reason, Reason::Reentered);
            // SAFETY: as above.
            let moved = unsafe { heap.realloc(object, 200) };
            assert!(matches!(moved, Err(ReallocError::InvalidFree(error)) if error.reason == Reason::Reentered));
            assert_eq!(heap.usable_size(object).unwrap_err().reason, Reason::Reentered);
        }
        assert_eq!((heap.stats(), heap.repair()), (Err(Reentered), Err(Reentered)));
        assert_eq!((heap.check(), heap.blocks().next()), (Err(Violation::Reentered), None));
        assert_eq!(heap.with_free_ranges(start, 16, 16, |_| ()), Err(Reentered));
    });
    assert!(lent.unwrap().is_some());
    // Both locks were given back.
    assert!(heap.alloc(64).is_ok() && heap.alloc(65).is_ok());
    for object in [slot, block] {
        // SAFETY: nobody uses the object.
        unsafe { heap.free(object) }.unwrap();
    }
    heap.check().unwrap();
}

#[test]
fn every_call_is_refused_while_free_bytes_are_lent() {
    calls_are_refused_while_free_bytes_are_lent_under::<NextFit>();
    calls_are_refused_while_free_bytes_are_lent_under::<FirstFit>();
}

#[test]
fn nothing_is_lent_where_there_is_nothing() {
    let mut region = Box::new(Region::new());
    let heap = gappy_heap::<NextFit>(&mut region);
    let segment = heap.segment(Segment::Blocks);
    let lend = |from, least, most| heap.with_free_ranges(from, least, most, |_| ()).unwrap().is_some();
    assert!(lend(0, GRANULE, GRANULE) && lend(segment.start, 0, GRANULE));
    assert!(!lend(segment.end - 1, 16, 16) && !lend(segment.end, 16, 16) && !lend(usize::MAX, 16, 16));
    // As many bytes after the heap as an offset has granules.
    assert!(!lend(segment.start.saturating_add(MAX_HEAP), 16, 16));
    assert!(!lend(segment.start, segment.len(), usize::MAX) && !lend(segment.start, usize::MAX, usize::MAX));
    assert!(!lend(segment.start, 64, 63) && !lend(segment.start, 0, GRANULE - 1));
    assert!(Heap::<SpinLock>::empty().with_free_ranges(0, 16, 16, |_| ()).unwrap().is_none());
}
