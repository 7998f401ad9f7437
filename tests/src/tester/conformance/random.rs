//! Random programs beside the reference model: an allocator that behaves as the contract says gives the very same
//! addresses, for the contract leaves it no choice.

use fastrand::Rng;
use slabfit::{Config, GRANULE};

use super::bench::Bench;
use super::{Scenario, headers};
use crate::model::Model;
use crate::tester::session::{Failure, Place, fail};
use crate::tester::window::Object;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::always("a random program on one page gets the addresses of the reference model", |bench| {
        Program::new(bench, 4096, 64)?.run(20_000)
    }),
    Scenario::always("a random program on 64 KiB gets the addresses of the reference model", |bench| {
        let slab_size = Rng::with_seed(bench.given().seed).usize(1..=300);
        Program::new(bench, 64 << 10, slab_size)?.run(20_000)
    }),
];

/// Steps between two looks at every header in the heap.
const HEADERS_EVERY: usize = 500;

struct Program<'a, 'b> {
    bench: &'a mut Bench<'b>,
    model: Model,
    random: Rng,
    live: Vec<Object>,
    base: usize,
    size: usize,
    slab_size: usize,
}

impl<'a, 'b> Program<'a, 'b> {
    fn new(bench: &'a mut Bench<'b>, size: usize, slab_size: usize) -> Result<Self, Failure> {
        let given = bench.given();
        bench.init(size, slab_size)?;
        let base = bench.session()?.window().base().addr();
        let model = Model::new(base, size, Config::new(slab_size), given.placement);
        let random = Rng::with_seed(given.seed);
        Ok(Self { bench, model, random, live: Vec::new(), base, size, slab_size })
    }

    /// Alternates between filling the heap and emptying it, so that both the full and the empty one are met.
    fn run(mut self, steps: usize) -> Result<(), Failure> {
        let mut filling = true;
        for step in 0..steps {
            if self.random.usize(..400) == 0 {
                filling = !filling;
            }
            let taken = self.step(if filling { 60 } else { 35 });
            taken.map_err(|failure| Failure(format!("step {step}: {failure}")))?;
            if step % HEADERS_EVERY == 0 {
                self.compare_headers()?;
            }
        }
        self.bench.free_all(self.live)
    }

    fn step(&mut self, allocations: u32) -> Result<(), Failure> {
        match self.random.u32(..100) {
            95.. => self.free_anywhere(),
            choice if choice < allocations => self.allocate(),
            _ => self.free(),
        }
    }

    fn allocate(&mut self) -> Result<(), Failure> {
        let size = match self.random.u32(..10) {
            0..4 => self.slab_size,
            4..9 => self.random.usize(1..=128),
            _ => self.random.usize(1..=self.size / 4),
        };
        let object = match self.model.alloc(size, 1) {
            Ok(address) => self.bench.serve_at(address - self.base, size)?,
            Err(_) => return self.bench.refuse(size),
        };
        self.live.push(object);
        Ok(())
    }

    fn free(&mut self) -> Result<(), Failure> {
        if self.live.is_empty() {
            return Ok(());
        }
        let object = self.live.swap_remove(self.random.usize(..self.live.len()));
        self.bench.free(object)?;
        let freed = self.model.free(self.base + object.offset());
        freed.map_err(|wrong| Failure(format!("the model refuses what was served: {wrong}")))
    }

    /// Frees an address that is no live object's.
    fn free_anywhere(&mut self) -> Result<(), Failure> {
        let offset = self.random.usize(..self.size / GRANULE) * GRANULE;
        if self.live.iter().any(|object| object.offset() == offset) {
            return Ok(());
        }
        match self.model.free(self.base + offset) {
            Err(wrong) => self.bench.reject_at(offset, &wrong.reason.to_string()),
            Ok(()) => fail!("the model has something live at {} that was not served", Place(offset)),
        }
    }

    fn compare_headers(&mut self) -> Result<(), Failure> {
        for header in self.model.headers() {
            let length = header.length as usize;
            headers::expect(self.bench, header.address - self.base, length, header.link as u64)?;
        }
        Ok(())
    }
}
