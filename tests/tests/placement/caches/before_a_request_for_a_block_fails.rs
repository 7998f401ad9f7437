use slabfit::{AllocError, GRANULE};

use super::{KIB, two};

#[test]
fn runs_are_given_back_of_which_others_freed_every_slot() {
    let (mut scene, first, second) = two();
    let slots: [usize; 32] = scene.alloc_many_by(first, 64);
    let rest = scene.free_blocks().pop().expect("the rest is free");
    scene.free_all_by(second, &slots[..16]);
    scene.free_all(&slots[16..31]);
    scene.alloc_block(rest.size);
    // The first run is given back, and the other has a live slot.
    assert_eq!(scene.alloc(KIB - GRANULE), scene.base() + GRANULE);
    assert_eq!(scene.class(64).runs, 1);
    assert_eq!(scene.alloc_fails(KIB), AllocError::Full);
    assert_eq!(scene.alloc_by(first, 64), slots[16], "the others are the owner's still");
}

#[test]
fn runs_stay_of_which_the_owner_has_a_slot_at_hand() {
    let (mut scene, first, second) = two();
    let slots: [usize; 16] = scene.alloc_many_by(first, 64);
    let rest = scene.free_blocks().pop().expect("the rest is free");
    scene.free_all_by(second, &slots[1..]);
    scene.free_all_by(first, &slots[..1]);
    scene.alloc_block(rest.size);
    assert_eq!(scene.alloc_fails(500), AllocError::Full);
    assert_eq!(scene.class(64).runs, 1);
    scene.empty_by(first);
    assert_eq!(scene.class(64).runs, 0);
    scene.alloc(500);
}

#[test]
fn what_dropped_caches_keep_is_given_back_first() {
    let (mut scene, first, second) = two();
    let object = scene.alloc_by(first, 64);
    scene.detach(first);
    scene.free_all_by(second, &[object]);
    // Nothing is left to give back: it was given back at once.
    assert_eq!(scene.alloc(64 * KIB - GRANULE), scene.base() + GRANULE);
}

#[test]
fn the_order_of_runs_with_returned_slots_is_reversed() {
    let (mut scene, first, second) = two();
    let slots: [usize; 48] = scene.alloc_many_by(first, 64);
    scene.free_all_by(second, &[slots[20], slots[3], slots[40]]);
    assert_eq!(scene.alloc_fails(64 * KIB), AllocError::Full);
    // Now 2, 0, 1 from the bottom up, so that they are looked at in the order 1, 0, 2.
    assert_eq!(scene.alloc_many_by(first, 64), [slots[40], slots[3], slots[20]]);
}

#[test]
fn the_same_is_done_when_the_heap_is_told_to_empty_its_magazines() {
    let (mut scene, first, second) = two();
    let slots: [usize; 16] = scene.alloc_many_by(first, 64);
    scene.free_all_by(second, &slots);
    assert_eq!(scene.class(64).runs, 1);
    scene.empty_magazines();
    assert_eq!(scene.blocks().len(), 1);
}
