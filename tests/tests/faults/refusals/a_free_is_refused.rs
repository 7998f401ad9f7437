use slabfit::{GRANULE, Reason, Segment};
use slabfit_tests::model::Placement;
use slabfit_tests::scene::Scene;

use super::refuses;

#[test]
fn outside_the_heap() {
    let mut scene = Scene::drawn("XX OOO XX|");
    let base = scene.pair.heap().base().unwrap().addr().get();
    let end = base + scene.pair.heap().size();
    let local = 0u64;
    for address in [0, 16, base - 1, base - 16, end, end + 1, (&raw const local).addr(), usize::MAX, usize::MAX - 15] {
        refuses(&mut scene, address, Reason::OutsideHeap);
    }
}

#[test]
fn of_a_misaligned_address_wherever_it_lies() {
    let mut scene = Scene::fresh(24, 32, Placement::NextFit);
    let slot = scene.alloc(32);
    let block = scene.alloc(16);
    let size = scene.pair.heap().size();
    let base = scene.pair.heap().base().unwrap().addr().get();
    for start in [slot, block, base + size - GRANULE] {
        for by in 1..GRANULE {
            refuses(&mut scene, start + by, Reason::Misaligned);
        }
    }
}

#[test]
fn inside_a_block_and_at_its_header() {
    let mut scene = Scene::drawn("XX XXXX XX|");
    let payload = scene.payload(1);
    for address in [payload - 16, payload + 16, payload + 32] {
        refuses(&mut scene, address, Reason::NotAStart);
    }
}

#[test]
fn inside_a_slot() {
    let mut scene = Scene::fresh(24, 64, Placement::NextFit);
    let slot = scene.alloc(64);
    for by in [16, 32, 48] {
        refuses(&mut scene, slot + by, Reason::NotAStart);
    }
}

#[test]
fn behind_the_last_slot() {
    let mut scene = Scene::fresh(24, 80, Placement::NextFit);
    let end = scene.pair.heap().segment(Segment::Slab).end;
    for address in [end - 16, end - 32, end - 48] {
        refuses(&mut scene, address, Reason::NotAStart);
    }
}

#[test]
fn of_memory_that_was_never_allocated() {
    let mut scene = Scene::fresh(24, 32, Placement::NextFit);
    let slot = scene.alloc(32);
    let block = scene.alloc(16);
    for address in [slot + 32, slot + 48, slot + 96, block + 16, block + 32, block + 128] {
        refuses(&mut scene, address, Reason::NeverAllocated);
    }
}

#[test]
fn of_what_is_free_already() {
    let mut scene = Scene::fresh(24, 32, Placement::NextFit);
    for size in [32, 100] {
        let object = scene.alloc(size);
        scene.pair.free(object).unwrap().unwrap();
        refuses(&mut scene, object, Reason::DoubleFree);
        refuses(&mut scene, object + 16, Reason::DoubleFree);
    }
}

#[test]
fn of_what_is_free_already_after_its_block_was_joined_with_others() {
    let mut scene = Scene::drawn("XX XX XX XX XX|");
    let payloads: Vec<usize> = (0..5).map(|nth| scene.payload(nth)).collect();
    for nth in [1, 3, 2] {
        scene.pair.free(payloads[nth]).unwrap().unwrap();
    }
    scene.shows("XX OOOOOO XX|");
    for nth in [1, 2, 3] {
        refuses(&mut scene, payloads[nth], Reason::DoubleFree);
    }
}

#[test]
fn of_a_block_that_another_has_come_to_lie_over() {
    let mut scene = Scene::drawn("XX XX XX|");
    let second = scene.payload(1);
    scene.free(0);
    scene.free(1);
    assert_eq!(scene.alloc(48), second - 32);
    scene.shows("XXXX |XX");
    refuses(&mut scene, second, Reason::NotAStart);
}

#[test]
fn of_a_forged_header_in_a_payload() {
    let mut scene = Scene::drawn("XX XXXXXXXX XX|");
    let object = scene.pair.objects()[1];
    for granules in 0..6 {
        scene.pair.forge(object, granules).unwrap();
        scene.compare();
    }
    let refused = scene.pair.heap().stats().unwrap().blocks;
    assert_eq!((refused.refused_frees, refused.corruptions), (12, 0));
}

#[test]
fn but_not_of_an_address_that_was_handed_out_again() {
    let mut scene = Scene::drawn("XX XXX XX|");
    let payload = scene.payload(1);
    scene.free(1);
    assert_eq!(scene.alloc(20), payload);
    scene.pair.free(payload).unwrap().unwrap();
    refuses(&mut scene, payload, Reason::DoubleFree);
}

#[test]
fn at_every_byte_that_is_no_objects_first() {
    let mut scene = Scene::drawn("XX OOO XXXX XX |OOOO XXX OO");
    scene.pair.free_every_wrong_address().unwrap();
    scene.shows("XX OOO XXXX XX |OOOO XXX OO");
}
