//! Runs the examples of INTERNALS.md and writes what happened into it, between the markers that are there for it.
//!
//! `cargo run -p slabfit --example internals -- core/INTERNALS.md`; without a file name it prints the parts.
//!
//! A test compares the file with what this generates, so the page cannot say what the heap does not do.

mod hardened;
mod map;
mod search;
mod table;
mod slots;

use std::ptr::NonNull;
use std::{env, fs, io};

use map::{the_map, the_windows};
use search::{first_fit_search, next_fit_search};
use slabfit::{Block, Config, GRANULE, Heap, Memory, NextFit, NoLock, Policy, RegionArray, Segment, State};
use table::{the_65th, the_rover};

type OneThreadHeap<'a, P = NextFit> = Heap<'a, NoLock, P>;

/// Granules of a chunk on a 64-bit machine.
const CHUNK: usize = 64;

/// Numbers in a node of the max tree, half of what they are there: two lines of numbers can be read.
const FAN: usize = 16;

/// A part of the document: the name in its markers, and what makes it.
type Part = (&'static str, fn() -> String);

const PARTS: [Part; 10] = [
    ("the-65th", the_65th),
    ("the-rover", the_rover),
    ("the-map", the_map),
    ("the-windows", the_windows),
    ("next-fit-search", next_fit_search),
    ("first-fit-search", first_fit_search),
    ("the-slab", slots::the_slab),
    ("a-run", slots::a_run),
    ("caches", slots::caches),
    ("mistakes", hardened::mistakes),
];

fn main() -> io::Result<()> {
    match env::args_os().nth(1) {
        Some(path) => {
            let document = fs::read_to_string(&path)?;
            fs::write(path, with_parts(&document))
        }
        None => {
            PARTS.iter().for_each(|(name, part)| println!("{name}:\n{}", part()));
            Ok(())
        }
    }
}

/// Returns the document with every part generated anew.
pub fn with_parts(document: &str) -> String {
    PARTS.iter().fold(document.to_owned(), |document, (name, part)| {
        let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->\n"));
        let (before, rest) = document.split_once(&begin).expect("the document has a begin marker for every part");
        let (_, after) = rest.split_once(&end).expect("the document has an end marker for every part");
        format!("{before}{begin}```text\n{}```\n{end}{after}", part())
    })
}

/// Runs `example` on a heap of exactly `size` bytes with slots of 64.
fn on_a_heap<P: Policy>(size: usize, example: impl FnOnce(&OneThreadHeap<'_, P>)) {
    let (mut region, mut bookkeeping) = (RegionArray::<{ 32 << 10 }>::new(), RegionArray::<2048>::new());
    let memory = Memory::with_bookkeeping(&mut region.as_mut()[..size], bookkeeping.as_mut());
    let heap = Heap::from_memory(memory, Config::new(64)).expect("a region of this size makes a heap");
    example(&heap);
    heap.check().expect("the heap is in order");
}

/// Frees an object that nobody uses.
fn free<P: Policy>(heap: &OneThreadHeap<'_, P>, object: NonNull<u8>) {
    // SAFETY: nobody uses the object.
    unsafe { heap.free(object.as_ptr()) }.expect("the object is live");
}

/// Returns the rover's address.
fn rover(heap: &OneThreadHeap<'_>) -> usize {
    heap.rover().ok().flatten().expect("the heap is initialised, and nobody is in it")
}

/// Returns an address as the distance from the heap's first byte.
fn offset(heap: &OneThreadHeap<'_>, address: usize) -> usize {
    address - heap.segment(Segment::Slab).start
}

/// Returns the granule of the block segment at an address.
fn granule<P: Policy>(heap: &OneThreadHeap<'_, P>, address: usize) -> usize {
    (address - heap.segment(Segment::Blocks).start) / GRANULE
}

fn gaps<P: Policy>(heap: &OneThreadHeap<'_, P>) -> impl Iterator<Item = Block> {
    heap.blocks_in(Segment::Blocks).filter(|block| block.state == State::Free)
}
