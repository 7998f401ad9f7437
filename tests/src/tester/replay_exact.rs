//! Makes the calls of a trace again, on a heap whose objects nobody writes to, and compares each address with the recorded
//! one.

use core::fmt;
use std::io;
use std::time::{Duration, Instant};

use slabfit::{GRANULE, ReallocError, Stats};

use crate::model::Placement;
use crate::tester::extension::{Event, Note, Place, Wish};
use crate::tester::replay_heap::{Ground, Offset, ReplayHeap, count};
use crate::tester::session::Failed;
use crate::tester::trace::{Operation, Trace};

/// How it went.
#[derive(Clone, Debug)]
pub struct ExactReplay {
    /// Operations that were made: all, but where the first failure ends it.
    pub operations: usize,
    /// How long they took.
    pub time: Duration,
    /// Requests that got no memory.
    pub failed: Failed,
    /// Operations on objects that were never served.
    pub skipped: u64,
    /// Addresses that were compared with the recorded ones.
    pub compared: u64,
    /// Where the replay left the recording, if it did.
    pub difference: Option<Difference>,
    /// The heap's figures at the end.
    pub stats: Stats,
}

/// The first call that came to something else than was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which call, in words.
    pub call: String,
    /// What it came to when it was recorded.
    pub recorded: String,
    /// What it comes to here.
    pub here: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: recorded {}, here {}", self.call, self.recorded, self.here)
    }
}

/// When to end before the trace does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Not at all.
    End,
    /// Not at all; and then the magazines of the size classes are emptied.
    Emptied,
    /// At the first request that gets no memory.
    Failure,
    /// At the first call that comes to something else than was recorded.
    Difference,
}

/// The ground that a trace was recorded on, if it says so.
#[must_use]
pub fn recorded_ground(trace: &Trace) -> Option<Ground> {
    let setup = &trace.recorded()?.setup;
    let (heap, slab_size) = (usize::try_from(setup.heap).ok()?, usize::try_from(setup.slab_size).ok()?);
    Some(Ground { heap, slab_size, placement: setup.placement })
}

/// Makes the calls of `trace` on a heap of `ground`. `watch` is told now and then how many are done.
///
/// # Errors
/// There is no such heap.
pub fn replay_exactly(trace: &Trace, ground: Ground, until: Until, watch: &dyn Fn(u64)) -> io::Result<ExactReplay> {
    let mut stage = Stage::new(trace, ground, until)?;
    let started = Instant::now();
    let done = stage.run(watch);
    Ok(ExactReplay {
        operations: done,
        time: started.elapsed(),
        failed: stage.failed,
        skipped: stage.skipped,
        compared: stage.compared,
        difference: stage.difference,
        stats: stage.heap.stats(),
    })
}

/// Bytes of the longest run of a size class, to multiples of which runs lie.
const LONGEST_RUN: u64 = 8 << 10;

/// The largest alignment that the trace's placements depend on. A realloc keeps to 16.
fn alignment(trace: &Trace, placement: Placement) -> u64 {
    let notes = trace.recorded().map_or(&[][..], |recorded| &recorded.notes);
    let of_runs = if placement == Placement::General { LONGEST_RUN } else { 1 };
    notes.iter().map(|note| note.wish.alignment).max().unwrap_or(1).max(of_runs)
}

struct Stage<'a> {
    trace: &'a Trace,
    heap: ReplayHeap,
    /// By the trace's count: where each object is while it is live.
    objects: Vec<Option<Offset>>,
    until: Until,
    failed: Failed,
    skipped: u64,
    compared: u64,
    difference: Option<Difference>,
}

impl<'a> Stage<'a> {
    fn new(trace: &'a Trace, ground: Ground, until: Until) -> io::Result<Self> {
        let base = trace.recorded().map_or(0, |recorded| recorded.setup.base);
        let alignment =
            usize::try_from(alignment(trace, ground.placement)).unwrap_or(1).min(ground.heap.next_power_of_two());
        let (heap, objects) = (ReplayHeap::new(ground, base, alignment)?, vec![None; trace.objects()]);
        let (failed, difference) = (Failed::default(), None);
        Ok(Self { trace, heap, objects, until, failed, skipped: 0, compared: 0, difference })
    }

    /// How many operations were made.
    fn run(&mut self, watch: &dyn Fn(u64)) -> usize {
        let recorded = self.trace.recorded();
        let mut events = recorded.map_or(&[][..], |recorded| &recorded.events);
        for (index, &operation) in self.trace.operations().iter().enumerate() {
            while let Some(((_, event), rest)) = events.split_first().filter(|((next, _), _)| *next == index) {
                events = rest;
                self.event(index, event);
            }
            if self.is_over() {
                return index;
            }
            let note = recorded.map(|recorded| recorded.notes[index]).unwrap_or_default();
            self.step(index, operation, note);
            if self.is_over() {
                return index + 1;
            }
            if index % 1024 == 0 {
                watch(index as u64);
            }
        }
        let end = self.trace.operations().len();
        if self.until == Until::Emptied {
            self.heap.empty_magazines();
        }
        events.iter().for_each(|(_, event)| self.event(end, event));
        end
    }

    fn is_over(&self) -> bool {
        match self.until {
            Until::End | Until::Emptied => false,
            Until::Failure => self.failed.total() > 0,
            Until::Difference => self.difference.is_some(),
        }
    }

    fn step(&mut self, index: usize, operation: Operation, note: Note) {
        let object = match operation {
            Operation::Allocate { object, size } => {
                let served = self.heap.alloc(size, note.wish);
                self.objects[object as usize] = served.ok();
                served.map_err(|why| count(&mut self.failed, why)).ok()
            }
            Operation::Reallocate { object, size } => {
                let Some(old) = self.objects[object as usize] else { return self.skipped += 1 };
                let served = self.heap.realloc(old, size);
                match served {
                    Ok(moved) => self.objects[object as usize] = Some(moved),
                    Err(ReallocError::Alloc(why)) => count(&mut self.failed, why),
                    Err(_) => self.failed.unexplained += 1,
                }
                served.ok()
            }
            Operation::Free { object } => {
                match self.objects[object as usize].take() {
                    Some(old) if self.heap.free(old) => {}
                    Some(old) => self.differ(|trace| trace.describe(index), "freed".to_owned(), at(old, "refused at")),
                    None => self.skipped += 1,
                }
                return;
            }
        };
        if let (Until::Difference, Some(recorded)) = (self.until, note.at) {
            self.compared += 1;
            if object != Some(recorded) {
                let here = object.map_or("no memory".to_owned(), |here| at(here, "at"));
                self.differ(|trace| trace.describe(index), at(recorded, "at"), here);
            }
        }
    }

    /// A call that changed no object must change none here. Where that is not compared, it need not even be made.
    fn event(&mut self, next: usize, event: &Event) {
        if self.until != Until::Difference {
            return;
        }
        let before = |call: &str| format!("before operation {}, '{call}'", next + 1);
        match event {
            Event::NotAllocated { size, wish, why } => {
                if let Ok(here) = self.heap.alloc(*size, *wish) {
                    self.differ(|_| before(&format!("#-a {size}{}", Wished(*wish))), why.clone(), at(here, "at"));
                }
            }
            Event::NotReallocated { object, size, why } => {
                let Some(old) = self.objects[*object as usize] else { return };
                if let Ok(here) = self.heap.realloc(old, *size) {
                    let call = |trace: &Trace| before(&format!("#-r {} {size}", trace.id(*object)));
                    self.differ(call, why.clone(), at(here, "at"));
                }
            }
            // What the program has written over a header it does not write here.
            Event::Refused { place: Place::Offset(place), reason, .. } if reason != "header overwritten" => {
                if self.heap.free(*place) {
                    self.differ(
                        |_| before(&format!("#!f {place}")),
                        format!("refused as {reason}"),
                        "freed".to_owned(),
                    );
                }
            }
            Event::Emptied => self.heap.empty_magazines(),
            Event::Refused { .. } | Event::Interrupted(_) | Event::Forked(_) => {}
        }
    }

    fn differ(&mut self, call: impl FnOnce(&Trace) -> String, recorded: String, here: String) {
        if self.difference.is_none() {
            self.difference = Some(Difference { call: call(self.trace), recorded, here });
        }
    }
}

fn at(offset: Offset, how: &str) -> String {
    format!("{how} base + {offset}")
}

/// A wish as a recording writes it.
struct Wished(Wish);

impl fmt::Display for Wished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wish { alignment, zeroed } = self.0;
        if alignment > GRANULE as u64 {
            write!(f, " m{alignment}")?;
        }
        f.write_str(if zeroed { " z" } else { "" })
    }
}
