//! What is lent is free, is no header, and is found wherever it lies.

use std::boxed::Box;
use std::vec::Vec;

use super::Random;
use crate::{Config, DefaultLock, FirstFit, GRANULE, Heap, NextFit, Policy, RegionArray, Segment, State};

type Region = RegionArray<40_000>;

/// Frees two of three objects, so that there are gaps of many sizes and the rover's among them. Answers with the end of the
/// highest block, too.
fn gappy_heap<P: Policy>(region: &mut Region) -> (Heap<'_, DefaultLock, P>, usize) {
    let heap: Heap<'_, DefaultLock, P> = Heap::from_memory(region.as_mut(), Config::new(64)).unwrap();
    let mut random = Random(11);
    let objects: Vec<_> = (0..150).map_while(|_| heap.alloc(1 + random.below(300)).ok()).collect();
    let used = heap.blocks_in(Segment::Blocks).filter(|block| block.state == State::Used);
    let reached = used.map(|block| block.address + block.size).max().unwrap();
    for object in objects {
        if random.below(3) > 0 {
            // SAFETY: nobody uses the object.
            unsafe { heap.free(object.as_ptr()) }.unwrap();
        }
    }
    (heap, reached)
}

/// What should be lent of a heap that was used up to `reached`, by a walk: free bytes without the header, cut off before
/// `from` and where nothing ever was but a header.
fn expected<P: Policy>(
    heap: &Heap<'_, DefaultLock, P>,
    reached: usize,
    from: usize,
    least: usize,
    most: usize,
) -> Option<(usize, usize)> {
    let free = heap.blocks_in(Segment::Blocks).filter(|block| block.state == State::Free);
    free.map(|block| ((block.address + GRANULE).max(from), (block.address + block.size).min(reached + GRANULE)))
        // Of a block that begins before `from` only what lies behind it counts.
        .filter(|&(start, end)| start < end && end - start >= least)
        .map(|(start, end)| (start, end.min(start + most / GRANULE * GRANULE)))
        .next()
}

fn lends_the_first_free_run_that_suffices<P: Policy>() {
    let mut region = Box::new(Region::new());
    let (heap, reached) = gappy_heap::<P>(&mut region);
    let segment = heap.segment(Segment::Blocks);
    for from in segment.clone().step_by(GRANULE) {
        for least in [1usize, 16, 17, 160, 1000, 5000] {
            let most = least.next_multiple_of(GRANULE).max(100);
            let lent = heap.with_free_ranges(from, least, most, |free| (free.addr().get(), free.len())).unwrap();
            let found = lent.map(|(addresses, (address, bytes))| {
                assert_eq!((addresses.start, addresses.len()), (address, bytes));
                (addresses.start, addresses.end)
            });
            let sought = expected(&heap, reached, from, least.next_multiple_of(GRANULE), most);
            assert_eq!(found, sought, "{least} bytes from {}", from - segment.start);
        }
    }
    heap.check().unwrap();
}

#[test]
fn what_is_lent_is_the_first_free_run_that_suffices_and_no_header() {
    lends_the_first_free_run_that_suffices::<NextFit>();
    lends_the_first_free_run_that_suffices::<FirstFit>();
}

#[test]
fn anything_may_be_left_in_what_was_lent() {
    let mut region = Box::new(Region::new());
    let (heap, _) = gappy_heap::<NextFit>(&mut region);
    let (mut from, mut pieces) = (heap.segment(Segment::Blocks).start, 0);
    while let Some((lent, ())) = heap
        // SAFETY: the bytes are lent for this.
        .with_free_ranges(from, 1, 128, |free| unsafe { free.cast::<u8>().write_bytes(0x5a, free.len()) })
        .unwrap()
    {
        (from, pieces) = (lent.end, pieces + 1);
    }
    assert!(pieces > 50, "{pieces} pieces");
    heap.check().unwrap();
    assert!(heap.alloc(2000).is_ok());
    heap.check().unwrap();
}

#[test]
fn what_was_promised_to_be_zeros_is_not_lent() {
    let mut region = Box::new(Region::new());
    region.as_mut().as_mut().fill(core::mem::MaybeUninit::zeroed());
    // SAFETY: all of it is zero.
    let memory = unsafe { crate::Memory::from(region.as_mut().as_mut()).assume_zeroed() };
    let heap = Heap::new(memory, Config::new(64)).unwrap();
    let start = heap.segment(Segment::Blocks).start;
    // SAFETY: the bytes are lent for this.
    let spoil = |free: core::ptr::NonNull<[u8]>| unsafe { free.cast::<u8>().write_bytes(0x5a, free.len()) };
    assert!(heap.with_free_ranges(start, 16, 4096, spoil).unwrap().is_none());
    let object = heap.alloc(1000).unwrap();
    // SAFETY: nobody uses the object.
    unsafe { heap.free(object.as_ptr()) }.unwrap();
    let (lent, ()) = heap.with_free_ranges(start, 16, 4096, spoil).unwrap().unwrap();
    assert_eq!(lent, start + 16..start + 16 + 1008 + 16);
    let layout = core::alloc::Layout::from_size_align(3000, 16).unwrap();
    let object = heap.alloc_layout_zeroed(layout).unwrap();
    // SAFETY: of 3000 bytes, all initialised.
    let bytes = unsafe { core::slice::from_raw_parts(object.as_ptr(), 3000) };
    assert!(bytes.iter().all(|&byte| byte == 0));
}

#[test]
fn nothing_is_lent_where_there_is_nothing() {
    let mut region = Box::new(Region::new());
    let (heap, _) = gappy_heap::<NextFit>(&mut region);
    let segment = heap.segment(Segment::Blocks);
    let lend = |from, least, most| heap.with_free_ranges(from, least, most, |_| ()).unwrap().is_some();
    assert!(lend(0, 16, 16) && lend(segment.start, 0, 16));
    assert!(!lend(segment.end - 1, 16, 16) && !lend(segment.end, 16, 16) && !lend(usize::MAX, 16, 16));
    // As many bytes behind the heap as an offset has granules.
    assert!(!lend(segment.start.saturating_add(crate::MAX_HEAP), 16, 16));
    assert!(!lend(segment.start, segment.len(), usize::MAX) && !lend(segment.start, usize::MAX, usize::MAX));
    assert!(!lend(segment.start, 64, 63) && !lend(segment.start, 0, 15));
    assert!(Heap::<DefaultLock>::empty().with_free_ranges(0, 16, 16, |_| ()).unwrap().is_none());
}
