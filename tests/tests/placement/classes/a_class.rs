use slabfit::{Config, GRANULE};
use slabfit_tests::arena::Setup;
use slabfit_tests::model::Placement;
use slabfit_tests::pair::Pair;
use slabfit_tests::scene::Scene;

use super::{KIB, RUNS};

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
            assert!(scene.is_slot(address), "{size} bytes");
        }
        smaller = slot_size;
    }
    let larger = scene.alloc(513);
    assert!(!scene.is_slot(larger));
    assert_eq!(scene.stats().spilled, 0);
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
                assert_eq!(scene.is_slot(address), divides, "{slot_size} bytes at {align}");
            }
            assert_eq!(scene.stats().spilled, 0);
        }
    }
}

#[test]
fn does_not_serve_a_size_whose_own_class_cannot_align_it_from_larger_slots() {
    let mut scene = Scene::with_classes(KIB * KIB);
    for (size, align) in [(40, 32), (33, 64), (100, 32), (200, 64), (1, 32)] {
        let address = scene.alloc_aligned(size, align);
        assert!(!scene.is_slot(address), "{size} bytes at {align}");
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
