use slabfit::{CacheError, CacheStats, Config, GRANULE, General, Heap, InitError, RegionArray, SpinLock};
use slabfit_tests::arena::Setup;
use slabfit_tests::model::{By, Placement};
use slabfit_tests::pair::Pair;
use slabfit_tests::scene::Scene;

use super::{KIB, caches_of};

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
        assert_eq!(scene.stats().caches.most, caches);
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
    assert_eq!(scene.stats().caches, CacheStats::default());
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
    assert_eq!(scene.alloc_by(cache, 1), scene.base());
    assert_eq!(scene.class(16).runs, 1);
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
