//! A Rust program as there are many: strings, maps, growing vectors, over-aligned boxes, channels and threads.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

#[repr(align(256))]
struct Wide([u8; 300]);

fn words(seed: usize) -> BTreeMap<String, Vec<usize>> {
    let mut words: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for i in 0..30_000 {
        words.entry(format!("word {} of thread {seed}", (i * 7919 + seed) % 1009)).or_default().push(i);
    }
    words
}

fn main() {
    let (sender, receiver) = mpsc::channel();
    let longest = Arc::new(Mutex::new(String::new()));
    let threads: Vec<_> = (0..4)
        .map(|seed| {
            let (sender, longest) = (sender.clone(), Arc::clone(&longest));
            thread::spawn(move || {
                for (word, places) in words(seed) {
                    let mut longest = longest.lock().expect("nobody panics");
                    if (word.len(), &word) > (longest.len(), &longest) {
                        longest.clone_from(&word);
                    }
                    sender.send((word, places.len())).expect("somebody receives");
                }
            })
        })
        .collect();
    drop(sender);
    let counts: HashMap<String, usize> = receiver.into_iter().collect();
    threads.into_iter().for_each(|thread| thread.join().expect("nobody panics"));
    println!("{} {} {}", counts.len(), counts.values().sum::<usize>(), longest.lock().expect("nobody panics"));

    let wide: Vec<Box<Wide>> = (0..100).map(|i| Box::new(Wide([i; 300]))).collect();
    println!("{}", wide.iter().all(|one| (&raw const **one).addr() % 256 == 0 && one.0[299] == one.0[0]));
    println!("{}", Vec::<u8>::new().try_reserve(1 << 45).is_err());
    let zeroed = vec![0u64; 1 << 20];
    println!("{}", zeroed.iter().sum::<u64>());
}
