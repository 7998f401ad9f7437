//! Pages go back by themselves when much was freed, step by step.

use std::ops::Range;

use slabfit::{Config, FirstFit, Segment, State};
use slabfit_linux::ProcessHeap;

use super::{MIB, fill, free, resident, thin_out_the_slab};

#[test]
fn it_gives_them_back_by_itself_when_much_was_freed() {
    static HEAP: ProcessHeap<FirstFit> = ProcessHeap::empty();
    HEAP.init(64 * MIB, Config::new(64)).expect("there is memory");
    let slab = HEAP.segment(Segment::Slab);
    let live = thin_out_the_slab(&HEAP, |_| HEAP.trim_after_free());
    let after = resident(slab.clone());
    assert!(after < 16 * MIB / 3, "{after} bytes are still resident, {} slots are live", live.len());
    assert_eq!(HEAP.check(), Ok(()));
}

#[test]
fn pages_go_back_by_themselves_when_much_was_freed() {
    static HEAP: ProcessHeap<FirstFit> = ProcessHeap::empty();
    assert_eq!(HEAP.trim(), 0);
    HEAP.trim_after_free();
    HEAP.init(64 * MIB, Config::new(64)).expect("there is memory");
    let segment = HEAP.segment(Segment::Blocks);
    let objects = fill(&HEAP, 1000, 40 * MIB);
    let (few, many) = objects.split_at(1000);
    for &object in many {
        // SAFETY: freed once, and not used any more.
        unsafe { free(&HEAP, object) };
        HEAP.trim_after_free();
    }
    let live = few.len() * 1024;
    let after = resident(segment.clone());
    assert!(after < 40 * MIB / 3, "{after} bytes are still resident, {live} are live");
    assert!(HEAP.trim() > 0);
    let after = resident(segment);
    assert!(after <= live + 2 * 4096, "{after} bytes are still resident, {live} are live");
    assert_eq!(HEAP.check(), Ok(()));
}

/// Frees so much of so much, and tells of every free.
fn keeps_its_pages(heap: &'static ProcessHeap<FirstFit>, live: usize, freed: usize) {
    heap.init(64 * MIB, Config::new(64)).expect("there is memory");
    let segment = heap.segment(Segment::Blocks);
    let objects = fill(heap, 1000, live);
    // The live bytes are seen.
    (0..64).for_each(|_| heap.trim_after_free());
    let before = resident(segment.clone());
    for &object in &objects[..freed / 1000] {
        // SAFETY: freed once, and not used any more.
        unsafe { free(heap, object) };
        heap.trim_after_free();
    }
    assert_eq!(resident(segment), before);
    assert!(heap.trim() > freed / 2);
}

#[test]
fn who_frees_less_than_4_mib_or_a_quarter_keeps_its_pages() {
    static SMALL: ProcessHeap<FirstFit> = ProcessHeap::empty();
    static LARGE: ProcessHeap<FirstFit> = ProcessHeap::empty();
    keeps_its_pages(&SMALL, 3 * MIB, 3 * MIB);
    keeps_its_pages(&LARGE, 32 * MIB, 6 * MIB);
}

#[test]
fn a_pass_begins_with_the_64th_free_and_goes_on_with_every_8th() {
    static HEAP: ProcessHeap<FirstFit> = ProcessHeap::empty();
    HEAP.init(16 * MIB, Config::new(64)).expect("there is memory");
    let segment = HEAP.segment(Segment::Blocks);
    let object = fill(&HEAP, 8 * MIB, 8 * MIB)[0];
    let frees = |count: usize| {
        (0..count).for_each(|_| HEAP.trim_after_free());
        resident(segment.clone())
    };
    // The live bytes are seen.
    let before = frees(64);
    // SAFETY: freed once, and not used any more.
    unsafe { free(&HEAP, object) };
    assert_eq!(frees(63), before);
    // The page with the header stays.
    assert_eq!(frees(1), before - (256 * 1024 - 4096));
    assert_eq!(frees(7), before - (256 * 1024 - 4096));
    assert_eq!(frees(1), before - (2 * 256 * 1024 - 4096));
}

#[test]
fn a_step_passes_several_free_blocks_without_a_whole_page() {
    const PAGE: usize = 4096;
    static HEAP: ProcessHeap<FirstFit> = ProcessHeap::empty();
    HEAP.init(64 * MIB, Config::new(64)).expect("there is memory");
    // 1000 to be freed, of which hardly any holds a whole page, and 8 MiB behind them.
    let objects = fill(&HEAP, PAGE, 2000 * PAGE);
    let last = fill(&HEAP, 8 * MIB, 8 * MIB)[0];
    let behind = last.addr().next_multiple_of(PAGE)..last.addr() + 8 * MIB - PAGE;
    // The most live bytes are seen.
    (0..64).for_each(|_| HEAP.trim_after_free());
    for &object in objects.iter().step_by(2).chain([&last]) {
        // SAFETY: freed once, and not used any more.
        unsafe { free(&HEAP, object) };
    }
    assert!(resident(behind.clone()) > 7 * MIB);
    // Of 2000 frees every 8th does a step: one for 8 blocks, and 32 and one for the last.
    (0..2000).for_each(|_| HEAP.trim_after_free());
    assert_eq!(resident(behind), 0);
    assert_eq!(HEAP.check(), Ok(()));
}

#[test]
fn a_program_that_frees_as_much_as_it_allocates_keeps_its_pages() {
    static HEAP: ProcessHeap<FirstFit> = ProcessHeap::empty();
    HEAP.init(64 * MIB, Config::new(64)).expect("there is memory");
    let segment = HEAP.segment(Segment::Blocks);
    let objects = fill(&HEAP, 1000, 30 * MIB);
    let before = resident(segment.clone());
    for _ in 0..3 {
        for &object in &objects {
            // SAFETY: freed once each round, and allocated again by the same address below.
            unsafe { free(&HEAP, object) };
            HEAP.trim_after_free();
            assert_eq!(HEAP.alloc(1000).map(|object| object.as_ptr()), Ok(object));
        }
    }
    assert_eq!(resident(segment), before);
    assert!(HEAP.blocks().any(|block| block.state == State::Used));
}

/// A heap of which 10 MiB were in use, all resident, and then free; and the heap has not been told of the frees.
fn freed_much(heap: &ProcessHeap<FirstFit>) -> Range<usize> {
    heap.init(16 * MIB, Config::new(64)).expect("there is memory");
    // The header behind it ends where they do.
    let objects = fill(heap, 10 * MIB - 32, 10 * MIB - 32);
    // It sees what is live.
    for _ in 0..64 {
        heap.trim_after_free();
    }
    // SAFETY: freed once, and not used any more.
    unsafe { free(heap, objects[0]) };
    let segment = heap.segment(Segment::Blocks);
    assert_eq!(resident(segment.clone()), 10 * MIB);
    segment
}

#[test]
fn in_the_heap_no_page_goes_back_and_a_pass_that_has_begun_goes_on_afterwards() {
    static HEAP: ProcessHeap<FirstFit> = ProcessHeap::empty();
    const STEP: usize = 256 * 1024;
    let segment = freed_much(&HEAP);
    let told = |frees: usize| {
        (0..frees).for_each(|_| HEAP.trim_after_free());
        resident(segment.clone())
    };
    let held = HEAP.lock_all();
    assert_eq!(told(640), 10 * MIB, "a pass has begun without a look at the heap");
    drop(held);
    // The 64th free begins it, and every 8th goes on. The first page, which has the free block's header, stays.
    let left = |steps: usize| 10 * MIB - steps * STEP + 4096;
    assert_eq!(told(128), left(9));
    let held = HEAP.lock_all();
    assert_eq!(told(640), left(9));
    drop(held);
    assert_eq!(told(8), left(10));
    assert_eq!(HEAP.check(), Ok(()));
}

#[test]
fn a_pass_ends_behind_the_last_free_block_and_begins_again_only_when_much_was_freed() {
    static HEAP: ProcessHeap<FirstFit> = ProcessHeap::empty();
    let segment = freed_much(&HEAP);
    let told = |frees: usize| {
        (0..frees).for_each(|_| HEAP.trim_after_free());
        resident(segment.clone())
    };
    assert_eq!(told(1000), 4096);
    // Less than 4 MiB, and as much.
    for (bytes, left) in [(3 * MIB, 3 * MIB), (5 * MIB, 4096)] {
        let objects = fill(&HEAP, bytes - 32, bytes - 32);
        told(64);
        // SAFETY: freed once, and not used any more.
        unsafe { free(&HEAP, objects[0]) };
        assert_eq!(told(1000), left, "after {bytes} bytes");
    }
}
