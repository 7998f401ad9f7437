use slabfit::{GRANULE, Reason};
use slabfit_tests::scene::Scene;

use super::refuses;

const KIB: usize = 1 << 10;

/// A heap of 32 KiB with the first so many slots of its first run live.
fn run<const LIVE: usize>(size: usize) -> (Scene, [usize; LIVE]) {
    let mut scene = Scene::with_classes(32 * KIB);
    let slots = scene.alloc_many(size);
    (scene, slots)
}

#[test]
fn of_a_slot_that_lies_in_the_magazine() {
    let (mut scene, slots) = run::<5>(16);
    scene.free_all(&[slots[1], slots[3]]);
    for nth in [1, 3] {
        refuses(&mut scene, slots[nth], Reason::DoubleFree);
    }
    assert_eq!(scene.alloc(16), slots[3], "the magazine is as it was");
}

#[test]
fn of_a_slot_that_was_given_back_to_its_run() {
    let (mut scene, slots) = run::<64>(16);
    scene.free_all(&slots[..33]);
    for slot in &slots[..33] {
        refuses(&mut scene, *slot, Reason::DoubleFree);
    }
    scene.empty_magazines();
    for slot in &slots[..33] {
        refuses(&mut scene, *slot, Reason::DoubleFree);
    }
}

#[test]
fn of_a_slot_that_was_never_handed_out() {
    let (mut scene, slots) = run::<3>(64);
    for address in [slots[2] + 64, slots[2] + 80, slots[0] + KIB - 64, slots[0] + KIB - 16] {
        refuses(&mut scene, address, Reason::DoubleFree);
    }
}

#[test]
fn inside_a_live_slot() {
    let (mut scene, slots) = run::<2>(64);
    for by in [16, 32, 48] {
        refuses(&mut scene, slots[1] + by, Reason::NotAStart);
    }
}

#[test]
fn inside_a_free_slot() {
    let (mut scene, slots) = run::<2>(64);
    scene.free_all(&slots[1..]);
    for by in [16, 32, 48] {
        refuses(&mut scene, slots[1] + by, Reason::DoubleFree);
    }
}

#[test]
fn of_a_misaligned_address() {
    let (mut scene, slots) = run::<2>(48);
    scene.free_all(&slots[1..]);
    for start in [slots[0], slots[1], slots[0] + KIB - GRANULE] {
        for by in 1..GRANULE {
            refuses(&mut scene, start + by, Reason::Misaligned);
        }
    }
}

#[test]
fn behind_the_last_slot() {
    // Of 1024 bytes 21 slots of 48 take 1008.
    let (mut scene, slots) = run::<1>(48);
    refuses(&mut scene, slots[0] + 1008, Reason::NotAStart);
    // Of 2048 bytes 18 slots of 112 take 2016.
    let mut scene = Scene::with_classes(64 * KIB);
    let first = scene.alloc(112);
    refuses(&mut scene, first + 2016, Reason::NotAStart);
    refuses(&mut scene, first + 2032, Reason::NotAStart);
}

#[test]
fn of_the_granule_that_its_block_has_behind_it() {
    let mut scene = Scene::with_classes(32 * KIB);
    let first = scene.alloc(KIB);
    let second = scene.alloc(KIB);
    scene.free_all(&[first]);
    let slot = scene.alloc(16);
    assert_eq!(slot + KIB + GRANULE, second - GRANULE);
    refuses(&mut scene, slot + KIB, Reason::NotAStart);
    scene.free_all(&[slot]);
    refuses(&mut scene, slot + KIB, Reason::NotAStart);
    scene.empty_magazines();
    refuses(&mut scene, slot + KIB, Reason::DoubleFree);
}

#[test]
fn that_was_given_back_since() {
    let (mut scene, slots) = run::<10>(64);
    let behind = scene.alloc(KIB - GRANULE);
    scene.free_all(&slots);
    scene.empty_magazines();
    for slot in slots {
        refuses(&mut scene, slot, Reason::DoubleFree);
        refuses(&mut scene, slot + 16, Reason::DoubleFree);
    }
    // Then another block comes to lie there, and a run of another class.
    let block = scene.alloc(600);
    for slot in &slots[1..] {
        refuses(&mut scene, *slot, Reason::NotAStart);
    }
    scene.free_all(&[block]);
    let small = scene.alloc(48);
    assert_eq!(small, slots[0]);
    for slot in &slots[1..] {
        refuses(&mut scene, *slot, Reason::DoubleFree);
    }
    scene.free_all(&[small, behind]);
}

#[test]
fn of_memory_behind_the_highest_run_that_was_never_allocated() {
    let (mut scene, slots) = run::<1>(16);
    for address in [slots[0] + KIB, slots[0] + KIB + 16, slots[0] + 4 * KIB] {
        refuses(&mut scene, address, Reason::NeverAllocated);
    }
    scene.free_all(&slots);
    scene.empty_magazines();
    refuses(&mut scene, slots[0] + KIB - GRANULE, Reason::DoubleFree);
    refuses(&mut scene, slots[0] + KIB, Reason::NeverAllocated);
}

#[test]
fn of_a_forged_header_in_a_slot() {
    let (mut scene, _) = run::<3>(64);
    let object = scene.pair.objects()[1];
    for granules in 0..3 {
        scene.pair.forge(object, granules).unwrap();
        scene.compare();
    }
    let refused = scene.pair.heap().stats().unwrap().blocks;
    assert_eq!((refused.refused_frees, refused.corruptions), (6, 0));
}

#[test]
fn however_the_slots_beside_it_were_overwritten() {
    let (mut scene, slots) = run::<4>(16);
    scene.free_all(&slots[1..2]);
    scene.pair.scribble(3);
    refuses(&mut scene, slots[1], Reason::DoubleFree);
    assert_eq!(scene.alloc(16), slots[1]);
    scene.pair.repair().unwrap();
}

#[test]
fn but_not_of_a_slot_that_was_handed_out_again() {
    let (mut scene, slots) = run::<4>(16);
    scene.free_all(&[slots[2]]);
    assert_eq!(scene.alloc(16), slots[2]);
    scene.free_all(&[slots[2]]);
    refuses(&mut scene, slots[2], Reason::DoubleFree);
}

#[test]
fn at_every_byte_that_is_no_objects_first() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slots: Vec<usize> = [16, 48, 64, 16, 40].map(|size| scene.alloc(size)).to_vec();
    scene.alloc(600);
    scene.free_all(&slots[1..3]);
    scene.pair.free_every_wrong_address().unwrap();
    scene.compare();
    assert_eq!(scene.alloc(64), slots[2]);
}

#[test]
fn and_counted_in_the_block_segments_figures() {
    let (mut scene, slots) = run::<2>(64);
    scene.free_all(&slots[1..]);
    for (address, reason) in [
        (slots[0] + 16, Reason::NotAStart),
        (slots[0] + 1, Reason::Misaligned),
        (slots[1], Reason::DoubleFree),
        (slots[1] + 16, Reason::DoubleFree),
    ] {
        refuses(&mut scene, address, reason);
    }
    let stats = scene.pair.heap().stats().unwrap();
    assert_eq!((stats.blocks.refused_frees, stats.blocks.corruptions, stats.blocks.frees), (4, 0, 0));
    assert_eq!(stats.classes[3].frees, 1);
}
