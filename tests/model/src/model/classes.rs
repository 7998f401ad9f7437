//! The size classes of policy `General`, as plainly as the rest of the model.
//!
//! A run is a live block of the block segment, without a header, that is cut into slots. A class has a stack of free slots, its
//! magazine: what is allocated is popped, what is freed is pushed. Which slots a class has and which of them are live is told by
//! the list of runs. A run belongs to the heap or to a [cache](super::caches), and what is said here of magazines is the heap's own.

use std::collections::BTreeSet;
use std::ops::Range;

use slabfit::State::{self, Free, Used};
use slabfit::{Block, CLASSES, ClassStats, Reason, Segment};

use super::{Model, block, is_free, range, slot};

/// Bytes of a slot of each class.
const SLOT_SIZES: [usize; CLASSES] = [16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512];
/// A run holds so many slots at least.
const FEWEST_SLOTS: usize = 16;
/// Bytes of the shortest run.
const SHORTEST_RUN: usize = 1 << 10;
/// A class exists where so many of its runs are no more than the segment.
const FEWEST_RUNS: usize = 32;
/// The most slots of a magazine.
pub(super) const MAGAZINE: usize = 32;

/// The classes of a heap and their runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Classes {
    /// The classes that exist, by slot size.
    pub(super) all: Vec<Class>,
    /// The runs of all classes, in address order.
    pub(super) runs: Vec<Run>,
}

#[derive(Clone, Debug)]
pub(super) struct Class {
    slot_size: usize,
    /// Addresses of free slots. The top is the last one.
    magazine: Vec<usize>,
    /// Counters and the peak. The other figures are counted from the runs when somebody asks.
    pub(super) counted: ClassStats,
}

#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Without the granule that its block may have behind it.
    pub(super) bytes: Range<usize>,
    /// All of one size, in address order. They need not reach the run's end.
    pub(super) slots: Vec<Block>,
    /// The number of the cache that owns it; `None` for the heap's own.
    pub(super) owner: Option<usize>,
    /// Slots of a cache's run that others freed and that the cache has not taken back.
    pub(super) returned: BTreeSet<usize>,
}

impl Model {
    /// Gives all magazines back, so that no run of the heap's own without a live slot is left, and what can be had of the caches.
    pub fn empty_magazines(&mut self) {
        for class in 0..self.classes.all.len() {
            self.give_back(class, self.classes.all[class].magazine.len());
        }
        self.reclaim_from_caches();
    }

    /// The magazine of every class: addresses of free slots, the next one last.
    pub fn magazines(&self) -> impl Iterator<Item = &[usize]> {
        self.classes.all.iter().map(|class| class.magazine.as_slice())
    }

    /// The class that serves a request, if there is one: that of the smallest slots that are large enough, if those are aligned.
    pub(super) fn class_of(&self, size: usize, align: usize) -> Option<usize> {
        let class = self.classes.all.iter().position(|class| class.slot_size >= size)?;
        let slots_lie_at = 1 << self.classes.all[class].slot_size.trailing_zeros();
        (align <= self.granule.max(slots_lie_at)).then_some(class)
    }

    /// Serves a request by a slot of its class. `None` where it has no class, or where the class has no slot and can have no run.
    pub(super) fn alloc_in_class(&mut self, size: usize, align: usize) -> Option<usize> {
        let class = self.class_of(size, align)?;
        self.classes.fill_magazine(class);
        if self.classes.all[class].magazine.is_empty() {
            self.open_run(class, None)?;
            self.classes.fill_magazine(class);
        }
        let address = self.classes.all[class].magazine.pop()?;
        self.classes.mark(address, Used);
        self.classes.all[class].counted.allocs += 1;
        Some(address)
    }

    /// Frees a slot. If the magazine is full, its older half is given back first.
    pub(super) fn release_into_magazine(&mut self, slot: Block) {
        let Some(class) = self.class_of(slot.size, 1) else { return };
        if self.classes.all[class].magazine.len() == MAGAZINE {
            self.give_back(class, MAGAZINE / 2);
        }
        self.classes.mark(slot.address, Free);
        self.classes.all[class].magazine.push(slot.address);
        self.classes.all[class].counted.frees += 1;
    }

    /// The live slot that begins at `address`, or what is wrong with the address; `None` if it lies in no run.
    pub(super) fn find_in_run(&self, address: usize) -> Option<Result<Block, Reason>> {
        let run = self.classes.runs.iter().find(|run| run.bytes.contains(&address))?;
        let Some(&slot) = run.slots.iter().find(|&&slot| range(slot).contains(&address)) else {
            return Some(Err(Reason::NotAStart)); // Behind the last slot.
        };
        Some(match slot.state {
            Free => Err(Reason::DoubleFree),
            Used if address != slot.address => Err(Reason::NotAStart),
            Used => Ok(slot),
        })
    }

    /// The slots that are shown in the place of a block, if the block is a run.
    pub(super) fn slots_of_run(&self, unit: &Block) -> Option<&[Block]> {
        let run = self.classes.runs.iter().find(|run| run.bytes.start == unit.address);
        run.map(|run| run.slots.as_slice())
    }

    /// Takes a run out of the first gap that holds one at a multiple of its length, and answers where it begins. `None` if no gap does.
    pub(super) fn open_run(&mut self, class: usize, owner: Option<usize>) -> Option<usize> {
        let slot_size = self.classes.all[class].slot_size;
        let length = run_bytes(slot_size);
        let start = self.take(length, length, 0)?;
        let starts = (0..length / slot_size).map(|nth| start + nth * slot_size);
        let slots = starts.map(|at| slot(Segment::Blocks, Free, at..at + slot_size)).collect();
        let index = self.classes.runs.partition_point(|run| run.bytes.start < start);
        let run = Run { bytes: start..start + length, slots, owner, returned: BTreeSet::new() };
        self.classes.runs.insert(index, run);
        let runs = self.classes.runs_of(slot_size).count();
        let counted = &mut self.classes.all[class].counted;
        counted.opened += 1;
        counted.peak_runs = counted.peak_runs.max(runs);
        Some(start)
    }

    /// Gives slots at the bottom of a magazine back, the bottom one first. A run that has no live slot then is freed, and its other
    /// slots leave the magazine with it.
    fn give_back(&mut self, class: usize, count: usize) {
        let bottom = self.classes.all[class].magazine[..count].to_vec();
        for slot in bottom {
            let magazine = &mut self.classes.all[class].magazine;
            let Some(place) = magazine.iter().position(|&other| other == slot) else {
                continue; // It left with its run.
            };
            magazine.remove(place);
            let run = self.classes.run_of(slot);
            if run.slots.iter().all(is_free) {
                let bytes = run.bytes.clone();
                self.classes.all[class].magazine.retain(|other| !bytes.contains(other));
                self.close_run(bytes.start);
            }
        }
    }

    /// Makes the run that begins at an address free memory.
    pub(super) fn close_run(&mut self, start: usize) {
        let index = self.classes.runs.partition_point(|run| run.bytes.start < start);
        let run = self.classes.runs.remove(index);
        self.release_block(block(Used, run.bytes));
    }
}

impl Classes {
    /// The classes of a block segment of so many bytes, without a run.
    pub(super) fn of(segment: usize) -> Self {
        let exist = SLOT_SIZES.into_iter().filter(|&slot_size| run_bytes(slot_size) * FEWEST_RUNS <= segment);
        let class = |slot_size| Class { slot_size, magazine: Vec::new(), counted: ClassStats::default() };
        Self { all: exist.map(class).collect(), runs: Vec::new() }
    }

    /// Whether there are any.
    pub(super) fn exist(&self) -> bool {
        !self.all.is_empty()
    }

    /// The run that an address lies in.
    ///
    /// # Panics
    /// If it lies in none.
    pub(super) fn run_of(&self, address: usize) -> &Run {
        self.runs.iter().find(|run| run.bytes.contains(&address)).expect("it lies in a run")
    }

    /// The cache that owns the run in which an address lies, if it lies in a run and a cache does.
    pub(super) fn owner_of(&self, address: usize) -> Option<usize> {
        self.runs.iter().find(|run| run.bytes.contains(&address))?.owner
    }

    /// Whether a run begins at an address.
    pub(super) fn is_run(&self, address: usize) -> bool {
        self.runs.iter().any(|run| run.bytes.start == address)
    }

    /// The figures of every class; zeros for those that do not exist.
    pub(super) fn stats(&self) -> [ClassStats; CLASSES] {
        let mut stats = [ClassStats::default(); CLASSES];
        for (class, stats) in stats.iter_mut().enumerate().take(self.all.len()) {
            *stats = self.stats_of(class);
        }
        stats
    }

    fn stats_of(&self, class: usize) -> ClassStats {
        let Class { slot_size, counted, .. } = self.all[class];
        let mut now = ClassStats { slot_size, ..counted };
        for run in self.runs_of(slot_size) {
            now.runs += 1;
            now.slots += run.slots.len();
            now.live_objects += run.slots.iter().filter(|slot| !is_free(slot)).count();
        }
        now
    }

    fn runs_of(&self, slot_size: usize) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| run.slots[0].size == slot_size)
    }

    /// Fills a magazine, if it is empty, from the heap's lowest run with a free slot: with its lowest ones, the lowest on top.
    fn fill_magazine(&mut self, class: usize) {
        let Class { slot_size, ref magazine, .. } = self.all[class];
        if !magazine.is_empty() {
            return;
        }
        let run = self.runs_of(slot_size).find(|run| run.owner.is_none() && run.slots.iter().any(is_free));
        let free = run.into_iter().flat_map(|run| &run.slots).filter(|slot| is_free(slot)).map(|slot| slot.address);
        let lowest: Vec<usize> = free.take(MAGAZINE).collect();
        self.all[class].magazine = lowest.into_iter().rev().collect();
    }

    /// Marks the slot that begins at an address as free or live.
    pub(super) fn mark(&mut self, address: usize, state: State) {
        for run in self.runs.iter_mut().filter(|run| run.bytes.contains(&address)) {
            run.slots.iter_mut().filter(|slot| slot.address == address).for_each(|slot| slot.state = state);
        }
    }
}

/// Bytes of a run of slots of this size.
fn run_bytes(slot_size: usize) -> usize {
    (slot_size * FEWEST_SLOTS).next_power_of_two().max(SHORTEST_RUN)
}
