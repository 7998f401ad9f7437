//! What a heap says of itself and of addresses, exactly, for one heap after the other. (The suites of the whole project ask the
//! same of thousands, beside a model; here it takes no time, and one case says what is wrong.)
#![allow(missing_docs)]

use std::alloc::Layout;
use std::mem::MaybeUninit;

use slabfit::{
    AllocError, Config, DefaultLock, FirstFit, FreeHeader, GRANULE, Heap, InitError, MIN_HEAP, MIN_REGION, Memory,
    NextFit, Policy, Reason, RegionArray, Segment, SegmentStats, State, bookkeeping_size,
};

const SLOT: usize = 48;

/// 1024 bytes with 5 slots of 48 bytes, a tail of 16, and 768 bytes of blocks; where they lie is the same to every alignment here.
#[repr(C, align(1024))]
struct Parts {
    region: RegionArray<1024>,
    bookkeeping: RegionArray<1024>,
}

impl Parts {
    fn new() -> Box<Self> {
        Box::new(Self { region: RegionArray::new(), bookkeeping: RegionArray::new() })
    }

    fn heap(&mut self) -> Heap<'_> {
        self.heap_of(Config::new(SLOT))
    }

    fn heap_of<P: Policy>(&mut self, config: Config) -> Heap<'_, DefaultLock, P> {
        let memory = Memory::with_bookkeeping(self.region.as_mut(), self.bookkeeping.as_mut());
        Heap::from_memory(memory, config).unwrap()
    }
}

fn alloc<P: Policy>(heap: &Heap<'_, DefaultLock, P>, size: usize) -> *mut u8 {
    heap.alloc(size).unwrap().as_ptr()
}

fn free<P: Policy>(heap: &Heap<'_, DefaultLock, P>, object: *mut u8) -> Result<(), Reason> {
    // SAFETY: nobody uses the objects of these tests.
    unsafe { heap.free(object) }.map_err(|error| error.reason)
}

#[test]
fn the_slabs_figures_are_those_of_its_slots() {
    let mut parts = Parts::new();
    let heap = parts.heap();
    let slab = || heap.stats().unwrap().slab;
    let fresh = SegmentStats { size: 256, free_bytes: 240, largest_free: SLOT, free_blocks: 5, ..Default::default() };
    assert_eq!(slab(), fresh);
    let slots = [SLOT; 5].map(|size| alloc(&heap, size));
    let full = SegmentStats {
        size: 256,
        live_bytes: 240,
        peak_bytes: 240,
        live_objects: 5,
        peak_objects: 5,
        allocs: 5,
        ..Default::default()
    };
    assert_eq!(slab(), full);
    free(&heap, slots[3]).unwrap();
    let one_free = SegmentStats {
        live_bytes: 192,
        live_objects: 4,
        free_bytes: SLOT,
        largest_free: SLOT,
        free_blocks: 1,
        frees: 1,
        ..full
    };
    assert_eq!(slab(), one_free);
}

#[test]
fn an_address_that_is_no_objects_is_refused_by_name_and_counted_where_it_lies() {
    let mut parts = Parts::new();
    let heap = parts.heap();
    let (slab, blocks) = (heap.base().unwrap().as_ptr(), heap.segment(Segment::Blocks));
    let at = |address: usize| slab.wrapping_add(address - slab.addr());
    let [slot, returned] = [SLOT; 2].map(|size| alloc(&heap, size));
    let block = alloc(&heap, 100);
    free(&heap, returned).unwrap();
    for (address, reason) in [
        (slab.wrapping_sub(1), Reason::OutsideHeap),
        (slab.wrapping_sub(GRANULE), Reason::OutsideHeap),
        (slab.wrapping_add(1024), Reason::OutsideHeap),
        (slot.wrapping_add(1), Reason::Misaligned),
        (slot.wrapping_add(GRANULE), Reason::NotAStart),
        (returned, Reason::DoubleFree),
        (returned.wrapping_add(SLOT), Reason::NeverAllocated),
        (slab.wrapping_add(240), Reason::NotAStart),
        (at(blocks.start), Reason::NotAStart),
        (at(blocks.start + 1), Reason::Misaligned),
        (block.wrapping_add(GRANULE), Reason::NotAStart),
        (at(blocks.end - GRANULE), Reason::NeverAllocated),
    ] {
        let before = heap.stats().unwrap();
        assert_eq!(
            free(&heap, address),
            Err(reason),
            "{} bytes into the heap",
            address.addr().wrapping_sub(slab.addr())
        );
        assert_eq!(heap.usable_size(address).map_err(|error| error.reason), Err(reason));
        let after = heap.stats().unwrap();
        let counted = [
            after.refused_outside - before.refused_outside,
            after.slab.refused_frees - before.slab.refused_frees,
            after.blocks.refused_frees - before.blocks.refused_frees,
        ];
        let place = if reason == Reason::OutsideHeap { 0 } else { 1 + usize::from(blocks.contains(&address.addr())) };
        assert_eq!(counted, [0, 1, 2].map(|nth| u64::from(nth == place)), "{address:?}");
        assert_eq!((after.slab.corruptions, after.blocks.corruptions), (0, 0));
        assert_eq!(heap.owns(address), reason != Reason::OutsideHeap, "{address:?}");
    }
    // SAFETY: the header of a live block, which nobody else looks at.
    unsafe { block.wrapping_sub(GRANULE).write(1) };
    assert_eq!(free(&heap, block), Err(Reason::HeaderOverwritten));
    assert_eq!((heap.stats().unwrap().slab.corruptions, heap.stats().unwrap().blocks.corruptions), (0, 1));
}

#[test]
fn an_object_can_hold_what_was_asked_for_rounded_up() {
    let mut parts = Parts::new();
    let heap = parts.heap();
    for (size, usable) in [(SLOT, SLOT), (1, 16), (47, 48), (49, 64), (100, 112)] {
        assert_eq!(heap.usable_size(alloc(&heap, size)), Ok(usable), "{size} bytes");
    }
}

#[test]
fn the_rover_stands_behind_what_was_allocated_last() {
    assert_eq!(Heap::<DefaultLock>::empty().rover(), Ok(None));
    let mut parts = Parts::new();
    let heap = parts.heap();
    let start = heap.segment(Segment::Blocks).start;
    assert_eq!(heap.rover(), Ok(Some(start)));
    alloc(&heap, SLOT);
    assert_eq!(heap.rover(), Ok(Some(start)));
    alloc(&heap, 100);
    assert_eq!(heap.rover(), Ok(Some(start + 128)));
    let last = alloc(&heap, 768 - 128 - GRANULE);
    assert_eq!(heap.rover(), Ok(Some(start + 768)));
    free(&heap, last).unwrap();
    assert_eq!(heap.rover(), Ok(Some(start + 768)), "it does not move to a hole that ends where it stands");
}

#[test]
fn a_slot_serves_a_layout_of_its_size_that_asks_for_no_more_than_16() {
    let mut parts = Parts::new();
    let heap = parts.heap();
    let (slab, blocks) = (heap.segment(Segment::Slab), heap.segment(Segment::Blocks));
    for zeroed in [false, true] {
        for (size, alignment, segment) in [
            (SLOT, 1, &slab),
            (SLOT, 16, &slab),
            (SLOT, 32, &blocks),
            (SLOT - 1, 16, &blocks),
            (SLOT + 1, 8, &blocks),
            (100, 64, &blocks),
        ] {
            let layout = Layout::from_size_align(size, alignment).unwrap();
            let object = if zeroed { heap.alloc_layout_zeroed(layout) } else { heap.alloc_layout(layout) }.unwrap();
            assert!(segment.contains(&object.addr().get()), "{layout:?}");
            assert_eq!(object.addr().get() % alignment, 0, "{layout:?}");
            free(&heap, object.as_ptr()).unwrap();
        }
    }
}

#[test]
fn zeroed_memory_is_zeros_where_objects_have_been_and_where_none_has() {
    let mut array = Box::new(RegionArray::<1024>::new());
    array.as_mut().as_mut().fill(MaybeUninit::zeroed());
    // SAFETY: all of it is zero.
    let memory = unsafe { Memory::from(array.as_mut().as_mut()).assume_zeroed() };
    let heap = Heap::new(memory, Config::new(SLOT)).unwrap();
    for size in [SLOT, 64] {
        let layout = Layout::from_size_align(size, 8).unwrap();
        for _ in 0..3 {
            let objects = [(); 2].map(|()| heap.alloc_layout_zeroed(layout).unwrap().as_ptr());
            for object in objects {
                for at in 0..size {
                    // SAFETY: inside an object of that size.
                    assert_eq!(unsafe { object.wrapping_add(at).read() }, 0, "byte {at} of {size}");
                }
                // SAFETY: as above.
                unsafe { object.write_bytes(0xA5, size) };
            }
            for object in objects {
                free(&heap, object).unwrap();
            }
        }
    }
}

#[test]
fn a_walk_shows_every_slot_and_block_as_it_is() {
    let mut parts = Parts::new();
    let heap = parts.heap();
    let (slab, blocks) = (heap.segment(Segment::Slab).start, heap.segment(Segment::Blocks).start);
    let slots = [SLOT; 3].map(|size| alloc(&heap, size));
    let objects = [100, 16, 16].map(|size| alloc(&heap, size));
    free(&heap, slots[1]).unwrap();
    free(&heap, objects[1]).unwrap();
    let walked: Vec<_> = heap.blocks().map(|block| (block.address, block.size, block.state)).collect();
    let (used, unused) = (State::Used, State::Free);
    assert_eq!(
        walked,
        [
            (slab, SLOT, used),
            (slab + 48, SLOT, unused),
            (slab + 96, SLOT, used),
            (slab + 144, SLOT, unused),
            (slab + 192, SLOT, unused),
            (blocks, 128, used),
            (blocks + 128, 32, unused),
            (blocks + 160, 32, used),
            (blocks + 192, 576, unused),
        ]
    );
    assert!(heap.blocks().take(5).all(|block| block.segment == Segment::Slab));
    assert!(heap.blocks().skip(5).eq(heap.blocks_in(Segment::Blocks)));
    assert!(heap.blocks_in(Segment::Blocks).all(|block| block.segment == Segment::Blocks));
    assert_eq!(heap.overwritten().next(), None);
}

#[test]
fn a_returned_slot_links_to_the_next_free_one_and_the_last_to_none() {
    let mut parts = Parts::new();
    let heap = parts.heap();
    let slots = [SLOT; 5].map(|size| alloc(&heap, size));
    let link = |slot: *mut u8| {
        // SAFETY: a returned slot begins with such a header.
        unsafe { slot.cast::<FreeHeader>().read() }.next.cast::<u8>()
    };
    free(&heap, slots[1]).unwrap();
    assert!(link(slots[1]).is_null());
    free(&heap, slots[4]).unwrap();
    assert_eq!(link(slots[1]), slots[4]);
    assert!(link(slots[4]).is_null());
}

#[test]
fn a_request_that_no_block_serves_is_told_why_and_counted() {
    assert_eq!(Heap::<DefaultLock>::empty().alloc(1), Err(AllocError::NotInitialised));
    let mut parts = Parts::new();
    let heap = parts.heap();
    let failed = || {
        let blocks = heap.stats().unwrap().blocks;
        (blocks.failed_full, blocks.failed_fragmented)
    };
    assert_eq!((heap.alloc(753), failed()), (Err(AllocError::Full), (1, 0)));
    let objects = [176; 4].map(|size| alloc(&heap, size));
    free(&heap, objects[0]).unwrap();
    free(&heap, objects[2]).unwrap();
    assert_eq!((heap.alloc(177), failed()), (Err(AllocError::Fragmented), (1, 1)));
    assert_eq!((heap.alloc(368), failed()), (Err(AllocError::Fragmented), (1, 2)));
    assert_eq!((heap.alloc(369), failed()), (Err(AllocError::Full), (2, 2)));
    assert_eq!((heap.alloc(usize::MAX), failed()), (Err(AllocError::Full), (3, 2)));
}

/// Where a request of 48 bytes goes: the last one has left 64 bytes of the block `exact` of four, and the block `other` is a
/// larger hole. (They are in different chunks of 1024 bytes.)
fn with_an_exact_hole<P: Policy>(exact: usize, other: usize) -> usize {
    let (mut region, mut bookkeeping) = (RegionArray::<4096>::new(), RegionArray::<1024>::new());
    let memory = Memory::with_bookkeeping(region.as_mut(), bookkeeping.as_mut());
    let heap: Heap<'_, DefaultLock, P> = Heap::from_memory(memory, Config::new(1)).unwrap();
    let start = heap.segment(Segment::Blocks).start;
    let objects = [752; 4].map(|size| alloc(&heap, size));
    free(&heap, objects[exact]).unwrap();
    alloc(&heap, 688);
    free(&heap, objects[other]).unwrap();
    alloc(&heap, 48).addr() - start - GRANULE
}

#[test]
fn next_fit_fills_the_rovers_hole_and_first_fit_the_first() {
    assert_eq!(with_an_exact_hole::<NextFit>(2, 0), 2240);
    assert_eq!(with_an_exact_hole::<FirstFit>(2, 0), 0);
    assert_eq!(with_an_exact_hole::<NextFit>(0, 2), 704);
    assert_eq!(with_an_exact_hole::<FirstFit>(0, 2), 704);
}

#[test]
fn a_block_grows_into_all_of_the_hole_behind_it() {
    let mut parts = Parts::new();
    let heap = parts.heap();
    let [first, second, _] = [100, 40, 16].map(|size| alloc(&heap, size));
    free(&heap, second).unwrap();
    // SAFETY: nobody uses the object.
    assert_eq!(unsafe { heap.realloc(first, 177) }.map(|object| object.as_ptr() == first), Ok(false));
    let [first, second, _] = [100, 40, 16].map(|size| alloc(&heap, size));
    free(&heap, second).unwrap();
    // SAFETY: nobody uses the object.
    assert_eq!(unsafe { heap.realloc(first, 176) }.map(|object| object.as_ptr() == first), Ok(true));
    assert_eq!((heap.usable_size(first), heap.check()), (Ok(176), Ok(())));
}

#[test]
fn a_rest_of_32_bytes_is_a_block_and_one_of_16_is_none() {
    for (size, holes, usable) in [(720, 1, 720), (736, 0, 752), (752, 0, 752)] {
        let mut parts = Parts::new();
        let heap = parts.heap();
        let object = alloc(&heap, size);
        assert_eq!((heap.stats().unwrap().blocks.free_blocks, heap.usable_size(object)), (holes, Ok(usable)));
    }
}

#[test]
fn an_aligned_object_goes_into_the_first_hole_that_can_align_it() {
    let mut parts = Parts::new();
    let heap = parts.heap();
    let start = heap.segment(Segment::Blocks).start;
    let aligned = |size, alignment| {
        let layout = Layout::from_size_align(size, alignment).unwrap();
        heap.alloc_layout(layout).map(|object| object.addr().get() - start)
    };
    let objects = [64, 16, 176, 16, 416].map(|size| alloc(&heap, size));
    for hole in [0, 2] {
        free(&heap, objects[hole]).unwrap();
    }
    // Holes from 0 to 80 and from 112 to 304: what is left before an object is nothing or a hole of 32 bytes at least.
    assert_eq!(aligned(64, 64), Ok(128));
    assert_eq!(aligned(100, 128), Err(AllocError::Fragmented));
    // Behind the rover, which stands at 192, and not in the first hole of all; then there.
    assert_eq!(aligned(16, 64), Ok(256));
    assert_eq!(aligned(16, 128), Err(AllocError::Fragmented));
    assert_eq!(aligned(16, 64), Ok(64));
    assert_eq!(heap.check(), Ok(()));
}

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
fn under_first_fit_no_free_header_links_to_another() {
    let mut parts = Parts::new();
    let heap: Heap<'_, DefaultLock, FirstFit> = parts.heap_of(Config::new(SLOT));
    let objects = [SLOT, SLOT, SLOT, 100, 100, 100, 100].map(|size| alloc(&heap, size));
    for nth in [0, 2, 5, 3] {
        free(&heap, objects[nth]).unwrap();
    }
    let headers = [objects[0], objects[2], objects[3].wrapping_sub(GRANULE), objects[5].wrapping_sub(GRANULE)];
    for (header, length) in headers.into_iter().zip([48, 48, 112, 112]) {
        // SAFETY: a free slot that was used, or a free block, begins with such a header.
        let header = unsafe { header.cast::<FreeHeader>().read() };
        assert_eq!((header.length, header.next.is_null()), (length, true));
    }
    assert_eq!(heap.check(), Ok(()));
    // SAFETY: a free block's header, which nobody else looks at.
    unsafe { (*headers[2].cast::<FreeHeader>()).next = headers[3].cast() };
    assert_eq!(heap.overwritten().collect::<Vec<_>>(), [headers[2].addr()]);
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
