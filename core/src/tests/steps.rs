//! Every step leaves the heap whole, as the checker sees it, and what an object holds as it was: small heaps, in which blocks
//! and gaps lie across the ends of chunks in every way.

use core::alloc::Layout;
use core::ptr::NonNull;
use std::boxed::Box;
use std::vec::Vec;

use super::Random;
use crate::layout::{Config, Segment};
use crate::memory::RegionArray;
use crate::policy::{FirstFit, NextFit, Policy};
use crate::segments::Heap;
use crate::slab::Slab;
use crate::spin::SpinLock;
use crate::units::{GRANULE, Offset};

const SLOT: usize = 32;

/// An object, its bytes, and what they all are.
struct Object {
    first: NonNull<u8>,
    size: usize,
    byte: u8,
}

impl Object {
    /// Checks up to `size` bytes and fills the object anew.
    fn check_and_fill(&mut self, size: usize, byte: u8) {
        for at in 0..self.size.min(size) {
            // SAFETY: inside an object that is live and nobody else's.
            assert_eq!(unsafe { self.first.as_ptr().wrapping_add(at).read() }, self.byte);
        }
        (self.size, self.byte) = (size, byte);
        // SAFETY: as above.
        unsafe { self.first.write_bytes(byte, size) };
    }
}

/// Mostly small ones and some up to `largest`, beside slots; or all slots.
fn sizes(random: &mut Random, largest: usize) -> usize {
    match random.below(8) {
        _ if largest == SLOT => SLOT,
        0 => SLOT,
        1 => 1 + random.below(largest),
        _ => 1 + random.below(largest / 8),
    }
}

/// Steps on a heap of about `bytes` with objects of up to `largest`.
fn every_step_leaves_it_whole<P: Policy>(bytes: usize, largest: usize, steps: usize) {
    let mut array = Box::new(RegionArray::<20_000>::new());
    let memory = &mut array.as_mut().as_mut()[..bytes];
    let heap: Heap<'_, SpinLock, P> = Heap::from_memory(memory, Config::new(SLOT)).unwrap();
    let mut random = Random(bytes as u64 + largest as u64);
    let mut objects: Vec<Object> = Vec::new();
    for step in 0..steps {
        let (size, byte) = (sizes(&mut random, largest), step as u8);
        // Filling up and emptying in turn.
        let grow = random.below(8) < if step / 200 % 2 == 0 { 5 } else { 2 };
        if grow || objects.is_empty() {
            let layout = Layout::from_size_align(size, 16 << random.below(40).saturating_sub(36)).unwrap();
            if let Ok(first) = heap.alloc_layout(layout) {
                let mut object = Object { first, size: 0, byte };
                object.check_and_fill(size, byte);
                objects.push(object);
            }
        } else if random.below(4) == 0 {
            let index = random.below(objects.len());
            let object = &mut objects[index];
            // SAFETY: the object goes by its new address from now on.
            if let Ok(first) = unsafe { heap.realloc(object.first.as_ptr(), size) } {
                object.first = first;
                object.check_and_fill(size, byte);
            }
        } else {
            let index = random.below(objects.len());
            let mut object = objects.swap_remove(index);
            object.check_and_fill(object.size, byte);
            // SAFETY: nobody uses the object.
            unsafe { heap.free(object.first.as_ptr()) }.unwrap();
        }
        assert_eq!(heap.check(), Ok(()), "step {step}, {bytes} bytes, objects up to {largest}");
    }
}

#[test]
fn every_step_leaves_small_objects_and_their_heap_whole() {
    every_step_leaves_it_whole::<NextFit>(9_000, 400, 3000);
    every_step_leaves_it_whole::<FirstFit>(9_000, 400, 3000);
}

#[test]
fn every_step_leaves_large_objects_and_their_heap_whole() {
    every_step_leaves_it_whole::<NextFit>(20_000, 4_000, 2000);
    every_step_leaves_it_whole::<FirstFit>(20_000, 4_000, 2000);
}

#[test]
fn every_step_leaves_slots_and_their_slab_whole() {
    every_step_leaves_it_whole::<NextFit>(20_000, SLOT, 3000);
    every_step_leaves_it_whole::<FirstFit>(20_000, SLOT, 3000);
}

/// A slab whose segment has `tail` bytes that no slot has: what `simple` answers and leaves is what the plain ways do, which
/// serve whatever is asked of them.
fn the_plain_ways_serve_as_the_simple_ones<P: Policy>(tail: usize) {
    let mut arrays = [(); 2].map(|()| Box::new(RegionArray::<20_000>::new()));
    let heaps = arrays.each_mut().map(|array| -> Heap<'_, SpinLock, P> {
        let config = Config::new(SLOT).slab_bytes(200 * SLOT + tail);
        Heap::from_memory(array.as_mut(), config).unwrap()
    });
    let [mut simple, mut plain] = heaps.each_ref().map(|heap| heap.lock_slab().unwrap());
    let (mut random, mut live) = (Random(9), Vec::new());
    for step in 0..5000 {
        // Up to all slots and down to none, in turn.
        let grow = random.below(8) < if step / 500 % 2 == 0 { 7 } else { 1 };
        if grow || live.is_empty() {
            let near = simple.alloc_near();
            let slots = [near.or_else(|| simple.alloc()), plain.alloc()];
            let bases = [&simple, &plain].map(|slab| slab.region.address(Offset::ZERO));
            let offsets = [0, 1].map(|nth: usize| slots[nth].map(|slot| slot.addr().get() - bases[nth]));
            assert_eq!(offsets[0], offsets[1], "step {step}");
            assert_eq!(offsets[0].is_none(), live.len() == 200, "step {step}");
            live.extend(offsets[0].map(Offset::of_byte));
        } else {
            let at = live.swap_remove(random.below(live.len()));
            simple.free_near(at).map_or_else(|| simple.free(at), Ok).unwrap();
            plain.free(at).unwrap();
        }
        let state = |slab: &Slab<'_, P>| (slab.lowest, slab.used, slab.idle, slab.objects());
        assert_eq!(state(&simple), state(&plain), "step {step}");
        assert_eq!(plain.objects() as usize, live.len(), "step {step}");
        if step % 50 == 0 {
            assert_eq!([&simple, &plain].map(|slab| slab.check()), [Ok(()); 2], "step {step}");
        }
    }
}

#[test]
fn the_plain_ways_to_serve_slots_do_what_the_simple_ones_do() {
    for tail in [0, GRANULE] {
        the_plain_ways_serve_as_the_simple_ones::<NextFit>(tail);
        the_plain_ways_serve_as_the_simple_ones::<FirstFit>(tail);
    }
}

#[test]
fn a_walk_over_one_segment_ends_with_it() {
    let mut array = Box::new(RegionArray::<20_000>::new());
    let heap: Heap<'_, SpinLock> = Heap::from_memory(array.as_mut(), Config::new(SLOT)).unwrap();
    let objects = [SLOT, 100, SLOT, 200].map(|size| heap.alloc(size).unwrap());
    let [slots, blocks] = [Segment::Slab, Segment::Blocks].map(|segment| heap.blocks_in(segment).collect::<Vec<_>>());
    assert_eq!((slots.len(), blocks.len()), (heap.segment(Segment::Slab).len() / SLOT, 3));
    assert!(slots.iter().all(|slot| slot.segment == Segment::Slab && slot.size == SLOT));
    assert_eq!(blocks[1].address + GRANULE, objects[3].addr().get());
    assert!(heap.blocks().eq(slots.into_iter().chain(blocks)));
}
