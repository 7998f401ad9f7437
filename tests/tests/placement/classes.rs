//! The size classes of policy `General`: which requests they serve, where a run lies, in which order its slots are handed out, and
//! when it is given back. A reference model runs beside each scenario.
//!
//! A heap of 32 KiB has the classes of up to 64 bytes, with runs of 1 KiB; one of 256 KiB and more has all. Heaps start at a
//! multiple of 8 KiB.

mod a_class;
mod a_run;
mod the_magazine;
mod a_request_whose_class_can_have_no_run;

use slabfit::{CLASSES, ClassStats};
use slabfit_tests::model::Placement;
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
    assert_eq!(scene.class(48), expected);
    let blocks = scene.stats().blocks;
    assert_eq!((blocks.live_objects, blocks.live_bytes, blocks.allocs, blocks.frees), (2, 2 * KIB, 2, 0));
    scene.free_all(&slots[20..]);
    scene.free_all(&[slots[19]]);
    scene.empty_magazines();
    let blocks = scene.stats().blocks;
    assert_eq!((blocks.peak_objects, blocks.peak_bytes, blocks.live_objects, blocks.frees), (2, 2 * KIB, 0, 2));
    assert_eq!(scene.class(48), ClassStats { runs: 0, slots: 0, live_objects: 0, frees: 26, ..expected });
}

#[test]
fn other_policies_have_no_classes() {
    for placement in [Placement::NextFit, Placement::FirstFit] {
        let mut scene = Scene::fresh(4096, 1 << 20, placement);
        let address = scene.alloc(16);
        assert!(!scene.is_slot(address));
        scene.empty_magazines();
        assert_eq!(scene.stats().classes, [ClassStats::default(); CLASSES]);
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
