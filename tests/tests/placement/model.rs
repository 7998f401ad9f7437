//! Random programs on a heap and on the reference model beside it: every answer, every address, the rover, every free
//! block, every header in memory and every figure must be the same, and the heap must pass its own check. Under policy
//! `General` that is also every slot, every magazine's next slot, and the figures of every size class, also where caches own runs, which
//! come and go and free each other's objects.
//!
//! A failure prints the heap as blocks and the seed of the program. `SLABFIT_SEED=n` runs that program again, and
//! `SLABFIT_OPS=n` makes each program so many operations long.

use std::env;
use std::ops::{Range, RangeInclusive};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use slabfit::{Config, GRANULE, MIN_REGION, Stats};
use slabfit_tests::arena::{ALIGNED, Bookkeeping, Setup};
use slabfit_tests::model::Placement;
use slabfit_tests::pair::Pair;
use slabfit_tests::program::{Op, Size, drive, finish};

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
    let Stats { slab, blocks, classes, spilled, refused_outside, caches } = stats;
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

/// Bytes of a request, small ones for the most part.
fn sizes() -> impl Strategy<Value = Size> {
    prop_oneof![
        6 => Just(Size::Slab),
        6 => (0..100usize).prop_map(Size::Bytes),
        6 => (0..600usize).prop_map(Size::Bytes),
        4 => (0..5000usize).prop_map(Size::Bytes),
        3 => any::<u16>().prop_map(|share| Size::Share(share / 8)),
        1 => any::<u16>().prop_map(Size::Share),
        1 => (0..64usize).prop_map(Size::Huge),
    ]
}

fn aligns() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(GRANULE), 1 => (0..13u32).prop_map(|shift| 1 << shift)]
}

/// Slots of every size in slabs of every size, the usual one as often as all others.
fn configs() -> impl Strategy<Value = Config> {
    let slab_size = prop_oneof![1..=64usize, 1..=4096usize];
    let slab_bytes = prop_oneof![
        5 => Just(None),
        2 => Just(Some(0)),
        2 => (0..2048usize).prop_map(Some),
        1 => any::<usize>().prop_map(Some),
    ];
    let config = (slab_size, slab_bytes).prop_map(|(slab_size, slab_bytes)| Config {
        slab_size,
        slab_bytes,
        ..Config::without_slab()
    });
    let caches = prop_oneof![1 => Just(0), 3 => 1..5usize];
    (prop_oneof![9 => config, 4 => Just(Config::without_slab())], caches)
        .prop_map(|(config, caches)| config.caches(caches))
}

fn setups() -> impl Strategy<Value = Setup> {
    let bookkeeping =
        prop_oneof![Just(Bookkeeping::Carved), (0..64usize).prop_map(Bookkeeping::Separate), Just(Bookkeeping::Zeroed)];
    let placement =
        prop_oneof![2 => Just(Placement::NextFit), 2 => Just(Placement::FirstFit), 3 => Just(Placement::General)];
    // As many heaps below 1 KiB as between 1 KiB and 1 MiB.
    let size =
        prop_oneof![(MIN_REGION..1024).boxed(), (10..20u32).prop_flat_map(|log| 1usize << log..=2 << log).boxed(),];
    // A region that starts inside a granule loses what is left of that one.
    let crooked = prop_oneof![3 => Just(0), 1 => 1..GRANULE];
    let offset = (0..ALIGNED / GRANULE, crooked)
        .prop_map(|(granules, less)| (granules * GRANULE + (GRANULE - less) % GRANULE, less));
    let config = (configs(), prop_oneof![1 => Just(0), 1 => 0..50_000usize]);
    (size, offset, config, placement, bookkeeping).prop_map(
        |(size, (offset, less), (config, reserve), placement, bookkeeping)| Setup {
            // Room for the larger bookkeeping of a region in one piece.
            size: size + less + reserve / 5 + usize::from(reserve > 0) * (2048 + config.caches * 3400),
            offset,
            config: config.reserve(reserve),
            placement,
            bookkeeping,
        },
    )
}

fn offsets(range: Range<isize>) -> impl Strategy<Value = isize> {
    prop_oneof![range.clone(), range.prop_map(|offset| offset & !15)]
}

/// How far a size is from the one that was asked for: not at all, for the most part.
fn more() -> impl Strategy<Value = isize> {
    prop_oneof![4 => Just(0), 1 => -40..=40isize, 1 => -600..=600isize]
}

/// Of the heap, or of one of its caches.
fn operations() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::AttachCache),
        2 => (0..4usize).prop_map(|cache| Op::DropCache { cache }),
        1 => (0..8usize).prop_map(|kept| Op::RecoverCaches { kept }),
        40 => operations_of_the_heap(),
        60 => (0..4usize, operations_of_the_heap()).prop_map(|(cache, op)| Op::By { cache, op: Box::new(op) }),
    ]
}

fn operations_of_the_heap() -> impl Strategy<Value = Op> {
    let object = || 0..10_000usize;
    prop_oneof![
        20 => (sizes(), aligns()).prop_map(|(size, align)| Op::Alloc { size, align }),
        2 => sizes().prop_map(|size| Op::AllocZeroed { size }),
        12 => object().prop_map(|object| Op::Free { object }),
        6 => (object(), more(), 0..6u32).prop_map(|(object, more, shift)| Op::FreeSized { object, more, shift: shift / 3 }),
        3 => (object(), more(), sizes()).prop_map(|(object, more, size)| Op::ReallocSized { object, more, size }),
        8 => (object(), sizes(), aligns())
            .prop_map(|(object, size, align)| Op::Realloc { object, size, align }),
        1 => (1..300usize).prop_map(|bytes| Op::FillUp { size: Size::Bytes(bytes) }),
        1 => Just(Op::FillUp { size: Size::Slab }),
        2 => (1..5usize).prop_map(|nth| Op::FreeEvery { nth }),
        3 => offsets(-64..3 << 19).prop_map(|offset| Op::FreeAt { offset }),
        3 => offsets(-64..1200).prop_map(|offset| Op::FreeAt { offset }),
        3 => (object(), offsets(-64..128)).prop_map(|(object, offset)| Op::FreeNear { object, offset }),
        2 => (0..64usize).prop_map(|nth| Op::FreeStale { nth }),
        1 => any::<usize>().prop_map(|address| Op::FreeAnything { address }),
        1 => (offsets(-64..1200), sizes()).prop_map(|(offset, size)| Op::ReallocAt { offset, size }),
        1 => (object(), 0..64usize).prop_map(|(object, granules)| Op::Forge { object, granules }),
        1 => (object(), 0..16usize, any::<u8>())
            .prop_map(|(header, at, byte)| Op::Overwrite { header, at, byte }),
        1 => any::<u64>().prop_map(|seed| Op::Scribble { seed }),
        1 => Just(Op::Repair),
        1 => Just(Op::EmptyMagazines),
        2 => (0..10_000usize).prop_map(|bytes| Op::Extend { bytes }),
    ]
}

/// Runs a program with everything compared after every step.
fn run_and_compare(setup: Setup, program: &[Op]) -> Result<(), TestCaseError> {
    let fail = |disagreement: &dyn ToString| TestCaseError::fail(disagreement.to_string());
    let mut pair = Pair::new(setup).map_err(|error| fail(&error))?;
    for op in program {
        op.run(&mut pair).and_then(|()| pair.compare()).map_err(|disagreement| fail(&disagreement))?;
    }
    finish(&mut pair, &mut fastrand::Rng::with_seed(0)).map_err(|disagreement| fail(&disagreement))
}

#[test]
fn heap_and_model_agree_on_everything_after_every_step() {
    let seed = number_from_environment("SLABFIT_SEED").unwrap_or_else(|| fastrand::u64(..));
    let mut seeds = [0; 32];
    seeds[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seeds);
    let config = ProptestConfig { failure_persistence: None, cases: 1_000, ..ProptestConfig::default() };
    let programs = (setups(), prop::collection::vec(operations(), 1..120));
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&programs, |(setup, program)| run_and_compare(setup, &program));
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, (_, program))) => {
            panic!("{why}\nthe program:\n{program:#?}\nreplay with SLABFIT_SEED={seed}")
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}
