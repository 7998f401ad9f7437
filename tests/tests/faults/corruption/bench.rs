//! A heap after random operations, and what must hold once something in it was written over.

use std::collections::BTreeMap;

use fastrand::Rng;
use slabfit::{Config, GRANULE, InvalidFree, Kind, Reason, Segment, State};
use slabfit_tests::abuse::fenced::{Case, Edge};
use slabfit_tests::abuse::lab::{Agreed, Lab, Snapshot};
use slabfit_tests::model::{By, Header, Placement};
use slabfit_tests::program::any_share;

use super::FARTHEST;

/// A heap after random operations, and back to there before every trial.
pub struct Bench {
    pub lab: Lab,
    pub middle: Snapshot,
    pub rng: Rng,
    /// How often something of each kind was hit.
    pub hits: BTreeMap<&'static str, u64>,
    pub trials: u64,
}

impl Bench {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut lab = Lab::new(case_of(seed, &mut rng));
        let Case { placement, config, .. } = lab.case();
        if placement == Placement::General {
            lab.attach().unwrap().ok();
        }
        for _ in 0..rng.usize(60..160) {
            lab.random_step(&mut rng).unwrap();
        }
        // Slots in every state: live, returned, and never used where there are many.
        for _ in 0..4 {
            lab.alloc(config.slab_size, GRANULE).unwrap().ok();
        }
        let slots = lab.objects().into_iter().filter(|&(at, _)| lab.heap().segment(Segment::Slab).contains(&at));
        if let Some((slot, _)) = slots.collect::<Vec<_>>().get(1) {
            lab.free(*slot).unwrap().expect("it is live");
        }
        if placement == Placement::General {
            slots_in_every_state(&mut lab);
        }
        lab.compare().unwrap();
        let middle = lab.save();
        Self { lab, middle, rng, hits: BTreeMap::new(), trials: 0 }
    }

    /// One trial of what `abuse` writes.
    pub fn trial(&mut self, abuse: impl FnOnce(&mut Lab, &mut Rng)) {
        self.lab.restore(&self.middle);
        abuse(&mut self.lab, &mut self.rng);
        self.lab.note();
        self.trials += 1;
        if let Err(deviation) = after_abuse(&mut self.lab, &mut self.rng) {
            panic!("trial {}: {deviation:?}", self.trials);
        }
    }

    pub fn count(&mut self, kind: &'static str) {
        *self.hits.entry(kind).or_default() += 1;
    }

    pub fn headers(&mut self) -> Vec<Header> {
        self.lab.restore(&self.middle);
        self.lab.model.headers()
    }

    pub fn live(&mut self) -> Vec<(usize, usize)> {
        self.lab.restore(&self.middle);
        self.lab.objects()
    }
}

/// Every policy, and every way to lay a small heap out.
fn case_of(seed: u64, rng: &mut Rng) -> Case {
    let placement = match seed % 4 {
        1 => Placement::General,
        3 => Placement::FirstFit,
        _ => Placement::NextFit,
    };
    let config = Config::new([16, 32, 40, 64][rng.usize(..4)]);
    let (size, config) = match placement {
        // The classes of up to 64 bytes, beside a small slab.
        Placement::General => (GRANULE * rng.usize(2100..2200), config.slab_bytes(256).caches(2)),
        _ => (GRANULE * rng.usize(48..160), config),
    };
    let case = Case {
        size,
        config: if seed % 5 == 2 { any_share(config, size, rng) } else { config },
        placement,
        carved: seed % 3 == 1,
        edge: if seed % 2 == 0 { Edge::High } else { Edge::Low },
    };
    let bookkeeping = if placement == Placement::General { 14 << 10 } else { 512 };
    Case { size: if case.carved { case.size + bookkeeping } else { case.size }, ..case }
}

/// Slots of a run of the heap's and of a cache's that are live, in the full magazine, and given back to their run, the cache's also by
/// the heap; where a slab leaves no room for runs, blocks.
fn slots_in_every_state(lab: &mut Lab) {
    let caches = lab.model.attached().into_iter().map(By::Cache);
    for by in [By::Heap].into_iter().chain(caches) {
        let slots: Vec<usize> = (0..42).map_while(|_| lab.alloc_by(by, 1, GRANULE).unwrap().ok()).collect();
        for (nth, slot) in slots.into_iter().take(37).enumerate() {
            let by = if nth % 12 == 11 { By::Heap } else { by };
            lab.free_by(by, slot).unwrap().expect("it is live");
        }
    }
}

/// What must hold once something was written over.
fn after_abuse(lab: &mut Lab, rng: &mut Rng) -> Agreed<()> {
    lab.compare()?;
    refused_and_still_live(lab)?;
    for _ in 0..rng.usize(..12) {
        lab.random_step(rng)?;
    }
    lab.compare()?;
    lab.repair()?;
    lab.compare()?;
    for _ in 0..rng.usize(..12) {
        lab.random_step(rng)?;
    }
    lab.compare()?;
    if rng.u32(..8) == 0 { lab.finish(rng) } else { Ok(()) }
}

/// The blocks whose own header was hit are refused by name and stay; that is counted each time.
fn refused_and_still_live(lab: &mut Lab) -> Agreed<()> {
    let hit: Vec<usize> = lab.model.overwritten.iter().take(3).copied().collect();
    for block in hit {
        let address = block + GRANULE;
        let before = lab.heap().stats().map(|stats| stats.blocks.corruptions);
        let refused = Err(InvalidFree { address, reason: Reason::HeaderOverwritten });
        let freed = lab.free(address)?;
        lab.same("a free of a block that was hit", freed, refused)?;
        let moved = lab.realloc(address, 1, GRANULE)?;
        lab.same("a realloc of a block that was hit", moved.is_err(), true)?;
        let after = lab.heap().stats().map(|stats| stats.blocks.corruptions);
        lab.same("corruptions counted", after, before.map(|count| count + 2))?;
    }
    lab.compare_places()
}

/// What may be written over: the region, without the bookkeeping if that lies in it, but with the granules that guard it.
pub fn region_of(bench: &Bench) -> std::ops::Range<usize> {
    let base = bench.lab.base();
    let start = if bench.lab.case().carved { base - FARTHEST } else { base };
    start..base + bench.lab.heap().size()
}

/// What lies at an address, for the count of what was hit.
pub fn kind_of(lab: &Lab, address: usize) -> &'static str {
    let rover = lab.model.rover();
    let headers = lab.model.headers();
    let found = lab.model.blocks().find(|block| (block.address..block.address + block.size).contains(&address));
    match found {
        None if lab.heap().segment(Segment::Slab).contains(&address) => "the slab's tail",
        None if lab.model.owns(address) => "the tail of a run",
        None => "a guard granule",
        Some(block) => match (block.segment, block.state) {
            (Segment::Blocks, State::Used) if block.kind == Kind::Slot => "a live slot of a run",
            (Segment::Blocks, State::Free) if block.kind == Kind::Slot => "a free slot of a run",
            (Segment::Slab, State::Used) => "a live slot",
            (Segment::Slab, State::Free) if headers.iter().any(|header| header.address == block.address) => {
                "a returned slot"
            }
            (Segment::Slab, State::Free) => "a slot never used",
            (Segment::Blocks, State::Used) => "a live block",
            (Segment::Blocks, State::Free) if Some(block.address) == rover => "the rover's free block",
            (Segment::Blocks, State::Free) => "a free block",
        },
    }
}
