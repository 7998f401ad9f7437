//! A static heap is there when it is wanted, for one of those who want it.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use slabfit::{AllocError, Config, DefaultLock, FirstFit, GRANULE, Heap, InitError, MIN_REGION, Reason, Segment};
use slabfit::{StaticArray, StaticHeap};

type Array = StaticArray<{ 64 << 10 }>;

fn leaked<const N: usize>() -> &'static StaticArray<N> {
    Box::leak(Box::new(StaticArray::new()))
}

#[test]
fn the_first_request_finds_a_heap() {
    static ARRAY: Array = StaticArray::new();
    static HEAP: StaticHeap = StaticHeap::new(&ARRAY, Config::new(64));

    let object = HEAP.alloc(100).unwrap();
    assert!(HEAP.owns(object.as_ptr()));
    assert_eq!(HEAP.slab_size(), 64);
    assert_eq!(HEAP.set_up(), Ok(()));
    assert_eq!(HEAP.check(), Ok(()));
}

#[test]
fn of_threads_that_come_first_together_one_sets_the_heap_up_and_all_are_served() {
    const THREADS: usize = 4;
    for _ in 0..300 {
        let heap: StaticHeap = StaticHeap::new(leaked::<4096>(), Config::new(64));
        let barrier = Barrier::new(THREADS);
        let objects: BTreeSet<usize> = thread::scope(|scope| {
            let first_use = || {
                barrier.wait();
                let object = heap.alloc(64).expect("a fresh heap has room for all").as_ptr();
                // SAFETY: nobody uses the object afterwards.
                unsafe { heap.free(object) }.expect("whoever has an object can free it");
                heap.alloc(100).expect("a fresh heap has room for all").addr().get()
            };
            let threads = [(); THREADS].map(|()| scope.spawn(first_use));
            threads.map(|thread| thread.join().unwrap()).into_iter().collect()
        });
        assert_eq!(objects.len(), THREADS);
        assert_eq!(heap.stats().unwrap().blocks.live_objects, THREADS);
        assert_eq!(heap.check(), Ok(()));
    }
}

#[test]
fn two_handles_of_an_array_are_one_heap_as_the_first_to_be_used_says() {
    let array = leaked::<4096>();
    let (late, first): (StaticHeap, StaticHeap) =
        (StaticHeap::new(array, Config::new(32)), StaticHeap::new(array, Config::new(64)));
    let object = first.alloc(100).unwrap();
    assert_eq!((late.slab_size(), late.base()), (64, first.base()));
    assert_eq!(late.set_up(), Ok(()));
    // SAFETY: nobody uses the object.
    assert_eq!(unsafe { late.free(object.as_ptr()) }, Ok(()));
    assert_eq!(first.stats().unwrap().blocks.live_objects, 0);
    assert!(array.take().is_none());
}

#[test]
fn an_array_that_was_taken_is_no_heaps() {
    let array = leaked::<4096>();
    let region = array.take().unwrap();
    assert_eq!(region.len(), 4096);
    let late: StaticHeap = StaticHeap::new(array, Config::new(64));
    assert_eq!(late.alloc(1), Err(AllocError::NotInitialised));
    assert_eq!(late.set_up(), Err(InitError::TooSmall { size: 0, minimum: MIN_REGION }));
    let heap = Heap::new(region, Config::new(64)).unwrap();
    assert!(heap.alloc(1).is_ok());
}

/// In a `static` it does not compile.
#[test]
#[should_panic(expected = "a slab segment of slots of 0 bytes")]
fn a_heap_of_slots_without_bytes_is_refused_where_it_is_made() {
    let _: StaticHeap = StaticHeap::new(leaked::<4096>(), Config::new(0));
}

#[test]
fn a_static_heap_may_have_another_policy_and_no_slab() {
    static ARRAY: StaticArray<4096, DefaultLock, FirstFit> = StaticArray::new();
    static HEAP: StaticHeap<DefaultLock, FirstFit> = StaticHeap::new(&ARRAY, Config::without_slab());

    let object = HEAP.alloc(100).unwrap();
    assert_eq!(object.addr().get() - HEAP.segment(Segment::Blocks).start, GRANULE);
    assert!(HEAP.segment(Segment::Slab).is_empty());
}

#[test]
fn the_smallest_array_makes_a_heap() {
    let heap: StaticHeap = StaticHeap::new(leaked::<MIN_REGION>(), Config::new(16));
    assert!(heap.alloc(1).is_ok());
}

/// What a global allocator is asked, through the trait.
mod as_global_allocator {
    use super::*;
    use std::alloc::{GlobalAlloc, Layout};
    use std::slice;

    const WORDS: Layout = Layout::new::<[u64; 100]>();

    #[test]
    fn the_heaps_own_methods_are_called_by_their_names_where_the_trait_is_in_scope() {
        static ARRAY: Array = StaticArray::new();
        static HEAP: StaticHeap = StaticHeap::new(&ARRAY, Config::new(64));

        let object: Result<_, AllocError> = HEAP.alloc(100);
        // SAFETY: nobody uses the object.
        let moved = unsafe { HEAP.realloc(object.unwrap().as_ptr(), 2000) };
        // SAFETY: as above.
        assert_eq!(unsafe { HEAP.free(moved.unwrap().as_ptr()) }, Ok(()));
        assert!(HEAP.alloc_zeroed(100).is_ok());
    }

    #[test]
    fn zeros_are_zeros_in_memory_that_was_used() {
        let heap: StaticHeap = StaticHeap::new(leaked::<4096>(), Config::new(64));
        for _ in 0..10 {
            // SAFETY: the layout has a size.
            let words = unsafe { GlobalAlloc::alloc_zeroed(&heap, WORDS) }.cast::<[u64; 100]>();
            // SAFETY: a live object of that layout, all written.
            assert_eq!(unsafe { words.read() }, [0; 100]);
            // SAFETY: a live object of that layout.
            unsafe { words.write([u64::MAX; 100]) };
            // SAFETY: nobody uses the object afterwards.
            unsafe { heap.dealloc(words.cast(), WORDS) };
        }
        assert_eq!(heap.stats().unwrap().blocks.live_objects, 0);
    }

    #[test]
    fn zeros_are_zeros_whatever_was_written_before_and_wherever_they_lie() {
        let heap: StaticHeap = StaticHeap::new(leaked::<{ 32 << 10 }>(), Config::new(64));
        let mut objects = Vec::new();
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        for step in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let size = if random & 1 == 0 { 64 } else { (random >> 16) as usize % 700 + 1 };
            let layout = Layout::from_size_align(size, 8 << ((random >> 8) % 7)).expect("a power of two");
            // SAFETY: the layout has a size.
            let object = unsafe { GlobalAlloc::alloc_zeroed(&heap, layout) };
            if !object.is_null() {
                // SAFETY: a live object of that layout, all written.
                let bytes = unsafe { slice::from_raw_parts_mut(object, size) };
                assert!(bytes.iter().all(|&byte| byte == 0), "{layout:?} in step {step}");
                bytes.fill(0xFF);
                objects.push((object, layout));
            }
            if object.is_null() || random & 6 == 0 {
                let (object, layout) = objects.swap_remove((random >> 40) as usize % objects.len());
                // SAFETY: nobody uses the object afterwards.
                unsafe { heap.dealloc(object, layout) };
            }
        }
        assert_eq!(heap.check(), Ok(()));
    }

    #[test]
    fn an_object_is_resized_where_it_stands() {
        let heap: StaticHeap = StaticHeap::new(leaked::<8192>(), Config::new(64));
        // SAFETY: the layout has a size.
        let words = unsafe { GlobalAlloc::alloc(&heap, WORDS) };
        // SAFETY: a live object of that layout.
        unsafe { words.cast::<[u64; 100]>().write([7; 100]) };
        let mut layout = WORDS;
        for size in [1600, 100, 800] {
            // SAFETY: a live object of that layout, known by this pointer alone.
            assert_eq!(unsafe { GlobalAlloc::realloc(&heap, words, layout, size) }, words, "{size} bytes");
            layout = Layout::from_size_align(size, layout.align()).unwrap();
        }
        // SAFETY: no shorter than that since the words were written.
        assert_eq!(unsafe { words.cast::<[u64; 12]>().read() }, [7; 12]);
        assert_eq!(heap.check(), Ok(()));
    }

    #[test]
    fn what_cannot_be_served_is_null_and_changes_nothing() {
        let heap: StaticHeap = StaticHeap::new(leaked::<4096>(), Config::new(64));
        // SAFETY: the layout has a size.
        let words = unsafe { GlobalAlloc::alloc(&heap, WORDS) };
        // SAFETY: a live object, known by this pointer alone.
        assert!(unsafe { GlobalAlloc::realloc(&heap, words, WORDS, 1 << 20) }.is_null());
        // SAFETY: as above.
        assert!(unsafe { GlobalAlloc::realloc(&heap, words, WORDS, usize::MAX) }.is_null());
        assert_eq!(heap.usable_size(words), Ok(WORDS.size()));
    }

    #[test]
    fn a_wrong_dealloc_is_refused_and_counted() {
        let heap: StaticHeap = StaticHeap::new(leaked::<4096>(), Config::new(64));
        // SAFETY: the layout has a size.
        let words = unsafe { GlobalAlloc::alloc(&heap, WORDS) };
        for _ in 0..3 {
            // SAFETY: nobody uses the object; the second time and the third there is none.
            unsafe { heap.dealloc(words, WORDS) };
        }
        assert_eq!(heap.usable_size(words).map_err(|wrong| wrong.reason), Err(Reason::DoubleFree));
        assert_eq!(heap.stats().unwrap().blocks.refused_frees, 2);
    }
}
