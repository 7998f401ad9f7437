use slabfit::{AllocError, GRANULE, ReallocError};
use slabfit_tests::scene::Scene;

use super::resize_first_in_place;

#[test]
fn takes_all_of_the_free_block_behind() {
    resize_first_in_place("XX OOO XX|", 64, "XXXXX XX|");
}

#[test]
fn takes_a_remainder_of_16_bytes_too() {
    resize_first_in_place("XX OOOO XX|", 64, "XXXXXX XX|");
}

#[test]
fn leaves_a_remainder_of_32_bytes_free() {
    resize_first_in_place("XX OOOOO XX|", 64, "XXXXX OO XX|");
}

#[test]
fn moves_the_rover_out_of_its_way() {
    resize_first_in_place("XX |OOO XX", 64, "XXXXX |XX");
    resize_first_in_place("XX |OOOO XX", 64, "XXXXXX |XX");
    resize_first_in_place("XX |OOOOO XX", 64, "XXXXX |OO XX");
    resize_first_in_place("XX |OOO", 64, "XXXXX|");
}

#[test]
fn leaves_a_rover_elsewhere_alone() {
    resize_first_in_place("XX OOO |XX OO", 64, "XXXXX |XX OO");
    resize_first_in_place("XX OOO XX |OO", 64, "XXXXX XX |OO");
    let mut scene = Scene::drawn("XXX |OO XX OOO XX");
    scene.realloc(2, 64);
    scene.shows("XXX |OO XXXXX XX");
}

#[test]
fn grows_into_the_end_of_the_segment() {
    resize_first_in_place("XX OOO|", 64, "XXXXX|");
}

#[test]
fn moves_when_the_free_block_behind_is_too_small() {
    let mut scene = Scene::drawn("XX OO XX |OOOOO XX");
    scene.realloc(0, 64);
    scene.shows("OOOO XX XXXXX |XX");
}

#[test]
fn moves_when_the_block_behind_is_used() {
    let mut scene = Scene::drawn("XX XX |OOOOO XX");
    scene.realloc(0, 32);
    scene.shows("OO XX XXX |OO XX");
}

#[test]
fn does_not_grow_into_the_free_block_before_it() {
    let mut scene = Scene::drawn("OOOOO XX XX|");
    scene.realloc(1, 32);
    scene.shows("XXX |OOOO XX");
}

#[test]
fn stays_as_it_was_when_there_is_no_room() {
    let mut scene = Scene::drawn("XX XX OO XX OO XX|");
    let address = scene.payload(0);
    for (size, why) in [(48, AllocError::Fragmented), (64, AllocError::Full), (usize::MAX, AllocError::Full)] {
        let failed = scene.pair.realloc(address, size, GRANULE).unwrap();
        assert_eq!(failed, Err(ReallocError::Alloc(why)));
    }
    scene.shows("XX XX OO XX OO XX|");
}

#[test]
fn may_not_use_its_own_room_to_move_into() {
    let mut scene = Scene::drawn("OO XXX OO XX|");
    let address = scene.payload(1);
    let failed = scene.pair.realloc(address, 80, GRANULE).unwrap();
    assert_eq!(failed, Err(ReallocError::Alloc(AllocError::Full)));
    scene.shows("OO XXX OO XX|");
}
