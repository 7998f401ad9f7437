//! The calling thread's cache: one for each thread, of one heap, from its first request to its end.
#![allow(missing_docs)]
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

use std::sync::Barrier;
use std::thread;

use slabfit::{Config, General, Heap};
use slabfit_linux::{FutexLock, ProcessHeap, ThreadCache};

type GeneralHeap = ProcessHeap<General>;

const CONFIG: Config = Config::without_slab().caches(4);
/// The caches that a heap for four has.
const MOST: usize = 4;

fn attached(heap: &Heap<'static, FutexLock, General>) -> usize {
    heap.stats().expect("nobody is in the heap").caches.attached
}

/// What a test does with a thread's cache: it allocates and frees, and returns the address.
fn use_it(cache: &ThreadCache) -> usize {
    let object = cache.alloc(40).expect("there is room").as_ptr();
    // SAFETY: the object is this thread's, and has 40 bytes.
    unsafe { object.write_bytes(7, 40) };
    // SAFETY: nobody uses the object.
    unsafe { cache.free(object) }.expect("it is live");
    object.addr()
}

#[test]
fn each_thread_has_a_cache_of_its_own_until_it_ends() {
    static HEAP: GeneralHeap = GeneralHeap::empty();
    HEAP.init(1 << 20, CONFIG).expect("there is memory");
    let (all, used) = (Barrier::new(MOST + 1), Barrier::new(MOST + 1));
    thread::scope(|scope| {
        let work = || {
            let first = HEAP.with_cache(|| true, use_it).expect("there are as many caches");
            all.wait();
            used.wait();
            assert_eq!(HEAP.with_ready_cache(use_it), Some(first), "the magazine's top is what was freed last");
            HEAP.end_thread();
            assert_eq!((HEAP.with_ready_cache(use_it), HEAP.with_cache(|| true, use_it)), (None, None));
            first
        };
        let threads = [(); MOST].map(|()| scope.spawn(work));
        all.wait();
        assert_eq!(attached(&HEAP), MOST);
        assert_eq!(HEAP.with_cache(|| true, use_it), None, "all are in use");
        used.wait();
        let mut first = threads.map(|thread| thread.join().expect("it does not panic"));
        first.sort_unstable();
        assert!(first.windows(2).all(|two| two[1] - two[0] >= 1024), "no two take slots of one run: {first:x?}");
    });
    assert_eq!((attached(&HEAP), HEAP.check()), (0, Ok(())));
    assert_eq!(HEAP.stats().expect("nobody is in the heap").caches.run_bytes, 0);
}

#[test]
fn inside_its_cache_a_thread_has_none() {
    static HEAP: GeneralHeap = GeneralHeap::empty();
    HEAP.init(1 << 20, CONFIG).expect("there is memory");
    let inside = || HEAP.with_cache(|| true, |_| (HEAP.with_cache(|| true, use_it), HEAP.with_ready_cache(use_it)));
    thread::spawn(move || {
        assert_eq!(inside(), Some((None, None)));
        assert!(HEAP.with_cache(|| true, use_it).is_some());
        // In the midst of a call the cache is not given back: what was called has it.
        assert!(HEAP.with_cache(|| true, |_| HEAP.end_thread()).is_some());
        HEAP.end_thread();
    })
    .join()
    .expect("it does not panic");
    assert_eq!(attached(&HEAP), 0);
}

#[test]
fn a_thread_asks_again_when_there_was_no_heap_yet() {
    static HEAP: GeneralHeap = GeneralHeap::empty();
    thread::spawn(|| {
        assert_eq!(HEAP.with_cache(|| true, use_it), None);
        HEAP.init(1 << 20, CONFIG).expect("there is memory");
        assert!(HEAP.with_cache(|| true, use_it).is_some());
        HEAP.end_thread();
    })
    .join()
    .expect("it does not panic");
    assert_eq!(attached(&HEAP), 0);
}

#[test]
fn another_heap_leaves_a_threads_cache_alone() {
    static HEAP: GeneralHeap = GeneralHeap::empty();
    static OTHER: GeneralHeap = GeneralHeap::empty();
    HEAP.init(1 << 20, CONFIG).expect("there is memory");
    OTHER.init(1 << 20, CONFIG).expect("there is memory");
    thread::spawn(|| {
        assert!(HEAP.with_cache(|| true, use_it).is_some());
        assert_eq!(OTHER.with_cache(|| true, use_it), None);
        OTHER.end_thread();
        assert!(HEAP.with_ready_cache(use_it).is_some());
        HEAP.end_thread();
    })
    .join()
    .expect("it does not panic");
    assert_eq!((attached(&HEAP), attached(&OTHER)), (0, 0));
}

#[test]
fn who_cannot_end_it_has_none() {
    static HEAP: GeneralHeap = GeneralHeap::empty();
    HEAP.init(1 << 20, CONFIG).expect("there is memory");
    thread::spawn(|| assert_eq!((HEAP.with_cache(|| false, use_it), HEAP.with_cache(|| true, use_it)), (None, None)))
        .join()
        .expect("it does not panic");
    assert_eq!(attached(&HEAP), 0);
}
