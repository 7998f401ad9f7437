//! Caches in one thread: which requests they serve, whose the runs are, where freed slots go, and what comes back to the heap. A
//! reference model runs beside each scenario.
//!
//! A heap of 64 KiB has the classes of up to 128 bytes; a run of 16, 32, 48 or 64 bytes has 1 KiB, and 64, 32, 21 or 16 slots. Heaps
//! start at a multiple of 8 KiB.

mod a_heap;
mod a_cache;
mod a_cache_opens_a_run;
mod a_run_of_a_cache;
mod a_slot_that_another_frees;
mod a_dropped_cache;
mod a_cache_whose_owner_is_gone;
mod idle_memory;
mod before_a_request_for_a_block_fails;
mod resizing;
mod a_wrong_free_through_a_cache;

use slabfit::{Cache, CacheStats, SpinLock};
use slabfit_tests::model::By;
use slabfit_tests::scene::Scene;
use static_assertions::{assert_impl_all, assert_not_impl_any};

const KIB: usize = 1 << 10;

assert_impl_all!(Cache<'static, 'static, SpinLock>: Send);
assert_not_impl_any!(Cache<'static, 'static, SpinLock>: Sync, Clone);

/// A heap of 64 KiB and one attached cache.
fn one() -> (Scene, By) {
    let mut scene = Scene::with_caches(64 * KIB, 2);
    let cache = scene.attach();
    (scene, cache)
}

/// A heap of 64 KiB and two attached caches.
fn two() -> (Scene, By, By) {
    let mut scene = Scene::with_caches(64 * KIB, 2);
    let (first, second) = (scene.attach(), scene.attach());
    (scene, first, second)
}

/// How many caches are attached, and how many there were at once at the most.
fn caches_of(scene: &Scene) -> (usize, usize) {
    let CacheStats { attached, made, .. } = scene.stats().caches;
    (attached, made)
}

/// The KiB of the heap that an address lies in, which is a run's number where all runs have 1 KiB.
fn kib(scene: &Scene, address: usize) -> usize {
    (address - scene.base()) / KIB
}
