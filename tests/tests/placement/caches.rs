//! Caches in one thread: which requests they serve, whose the runs are, where freed slots go, and what comes back to the heap. A
//! reference model runs beside each scenario.
//!
//! A heap of 64 KiB has the classes of up to 128 bytes; a run of 16, 32, 48 or 64 bytes has 1 KiB, and 64, 32, 21 or 16 slots. Heaps
//! start at a multiple of 8 KiB.

use slabfit::{
    AllocError, CLASSES, Cache, CacheError, CacheStats, ClassStats, Config, GRANULE, General, Heap, InitError,
    InvalidFree, Kind, Reason, RegionArray, SegmentStats, SpinLock, Stats,
};
use slabfit_tests::arena::Setup;
use slabfit_tests::model::By::{self, Heap as TheHeap};
use slabfit_tests::model::Placement;
use slabfit_tests::pair::Pair;
use slabfit_tests::scene::Scene;
use static_assertions::{assert_impl_all, assert_not_impl_any};

const KIB: usize = 1 << 10;

assert_impl_all!(Cache<'static, 'static, SpinLock>: Send);
assert_not_impl_any!(Cache<'static, 'static, SpinLock>: Sync, Clone);

/// A heap of 64 KiB and one attached cache.
fn one() -> (Scene, By) {
    let mut scene = Scene::with_caches(64 * KIB, 2);
    let cache = scene.attach();
    (scene, cache)
}

/// A heap of 64 KiB and two attached caches.
fn two() -> (Scene, By, By) {
    let mut scene = Scene::with_caches(64 * KIB, 2);
    let (first, second) = (scene.attach(), scene.attach());
    (scene, first, second)
}

fn base(scene: &Scene) -> usize {
    scene.pair.heap().base().expect("initialised").addr().get()
}

fn stats(scene: &Scene) -> Stats {
    scene.pair.heap().stats().expect("nobody is in the heap")
}

fn blocks_of(scene: &Scene) -> SegmentStats {
    stats(scene).blocks
}

fn class_of(scene: &Scene, slot_size: usize) -> ClassStats {
    stats(scene).classes.into_iter().find(|class| class.slot_size == slot_size).unwrap_or_default()
}

fn runs_of(scene: &Scene, slot_size: usize) -> usize {
    class_of(scene, slot_size).runs
}

/// How many caches are attached, and how many there were at once at the most.
fn caches_of(scene: &Scene) -> (usize, usize) {
    let CacheStats { attached, made, .. } = stats(scene).caches;
    (attached, made)
}

/// Whether the object at an address is a slot, or else a block's payload.
fn is_slot(scene: &Scene, address: usize) -> bool {
    scene.blocks().iter().any(|block| block.kind == Kind::Slot && block.address == address)
}

/// The KiB of the heap that an address lies in, which is a run's number where all runs have 1 KiB.
fn kib(scene: &Scene, address: usize) -> usize {
    (address - base(scene)) / KIB
}

/// A block of the heap that takes so many bytes, its header included.
fn block_of(scene: &mut Scene, bytes: usize) -> usize {
    scene.alloc(bytes - GRANULE)
}

mod a_heap {
    use super::*;

    #[test]
    fn gives_as_many_caches_as_it_was_made_with() {
        for caches in [1, 2, 7] {
            let mut scene = Scene::with_caches(64 * KIB, caches);
            for number in 0..caches {
                assert_eq!(caches_of(&scene), (number, number));
                assert_eq!(scene.attach(), By::Cache(number));
            }
            assert_eq!(scene.pair.attach().unwrap(), Err(CacheError::NoneFree));
            assert_eq!(caches_of(&scene), (caches, caches));
            assert_eq!(stats(&scene).caches.most, caches);
        }
    }

    #[test]
    fn gives_the_free_cache_of_the_lowest_number() {
        let mut scene = Scene::with_caches(64 * KIB, 4);
        let caches = [(); 4].map(|()| scene.attach());
        // A run each, and an object in it that says whose it is.
        let kept = caches.map(|cache| scene.alloc_by(cache, 16));
        for cache in [3, 1, 2] {
            scene.detach(caches[cache]);
        }
        assert_eq!(caches_of(&scene), (1, 4));
        for number in [1, 2, 3] {
            let cache = scene.attach();
            assert_eq!(cache, By::Cache(number));
            assert_eq!(scene.alloc_by(cache, 16), kept[number] + 16, "it goes on with the run of its predecessor");
        }
    }

    #[test]
    fn that_was_made_without_caches_has_none() {
        let mut scene = Scene::with_classes(64 * KIB);
        assert_eq!(scene.pair.attach().unwrap(), Err(CacheError::NoneFree));
        assert_eq!(stats(&scene).caches, CacheStats::default());
    }

    #[test]
    fn whose_block_segment_is_too_small_for_size_classes_has_none() {
        for (size, config) in [
            (32 * KIB - GRANULE, Config::without_slab()),
            (40 * KIB, Config::new(64)),
            (40 * KIB, Config::new(64).slab_bytes(8 * KIB + GRANULE)),
        ] {
            let setup = Setup { placement: Placement::General, config: config.caches(3), ..Setup::plain(size, 64) };
            let mut pair = Pair::new(setup).unwrap();
            assert_eq!(pair.attach().unwrap(), Err(CacheError::NoneFree));
            pair.compare().unwrap();
        }
    }

    #[test]
    fn whose_block_segment_is_just_large_enough_for_size_classes_has_them() {
        let mut scene = Scene::with_caches(32 * KIB, 1);
        let cache = scene.attach();
        assert_eq!(scene.alloc_by(cache, 1), base(&scene));
        assert_eq!(runs_of(&scene, 16), 1);
    }

    #[test]
    fn has_no_cache_before_it_has_memory() {
        let heap = Heap::<SpinLock, General>::empty();
        assert_eq!(heap.cache().map(drop), Err(CacheError::NotInitialised));
    }

    #[test]
    fn that_is_smaller_than_the_tables_of_its_caches_is_refused() {
        let mut array = Box::new(RegionArray::<{ 40 * KIB }>::new());
        for (caches, fits) in [(0, true), (2, true), (11, false), (4_095, false), (usize::MAX, false)] {
            let heap = Heap::<SpinLock, General>::from_memory(&mut *array, Config::without_slab().caches(caches));
            match heap {
                Ok(heap) => assert!(fits && heap.size() > 0, "{caches} caches"),
                Err(InitError::TooSmall { size, minimum }) => assert!(!fits && minimum > size, "{caches} caches"),
                Err(error) => panic!("{caches} caches: {error}"),
            }
        }
    }

    #[test]
    fn can_be_reached_through_its_cache() {
        let mut array = Box::new(RegionArray::<{ 64 * KIB }>::new());
        let config = Config::without_slab().caches(1);
        let heap = Heap::<SpinLock, General>::from_memory(&mut *array, config).unwrap();
        let cache = heap.cache().unwrap();
        assert!(std::ptr::eq(cache.heap(), &raw const heap));
        let object = cache.alloc(100).unwrap();
        // SAFETY: nobody uses the object.
        unsafe { cache.heap().free(object.as_ptr()) }.unwrap();
        assert_eq!(cache.check(), Ok(()));
        assert_eq!(heap.check(), Ok(()));
    }
}

mod a_cache {
    use super::*;

    #[test]
    fn serves_small_requests_from_runs_of_its_own() {
        let (mut scene, first, second) = two();
        let objects = [first, second, TheHeap].map(|by| scene.alloc_many_by::<3>(by, 16));
        for (run, objects) in objects.into_iter().enumerate() {
            assert_eq!(objects, [0, 16, 32].map(|at| base(&scene) + run * KIB + at));
        }
        let class = class_of(&scene, 16);
        assert_eq!((class.runs, class.opened, class.peak_runs, class.slots), (3, 3, 3, 192));
        assert_eq!((class.live_objects, class.allocs, class.frees), (9, 9, 0));
        assert_eq!((blocks_of(&scene).live_objects, blocks_of(&scene).live_bytes), (3, 3 * KIB));
    }

    #[test]
    fn serves_every_class_that_exists() {
        let mut scene = Scene::with_caches(256 * KIB, 1);
        let cache = scene.attach();
        for class in stats(&scene).classes {
            let object = scene.alloc_by(cache, class.slot_size);
            assert_eq!(scene.pair.heap().usable_size(object as *const u8), Ok(class.slot_size));
            assert_eq!(scene.alloc_by(cache, class.slot_size), object + class.slot_size);
        }
        assert_eq!(blocks_of(&scene).live_objects, CLASSES);
        // No run is the heap's own, so that this is a new one.
        scene.alloc(16);
        assert_eq!(runs_of(&scene, 16), 2);
    }

    #[test]
    fn gives_the_slots_of_a_run_from_the_lowest_on() {
        let (mut scene, cache) = one();
        for nth in 0..64 {
            assert_eq!(scene.alloc_by(cache, 16), base(&scene) + nth * 16);
        }
        assert_eq!(scene.alloc_by(cache, 16), base(&scene) + KIB, "the next run");
    }

    #[test]
    fn gives_the_slot_that_it_freed_last() {
        let (mut scene, cache) = one();
        let slots: [usize; 10] = scene.alloc_many_by(cache, 48);
        scene.free_all_by(cache, &[slots[4], slots[0], slots[7]]);
        assert_eq!(scene.alloc_many_by(cache, 48), [slots[7], slots[0], slots[4], slots[9] + 48]);
    }

    #[test]
    fn makes_the_older_half_of_a_full_magazine_idle() {
        let (mut scene, cache) = one();
        let slots: [usize; 64] = scene.alloc_many_by(cache, 16);
        scene.free_all_by(cache, &slots[..33]);
        // The newer half and the last, newest first; then what became idle, lowest first.
        let newer: Vec<usize> = (16..33).rev().map(|nth| slots[nth]).collect();
        assert_eq!(scene.alloc_many_by::<17>(cache, 16).to_vec(), newer);
        assert_eq!(scene.alloc_many_by::<16>(cache, 16), slots[..16]);
        assert_eq!(scene.alloc_by(cache, 16), base(&scene) + KIB);
    }

    #[test]
    fn goes_on_with_the_run_that_came_to_have_idle_slots_last() {
        let (mut scene, cache) = one();
        let slots: [usize; 48] = scene.alloc_many_by(cache, 64);
        // Of the runs 0, 2 and 1, in this order, and each has a live slot still.
        for run in [1..16, 33..48, 17..32] {
            scene.free_all_by(cache, &slots[run]);
        }
        scene.empty_by(cache);
        for run in [17..32, 33..48, 1..16] {
            assert_eq!(scene.alloc_many_by::<15>(cache, 64), slots[run]);
        }
    }

    #[test]
    fn passes_on_to_the_heap_what_no_class_serves() {
        let (mut scene, cache) = one();
        for (size, align) in [(129, 16), (1000, 16), (40, 32), (16, 64), (1, 4096)] {
            let object = scene.alloc_aligned_by(cache, size, align);
            assert!(!is_slot(&scene, object), "{size} bytes at {align}");
            scene.free_all_by(cache, &[object]);
        }
        assert_eq!(stats(&scene).spilled, 0);
        assert_eq!(scene.blocks().len(), 1);
    }

    #[test]
    fn serves_alignments_that_divide_the_slot_size() {
        let (mut scene, cache) = one();
        for (size, align) in [(32, 32), (64, 64), (96, 32), (128, 128), (64, 32), (10, 1), (10, 8)] {
            let object = scene.alloc_aligned_by(cache, size, align);
            assert!(is_slot(&scene, object), "{size} bytes at {align}");
        }
    }

    #[test]
    fn passes_requests_of_the_slab_size_on_to_the_heap() {
        let config = Config::new(64).slab_bytes(128).caches(1);
        let setup = Setup { placement: Placement::General, config, ..Setup::plain(64 * KIB, 64) };
        let mut pair = Pair::new(setup).unwrap();
        let cache = By::Cache(pair.attach().unwrap().unwrap());
        let served = [64, 64, 64, 63].map(|size| pair.alloc_by(cache, size, GRANULE).unwrap().unwrap());
        pair.compare().unwrap();
        let stats = pair.heap().stats().unwrap();
        // Two slots of the slab, one of the heap's own run, and one of the cache's.
        assert_eq!((stats.slab.live_objects, stats.classes[3].live_objects, stats.classes[3].runs), (2, 2, 2));
        assert_eq!(stats.spilled, 1);
        assert_eq!(served[3], served[2] + KIB);
        // Also where the cache has such slots at hand.
        pair.free_by(cache, served[0]).unwrap().unwrap();
        assert_eq!(pair.alloc_by(cache, 64, GRANULE).unwrap(), Ok(served[0]));
        pair.compare().unwrap();
        // With an alignment that the slab does not give, it is not the slab's.
        let aligned = pair.alloc_by(cache, 64, 64).unwrap().unwrap();
        assert_eq!(aligned, served[3] + 64);
    }

    #[test]
    fn gives_zeros_where_they_are_asked_for() {
        let (mut scene, cache) = one();
        for _ in 0..4 {
            let object = scene.pair.alloc_zeroed_by(cache, 100).unwrap().unwrap();
            let large = scene.pair.alloc_zeroed_by(cache, 300).unwrap().unwrap();
            scene.free_all_by(cache, &[object, large]);
        }
    }

    #[test]
    fn frees_what_the_heap_served() {
        let (mut scene, cache) = one();
        let (slot, block) = (scene.alloc(16), scene.alloc(1000));
        scene.free_all_by(cache, &[slot, block]);
        assert_eq!(class_of(&scene, 16).frees, 1);
        assert_eq!(scene.alloc(16), slot, "it lies in the heap's own magazine");
        assert_eq!(scene.alloc_by(cache, 16), base(&scene) + KIB);
    }

    #[test]
    fn can_be_emptied() {
        let (mut scene, cache) = one();
        let slots: [usize; 64] = scene.alloc_many_by(cache, 64);
        scene.free_all_by(cache, &slots);
        assert!(runs_of(&scene, 64) > 1);
        let other = scene.alloc_by(cache, 16);
        scene.empty_by(cache);
        assert_eq!((runs_of(&scene, 64), runs_of(&scene, 16)), (0, 1));
        assert_eq!(scene.alloc_by(cache, 16), other + 16, "a run with a live slot is its own still");
        scene.free_all_by(cache, &[other, other + 16]);
        scene.empty_by(cache);
        assert_eq!(scene.blocks().len(), 1);
    }

    #[test]
    fn keeps_what_it_has_while_the_heap_is_emptied() {
        let (mut scene, cache) = one();
        let slot = scene.alloc_by(cache, 64);
        scene.free_all_by(cache, &[slot]);
        scene.empty_magazines();
        assert_eq!(runs_of(&scene, 64), 1);
        assert_eq!(scene.alloc_by(cache, 64), slot);
    }
}

mod a_cache_opens_a_run {
    use super::*;

    #[test]
    fn only_while_an_eighth_of_the_block_segment_is_free() {
        for (free, opens) in [(8 * KIB, true), (8 * KIB - GRANULE, false)] {
            let (mut scene, cache) = one();
            block_of(&mut scene, 64 * KIB - free);
            let slot = scene.alloc_by(cache, 16);
            // The next one of the heap comes from the same run if that is the heap's.
            assert_eq!(scene.alloc(16) == slot + 16, !opens, "{free} bytes are free");
            assert_eq!(runs_of(&scene, 16), if opens { 2 } else { 1 });
            assert_eq!(stats(&scene).spilled, 0);
        }
    }

    #[test]
    fn as_the_heap_does_at_a_multiple_of_its_length_in_the_first_gap_that_holds_it() {
        let (mut scene, cache) = one();
        let blocks = [1024, 2048, 1024, 1008, 4096, 1024].map(|bytes| block_of(&mut scene, bytes));
        for nth in [1, 4] {
            scene.free_all(&[blocks[nth]]);
        }
        // In the second gap no KiB is left without a granule before it.
        for (size, place) in [(128, 6), (16, 1), (32, 2), (48, 11)] {
            assert_eq!(scene.alloc_by(cache, size), base(&scene) + place * KIB, "{size} bytes");
        }
    }

    #[test]
    fn or_else_the_heap_serves_its_request_by_a_block() {
        let (mut scene, cache) = one();
        // More than an eighth is free, in gaps of 1 KiB that lie half a KiB beside a multiple of it.
        block_of(&mut scene, 512);
        let blocks: Vec<usize> = (0..63).map(|_| block_of(&mut scene, KIB)).collect();
        block_of(&mut scene, 512);
        let every_other: Vec<usize> = blocks.into_iter().step_by(2).collect();
        scene.free_all(&every_other);
        let object = scene.alloc_by(cache, 16);
        assert_eq!((object, is_slot(&scene, object)), (every_other[0], false));
        assert_eq!(stats(&scene).spilled, 1);
        scene.free_all_by(cache, &[object]);
    }

    #[test]
    fn and_gives_no_magazine_back_for_it() {
        let (mut scene, cache) = one();
        let slot = scene.alloc(64);
        scene.free_all(&[slot]);
        block_of(&mut scene, 63 * KIB);
        // The run in the heap's magazine is given back for a block, not for a run.
        let object = scene.alloc_by(cache, 16);
        assert_eq!((object, is_slot(&scene, object)), (slot + GRANULE, false));
        assert_eq!((runs_of(&scene, 64), runs_of(&scene, 16), stats(&scene).spilled), (0, 0, 1));
    }

    #[test]
    fn no_longer_where_memory_is_short_and_its_requests_fail_as_the_heaps_do() {
        let (mut scene, cache) = one();
        block_of(&mut scene, 64 * KIB);
        for size in [0, 1, 64, 500] {
            assert_eq!(scene.alloc_fails_by(cache, size), AllocError::Full);
        }
        assert_eq!(blocks_of(&scene).failed_full, 4);
    }
}

mod a_run_of_a_cache {
    use super::*;

    #[test]
    fn is_given_back_when_all_its_slots_are_idle_and_another_run_has_idle_slots() {
        let (mut scene, cache) = one();
        let slots: [usize; 64] = scene.alloc_many_by(cache, 64);
        // 16 slots to a run. The first half of what was freed becomes idle, which is the first run, and the only one.
        scene.free_all_by(cache, &slots[..33]);
        assert_eq!(runs_of(&scene, 64), 4);
        scene.free_all_by(cache, &slots[33..48]);
        assert_eq!(runs_of(&scene, 64), 4);
        // The second run becomes all idle beside the first.
        scene.free_all_by(cache, &slots[48..49]);
        assert_eq!(runs_of(&scene, 64), 3);
        assert_eq!(blocks_of(&scene).frees, 1);
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
        let runs = runs_of(&scene, 64);
        let slots: [usize; 15] = scene.alloc_many_by(cache, 64);
        scene.free_all_by(cache, &slots);
        scene.free_all_by(cache, &other[1..]);
        assert!(runs_of(&scene, 64) <= runs);
        scene.empty_by(cache);
        assert_eq!(runs_of(&scene, 64), 0);
    }

    #[test]
    fn gives_a_remainder_of_one_granule_back_with_it() {
        let (mut scene, cache) = one();
        let first = block_of(&mut scene, KIB + GRANULE);
        let second = block_of(&mut scene, KIB);
        scene.free_all(&[first]);
        let slot = scene.alloc_by(cache, 16);
        assert_eq!((slot, blocks_of(&scene).live_bytes), (base(&scene), 2 * KIB + GRANULE));
        scene.free_all_by(cache, &[slot]);
        scene.empty_by(cache);
        assert_eq!(blocks_of(&scene).live_bytes, KIB);
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
}

mod a_slot_that_another_frees {
    use super::*;

    #[test]
    fn is_dead_at_once_and_goes_back_to_its_owner() {
        for by in [1, 2] {
            let (mut scene, first, second) = two();
            let [slot, _] = scene.alloc_many_by(first, 32);
            scene.free_all_by([first, second, TheHeap][by], &[slot]);
            assert_eq!((class_of(&scene, 32).live_objects, class_of(&scene, 32).frees), (1, 1));
            for again in [first, second, TheHeap] {
                let refused = scene.pair.free_by(again, slot).unwrap();
                assert_eq!(refused, Err(InvalidFree { address: slot, reason: Reason::DoubleFree }));
            }
            for other in [second, TheHeap] {
                assert_ne!(kib(&scene, slot), (scene.alloc_by(other, 32) - base(&scene)) / KIB);
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
        assert_eq!(runs_of(&scene, 32), 1);
        scene.alloc_by(first, 32);
        assert_eq!(runs_of(&scene, 32), 2);
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
        assert_eq!(runs_of(&scene, 64), 3, "the owner has not looked");
        scene.alloc_by(first, 64);
        assert_eq!(runs_of(&scene, 64), 1);
    }
}

mod a_dropped_cache {
    use super::*;

    #[test]
    fn gives_back_all_runs_without_a_live_slot() {
        let (mut scene, first, second) = two();
        let slots: [usize; 100] = scene.alloc_many_by(first, 64);
        let others: [usize; 5] = scene.alloc_many_by(first, 128);
        scene.free_all_by(first, &slots[..50]);
        scene.free_all_by(second, &slots[50..]);
        scene.free_all(&others);
        scene.detach(first);
        assert_eq!(scene.blocks().len(), 1);
        assert_eq!(caches_of(&scene), (1, 2));
    }

    #[test]
    fn keeps_runs_with_a_live_slot_for_the_next() {
        let (mut scene, first) = one();
        let slots: [usize; 40] = scene.alloc_many_by(first, 64);
        scene.free_all_by(first, &slots[..17]);
        scene.free_all_by(first, &slots[18..]);
        scene.detach(first);
        assert_eq!(runs_of(&scene, 64), 1);
        // The heap does not serve from it.
        let own = scene.alloc(64);
        assert_ne!(kib(&scene, own), kib(&scene, slots[17]));
        let next = scene.attach();
        assert_eq!(scene.alloc_many_by(next, 64), [slots[16], slots[18]]);
    }

    #[test]
    fn lets_a_run_go_as_soon_as_its_last_object_is_freed() {
        for by in [0, 1] {
            let (mut scene, first, second) = two();
            let slots: [usize; 3] = scene.alloc_many_by(first, 64);
            scene.detach(first);
            let by = [second, TheHeap][by];
            scene.free_all_by(by, &slots[..2]);
            assert_eq!(runs_of(&scene, 64), 1);
            scene.free_all_by(by, &slots[2..]);
            assert_eq!(runs_of(&scene, 64), 0);
            assert_eq!(scene.blocks().len(), 1);
        }
    }

    #[test]
    fn leaves_nothing_behind_when_a_thousand_have_lived() {
        let mut scene = Scene::with_caches(256 * KIB, 3);
        let mut kept = scene.alloc(200);
        for nth in 0..1_000 {
            let cache = By::Cache(scene.pair.attach().unwrap().unwrap());
            assert_eq!(cache, By::Cache(0));
            let objects: Vec<usize> =
                (0..20).map(|size| scene.pair.alloc_by(cache, size * 24, GRANULE).unwrap().unwrap()).collect();
            for (place, &object) in objects.iter().enumerate() {
                let by = if (place + nth) % 3 == 0 { TheHeap } else { cache };
                scene.pair.free_by(by, object).unwrap().unwrap();
            }
            // One object outlives the cache that served it.
            let next = scene.pair.alloc_by(cache, 200, GRANULE).unwrap().unwrap();
            scene.pair.detach(0);
            scene.pair.free(kept).unwrap().unwrap();
            kept = next;
        }
        scene.compare();
        assert_eq!(caches_of(&scene), (0, 1));
        scene.free_all(&[kept]);
        scene.empty_magazines();
        assert_eq!(scene.blocks().len(), 1);
    }
}

mod a_cache_whose_owner_is_gone {
    use super::*;

    #[test]
    fn is_given_back_as_if_it_had_been_dropped() {
        let mut scene = Scene::with_caches(64 * KIB, 3);
        let [first, second, third] = [(); 3].map(|()| scene.attach());
        let slots: [usize; 20] = scene.alloc_many_by(first, 64);
        scene.alloc_by(third, 16);
        let kept = scene.alloc_by(second, 48);
        scene.free_all_by(first, &slots[..10]);
        scene.free_all_by(second, &slots[10..]);
        scene.pair.recover(Some(1)).unwrap();
        scene.compare();
        assert_eq!(caches_of(&scene), (1, 3));
        assert_eq!((runs_of(&scene, 64), runs_of(&scene, 16), runs_of(&scene, 48)), (0, 1, 1));
        // The one that is kept goes on, with its lowest slots.
        assert_eq!(scene.alloc_by(second, 48), kept + 48);
        assert_eq!(scene.attach(), By::Cache(0));
    }

    #[test]
    fn leaves_its_live_objects_as_they_are() {
        let (mut scene, first, second) = two();
        let slots: [usize; 5] = scene.alloc_many_by(first, 64);
        scene.pair.recover(None).unwrap();
        scene.compare();
        assert_eq!((caches_of(&scene), class_of(&scene, 64).live_objects), ((0, 2), 5));
        scene.free_all(&slots);
        assert_eq!(scene.blocks().len(), 1);
        assert_eq!([scene.attach(), scene.attach()], [first, second]);
    }
}

mod idle_memory {
    use super::*;

    /// The bytes that runs of one class take, for a heap with room for more than the bound.
    fn left_by(program: impl Fn(&mut Scene, By)) -> usize {
        let mut scene = Scene::with_caches(256 * KIB, 1);
        let cache = scene.attach();
        program(&mut scene, cache);
        assert_eq!(class_of(&scene, 64).live_objects, 0);
        let left = runs_of(&scene, 64);
        scene.empty_by(cache);
        assert_eq!(scene.blocks().len(), 1);
        left
    }

    fn alloc_runs(scene: &mut Scene, cache: By, runs: usize) -> Vec<usize> {
        (0..16 * runs).map(|_| scene.pair.alloc_by(cache, 64, GRANULE).unwrap().unwrap()).collect()
    }

    fn free(scene: &mut Scene, cache: By, slots: impl Iterator<Item = usize>) {
        slots.for_each(|slot| scene.pair.free_by(cache, slot).unwrap().unwrap());
        scene.compare();
    }

    #[test]
    fn of_a_cache_is_a_run_for_each_slot_of_a_magazine_and_one_more_at_the_worst() {
        let worst = left_by(|scene, cache| {
            let slots = alloc_runs(scene, cache, 100);
            let is_last = |&(nth, _): &(usize, &usize)| nth % 16 == 15;
            free(scene, cache, slots.iter().enumerate().filter(|slot| !is_last(slot)).map(|(_, &slot)| slot));
            // The last slots of all runs, of which the magazine holds the newest.
            free(scene, cache, slots.iter().enumerate().filter(is_last).map(|(_, &slot)| slot));
        });
        assert!((18..=33).contains(&worst), "{worst} runs");
    }

    #[test]
    fn of_a_cache_is_next_to_nothing_where_objects_are_freed_in_order() {
        let left = left_by(|scene, cache| {
            let slots = alloc_runs(scene, cache, 100);
            free(scene, cache, slots.into_iter());
        });
        assert!(left <= 4, "{left} runs");
    }

    #[test]
    fn of_a_cache_never_exceeds_the_bound_whatever_is_freed_in_which_order() {
        let mut rng = fastrand::Rng::with_seed(14);
        for _ in 0..20 {
            let seed = rng.u64(..);
            let left = left_by(|scene, cache| {
                let mut rng = fastrand::Rng::with_seed(seed);
                for _ in 0..3 {
                    let mut slots = alloc_runs(scene, cache, 60);
                    rng.shuffle(&mut slots);
                    free(scene, cache, slots.into_iter());
                }
            });
            assert!(left <= 33, "{left} runs, seed {seed}");
        }
    }
}

mod before_a_request_for_a_block_fails {
    use super::*;

    #[test]
    fn runs_are_given_back_of_which_others_freed_every_slot() {
        let (mut scene, first, second) = two();
        let slots: [usize; 32] = scene.alloc_many_by(first, 64);
        let rest = scene.free_blocks().pop().expect("the rest is free");
        scene.free_all_by(second, &slots[..16]);
        scene.free_all(&slots[16..31]);
        block_of(&mut scene, rest.size);
        // The first run is given back, and the other has a live slot.
        assert_eq!(scene.alloc(KIB - GRANULE), base(&scene) + GRANULE);
        assert_eq!(runs_of(&scene, 64), 1);
        assert_eq!(scene.alloc_fails(KIB), AllocError::Full);
        assert_eq!(scene.alloc_by(first, 64), slots[16], "the others are the owner's still");
    }

    #[test]
    fn runs_stay_of_which_the_owner_has_a_slot_at_hand() {
        let (mut scene, first, second) = two();
        let slots: [usize; 16] = scene.alloc_many_by(first, 64);
        let rest = scene.free_blocks().pop().expect("the rest is free");
        scene.free_all_by(second, &slots[1..]);
        scene.free_all_by(first, &slots[..1]);
        block_of(&mut scene, rest.size);
        assert_eq!(scene.alloc_fails(500), AllocError::Full);
        assert_eq!(runs_of(&scene, 64), 1);
        scene.empty_by(first);
        assert_eq!(runs_of(&scene, 64), 0);
        scene.alloc(500);
    }

    #[test]
    fn what_dropped_caches_keep_is_given_back_first() {
        let (mut scene, first, second) = two();
        let object = scene.alloc_by(first, 64);
        scene.detach(first);
        scene.free_all_by(second, &[object]);
        // Nothing is left to give back: it was given back at once.
        assert_eq!(scene.alloc(64 * KIB - GRANULE), base(&scene) + GRANULE);
    }

    #[test]
    fn the_order_of_runs_with_returned_slots_is_reversed() {
        let (mut scene, first, second) = two();
        let slots: [usize; 48] = scene.alloc_many_by(first, 64);
        scene.free_all_by(second, &[slots[20], slots[3], slots[40]]);
        assert_eq!(scene.alloc_fails(64 * KIB), AllocError::Full);
        // Now 2, 0, 1 from the bottom up, so that they are looked at in the order 1, 0, 2.
        assert_eq!(scene.alloc_many_by(first, 64), [slots[40], slots[3], slots[20]]);
    }

    #[test]
    fn the_same_is_done_when_the_heap_is_told_to_empty_its_magazines() {
        let (mut scene, first, second) = two();
        let slots: [usize; 16] = scene.alloc_many_by(first, 64);
        scene.free_all_by(second, &slots);
        assert_eq!(runs_of(&scene, 64), 1);
        scene.empty_magazines();
        assert_eq!(scene.blocks().len(), 1);
    }
}

mod resizing {
    use super::*;

    #[test]
    fn leaves_an_object_where_it_is_while_the_same_class_serves_it() {
        let (mut scene, first, second) = two();
        let object = scene.alloc_by(first, 50);
        for by in [first, second, TheHeap] {
            for size in [49, 64, 50] {
                assert_eq!(scene.realloc_by(by, object, size), object);
            }
        }
        assert_eq!(class_of(&scene, 64).allocs, 1);
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
        assert!(!is_slot(&scene, block));
        // A block is the heap's to resize, so that it moves to a slot of the heap's own.
        let slot = scene.realloc_by(first, block, 64);
        assert!(is_slot(&scene, slot));
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
            block_of(&mut scene, 63 * KIB);
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
}

mod a_wrong_free_through_a_cache {
    use super::*;

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
        let end = base(&scene) + 64 * KIB;
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
        let stats = stats(&scene);
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
}
