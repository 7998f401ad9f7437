//! What a heap can be made of, and what not: every error of set-up, the smallest region, every length and offset.

mod a_region;
mod bookkeeping;
mod a_slab_size;
mod a_slab;
mod a_heap_without_memory;
mod memory_of_every_kind_makes_a_heap;

use slabfit::{
    Config, DefaultLock, FirstFit, GRANULE, General, Heap, InitError, MAX_HEAP, Memory, NextFit, Policy, Segment,
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
