//! A thread that writes over headers while operations go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use fastrand::Rng;
use slabfit::{Config, GRANULE, InvalidFree, Reason};
use slabfit_tests::abuse::fenced::{Case, Edge};
use slabfit_tests::abuse::lab::{Lab, raw_alloc, raw_free};
use slabfit_tests::abuse::level::{Level, replayed};
use slabfit_tests::abuse::watch::Watch;
use slabfit_tests::figure::{self, Grouped};
use slabfit_tests::model::Placement;

/// Bytes of the heap, without bookkeeping.
const SIZE: usize = 16 << 10;

/// Ends the other thread, also if this one panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A thread writes over headers while operations go on. Every block is a multiple of 64 bytes long, so that headers come to
/// lie only at multiples of 64, live ones and free ones; there, and nowhere else, it writes, whatever lies there.
#[test]
fn a_thread_that_scribbles_over_headers_changes_no_answer() {
    let operations = Level::from_environment().of(60_000, 3_000_000, 300_000_000);
    let watch = Watch::over("scribbler");
    let seed = replayed().unwrap_or_else(|| fastrand::u64(..1 << 32));
    let (carved, edge, placement) = (false, Edge::Low, Placement::NextFit);
    let mut lab = Lab::new(Case { size: SIZE, config: Config::new(64), placement, carved, edge });
    let (stop, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    let base = lab.memory().bytes_mut().as_mut_ptr().expose_provenance();
    let mut refused = 0u64;
    thread::scope(|scope| {
        scope.spawn(|| writes.store(scribble(base, !seed, &stop), Ordering::Relaxed));
        let _stop = SetOnDrop(&stop);
        let mut rng = Rng::with_seed(seed);
        let mut live: Vec<usize> = Vec::new();
        for nth in 0..operations {
            if nth % 64 == 0 {
                watch.case(seed);
                thread::yield_now();
            }
            scribbled_step(&mut lab, &mut rng, &mut live, &mut refused);
        }
    });
    let writes = writes.into_inner();
    figure::say(
        "corruption: a thread that scribbles over headers",
        format_args!(
            "{} operations during {} writes, {} frees refused, no deviation",
            Grouped(operations),
            Grouped(writes),
            Grouped(refused)
        ),
    );
    assert!(refused > 0 && writes > 0, "nothing was hit: {writes} writes");
    everything_is_put_right(&mut lab);
}

/// Writes words over headers, whatever lies there, until it is stopped. Answers with their number.
fn scribble(base: usize, seed: u64, stop: &AtomicBool) -> u64 {
    let mut rng = Rng::with_seed(seed);
    let mut writes = 0;
    while !stop.load(Ordering::Relaxed) {
        let word = base + rng.usize(..SIZE / 64) * 64 + rng.usize(..2) * 8;
        let word = std::ptr::with_exposed_provenance_mut::<u64>(word);
        // SAFETY: the word lies in the lab's region, which outlives this thread, and is aligned. That another
        // thread may be writing there is the very thing that is tried; volatile, so that no compiler knows.
        unsafe { word.write_volatile(rng.u64(..)) };
        writes += 1;
        if writes % 64 == 0 {
            // On a single processor too the two take turns.
            thread::yield_now();
        }
    }
    writes
}

/// Nobody writes any more: the heap repairs itself, agrees with the model, and is empty once everything is freed.
fn everything_is_put_right(lab: &mut Lab) {
    lab.note();
    lab.repair().unwrap();
    lab.compare_places().unwrap();
    assert_eq!(lab.heap().stats().ok(), Some(lab.model.stats()));
    for (address, _) in lab.objects() {
        assert_eq!(raw_free(lab.heap(), address), Ok(()));
    }
    assert_eq!(lab.heap().stats().map(|stats| (stats.blocks.free_blocks, stats.blocks.live_objects)), Ok((1, 0)));
}

/// One operation: its answer is the model's, but that a live block may be refused, which the model is then told.
fn scribbled_step(lab: &mut Lab, rng: &mut Rng, live: &mut Vec<usize>, refused: &mut u64) {
    if live.is_empty() || rng.u32(..100) < 52 {
        let size = if rng.bool() { 64 } else { 48 + 64 * rng.usize(..8) };
        // A spilled slot would be a block of 80 bytes, and headers would lie elsewhere.
        let slots_are_full = lab.model.stats().slab.free_blocks == 0;
        let size = if size == 64 && slots_are_full { 48 } else { size };
        let served = raw_alloc(lab.heap(), size, GRANULE);
        assert_eq!(served, lab.model.alloc(size, GRANULE), "alloc {size}");
        live.extend(served);
    } else {
        let nth = rng.usize(..live.len());
        let address = live[nth];
        let freed = raw_free(lab.heap(), address);
        match freed {
            Err(InvalidFree { reason: Reason::HeaderOverwritten, .. }) => {
                lab.model.overwritten.insert(address - GRANULE);
                *refused += 1;
            }
            _ => drop(lab.model.overwritten.remove(&address.wrapping_sub(GRANULE))),
        }
        assert_eq!(freed, lab.model.free(address), "free {address:#x}");
        if freed.is_ok() {
            live.swap_remove(nth);
        } else if rng.u32(..8) == 0 && lab.heap().repair().is_ok() {
            lab.model.overwritten.clear();
        }
    }
    lab.compare_places().unwrap();
}
