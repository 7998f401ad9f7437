//! Requests aligned to more than 16 bytes, drawn as blocks. The segment starts at a multiple of 8192, and a block's
//! payload one granule after its start.

use slabfit::{AllocError, GRANULE};
use slabfit_tests::model::Placement;
use slabfit_tests::scene::Scene;

#[test]
fn needs_no_gap_when_the_payload_is_aligned_already() {
    let mut scene = Scene::drawn("XXX |OOOOO");
    scene.alloc_aligned(16, 64);
    scene.shows("XXX XX |OOO");
}

#[test]
fn leaves_a_gap_of_32_bytes_as_a_free_block() {
    let mut scene = Scene::drawn("XXXXX |OOOOOO");
    scene.alloc_aligned(16, 128);
    scene.shows("XXXXX OO XX |OO");
}

#[test]
fn skips_a_place_that_would_leave_a_gap_of_16_bytes() {
    let mut scene = Scene::drawn("XX |OOOOOOOOOO");
    scene.alloc_aligned(16, 64);
    scene.shows("XX OOOOO XX |OOO");
}

#[test]
fn passes_over_blocks_that_hold_no_aligned_payload() {
    let mut scene = Scene::drawn("XX |OOOO XXX OO XX OOOOO XX");
    scene.alloc_aligned(1, 128);
    scene.shows("XX OOOO XXX OO XX OO XXX |XX");
}

#[test]
fn keeps_a_remainder_of_16_bytes_behind_the_block() {
    let mut scene = Scene::drawn("XXXXX |OOOOO XX");
    scene.alloc_aligned(16, 128);
    scene.shows("XXXXX OO XXX |XX");
}

#[test]
fn wraps_like_any_request() {
    let mut scene = Scene::drawn("XXX OOO XX |OO");
    scene.alloc_aligned(32, 64);
    scene.shows("XXX XXX |XX OO");
}

#[test]
fn fails_when_every_free_block_is_crooked() {
    let mut scene = Scene::drawn("XX |OOOO XX");
    let failed = scene.pair.alloc(16, 256).unwrap();
    assert_eq!(failed, Err(AllocError::Fragmented));
    scene.shows("XX |OOOO XX");
}

#[test]
fn every_alignment_from_1_to_two_pages_is_served_from_every_start() {
    for shift in 0..=13 {
        let align = 1 << shift;
        for first in 0..18 {
            // The larger heap has size classes.
            for (granules, placement) in [(1400, Placement::NextFit), (4096, Placement::General)] {
                let mut scene = Scene::fresh(granules, 1 << 20, placement);
                scene.alloc(first * GRANULE);
                let address = scene.alloc_aligned(48, align);
                assert_eq!(address % align, 0);
                assert_eq!(address % GRANULE, 0);
                scene.alloc_aligned(48, align);
                scene.pair.verify_objects().unwrap();
            }
        }
    }
}

#[test]
fn an_alignment_larger_than_the_heap_fails() {
    let mut scene = Scene::fresh(64, 1 << 20, Placement::NextFit);
    for shift in 16..usize::BITS - 1 {
        // The segment lies at the start of a page, which may be at a multiple of more than that.
        if let Ok(address) = scene.pair.alloc(16, 1 << shift).unwrap() {
            assert_eq!(address % (1 << shift), 0);
        }
    }
    scene.compare();
}

/// So many gaps of 5 granules, 16 granules apart, that hold no payload at a multiple of 256 bytes; then one of 4 that holds
/// one at its start, and `rest`. The rover stands at the first of them.
fn behind_crooked_gaps(gaps: usize, placement: Placement, rest: &str) -> Scene {
    let crooked = "OOOOO XXXXXXXXXXX ".repeat(gaps);
    let rover = if placement == Placement::NextFit { "|" } else { "" };
    Scene::placed(&format!("XX {rover}{crooked}XXXXXXXXXXXXX OOOO XXXXXXXXXXXXX{rest}"), placement)
}

/// 16 gaps of the request's size are tried, in the policy's order; after those, the first serves that holds an aligned payload
/// wherever it begins: one of the block's 2 granules, the alignment's 16, and 2.
#[test]
fn sixteen_gaps_are_tried_for_an_aligned_payload() {
    for placement in [Placement::NextFit, Placement::FirstFit, Placement::General] {
        for gaps in [0, 1, 14, 15, 16, 17, 40] {
            let mut scene = behind_crooked_gaps(gaps, placement, " OOOOOOOOOOOOOOOOOOO XX OOOOOOOOOOOOOOOOOOOO XX");
            let free: Vec<usize> = scene.free_blocks().iter().map(|block| block.address).collect();
            let address = scene.alloc_aligned(16, 256);
            // The gap of 19 granules would hold it, too.
            let expected =
                if gaps < 16 { free[gaps] + GRANULE } else { (free[gaps + 2] + GRANULE).next_multiple_of(256) };
            assert_eq!(address, expected, "{placement:?}, {gaps} gaps");
        }
    }
}

#[test]
fn what_the_seventeenth_gap_alone_would_hold_is_refused() {
    for placement in [Placement::NextFit, Placement::FirstFit, Placement::General] {
        for (gaps, served) in [(15, true), (16, false)] {
            let mut scene = behind_crooked_gaps(gaps, placement, "");
            let answer = scene.pair.alloc(16, 256).unwrap();
            assert_eq!(answer.is_ok(), served, "{placement:?}, {gaps} gaps");
            assert!(served || answer == Err(AllocError::Fragmented));
            scene.compare();
        }
    }
}

/// Gaps smaller than the request are none of the 16, and the count goes on where the search begins again.
#[test]
fn only_gaps_that_are_large_enough_are_counted_and_the_search_wraps() {
    for (gaps, served) in [(14, true), (15, false)] {
        let (crooked, small) = ("OOOOO XXXXXXXXXXX ".repeat(gaps), "OO XX ".repeat(20));
        let mut scene = Scene::drawn(&format!("XX {crooked}{small}XXXXXXXXXXXXX OOOOO XX |OOO XX"));
        let aligned = scene.free_blocks()[gaps + 20].address + GRANULE;
        let answer = scene.pair.alloc(32, 256).unwrap();
        assert_eq!(answer, if served { Ok(aligned) } else { Err(AllocError::Fragmented) }, "{gaps} gaps");
        scene.compare();
    }
}
