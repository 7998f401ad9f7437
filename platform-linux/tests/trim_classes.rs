//! Runs of size classes go back before pages do.
#![allow(missing_docs)]

use std::cell::Cell;

use slabfit::{Config, General, Heap};
use slabfit_linux::{FutexLock, MappedHeap, ProcessHeap, Slots};

const MIB: usize = 1 << 20;

/// Allocates objects of every size that a class serves, and frees all of them, with `freed` after each.
fn come_and_go(heap: &Heap<'_, FutexLock, General>, mut freed: impl FnMut(*mut u8)) {
    let sizes = (1..=512).cycle().take(32_768);
    let objects: Vec<_> = sizes.map(|size| heap.alloc(size).expect("there is memory")).collect();
    for object in objects {
        // SAFETY: nobody uses the object.
        unsafe { heap.free(object.as_ptr()) }.expect("it is live");
        freed(object.as_ptr());
    }
}

#[test]
fn a_trim_leaves_no_run_without_a_live_slot() {
    let heap = MappedHeap::<General>::with_policy(16 * MIB, Config::without_slab()).expect("there is memory");
    come_and_go(&heap, |_| ());
    assert!(Slots::of(&heap.stats().expect("nobody is in the heap")).runs > 0, "the magazines keep some");
    assert!(heap.trim() > 8 * MIB);
    let stats = heap.stats().expect("nobody is in the heap");
    let slots = Slots::of(&stats);
    let now = (slots.runs, slots.slots, slots.live_objects, slots.free_bytes, stats.blocks.live_bytes);
    assert_eq!((now, slots.allocs), ((0, 0, 0, 0, 0), 32_768));
}

#[test]
fn magazines_are_emptied_by_themselves_when_pages_begin_to_go_back() {
    static HEAP: ProcessHeap<General> = ProcessHeap::empty();
    HEAP.init(16 * MIB, Config::without_slab()).expect("there is memory");
    let emptied = Cell::new(0);
    let freed = |object: *mut u8| HEAP.trim_after_free_with(object, 0, || emptied.set(emptied.get() + 1));
    come_and_go(&HEAP, freed);
    // It is much when 4 MiB were freed, and when half of the rest was.
    assert!((1..4).contains(&emptied.get()), "{}", emptied.get());
    HEAP.trim_with(|| emptied.set(100));
    assert_eq!(emptied.get(), 100);
}

#[test]
fn what_looks_like_the_header_of_a_large_block_is_none_in_front_of_a_slot() {
    static HEAP: ProcessHeap<General> = ProcessHeap::empty();
    HEAP.init(MIB, Config::without_slab()).expect("there is memory");
    let [first, second] = [0; 2].map(|_| HEAP.alloc(16).expect("there is memory").as_ptr());
    assert_eq!(second.addr() - first.addr(), 16);
    // SAFETY: an object of 16 bytes, which hold a header.
    unsafe { first.cast::<i32>().write(1 << 20) };
    // SAFETY: as above.
    unsafe { first.wrapping_add(8).cast::<usize>().write(slabfit::MAGIC) };
    assert_eq!(HEAP.length(second), 0);
    let block = HEAP.alloc(100_000).expect("there is memory");
    assert_eq!(HEAP.length(block.as_ptr()), 100_000);
}

#[test]
fn slots_are_told_from_the_figures() {
    let heap = MappedHeap::<General>::with_policy(MIB, Config::new(64)).expect("there is memory");
    for size in [64, 16, 100, 100, 5000] {
        heap.alloc(size).expect("there is memory");
    }
    let stats = heap.stats().expect("nobody is in the heap");
    let slots = Slots::of(&stats);
    let in_runs = (1024 / 16, 2048 / 112);
    assert_eq!((slots.runs, slots.slots, slots.live_objects), (2, in_runs.0 + in_runs.1, 3));
    assert_eq!(
        (slots.free(), slots.free_bytes),
        (in_runs.0 + in_runs.1 - 3, (in_runs.0 - 1) * 16 + (in_runs.1 - 2) * 112)
    );
    assert_eq!((slots.objects(&stats), slots.requests(&stats)), (5, 5));
    // A slot of the slab, the block and its header, three slots, and what lies after the last slot of 112 bytes.
    let taken = 64 + 5008 + 16 + 16 + 2 * 112 + 2048 % 112;
    assert!((taken..=taken + 32).contains(&slots.bytes_in_use(&stats)), "{}", slots.bytes_in_use(&stats));
}
