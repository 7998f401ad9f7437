use slabfit::{InvalidFree, Reason};
use slabfit_tests::model::By::Heap as TheHeap;

use super::{KIB, kib, two};

#[test]
fn is_dead_at_once_and_goes_back_to_its_owner() {
    for by in [1, 2] {
        let (mut scene, first, second) = two();
        let [slot, _] = scene.alloc_many_by(first, 32);
        scene.free_all_by([first, second, TheHeap][by], &[slot]);
        assert_eq!((scene.class(32).live_objects, scene.class(32).frees), (1, 1));
        for again in [first, second, TheHeap] {
            let refused = scene.pair.free_by(again, slot).unwrap();
            assert_eq!(refused, Err(InvalidFree { address: slot, reason: Reason::DoubleFree }));
        }
        for other in [second, TheHeap] {
            assert_ne!(kib(&scene, slot), (scene.alloc_by(other, 32) - scene.base()) / KIB);
        }
        let left: [usize; 30] = scene.alloc_many_by(first, 32);
        assert!(!left.contains(&slot));
        assert_eq!(scene.alloc_by(first, 32), slot);
    }
}

#[test]
fn is_taken_back_when_the_owner_has_nothing_else_at_hand() {
    let (mut scene, first, second) = two();
    let slots: [usize; 32] = scene.alloc_many_by(first, 32);
    scene.free_all_by(second, &[slots[7]]);
    scene.free_all(&[slots[3], slots[20]]);
    scene.free_all_by(first, &[slots[30]]);
    assert_eq!(scene.alloc_many_by(first, 32), [slots[30], slots[3], slots[7], slots[20]]);
    assert_eq!(scene.class(32).runs, 1);
    scene.alloc_by(first, 32);
    assert_eq!(scene.class(32).runs, 2);
}

#[test]
fn is_taken_back_with_those_of_all_classes() {
    let (mut scene, first, second) = two();
    let small: [usize; 64] = scene.alloc_many_by(first, 16);
    let large: [usize; 16] = scene.alloc_many_by(first, 64);
    scene.free_all_by(second, &[small[5], large[9]]);
    // The magazine of 64 runs dry; then that of 16, which has an idle slot by now.
    assert_eq!(scene.alloc_by(first, 64), large[9]);
    scene.free_all_by(second, &[small[8]]);
    assert_eq!(scene.alloc_by(first, 16), small[5], "that of later is not taken back yet");
    assert_eq!(scene.alloc_by(first, 16), small[8]);
}

#[test]
fn is_taken_back_run_by_run_from_the_last_on() {
    let (mut scene, first, second) = two();
    let slots: [usize; 48] = scene.alloc_many_by(first, 64);
    // One slot of each run comes back in the order 1, 0, 2.
    scene.free_all_by(second, &[slots[20], slots[3], slots[40], slots[21]]);
    // They are looked at in the order 2, 0, 1, so that 1 is the last that came to have idle slots.
    assert_eq!(scene.alloc_many_by(first, 64), [slots[20], slots[21], slots[3], slots[40]]);
}

#[test]
fn closes_the_run_with_it_if_that_is_all_idle_beside_another() {
    let (mut scene, first, second) = two();
    let slots: [usize; 48] = scene.alloc_many_by(first, 64);
    scene.free_all_by(second, &slots);
    assert_eq!(scene.class(64).runs, 3, "the owner has not looked");
    scene.alloc_by(first, 64);
    assert_eq!(scene.class(64).runs, 1);
}
