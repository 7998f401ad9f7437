use slabfit::{AllocError, GRANULE, InvalidFree, Reason};
use slabfit_tests::model::By::Heap as TheHeap;

use super::{KIB, one, two};

#[test]
fn leaves_an_object_where_it_is_while_the_same_class_serves_it() {
    let (mut scene, first, second) = two();
    let object = scene.alloc_by(first, 50);
    for by in [first, second, TheHeap] {
        for size in [49, 64, 50] {
            assert_eq!(scene.realloc_by(by, object, size), object);
        }
    }
    assert_eq!(scene.class(64).allocs, 1);
}

#[test]
fn through_a_cache_moves_an_object_to_a_slot_of_that_cache() {
    let (mut scene, first, second) = two();
    let object = scene.alloc_by(first, 64);
    let moved = scene.realloc_by(second, object, 48);
    assert_eq!(scene.alloc_by(second, 48), moved + 48);
    assert_eq!(scene.pair.free_by(first, object).unwrap().map_err(|wrong| wrong.reason), Err(Reason::DoubleFree));
    // The old slot was returned to the first.
    scene.alloc_many_by::<15>(first, 64);
    assert_eq!(scene.alloc_by(first, 64), object);
}

#[test]
fn through_the_heap_moves_an_object_to_a_slot_of_the_heap() {
    let (mut scene, first) = one();
    let object = scene.alloc_by(first, 64);
    let moved = scene.realloc_by(TheHeap, object, 16);
    assert_eq!(scene.alloc(16), moved + 16);
    assert_eq!(scene.pair.free_by(first, object).unwrap().map_err(|wrong| wrong.reason), Err(Reason::DoubleFree));
}

#[test]
fn moves_an_object_out_of_its_run_and_back() {
    let (mut scene, first) = one();
    let object = scene.alloc_by(first, 64);
    let block = scene.realloc_by(first, object, 1000);
    assert!(!scene.is_slot(block));
    // A block is the heap's to resize, so that it moves to a slot of the heap's own.
    let slot = scene.realloc_by(first, block, 64);
    assert!(scene.is_slot(slot));
    assert_eq!(scene.alloc(64), slot + 64);
    assert_eq!(scene.alloc_by(first, 64), object);
}

#[test]
fn of_an_object_that_the_heap_served_is_the_heaps_business() {
    let (mut scene, first) = one();
    let object = scene.alloc(64);
    let moved = scene.realloc_by(first, object, 32);
    assert_eq!(scene.alloc(32), moved + 32);
}

#[test]
fn leaves_an_object_where_it_is_if_it_shrinks_and_there_is_no_memory() {
    for by in [0, 1, 2] {
        let (mut scene, first, second) = two();
        let object = scene.alloc_by(first, 64);
        scene.alloc_block(63 * KIB);
        let by = [first, second, TheHeap][by];
        assert_eq!(scene.realloc_by(by, object, 16), object);
        assert_eq!(scene.pair.realloc_by(by, object, 65, GRANULE).unwrap(), Err(AllocError::Full.into()));
        scene.compare();
    }
}

#[test]
fn keeps_the_alignment() {
    let (mut scene, first) = one();
    let object = scene.alloc_aligned_by(first, 128, 128);
    for (size, align) in [(120, 128), (64, 64), (128, 64), (100, 32), (96, 32)] {
        let object = scene.pair.realloc_by(first, object, size, align).unwrap();
        let Ok(object) = object else { break };
        assert_eq!(object % align, 0);
        scene.compare();
    }
}

#[test]
fn of_what_is_no_object_is_refused() {
    let (mut scene, first, second) = two();
    let object = scene.alloc_by(first, 64);
    scene.free_all_by(first, &[object]);
    for by in [first, second, TheHeap] {
        for (address, reason) in [
            (object, Reason::DoubleFree),
            (object + 8, Reason::Misaligned),
            (object + 8 * KIB, Reason::NeverAllocated),
            (object - 16, Reason::OutsideHeap),
        ] {
            let refused = scene.pair.realloc_by(by, address, 100, GRANULE).unwrap();
            assert_eq!(refused, Err(InvalidFree { address, reason }.into()));
        }
    }
    scene.compare();
}
