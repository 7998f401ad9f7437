use slabfit::{GRANULE, InvalidFree, MAGIC, ReallocError, Reason};
use slabfit_tests::header::LINK;
use slabfit_tests::model::Placement;
use slabfit_tests::scene::Scene;

use super::header;

const KIB: usize = 1 << 10;

/// Whether an object is freed as one of so many bytes at such a multiple. It is allocated again if it is.
#[track_caller]
fn fits(scene: &mut Scene, object: usize, size: usize, align: usize) -> bool {
    let asked = scene.pair.objects().iter().find(|other| other.address == object).expect("it is live").asked.0;
    let freed = scene.pair.free_sized(object, size, align).unwrap();
    scene.compare();
    if freed.is_ok() {
        assert_eq!(scene.alloc(asked), object);
        return true;
    }
    assert_eq!(freed, Err(InvalidFree { address: object, reason: Reason::SizeMismatch }));
    false
}

/// The sizes up to so many bytes that an object is freed for.
#[track_caller]
fn sizes(scene: &mut Scene, object: usize, most: usize) -> Vec<usize> {
    (0..=most).filter(|&size| fits(scene, object, size, 1)).collect()
}

#[test]
fn fits_a_block_whose_payload_is_the_size_rounded_up_or_a_granule_longer() {
    let mut scene = Scene::placed("XX XXXX XX", Placement::FirstFit);
    let block = scene.payload(1);
    assert_eq!(sizes(&mut scene, block, 100), (17..=48).collect::<Vec<_>>());
}

#[test]
fn fits_the_smallest_block_for_0_bytes_and_1() {
    let mut scene = Scene::placed("XX XX XXX XX", Placement::FirstFit);
    let (block, longer) = (scene.payload(1), scene.payload(2));
    assert_eq!(sizes(&mut scene, block, 100), (0..=16).collect::<Vec<_>>());
    assert_eq!(sizes(&mut scene, longer, 100), (0..=32).collect::<Vec<_>>());
}

#[test]
fn fits_a_slot_of_the_slab_for_every_size_that_it_can_hold() {
    let mut scene = Scene::fresh(24, 40, Placement::NextFit);
    let slot = scene.alloc(40);
    assert_eq!(sizes(&mut scene, slot, 100), (0..=48).collect::<Vec<_>>());
}

#[test]
fn fits_a_slot_of_a_class_for_the_sizes_of_that_class() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slot = scene.alloc(40);
    assert_eq!(sizes(&mut scene, slot, 100), (33..=48).collect::<Vec<_>>());
}

#[test]
fn fits_a_slot_for_smaller_sizes_once_one_had_to_keep_an_object_that_shrank() {
    let mut scene = Scene::with_classes(32 * KIB);
    let kept = scene.alloc(40);
    while scene.pair.alloc(100, GRANULE).unwrap().is_ok() {}
    assert_eq!(scene.pair.realloc(kept, 10, GRANULE).unwrap(), Ok(kept), "there is no room for a run of 16 bytes");
    scene.compare();
    assert_eq!(scene.pair.free_sized(kept, 10, GRANULE).unwrap(), Ok(()));
    assert_eq!(scene.alloc(40), kept);
    assert_eq!(sizes(&mut scene, kept, 100), (0..=48).collect::<Vec<_>>());
}

#[test]
fn fits_the_alignments_that_divide_the_address() {
    let mut scene = Scene::fresh(24, 1 << 20, Placement::FirstFit);
    scene.alloc(16);
    let object = scene.alloc_aligned(16, 64);
    let shift = object.trailing_zeros();
    for bits in 0..20 {
        let freed = scene.pair.free_sized(object, 16, 1 << bits).unwrap();
        assert_eq!(freed.is_ok(), bits <= shift, "{object:#x} at a multiple of {}", 1 << bits);
        if freed.is_ok() {
            assert_eq!(scene.alloc_aligned(16, 64), object);
        }
    }
}

#[test]
fn names_what_is_wrong_with_an_address_whatever_the_layout() {
    let mut scene = Scene::fresh(24, 32, Placement::NextFit);
    let (slot, block) = (scene.alloc(32), scene.alloc(64));
    scene.alloc(16);
    for object in [slot, block] {
        scene.pair.free(object).unwrap().unwrap();
    }
    let end = scene.pair.heap().base().unwrap().addr().get() + scene.pair.heap().size();
    let wrong = [
        (slot, Reason::DoubleFree),
        (slot + 32, Reason::NeverAllocated),
        (block, Reason::DoubleFree),
        (block + 1, Reason::Misaligned),
        (end, Reason::OutsideHeap),
    ];
    for (address, reason) in wrong {
        for size in [1, 32, 64, 5_000, isize::MAX as usize - 64] {
            let freed = scene.pair.free_sized(address, size, 1).unwrap();
            assert_eq!(freed, Err(InvalidFree { address, reason }), "{size} bytes");
            scene.compare();
        }
    }
}

#[test]
fn is_counted_where_the_object_lies_and_leaves_it_as_it_was() {
    let mut scene = Scene::fresh(24, 32, Placement::NextFit);
    for object in [scene.alloc(32), scene.alloc(64)] {
        assert!(!fits(&mut scene, object, 500, 1));
        assert_eq!(scene.pair.realloc_sized(object, 500, 48).unwrap().map_err(reason_of), Err(Reason::SizeMismatch));
        scene.compare();
    }
    let stats = scene.pair.heap().stats().unwrap();
    assert_eq!((stats.slab.refused_frees, stats.blocks.refused_frees), (2, 2));
    assert_eq!((stats.slab.live_objects, stats.blocks.live_objects), (1, 1));
}

#[test]
fn of_a_block_with_an_overwritten_header_names_the_header_only_if_the_size_fits() {
    let mut scene = Scene::drawn("XX XXXX XX|");
    let block = scene.payload(1);
    let header = header(&scene, 1);
    scene.pair.overwrite(header, LINK, !MAGIC.to_ne_bytes()[0]);
    for (size, reason) in [(48, Reason::HeaderOverwritten), (49, Reason::SizeMismatch)] {
        assert_eq!(scene.pair.free_sized(block, size, 1).unwrap(), Err(InvalidFree { address: block, reason }));
    }
}

fn reason_of(error: ReallocError) -> Reason {
    match error {
        ReallocError::InvalidFree(wrong) => wrong.reason,
        other => panic!("{other}"),
    }
}
