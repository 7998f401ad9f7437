use slabfit::{CLASSES, Config, GRANULE};
use slabfit_tests::arena::Setup;
use slabfit_tests::model::By::{self, Heap as TheHeap};
use slabfit_tests::model::Placement;
use slabfit_tests::pair::Pair;
use slabfit_tests::scene::Scene;

use super::{KIB, one, two};

#[test]
fn serves_small_requests_from_runs_of_its_own() {
    let (mut scene, first, second) = two();
    let objects = [first, second, TheHeap].map(|by| scene.alloc_many_by::<3>(by, 16));
    for (run, objects) in objects.into_iter().enumerate() {
        assert_eq!(objects, [0, 16, 32].map(|at| scene.base() + run * KIB + at));
    }
    let class = scene.class(16);
    assert_eq!((class.runs, class.opened, class.peak_runs, class.slots), (3, 3, 3, 192));
    assert_eq!((class.live_objects, class.allocs, class.frees), (9, 9, 0));
    assert_eq!((scene.stats().blocks.live_objects, scene.stats().blocks.live_bytes), (3, 3 * KIB));
}

#[test]
fn serves_every_class_that_exists() {
    let mut scene = Scene::with_caches(256 * KIB, 1);
    let cache = scene.attach();
    for class in scene.stats().classes {
        let object = scene.alloc_by(cache, class.slot_size);
        assert_eq!(scene.pair.heap().usable_size(object as *const u8), Ok(class.slot_size));
        assert_eq!(scene.alloc_by(cache, class.slot_size), object + class.slot_size);
    }
    assert_eq!(scene.stats().blocks.live_objects, CLASSES);
    // No run is the heap's own, so that this is a new one.
    scene.alloc(16);
    assert_eq!(scene.class(16).runs, 2);
}

#[test]
fn gives_the_slots_of_a_run_from_the_lowest_on() {
    let (mut scene, cache) = one();
    for nth in 0..64 {
        assert_eq!(scene.alloc_by(cache, 16), scene.base() + nth * 16);
    }
    assert_eq!(scene.alloc_by(cache, 16), scene.base() + KIB, "the next run");
}

#[test]
fn gives_the_slot_that_it_freed_last() {
    let (mut scene, cache) = one();
    let slots: [usize; 10] = scene.alloc_many_by(cache, 48);
    scene.free_all_by(cache, &[slots[4], slots[0], slots[7]]);
    assert_eq!(scene.alloc_many_by(cache, 48), [slots[7], slots[0], slots[4], slots[9] + 48]);
}

#[test]
fn makes_the_older_half_of_a_full_magazine_idle() {
    let (mut scene, cache) = one();
    let slots: [usize; 64] = scene.alloc_many_by(cache, 16);
    scene.free_all_by(cache, &slots[..33]);
    // The newer half and the last, newest first; then what became idle, lowest first.
    let newer: Vec<usize> = (16..33).rev().map(|nth| slots[nth]).collect();
    assert_eq!(scene.alloc_many_by::<17>(cache, 16).to_vec(), newer);
    assert_eq!(scene.alloc_many_by::<16>(cache, 16), slots[..16]);
    assert_eq!(scene.alloc_by(cache, 16), scene.base() + KIB);
}

#[test]
fn goes_on_with_the_run_that_came_to_have_idle_slots_last() {
    let (mut scene, cache) = one();
    let slots: [usize; 48] = scene.alloc_many_by(cache, 64);
    // Of the runs 0, 2 and 1, in this order, and each has a live slot still.
    for run in [1..16, 33..48, 17..32] {
        scene.free_all_by(cache, &slots[run]);
    }
    scene.empty_by(cache);
    for run in [17..32, 33..48, 1..16] {
        assert_eq!(scene.alloc_many_by::<15>(cache, 64), slots[run]);
    }
}

#[test]
fn passes_on_to_the_heap_what_no_class_serves() {
    let (mut scene, cache) = one();
    for (size, align) in [(129, 16), (1000, 16), (40, 32), (16, 64), (1, 4096)] {
        let object = scene.alloc_aligned_by(cache, size, align);
        assert!(!scene.is_slot(object), "{size} bytes at {align}");
        scene.free_all_by(cache, &[object]);
    }
    assert_eq!(scene.stats().spilled, 0);
    assert_eq!(scene.blocks().len(), 1);
}

#[test]
fn serves_alignments_that_divide_the_slot_size() {
    let (mut scene, cache) = one();
    for (size, align) in [(32, 32), (64, 64), (96, 32), (128, 128), (64, 32), (10, 1), (10, 8)] {
        let object = scene.alloc_aligned_by(cache, size, align);
        assert!(scene.is_slot(object), "{size} bytes at {align}");
    }
}

#[test]
fn passes_requests_of_the_slab_size_on_to_the_heap() {
    let config = Config::new(64).slab_bytes(128).caches(1);
    let setup = Setup { placement: Placement::General, config, ..Setup::plain(64 * KIB, 64) };
    let mut pair = Pair::new(setup).unwrap();
    let cache = By::Cache(pair.attach().unwrap().unwrap());
    let served = [64, 64, 64, 63].map(|size| pair.alloc_by(cache, size, GRANULE).unwrap().unwrap());
    pair.compare().unwrap();
    let stats = pair.heap().stats().unwrap();
    // Two slots of the slab, one of the heap's own run, and one of the cache's.
    assert_eq!((stats.slab.live_objects, stats.classes[3].live_objects, stats.classes[3].runs), (2, 2, 2));
    assert_eq!(stats.spilled, 1);
    assert_eq!(served[3], served[2] + KIB);
    // Also where the cache has such slots at hand.
    pair.free_by(cache, served[0]).unwrap().unwrap();
    assert_eq!(pair.alloc_by(cache, 64, GRANULE).unwrap(), Ok(served[0]));
    pair.compare().unwrap();
    // With an alignment that the slab does not give, it is not the slab's.
    let aligned = pair.alloc_by(cache, 64, 64).unwrap().unwrap();
    assert_eq!(aligned, served[3] + 64);
}

#[test]
fn gives_zeros_where_they_are_asked_for() {
    let (mut scene, cache) = one();
    for _ in 0..4 {
        let object = scene.pair.alloc_zeroed_by(cache, 100).unwrap().unwrap();
        let large = scene.pair.alloc_zeroed_by(cache, 300).unwrap().unwrap();
        scene.free_all_by(cache, &[object, large]);
    }
}

#[test]
fn frees_what_the_heap_served() {
    let (mut scene, cache) = one();
    let (slot, block) = (scene.alloc(16), scene.alloc(1000));
    scene.free_all_by(cache, &[slot, block]);
    assert_eq!(scene.class(16).frees, 1);
    assert_eq!(scene.alloc(16), slot, "it lies in the heap's own magazine");
    assert_eq!(scene.alloc_by(cache, 16), scene.base() + KIB);
}

#[test]
fn can_be_emptied() {
    let (mut scene, cache) = one();
    let slots: [usize; 64] = scene.alloc_many_by(cache, 64);
    scene.free_all_by(cache, &slots);
    assert!(scene.class(64).runs > 1);
    let other = scene.alloc_by(cache, 16);
    scene.empty_by(cache);
    assert_eq!((scene.class(64).runs, scene.class(16).runs), (0, 1));
    assert_eq!(scene.alloc_by(cache, 16), other + 16, "a run with a live slot is its own still");
    scene.free_all_by(cache, &[other, other + 16]);
    scene.empty_by(cache);
    assert_eq!(scene.blocks().len(), 1);
}

#[test]
fn keeps_what_it_has_while_the_heap_is_emptied() {
    let (mut scene, cache) = one();
    let slot = scene.alloc_by(cache, 64);
    scene.free_all_by(cache, &[slot]);
    scene.empty_magazines();
    assert_eq!(scene.class(64).runs, 1);
    assert_eq!(scene.alloc_by(cache, 64), slot);
}
