//! The slab and the size classes: what a few operations do to their slots.

use slabfit::{Config, General, Heap, Kind, NoLock, RegionArray, Segment, State};

use super::{OneThreadHeap, free, on_a_heap};

/// A slab of 16 slots: what a few operations do to its field and its tree.
pub(crate) fn the_slab() -> String {
    let mut text = format!("{:<15}{:<19}{:<9}{}\n", "operation", "slots", "lowest", "tree");
    on_a_heap(4096, |heap: &OneThreadHeap<'_>| {
        let slots: Vec<_> = (0..6).map(|_| heap.alloc(64).expect("a slot is free")).collect();
        text += &slab_line(heap, "6 x alloc(64)");
        for slot in [3, 1, 4] {
            free(heap, slots[slot]);
            text += &slab_line(heap, &format!("free(slot {slot})"));
        }
        for _ in 0..2 {
            let slot = (heap.alloc(64).expect("a slot is free").addr().get() - heap.segment(Segment::Slab).start) / 64;
            text += &slab_line(heap, &format!("alloc: slot {slot}"));
        }
    });
    text
}

fn slab_line(heap: &OneThreadHeap<'_>, operation: &str) -> String {
    let used = heap.stats().expect("nobody is in the heap").slab.peak_objects;
    let states: Vec<_> = heap.blocks_in(Segment::Slab).map(|slot| slot.state).collect();
    let letter = |(slot, state): (usize, &State)| match state {
        State::Used => 'x',
        State::Free if slot < used => 'o',
        State::Free => '.',
    };
    let slots: String = states.iter().enumerate().map(letter).collect();
    let lowest = states.iter().position(|state| *state == State::Free).expect("a slot is free");
    let tree: Vec<_> = (lowest + 1..used).filter(|&slot| states[slot] == State::Free).collect();
    let tree: Vec<_> = tree.iter().map(usize::to_string).collect();
    format!("{operation:<15}{slots:<19}{lowest:<9}{}", tree.join(", ")).trim_end().to_owned() + "\n"
}

/// A run of the class of 64 bytes: 16 slots, of which the one that was freed last goes first.
pub(crate) fn a_run() -> String {
    let mut region = RegionArray::<{ 48 << 10 }>::new();
    let heap: Heap<'_, NoLock, General> =
        Heap::from_memory(&mut region, Config::without_slab()).expect("a region of this size makes a heap");
    let mut text = format!("{:<15}{:<19}{}\n", "operation", "slots", "in the magazine, the top first");
    let mut magazine: Vec<usize> = Vec::new();
    let objects: Vec<_> = (0..3).map(|_| heap.alloc(60).expect("there is memory")).collect();
    magazine.extend(3..16);
    text += &run_line(&heap, "3 x alloc(60)", &magazine);
    for slot in [0, 2] {
        free(&heap, objects[slot]);
        magazine.insert(0, slot);
        text += &run_line(&heap, &format!("free(slot {slot})"), &magazine);
    }
    for _ in 0..3 {
        let slot = (heap.alloc(60).expect("there is memory").addr().get() - first_slot(&heap)) / 64;
        assert_eq!(slot, magazine.remove(0), "the top of the magazine is served");
        text += &run_line(&heap, &format!("alloc: slot {slot}"), &magazine);
    }
    heap.check().expect("the heap is in order");
    text
}

fn first_slot(heap: &Heap<'_, NoLock, General>) -> usize {
    heap.blocks().find(|block| block.kind == Kind::Slot).expect("there is a run").address
}

fn run_line(heap: &Heap<'_, NoLock, General>, operation: &str, magazine: &[usize]) -> String {
    let slots = heap.blocks().filter(|block| block.kind == Kind::Slot);
    let slots: String = slots.map(|slot| if slot.state == State::Used { 'x' } else { '.' }).collect();
    let magazine: Vec<_> = magazine.iter().map(usize::to_string).collect();
    format!("{operation:<15}{slots:<19}{}", magazine.join(" ")).trim_end().to_owned() + "\n"
}

/// A run of one cache, two of whose slots another cache frees: they come back to the owner, and to it alone.
pub(crate) fn caches() -> String {
    let mut region = RegionArray::<{ 64 << 10 }>::new();
    let config = Config::without_slab().caches(2);
    let heap: Heap<'_, NoLock, General> =
        Heap::from_memory(&mut region, config).expect("a region of this size makes a heap");
    let (owner, other) = (heap.cache().expect("there are two"), heap.cache().expect("there are two"));
    let slot_of = |address: usize, first: usize| address.wrapping_sub(first) / 64;
    let mut text = format!("{:<34}{:<19}{}\n", "operation", "the owner's run", "returned");
    let objects: Vec<_> = (0..3).map(|_| owner.alloc(60).expect("there is memory")).collect();
    let first = objects[0].addr().get();
    text += &cache_line(&heap, "3 x owner.alloc(60)", first, "");
    for slot in 0..2 {
        // SAFETY: nobody uses the object.
        unsafe { other.free(objects[slot].as_ptr()) }.expect("it is live");
        text += &cache_line(&heap, &format!("other.free(slot {slot})"), first, ["0", "0 1"][slot]);
    }
    // SAFETY: as above, and it is live no more.
    let again = unsafe { owner.free(objects[0].as_ptr()) }.map_err(|wrong| wrong.reason);
    text += &cache_line(&heap, &format!("owner.free(slot 0): {}", again.expect_err("twice")), first, "0 1");
    let rest = (0..13).map(|_| slot_of(owner.alloc(60).expect("there is memory").addr().get(), first));
    assert!(rest.eq(3..16), "what is at hand is served first");
    text += &cache_line(&heap, "13 x owner.alloc(60)", first, "0 1");
    let next = slot_of(owner.alloc(60).expect("there is memory").addr().get(), first);
    text += &cache_line(&heap, &format!("owner.alloc(60): slot {next}"), first, "");
    heap.check().expect("the heap is in order");
    text
}

fn cache_line(heap: &Heap<'_, NoLock, General>, operation: &str, first: usize, returned: &str) -> String {
    let slots = heap.blocks().filter(|slot| slot.kind == Kind::Slot && (first..first + 1024).contains(&slot.address));
    let slots: String = slots.map(|slot| if slot.state == State::Used { 'x' } else { '.' }).collect();
    format!("{operation:<34}{slots:<19}{returned}").trim_end().to_owned() + "\n"
}
