//! Random programs on heaps of every policy, few enough for a machine that is emulated: `ci/slow/87-big-endian` runs them there.

use fastrand::Rng;
use slabfit::{MIN_REGION, SpinLock};
use slabfit_model::arena::Setup;
use slabfit_model::program::{Op, drive, run};

#[test]
fn long_programs_agree_with_the_model() {
    for seed in 0..60 {
        drive(seed, 1_000, MIN_REGION..=64 << 10).unwrap_or_else(|disagreement| panic!("seed {seed}: {disagreement}"));
    }
}

#[test]
fn short_programs_agree_with_the_model_after_every_step() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let setup = Setup::random(&mut rng, MIN_REGION..=8 << 10);
        let ops: Vec<Op> = (0..40).map(|_| Op::random(&mut rng, setup.size, 60)).collect();
        run::<SpinLock>(setup, &ops).unwrap_or_else(|disagreement| panic!("seed {seed}: {disagreement}"));
    }
}
