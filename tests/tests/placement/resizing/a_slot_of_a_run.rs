use slabfit::{AllocError, Config, GRANULE, InvalidFree, ReallocError, Reason};
use slabfit_tests::arena::Setup;
use slabfit_tests::model::Placement;
use slabfit_tests::pair::Pair;
use slabfit_tests::scene::Scene;

const KIB: usize = 1 << 10;

fn moves(scene: &mut Scene, address: usize, size: usize) -> usize {
    let moved = scene.pair.realloc(address, size, GRANULE).unwrap().unwrap();
    scene.compare();
    moved
}

#[test]
fn stays_as_long_as_its_class_serves_the_size() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slot = scene.alloc(40);
    for size in [33, 48, 47, 40] {
        assert_eq!(moves(&mut scene, slot, size), slot);
    }
    let class = scene.pair.heap().stats().unwrap().classes[2];
    assert_eq!((class.allocs, class.frees), (1, 0));
}

#[test]
fn moves_to_a_larger_and_a_smaller_class() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slot = scene.alloc(40);
    let larger = moves(&mut scene, slot, 49);
    assert_eq!(larger, slot + KIB);
    let smaller = moves(&mut scene, larger, 32);
    assert_eq!(smaller, slot + 2 * KIB);
    assert_eq!(moves(&mut scene, smaller, 0), slot + 3 * KIB);
    let classes = scene.pair.heap().stats().unwrap().classes;
    assert_eq!([0, 1, 2, 3].map(|nth| classes[nth].live_objects), [1, 0, 0, 0]);
    assert_eq!([0, 1, 2, 3].map(|nth| classes[nth].frees), [0, 1, 1, 1]);
}

#[test]
fn becomes_a_block_that_no_class_serves() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slot = scene.alloc(64);
    assert_eq!(moves(&mut scene, slot, 65), slot + KIB + GRANULE);
    assert_eq!(scene.live().len(), 1);
}

#[test]
fn moves_for_an_alignment_that_its_class_does_not_serve() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slots: [usize; 3] = scene.alloc_many(48);
    // The first lies at a multiple of 1 KiB, but not because it is of its class.
    let moved = scene.pair.realloc(slots[0], 48, 32).unwrap().unwrap();
    assert_ne!(moved, slots[0]);
    assert_eq!(moved % 32, 0);
    scene.compare();
    let slot = scene.alloc(64);
    assert_eq!(scene.pair.realloc(slot, 64, 64).unwrap(), Ok(slot));
    scene.compare();
}

#[test]
fn stays_when_it_shrinks_and_cannot_move() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slot = scene.alloc(64);
    scene.alloc(31 * KIB - GRANULE);
    assert_eq!(moves(&mut scene, slot, 16), slot);
    assert_eq!(scene.pair.heap().usable_size(slot as *const u8), Ok(64));
    let stats = scene.pair.heap().stats().unwrap();
    assert_eq!((stats.blocks.failed_full, stats.classes[3].live_objects), (1, 1), "the failure is counted");
}

#[test]
fn stays_as_it_was_when_it_grows_and_cannot_move() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slot = scene.alloc(48);
    scene.alloc(31 * KIB - GRANULE);
    for size in [49, 65, 5000, usize::MAX] {
        let failed = scene.pair.realloc(slot, size, GRANULE).unwrap();
        assert_eq!(failed, Err(ReallocError::Alloc(AllocError::Full)));
        scene.compare();
    }
    // What it must move for is its alignment.
    let failed = scene.pair.realloc(slot, 16, 1 << 20).unwrap();
    assert!(slot % (1 << 20) == 0 || failed == Err(ReallocError::Alloc(AllocError::Full)));
    scene.compare();
    scene.free_all(&[slot]);
}

#[test]
fn moves_into_a_block_when_its_new_class_can_have_no_run() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slot = scene.alloc(64);
    scene.alloc(30 * KIB - GRANULE);
    scene.alloc(512 - GRANULE);
    assert_eq!(moves(&mut scene, slot, 16), slot + 31 * KIB + 512 + GRANULE);
    assert_eq!(scene.pair.heap().stats().unwrap().spilled, 1);
}

#[test]
fn is_what_a_block_becomes_that_a_class_serves() {
    let mut scene = Scene::with_classes(32 * KIB);
    let block = scene.alloc(1000);
    assert_eq!(moves(&mut scene, block, 50), block - GRANULE + KIB);
    assert_eq!(scene.live().len(), 1);
    let stats = scene.pair.heap().stats().unwrap();
    assert_eq!((stats.blocks.frees, stats.classes[3].allocs, stats.spilled), (1, 1, 0));
}

#[test]
fn is_not_what_a_block_becomes_whose_class_can_have_no_run() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slot = scene.alloc(64);
    let block = scene.alloc(31 * KIB - GRANULE);
    assert_eq!(moves(&mut scene, block, 31 * KIB - 512), block, "as ever: no class serves it");
    assert_eq!(moves(&mut scene, block, 31 * KIB - GRANULE), block);
    scene.free_all(&[slot]);
    // A class serves it, but has no run and can open none: the magazine of another class is not given back for it.
    assert_eq!(moves(&mut scene, block, 16), block);
    let stats = scene.pair.heap().stats().unwrap();
    assert_eq!((stats.spilled, stats.classes[0].allocs, stats.classes[3].runs), (0, 0, 1));
}

#[test]
fn is_what_a_spilled_block_becomes_when_there_is_room() {
    let mut scene = Scene::with_classes(32 * KIB);
    let filler = scene.alloc(31 * KIB + 512 - GRANULE);
    let spilled = scene.alloc(64);
    scene.free_all(&[filler]);
    assert_eq!(moves(&mut scene, spilled, 64), filler - GRANULE);
    let stats = scene.pair.heap().stats().unwrap();
    assert_eq!((stats.blocks.live_objects, stats.classes[3].live_objects), (1, 1));
}

/// A heap with a slab of two slots of 64 bytes, the first of which is live, and size classes of up to 64 bytes.
fn beside_a_slab() -> (Scene, usize) {
    let (placement, config) = (Placement::General, Config::new(64).slab_bytes(128));
    let setup = Setup { placement, config, ..Setup::plain(40 * KIB, 64) };
    let mut scene = Scene { pair: Pair::new(setup).expect("a legal heap") };
    let first = scene.alloc(64);
    (scene, first)
}

#[test]
fn moves_to_the_slab_when_its_new_size_is_the_slabs() {
    let (mut scene, first) = beside_a_slab();
    let slots: [usize; 2] = scene.alloc_many(16);
    assert_eq!(moves(&mut scene, slots[0], 64), first + 64);
    // The slab is full: a class serves what was meant for it.
    assert_eq!(moves(&mut scene, slots[1], 64), slots[0] + KIB);
    assert_eq!(scene.pair.heap().stats().unwrap().spilled, 1);
}

#[test]
fn of_the_slabs_size_stays_although_the_slab_has_room_again() {
    let (mut scene, first) = beside_a_slab();
    let slots: [usize; 2] = scene.alloc_many(64);
    scene.free_all(&[first]);
    assert_eq!(moves(&mut scene, slots[1], 64), slots[1]);
    assert_eq!(moves(&mut scene, slots[1], 60), slots[1]);
}

#[test]
fn is_refused_at_a_wrong_address() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slots: [usize; 3] = scene.alloc_many(48);
    scene.free_all(&slots[1..2]);
    for (address, reason) in [
        (slots[0] + 8, Reason::Misaligned),
        (slots[0] + 16, Reason::NotAStart),
        (slots[1], Reason::DoubleFree),
        (slots[1] + 16, Reason::DoubleFree),
        (slots[2] + 48, Reason::DoubleFree),
        (slots[0] + 21 * 48, Reason::NotAStart),
        (slots[0] + KIB, Reason::NeverAllocated),
    ] {
        let refused = scene.pair.realloc(address, 16, GRANULE).unwrap();
        assert_eq!(refused, Err(ReallocError::InvalidFree(InvalidFree { address, reason })));
        scene.compare();
    }
    let stats = scene.pair.heap().stats().unwrap();
    assert_eq!((stats.blocks.refused_frees, stats.classes[0].allocs, stats.classes[2].allocs), (7, 0, 3));
}
