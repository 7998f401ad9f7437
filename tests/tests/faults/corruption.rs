//! Corruption: every way to write over what lies in the heap, and after each the heap answers what the reference model
//! does, except that the free or realloc of a live block whose own header was hit says so and leaves it live.
//!
//! One trial: a heap after random operations, in memory between inaccessible pages; something is written over; all is
//! compared; what was hit is freed and resized in vain; random operations go on; `repair()` counts and rewrites what is
//! still wrong; random operations go on. Every answer, every address, every figure (the count of corruptions among
//! them), every header and every byte of every live payload is compared.
//!
//! `SLABFIT_ABUSE=ci` makes a million trials, `soak` a hundred million. `SLABFIT_SEED=n` runs the trials of seed n alone.

mod bench;
mod guard;
mod headers;
mod objects;
mod scribbler;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bench::Bench;
use headers::{bits_and_bytes, imitations};
use objects::{overflows, random_fill, writes_after_free};
use slabfit_tests::abuse::level::{Level, on_every_processor, replayed};
use slabfit_tests::abuse::watch::Watch;
use slabfit_tests::figure::{self, Grouped};

/// How far an overflow or an underflow goes.
const FARTHEST: usize = 64;

/// Runs `abuse` on different heaps until there were so many trials, and says what was hit.
fn abuse(name: &'static str, trials: u64, must: &[&str], abuse: impl Fn(&mut Bench) + Sync) {
    let begun = Instant::now();
    let (only, done) = (replayed(), AtomicU64::new(0));
    let seeds = AtomicU64::new(only.unwrap_or(0));
    let hits: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    let hit_all = || {
        let hits = hits.lock().expect("nobody panics with it");
        must.iter().all(|kind| hits.contains_key(kind))
    };
    on_every_processor(|_, _| {
        let watch = Watch::over(name);
        while done.load(Ordering::Relaxed) < trials || !hit_all() {
            let seed = seeds.fetch_add(1, Ordering::Relaxed);
            if only.is_some_and(|only| only != seed) {
                break;
            }
            assert!(only.is_some() || seed < 100 + trials / 100, "of {must:?} only this was hit: {hits:?}");
            watch.case(seed);
            let mut bench = Bench::new(seed);
            abuse(&mut bench);
            done.fetch_add(bench.trials, Ordering::Relaxed);
            let mut hits = hits.lock().expect("nobody panics with it");
            for (kind, count) in bench.hits {
                *hits.entry(kind).or_default() += count;
            }
        }
    });
    let (done, hits) = (done.into_inner(), hits.into_inner().expect("nobody panicked with it"));
    println!("{name} hit: {hits:?}");
    let seconds = begun.elapsed().as_secs();
    figure::say(
        format_args!("corruption: {name}"),
        format_args!("{} trials, no deviation ({seconds} s)", Grouped(done)),
    );
}

fn trials(share: u64) -> u64 {
    Level::from_environment().of(40_000, 1_000_000, 100_000_000) * share / 100
}

#[test]
fn an_overflow_or_underflow_of_1_to_64_bytes_changes_no_answer() {
    let must = [
        "a live slot",
        "a returned slot",
        "a slot never used",
        "the slab's tail",
        "a live block",
        "a free block",
        "the rover's free block",
        "a live slot of a run",
        "a free slot of a run",
        "a guard granule",
    ];
    abuse("overflows", trials(30), &must, overflows);
}

#[test]
fn no_bit_and_no_byte_of_a_header_changes_an_answer() {
    let must = ["a bit of a live header", "a bit of a free header"];
    abuse("bits and bytes", trials(25), &must, bits_and_bytes);
}

#[test]
fn no_imitated_header_or_pointer_is_believed() {
    abuse("imitations", trials(20), &["a pointer", "a length", "a circle", "a forged header"], imitations);
}

#[test]
fn a_write_after_free_changes_no_answer() {
    abuse("writes after free", trials(10), &["a freed object"], writes_after_free);
}

#[test]
fn random_bytes_over_the_heap_change_no_answer() {
    abuse("random fill", trials(15), &["random bytes"], |bench| random_fill(bench, 500));
}
