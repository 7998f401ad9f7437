use slabfit::{SegmentStats, Stats};
use slabfit_tests::model::Placement;
use slabfit_tests::scene::Scene;

#[test]
fn of_a_fresh_heap_are_its_sizes() {
    let scene = Scene::fresh(48, 32, Placement::NextFit);
    let slab = SegmentStats { size: 256, free_bytes: 256, largest_free: 32, free_blocks: 8, ..SegmentStats::default() };
    let blocks =
        SegmentStats { size: 768, free_bytes: 768, largest_free: 768, free_blocks: 1, ..SegmentStats::default() };
    assert_eq!(scene.pair.heap().stats(), Ok(Stats { slab, blocks, ..Stats::default() }));
}

#[test]
fn count_what_happened() {
    let scene = after_something_of_everything();
    let slab = SegmentStats {
        size: 256,
        live_bytes: 192,
        peak_bytes: 256,
        live_objects: 3,
        peak_objects: 4,
        free_bytes: 64,
        largest_free: 64,
        free_blocks: 1,
        allocs: 4,
        frees: 1,
        refused_frees: 2,
        ..SegmentStats::default()
    };
    let blocks = SegmentStats {
        size: 768,
        live_bytes: 160,
        peak_bytes: 240,
        live_objects: 2,
        peak_objects: 3,
        free_bytes: 608,
        largest_free: 528,
        free_blocks: 2,
        allocs: 3,
        frees: 1,
        failed_full: 1,
        failed_fragmented: 1,
        refused_frees: 3,
        ..SegmentStats::default()
    };
    let all = Stats { slab, blocks, spilled: 1, refused_outside: 1, ..Stats::default() };
    assert_eq!(scene.pair.heap().stats(), Ok(all));
}

/// A slab with three live slots, blocks of which one spilled, and requests and frees that were refused.
fn after_something_of_everything() -> Scene {
    let mut scene = Scene::fresh(48, 60, Placement::NextFit);
    let slots: Vec<usize> = (0..4).map(|_| scene.alloc(60)).collect();
    let spilled = scene.alloc(60);
    let small = scene.alloc(1);
    scene.alloc(100);
    scene.pair.free(slots[0]).unwrap().unwrap();
    scene.pair.free(spilled).unwrap().unwrap();
    scene.alloc_fails(600);
    scene.alloc_fails(540);
    for wrong in [0, slots[0], slots[1] + 1, spilled, small + 1, small - 16] {
        assert!(scene.pair.free(wrong).unwrap().is_err());
    }
    scene.shows("OOOOO XX XXXXXXXX |OOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOO");
    scene
}

#[test]
fn of_a_slab_with_a_tail_leave_the_tail_out_of_what_is_free() {
    let scene = Scene::fresh(48, 100, Placement::NextFit);
    let slab = scene.pair.heap().stats().unwrap().slab;
    assert_eq!((slab.size, slab.free_bytes, slab.largest_free, slab.free_blocks), (256, 224, 112, 2));
}

#[test]
fn count_a_block_that_grows_in_its_peak() {
    let mut scene = Scene::fresh(8, 1 << 20, Placement::NextFit);
    scene.alloc(16);
    scene.realloc(0, 64);
    scene.realloc(0, 16);
    let stats = scene.pair.heap().stats().unwrap().blocks;
    assert_eq!((stats.live_bytes, stats.peak_bytes, stats.peak_objects), (32, 80, 1));
}
