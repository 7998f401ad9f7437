use slabfit::{
    Config, DefaultLock, FirstFit, GRANULE, Heap, InitError, MAX_HEAP, MIN_HEAP, MIN_REGION, Memory, Segment,
};
use slabfit_tests::arena::Arena;

use super::{bookkeeping_size, error_in, heap_in, heap_of, use_all_of};

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
