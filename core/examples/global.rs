//! An ordinary program whose allocator is a heap in a static array: it sorts, hashes, starts threads and formats.
//!
//! `cargo run -p slabfit --example global`
//!
//! The heap's lock is a spin lock here. A program whose threads outnumber its cores is better off with one that sleeps:
//! `StaticHeap<slabfit_linux::FutexLock>`.

use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;

use slabfit::{Config, StaticArray, StaticHeap};

static ARRAY: StaticArray<{ 8 << 20 }> = StaticArray::new();

#[global_allocator]
static HEAP: StaticHeap = StaticHeap::new(&ARRAY, Config::new(64));

/// Numbers as words, ordered by their last digits: enough strings to keep an allocator busy.
fn words(from: u32, to: u32) -> Vec<String> {
    let mut words: Vec<String> = (from..to).map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761))).collect();
    words.sort_unstable_by(|a, b| b.bytes().rev().cmp(a.bytes().rev()));
    words
}

fn main() {
    let (send, receive) = mpsc::channel();
    let threads: Vec<_> = (0..4u32)
        .map(|part| {
            let send = send.clone();
            thread::spawn(move || words(part * 5_000, (part + 1) * 5_000).into_iter().try_for_each(|w| send.send(w)))
        })
        .collect();
    drop(send);

    let mut lengths: HashMap<usize, Vec<String>> = HashMap::new();
    for word in receive {
        lengths.entry(word.len()).or_default().push(word);
    }
    assert!(threads.into_iter().all(|thread| thread.join().is_ok_and(|sent| sent.is_ok())));

    let mut lengths: Vec<_> = lengths.into_iter().collect();
    lengths.sort();
    for (length, mut words) in lengths {
        words.sort();
        println!("{:>5} words of {length} digits, the first is {}", words.len(), words[0]);
    }

    HEAP.check().expect("the heap is in order");
    let stats = HEAP.stats().expect("nobody is in the heap");
    for (name, segment) in [("slab", stats.slab), ("blocks", stats.blocks)] {
        println!(
            "{name:>8}: {} requests served, {} of {} bytes at most",
            segment.allocs, segment.peak_bytes, segment.size
        );
    }
}
