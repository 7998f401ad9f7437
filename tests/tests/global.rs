//! A program whose only allocator is a heap in a static array under the futex lock, with more threads than cores: they
//! sort, hash, format, pass objects to each other, start processes and outlive each other.
//!
//! A program has one global allocator, so this is a binary of its own.

use std::collections::{BTreeMap, HashMap};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use slabfit::{Config, FirstFit, StaticArray, StaticHeap};
use slabfit_linux::FutexLock;

static ARRAY: StaticArray<{ 32 << 20 }, FutexLock, FirstFit> = StaticArray::new();

#[global_allocator]
static HEAP: StaticHeap<FutexLock, FirstFit> = StaticHeap::new(&ARRAY, Config::new(64));

const THREADS: u32 = 16;

#[test]
fn threads_sort_hash_and_format() {
    let (send, receive) = mpsc::channel();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let send = send.clone();
            thread::spawn(move || {
                let mut words: Vec<String> = (0..2_000).map(|n| format!("{:x}", (n * THREADS + thread) * 77)).collect();
                words.sort_unstable();
                words.into_iter().try_for_each(|word| send.send(word))
            })
        })
        .collect();
    drop(send);

    let mut lengths: HashMap<usize, Vec<String>> = HashMap::new();
    for word in receive {
        assert!(HEAP.owns(word.as_ptr()));
        lengths.entry(word.len()).or_default().push(word);
    }
    assert!(threads.into_iter().all(|thread| thread.join().is_ok_and(|sent| sent.is_ok())));
    let numbers: BTreeMap<u32, usize> = lengths
        .into_values()
        .flatten()
        .map(|word| (u32::from_str_radix(&word, 16).expect("it was formatted so"), word.len()))
        .collect();
    assert!(numbers.keys().copied().eq((0..2_000 * THREADS).map(|n| n * 77)), "a word was lost or changed");
}

#[test]
fn a_vector_grows_and_shrinks_where_it_lies() {
    let mut bytes = vec![0u8; 1 << 20];
    assert!(bytes.iter().all(|&byte| byte == 0));
    bytes.extend((0..1 << 20).map(|n: u32| n as u8));
    bytes.truncate((1 << 20) + 100);
    let longer = bytes.as_ptr();
    bytes.shrink_to_fit();
    assert_eq!(bytes.as_ptr(), longer, "a block that shrinks stays where it is");
    assert!(bytes[1 << 20..].iter().copied().eq(0..100));
}

#[test]
fn a_thread_that_panics_gives_its_objects_back() {
    let outcome = thread::spawn(|| {
        let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        std::panic::resume_unwind(Box::new(names.len()));
    });
    let payload = outcome.join().expect_err("it has panicked");
    assert_eq!(payload.downcast_ref(), Some(&100usize));
}

#[test]
fn processes_are_started_from_many_threads() {
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                let output = Command::new("printf").args(["%s", &format!("thread {number}")]).output();
                assert_eq!(output.expect("printf is a program").stdout, format!("thread {number}").into_bytes());
            });
        }
    });
}

#[test]
fn the_heap_is_in_order_while_the_program_runs() {
    assert_eq!(HEAP.check(), Ok(()));
    let stats = HEAP.stats().expect("this thread is not in the heap");
    assert_eq!(stats.blocks.refused_frees + stats.slab.refused_frees + stats.refused_outside, 0);
    assert!(stats.blocks.live_objects > 0);
}
