use slabfit::{InvalidFree, Reason};
use slabfit_tests::model::By::{self, Heap as TheHeap};
use slabfit_tests::scene::Scene;

use super::{KIB, one, two};

fn refused(scene: &mut Scene, by: By, address: usize, reason: Reason) {
    let freed = scene.pair.free_by(by, address).unwrap();
    assert_eq!(freed, Err(InvalidFree { address, reason }), "{by:?}");
    scene.compare();
}

#[test]
fn is_refused_whatever_is_wrong_with_it() {
    let (mut scene, first, second) = two();
    let slots: [usize; 3] = scene.alloc_many_by(first, 48);
    scene.free_all_by(first, &slots[1..2]);
    scene.free_all_by(second, &slots[2..]);
    let own = scene.alloc(48);
    let block = scene.alloc(1000);
    let end = scene.base() + 64 * KIB;
    for by in [first, second, TheHeap] {
        refused(&mut scene, by, slots[1], Reason::DoubleFree);
        refused(&mut scene, by, slots[2], Reason::DoubleFree);
        refused(&mut scene, by, slots[0] + 1, Reason::Misaligned);
        refused(&mut scene, by, slots[0] + 16, Reason::NotAStart);
        refused(&mut scene, by, slots[0] + 32, Reason::NotAStart);
        refused(&mut scene, by, slots[1] + 16, Reason::DoubleFree);
        // A slot that was never handed out, and the last granule of the run, which is of no slot.
        refused(&mut scene, by, slots[0] + 10 * 48, Reason::DoubleFree);
        refused(&mut scene, by, slots[0] + 21 * 48, Reason::NotAStart);
        refused(&mut scene, by, own + 16, Reason::NotAStart);
        refused(&mut scene, by, own + 48, Reason::DoubleFree);
        refused(&mut scene, by, block - 16, Reason::NotAStart);
        refused(&mut scene, by, block + 16, Reason::NotAStart);
        refused(&mut scene, by, block + 2000, Reason::NeverAllocated);
        refused(&mut scene, by, end - 16, Reason::NeverAllocated);
        refused(&mut scene, by, end, Reason::OutsideHeap);
        refused(&mut scene, by, slots[0] - 16, Reason::OutsideHeap);
        refused(&mut scene, by, 0, Reason::OutsideHeap);
    }
    let stats = scene.stats();
    assert_eq!((stats.blocks.refused_frees, stats.refused_outside), (3 * 14, 3 * 3));
}

#[test]
fn is_refused_for_a_run_that_was_closed() {
    let (mut scene, first, second) = two();
    let slot = scene.alloc_by(first, 64);
    scene.free_all_by(first, &[slot]);
    scene.empty_by(first);
    for by in [first, second, TheHeap] {
        refused(&mut scene, by, slot, Reason::DoubleFree);
    }
    // The same memory as a run of another class, of another owner.
    let other = scene.alloc_by(second, 48);
    assert_eq!(other, slot);
    for by in [first, second, TheHeap] {
        refused(&mut scene, by, slot + 64, Reason::DoubleFree);
        refused(&mut scene, by, slot + 48, Reason::DoubleFree);
    }
    scene.free_all_by(first, &[other]);
}

#[test]
fn is_refused_for_a_block_whose_header_was_overwritten() {
    let (mut scene, first) = one();
    let block = scene.alloc_by(first, 1000);
    let header = scene.pair.model().headers()[0];
    scene.pair.overwrite(header, 0, 0xEE);
    refused(&mut scene, first, block, Reason::HeaderOverwritten);
    scene.pair.repair().unwrap();
    scene.free_all_by(first, &[block]);
}

#[test]
fn is_refused_for_an_object_that_no_such_layout_is_served_with() {
    let (mut scene, first, second) = two();
    let [_, object] = scene.alloc_many_by(first, 64);
    for by in [first, second, TheHeap] {
        for (size, align) in [(48, 1), (65, 1), (0, 1), (1000, 16), (64, 4096)] {
            let freed = scene.pair.free_sized_by(by, object, size, align).unwrap();
            assert_eq!(freed, Err(InvalidFree { address: object, reason: Reason::SizeMismatch }));
            scene.compare();
        }
        let moved = scene.pair.realloc_sized_by(by, object, 48, 500).unwrap();
        assert_eq!(moved, Err(InvalidFree { address: object, reason: Reason::SizeMismatch }.into()));
        scene.compare();
    }
    for (by, (size, align)) in [first, second, TheHeap].into_iter().zip([(64, 64), (49, 16), (60, 1)]) {
        let object = scene.alloc_by(first, 64);
        assert_eq!(scene.pair.free_sized_by(by, object, size, align).unwrap(), Ok(()));
        scene.compare();
    }
}

#[test]
fn of_a_heap_that_is_not_its_own_is_refused() {
    let (mut scene, first) = one();
    let (mut other, its) = one();
    let (here, there) = (scene.alloc_by(first, 64), other.alloc_by(its, 64));
    refused(&mut scene, first, there, Reason::OutsideHeap);
    refused(&mut other, its, here, Reason::OutsideHeap);
}

#[test]
fn is_refused_at_every_byte_of_the_heap() {
    let mut scene = Scene::with_caches(36 * KIB, 2);
    let (first, second) = (scene.attach(), scene.attach());
    let slots: [usize; 40] = scene.alloc_many_by(first, 48);
    scene.free_all_by(first, &slots[..20]);
    scene.free_all_by(second, &slots[25..]);
    scene.alloc_many_by::<3>(second, 64);
    scene.alloc_many::<3>(16);
    scene.alloc(600);
    for by in [first, second, TheHeap] {
        scene.pair.free_every_wrong_address_by(by).unwrap();
        scene.compare();
    }
    scene.detach(first);
    for by in [second, TheHeap] {
        scene.pair.free_every_wrong_address_by(by).unwrap();
        scene.compare();
    }
}
