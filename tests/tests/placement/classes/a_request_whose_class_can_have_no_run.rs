use slabfit::{AllocError, ClassStats, GRANULE};
use slabfit_tests::scene::Scene;

use super::KIB;

#[test]
fn is_served_by_a_block_and_counted_as_spilled() {
    let mut scene = Scene::with_classes(32 * KIB);
    scene.alloc_block(31 * KIB + 512);
    let spills: [usize; 3] = scene.alloc_many(60);
    assert!(spills.iter().all(|&address| !scene.is_slot(address)));
    assert_eq!(scene.stats().spilled, 3);
    assert_eq!(scene.class(64), ClassStats { slot_size: 64, ..ClassStats::default() });
    assert_eq!(scene.pair.heap().usable_size(spills[0] as *const u8), Ok(64));
    scene.free_all(&spills);
    assert_eq!(scene.stats().blocks.frees, 3);
}

#[test]
fn is_served_by_a_block_where_every_gap_is_crooked() {
    let mut scene = Scene::with_classes(32 * KIB);
    scene.alloc_block(512);
    let gap = scene.alloc_block(KIB);
    scene.alloc_block(32 * KIB - 512 - KIB);
    scene.free_all(&[gap]);
    assert_eq!(scene.alloc(1), gap);
    assert_eq!(scene.stats().spilled, 1);
}

#[test]
fn is_served_by_a_run_again_as_soon_as_there_is_room() {
    let mut scene = Scene::with_classes(32 * KIB);
    let block = scene.alloc_block(31 * KIB);
    scene.alloc_block(1008);
    assert_eq!(scene.alloc_fails(16), AllocError::Full);
    scene.free_all(&[block]);
    assert_eq!(scene.alloc(16), scene.base());
}

#[test]
fn fails_as_a_block_does() {
    let mut scene = Scene::with_classes(32 * KIB);
    scene.alloc_block(32 * KIB);
    for size in [0, 1, 16, 64] {
        assert_eq!(scene.alloc_fails(size), AllocError::Full);
    }
    assert_eq!((scene.stats().blocks.failed_full, scene.stats().spilled), (4, 0));
}

/// What is free in a run is free for its class only.
#[test]
fn fails_although_slots_of_other_classes_are_free() {
    let mut scene = Scene::with_classes(32 * KIB);
    scene.alloc(64);
    scene.alloc_block(31 * KIB);
    assert_eq!(scene.alloc_fails(16), AllocError::Full);
    assert_eq!(scene.class(64).runs, 1);
    scene.alloc(64);
}

#[test]
fn takes_what_other_classes_have_in_their_magazines() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slot = scene.alloc(64);
    scene.alloc_block(31 * KIB);
    scene.free_all(&[slot]);
    // No run can be opened, so a block serves it, for which all magazines are given back.
    let address = scene.alloc(16);
    assert_eq!((address, scene.is_slot(address)), (slot + GRANULE, false));
    assert_eq!(scene.class(64).runs, 0);
    assert_eq!(scene.stats().spilled, 1);
}
