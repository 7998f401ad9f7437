//! A `Vec` and a `HashMap` in a heap that borrows its memory, here from the stack: when they are dropped everything is
//! free again, and when the heap is dropped the memory is the caller's. No global allocator is asked for any of it.
//!
//! `cargo run -p slabfit --example borrowed --features allocator-api2-02`

use std::hash::{BuildHasherDefault, DefaultHasher};

use allocator_api2_02::vec::Vec;
use hashbrown::HashMap;
use slabfit::{Config, Heap, RegionArray};

const TEXT: &str = "to be or not to be that is the question";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut region = RegionArray::<8192>::new();
    let heap = Heap::new(&mut region, Config::new(64))?;

    let mut counts = HashMap::with_hasher_in(BuildHasherDefault::<DefaultHasher>::default(), &heap);
    for word in TEXT.split(' ') {
        *counts.entry(word).or_insert(0) += 1;
    }
    let mut words = Vec::new_in(&heap);
    words.extend(counts.iter().map(|(word, count)| (*count, *word)));
    words.sort_unstable();
    for (count, word) in words.iter().rev() {
        println!("{count} {word}");
    }
    assert!(heap.owns(words.as_ptr().cast()));

    // A request that the region cannot hold is an error where it is made, and nothing else.
    assert!(words.try_reserve(10_000).is_err());

    drop((words, counts));
    heap.check()?;
    assert_eq!(heap.stats()?.blocks.live_objects, 0);
    Ok(())
}
