//! A trace on slabfit's own heap, operation by operation, so that the heap can be looked at in between. Nothing is filled or
//! verified: that is what [`replay`](crate::tester::replay) is for.
#![allow(unsafe_code)]

use core::fmt;
use core::ptr::NonNull;

use slabfit::NoLock;
use slabfit_linux::text::{Bytes, Count, Grouped};

use crate::any_heap::AnyHeap;
use crate::model::Placement;
use crate::tester::extension::Wish;
use crate::tester::picture_args::TraceOnHeap;
use crate::tester::recordings::Recording;
use crate::tester::replay_heap::{Ground, ReplayHeap, bytes, name, serve};
use crate::tester::run::{Stop, bar};
use crate::tester::sys;
use crate::tester::trace::{Operation, Trace};

impl TraceOnHeap {
    /// Reads the trace.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn load(&self) -> Result<Recording, Stop> {
        Recording::named(&self.trace).map_err(Stop::Load)
    }

    /// The heap, whose pages take no memory until an object's header or a free slot's is written there. It starts where the
    /// preload library's does, at a multiple of 8 KiB.
    fn ground(&self) -> Result<ReplayHeap, Stop> {
        let heap = self.heap.next_multiple_of(sys::page_size());
        let ground = Ground { heap, slab_size: self.slab_size, placement: self.placement.into() };
        let ground = ReplayHeap::new(ground, 0, 8192);
        ground.map_err(|error| Stop::Usage(format!("cannot make the heap: {error}")))
    }
}

/// A trace on the way.
pub struct SteppedReplay<'t> {
    name: String,
    trace: &'t Trace,
    placement: Placement,
    ground: ReplayHeap,
    /// By the trace's count: where each object is while it is live, and the bytes that were asked for.
    objects: Vec<Option<(NonNull<u8>, u64)>>,
    done: usize,
    asked: u64,
    /// Requests that got no memory. The replay goes on without them.
    failed: u64,
}

impl<'t> SteppedReplay<'t> {
    /// An empty heap, and the trace at its beginning.
    ///
    /// # Errors
    /// There can be no such heap.
    pub fn begin(arguments: &TraceOnHeap, recording: &'t Recording) -> Result<Self, Stop> {
        let trace = &recording.trace;
        Ok(Self {
            name: recording.source.name(),
            trace,
            placement: arguments.placement.into(),
            ground: arguments.ground()?,
            objects: vec![None; trace.objects()],
            done: 0,
            asked: 0,
            failed: 0,
        })
    }

    /// The heap as it is now.
    #[must_use]
    pub fn heap(&self) -> &AnyHeap<NoLock> {
        self.ground.heap()
    }

    /// Operations that are done, and all of them.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.done, self.trace.operations().len())
    }

    /// Bytes that are live now, as the program asked for them.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// Requests that failed so far.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Goes on until so many operations are done.
    ///
    /// # Errors
    /// The heap refused what it must not refuse.
    pub fn advance(&mut self, until: usize) -> Result<(), Stop> {
        let operations = self.trace.operations().get(self.done..until).unwrap_or_default();
        operations.iter().try_for_each(|&operation| self.step(operation))
    }

    /// Goes on as [`advance`](Self::advance) does, and shows a bar meanwhile.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn advance_with_bar(&mut self, until: usize) -> Result<(), Stop> {
        const STEP: usize = 10_000;
        let bar = bar(&self.name, until as u64);
        while self.done < until {
            self.advance(until.min(self.done + STEP))?;
            bar.set_position(self.done as u64);
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn step(&mut self, operation: Operation) -> Result<(), Stop> {
        match operation {
            Operation::Allocate { object, size } => self.allocate(object, size),
            Operation::Reallocate { object, size } => self.reallocate(object, size)?,
            Operation::Free { object } => self.free(object)?,
        }
        self.done += 1;
        Ok(())
    }

    fn allocate(&mut self, id: u32, size: u64) {
        let notes = self.trace.recorded().map_or(&[][..], |recorded| &recorded.notes);
        let wish = notes.get(self.done).map_or_else(Wish::default, |note| note.wish);
        match serve(self.heap(), size, wish) {
            Ok(object) => {
                self.objects[id as usize] = Some((object, size));
                self.asked += size;
            }
            Err(_) => self.failed += 1,
        }
    }

    fn reallocate(&mut self, id: u32, size: u64) -> Result<(), Stop> {
        let Some((object, old)) = self.objects[id as usize] else { return Ok(()) };
        // SAFETY: nobody uses the objects of a replay at all.
        match unsafe { self.heap().realloc(object.as_ptr(), bytes(size)) } {
            Ok(resized) => {
                self.objects[id as usize] = Some((resized, size));
                self.asked = self.asked - old + size;
            }
            Err(slabfit::ReallocError::Alloc(_)) => self.failed += 1,
            Err(error) => return Err(self.refused(&error)),
        }
        Ok(())
    }

    fn free(&mut self, id: u32) -> Result<(), Stop> {
        let Some((object, size)) = self.objects[id as usize].take() else { return Ok(()) };
        self.asked -= size;
        // SAFETY: nobody uses the objects of a replay at all.
        unsafe { self.heap().free(object.as_ptr()) }.map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &dyn fmt::Display) -> Stop {
        Stop::Usage(format!("{}: {error}", self.trace.describe(self.done)))
    }

    /// What is replayed.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} in {}", self.name, Bytes(self.heap().size() as u64))
    }

    /// How far it has come, and how it went.
    #[must_use]
    pub fn note(&self) -> String {
        let (done, all) = self.progress();
        let (done, all, asked) = (Grouped(done as u64), Grouped(all as u64), Bytes(self.asked));
        format!("after operation {done} of {all} · the program has {asked} · {}", self.outcome())
    }

    /// How the heap places, and how many requests it has refused.
    #[must_use]
    pub fn outcome(&self) -> String {
        let placement = name(self.placement);
        match self.failed {
            0 => format!("{placement}, no request failed"),
            failed => format!("{placement}, {} failed", Count(failed, "request")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tester::recordings::Source;
    use crate::tester::trace_args::PlacementArgument;

    #[test]
    fn objects_lie_as_they_were_asked_for() {
        let text = "#slabfit 1 heap=65536 slab=64 placement=first base=0x0 pid=1 program=x\n\
            #@16400\na 0 100\n#@20480 m4096 z\na 1 100\n";
        let trace = Trace::decode(text.as_bytes(), 1 << 20).unwrap();
        let recording = Recording { source: Source::Shipped("x".to_owned()), trace };
        let placement = PlacementArgument::First;
        let arguments = TraceOnHeap { trace: "x".into(), heap: 65_536, slab_size: 64, placement };
        let mut replay = SteppedReplay::begin(&arguments, &recording).unwrap();
        replay.advance(2).unwrap();
        let base = replay.heap().base().unwrap().addr().get();
        let at = |id: usize| replay.objects[id].unwrap().0.addr().get() - base;
        assert_eq!((at(0), at(1)), (16_400, 20_480));
    }
}
