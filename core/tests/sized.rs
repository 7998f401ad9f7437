//! A global allocator that is told a wrong layout keeps the object and counts that.
#![allow(missing_docs)]

use std::alloc::{GlobalAlloc, Layout};

use slabfit::{Config, DefaultLock, FirstFit, General, Policy, Reason, StaticArray, StaticHeap};

const KIB: usize = 1 << 10;

static NEXT: StaticArray<{ 64 * KIB }> = StaticArray::new();
static FIRST: StaticArray<{ 64 * KIB }, DefaultLock, FirstFit> = StaticArray::new();
static GENERAL: StaticArray<{ 64 * KIB }, DefaultLock, General> = StaticArray::new();

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// Frees and resizes an object with layouts that it was not asked for with, and then with its own.
fn is_told_apart<P: Policy>(heap: &StaticHeap<DefaultLock, P>, size: usize) {
    let own = layout(size, 8);
    // SAFETY: of more than 0 bytes.
    let object = unsafe { GlobalAlloc::alloc(heap, own) };
    let out_of_line = layout(size, 2 << object.addr().trailing_zeros());
    for wrong in [layout(size + 40, 8), layout(5 * KIB, 8), out_of_line] {
        // SAFETY: it is refused, and nobody uses the object.
        unsafe { GlobalAlloc::dealloc(heap, object, wrong) };
        // SAFETY: as above.
        let moved = unsafe { GlobalAlloc::realloc(heap, object, wrong, 10) };
        assert!(moved.is_null(), "{size} bytes as {wrong:?}");
        // SAFETY: nobody uses the object.
        let freed = unsafe { heap.free_sized(object, wrong) };
        assert_eq!(freed.unwrap_err().reason, Reason::SizeMismatch, "{size} bytes as {wrong:?}");
    }
    assert!(heap.usable_size(object).is_ok(), "it is live");
    // SAFETY: nobody uses the object afterwards but through what is returned.
    let object = unsafe { GlobalAlloc::realloc(heap, object, own, 2 * size) };
    // SAFETY: nobody uses the object afterwards.
    unsafe { GlobalAlloc::dealloc(heap, object, layout(2 * size, 8)) };
    let stats = heap.stats().unwrap();
    assert_eq!(stats.slab.live_objects + stats.blocks.live_objects - live_runs(heap), 0);
    assert_eq!(heap.check(), Ok(()));
}

fn live_runs<P: Policy>(heap: &StaticHeap<DefaultLock, P>) -> usize {
    heap.stats().unwrap().classes.iter().map(|class| class.runs).sum()
}

fn refused<P: Policy>(heap: &StaticHeap<DefaultLock, P>) -> u64 {
    let stats = heap.stats().unwrap();
    stats.slab.refused_frees + stats.blocks.refused_frees
}

#[test]
fn under_every_policy_in_slots_and_in_blocks() {
    let next = StaticHeap::new(&NEXT, Config::new(48));
    let first = StaticHeap::new(&FIRST, Config::without_slab());
    let general = StaticHeap::new(&GENERAL, Config::without_slab());
    for size in [48, 200] {
        is_told_apart(&next, size);
        is_told_apart(&first, size);
        is_told_apart(&general, size);
    }
    assert_eq!([refused(&next), refused(&first), refused(&general)], [18; 3]);
}
