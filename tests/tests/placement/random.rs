//! Random operations against the reference model, as many as the time allows: `SLABFIT_SECONDS=n` sets it (2 otherwise).
//! `SLABFIT_ABUSE=soak` ends after ten thousand million of them.
//!
//! Small heaps between inaccessible pages, every policy, slabs of any share and none, caches, carved and separate bookkeeping, right and wrong calls; every
//! answer and the rover are compared each time, and from time to time every block, header, figure and payload.
//! `SLABFIT_SEED=n` runs the heap of seed n alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use slabfit::{Config, GRANULE};
use slabfit_tests::abuse::fenced::{Case, Edge};
use slabfit_tests::abuse::lab::Lab;
use slabfit_tests::abuse::level::{Level, number, on_every_processor, replayed};
use slabfit_tests::abuse::watch::Watch;
use slabfit_tests::figure::{self, Grouped};
use slabfit_tests::model::Placement;
use slabfit_tests::program::{any_placement, any_share};

/// Operations on one heap, and between two full comparisons.
const OPERATIONS: u64 = 20_000;
const COMPARED: u64 = 256;

/// Operations of a soak.
const SOAK: u64 = 10_000_000_000;

fn run(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let carved = rng.bool();
    let config = Config::new([1, 16, 32, 40, 64, 1 << 20][rng.usize(..6)]);
    let (placement, config) = any_placement(config, &mut rng);
    let granules = match placement {
        // Size classes to 16, 64, 128 and 256 bytes; now and then none.
        Placement::General if rng.u32(..8) > 0 => rng.usize(2048..3000) << rng.u32(..3),
        // Segments of up to two chunks for the most part, and now and then of twenty.
        _ if rng.u32(..8) == 0 => rng.usize(200..1700),
        _ => rng.usize(8..160),
    };
    let size = granules * GRANULE + if carved { granules / 2 + 512 } else { 0 };
    let config = if config.slab_size == 0 { config } else { any_share(config, size, &mut rng) };
    let edge = if rng.bool() { Edge::High } else { Edge::Low };
    let mut lab = Lab::new(Case { size: size / GRANULE * GRANULE, config, placement, carved, edge });
    for nth in 1..=OPERATIONS {
        lab.random_step(&mut rng).unwrap();
        if nth % COMPARED == 0 {
            lab.compare().unwrap();
        }
    }
    lab.finish(&mut rng).unwrap();
}

#[test]
fn random_operations_agree_with_the_model() {
    let level = Level::from_environment();
    let seconds = number("SLABFIT_SECONDS").unwrap_or_else(|| level.of(2, 60, u64::MAX));
    let (begun, end) = (Instant::now(), Duration::from_secs(seconds));
    let first = replayed().unwrap_or_else(|| fastrand::u64(..1 << 40));
    let most = if replayed().is_some() { 1 } else { level.of(u64::MAX, u64::MAX, SOAK / OPERATIONS) };
    let next = AtomicU64::new(first);
    let heaps: u64 = on_every_processor(|_, _| {
        let watch = Watch::over("random operations");
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if begun.elapsed() > end || seed - first >= most {
                break watch.cases();
            }
            watch.case(seed);
            run(seed);
        }
    })
    .into_iter()
    .sum();
    let operations = heaps * OPERATIONS;
    let seconds = begun.elapsed().as_secs();
    figure::say(
        "random operations against the model",
        format_args!(
            "{} on {} heaps from seed {first}, no deviation ({seconds} s)",
            Grouped(operations),
            Grouped(heaps)
        ),
    );
    assert!(heaps > 0);
}
