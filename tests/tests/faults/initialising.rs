//! What a heap can be made of, and what not: every error of set-up, the smallest region, every length and offset.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use slabfit::{
    AllocError, Config, DefaultLock, FirstFit, GRANULE, General, Heap, InitError, InvalidFree, MAX_HEAP, MIN_HEAP,
    MIN_REGION, Memory, NextFit, Policy, Reason, RegionArray, Segment,
};
use slabfit_tests::arena::Arena;

/// A heap in the arena, which outlives it in every test below.
fn heap_in(arena: &Arena, slab_size: usize) -> Result<Heap<'static>, InitError> {
    heap_of(arena, Config::new(slab_size))
}

fn heap_of(arena: &Arena, config: Config) -> Result<Heap<'static>, InitError> {
    // SAFETY: each test makes one heap of an arena at a time, drops it before the arena and uses no threads.
    Heap::new(unsafe { arena.memory() }, config)
}

const fn bookkeeping_size(heap_size: usize, slab_size: usize) -> usize {
    slabfit::bookkeeping_size::<NextFit>(heap_size, Config::new(slab_size))
}

/// The error of a heap that cannot be made.
fn error_in(arena: &Arena, slab_size: usize) -> Option<InitError> {
    heap_in(arena, slab_size).err()
}

/// Serves the largest request there can be and fills it and every slot, so that a heap which claims more memory than it
/// was given hits the arena's canaries.
fn use_all_of<P: Policy>(heap: &Heap<'_, DefaultLock, P>) {
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
    fn of_min_region_bytes_is_enough_whatever_the_heap_is_to_be_like() {
        let enough = |arena: &Arena, config: Config| {
            use_all_of(&heap_of(arena, config).expect("next fit"));
            // SAFETY: the other heap is gone, and this one is before the arena.
            let heap: Heap<'_, DefaultLock, FirstFit> =
                Heap::from_memory(unsafe { arena.memory() }, config).expect("first fit");
            use_all_of(&heap);
        };
        for size in (MIN_REGION..MIN_REGION + 1024).step_by(GRANULE) {
            for offset in [0, GRANULE, 3 * GRANULE] {
                let arena = Arena::carved(size, offset);
                enough(&arena, Config::without_slab());
                for slab_size in [1, 16, 17, 33, 64, 200, 4096, usize::MAX] {
                    enough(&arena, Config::new(slab_size));
                    for slab_bytes in [0, 1, 64, size / 2, size, usize::MAX] {
                        enough(&arena, Config::new(slab_size).slab_bytes(slab_bytes));
                    }
                }
            }
        }
    }

    #[test]
    fn may_start_anywhere_and_the_heap_starts_at_the_next_granule() {
        for offset in 0..64 {
            for size in 4096..4096 + GRANULE {
                let arena = Arena::separate(size, offset, 4096, 0);
                let heap = heap_in(&arena, 64).expect("a legal heap");
                let base = arena.base().next_multiple_of(GRANULE);
                assert_eq!(heap.base().map(|base| base.addr().get()), Some(base));
                assert_eq!(heap.size(), (arena.base() + size - base) / GRANULE * GRANULE);
                use_all_of(&heap);
                let arena = Arena::carved(size, offset);
                use_all_of(&heap_in(&arena, 64).expect("a legal heap"));
            }
        }
    }

    #[test]
    fn that_starts_inside_a_granule_needs_so_many_bytes_more() {
        for offset in 1..GRANULE {
            let lost = GRANULE - offset;
            use_all_of(&heap_in(&Arena::carved(MIN_REGION + lost, offset), 64).expect("enough"));
            let few = Arena::carved(MIN_REGION + lost - 1, offset);
            assert!(matches!(error_in(&few, 64), Some(InitError::TooSmall { minimum: MIN_REGION, .. })));
        }
        // Where there are fewer bytes than a granule's rest, none is left.
        for size in 0..GRANULE {
            assert!(matches!(error_in(&Arena::carved(size, 1), 64), Some(InitError::TooSmall { .. })));
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
            let memory = unsafe { Memory::from_raw_parts(nowhere, size, nowhere, usize::MAX / 2) };
            let made = Heap::new(memory, Config::new(64));
            assert_eq!(made.err(), Some(InitError::TooLarge { size }));
            // SAFETY: as above.
            let memory = unsafe { Memory::from_raw(nowhere, size.saturating_mul(2)) };
            let made = Heap::new(memory, Config::new(64));
            assert_eq!(made.err(), Some(InitError::TooLarge { size: size.saturating_mul(2) }));
        }
        // One of 64 GiB is not too large: what it lacks is bookkeeping.
        // SAFETY: as above.
        let memory = unsafe { Memory::from_raw_parts(nowhere, MAX_HEAP, nowhere, 0) };
        let needed = bookkeeping_size(MAX_HEAP, 64);
        assert_eq!(Heap::new(memory, Config::new(64)).err(), Some(InitError::BookkeepingTooSmall { size: 0, needed }));
    }

    #[test]
    fn at_null_is_one_of_no_bytes() {
        // SAFETY: a null pointer is allowed and means no bytes.
        let memory = unsafe { Memory::from_raw(std::ptr::null_mut(), 4096) };
        let made = Heap::new(memory, Config::new(64));
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
            // Nobody can ask for so many, so nothing goes to the slab.
            assert_eq!(heap.slab_size(), if slab_size == usize::MAX { 0 } else { slab_size });
            let slots = heap.blocks().filter(|block| block.segment == Segment::Slab).count();
            let slot = slab_size.checked_next_multiple_of(GRANULE).unwrap_or(usize::MAX);
            assert_eq!(slots, heap.segment(Segment::Slab).len() / slot);
            use_all_of(&heap);
        }
    }
}

mod a_slab {
    use super::*;

    #[test]
    fn of_no_bytes_leaves_the_heap_to_blocks() {
        for (config, slab_size) in [(Config::without_slab(), 0), (Config::new(64).slab_bytes(0), 64)] {
            for arena in [Arena::carved(4096, 0), Arena::separate(4096, 0, 4096, 0), Arena::zeroed(4096, 0, 4096)] {
                let heap = heap_of(&arena, config).expect("a heap needs no slab");
                assert!(heap.segment(Segment::Slab).is_empty());
                assert_eq!(heap.segment(Segment::Blocks).len(), heap.size());
                assert_eq!(heap.slab_size(), slab_size);
                let object = heap.alloc(64).expect("room").addr().get();
                assert_eq!(object, heap.segment(Segment::Blocks).start + GRANULE);
                let stats = heap.stats().expect("nobody is in the heap");
                assert_eq!((stats.slab, stats.blocks.live_objects), (Default::default(), 1));
                assert!(heap.blocks().all(|block| block.segment == Segment::Blocks));
                assert_eq!(heap.check(), Ok(()));
            }
        }
    }

    #[test]
    fn may_take_all_but_48_bytes() {
        for size in [MIN_HEAP, MIN_HEAP + GRANULE, 4096, 70_000 / GRANULE * GRANULE] {
            for bytes in [size, size - 47, usize::MAX] {
                let config = Config::new(16).slab_bytes(bytes);
                let needed = slabfit::bookkeeping_size::<NextFit>(size, config);
                let arena = Arena::separate(size, 0, needed, 0);
                let heap = heap_of(&arena, config).expect("a legal heap");
                assert_eq!(heap.segment(Segment::Blocks).len(), 48);
                use_all_of(&heap);
            }
        }
    }

    #[test]
    fn of_any_other_number_of_bytes_is_rounded_down_to_granules() {
        for bytes in (0..400).chain([1000, 1001, 2047, 4000, 4047, 4048]) {
            for slab_size in [1, 16, 40, 1000] {
                let config = Config::new(slab_size).slab_bytes(bytes);
                let needed = slabfit::bookkeeping_size::<NextFit>(4096, config);
                let arena = Arena::separate(4096, 0, needed, 1);
                let heap = heap_of(&arena, config).expect("a legal heap");
                let (slab, slot) = (heap.segment(Segment::Slab), slab_size.next_multiple_of(GRANULE));
                assert_eq!(slab.len(), bytes / GRANULE * GRANULE);
                assert_eq!(slab.end, heap.segment(Segment::Blocks).start);
                let slots = heap.blocks().filter(|block| block.segment == Segment::Slab).count();
                assert_eq!(slots, slab.len() / slot);
                use_all_of(&heap);
            }
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
        assert_eq!((heap.base(), heap.rover(), heap.size(), heap.slab_size()), (None, Ok(None), 0, 0));
        assert!(heap.segment(Segment::Slab).is_empty() && heap.segment(Segment::Blocks).is_empty());
        assert_eq!(heap.blocks().count() + heap.overwritten().count(), 0);
        assert_eq!((heap.check(), heap.repair()), (Ok(()), Ok(0)));
        let stats = heap.stats().expect("nobody is in the heap");
        assert_eq!((stats.slab.size, stats.blocks.size), (0, 0));
    }

    #[test]
    fn is_still_without_after_a_failed_set_up_and_can_then_be_given_some() {
        let arena = Arena::carved(4096, 0);
        let heap: Heap = Heap::empty();
        let mut few = RegionArray::<{ MIN_REGION - 1 }>::new();
        assert!(matches!(heap.init(few.as_mut(), Config::new(64)), Err(InitError::TooSmall { .. })));
        // SAFETY: the arena outlives the heap, and no other heap has it.
        assert_eq!(heap.init(unsafe { arena.memory() }, Config::new(0)), Err(InitError::SlabSizeZero));
        let needed = bookkeeping_size(4096, 64);
        let apart = Arena::separate(4096, 0, needed / 2, 0);
        let too_small = InitError::BookkeepingTooSmall { size: needed / 2, needed };
        // SAFETY: as above.
        assert_eq!(heap.init(unsafe { apart.memory() }, Config::new(64)), Err(too_small));
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
            let heap: Heap = Heap::empty();
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
        let heap = Heap::new(array.as_mut(), Config::new(32)).expect("enough");
        use_all_of(&heap);
    }

    #[test]
    fn a_vector_that_starts_anywhere() {
        let mut bytes = vec![MaybeUninit::new(0xFFu8); 5000];
        for skip in 0..32 {
            use_all_of(&Heap::new(&mut bytes[skip..], Config::new(32)).expect("enough"));
        }
    }

    #[test]
    fn bytes_that_are_given_up_for_ever() {
        let bytes: &'static mut [u8] = vec![0xFF; 5000].leak();
        use_all_of(&Heap::new(bytes, Config::new(32)).expect("enough"));
    }

    #[test]
    fn a_region_and_a_second_piece() {
        let mut region = RegionArray::<4096>::new();
        let mut second = [MaybeUninit::uninit(); bookkeeping_size(4096, 64)];
        let memory = Memory::with_bookkeeping(region.as_mut(), &mut second);
        let heap = Heap::new(memory, Config::new(64)).expect("enough");
        assert_eq!(heap.size(), 4096);
        use_all_of(&heap);
    }

    #[test]
    fn a_static() {
        static HEAP: Heap<'_, DefaultLock, FirstFit> = Heap::empty();
        let array = Box::leak(Box::new(RegionArray::<4096>::new()));
        assert_eq!(HEAP.alloc(1), Err(AllocError::NotInitialised));
        HEAP.init(array.as_mut(), Config::new(64)).expect("the first time");
        use_all_of(&HEAP);
    }

    #[test]
    fn the_same_memory_again_once_the_first_heap_is_gone() {
        let mut array = RegionArray::<2048>::new();
        for _ in 0..3 {
            let heap = Heap::new(array.as_mut(), Config::new(32)).expect("enough");
            let fresh = heap.stats().expect("nobody is in the heap");
            assert_eq!((fresh.slab.live_objects, fresh.slab.allocs), (0, 0));
            assert_eq!((fresh.blocks.live_objects, fresh.blocks.allocs, fresh.blocks.free_blocks), (0, 0, 1));
            use_all_of(&heap);
        }
    }
}

/// Makes a heap of `size` bytes with the bookkeeping that is said to do, in pages that nobody has touched, and allocates from it.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn suffices<P: Policy>(size: usize, config: Config) {
    use slabfit_tests::tester::sys;

    let needed = slabfit::bookkeeping_size::<P>(size, config);
    let [heap_at, bookkeeping_at] = [size, needed].map(|size| sys::map_private(size).expect("there are addresses"));
    // SAFETY: both pieces are mapped until the heap is gone, and nobody else has them.
    let memory = unsafe { Memory::from_raw_parts(heap_at.as_ptr(), size, bookkeeping_at.as_ptr(), needed) };
    // SAFETY: the kernel hands out anonymous pages zeroed.
    let memory = unsafe { memory.assume_zeroed() };
    let heap: Heap<'_, DefaultLock, P> = Heap::from_memory(memory, config)
        .unwrap_or_else(|error| panic!("a heap of {size} bytes with a slab size of {}: {error}", config.slab_size));
    let blocks = heap.segment(Segment::Blocks);
    for bytes in [config.slab_size, blocks.len() - GRANULE] {
        let object = heap.alloc(bytes).expect("it fits").as_ptr();
        assert_eq!(heap.usable_size(object), Ok(bytes.next_multiple_of(GRANULE)));
        // SAFETY: nobody uses the object.
        unsafe { heap.free(object) }.expect("it is live");
    }
    drop(heap);
    for (start, size) in [(heap_at, size), (bookkeeping_at, needed)] {
        // SAFETY: mapped above, and the heap is gone.
        unsafe { sys::unmap(start, size) };
    }
}

#[test]
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn the_bookkeeping_that_is_said_to_do_does_up_to_the_largest_heap() {
    for size in [1 << 20, MAX_HEAP / 2, MAX_HEAP / 4 * 3, MAX_HEAP - GRANULE, MAX_HEAP] {
        for slab_size in [16, 64, 1008] {
            suffices::<NextFit>(size, Config::new(slab_size));
            suffices::<FirstFit>(size, Config::new(slab_size));
            suffices::<General>(size, Config::new(slab_size).slab_bytes(size / 2));
        }
    }
}
