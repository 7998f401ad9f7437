//! What the models of slabfit share: how far loom goes, threads with identities, and memory for a small heap.

use std::env;
use std::time::{Duration, Instant};

use loom::model::Builder;
use loom::thread::{self, JoinHandle};

/// A model that takes longer than this is too large. `SLABFIT_LOOM_SECONDS` says another number.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Places where one execution may branch.
const MOST_BRANCHES: usize = 10_000;

/// Runs `model` in every interleaving with at most so many preemptions, and says how many there were.
///
/// # Panics
/// If the model fails, or if it was not explored to its end within the time.
pub fn explore(name: &str, preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let limit = env::var("SLABFIT_LOOM_SECONDS")
        .map_or(TIME_LIMIT, |seconds| Duration::from_secs(seconds.parse().expect("SLABFIT_LOOM_SECONDS is a number")));
    let runs = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = std::sync::Arc::clone(&runs);
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_duration = Some(limit);
    builder.max_branches = MOST_BRANCHES;
    let begin = Instant::now();
    builder.check(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });
    let runs = runs.load(std::sync::atomic::Ordering::Relaxed);
    println!("{name}: {runs} interleavings in {:?}", begin.elapsed());
    // Loom ends without a word when the time is over.
    assert!(begin.elapsed() < limit, "{name}: not all interleavings were seen");
}

/// Identities of threads, as thread pointers are: even. The kernel sees the low 32 bits of them.
pub const DIFFERENT: [usize; 3] = [0x10, 0x20, 0x30];
/// Identities with the same low half.
pub const ALIKE: [usize; 3] = [0x1_0000_0010, 0x2_0000_0010, 0x3_0000_0010];
/// A low half of zero, as an unlocked word has.
pub const LIKE_UNLOCKED: [usize; 3] = [0x1_0000_0000, 0x2_0000_0000, 0x3_0000_0000];

/// Starts a thread that goes by `identity`.
pub fn spawn<R: 'static>(identity: usize, work: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    thread::spawn(move || {
        slabfit_loom::identify(identity);
        work()
    })
}
