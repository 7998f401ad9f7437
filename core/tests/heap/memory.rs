//! What a heap makes of the memory that it is given.

use slabfit::{
    AllocError, Config, GRANULE, Heap, InitError, MIN_HEAP, MIN_REGION, Memory, NextFit, Segment, bookkeeping_size,
};

use super::{Parts, SLOT, alloc, free};

#[test]
fn a_heap_is_all_whole_granules_that_it_is_given() {
    for config in [1, SLOT, 4096].map(Config::new) {
        for given in MIN_HEAP..400 {
            let needed = bookkeeping_size::<NextFit>(given / GRANULE * GRANULE, config);
            let mut parts = Parts::new();
            let memory = Memory::with_bookkeeping(
                &mut parts.region.as_mut()[..given],
                &mut parts.bookkeeping.as_mut()[..needed],
            );
            let heap = Heap::new(memory, config).unwrap();
            assert_eq!(heap.size(), given / GRANULE * GRANULE);
            assert_eq!(heap.segment(Segment::Slab).len(), given / 4 / GRANULE * GRANULE);
            let memory = Memory::with_bookkeeping(
                &mut parts.region.as_mut()[..given],
                &mut parts.bookkeeping.as_mut()[..needed - 1],
            );
            let refused = Heap::new(memory, config).err();
            assert_eq!(refused, Some(InitError::BookkeepingTooSmall { size: needed - 1, needed }));
        }
    }
}

#[test]
fn bookkeeping_has_a_bit_for_every_slot_and_a_few_words_at_most() {
    let size = |slab_size| bookkeeping_size::<NextFit>(16_384, Config::new(slab_size));
    for (slab_size, slots) in [(4096, 1), (64, 64), (32, 128), (16, 256)] {
        let slab = size(slab_size) - size(16_384);
        assert!((slots / 8..=slots / 8 + 4 * size_of::<u64>()).contains(&slab), "{slab} bytes for {slots} slots");
    }
}

#[test]
fn the_slab_is_a_quarter_of_the_heap_or_as_large_as_it_is_told_to_be() {
    assert_eq!(
        Config::new(SLOT),
        Config { slab_size: SLOT, slab_bytes: None, caches: 0, reserve: 0, hooks: None, key: [0; 2], pages: None }
    );
    assert_eq!(
        Config::new(SLOT).slab_bytes(100),
        Config { slab_size: SLOT, slab_bytes: Some(100), caches: 0, reserve: 0, hooks: None, key: [0; 2], pages: None }
    );
    for (config, bytes, slots) in [
        (Config::new(SLOT), 256, 5),
        (Config::without_slab(), 0, 0),
        (Config::new(SLOT).slab_bytes(0), 0, 0),
        (Config::new(SLOT).slab_bytes(GRANULE - 1), 0, 0),
        (Config::new(SLOT).slab_bytes(SLOT - 1), 32, 0),
        (Config::new(SLOT).slab_bytes(SLOT), 48, 1),
        (Config::new(SLOT).slab_bytes(333), 320, 6),
        (Config::new(SLOT).slab_bytes(976), 976, 20),
        (Config::new(SLOT).slab_bytes(1024), 976, 20),
        (Config::new(1).slab_bytes(usize::MAX), 976, 61),
    ] {
        let mut parts = Parts::new();
        let heap: Heap = parts.heap_of(config);
        let (slab, blocks) = (heap.segment(Segment::Slab), heap.segment(Segment::Blocks));
        assert_eq!((slab.len(), blocks.len()), (bytes, 1024 - bytes), "{config:?}");
        assert_eq!(slab.end, blocks.start);
        let served: Vec<_> = (0..slots).map(|_| alloc(&heap, config.slab_size)).collect();
        assert!(served.iter().all(|slot| slab.contains(&slot.addr())), "{config:?}");
        let block = alloc(&heap, blocks.len() - GRANULE);
        assert_eq!(block.addr(), blocks.start + GRANULE, "{config:?}");
        assert_eq!(heap.alloc(config.slab_size.max(1)), Err(AllocError::Full), "{config:?}");
        for object in served.into_iter().chain([block]) {
            free(&heap, object).unwrap();
        }
        assert_eq!(heap.check(), Ok(()));
    }
}

#[test]
fn a_region_starts_at_its_first_granule_and_ends_with_its_last() {
    for start in 0..2 * GRANULE {
        for end in 1024 - GRANULE..1024 {
            let mut parts = Parts::new();
            let given = &mut parts.region.as_mut()[start..end];
            let first = given.as_ptr().addr();
            let memory = Memory::with_bookkeeping(given, parts.bookkeeping.as_mut());
            let heap = Heap::new(memory, Config::new(SLOT)).unwrap();
            let base = heap.base().unwrap().addr().get();
            assert_eq!(base, first.next_multiple_of(GRANULE), "{start}..{end}");
            assert_eq!(heap.size(), (first + end - start - base) / GRANULE * GRANULE, "{start}..{end}");
        }
    }
}

#[test]
fn a_region_that_holds_the_bookkeeping_too_may_start_anywhere() {
    for start in 0..64 {
        let mut parts = Parts::new();
        let given = &mut parts.region.as_mut()[start..];
        let bytes = given.as_ptr_range();
        let heap = Heap::new(given, Config::new(SLOT)).unwrap();
        let (slab, blocks) = (heap.segment(Segment::Slab), heap.segment(Segment::Blocks));
        assert!(bytes.start.addr() < slab.start && blocks.end <= bytes.end.addr(), "{start}");
        assert_eq!(slab.start % GRANULE, 0, "{start}");
        alloc(&heap, SLOT);
        alloc(&heap, blocks.len() - GRANULE);
        assert_eq!(heap.check(), Ok(()));
    }
}

#[test]
fn bytes_that_are_lent_for_ever_make_a_heap() {
    let bytes: &'static mut [u8] = Box::leak(Box::new([0xA5; 4096]));
    let addresses = bytes.as_ptr_range();
    let heap = Heap::new(bytes, Config::new(SLOT)).unwrap();
    assert!(addresses.contains(&alloc(&heap, 100).cast_const()));
}

#[test]
fn what_is_too_small_is_told_what_would_do() {
    let mut parts = Parts::new();
    fn refused(memory: Memory<'_>) -> Option<InitError> {
        Heap::new(memory, Config::new(SLOT)).err()
    }
    let given = MIN_HEAP - 1;
    let alone = Memory::from(&mut parts.region.as_mut()[..given]);
    assert_eq!(refused(alone), Some(InitError::TooSmall { size: given, minimum: MIN_REGION }));
    let beside = Memory::with_bookkeeping(&mut parts.region.as_mut()[..given], parts.bookkeeping.as_mut());
    assert_eq!(refused(beside), Some(InitError::TooSmall { size: given, minimum: MIN_HEAP }));
    let memory = Memory::from(&mut parts.region.as_mut()[..MIN_REGION]);
    assert_eq!(Heap::new(memory, Config::new(SLOT)).map(|heap| heap.size()), Ok(MIN_HEAP));
}
