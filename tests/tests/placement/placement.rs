//! First fit beside next fit: one search, two starting points. First fit has no rover, nor lists. General is first fit for all that no
//! size class serves.

use slabfit::{GRANULE, Segment, State};
use slabfit_tests::model::Placement::{self, FirstFit, General, NextFit};
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
    alloc_16(FirstFit, "XX OOO XX OOO XX", "XX XXX XX OOO XX");
}

#[test]
fn first_fit_takes_the_first_free_block_that_is_large_enough() {
    let mut scene = Scene::placed("XX OO XX OOOOO XX OOO", FirstFit);
    scene.alloc(32);
    scene.shows("XX OO XX XXX OO XX OOO");
    scene.alloc(1);
    scene.shows("XX XX XX XXX OO XX OOO");
}

#[test]
fn first_fit_takes_the_first_free_block_wherever_the_last_one_was_taken() {
    let mut scene = Scene::placed("OO XX OOOO XX OO", FirstFit);
    scene.alloc(16);
    scene.shows("XX XX OOOO XX OO");
    scene.alloc(16);
    scene.shows("XX XX XX OO XX OO");
    scene.free(0);
    scene.alloc(16);
    scene.shows("XX XX XX OO XX OO");
}

#[test]
fn first_fit_frees_and_resizes_as_next_fit_does() {
    let mut scene = Scene::placed("XX XX XX OOO", FirstFit);
    scene.free(1);
    scene.shows("XX OO XX OOO");
    scene.free(2);
    scene.shows("XX OOOOOOO");
    scene.realloc(0, 64);
    scene.shows("XXXXX OOOO");
}

#[test]
fn first_fit_aligns_in_the_first_block_that_can() {
    let mut scene = Scene::placed("OOOO XXX OOOOOO XXX OOOOOOOO", FirstFit);
    scene.alloc_aligned(16, 128);
    scene.shows("OOOO XXX XX OOOO XXX OOOOOOOO");
}

#[test]
fn only_next_fit_has_a_rover() {
    for placement in [FirstFit, General] {
        let scene = Scene::placed("XX OOO XX OO", placement);
        assert_eq!((scene.pair.heap().rover(), scene.pair.model().rover()), (None, None));
    }
}

#[test]
fn general_is_first_fit_where_the_heap_is_too_small_for_a_size_class() {
    alloc_16(General, "XX OOO XX OOO XX", "XX XXX XX OOO XX");
    let mut scene = Scene::placed("XX OO XX OOOOO XX OOO", General);
    scene.alloc(32);
    scene.shows("XX OO XX XXX OO XX OOO");
    scene.free(0);
    scene.realloc(1, 48);
    scene.shows("XXXX OO XXX OO XX OOO");
}

/// What is larger than any slot, among runs.
#[test]
fn general_places_blocks_by_first_fit_around_its_runs() {
    let mut scene = Scene::with_classes(32 << 10);
    let blocks = [600, 1000, 600, 600].map(|size| scene.alloc(size));
    let slot = scene.alloc(16);
    scene.free_all(&[blocks[1], blocks[3]]);
    assert_eq!(scene.alloc(600), blocks[1]);
    assert_eq!(scene.alloc(1000), blocks[3].max(slot + 1024 + GRANULE));
    assert_eq!(scene.alloc(500), blocks[3]);
}

#[test]
fn without_a_rover_every_free_header_links_to_nothing() {
    for placement in [FirstFit, General] {
        every_free_header_links_to_nothing(placement);
    }
}

fn every_free_header_links_to_nothing(placement: Placement) {
    let mut scene = Scene::fresh(48, 32, placement);
    let slots: Vec<usize> = (0..8).map(|_| scene.alloc(32)).collect();
    let blocks: Vec<usize> = (0..8).map(|_| scene.alloc(16)).collect();
    for nth in [1, 6, 3, 4] {
        scene.pair.free(slots[nth]).unwrap().unwrap();
        scene.pair.free(blocks[nth]).unwrap().unwrap();
    }
    scene.compare();
    for (nth, block) in scene.pair.heap().blocks().filter(|block| block.state == State::Free).enumerate() {
        let header = if block.segment == Segment::Slab { 0 } else { GRANULE };
        assert_eq!(scene.pair.header_at(block.address), ((block.size - header) as i32, 0), "free unit {nth}");
    }
    // What comes and goes between them changes no link either.
    scene.alloc(16);
    scene.alloc(32);
    scene.compare();
}

#[test]
fn after_32_requests_first_fit_serves_the_gaps() {
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
    let start = scene.blocks()[0].address;
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
