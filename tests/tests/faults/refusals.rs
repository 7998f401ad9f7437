//! Wrong frees of every kind, overwritten headers, and the figures that tell of them.

use slabfit::{GRANULE, InvalidFree, MAGIC, ReallocError, Reason, Segment, SegmentStats, Stats, Violation};
use slabfit_tests::header::LINK;
use slabfit_tests::model::{Header, Placement};
use slabfit_tests::scene::Scene;

/// Frees an address that must be refused for this reason, with no block changed.
#[track_caller]
fn refuses(scene: &mut Scene, address: usize, reason: Reason) {
    let blocks: Vec<_> = scene.pair.heap().blocks().collect();
    assert_eq!(scene.pair.free(address).unwrap(), Err(InvalidFree { address, reason }));
    scene.compare();
    assert_eq!(scene.pair.heap().blocks().collect::<Vec<_>>(), blocks);
}

/// The header of a block of the picture, as it should be.
fn header(scene: &Scene, nth: usize) -> Header {
    let address = scene.blocks()[nth].address;
    let headers = scene.pair.model().headers();
    *headers.iter().find(|header| header.address == address).expect("every block has a header")
}

mod a_free_is_refused {
    use super::*;

    #[test]
    fn outside_the_heap() {
        let mut scene = Scene::drawn("XX OOO XX|");
        let base = scene.pair.heap().base().unwrap().addr().get();
        let end = base + scene.pair.heap().size();
        let local = 0u64;
        for address in
            [0, 16, base - 1, base - 16, end, end + 1, (&raw const local).addr(), usize::MAX, usize::MAX - 15]
        {
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
}

mod a_free_of_a_layout {
    use super::*;

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
            assert_eq!(
                scene.pair.realloc_sized(object, 500, 48).unwrap().map_err(reason_of),
                Err(Reason::SizeMismatch)
            );
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
}

mod a_free_in_a_run_is_refused {
    use super::*;

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
}

mod an_overwritten_header {
    use super::*;

    #[test]
    fn is_noticed_whichever_byte_of_length_or_magic_it_is() {
        for at in (0..4).chain(LINK..LINK + size_of::<usize>()) {
            let mut scene = Scene::drawn("XX XXXX XX|");
            let header = header(&scene, 1);
            let payload = scene.payload(1);
            let byte = match at.checked_sub(LINK) {
                Some(nth) => MAGIC.to_ne_bytes()[nth],
                None => header.length.to_ne_bytes()[at],
            };
            scene.pair.overwrite(header, at, byte ^ 1);
            refuses(&mut scene, payload, Reason::HeaderOverwritten);
            assert!(scene.pair.realloc(payload, 1, GRANULE).unwrap().is_err());
            let stats = scene.pair.heap().stats().unwrap().blocks;
            assert_eq!((stats.refused_frees, stats.corruptions), (2, 2));
            assert_eq!(scene.pair.heap().check(), Err(Violation::Overwritten { address: header.address }));
            assert_eq!(scene.pair.heap().overwritten().collect::<Vec<_>>(), [header.address]);
            scene.pair.repair().unwrap();
            scene.pair.free(payload).unwrap().unwrap();
            scene.shows("XX OOOO XX|");
        }
    }

    #[test]
    fn is_not_one_whose_padding_alone_was_overwritten() {
        for at in (4..GRANULE).filter(|at| !(LINK..LINK + size_of::<usize>()).contains(at)) {
            let mut scene = Scene::drawn("XX XXXX XX|");
            scene.pair.overwrite(header(&scene, 1), at, 0x5C);
            scene.free(1);
            scene.shows("XX OOOO XX|");
        }
    }

    #[test]
    fn does_not_keep_its_neighbours_from_being_freed() {
        let mut scene = Scene::drawn("XX XX XX XX XX|");
        let middle = scene.payload(2);
        scene.pair.overwrite(header(&scene, 2), 0, 0xFF);
        scene.free(3);
        scene.free(1);
        refuses(&mut scene, middle, Reason::HeaderOverwritten);
        scene.pair.repair().unwrap();
        scene.pair.free(middle).unwrap().unwrap();
        scene.shows("XX OOOOOO XX|");
    }

    #[test]
    fn of_a_free_block_changes_no_answer() {
        let mut scene = Scene::drawn("XX OOOO XX OO XX |OOO XX");
        for nth in [1, 3, 5] {
            for at in 0..16 {
                scene.pair.overwrite(header(&scene, nth), at, 0xEE);
            }
        }
        let overwritten: Vec<usize> = scene.pair.heap().overwritten().collect();
        assert_eq!(overwritten, [1, 3, 5].map(|nth| scene.blocks()[nth].address));
        scene.alloc(32);
        scene.free(2);
        scene.alloc(96);
        assert_eq!(scene.pair.heap().repair(), Ok(0), "every header has been written anew by now");
    }

    #[test]
    fn of_a_free_slot_changes_no_answer() {
        let mut scene = Scene::fresh(48, 32, Placement::NextFit);
        let slots: Vec<usize> = (0..6).map(|_| scene.alloc(32)).collect();
        for nth in [1, 3] {
            scene.pair.free(slots[nth]).unwrap().unwrap();
        }
        for header in scene.pair.model().headers().into_iter().take(2) {
            scene.pair.overwrite(header, LINK, 0x77);
        }
        assert_eq!(scene.pair.heap().overwritten().count(), 2);
        scene.compare();
        assert_eq!(scene.alloc(32), slots[1]);
        assert_eq!(scene.alloc(32), slots[3]);
        assert_eq!(scene.pair.heap().check(), Ok(()));
    }

    #[test]
    fn of_every_block_at_once_is_repaired() {
        let mut scene = Scene::drawn("XX OOO XXXX XX |OOOO XXX OO");
        scene.pair.scribble(7);
        assert_eq!(scene.pair.heap().overwritten().count(), 7);
        for nth in [0, 2, 3, 5] {
            let payload = scene.payload(nth);
            refuses(&mut scene, payload, Reason::HeaderOverwritten);
        }
        scene.pair.repair().unwrap();
        scene.compare();
        scene.shows("XX OOO XXXX XX |OOOO XXX OO");
    }
}

mod the_figures {
    use super::*;

    #[test]
    fn of_a_fresh_heap_are_its_sizes() {
        let scene = Scene::fresh(48, 32, Placement::NextFit);
        let slab =
            SegmentStats { size: 256, free_bytes: 256, largest_free: 32, free_blocks: 8, ..SegmentStats::default() };
        let blocks =
            SegmentStats { size: 768, free_bytes: 768, largest_free: 768, free_blocks: 1, ..SegmentStats::default() };
        assert_eq!(scene.pair.heap().stats(), Ok(Stats { slab, blocks, ..Stats::default() }));
    }

    #[test]
    fn count_what_happened() {
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
}
