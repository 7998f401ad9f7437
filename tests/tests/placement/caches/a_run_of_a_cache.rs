use slabfit::{GRANULE, Kind};

use super::{KIB, one, two};

#[test]
fn is_given_back_when_all_its_slots_are_idle_and_another_run_has_idle_slots() {
    let (mut scene, cache) = one();
    let slots: [usize; 64] = scene.alloc_many_by(cache, 64);
    // 16 slots to a run. The first half of what was freed becomes idle, which is the first run, and the only one.
    scene.free_all_by(cache, &slots[..33]);
    assert_eq!(scene.class(64).runs, 4);
    scene.free_all_by(cache, &slots[33..48]);
    assert_eq!(scene.class(64).runs, 4);
    // The second run becomes all idle beside the first.
    scene.free_all_by(cache, &slots[48..49]);
    assert_eq!(scene.class(64).runs, 3);
    assert_eq!(scene.stats().blocks.frees, 1);
    assert!(!scene.blocks().iter().any(|block| block.address == slots[16] && block.kind == Kind::Slot));
}

#[test]
fn stays_while_the_slot_that_is_being_freed_is_its_last_live_one() {
    let (mut scene, cache) = one();
    let other = scene.alloc_many_by::<17>(cache, 64);
    // An idle slot of the first run, whose others are live.
    scene.empty_by(cache);
    scene.free_all_by(cache, &other[..1]);
    scene.empty_by(cache);
    let runs = scene.class(64).runs;
    let slots: [usize; 15] = scene.alloc_many_by(cache, 64);
    scene.free_all_by(cache, &slots);
    scene.free_all_by(cache, &other[1..]);
    assert!(scene.class(64).runs <= runs);
    scene.empty_by(cache);
    assert_eq!(scene.class(64).runs, 0);
}

#[test]
fn gives_a_remainder_of_one_granule_back_with_it() {
    let (mut scene, cache) = one();
    let first = scene.alloc_block(KIB + GRANULE);
    let second = scene.alloc_block(KIB);
    scene.free_all(&[first]);
    let slot = scene.alloc_by(cache, 16);
    assert_eq!((slot, scene.stats().blocks.live_bytes), (scene.base(), 2 * KIB + GRANULE));
    scene.free_all_by(cache, &[slot]);
    scene.empty_by(cache);
    assert_eq!(scene.stats().blocks.live_bytes, KIB);
    scene.free_all_by(cache, &[second]);
    assert_eq!(scene.blocks().len(), 1);
}

#[test]
fn is_written_to_by_nobody_but_its_objects_owners() {
    let (mut scene, first, second) = two();
    let slots: [usize; 64] = scene.alloc_many_by(first, 16);
    let before = slots.map(|slot| scene.pair.header_at(slot));
    scene.free_all_by(first, &slots[1..40]);
    scene.free_all_by(second, &slots[40..50]);
    scene.free_all(&slots[50..]);
    scene.empty_by(first);
    assert_eq!(slots.map(|slot| scene.pair.header_at(slot)), before);
}
