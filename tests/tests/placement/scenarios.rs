//! Scenarios of the slab and of next fit, drawn as blocks: `X` is a used granule of 16 bytes, `O` a free one, `|` is
//! the rover. A reference model runs beside each of them.

use slabfit::{AllocError, Config, GRANULE, MAGIC, Segment};
use slabfit_tests::model::Placement;
use slabfit_tests::scene::Scene;

const MIB: usize = 1 << 20;

mod worked_examples {
    use super::*;

    #[test]
    fn a_heap_of_4096_bytes_serves_64_requests_of_32_and_then_a_gap() {
        let mut scene = Scene::of_bytes(4096, Config::new(64));
        let base = scene.pair.heap().base().unwrap().addr().get();
        let served: Vec<usize> = (0..64).map(|_| scene.alloc(32)).collect();
        assert_eq!(served[0], base + 1024 + 16);
        assert!(served.windows(2).all(|pair| pair[1] == pair[0] + 48));
        assert_eq!(scene.alloc_fails(32), AllocError::Full);
        for nth in [13, 14] {
            scene.pair.free(served[nth]).unwrap().unwrap();
        }
        assert_eq!(scene.alloc(55), served[13]);
    }

    #[test]
    fn a_request_after_32_others_is_served_behind_them_and_not_in_a_gap() {
        let mut scene = Scene::of_bytes(4096, Config::new(64));
        let served: Vec<usize> = (0..32).map(|_| scene.alloc(32)).collect();
        for nth in [13, 23] {
            scene.pair.free(served[nth]).unwrap().unwrap();
        }
        assert_eq!(scene.alloc(32), served[31] + 48);
    }

    #[test]
    fn a_mebibyte_is_split_one_to_three() {
        let scene = Scene::of_bytes(MIB, Config::new(64));
        let heap = scene.pair.heap();
        assert_eq!(heap.segment(Segment::Slab).len(), 262_144);
        assert_eq!(heap.segment(Segment::Blocks).len(), 786_432);
        assert_eq!(heap.segment(Segment::Slab).end, heap.segment(Segment::Blocks).start);
    }

    #[test]
    fn a_slab_of_1024_bytes_has_16_slots_of_64() {
        let mut scene = Scene::of_bytes(4096, Config::new(64));
        let base = scene.pair.heap().base().unwrap().addr().get();
        for nth in 0..16 {
            assert_eq!(scene.alloc(64), base + nth * 64);
        }
        scene.shows_slots("X X X X X X X X X X X X X X X X");
        assert_eq!(scene.alloc(64), base + 1024 + 16, "the 17th is spilled to next fit");
    }

    #[test]
    fn the_largest_request_is_the_segment_without_a_header() {
        for size in [64, 4096, MIB] {
            let mut scene = Scene::of_bytes(size, Config::new(1));
            let segment = scene.pair.heap().segment(Segment::Blocks).len();
            assert_eq!(scene.alloc_fails(segment - 15), AllocError::Full);
            scene.alloc(segment - 16);
        }
    }
}

mod the_slab {
    use super::*;

    #[test]
    fn serves_its_lowest_free_slot_first() {
        let mut scene = Scene::fresh(24, 32, Placement::NextFit);
        scene.shows_slots("O O O O");
        let slots: Vec<usize> = (0..4).map(|_| scene.alloc(32)).collect();
        scene.shows_slots("X X X X");
        for nth in [2, 0, 3] {
            scene.pair.free(slots[nth]).unwrap().unwrap();
        }
        scene.shows_slots("O X O O");
        assert_eq!(scene.alloc(32), slots[0]);
        assert_eq!(scene.alloc(32), slots[2]);
        scene.shows_slots("X X X O");
    }

    #[test]
    fn serves_exactly_its_size_and_nothing_else() {
        let mut scene = Scene::fresh(24, 30, Placement::NextFit);
        for size in [0, 1, 16, 29, 31, 32] {
            scene.alloc(size);
            scene.shows_slots("O O O O");
        }
        scene.alloc(30);
        scene.shows_slots("X O O O");
    }

    #[test]
    fn leaves_its_size_to_next_fit_when_it_must_be_aligned() {
        let mut scene = Scene::fresh(24, 32, Placement::NextFit);
        let address = scene.alloc_aligned(32, 32);
        assert_eq!(address % 32, 0);
        scene.shows_slots("O O O O");
        for align in [1, 2, 4, 8, 16] {
            scene.alloc_aligned(32, align);
        }
        scene.shows_slots("X X X X");
    }

    #[test]
    fn spills_to_next_fit_when_it_is_full_and_serves_again_when_it_is_not() {
        let mut scene = Scene::fresh(6, 16, Placement::NextFit);
        scene.shows_slots("O O");
        scene.alloc(16);
        let second = scene.alloc(16);
        scene.alloc(16);
        scene.shows("XX |OOOO");
        assert_eq!(scene.pair.heap().stats().unwrap().spilled, 1);
        scene.pair.free(second).unwrap().unwrap();
        assert_eq!(scene.alloc(16), second);
        scene.shows("XX |OOOO");
    }

    #[test]
    fn may_have_no_slots_at_all() {
        let mut scene = Scene::of_bytes(4096, Config::new(2000));
        scene.shows_slots("");
        scene.alloc(2000);
        assert_eq!(scene.live().len(), 1);
        assert_eq!(scene.pair.heap().stats().unwrap().spilled, 1);
    }

    #[test]
    fn may_have_a_tail_that_is_no_slot() {
        let mut scene = Scene::of_bytes(4096, Config::new(400));
        scene.shows_slots("O O");
        for _ in 0..2 {
            scene.alloc(400);
        }
        scene.shows_slots("X X");
        scene.alloc(400);
        assert_eq!(scene.live().len(), 1);
    }
}

mod freeing {
    use super::*;

    #[test]
    fn between_two_used_blocks_makes_a_free_block() {
        let mut scene = Scene::drawn("XX XXX XX|");
        scene.free(1);
        scene.shows("XX OOO XX|");
    }

    #[test]
    fn behind_a_free_block_joins_it() {
        let mut scene = Scene::drawn("XX OOO XX XX|");
        scene.free(2);
        scene.shows("XX OOOOO XX|");
    }

    #[test]
    fn before_a_free_block_joins_it() {
        let mut scene = Scene::drawn("XX XX OOO XX|");
        scene.free(1);
        scene.shows("XX OOOOO XX|");
    }

    #[test]
    fn between_two_free_blocks_joins_both() {
        let mut scene = Scene::drawn("XX OOO XX OOOO XX|");
        scene.free(2);
        scene.shows("XX OOOOOOOOO XX|");
    }

    #[test]
    fn at_the_start_before_a_used_block_makes_a_free_block() {
        let mut scene = Scene::drawn("XXX XX|");
        scene.free(0);
        scene.shows("OOO XX|");
    }

    #[test]
    fn at_the_start_before_a_free_block_joins_it() {
        let mut scene = Scene::drawn("XXX OO XX|");
        scene.free(0);
        scene.shows("OOOOO XX|");
    }

    #[test]
    fn at_the_end_behind_a_used_block_makes_a_free_block() {
        let mut scene = Scene::drawn("XX |XXX");
        scene.free(1);
        scene.shows("XX |OOO");
    }

    #[test]
    fn at_the_end_behind_a_free_block_joins_it() {
        let mut scene = Scene::drawn("XX |OO XXX");
        scene.free(2);
        scene.shows("XX |OOOOO");
    }

    #[test]
    fn the_only_block_frees_the_segment() {
        let mut scene = Scene::drawn("XXXXXX|");
        scene.free(0);
        scene.shows("OOOOOO|");
    }

    #[test]
    fn moves_the_rover_to_the_start_of_the_free_block_that_it_lies_in() {
        let mut scene = Scene::drawn("XX OOO XX |XX XX");
        scene.free(2);
        scene.shows("XX OOOOO |XX XX");
        scene.free(2);
        scene.shows("XX |OOOOOOO XX");
    }

    #[test]
    fn leaves_a_rover_that_stands_just_behind_the_free_block() {
        let mut scene = Scene::drawn("XX XXX |XX");
        scene.free(1);
        scene.shows("XX OOO |XX");
    }

    #[test]
    fn everything_in_any_order_leaves_one_free_block() {
        let mut rng = fastrand::Rng::with_seed(11);
        for round in 0..90 {
            // Under the third, heaps with the size classes of up to 64 and of up to 128 bytes.
            let (placement, granules) = match round % 3 {
                0 => (Placement::NextFit, rng.usize(3..400)),
                1 => (Placement::FirstFit, rng.usize(3..400)),
                _ => (Placement::General, rng.usize(2048..5000)),
            };
            let mut scene = Scene::fresh(granules, 1 << rng.u32(..9), placement);
            let mut served = Vec::new();
            while let Ok(address) = scene.pair.alloc(rng.usize(..200), 1 << rng.u32(..8)).unwrap() {
                served.push(address);
            }
            rng.shuffle(&mut served);
            for address in served {
                scene.pair.free(address).unwrap().unwrap();
            }
            scene.compare();
            scene.pair.expect_empty().unwrap();
        }
    }
}

mod allocating {
    use super::*;

    #[test]
    fn takes_at_least_32_bytes_and_whole_granules() {
        for (size, granules) in [(0, 2), (1, 2), (16, 2), (17, 3), (32, 3), (33, 4), (100, 8)] {
            let mut scene = Scene::fresh(20, 1 << 20, Placement::NextFit);
            scene.alloc(size);
            assert_eq!(scene.live()[0].size, granules * GRANULE, "for {size} bytes");
        }
    }

    #[test]
    fn carves_from_the_front_of_the_first_free_block_that_fits() {
        let mut scene = Scene::drawn("XX |OO XX OOO XX OOOOOOOO XX");
        scene.alloc(64);
        scene.shows("XX OO XX OOO XX XXXXX |OOO XX");
    }

    #[test]
    fn fits_exactly() {
        let mut scene = Scene::drawn("XX |OOO XX");
        scene.alloc(32);
        scene.shows("XX XXX |XX");
    }

    #[test]
    fn keeps_a_remainder_of_16_bytes() {
        let mut scene = Scene::drawn("XX |OOOO XX");
        let address = scene.alloc(32);
        scene.shows("XX XXXX |XX");
        assert_eq!(scene.pair.heap().usable_size(address as *const u8), Ok(48));
    }

    #[test]
    fn makes_a_free_block_of_a_remainder_of_32_bytes() {
        let mut scene = Scene::drawn("XX |OOOOO XX");
        let address = scene.alloc(32);
        scene.shows("XX XXX |OO XX");
        assert_eq!(scene.pair.heap().usable_size(address as *const u8), Ok(32));
    }

    #[test]
    fn begins_at_the_rover_and_not_at_an_earlier_gap() {
        let mut scene = Scene::drawn("OOO XX |OOO XX");
        scene.alloc(16);
        scene.shows("OOO XX XXX |XX");
    }

    #[test]
    fn passes_over_used_blocks_behind_the_rover() {
        let mut scene = Scene::drawn("OOO |XX XX OO");
        scene.alloc(16);
        scene.shows("OOO XX XX XX|");
    }

    #[test]
    fn wraps_once_at_the_end() {
        let mut scene = Scene::drawn("XX OOO XX |OO XX");
        scene.alloc(32);
        scene.shows("XX XXX |XX OO XX");
    }

    #[test]
    fn wraps_from_the_very_end() {
        let mut scene = Scene::drawn("OOOOO XX|");
        scene.alloc(16);
        scene.shows("XX |OOO XX");
    }

    #[test]
    fn changes_nothing_when_no_block_fits() {
        let mut scene = Scene::drawn("XX OO XX |OOO XX OO");
        assert_eq!(scene.alloc_fails(33), AllocError::Fragmented);
        assert_eq!(scene.alloc_fails(96), AllocError::Fragmented);
        assert_eq!(scene.alloc_fails(97), AllocError::Full);
        scene.shows("XX OO XX |OOO XX OO");
    }

    #[test]
    fn fails_when_the_segment_is_full() {
        let mut scene = Scene::drawn("XX XXX XX|");
        assert_eq!(scene.alloc_fails(0), AllocError::Full);
        scene.shows("XX XXX XX|");
    }

    #[test]
    fn of_zeroed_memory_finds_zeros_where_others_have_written() {
        let mut scene = Scene::fresh(48, 64, Placement::NextFit);
        for size in [64, 64, 1, 40, 500] {
            let dirty = scene.alloc(size);
            scene.pair.free(dirty).unwrap().unwrap();
            scene.pair.alloc_zeroed(size).unwrap().unwrap();
            scene.compare();
        }
        assert_eq!(scene.pair.alloc_zeroed(500).unwrap(), Err(AllocError::Full));
    }

    #[test]
    fn may_be_written_to_the_last_usable_byte() {
        let mut scene = Scene::fresh(48, 50, Placement::NextFit);
        for (size, usable) in [(50, 64), (0, 16), (16, 16), (17, 32), (100, 112)] {
            let address = scene.alloc(size);
            assert_eq!(scene.pair.heap().usable_size(address as *const u8), Ok(usable), "for {size} bytes");
        }
        scene.pair.verify_objects().unwrap();
    }

    #[test]
    fn fails_for_sizes_that_no_memory_can_have() {
        let mut scene = Scene::drawn("XX |OOOO");
        for size in [usize::MAX, usize::MAX - 15, usize::MAX - 31, usize::MAX / 2, 1 << 30] {
            assert_eq!(scene.alloc_fails(size), AllocError::Full);
        }
        scene.shows("XX |OOOO");
    }
}

mod headers {
    use super::*;

    #[test]
    fn say_the_payload_of_used_blocks_and_the_next_of_free_ones() {
        let scene = Scene::drawn("XX OOO XXXX |OO XX");
        let blocks = scene.blocks();
        assert_eq!(scene.pair.header_at(blocks[0].address), (16, MAGIC));
        assert_eq!(scene.pair.header_at(blocks[1].address), (32, blocks[3].address));
        assert_eq!(scene.pair.header_at(blocks[2].address), (48, MAGIC));
        assert_eq!(scene.pair.header_at(blocks[3].address), (16, 0));
        assert_eq!(scene.pair.header_at(blocks[4].address), (16, MAGIC));
    }

    #[test]
    fn of_a_returned_slot_say_its_bytes_and_the_next_free_slot() {
        let mut scene = Scene::fresh(24, 30, Placement::NextFit);
        let slots: Vec<usize> = (0..3).map(|_| scene.alloc(30)).collect();
        scene.pair.free(slots[2]).unwrap().unwrap();
        scene.pair.free(slots[0]).unwrap().unwrap();
        assert_eq!(scene.pair.header_at(slots[0]), (32, slots[2]));
        assert_eq!(scene.pair.header_at(slots[2]), (32, slots[2] + 32), "the next is one that was never used");
        scene.alloc(30);
        scene.alloc(30);
        scene.alloc(30);
        scene.alloc(30);
        scene.pair.free(slots[1]).unwrap().unwrap();
        assert_eq!(scene.pair.header_at(slots[1]), (32, 0));
    }
}
