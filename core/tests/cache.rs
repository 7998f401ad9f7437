//! Caches: what a user sees of them. The suites in `tests/` compare them with the model.
#![cfg(target_has_atomic = "64")]
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks)]

use std::alloc::Layout;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use slabfit::{Cache, CacheError, Config, DefaultLock, General, Heap, InvalidFree, Reason, RegionArray};

/// A check looks at every granule.
type Region = RegionArray<{ if cfg!(miri) { 1 << 17 } else { 1 << 20 } }>;
type GeneralHeap<'a> = Heap<'a, DefaultLock, General>;

fn heap(region: &mut Region, caches: usize) -> GeneralHeap<'_> {
    Heap::from_memory(region, Config::without_slab().caches(caches)).unwrap()
}

fn fill(region: &mut Region) {
    region.as_mut().fill(std::mem::MaybeUninit::new(0xa5));
}

#[test]
fn an_object_of_a_cache_is_freed_once_through_whatever_is_at_hand() {
    let mut region = Region::new();
    fill(&mut region);
    let heap = heap(&mut region, 2);
    let (ours, others) = (heap.cache().unwrap(), heap.cache().unwrap());
    let objects: Vec<*mut u8> = (0..3).map(|_| ours.alloc(40).unwrap().as_ptr()).collect();
    assert_eq!(heap.usable_size(objects[0]), Ok(48));
    unsafe { ours.free(objects[0]) }.unwrap();
    unsafe { others.free(objects[1]) }.unwrap();
    unsafe { heap.free(objects[2]) }.unwrap();
    for object in objects {
        let refused = InvalidFree { address: object.addr(), reason: Reason::DoubleFree };
        assert_eq!(unsafe { ours.free(object) }, Err(refused));
        assert_eq!(unsafe { others.free(object) }, Err(refused));
        assert_eq!(unsafe { heap.free(object) }, Err(refused));
    }
    for cache in [&ours, &others] {
        assert_eq!(cache.check(), Ok(()));
    }
    assert_eq!(heap.check(), Ok(()));
    drop((ours, others));
    assert_eq!(heap.stats().unwrap().caches.run_bytes, 0);
    assert_eq!(heap.stats().unwrap().blocks.live_bytes, 0);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn as_many_caches_can_be_had_as_were_asked_for() {
    let mut region = Region::new();
    let heap = heap(&mut region, 2);
    let first = heap.cache().unwrap();
    let _second = heap.cache().unwrap();
    assert_eq!(heap.cache().unwrap_err(), CacheError::NoneFree);
    drop(first);
    assert!(heap.cache().is_ok());
    let empty: GeneralHeap<'_> = Heap::empty();
    assert_eq!(empty.cache().unwrap_err(), CacheError::NotInitialised);
}

#[test]
fn a_cache_serves_what_a_heap_serves() {
    let mut region = Region::new();
    fill(&mut region);
    let heap = heap(&mut region, 1);
    let cache = heap.cache().unwrap();
    let most = if cfg!(miri) { 10_000 } else { 100_000 };
    for size in [0, 1, 16, 17, 500, 512, 513, 5000, most] {
        let object = cache.alloc_zeroed(size).unwrap().as_ptr();
        let bytes = unsafe { std::slice::from_raw_parts(object, size) };
        assert!(bytes.iter().all(|byte| *byte == 0), "{size}");
        unsafe { object.write_bytes(7, size) };
        let larger = unsafe { cache.realloc(object, size + 100) }.unwrap().as_ptr();
        assert!(unsafe { std::slice::from_raw_parts(larger, size) }.iter().all(|byte| *byte == 7), "{size}");
        unsafe { cache.free(larger) }.unwrap();
    }
    let layout = Layout::from_size_align(100, 64).unwrap();
    let aligned = cache.alloc_layout(layout).unwrap().as_ptr();
    assert_eq!(aligned.addr() % 64, 0);
    unsafe { cache.free(aligned) }.unwrap();
    cache.empty().unwrap();
    assert_eq!(heap.stats().unwrap().blocks.live_bytes, 0);
    cache.check().unwrap();
    heap.check().unwrap();
}

#[test]
fn threads_that_pass_objects_on_lose_none() {
    const ROUNDS: usize = if cfg!(miri) { 30 } else { 20_000 };
    let mut region = Region::new();
    let heap = heap(&mut region, 4);
    let freed = AtomicUsize::new(0);
    let free = &|cache: &Cache<'_, '_>, object: usize| {
        let object = std::ptr::with_exposed_provenance_mut::<u8>(object);
        assert_eq!(unsafe { object.cast::<usize>().read() }, object.addr(), "the stamp of {object:?}");
        unsafe { cache.free(object) }.unwrap();
        freed.fetch_add(1, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| mpsc::sync_channel::<usize>(64)).unzip();
        for (thread, receiver) in receivers.into_iter().enumerate() {
            let (senders, heap) = (senders.clone(), &heap);
            scope.spawn(move || {
                let cache = heap.cache().unwrap();
                for round in 0..ROUNDS {
                    let object = cache.alloc(round % 500 + 8).unwrap().as_ptr();
                    unsafe { object.cast::<usize>().write(object.addr()) };
                    let object = object.expose_provenance();
                    if senders[(thread + round) % 4].try_send(object).is_err() {
                        free(&cache, object);
                    }
                    receiver.try_iter().for_each(|object| free(&cache, object));
                }
                drop(senders);
                receiver.iter().for_each(|object| free(&cache, object));
            });
        }
        drop(senders);
    });
    heap.check().unwrap();
    heap.empty_magazines().unwrap();
    let stats = heap.stats().unwrap();
    assert_eq!((stats.caches.attached, stats.caches.run_bytes, stats.blocks.live_bytes), (0, 0, 0));
    assert_eq!(stats.classes.iter().map(|class| class.live_objects).sum::<usize>(), 0);
    assert_eq!(freed.into_inner(), 4 * ROUNDS);
}

/// As in the child of a process that was forked while its other threads were in the midst of something.
#[test]
fn what_lies_in_caches_whose_owners_are_gone_is_recovered() {
    const COUNT: usize = if cfg!(miri) { 60 } else { 300 };
    let mut region = Region::new();
    let heap = heap(&mut region, 3);
    let (kept, gone, other) = (heap.cache().unwrap(), heap.cache().unwrap(), heap.cache().unwrap());
    let allocate = |cache: &Cache<'_, '_>, count: usize| -> Vec<*mut u8> {
        (0..count).map(|round| cache.alloc(round % 400 + 1).unwrap().as_ptr()).collect()
    };
    let objects = [allocate(&kept, COUNT), allocate(&gone, COUNT), allocate(&other, COUNT)];
    for (number, object) in objects.iter().flatten().enumerate().filter(|(number, _)| number % 3 > 0) {
        let freed = match number % 4 {
            0 => unsafe { kept.free(*object) },
            1 => unsafe { gone.free(*object) },
            2 => unsafe { other.free(*object) },
            _ => unsafe { heap.free(*object) },
        };
        freed.unwrap();
    }
    std::mem::forget((gone, other));
    unsafe { heap.recover_caches(Some(&kept)) }.unwrap();
    assert_eq!(heap.stats().unwrap().caches.attached, 1);
    kept.check().unwrap();
    heap.check().unwrap();
    let live: usize = heap.stats().unwrap().classes.iter().map(|class| class.live_objects).sum();
    assert_eq!(live, COUNT);
    let more = allocate(&kept, COUNT);
    for object in objects.iter().flatten().step_by(3).chain(&more) {
        unsafe { kept.free(*object) }.unwrap();
    }
    drop(kept);
    let stats = heap.stats().unwrap();
    assert_eq!((stats.caches.run_bytes, stats.caches.attached), (0, 0));
    heap.empty_magazines().unwrap();
    assert_eq!(heap.stats().unwrap().blocks.live_bytes, 0);
    heap.check().unwrap();
}

#[test]
fn tables_that_are_about_no_run_of_a_cache_are_lent_and_may_become_zeros() {
    const PAGE: usize = 1024;
    let mut region = Box::new(Region::new());
    fill(&mut region);
    let heap = heap(&mut region, 1);
    let cache = heap.cache().unwrap();
    let segment = heap.segment(slabfit::Segment::Blocks);
    let lent = |heap: &GeneralHeap<'_>| {
        let mut pages = 0;
        let look = |bytes: std::ptr::NonNull<[u8]>| {
            assert!(bytes.len() == PAGE && bytes.cast::<u8>().addr().get() % PAGE == 0);
            // As the system does.
            unsafe { bytes.cast::<u8>().write_bytes(0, PAGE) };
            pages += 1;
        };
        heap.with_idle_tables(segment.clone(), PAGE, look).unwrap();
        pages
    };
    assert_eq!(lent(&heap), 0, "no object has reached what the tables are about");
    // Of 900 KiB: all that there are at most.
    let objects: Vec<*mut u8> = (0..8000).map(|_| cache.alloc(100).unwrap().as_ptr()).collect();
    let few = lent(&heap);
    let kept = objects[4000];
    for object in objects.into_iter().filter(|object| *object != kept) {
        unsafe { cache.free(object) }.unwrap();
    }
    cache.empty().unwrap();
    let most = lent(&heap);
    cache.check().unwrap();
    heap.check().unwrap();
    let more: Vec<*mut u8> = (0..8000).map(|_| cache.alloc(100).unwrap().as_ptr()).collect();
    for object in more.into_iter().chain([kept]) {
        unsafe { cache.free(object) }.unwrap();
    }
    drop(cache);
    heap.empty_magazines().unwrap();
    let all = lent(&heap);
    assert!(all >= 20, "{all} pages");
    assert!(few < all / 4, "{few} of {all} pages");
    assert!(most + 4 >= all && most < all, "{most} of {all} pages");
    assert_eq!(heap.stats().unwrap().blocks.live_bytes, 0);
    heap.check().unwrap();
}
