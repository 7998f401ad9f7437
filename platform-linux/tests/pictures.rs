//! Pictures of heaps that are always the same ones, to the letter: a picture that is to look different is written anew by
//! `SLABFIT_DRAW=1 cargo test -p slabfit-linux --test pictures`, and its difference is there to be looked at.
//!
//! (That they show what is in a heap is what the suites of the whole project ask; these say it of every line, and at once.)
// Where pages are of 4096 bytes: elsewhere the heaps are larger.
#![cfg(any(target_arch = "x86_64", target_arch = "x86"))]
#![allow(missing_docs)]

use std::path::Path;
use std::ptr::NonNull;
use std::{env, fs};

use slabfit::{Config, FirstFit, General, NextFit, Policy};
use slabfit_linux::{MappedHeap, Placed, picture};

/// A small generator (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// A heap in which objects of up to `largest` bytes, and some slots, came and went.
fn used_heap<P: Policy>(size: usize, config: Config, objects: usize, largest: usize) -> MappedHeap<P> {
    let heap = MappedHeap::with_policy(size, config).expect("there is memory");
    let mut random = Random(objects as u64);
    let mut live = Vec::new();
    for _ in 0..objects {
        let bytes = if random.below(3) == 0 { config.slab_size } else { 1 + random.below(largest) };
        live.extend(heap.alloc(bytes));
        if random.below(3) == 0 && !live.is_empty() {
            let object = live.swap_remove(random.below(live.len()));
            // SAFETY: nobody uses the object.
            unsafe { heap.free(object.as_ptr()) }.expect("it is live");
        }
    }
    heap
}

#[track_caller]
fn looks_as_ever<P: Placed>(heap: &MappedHeap<P>, name: &str) {
    let mut svg = String::new();
    picture::draw(heap, &"A title & more", &format_args!("<{name}>"), &mut svg).expect("nobody is in the heap");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures").join(name);
    if env::var_os("SLABFIT_DRAW").is_some() {
        fs::write(&file, &svg).expect("the sources are ours");
    }
    let drawn = fs::read_to_string(&file).expect("it was drawn before");
    let different = drawn.lines().zip(svg.lines()).find(|(before, now)| before != now);
    assert_eq!(different, None, "the first line of {name} that has changed");
    assert_eq!(drawn.len(), svg.len(), "{name} has other lines at its end");
}

#[test]
fn of_a_heap_in_which_nothing_is() {
    looks_as_ever(&MappedHeap::new(4096, Config::new(64)).expect("there is memory"), "empty.svg");
}

#[test]
fn of_a_heap_whose_granules_are_seen() {
    looks_as_ever(&used_heap::<NextFit>(8192, Config::new(48), 60, 160), "granules.svg");
}

#[test]
fn of_a_heap_whose_blocks_are_seen() {
    looks_as_ever(&used_heap::<FirstFit>(200_000, Config::new(64), 150, 2500), "blocks.svg");
}

#[test]
fn of_a_heap_without_a_slab() {
    looks_as_ever(&used_heap::<NextFit>(65_536, Config::without_slab(), 40, 1500), "no_slab.svg");
}

#[test]
fn of_a_heap_whose_runs_are_seen_slot_by_slot() {
    looks_as_ever(&used_heap::<General>(65_536, Config::without_slab(), 200, 160), "runs.svg");
}

#[test]
fn of_a_heap_in_which_runs_are_cells() {
    looks_as_ever(&used_heap::<General>(4 << 20, Config::new(700), 4000, 900), "many_runs.svg");
}

/// A heap without slots or gaps, and its first objects, of these sizes.
fn full_heap<const N: usize>(sizes: [usize; N]) -> (MappedHeap, [NonNull<u8>; N]) {
    let heap = MappedHeap::new(65_536, Config::new(1 << 20)).expect("there is memory");
    let objects = sizes.map(|size| heap.alloc(size).expect("there is room"));
    while heap.alloc(1000).is_ok() {}
    while heap.alloc(1).is_ok() {}
    (heap, objects)
}

#[test]
fn of_a_heap_that_is_full_to_its_end() {
    looks_as_ever(&full_heap([]).0, "full.svg");
}

/// A row is 2048 bytes.
#[test]
fn of_a_heap_whose_rover_stands_where_a_row_starts() {
    let heap = MappedHeap::new(65_536, Config::new(1 << 20)).expect("there is memory");
    heap.alloc(2048 - 16).expect("there is room");
    looks_as_ever(&heap, "rover.svg");
}

#[test]
fn of_a_heap_whose_gap_is_at_a_rows_end_and_the_next_ones_start() {
    let (heap, [_, object]) = full_heap([1900, 240]);
    // SAFETY: nobody uses the object.
    unsafe { heap.free(object.as_ptr()) }.expect("it is live");
    looks_as_ever(&heap, "gap.svg");
}

#[test]
fn of_a_heap_whose_largest_gaps_are_equal() {
    let (heap, objects) = full_heap([3000, 16, 3000, 16, 2500, 16, 500, 16]);
    for object in objects.into_iter().step_by(2) {
        // SAFETY: nobody uses the object.
        unsafe { heap.free(object.as_ptr()) }.expect("it is live");
    }
    looks_as_ever(&heap, "equal.svg");
}

#[test]
fn of_a_heap_too_large_for_blocks_to_be_seen() {
    looks_as_ever(&used_heap::<NextFit>(1 << 30, Config::new(4096), 3000, 600_000), "large.svg");
}
