//! A heap to which memory is added: what is refused, where it goes, and what is known of it.
#![allow(missing_docs)]

use std::alloc::Layout;

use slabfit::{AllocError, Config, DefaultLock, ExtendError, FirstFit, GRANULE, General, Heap, InitError, MIN_HEAP};
use slabfit::{Memory, NextFit, Policy, Reason, Segment, State, bookkeeping_size};

const KIB: usize = 1 << 10;

/// Memory for the whole life of a test, at a multiple of 8 KiB, of which a heap has the first part.
fn memory(size: usize, all: usize) -> Memory<'static> {
    let layout = Layout::from_size_align(all, 8 * KIB).unwrap();
    // SAFETY: of more than 0 bytes.
    let start = unsafe { std::alloc::alloc_zeroed(layout) };
    let bookkeeping = Box::leak(vec![0u8; all / 8 + 2 * KIB].into_boxed_slice());
    // SAFETY: two pieces that nobody else has, for ever.
    let memory = unsafe { Memory::from_raw_parts(start, size, bookkeeping.as_mut_ptr(), bookkeeping.len()) };
    // SAFETY: both were allocated as zeros.
    unsafe { memory.assume_zeroed() }
}

/// A heap of `size` bytes, without a slab, that can have `reserve` more.
fn heap<P: Policy>(size: usize, reserve: usize) -> Heap<'static, DefaultLock, P> {
    Heap::from_memory(memory(size, size + reserve), Config::without_slab().reserve(reserve)).unwrap()
}

/// Extends a heap of these tests, whose memory has as many bytes as were reserved.
fn extend<P: Policy>(heap: &Heap<'_, DefaultLock, P>, bytes: usize) -> Result<(), ExtendError> {
    // SAFETY: within the reserve; otherwise it is refused.
    let extended = unsafe { heap.extend(bytes) };
    assert_eq!(heap.check(), Ok(()));
    extended
}

fn free<P: Policy>(heap: &Heap<'_, DefaultLock, P>, object: *mut u8) -> Result<(), Reason> {
    // SAFETY: nobody uses the objects of these tests.
    unsafe { heap.free(object) }.map_err(|error| error.reason)
}

/// Sizes and states of the blocks, in order.
fn blocks<P: Policy>(heap: &Heap<'_, DefaultLock, P>) -> Vec<(usize, State)> {
    heap.blocks().map(|block| (block.size, block.state)).collect()
}

fn is_joined_or_apart<P: Policy>() {
    use State::{Free, Used};
    let heap = heap::<P>(1024, 4096);
    assert_eq!(extend(&heap, 1000), Ok(()), "rounded down to granules");
    assert_eq!(blocks(&heap), [(1024 + 992, Free)]);
    let first = heap.alloc(1000).unwrap();
    let rest = heap.alloc(976).unwrap();
    assert_eq!(heap.alloc(1), Err(AllocError::Full));
    assert_eq!(blocks(&heap), [(1024, Used), (992, Used)]);
    assert_eq!(extend(&heap, 512), Ok(()));
    assert_eq!(blocks(&heap), [(1024, Used), (992, Used), (512, Free)]);
    let last = heap.alloc(100).unwrap();
    assert_eq!(extend(&heap, 32), Ok(()), "the smallest that there can be");
    assert_eq!(blocks(&heap), [(1024, Used), (992, Used), (128, Used), (416, Free)]);
    for object in [rest, first, last] {
        assert_eq!(free(&heap, object.as_ptr()), Ok(()));
    }
    assert_eq!(blocks(&heap), [(2560, Free)]);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn what_is_added_is_joined_with_a_free_block_before_it_and_stands_apart_from_a_live_one() {
    is_joined_or_apart::<NextFit>();
    is_joined_or_apart::<FirstFit>();
    is_joined_or_apart::<General>();
}

#[test]
fn what_cannot_be_added_is_refused_and_changes_nothing() {
    let heap = heap::<FirstFit>(1024, 4096 + 9);
    let before = (heap.size(), heap.stats().unwrap());
    for bytes in [0, 1, GRANULE, 2 * GRANULE - 1] {
        assert_eq!(extend(&heap, bytes), Err(ExtendError::TooSmall { size: bytes, minimum: 2 * GRANULE }));
    }
    for bytes in [4096 + GRANULE, 1 << 20, usize::MAX] {
        assert_eq!(extend(&heap, bytes), Err(ExtendError::BeyondReserve { size: bytes, reserve: 4096 }));
    }
    assert_eq!((heap.size(), heap.stats().unwrap()), before);
    assert_eq!(extend(&heap, 4000), Ok(()));
    assert_eq!(extend(&heap, 112), Err(ExtendError::BeyondReserve { size: 112, reserve: 96 }));
    assert_eq!(extend(&heap, 96 + 9), Ok(()), "the last granules of the reserve");
    assert_eq!(extend(&heap, 32), Err(ExtendError::BeyondReserve { size: 32, reserve: 0 }));
    let without = Heap::<DefaultLock, FirstFit>::from_memory(memory(1024, 1024), Config::without_slab()).unwrap();
    assert_eq!(extend(&without, 32), Err(ExtendError::BeyondReserve { size: 32, reserve: 0 }));
    assert_eq!(extend(&Heap::<DefaultLock, NextFit>::empty(), 32), Err(ExtendError::NotInitialised));
}

#[test]
fn addresses_belong_to_the_heap_from_then_on() {
    let heap = heap::<NextFit>(1024, 1024);
    let end = heap.base().unwrap().as_ptr().wrapping_add(1024);
    assert_eq!(free(&heap, end.wrapping_add(64)), Err(Reason::OutsideHeap));
    assert!(!heap.owns(end));
    assert_eq!(extend(&heap, 1024), Ok(()));
    assert_eq!(free(&heap, end.wrapping_add(64)), Err(Reason::NeverAllocated));
    assert!(heap.owns(end.wrapping_add(1023)) && !heap.owns(end.wrapping_add(1024)));
    assert_eq!((heap.size(), heap.segment(Segment::Blocks).len()), (2048, 2048));
    let stats = heap.stats().unwrap().blocks;
    assert_eq!((stats.size, stats.free_bytes, stats.largest_free, stats.allocs), (2048, 2048, 2048, 0));
    let object = heap.alloc(2000).unwrap().as_ptr();
    assert_eq!((free(&heap, object), free(&heap, object)), (Ok(()), Err(Reason::DoubleFree)));
}

#[test]
fn a_live_object_at_the_end_grows_into_it() {
    let heap = heap::<FirstFit>(1024, 1024);
    let object = heap.alloc(1000).unwrap().as_ptr();
    assert_eq!(extend(&heap, 1024), Ok(()));
    // SAFETY: nobody uses the object.
    let grown = unsafe { heap.realloc(object, 2000) }.unwrap().as_ptr();
    assert_eq!(grown, object);
}

#[test]
fn zeros_that_are_added_are_known_to_be_zeros() {
    let heap = heap::<FirstFit>(1024, 4096);
    assert_eq!(extend(&heap, 4096), Ok(()));
    let marked = heap.base().unwrap().as_ptr().wrapping_add(3000);
    // SAFETY: of the heap's memory, where no object is yet; the heap is told that it is zeros.
    unsafe { marked.write(1) };
    let object = heap.alloc_layout_zeroed(Layout::from_size_align(5000, 8).unwrap()).unwrap().as_ptr();
    // SAFETY: of the object.
    assert_eq!(unsafe { object.wrapping_add(3000 - GRANULE).read() }, 1, "not cleared");
}

#[test]
fn the_reserve_counts_for_the_size_classes() {
    let heap = heap::<General>(8 * KIB, KIB * KIB - 8 * KIB);
    assert!(heap.stats().unwrap().classes.iter().all(|class| class.slot_size > 0));
    let slots: Vec<_> = std::iter::from_fn(|| heap.alloc(100).ok()).collect();
    assert_eq!(extend(&heap, 512 * KIB), Ok(()));
    let more: Vec<_> = (0..1000).map(|_| heap.alloc(500).unwrap()).collect();
    let end = heap.base().unwrap().addr().get() + 8 * KIB;
    assert!(more.iter().any(|slot| slot.addr().get() > end + 256 * KIB));
    assert_eq!(heap.check(), Ok(()));
    for slot in slots.into_iter().chain(more) {
        assert_eq!(free(&heap, slot.as_ptr()), Ok(()));
    }
    heap.empty_magazines().unwrap();
    assert_eq!(blocks(&heap), [(520 * KIB, State::Free)]);
}

#[test]
fn a_region_of_one_piece_holds_the_bookkeeping_for_the_reserve() {
    let config = Config::without_slab().reserve(64 * KIB);
    let mut small = vec![std::mem::MaybeUninit::<u8>::uninit(); 8 * KIB];
    let Err(InitError::TooSmall { size, minimum }) = Heap::new(&mut small[..512], config).map(drop) else {
        panic!("512 bytes do not hold it")
    };
    assert!(size <= 512 && minimum > bookkeeping_size::<NextFit>(64 * KIB, Config::without_slab()) + MIN_HEAP);
    let heap = Heap::new(&mut small[..], config).unwrap();
    let plain = 8 * KIB - bookkeeping_size::<NextFit>(8 * KIB, Config::without_slab());
    assert!(heap.size() < plain - KIB && heap.size() > plain - 4 * KIB, "{} of {plain}", heap.size());
    let too_large = Heap::<DefaultLock, NextFit>::from_memory(memory(1024, 1024), Config::new(16).reserve(usize::MAX));
    assert_eq!(too_large.map(drop), Err(InitError::TooLarge { size: usize::MAX }));
}
