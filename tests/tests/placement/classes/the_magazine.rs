use slabfit::{CLASSES, GRANULE};
use slabfit_tests::scene::Scene;

use super::{KIB, RUNS};

#[test]
fn gives_the_slots_of_a_new_run_from_the_lowest_on() {
    for (slot_size, run) in RUNS {
        let mut scene = Scene::with_classes(256 * KIB);
        for nth in 0..run / slot_size {
            assert_eq!(scene.alloc(slot_size), scene.base() + nth * slot_size);
        }
        assert_eq!(scene.alloc(slot_size), scene.base() + run, "the next run");
    }
}

#[test]
fn gives_the_slot_that_was_freed_last() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slots: [usize; 10] = scene.alloc_many(48);
    scene.free_all(&[slots[4], slots[0], slots[7]]);
    assert_eq!(scene.alloc_many(48), [slots[7], slots[0], slots[4], slots[9] + 48]);
}

#[test]
fn gives_its_older_half_back_when_it_is_full() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slots: [usize; 64] = scene.alloc_many(16);
    scene.free_all(&slots[..33]);
    // The newer half and the last, newest first; then what was given back, lowest first.
    let newer: Vec<usize> = (16..33).rev().map(|nth| slots[nth]).collect();
    assert_eq!(scene.alloc_many::<17>(16).to_vec(), newer);
    assert_eq!(scene.alloc_many::<16>(16), slots[..16]);
}

#[test]
fn takes_the_lowest_slots_of_one_run_at_a_time() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slots: [usize; 128] = scene.alloc_many(16);
    // A slot of the first run, and many of the second.
    scene.free_all(&slots[80..100]);
    scene.free_all(&[slots[10]]);
    scene.empty_magazines();
    assert_eq!(scene.alloc(16), slots[10]);
    scene.free_all(&[slots[127]]);
    assert_eq!(scene.alloc_many(16), [slots[127], slots[80], slots[81]], "the newest, then the second run's lowest");
}

#[test]
fn is_of_one_class_only() {
    let mut scene = Scene::with_classes(32 * KIB);
    let (small, large) = (scene.alloc(16), scene.alloc(32));
    scene.free_all(&[small, large]);
    assert_eq!(scene.alloc(16), small);
    assert_eq!(scene.alloc(32), large);
    assert_eq!(large, small + KIB);
}

#[test]
fn of_every_class_can_be_given_back_at_once() {
    let mut scene = Scene::with_classes(256 * KIB);
    let slots = RUNS.map(|(slot_size, _)| scene.alloc(slot_size));
    let kept = scene.alloc(112);
    scene.free_all(&slots);
    assert_eq!(scene.stats().blocks.live_objects, CLASSES);
    scene.empty_magazines();
    assert_eq!(scene.stats().blocks.live_objects, 1);
    scene.free_all(&[kept]);
    scene.pair.expect_empty().unwrap();
}

#[test]
fn is_given_back_before_a_request_for_a_block_fails() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slots: [usize; 100] = scene.alloc_many(64);
    scene.free_all(&slots);
    let all = scene.alloc(32 * KIB - GRANULE);
    assert_eq!(all, scene.base() + GRANULE);
    assert_eq!(scene.class(64).runs, 0);
    let blocks = scene.stats().blocks;
    assert_eq!((blocks.failed_full, blocks.failed_fragmented), (0, 0));
}

#[test]
fn is_given_back_before_a_block_fails_to_grow_and_move() {
    let mut scene = Scene::with_classes(32 * KIB);
    let block = scene.alloc_block(4 * KIB);
    let slot = scene.alloc(16);
    scene.free_all(&[slot]);
    // The run lies behind the block, which cannot grow into it and, once the run is given back, can move nowhere else.
    let failed = scene.pair.realloc(block, 30 * KIB, GRANULE).unwrap();
    assert!(failed.is_err());
    scene.compare();
    assert_eq!(scene.class(16).runs, 0);
    assert_eq!(scene.pair.realloc(block, 30 * KIB, GRANULE).unwrap(), Ok(block));
}

#[test]
fn is_not_given_back_while_a_request_can_be_served() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slot = scene.alloc(64);
    scene.free_all(&[slot]);
    scene.alloc(31 * KIB - GRANULE);
    assert_eq!(scene.class(64).runs, 1);
    assert_eq!(scene.alloc(64), slot);
}
