//! Carries out one step of a test, on slabfit's own heap in this process.

use serde::{Deserialize, Serialize};
use slabfit::Config;
use slabfit_linux::{MapError, MappedHeap};

use crate::model::Placement;
use crate::tester::allocator::Allocator;
use crate::tester::conformance::{Given, Scenario};
use crate::tester::own::OwnHeap;
use crate::tester::recordings::Recording;
use crate::tester::replay::{Replayed, replay};
use crate::tester::session::{Failure, Session};
use crate::tester::stress::{Stressed, stress};
use crate::tester::trace_args::PlacementArgument;

/// What every step needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Bytes of the heap.
    pub size: usize,
    /// Slot size of the slab, in bytes.
    pub slab_size: usize,
    /// How the heap places objects; a library has next fit.
    pub placement: PlacementArgument,
    /// Where random choices begin.
    pub seed: u64,
    /// Threads of the stress test.
    pub threads: usize,
    /// Characters of a picture's row.
    pub width: usize,
}

impl Settings {
    /// How the heap places objects.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.placement.into()
    }

    /// Carries out a scenario on an allocator that was not initialised.
    ///
    /// # Errors
    /// What the allocator did wrong.
    pub fn scenario(&self, allocator: &dyn Allocator, scenario: &Scenario) -> Result<(), Failure> {
        let Self { size, slab_size, seed, .. } = *self;
        scenario.run(allocator, Given { size, slab_size, seed, placement: self.placement() })
    }

    /// Replays a program on an allocator that was not initialised.
    ///
    /// # Errors
    /// As [`scenario`](Self::scenario).
    pub fn replay(
        &self,
        allocator: &dyn Allocator,
        recording: &Recording,
        watch: &dyn Fn(u64),
    ) -> Result<Replayed, Failure> {
        let session = Session::begin(allocator, self.size, self.slab_size)?;
        replay(&session, &recording.trace, watch, self.width)
    }

    /// Runs the stress on an allocator that was not initialised.
    ///
    /// # Errors
    /// As [`scenario`](Self::scenario).
    pub fn stress(&self, allocator: &dyn Allocator, watch: &(dyn Fn(u64) + Sync)) -> Result<Stressed, Failure> {
        let session = Session::begin(allocator, self.size, self.slab_size)?;
        stress(&session, self.threads, self.seed, watch)
    }
}

/// Carries out steps, each on a heap of its own.
pub trait Runner {
    /// Carries out a scenario.
    ///
    /// # Errors
    /// What the allocator did wrong.
    fn scenario(&self, scenario: &Scenario) -> Result<(), Failure>;

    /// Replays a program.
    ///
    /// # Errors
    /// As [`scenario`](Self::scenario).
    fn replay(&self, recording: &Recording, watch: &dyn Fn(u64)) -> Result<Replayed, Failure>;

    /// Runs the stress.
    ///
    /// # Errors
    /// As [`scenario`](Self::scenario).
    fn stress(&self, watch: &(dyn Fn(u64) + Sync)) -> Result<Stressed, Failure>;

    /// Why no further step is worth its time, once that is so.
    fn given_up(&self) -> Option<Failure> {
        None
    }
}

/// slabfit's own heap, in this process: whoever debugs or profiles it finds it here.
pub struct OwnRunner(Settings);

impl OwnRunner {
    /// Heaps as `settings` says.
    ///
    /// # Errors
    /// The system has no memory for one, which is no reason of the heap.
    pub fn new(settings: Settings) -> Result<Self, MapError> {
        MappedHeap::new(settings.size, Config::new(settings.slab_size))?;
        Ok(Self(settings))
    }

    fn heap(&self) -> OwnHeap {
        OwnHeap::new(self.0.placement())
    }
}

impl Runner for OwnRunner {
    fn scenario(&self, scenario: &Scenario) -> Result<(), Failure> {
        self.0.scenario(&self.heap(), scenario)
    }

    fn replay(&self, recording: &Recording, watch: &dyn Fn(u64)) -> Result<Replayed, Failure> {
        // Whoever watches draws a bar, and merely to be asked takes that longer than an operation takes.
        let now_and_then = |done| {
            if done % 1024 == 0 {
                watch(done);
            }
        };
        self.0.replay(&self.heap(), recording, &now_and_then)
    }

    fn stress(&self, watch: &(dyn Fn(u64) + Sync)) -> Result<Stressed, Failure> {
        self.0.stress(&self.heap(), watch)
    }
}
