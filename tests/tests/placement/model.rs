//! Random programs on a heap and on the reference model beside it: every answer, every address, the rover, every free
//! block, every header in memory and every figure must be the same, and the heap must pass its own check. Under policy
//! `General` that is also every slot, every magazine's next slot, and the figures of every size class, also where caches own runs, which
//! come and go and free each other's objects.
//!
//! A failure prints the heap as blocks and the seed of the program. `SLABFIT_SEED=n` runs that program again, and
//! `SLABFIT_OPS=n` makes each program so many operations long.

use std::env;
use std::ops::RangeInclusive;

use proptest::test_runner::{Config as ProptestConfig, RngAlgorithm, TestError, TestRng, TestRunner};
use slabfit::{Config, MIN_REGION, SpinLock, Stats};
use slabfit_model::strategy::{programs, setups};
use slabfit_tests::arena::Setup;
use slabfit_tests::model::Placement;
use slabfit_tests::pair::Pair;
use slabfit_tests::program::{Op, drive, run};

const KIB: usize = 1 << 10;
/// The smallest heap with a size class is all block segment: 32 runs of 1 KiB.
const SMALLEST_WITH_CLASSES: usize = 32 * KIB;

fn number_from_environment(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

/// Says how to run the program again if it fails in any way, a panic inside the heap among them.
struct Replay {
    seed: u64,
    ops: usize,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with SLABFIT_SEED={} SLABFIT_OPS={}", self.seed, self.ops);
        }
    }
}

/// Runs programs one after the other, or the one that the environment names.
fn drive_all(programs: u64, ops: usize, sizes: RangeInclusive<usize>) {
    let ops = number_from_environment("SLABFIT_OPS").map_or(ops, |ops| usize::try_from(ops).expect("fits"));
    let seeds = match number_from_environment("SLABFIT_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = fastrand::u64(..1 << 48);
            first..first + programs
        }
    };
    let mut happened = [0; 10];
    for seed in seeds.clone() {
        let _replay = Replay { seed, ops };
        match drive(seed, ops, sizes.clone()) {
            Ok(stats) => {
                let now = counts(&stats);
                happened.iter_mut().zip(now).for_each(|(sum, count)| *sum += count);
            }
            Err(disagreement) => panic!("{disagreement}"),
        }
    }
    // The last counts are of what only a heap with size classes does.
    let can_happen = if *sizes.end() < SMALLEST_WITH_CLASSES { &happened[..8] } else { &happened };
    let vacuous = seeds.count() > 1 && can_happen.contains(&0);
    assert!(!vacuous, "some of what can happen never did: {happened:?}");
}

/// What the programs of a test must have met, all of them together.
fn counts(stats: &Stats) -> [u64; 10] {
    let Stats { slab, blocks, classes, spilled, refused_outside, caches, quarantine } = stats;
    assert_eq!(quarantine.objects, 0, "only a hardened heap has a quarantine");
    let (full, fragmented) = (blocks.failed_full, blocks.failed_fragmented);
    let (refused, corruptions) = (blocks.refused_frees, blocks.corruptions);
    let refused_elsewhere = slab.refused_frees + refused_outside;
    let slots_freed = classes.iter().map(|class| class.frees).sum();
    let made = caches.made as u64;
    [slab.frees, blocks.frees, *spilled, full, fragmented, refused, corruptions, refused_elsewhere, slots_freed, made]
}

#[test]
fn random_programs_on_small_heaps_agree_with_the_model() {
    drive_all(3_000, 5_000, MIN_REGION..=4 * KIB);
}

#[test]
fn random_programs_on_middling_heaps_agree_with_the_model() {
    drive_all(200, 20_000, 4 * KIB..=128 * KIB);
}

#[test]
fn random_programs_on_large_heaps_agree_with_the_model() {
    drive_all(20, 20_000, 256 * KIB..=1024 * KIB);
}

#[test]
fn every_wrong_address_is_refused_whatever_the_heap_went_through() {
    let seed = number_from_environment("SLABFIT_SEED").unwrap_or_else(|| fastrand::u64(..));
    let _replay = Replay { seed, ops: 0 };
    let mut rng = fastrand::Rng::with_seed(seed);
    for nth in 0..46 {
        let setup = match nth {
            0..40 => Setup::random(&mut rng, MIN_REGION..=2 * KIB),
            _ => {
                let (size, placement) = (rng.usize(36 * KIB..72 * KIB), Placement::General);
                let config = Config::without_slab().caches(rng.usize(..4));
                Setup { placement, config, ..Setup::random(&mut rng, size..=size) }
            }
        };
        let mut pair = Pair::new(setup).expect("a legal heap");
        for _ in 0..if nth < 40 { 10 } else { 2 } {
            for _ in 0..rng.usize(..60) {
                Op::random(&mut rng, pair.setup().size, 60).run(&mut pair).unwrap();
            }
            pair.free_every_wrong_address_by(pair.any_cache(nth)).unwrap();
            pair.compare().unwrap();
        }
    }
}

#[test]
fn heap_and_model_agree_on_everything_after_every_step() {
    let seed = number_from_environment("SLABFIT_SEED").unwrap_or_else(|| fastrand::u64(..));
    let mut seeds = [0; 32];
    seeds[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seeds);
    let config = ProptestConfig { failure_persistence: None, cases: 1_000, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&(setups(), programs(120)), |(setup, program)| Ok(run::<SpinLock>(setup, &program)?));
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, (_, program))) => {
            panic!("{why}\nthe program:\n{program:#?}\nreplay with SLABFIT_SEED={seed}")
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}
