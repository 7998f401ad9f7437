//! The size classes of policy `General`: which requests they serve, where a run lies, in which order its slots are handed out, and
//! when it is given back. A reference model runs beside each scenario.
//!
//! A heap of 32 KiB has the classes of up to 64 bytes, with runs of 1 KiB; one of 256 KiB and more has all. Heaps start at a
//! multiple of 8 KiB.

use slabfit::{AllocError, CLASSES, ClassStats, Config, GRANULE, Kind, SegmentStats, State};
use slabfit_tests::arena::Setup;
use slabfit_tests::model::Placement;
use slabfit_tests::pair::Pair;
use slabfit_tests::scene::Scene;

const KIB: usize = 1 << 10;

/// Bytes of a slot of each class, and of its run.
const RUNS: [(usize, usize); CLASSES] = [
    (16, KIB),
    (32, KIB),
    (48, KIB),
    (64, KIB),
    (80, 2 * KIB),
    (96, 2 * KIB),
    (112, 2 * KIB),
    (128, 2 * KIB),
    (160, 4 * KIB),
    (192, 4 * KIB),
    (224, 4 * KIB),
    (256, 4 * KIB),
    (320, 8 * KIB),
    (384, 8 * KIB),
    (448, 8 * KIB),
    (512, 8 * KIB),
];

fn base(scene: &Scene) -> usize {
    scene.pair.heap().base().expect("initialised").addr().get()
}

/// The figures of the class of so many bytes.
fn class_of(scene: &Scene, slot_size: usize) -> ClassStats {
    let classes = scene.pair.heap().stats().expect("nobody is in the heap").classes;
    classes.into_iter().find(|class| class.slot_size == slot_size).unwrap_or_default()
}

fn blocks_of(scene: &Scene) -> SegmentStats {
    scene.pair.heap().stats().expect("nobody is in the heap").blocks
}

fn spilled(scene: &Scene) -> u64 {
    scene.pair.heap().stats().expect("nobody is in the heap").spilled
}

/// Whether the object at an address is a slot, or else a block's payload.
fn is_slot(scene: &Scene, address: usize) -> bool {
    scene.blocks().iter().any(|block| block.kind == Kind::Slot && block.address == address)
}

/// A block that takes so many bytes, its header included.
fn block_of(scene: &mut Scene, bytes: usize) -> usize {
    let address = scene.alloc(bytes - GRANULE);
    assert!(!is_slot(scene, address), "{bytes} bytes");
    address
}

mod a_class {
    use super::*;

    fn exists(segment: usize, config: Config, nth: usize) -> bool {
        let size = match config.slab_bytes {
            Some(_) => segment,
            None => segment / 3 * 4,
        };
        let setup = Setup { placement: Placement::General, config, ..Setup::plain(size, 64) };
        let pair = Pair::new(setup).unwrap();
        let class = pair.heap().stats().unwrap().classes[nth];
        assert!([0, RUNS[nth].0].contains(&class.slot_size));
        class.slot_size > 0
    }

    #[test]
    fn exists_where_32_of_its_runs_are_no_more_than_the_block_segment() {
        for (nth, (_, run)) in RUNS.into_iter().enumerate() {
            assert!(exists(32 * run, Config::without_slab(), nth), "class {nth}");
            assert!(!exists(32 * run - GRANULE, Config::without_slab(), nth), "class {nth}");
        }
    }

    #[test]
    fn does_not_exist_where_a_slab_leaves_too_little_to_the_block_segment() {
        for (nth, (_, run)) in RUNS.into_iter().enumerate() {
            assert!(exists(33 * run, Config::new(64), nth), "class {nth}");
            assert!(!exists(31 * run, Config::new(64), nth), "class {nth}");
        }
    }

    #[test]
    fn serves_the_sizes_up_to_that_of_its_slots() {
        let mut scene = Scene::with_classes(KIB * KIB);
        let mut smaller = 0;
        for (slot_size, _) in RUNS {
            for size in [smaller, smaller + 1, slot_size - 1, slot_size] {
                let expected = if size > smaller || size == 0 { slot_size } else { smaller };
                let address = scene.alloc(size);
                assert_eq!(scene.pair.heap().usable_size(address as *const u8), Ok(expected), "{size} bytes");
                assert!(is_slot(&scene, address), "{size} bytes");
            }
            smaller = slot_size;
        }
        let larger = scene.alloc(513);
        assert!(!is_slot(&scene, larger));
        assert_eq!(spilled(&scene), 0);
    }

    #[test]
    fn serves_the_alignments_that_divide_its_slot_size() {
        for (slot_size, _) in RUNS {
            for shift in 0..=13 {
                let align = 1 << shift;
                let mut scene = Scene::with_classes(KIB * KIB);
                for _ in 0..5 {
                    let address = scene.alloc_aligned(slot_size, align);
                    assert_eq!(address % align, 0);
                    let divides = align <= GRANULE || slot_size % align == 0;
                    assert_eq!(is_slot(&scene, address), divides, "{slot_size} bytes at {align}");
                }
                assert_eq!(spilled(&scene), 0);
            }
        }
    }

    #[test]
    fn does_not_serve_a_size_whose_own_class_cannot_align_it_from_larger_slots() {
        let mut scene = Scene::with_classes(KIB * KIB);
        for (size, align) in [(40, 32), (33, 64), (100, 32), (200, 64), (1, 32)] {
            let address = scene.alloc_aligned(size, align);
            assert!(!is_slot(&scene, address), "{size} bytes at {align}");
        }
    }

    #[test]
    fn serves_what_a_full_slab_cannot() {
        let config = Config::new(64).slab_bytes(128);
        let setup = Setup { placement: Placement::General, config, ..Setup::plain(64 * KIB, 64) };
        let mut pair = Pair::new(setup).unwrap();
        let served = [64, 64, 64, 63].map(|size| pair.alloc(size, GRANULE).unwrap().unwrap());
        pair.compare().unwrap();
        let stats = pair.heap().stats().unwrap();
        assert_eq!((stats.slab.live_objects, stats.classes[3].live_objects, stats.spilled), (2, 2, 1));
        assert_eq!(served[3], served[2] + 64);
    }
}

mod a_run {
    use super::*;

    #[test]
    fn holds_as_many_slots_as_fit() {
        for (slot_size, run) in RUNS {
            let mut scene = Scene::with_classes(256 * KIB);
            let first = scene.alloc(slot_size);
            assert_eq!(first, base(&scene));
            let slots: Vec<_> = scene.blocks().into_iter().filter(|block| block.kind == Kind::Slot).collect();
            assert_eq!(slots.len(), run / slot_size);
            assert!((16..=64).contains(&slots.len()));
            for (nth, slot) in slots.iter().enumerate() {
                assert_eq!((slot.address, slot.size), (first + nth * slot_size, slot_size));
                assert_eq!(slot.state == State::Used, nth == 0);
            }
            // What is behind the last slot is nobody's, and the run is one live block.
            let gap = scene.free_blocks().pop().expect("the rest is free");
            assert_eq!((gap.kind, gap.address, gap.size), (Kind::Block, first + run, 256 * KIB - run));
            let blocks = blocks_of(&scene);
            assert_eq!((blocks.live_objects, blocks.live_bytes, blocks.allocs), (1, run, 1));
        }
    }

    #[test]
    fn lies_at_a_multiple_of_its_length() {
        let mut scene = Scene::with_classes(512 * KIB);
        for (slot_size, run) in RUNS {
            let first = scene.alloc(slot_size);
            assert_eq!(first % run, 0);
            block_of(&mut scene, 544);
        }
    }

    #[test]
    fn leaves_a_free_block_before_it() {
        let mut scene = Scene::with_classes(32 * KIB);
        block_of(&mut scene, 992);
        assert_eq!(scene.alloc(16), base(&scene) + KIB);
        assert_eq!(scene.free_blocks()[0].size, 32);
        assert_eq!(scene.free_blocks()[0].address, base(&scene) + 992);
    }

    #[test]
    fn leaves_no_free_block_of_one_granule_before_it() {
        let mut scene = Scene::with_classes(32 * KIB);
        block_of(&mut scene, 1008);
        assert_eq!(scene.alloc(16), base(&scene) + 2 * KIB);
        assert_eq!(scene.free_blocks()[0].size, KIB + GRANULE);
    }

    #[test]
    fn lies_in_the_first_gap_that_holds_it() {
        let mut scene = Scene::with_classes(32 * KIB);
        let blocks = [1024, 2048, 1024, 1024, 2048].map(|bytes| block_of(&mut scene, bytes));
        for nth in [1, 3] {
            scene.free_all(&[blocks[nth]]);
        }
        assert_eq!(scene.alloc(16), base(&scene) + KIB);
        assert_eq!(scene.alloc(32), base(&scene) + 2 * KIB);
        assert_eq!(scene.alloc(48), base(&scene) + 4 * KIB);
        assert_eq!(scene.alloc(64), base(&scene) + 7 * KIB);
    }

    #[test]
    fn keeps_a_remainder_of_one_granule_behind_it_and_gives_it_back() {
        let mut scene = Scene::with_classes(32 * KIB);
        let first = block_of(&mut scene, KIB + GRANULE);
        let second = block_of(&mut scene, KIB);
        scene.free_all(&[first]);
        let slot = scene.alloc(16);
        assert_eq!(slot, base(&scene));
        assert_eq!(blocks_of(&scene).live_bytes, 2 * KIB + GRANULE);
        assert_eq!(class_of(&scene, 16).slots, 64);
        scene.free_all(&[slot]);
        scene.empty_magazines();
        assert_eq!(blocks_of(&scene).live_bytes, KIB);
        scene.free_all(&[second]);
        assert_eq!(blocks_of(&scene).free_blocks, 1);
    }

    /// So many gaps of 1 KiB that lie half a KiB beside a multiple of it, then one that does not, and the rest of the segment.
    fn behind_crooked_gaps(gaps: usize) -> (Scene, usize) {
        let mut scene = Scene::with_classes(96 * KIB);
        let mut freed = Vec::new();
        block_of(&mut scene, 512);
        for _ in 0..gaps {
            freed.push(block_of(&mut scene, KIB));
            block_of(&mut scene, KIB);
        }
        block_of(&mut scene, 512);
        let straight = block_of(&mut scene, KIB);
        block_of(&mut scene, 512);
        scene.free_all(&freed);
        scene.free_all(&[straight]);
        (scene, straight - GRANULE)
    }

    #[test]
    fn is_looked_for_in_sixteen_gaps_and_then_where_it_always_fits() {
        for gaps in [0, 1, 15, 16, 17, 30] {
            let (mut scene, straight) = behind_crooked_gaps(gaps);
            let expected = if gaps < 16 { straight } else { straight + 2 * KIB };
            assert_eq!(scene.alloc(16), expected, "{gaps} gaps");
        }
    }

    #[test]
    fn is_not_opened_where_the_seventeenth_gap_alone_would_hold_it() {
        for (gaps, served) in [(15, true), (16, false)] {
            let (mut scene, straight) = behind_crooked_gaps(gaps);
            let rest = scene.free_blocks().pop().expect("the rest is free");
            block_of(&mut scene, rest.size);
            let address = scene.alloc(16);
            assert_eq!(is_slot(&scene, address), served, "{gaps} gaps");
            assert_eq!(address == straight, served, "{gaps} gaps");
            assert_eq!(spilled(&scene), u64::from(!served));
        }
    }

    #[test]
    fn that_lies_lowest_is_used_first() {
        let mut scene = Scene::with_classes(32 * KIB);
        let slots: [usize; 192] = scene.alloc_many(16);
        scene.free_all(&[slots[150], slots[100], slots[70], slots[3], slots[130], slots[20]]);
        scene.empty_magazines();
        assert_eq!(scene.alloc_many(16), [3, 20, 70, 100, 130, 150].map(|nth| slots[nth]));
    }

    #[test]
    fn without_a_live_slot_stays_until_a_slot_of_it_is_given_back() {
        let mut scene = Scene::with_classes(32 * KIB);
        let slot = scene.alloc(16);
        scene.free_all(&[slot]);
        assert_eq!((class_of(&scene, 16).runs, blocks_of(&scene).live_objects), (1, 1));
        assert_eq!(scene.alloc(16), slot);
        scene.free_all(&[slot]);
        scene.empty_magazines();
        assert_eq!((class_of(&scene, 16).runs, blocks_of(&scene).frees), (0, 1));
        assert_eq!(scene.free_blocks().len(), 1);
        assert_eq!(scene.blocks().len(), 1);
    }

    #[test]
    fn without_a_live_slot_is_given_back_whole_when_the_magazine_is_full() {
        let mut scene = Scene::with_classes(32 * KIB);
        let slots: [usize; 128] = scene.alloc_many(16);
        let (first, second) = slots.split_at(64);
        scene.free_all(second);
        assert_eq!(class_of(&scene, 16).runs, 2, "the magazine holds 32 of the 64");
        scene.free_all(&first[..1]);
        assert_eq!(class_of(&scene, 16).runs, 1, "a slot of it was given back");
        // The others have left the magazine with it.
        assert_eq!(scene.alloc(16), first[0]);
        assert_eq!(scene.alloc(16), second[0], "a new run, at the same place");
        assert_eq!(blocks_of(&scene).allocs, 3);
    }

    #[test]
    fn stays_while_the_slot_that_is_being_freed_is_its_last_live_one() {
        let mut scene = Scene::with_classes(32 * KIB);
        let slots: [usize; 49] = scene.alloc_many(16);
        scene.free_all(&slots[..48]);
        // The magazine is full: its older half is given back first.
        scene.free_all(&slots[48..]);
        assert_eq!((class_of(&scene, 16).runs, class_of(&scene, 16).live_objects), (1, 0));
        assert_eq!(scene.alloc(16), slots[48]);
    }

    #[test]
    fn that_was_given_back_is_joined_with_the_free_blocks_beside_it() {
        let mut scene = Scene::with_classes(32 * KIB);
        let blocks = [KIB, KIB, KIB, KIB].map(|bytes| block_of(&mut scene, bytes));
        scene.free_all(&[blocks[1]]);
        let slot = scene.alloc(16);
        scene.free_all(&[blocks[0], blocks[2], slot]);
        assert_eq!(scene.free_blocks().iter().filter(|block| block.kind == Kind::Block).count(), 3);
        scene.empty_magazines();
        assert_eq!(scene.free_blocks()[0].size, 3 * KIB);
    }
}

mod the_magazine {
    use super::*;

    #[test]
    fn gives_the_slots_of_a_new_run_from_the_lowest_on() {
        for (slot_size, run) in RUNS {
            let mut scene = Scene::with_classes(256 * KIB);
            for nth in 0..run / slot_size {
                assert_eq!(scene.alloc(slot_size), base(&scene) + nth * slot_size);
            }
            assert_eq!(scene.alloc(slot_size), base(&scene) + run, "the next run");
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
        assert_eq!(
            scene.alloc_many(16),
            [slots[127], slots[80], slots[81]],
            "the newest, then the second run's lowest"
        );
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
        assert_eq!(blocks_of(&scene).live_objects, CLASSES);
        scene.empty_magazines();
        assert_eq!(blocks_of(&scene).live_objects, 1);
        scene.free_all(&[kept]);
        scene.pair.expect_empty().unwrap();
    }

    #[test]
    fn is_given_back_before_a_request_for_a_block_fails() {
        let mut scene = Scene::with_classes(32 * KIB);
        let slots: [usize; 100] = scene.alloc_many(64);
        scene.free_all(&slots);
        let all = scene.alloc(32 * KIB - GRANULE);
        assert_eq!(all, base(&scene) + GRANULE);
        assert_eq!(class_of(&scene, 64).runs, 0);
        let blocks = blocks_of(&scene);
        assert_eq!((blocks.failed_full, blocks.failed_fragmented), (0, 0));
    }

    #[test]
    fn is_given_back_before_a_block_fails_to_grow_and_move() {
        let mut scene = Scene::with_classes(32 * KIB);
        let block = block_of(&mut scene, 4 * KIB);
        let slot = scene.alloc(16);
        scene.free_all(&[slot]);
        // The run lies behind the block, which cannot grow into it and, once the run is given back, can move nowhere else.
        let failed = scene.pair.realloc(block, 30 * KIB, GRANULE).unwrap();
        assert!(failed.is_err());
        scene.compare();
        assert_eq!(class_of(&scene, 16).runs, 0);
        assert_eq!(scene.pair.realloc(block, 30 * KIB, GRANULE).unwrap(), Ok(block));
    }

    #[test]
    fn is_not_given_back_while_a_request_can_be_served() {
        let mut scene = Scene::with_classes(32 * KIB);
        let slot = scene.alloc(64);
        scene.free_all(&[slot]);
        scene.alloc(31 * KIB - GRANULE);
        assert_eq!(class_of(&scene, 64).runs, 1);
        assert_eq!(scene.alloc(64), slot);
    }
}

mod a_request_whose_class_can_have_no_run {
    use super::*;

    #[test]
    fn is_served_by_a_block_and_counted_as_spilled() {
        let mut scene = Scene::with_classes(32 * KIB);
        block_of(&mut scene, 31 * KIB + 512);
        let spills: [usize; 3] = scene.alloc_many(60);
        assert!(spills.iter().all(|&address| !is_slot(&scene, address)));
        assert_eq!(spilled(&scene), 3);
        assert_eq!(class_of(&scene, 64), ClassStats { slot_size: 64, ..ClassStats::default() });
        assert_eq!(scene.pair.heap().usable_size(spills[0] as *const u8), Ok(64));
        scene.free_all(&spills);
        assert_eq!(blocks_of(&scene).frees, 3);
    }

    #[test]
    fn is_served_by_a_block_where_every_gap_is_crooked() {
        let mut scene = Scene::with_classes(32 * KIB);
        block_of(&mut scene, 512);
        let gap = block_of(&mut scene, KIB);
        block_of(&mut scene, 32 * KIB - 512 - KIB);
        scene.free_all(&[gap]);
        assert_eq!(scene.alloc(1), gap);
        assert_eq!(spilled(&scene), 1);
    }

    #[test]
    fn is_served_by_a_run_again_as_soon_as_there_is_room() {
        let mut scene = Scene::with_classes(32 * KIB);
        let block = block_of(&mut scene, 31 * KIB);
        block_of(&mut scene, 1008);
        assert_eq!(scene.alloc_fails(16), AllocError::Full);
        scene.free_all(&[block]);
        assert_eq!(scene.alloc(16), base(&scene));
    }

    #[test]
    fn fails_as_a_block_does() {
        let mut scene = Scene::with_classes(32 * KIB);
        block_of(&mut scene, 32 * KIB);
        for size in [0, 1, 16, 64] {
            assert_eq!(scene.alloc_fails(size), AllocError::Full);
        }
        assert_eq!((blocks_of(&scene).failed_full, spilled(&scene)), (4, 0));
    }

    /// What is free in a run is free for its class only.
    #[test]
    fn fails_although_slots_of_other_classes_are_free() {
        let mut scene = Scene::with_classes(32 * KIB);
        scene.alloc(64);
        block_of(&mut scene, 31 * KIB);
        assert_eq!(scene.alloc_fails(16), AllocError::Full);
        assert_eq!(class_of(&scene, 64).runs, 1);
        scene.alloc(64);
    }

    #[test]
    fn takes_what_other_classes_have_in_their_magazines() {
        let mut scene = Scene::with_classes(32 * KIB);
        let slot = scene.alloc(64);
        block_of(&mut scene, 31 * KIB);
        scene.free_all(&[slot]);
        // No run can be opened, so a block serves it, for which all magazines are given back.
        let address = scene.alloc(16);
        assert_eq!((address, is_slot(&scene, address)), (slot + GRANULE, false));
        assert_eq!(class_of(&scene, 64).runs, 0);
        assert_eq!(spilled(&scene), 1);
    }
}

#[test]
fn the_figures_of_a_class_count_its_slots() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slots: [usize; 25] = scene.alloc_many(40);
    scene.free_all(&slots[..20]);
    scene.alloc(33);
    let expected = ClassStats {
        slot_size: 48,
        runs: 2,
        peak_runs: 2,
        opened: 2,
        slots: 42,
        live_objects: 6,
        allocs: 26,
        frees: 20,
    };
    assert_eq!(class_of(&scene, 48), expected);
    let blocks = blocks_of(&scene);
    assert_eq!((blocks.live_objects, blocks.live_bytes, blocks.allocs, blocks.frees), (2, 2 * KIB, 2, 0));
    scene.free_all(&slots[20..]);
    scene.free_all(&[slots[19]]);
    scene.empty_magazines();
    let blocks = blocks_of(&scene);
    assert_eq!((blocks.peak_objects, blocks.peak_bytes, blocks.live_objects, blocks.frees), (2, 2 * KIB, 0, 2));
    assert_eq!(class_of(&scene, 48), ClassStats { runs: 0, slots: 0, live_objects: 0, frees: 26, ..expected });
}

#[test]
fn other_policies_have_no_classes() {
    for placement in [Placement::NextFit, Placement::FirstFit] {
        let mut scene = Scene::fresh(4096, 1 << 20, placement);
        let address = scene.alloc(16);
        assert!(!is_slot(&scene, address));
        scene.empty_magazines();
        assert_eq!(scene.pair.heap().stats().unwrap().classes, [ClassStats::default(); CLASSES]);
    }
}

#[test]
fn no_byte_of_a_run_is_written() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slots: [usize; 64] = scene.alloc_many(16);
    let before: Vec<(i32, usize)> = slots.iter().map(|&slot| scene.pair.header_at(slot)).collect();
    scene.free_all(&slots[1..]);
    let after: Vec<(i32, usize)> = slots.iter().map(|&slot| scene.pair.header_at(slot)).collect();
    assert_eq!(before, after);
    assert_eq!(scene.pair.heap().overwritten().count(), 0);
}
