//! The conformance scenarios: what the contract says of `Mem_Init`, `Mem_Alloc` and `Mem_Free`, one claim each.
//!
//! They ask nothing but these three functions and look at nothing but the heap's memory, so that they run against any
//! `libmem.so`. Each has a heap of its own.

mod bench;
mod coalescing;
mod headers;
mod next_fit;
mod random;
mod setup;
mod slab;
mod wrong_frees;

use crate::model::Placement;
use crate::tester::allocator::Allocator;
use crate::tester::session::Failure;
use bench::Bench;

/// Which placements a scenario describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Whatever the placement.
    Always,
    /// Under next fit, which is what `Mem_Init` gives.
    UnderNextFit,
    /// Where blocks serve every request that is not the slab's.
    WithoutClasses,
}

impl Holds {
    /// Whether it describes `placement`.
    #[must_use]
    pub fn under(self, placement: Placement) -> bool {
        match self {
            Self::Always => true,
            Self::UnderNextFit => placement == Placement::NextFit,
            Self::WithoutClasses => placement != Placement::General,
        }
    }
}

/// One claim of the contract.
pub struct Scenario {
    /// The claim, in words.
    pub claim: &'static str,
    /// Which placements it is about.
    pub holds: Holds,
    run: fn(&mut Bench<'_>) -> Result<(), Failure>,
}

/// What a scenario may use beside the allocator.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// Bytes of the heap that the user named; most scenarios have a size of their own.
    pub size: usize,
    /// The slab size that the user named.
    pub slab_size: usize,
    /// Where random choices begin.
    pub seed: u64,
    /// How the allocator places.
    pub placement: Placement,
}

impl Scenario {
    const fn always(claim: &'static str, run: fn(&mut Bench<'_>) -> Result<(), Failure>) -> Self {
        Self { claim, holds: Holds::Always, run }
    }

    const fn without_classes(claim: &'static str, run: fn(&mut Bench<'_>) -> Result<(), Failure>) -> Self {
        Self { claim, holds: Holds::WithoutClasses, run }
    }

    const fn next_fit(claim: &'static str, run: fn(&mut Bench<'_>) -> Result<(), Failure>) -> Self {
        Self { claim, holds: Holds::UnderNextFit, run }
    }

    /// Whether the claim is true of `allocator`, which must not have been initialised.
    ///
    /// # Errors
    /// What happened instead, with a picture of the heap.
    pub fn run(&self, allocator: &dyn Allocator, given: Given) -> Result<(), Failure> {
        let mut bench = Bench::new(allocator, given);
        (self.run)(&mut bench).map_err(|failure| Failure(format!("{failure}{}", bench.picture())))?;
        bench.check()
    }
}

/// All of them, the simple ones first.
pub fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    [setup::SCENARIOS, slab::SCENARIOS, next_fit::SCENARIOS, coalescing::SCENARIOS, headers::SCENARIOS]
        .into_iter()
        .chain([wrong_frees::SCENARIOS, random::SCENARIOS])
        .flatten()
}

/// The scenario with this claim.
#[must_use]
pub fn scenario(claim: &str) -> Option<&'static Scenario> {
    scenarios().find(|scenario| scenario.claim == claim)
}
