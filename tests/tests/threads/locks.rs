//! The random programs of `model.rs` once more under every lock there is: which one a heap has must make no difference to
//! what it answers, and each must be given back as often as it is taken.
//!
//! A failure prints the heap as blocks and the seed of the program. `SLABFIT_SEED=n` runs that program again.

use std::env;

use slabfit::{CriticalSectionLock, LockApi04, MIN_REGION, NoLock, RawLock, SpinLock};
use slabfit_linux::FutexLock;
use slabfit_tests::program::drive_with_lock;

const PROGRAMS: u64 = 60;
const OPERATIONS: usize = 3_000;
const LARGEST_HEAP: usize = 32 << 10;

/// Runs random programs on heaps under the lock `L`, or the one program that the environment names.
fn agrees_with_the_model<L: RawLock + 'static>() {
    let seeds = match env::var("SLABFIT_SEED") {
        Ok(seed) => vec![seed.parse().unwrap_or_else(|_| panic!("SLABFIT_SEED={seed}: not a number"))],
        Err(_) => (0..PROGRAMS).map(|_| fastrand::u64(..1 << 48)).collect(),
    };
    let (mut served, mut refused) = (0, 0);
    for &seed in &seeds {
        let stats = drive_with_lock::<L>(seed, OPERATIONS, MIN_REGION..=LARGEST_HEAP)
            .unwrap_or_else(|disagreement| panic!("{disagreement}\nreplay with SLABFIT_SEED={seed}"));
        served += stats.slab.allocs.min(stats.blocks.allocs);
        refused += stats.blocks.refused_frees;
    }
    assert!(
        seeds.len() == 1 || (served > 0 && refused > 0),
        "the programs did nothing: {served} served, {refused} refused"
    );
}

#[test]
fn a_heap_without_a_lock_agrees_with_the_model() {
    agrees_with_the_model::<NoLock>();
}

#[test]
fn a_heap_under_a_spin_lock_agrees_with_the_model() {
    agrees_with_the_model::<SpinLock>();
}

#[test]
fn a_heap_under_a_futex_agrees_with_the_model() {
    agrees_with_the_model::<FutexLock>();
}

#[test]
fn a_heap_under_a_critical_section_agrees_with_the_model() {
    agrees_with_the_model::<CriticalSectionLock>();
}

#[test]
fn a_heap_inside_a_critical_section_of_its_callers_agrees_with_the_model() {
    critical_section::with(|_| agrees_with_the_model::<CriticalSectionLock>());
}

#[test]
fn a_heap_under_a_mutex_of_lock_api_04_agrees_with_the_model() {
    agrees_with_the_model::<LockApi04<parking_lot::RawMutex>>();
}

#[test]
fn a_heap_under_a_fair_mutex_of_lock_api_04_agrees_with_the_model() {
    agrees_with_the_model::<LockApi04<parking_lot::RawFairMutex>>();
}

#[cfg(feature = "lock-api-05")]
#[test]
fn a_heap_under_a_mutex_of_lock_api_05_agrees_with_the_model() {
    agrees_with_the_model::<slabfit::LockApi05<parking_lot_13::RawMutex>>();
}
