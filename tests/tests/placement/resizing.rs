//! Realloc, drawn as blocks. The bytes of every object are read back after each step.

mod a_block_that_shrinks;
mod a_block_that_grows;
mod an_object_of_the_slab_size;
mod a_slot_of_a_run;

use slabfit::{GRANULE, InvalidFree, ReallocError, Reason};
use slabfit_tests::model::Placement;
use slabfit_tests::scene::Scene;

/// Resizes the first block of a picture, which must stay where it is.
#[track_caller]
fn resize_first_in_place(before: &str, size: usize, after: &str) {
    let mut scene = Scene::drawn(before);
    let address = scene.payload(0);
    assert_eq!(scene.realloc(0, size), address);
    scene.shows(after);
}

#[test]
fn an_object_stays_only_where_the_new_alignment_allows_it() {
    let mut scene = Scene::fresh(600, 1 << 20, Placement::NextFit);
    let address = scene.alloc_aligned(100, 256);
    scene.alloc(16);
    for align in [1, 16, 64, 256] {
        assert_eq!(scene.pair.realloc(address, 90, align).unwrap(), Ok(address));
    }
    let moved = scene.pair.realloc(address, 90, 4096).unwrap().unwrap();
    assert_eq!(moved % 4096, 0);
    assert_ne!(moved, address);
    scene.compare();
}

#[test]
fn a_wrong_address_is_refused_and_nothing_is_requested() {
    let mut scene = Scene::drawn("XX OO XXX |OO");
    let used = scene.payload(2);
    for (address, reason) in [
        (0, Reason::OutsideHeap),
        (used + 8, Reason::Misaligned),
        (used + 16, Reason::NotAStart),
        (used - 16, Reason::NotAStart),
        (scene.payload(1), Reason::DoubleFree),
    ] {
        let refused = scene.pair.realloc(address, 16, GRANULE).unwrap();
        assert_eq!(refused, Err(ReallocError::InvalidFree(InvalidFree { address, reason })));
    }
    scene.shows("XX OO XXX |OO");
}

#[test]
fn a_wrong_address_in_the_slab_is_refused_too() {
    let mut scene = Scene::fresh(48, 32, Placement::NextFit);
    let slots: Vec<usize> = (0..2).map(|_| scene.alloc(32)).collect();
    scene.pair.free(slots[0]).unwrap().unwrap();
    for (address, reason) in [
        (slots[0], Reason::DoubleFree),
        (slots[1] + 16, Reason::NotAStart),
        (slots[1] + 8, Reason::Misaligned),
        (slots[1] + 32, Reason::NeverAllocated),
    ] {
        let refused = scene.pair.realloc(address, 16, GRANULE).unwrap();
        assert_eq!(refused, Err(ReallocError::InvalidFree(InvalidFree { address, reason })));
    }
    scene.shows_slots("O X O O O O O O");
    assert_eq!(scene.pair.heap().stats().unwrap().slab.refused_frees, 4);
}

#[test]
fn growing_and_shrinking_in_place_counts_no_request_and_a_move_counts_two() {
    let mut scene = Scene::drawn("XX OOO XX |OOOOOO");
    let before = scene.pair.heap().stats().unwrap().blocks;
    scene.realloc(0, 64);
    scene.realloc(0, 16);
    let after = scene.pair.heap().stats().unwrap().blocks;
    assert_eq!((after.allocs, after.frees), (before.allocs, before.frees));
    scene.realloc(2, 16);
    scene.realloc(0, 80);
    let after = scene.pair.heap().stats().unwrap().blocks;
    assert_eq!((after.allocs, after.frees), (before.allocs + 1, before.frees + 1));
}
