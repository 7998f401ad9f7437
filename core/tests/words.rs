//! What heaps, errors and violations are called, to the letter: programs print it, and people look for it.
#![allow(missing_docs)]

use std::error::Error;

use slabfit::{
    AllocError, Config, DefaultLock, ExtendError, FirstFit, Heap, InitError, InvalidFree, ReallocError, Reason,
    Reentered, RegionArray, Segment, StaticArray, StaticHeap, Violation,
};

const REENTERED: &str = "called while this thread holds the lock";

#[test]
fn of_a_heap_that_is_not_made() {
    for (error, words) in [
        (InitError::TooSmall { size: 100, minimum: 304 }, "region of 100 bytes is too small, 304 are needed"),
        (InitError::TooLarge { size: 1 << 31 }, "region of 2147483648 bytes is larger than 64 GiB"),
        (InitError::SlabSizeZero, "the slab size is 0 bytes"),
        (
            InitError::BookkeepingTooSmall { size: 10, needed: 168 },
            "10 bytes of bookkeeping are too few, 168 are needed",
        ),
        (InitError::AlreadyInitialised, "the heap is initialised already"),
        (InitError::Reentered, REENTERED),
        (InitError::from(Reentered), REENTERED),
    ] {
        assert_eq!(error.to_string(), words);
    }
}

#[test]
fn of_a_request_that_is_refused() {
    for (error, words) in [
        (AllocError::NotInitialised, "the heap is not initialised"),
        (AllocError::Full, "the heap is full"),
        (AllocError::Fragmented, "the heap is too fragmented"),
        (AllocError::Reentered, REENTERED),
    ] {
        assert_eq!(error.to_string(), words);
        assert_eq!(ReallocError::from(error).to_string(), words);
    }
    assert_eq!(Reentered.to_string(), REENTERED);
}

#[test]
fn of_memory_that_cannot_be_added() {
    for (error, words) in [
        (ExtendError::NotInitialised, "the heap is not initialised"),
        (ExtendError::TooSmall { size: 16, minimum: 32 }, "16 bytes are too few, 32 are needed"),
        (
            ExtendError::BeyondReserve { size: 64, reserve: 48 },
            "64 bytes are more than the 48 that are left in reserve",
        ),
        (ExtendError::Reentered, REENTERED),
    ] {
        assert_eq!(error.to_string(), words);
    }
}

#[test]
fn of_a_free_that_is_refused() {
    for (reason, words) in [
        (Reason::OutsideHeap, "outside the heap"),
        (Reason::Misaligned, "misaligned"),
        (Reason::NotAStart, "not the start of an object"),
        (Reason::NeverAllocated, "never allocated"),
        (Reason::DoubleFree, "double free"),
        (Reason::HeaderOverwritten, "header overwritten"),
        (Reason::SizeMismatch, "not of this size or alignment"),
        (Reason::Reentered, REENTERED),
    ] {
        let wrong = InvalidFree { address: 0x7f00, reason };
        assert_eq!(reason.to_string(), words);
        assert_eq!(wrong.to_string(), format!("0x7f00: {words}"));
        assert_eq!(ReallocError::from(wrong).to_string(), format!("0x7f00: {words}"));
    }
}

#[test]
fn a_realloc_that_is_refused_says_what_is_behind_it() {
    let wrong = InvalidFree { address: 0x7f00, reason: Reason::DoubleFree };
    let of_free = ReallocError::from(wrong);
    let of_alloc = ReallocError::from(AllocError::Full);
    assert_eq!(of_free.source().and_then(|source| source.downcast_ref()), Some(&wrong));
    assert_eq!(of_alloc.source().and_then(|source| source.downcast_ref()), Some(&AllocError::Full));
}

#[test]
fn of_a_heap_that_is_not_whole() {
    let address = 0x7f00;
    for (violation, words) in [
        (Violation::Overwritten { address }, "0x7f00: header overwritten"),
        (Violation::Boundary { address }, "0x7f00: block boundaries do not alternate"),
        (Violation::Summary, "a summary bit is wrong"),
        (Violation::Maximum, "a maximum is wrong"),
        (Violation::Rover { address }, "0x7f00: the rover's free block is not the map's"),
        (Violation::Count, "a count is wrong"),
        (Violation::HighWater, "a block lies above the high-water mark"),
        (Violation::Returned, "a slot was returned that was never used"),
        (Violation::Reentered, REENTERED),
    ] {
        assert_eq!(violation.to_string(), words);
    }
}

#[test]
fn of_heaps_themselves() {
    let mut array = RegionArray::<4096>::default();
    let heap = Heap::new(&mut array, Config::new(48)).unwrap();
    let (base, size) = (heap.base(), heap.size());
    assert_eq!(format!("{heap:?}"), format!("Heap {{ base: {base:?}, size: {size}, slab_size: 48, .. }}"));
    static ARRAY: StaticArray<4096> = StaticArray::new();
    let of_a_static: StaticHeap = StaticHeap::new(&ARRAY, Config::new(48));
    assert!(
        format!("{of_a_static:?}").starts_with("StaticHeap { heap: Heap { base: None, size: 0, slab_size: 0, .. }")
    );
    assert_eq!(format!("{:?}", StaticArray::<64>::default()), "StaticArray { size: 64, .. }");
}

#[test]
fn of_a_heap_block_by_block() {
    let mut array = RegionArray::<4096>::default();
    let heap = Heap::new(&mut array, Config::new(48)).unwrap();
    let slots = [48; 4].map(|size| heap.alloc(size).unwrap());
    let objects = [32, 32, 20, 100].map(|size| heap.alloc(size).unwrap());
    for object in [slots[1], slots[2], objects[0]] {
        // SAFETY: nobody uses the object.
        unsafe { heap.free(object.as_ptr()) }.unwrap();
    }
    let (slab, blocks) = (heap.segment(Segment::Slab), heap.segment(Segment::Blocks));
    let (never, rest) = (slab.len() / 48 - 4, blocks.len() - 3 * 48 - 128);
    let (first, second) = (slab.start, blocks.start);
    let mut text = String::new();
    heap.dump(&mut text).unwrap();
    let sought = [
        format!("slab segment: {} bytes at {first:#x}, slots of 48 bytes", slab.len()),
        format!("  {first:#x}         48 used"),
        format!("  {:#x}         48 free x 2", first + 48),
        format!("  {:#x}         48 used", first + 144),
        format!("  {:#x}         48 free x {never}", first + 192),
        format!("block segment: {} bytes at {second:#x}, rover at {:#x}", blocks.len(), second + 272),
        format!("  {second:#x}         48 free"),
        format!("  {:#x}         48 used", second + 48),
        format!("  {:#x}         48 used", second + 96),
        format!("  {:#x}        128 used", second + 144),
        format!("  {:#x} {rest:>10} free", second + 272),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), sought);
    assert!(text.ends_with('\n'));
}

#[test]
fn of_a_heap_without_a_rover_and_without_a_slab() {
    let mut array = RegionArray::<4096>::default();
    let heap: Heap<'_, DefaultLock, FirstFit> = Heap::from_memory(&mut array, Config::without_slab()).unwrap();
    let (base, size) = (heap.segment(Segment::Blocks).start, heap.size());
    let mut text = String::new();
    heap.dump(&mut text).unwrap();
    let sought = [format!("block segment: {size} bytes at {base:#x}"), format!("  {base:#x} {size:>10} free")];
    assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), sought);
}
