//! First fit beside next fit: one search, two starting points.

use slabfit::Placement::{self, FirstFit, NextFit};
use slabfit_tests::program::Op;
use slabfit_tests::scene::Scene;

#[track_caller]
fn alloc_16(placement: Placement, before: &str, after: &str) {
    let mut scene = Scene::placed(before, placement);
    scene.alloc(16);
    scene.shows(after);
}

#[test]
fn next_fit_begins_at_the_rover_and_first_fit_at_the_segments_start() {
    alloc_16(NextFit, "XX OOO XX |OOO XX", "XX OOO XX XXX |XX");
    alloc_16(FirstFit, "XX OOO XX |OOO XX", "XX XXX |XX OOO XX");
}

#[test]
fn first_fit_takes_the_first_free_block_that_is_large_enough() {
    let mut scene = Scene::placed("XX OO XX OOOOO |XX OOO", FirstFit);
    scene.alloc(32);
    scene.shows("XX OO XX XXX |OO XX OOO");
    scene.alloc(1);
    scene.shows("XX XX |XX XXX OO XX OOO");
}

#[test]
fn first_fit_takes_the_rovers_block_when_that_is_the_first() {
    alloc_16(FirstFit, "XX |OOOO XX OO", "XX XX |OO XX OO");
    alloc_16(FirstFit, "XX OO |XX OOO", "XX XX |XX OOO");
}

#[test]
fn the_rover_moves_under_first_fit_as_under_next_fit() {
    let mut scene = Scene::placed("XX XX |XX OOO", FirstFit);
    scene.free(1);
    scene.shows("XX OO |XX OOO");
    scene.free(2);
    scene.shows("XX |OOOOOOO");
    scene.realloc(0, 64);
    scene.shows("XXXXX |OOOO");
}

#[test]
fn first_fit_aligns_in_the_first_block_that_can() {
    let mut scene = Scene::placed("OOOO XXX OOOOOO XXX |OOOOOOOO", FirstFit);
    scene.alloc_aligned(16, 128);
    scene.shows("OOOO XXX XX |OOOO XXX OOOOOOOO");
}

#[test]
fn after_32_requests_first_fit_serves_the_holes() {
    let mut scene = Scene::fresh(192, 64, FirstFit);
    let served: Vec<usize> = (0..32).map(|_| scene.alloc(32)).collect();
    for nth in [23, 13] {
        scene.pair.free(served[nth]).unwrap().unwrap();
    }
    assert_eq!(scene.alloc(32), served[13]);
    assert_eq!(scene.alloc(32), served[23]);
    assert_eq!(scene.alloc(32), served[31] + 48);
}

/// The highest granule that a program of small objects reaches, a tenth of which live long.
fn reach(placement: Placement) -> usize {
    let mut scene = Scene::fresh(4000, 1 << 20, placement);
    let start = scene.next_fit()[0].address;
    let mut rng = fastrand::Rng::with_seed(5);
    let mut highest = 0;
    for _ in 0..3000 {
        let size = 16 * rng.usize(1..12);
        let address = scene.pair.alloc(size, 16).unwrap().expect("room for a small object");
        highest = highest.max(address - start);
        if scene.pair.objects().len() > 60 {
            Op::Free { object: rng.usize(..) }.run(&mut scene.pair).unwrap();
        }
    }
    scene.compare();
    highest
}

#[test]
fn first_fit_keeps_to_the_front_of_the_segment() {
    assert!(reach(FirstFit) * 3 < reach(NextFit));
}
