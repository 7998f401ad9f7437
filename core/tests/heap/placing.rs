//! Where requests are placed, and how blocks grow.

use std::alloc::Layout;

use slabfit::{
    AllocError, Config, DefaultLock, FirstFit, FreeHeader, GRANULE, Heap, Memory, NextFit, Policy, RegionArray, Segment,
};

use super::{Parts, SLOT, alloc, free};

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
