use slabfit::{AllocError, GRANULE};

use super::{KIB, one};

#[test]
fn only_while_an_eighth_of_the_block_segment_is_free() {
    for (free, opens) in [(8 * KIB, true), (8 * KIB - GRANULE, false)] {
        let (mut scene, cache) = one();
        scene.alloc_block(64 * KIB - free);
        let slot = scene.alloc_by(cache, 16);
        // The next one of the heap comes from the same run if that is the heap's.
        assert_eq!(scene.alloc(16) == slot + 16, !opens, "{free} bytes are free");
        assert_eq!(scene.class(16).runs, if opens { 2 } else { 1 });
        assert_eq!(scene.stats().spilled, 0);
    }
}

#[test]
fn as_the_heap_does_at_a_multiple_of_its_length_in_the_first_gap_that_holds_it() {
    let (mut scene, cache) = one();
    let blocks = [1024, 2048, 1024, 1008, 4096, 1024].map(|bytes| scene.alloc_block(bytes));
    for nth in [1, 4] {
        scene.free_all(&[blocks[nth]]);
    }
    // In the second gap no KiB is left without a granule before it.
    for (size, place) in [(128, 6), (16, 1), (32, 2), (48, 11)] {
        assert_eq!(scene.alloc_by(cache, size), scene.base() + place * KIB, "{size} bytes");
    }
}

#[test]
fn or_else_the_heap_serves_its_request_by_a_block() {
    let (mut scene, cache) = one();
    // More than an eighth is free, in gaps of 1 KiB that lie half a KiB beside a multiple of it.
    scene.alloc_block(512);
    let blocks: Vec<usize> = (0..63).map(|_| scene.alloc_block(KIB)).collect();
    scene.alloc_block(512);
    let every_other: Vec<usize> = blocks.into_iter().step_by(2).collect();
    scene.free_all(&every_other);
    let object = scene.alloc_by(cache, 16);
    assert_eq!((object, scene.is_slot(object)), (every_other[0], false));
    assert_eq!(scene.stats().spilled, 1);
    scene.free_all_by(cache, &[object]);
}

#[test]
fn and_gives_no_magazine_back_for_it() {
    let (mut scene, cache) = one();
    let slot = scene.alloc(64);
    scene.free_all(&[slot]);
    scene.alloc_block(63 * KIB);
    // The run in the heap's magazine is given back for a block, not for a run.
    let object = scene.alloc_by(cache, 16);
    assert_eq!((object, scene.is_slot(object)), (slot + GRANULE, false));
    assert_eq!((scene.class(64).runs, scene.class(16).runs, scene.stats().spilled), (0, 0, 1));
}

#[test]
fn no_longer_where_memory_is_short_and_its_requests_fail_as_the_heaps_do() {
    let (mut scene, cache) = one();
    scene.alloc_block(64 * KIB);
    for size in [0, 1, 64, 500] {
        assert_eq!(scene.alloc_fails_by(cache, size), AllocError::Full);
    }
    assert_eq!(scene.stats().blocks.failed_full, 4);
}
