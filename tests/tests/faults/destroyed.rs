//! Destroyed bookkeeping: the map itself, in a second piece of memory or carved from the region, is overwritten with
//! random bytes. Nothing is promised of the answers then, but every call ends, without a panic, touches only the heap's
//! own memory (both pieces lie flush with inaccessible pages, and what else is in their pages is compared), and hands
//! out nothing that does not lie in the heap.
//!
//! `SLABFIT_ABUSE=ci|soak` make more seeds of it, `SLABFIT_SEED=n` runs the one.

use std::alloc::Layout;
use std::fmt;
use std::ptr::{NonNull, without_provenance_mut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use fastrand::Rng;
use slabfit::{Config, GRANULE, Segment};
use slabfit_tests::abuse::fenced::{Case, Edge, Fenced};
use slabfit_tests::abuse::lab::{random_align, random_size};
use slabfit_tests::abuse::level::{Level, on_every_processor, replayed};
use slabfit_tests::abuse::watch::Watch;
use slabfit_tests::any_heap::AnyHeap;
use slabfit_tests::cached::CachedHeap;
use slabfit_tests::figure::{self, Grouped};
use slabfit_tests::model::{By, Placement};
use slabfit_tests::program::{any_placement, any_share};

/// Calls between two rounds of destruction.
const CALLS: usize = 60;

/// A writer that counts and keeps nothing.
struct Counted(usize);

impl fmt::Write for Counted {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

fn case(rng: &mut Rng, carved: bool) -> Case {
    // Trees of one level, of two, and of three.
    let granules = [rng.usize(4..64), rng.usize(64..1200), rng.usize(1200..8000)][rng.usize(..3)];
    let (placement, config) = any_placement(Config::new([1, 16, 40, 64, 1000][rng.usize(..5)]), rng);
    // Size classes, up to 64 or 128 bytes without a slab.
    let granules = if placement == Placement::General { granules.max(rng.usize(2000..8000)) } else { granules };
    let size = granules * GRANULE + if carved { 1024 } else { 0 };
    let config = if config.slab_size == 0 { config } else { any_share(config, size, rng) };
    Case { size, config, placement, carved, edge: if rng.bool() { Edge::High } else { Edge::Low } }
}

/// Overwrites the bookkeeping, all or in part: anything, single bits, zeros, ones, or a copy of another part.
fn destroy(bookkeeping: &mut [u8], rng: &mut Rng) {
    let from = rng.usize(..bookkeeping.len());
    let part = match rng.u32(..3) {
        0 => 0..bookkeeping.len(),
        1 => from..bookkeeping.len().min(from + 64),
        _ => from..from + rng.usize(..=bookkeeping.len() - from),
    };
    let Some(bytes) = bookkeeping.get_mut(part) else { return };
    match rng.u32(..6) {
        0 => rng.fill(bytes),
        1 => bytes.iter_mut().for_each(|byte| *byte ^= 1u8.checked_shl(rng.u32(..64)).unwrap_or(0)),
        2 => bytes.fill(0),
        3 => bytes.fill(0xFF),
        4 => bytes.reverse(),
        _ => bytes.iter_mut().for_each(|byte| *byte &= rng.u8(..) & rng.u8(..)),
    }
}

/// One call of any function there is, of the heap or of a cache. What is handed out must lie in the heap.
fn call(heap: &mut CachedHeap, rng: &mut Rng, given: &mut Vec<usize>) {
    let attached = heap.attached();
    let by = attached.get(rng.usize(..=attached.len())).map_or(By::Heap, |&cache| By::Cache(cache));
    match (by, rng.u32(..40)) {
        (_, 0) => return heap.attach().map_or((), |_| ()),
        (By::Cache(cache), 1) => return heap.detach(cache),
        (By::Cache(cache), 2) if rng.u32(..4) == 0 => return heap.recover(Some(cache)).unwrap_or(()),
        _ => {}
    }
    let (address, size) = (any_address(heap, rng, given), random_size(rng, heap.slab_size()));
    match rng.u32(..100) {
        0..40 => {
            if let Ok(address) = heap.alloc_by(by, size, random_align(rng)) {
                assert_inside(heap, address, size);
                given.push(address);
            }
        }
        40..45 => {
            let layout = Layout::from_size_align(size, GRANULE).ok().filter(|_| rng.bool());
            if let Ok(address) = heap.alloc_zeroed_by(by, size, layout) {
                assert_inside(heap, address, size);
            }
        }
        45..70 => drop(heap.free_by(by, address)),
        70..73 => {
            let layout = Layout::from_size_align(size % 600, random_align(rng));
            drop(layout.map(|layout| heap.free_sized_by(by, address, layout)));
        }
        // SAFETY: nobody uses any object.
        73..75 => drop(unsafe { heap.free_measured(without_provenance_mut(address)) }),
        75..92 => {
            if let Ok(address) = heap.realloc_by(by, address, size, random_align(rng)) {
                // Not its size: a map that claims a free block after the last granule lets a block grow into it.
                assert_inside(heap, address, 1);
                given.push(address);
            }
        }
        92..94 => drop(heap.usable_size(without_provenance_mut(address))),
        _ => look(heap, by, address, rng),
    }
}

/// What was given, or anywhere in the heap or just beside it.
fn any_address(heap: &CachedHeap, rng: &mut Rng, given: &[usize]) -> usize {
    let any = heap.segment(Segment::Slab).start.wrapping_add(rng.usize(..heap.size() + 64)).wrapping_sub(32);
    let granule = any & !(GRANULE - 1);
    match rng.u32(..5) {
        0 => any,
        1 => granule,
        // Where what is too long ends beyond the heap.
        2 => heap.segment(Segment::Blocks).end - GRANULE * rng.usize(1..32),
        _ => given.get(rng.usize(..given.len().max(1))).copied().unwrap_or(granule),
    }
}

/// One call that serves and frees no object: of the whole heap, or a loan of free bytes.
fn look(heap: &CachedHeap, by: By, address: usize, rng: &mut Rng) {
    match rng.u32(..12) {
        0..2 => drop(heap.check_all()),
        2..4 => drop(heap.repair()),
        4..6 => drop(heap.overwritten().count()),
        6..8 => drop(heap.stats()),
        8 => drop(heap.blocks().count()),
        9 => drop(heap.empty_by(by)),
        10 => drop(heap.dump(&mut Counted(0))),
        _ => lend(heap, address, rng.usize(..5000), |free| assert_inside(heap, free.addr().get(), free.len())),
    }
}

fn assert_inside(heap: &AnyHeap, address: usize, size: usize) {
    let heap = heap.segment(Segment::Slab).start..heap.segment(Segment::Blocks).end;
    assert!(heap.contains(&address) && size <= heap.end - address, "{size} bytes at {address:#x} of {heap:x?}");
}

/// Has free bytes lent from an address on, of both segments, and fills them with zeros.
fn lend(heap: &AnyHeap, from: usize, most: usize, inside: impl Fn(NonNull<[u8]>)) {
    let zeros = |free: NonNull<[u8]>| {
        inside(free);
        // SAFETY: in the heap, and lent for this.
        unsafe { free.cast::<u8>().write_bytes(0, free.len()) };
    };
    drop(heap.with_free_ranges(from, most / 10, most, zeros));
    drop(heap.with_free_slots(from..from.saturating_add(most), most / 10, zeros));
}

/// One heap, destroyed again and again.
fn torture(seed: u64, carved: bool) -> usize {
    let mut rng = Rng::with_seed(seed);
    let case = case(&mut rng, carved);
    let mut memory: Fenced = case.memory();
    // SAFETY: the only heap in this memory, which outlives it; one thread.
    let pieces = unsafe { memory.memory() };
    let heap = AnyHeap::from_memory(pieces, case.config, case.placement).expect("a legal heap");
    let mut heap = CachedHeap::new(heap);
    let mut given = Vec::new();
    let mut calls = 0;
    for round in 0..8 {
        for _ in 0..CALLS {
            call(&mut heap, &mut rng, &mut given);
            calls += 1;
        }
        assert!(memory.is_clean_outside(), "round {round} of {case:?}");
        if carved {
            let bytes = heap.base().map_or(0, |base| base.addr().get()) - memory.base();
            destroy(&mut memory.bytes_mut()[..bytes], &mut rng);
        } else {
            destroy(memory.bookkeeping_mut(), &mut rng);
        }
        if rng.bool() {
            // The headers too.
            rng.fill(memory.bytes_mut().split_at_mut(if carved { case.size / 2 } else { 0 }).1);
        }
    }
    calls
}

fn torture_all(name: &'static str, carved: bool) {
    let heaps = Level::from_environment().of(1_500, 40_000, 4_000_000);
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let calls: usize = on_every_processor(|_, _| {
        let watch = Watch::over(name);
        let mut calls = 0;
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            let Some(seed) = replayed().or((nth < heaps).then_some(nth)).filter(|_| nth < heaps) else { break calls };
            watch.case(seed);
            calls += torture(seed, carved);
            if replayed().is_some() {
                break calls;
            }
        }
    })
    .into_iter()
    .sum();
    let seconds = begun.elapsed().as_secs();
    figure::say(
        name,
        format_args!("{} heaps, {} calls, all ended ({seconds} s)", Grouped(heaps), Grouped(calls as u64)),
    );
}

#[test]
fn a_heap_whose_separate_bookkeeping_is_destroyed_still_ends_every_call() {
    torture_all("destroyed bookkeeping", false);
}

#[test]
fn a_heap_whose_carved_bookkeeping_is_destroyed_still_ends_every_call() {
    torture_all("destroyed carved bookkeeping", true);
}
