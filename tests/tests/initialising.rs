//! What a heap can be made of, and what not: every error of set-up, the smallest region, every length and offset.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use slabfit::{
    AllocError, Config, Reason, GRANULE, Heap, InitError, MAX_HEAP, MIN_HEAP, MIN_REGION, Memory, RegionArray, Segment,
    SpinLock, InvalidFree, align_region, bookkeeping_size,
};
use slabfit_tests::arena::Arena;

type Made = Result<Heap<'static>, InitError>;

/// A heap in the arena, which outlives it in every test below.
fn heap_in(arena: &Arena, slab_size: usize) -> Made {
    // SAFETY: each test makes one heap of an arena at a time, drops it before the arena and uses no threads.
    Heap::new(unsafe { arena.memory() }, Config::new(slab_size))
}

/// The error of a heap that cannot be made.
fn error_in(arena: &Arena, slab_size: usize) -> Option<InitError> {
    heap_in(arena, slab_size).err()
}

/// Serves the largest request there can be and fills it and every slot, so that a heap which claims more memory than it
/// was given hits the arena's canaries.
fn use_all_of(heap: &Heap) {
    let largest = heap.segment(Segment::Blocks).len() - GRANULE;
    let mut served = vec![(heap.alloc(largest).expect("the largest request"), largest)];
    if largest != heap.slab_size() {
        while let Ok(slot) = heap.alloc(heap.slab_size()) {
            served.push((slot, heap.slab_size()));
        }
    }
    for (object, size) in served {
        // SAFETY: the object was just served, with `size` bytes.
        unsafe { object.write_bytes(0x11, size) };
    }
    assert_eq!(heap.check(), Ok(()));
}

mod a_region {
    use super::*;

    #[test]
    fn of_min_region_bytes_is_enough_and_one_of_fewer_is_not() {
        for slab_size in [1, 16, 17, 64, 4096, usize::MAX] {
            for offset in (0..=128).step_by(GRANULE) {
                for size in 0..MIN_REGION + 40 {
                    let arena = Arena::carved(size, offset);
                    match error_in(&arena, slab_size) {
                        None => assert!(size >= MIN_REGION, "{size} bytes made a heap"),
                        Some(error) => {
                            assert!(size < MIN_REGION, "{size} bytes: {error}");
                            assert_eq!(error, InitError::TooSmall { size, minimum: MIN_REGION });
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn must_start_at_a_multiple_of_16() {
        for offset in 0..64 {
            for arena in [Arena::carved(4096, offset), Arena::separate(4096, offset, 4096, 0)] {
                let address = arena.base();
                let expected = (offset % GRANULE != 0).then_some(InitError::Unaligned { address });
                assert_eq!(error_in(&arena, 64), expected);
            }
        }
    }

    #[test]
    fn of_any_length_is_used_to_its_last_granule() {
        let lengths = (MIN_REGION..3000).chain((3000..40_000).step_by(97)).chain((40_000..2 << 20).step_by(99_991));
        for (nth, size) in lengths.enumerate() {
            let slab_size = [1, 16, 40, 64, 1000][nth % 5];
            let arena = Arena::carved(size, nth % 256 * GRANULE);
            let heap = heap_in(&arena, slab_size).expect("a region of MIN_REGION bytes or more");
            let start = heap.base().expect("initialised").addr().get();
            let carved = start - arena.base();
            assert!(carved >= bookkeeping_size(heap.size(), slab_size), "{size} bytes");
            assert_eq!(heap.size(), (size - carved) / GRANULE * GRANULE, "{size} bytes");
            // The bookkeeping proper, and what aligning and guarding it costs.
            assert!(carved <= bookkeeping_size(size, slab_size) + 256, "{size} bytes, {carved} carved");
            use_all_of(&heap);
        }
    }

    #[test]
    fn with_bookkeeping_elsewhere_is_a_heap_to_its_last_granule() {
        for size in 0..1200 {
            for slab_size in [1, 64] {
                let arena = Arena::separate(size, 0, bookkeeping_size(size, slab_size), size % 64);
                match heap_in(&arena, slab_size) {
                    Ok(heap) => {
                        assert!(size >= MIN_HEAP);
                        assert_eq!(heap.base().expect("initialised").addr().get(), arena.base());
                        assert_eq!(heap.size(), size / GRANULE * GRANULE);
                        assert_eq!(heap.segment(Segment::Slab).len(), size / 4 / GRANULE * GRANULE);
                        use_all_of(&heap);
                    }
                    Err(error) => {
                        assert!(size < MIN_HEAP);
                        assert_eq!(error, InitError::TooSmall { size, minimum: MIN_HEAP });
                    }
                }
            }
        }
    }

    #[test]
    fn of_more_than_64_gib_is_refused_untouched() {
        assert_eq!(MAX_HEAP as u64, 64 << 30);
        let nowhere = std::ptr::without_provenance_mut::<u8>(1 << 20);
        for size in [MAX_HEAP + GRANULE, usize::MAX / 2, usize::MAX] {
            // SAFETY: no byte is touched, as the set-up must fail at the sight of the size.
            let memory = unsafe { Memory::from_raw_parts(nowhere, size, nowhere, usize::MAX / 2, true) };
            let made: Made = Heap::new(memory, Config::new(64));
            assert_eq!(made.err(), Some(InitError::TooLarge { size }));
            // SAFETY: as above.
            let memory = unsafe { Memory::from_raw(nowhere, size.saturating_mul(2)) };
            let made: Made = Heap::new(memory, Config::new(64));
            assert_eq!(made.err(), Some(InitError::TooLarge { size: size.saturating_mul(2) }));
        }
    }

    #[test]
    fn at_null_is_one_of_no_bytes() {
        // SAFETY: a null pointer is allowed and means no bytes.
        let memory = unsafe { Memory::from_raw(std::ptr::null_mut(), 4096) };
        let made: Made = Heap::new(memory, Config::new(64));
        assert_eq!(made.err(), Some(InitError::TooSmall { size: 0, minimum: MIN_REGION }));
    }
}

mod bookkeeping {
    use super::*;

    #[test]
    fn may_be_aligned_as_it_likes_and_dirty() {
        for offset in 0..64 {
            for size in [MIN_HEAP, 1024, 4096, 70_000] {
                let arena = Arena::separate(size, 16, bookkeeping_size(size, 16), offset);
                use_all_of(&heap_in(&arena, 16).expect("as much as is needed"));
            }
        }
    }

    #[test]
    fn of_zeros_serves_as_well() {
        for size in [MIN_HEAP, 1024, 4096, 70_000, 1 << 20] {
            let arena = Arena::zeroed(size, 16, bookkeeping_size(size, 16));
            use_all_of(&heap_in(&arena, 16).expect("as much as is needed"));
        }
    }

    #[test]
    fn of_one_byte_too_few_is_refused() {
        for size in [MIN_HEAP, 1024, 70_000] {
            for slab_size in [1, 64, 4096] {
                let needed = bookkeeping_size(size, slab_size);
                for given in [0, 1, needed - 1] {
                    let arena = Arena::separate(size, 0, given, 0);
                    let error = InitError::BookkeepingTooSmall { size: given, needed };
                    assert_eq!(error_in(&arena, slab_size), Some(error));
                }
            }
        }
    }

    #[test]
    fn is_about_two_percent_of_the_heap() {
        for size in [1 << 20, 64 << 20, 1 << 30] {
            let share = bookkeeping_size(size, 64) as f64 / size as f64;
            assert!((0.01..0.025).contains(&share), "{share} of {size} bytes");
        }
    }
}

mod a_slab_size {
    use super::*;

    #[test]
    fn of_0_is_refused() {
        for arena in [Arena::carved(4096, 0), Arena::separate(4096, 0, 4096, 0)] {
            assert_eq!(error_in(&arena, 0), Some(InitError::SlabSizeZero));
        }
    }

    #[test]
    fn of_any_other_number_is_accepted() {
        for slab_size in (1..=4096).chain([65_536, 1 << 30, usize::MAX / 2, usize::MAX - 1, usize::MAX]) {
            let arena = Arena::carved(4096, 0);
            let heap = heap_in(&arena, slab_size).expect("any size of a slot");
            assert_eq!(heap.slab_size(), slab_size);
            let slots = heap.blocks().filter(|block| block.segment == Segment::Slab).count();
            let slot = slab_size.checked_next_multiple_of(GRANULE).unwrap_or(usize::MAX);
            assert_eq!(slots, heap.segment(Segment::Slab).len() / slot);
            use_all_of(&heap);
        }
    }
}

mod a_heap_without_memory {
    use super::*;

    #[test]
    fn serves_nothing_and_owns_nothing() {
        let heap: Heap = Heap::empty();
        for size in [0, 1, 64, usize::MAX] {
            assert_eq!(heap.alloc(size), Err(AllocError::NotInitialised));
            assert_eq!(heap.alloc_zeroed(size), Err(AllocError::NotInitialised));
        }
        let local = 0u8;
        let refused = InvalidFree { address: (&raw const local).addr(), reason: Reason::OutsideHeap };
        // SAFETY: the address is of no object of the heap, which has none.
        assert_eq!(unsafe { heap.free((&raw const local).cast_mut()) }, Err(refused));
        // SAFETY: as above.
        assert_eq!(unsafe { heap.realloc((&raw const local).cast_mut(), 1) }, Err(refused.into()));
        assert_eq!(heap.usable_size(&raw const local), Err(refused));
        assert!(!heap.owns(&raw const local));
        assert!(!heap.owns(std::ptr::null()));
        assert_eq!((heap.base(), heap.rover(), heap.size(), heap.slab_size()), (None, None, 0, 0));
        assert!(heap.segment(Segment::Slab).is_empty() && heap.segment(Segment::Blocks).is_empty());
        assert_eq!(heap.blocks().count() + heap.overwritten().count(), 0);
        assert_eq!((heap.check(), heap.repair()), (Ok(()), Ok(0)));
        let stats = heap.stats().expect("nobody is in the heap");
        assert_eq!((stats.slab.size, stats.next_fit.size), (0, 0));
    }

    #[test]
    fn is_still_without_after_a_failed_set_up_and_can_then_be_given_some() {
        let arena = Arena::carved(4096, 0);
        let heap: Heap = Heap::empty();
        let mut few = RegionArray::<{ MIN_REGION - 1 }>::new();
        assert!(matches!(heap.init(few.as_mut(), Config::new(64)), Err(InitError::TooSmall { .. })));
        // SAFETY: the arena outlives the heap, and no other heap has it.
        assert_eq!(heap.init(unsafe { arena.memory() }, Config::new(0)), Err(InitError::SlabSizeZero));
        assert_eq!(heap.alloc(1), Err(AllocError::NotInitialised));
        // SAFETY: as above.
        assert_eq!(heap.init(unsafe { arena.memory() }, Config::new(64)), Ok(()));
        use_all_of(&heap);
    }

    #[test]
    fn is_given_some_only_once() {
        let first = Arena::carved(4096, 0);
        let second = Arena::carved(8192, 0);
        let heap = heap_in(&first, 64).expect("a legal heap");
        let object = heap.alloc(100).expect("room");
        // SAFETY: the second arena outlives the heap, and no other heap has it.
        let again = heap.init(unsafe { second.memory() }, Config::new(32));
        assert_eq!(again, Err(InitError::AlreadyInitialised));
        assert_eq!(heap.slab_size(), 64);
        assert!(heap.base().expect("initialised").addr().get() < first.base() + first.size());
        // SAFETY: nobody uses the object.
        assert_eq!(unsafe { heap.free(object.as_ptr()) }, Ok(()));
    }

    #[test]
    fn is_given_some_by_one_of_several_threads() {
        for _ in 0..200 {
            let heap: Heap<'_, SpinLock> = Heap::empty();
            let succeeded = AtomicUsize::new(0);
            let mut arrays: Vec<_> = (0..4).map(|_| RegionArray::<2048>::new()).collect();
            thread::scope(|scope| {
                for array in &mut arrays {
                    scope.spawn(|| match heap.init(array.as_mut(), Config::new(64)) {
                        Ok(()) => drop(succeeded.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => assert_eq!(error, InitError::AlreadyInitialised),
                    });
                }
            });
            assert_eq!(succeeded.into_inner(), 1);
            assert_eq!(heap.check(), Ok(()));
        }
    }
}

mod memory_of_every_kind_makes_a_heap {
    use super::*;

    #[test]
    fn an_array_on_the_stack() {
        let mut array = RegionArray::<2048>::new();
        let heap: Heap = Heap::new(array.as_mut(), Config::new(32)).expect("enough");
        use_all_of(&heap);
    }

    #[test]
    fn a_vector_that_starts_anywhere() {
        let mut bytes = vec![MaybeUninit::new(0xFFu8); 5000];
        for skip in 0..32 {
            let region = align_region(&mut bytes[skip..]);
            assert_eq!(region.as_ptr().addr() % GRANULE, 0);
            assert!(region.len() + skip + GRANULE > 5000);
            let heap: Heap = Heap::new(region, Config::new(32)).expect("enough");
            use_all_of(&heap);
        }
        assert!(align_region(&mut []).is_empty());
    }

    #[test]
    fn a_region_and_a_second_piece() {
        let mut region = RegionArray::<4096>::new();
        let mut second = [MaybeUninit::uninit(); bookkeeping_size(4096, 64)];
        let memory = Memory::with_bookkeeping(region.as_mut(), &mut second);
        let heap: Heap = Heap::new(memory, Config::new(64)).expect("enough");
        assert_eq!(heap.size(), 4096);
        use_all_of(&heap);
    }

    #[test]
    fn a_static() {
        static HEAP: Heap = Heap::empty();
        let array = Box::leak(Box::new(RegionArray::<4096>::new()));
        assert_eq!(HEAP.alloc(1), Err(AllocError::NotInitialised));
        HEAP.init(array.as_mut(), Config::new(64).first_fit()).expect("the first time");
        use_all_of(&HEAP);
    }

    #[test]
    fn the_same_memory_again_once_the_first_heap_is_gone() {
        let mut array = RegionArray::<2048>::new();
        for _ in 0..3 {
            let heap: Heap = Heap::new(array.as_mut(), Config::new(32)).expect("enough");
            let fresh = heap.stats().expect("nobody is in the heap");
            assert_eq!((fresh.slab.live_objects, fresh.slab.allocs), (0, 0));
            assert_eq!((fresh.next_fit.live_objects, fresh.next_fit.allocs, fresh.next_fit.free_blocks), (0, 0, 1));
            use_all_of(&heap);
        }
    }
}
