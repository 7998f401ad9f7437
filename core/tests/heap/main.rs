//! What a heap says of itself and of addresses, exactly, for one heap after the other. (The suites of the whole project ask the
//! same of thousands, beside a model; here it takes no time, and one case says what is wrong.)
#![allow(missing_docs)]

mod memory;
mod placing;

use std::alloc::Layout;
use std::mem::MaybeUninit;

use slabfit::{
    AllocError, Config, DefaultLock, FreeHeader, GRANULE, Heap, Memory, Policy, Reason, RegionArray, Segment,
    SegmentStats, State,
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
        assert_eq!(free(&heap, address), Err(reason), "{address:?} of {slab:?}");
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
