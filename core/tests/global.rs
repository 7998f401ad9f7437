//! std's own collections, threads and formatting, and the test harness itself, on a heap in a static array.
#![allow(missing_docs)]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, mpsc};
use std::thread;

use slabfit::{Config, StaticArray, StaticHeap};

static ARRAY: StaticArray<{ 16 << 20 }> = StaticArray::new();

#[global_allocator]
static HEAP: StaticHeap = StaticHeap::new(&ARRAY, Config::new(64));

#[test]
fn strings_are_sorted_and_hashed() {
    let words: Vec<String> = (0..20_000u32).map(|n| format!("{:08x}", n.wrapping_mul(2_654_435_761))).collect();
    assert!(HEAP.owns(words[0].as_ptr()));
    let mut sorted = words.clone();
    sorted.sort();
    assert!(sorted.is_sorted());
    let places: HashMap<&str, usize> = words.iter().enumerate().map(|(place, word)| (word.as_str(), place)).collect();
    assert!(sorted.iter().all(|word| words[places[word.as_str()]] == *word));
}

#[test]
fn threads_pass_boxes_to_each_other() {
    let (send, receive) = mpsc::channel::<Box<[u64]>>();
    let senders = [1, 2, 3].map(|number| {
        let send = send.clone();
        thread::spawn(move || (0..2_000).try_for_each(|length| send.send(vec![number; length % 100].into())))
    });
    drop(send);
    let sum: u64 = receive.iter().map(|numbers| numbers.iter().sum::<u64>()).sum();
    assert_eq!(sum, (1 + 2 + 3) * (0..2_000).map(|length| length % 100).sum::<u64>());
    assert!(senders.into_iter().all(|sender| sender.join().is_ok_and(|sent| sent.is_ok())));
}

#[test]
fn collections_grow_shrink_and_are_dropped() {
    let mut queue = VecDeque::new();
    let mut tree = BTreeMap::new();
    for n in 0..50_000u64 {
        queue.push_back(Arc::new(n));
        tree.insert(n.rotate_left(40), vec![n; (n % 7) as usize]);
        if n % 3 == 0 {
            assert!(queue.pop_front().is_some() && tree.pop_first().is_some());
        }
    }
    queue.shrink_to_fit();
    assert!(tree.values().flatten().all(|n| *n < 50_000));
    assert_eq!(queue.iter().map(|n| **n).max(), Some(49_999));
}

#[test]
fn the_heap_is_in_order_while_the_program_runs() {
    assert_eq!(HEAP.check(), Ok(()));
    let stats = HEAP.stats().expect("a spin lock knows no owner");
    assert_eq!(stats.blocks.refused_frees + stats.slab.refused_frees + stats.refused_outside, 0);
    assert!(stats.blocks.live_objects > 0);
}
