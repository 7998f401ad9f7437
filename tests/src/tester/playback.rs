//! A trace on slabfit's own heap, operation by operation, so that the heap can be looked at in between. Nothing is filled or
//! verified: that is what [`replay`](crate::tester::replay) is for.
#![allow(unsafe_code)]

use core::fmt;
use core::ptr::NonNull;
use std::path::PathBuf;

use clap::Args;
use slabfit::{Config, Placement};
use slabfit_linux::MappedHeap;
use slabfit_linux::text::{Bytes, Count, Grouped};

use crate::tester::args::{PlacementArgument, size};
use crate::tester::recordings::{Recording, Source};
use crate::tester::run::{Stop, bar};
use crate::tester::trace::{Operation, Trace};

/// Which trace, and on which heap.
#[derive(Args, Clone, Debug)]
pub struct PlaybackArguments {
    /// A .rep trace, plain or .zst; or one that comes with the tester: gitlog, cargometa, gs, sqlite
    #[arg(value_name = "TRACE")]
    pub trace: PathBuf,
    /// Bytes of the heap: 1048576, 64K, 1MiB, 2G
    #[arg(long, value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    pub heap: usize,
    /// Bytes that the slab serves
    #[arg(long, value_name = "N", value_parser = size, default_value = "64", allow_negative_numbers = true)]
    pub slab_size: usize,
    /// Where the heap starts its search
    #[arg(long, value_name = "POLICY", default_value = "next")]
    pub placement: PlacementArgument,
}

impl PlaybackArguments {
    /// Reads the trace: the file of that name, or else the one that comes with the tester.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn load(&self) -> Result<Recording, Stop> {
        let shipped = |source: &Source| self.trace.as_os_str() == source.name().as_str() && !self.trace.exists();
        let source = Source::shipped().find(shipped).unwrap_or_else(|| Source::File(self.trace.clone()));
        source.load().map_err(Stop::Load)
    }

    fn heap(&self) -> Result<MappedHeap, Stop> {
        let config = Config { placement: self.placement.placement(), ..Config::new(self.slab_size) };
        MappedHeap::new(self.heap, config).map_err(|error| Stop::Usage(format!("cannot make the heap: {error}")))
    }
}

/// A trace on the way.
pub struct Playback<'t> {
    name: String,
    trace: &'t Trace,
    placement: Placement,
    heap: MappedHeap,
    /// By the trace's count: where each object is while it is live, and the bytes that were asked for.
    objects: Vec<Option<(NonNull<u8>, u64)>>,
    done: usize,
    asked: u64,
    /// Requests that got no memory. The replay goes on without them.
    failed: u64,
}

impl<'t> Playback<'t> {
    /// An empty heap, and the trace at its beginning.
    ///
    /// # Errors
    /// There can be no such heap.
    pub fn begin(arguments: &PlaybackArguments, recording: &'t Recording) -> Result<Self, Stop> {
        let trace = &recording.trace;
        Ok(Self {
            name: recording.source.name(),
            trace,
            placement: arguments.placement.placement(),
            heap: arguments.heap()?,
            objects: vec![None; trace.objects()],
            done: 0,
            asked: 0,
            failed: 0,
        })
    }

    /// The heap as it is now.
    #[must_use]
    pub fn heap(&self) -> &MappedHeap {
        &self.heap
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

    /// Goes on until so many operations are done.
    ///
    /// # Errors
    /// The heap refused what it must not refuse.
    pub fn advance(&mut self, until: usize) -> Result<(), Stop> {
        let operations = self.trace.operations().get(self.done..until).unwrap_or_default();
        operations.iter().try_for_each(|&operation| self.step(operation))
    }

    /// The same, for work that one waits for.
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
        match self.heap.alloc(bytes(size)) {
            Ok(object) => {
                self.objects[id as usize] = Some((object, size));
                self.asked += size;
            }
            Err(_) => self.failed += 1,
        }
    }

    fn reallocate(&mut self, id: u32, size: u64) -> Result<(), Stop> {
        let Some((object, old)) = self.objects[id as usize] else { return Ok(()) };
        // SAFETY: nobody uses the objects of a playback at all.
        match unsafe { self.heap.realloc(object.as_ptr(), bytes(size)) } {
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
        // SAFETY: nobody uses the objects of a playback at all.
        unsafe { self.heap.free(object.as_ptr()) }.map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &dyn fmt::Display) -> Stop {
        Stop::Usage(format!("{}: {error}", self.trace.describe(self.done)))
    }

    /// What is played.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} in {}", self.name, Bytes(self.heap.size() as u64))
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
        let placement = match self.placement {
            Placement::NextFit => "next fit",
            Placement::FirstFit => "first fit",
        };
        match self.failed {
            0 => format!("{placement}, no request failed"),
            failed => format!("{placement}, {} failed", Count(failed, "request")),
        }
    }
}

/// A request's size for the heap; what is larger than an address space is as large as can be asked for.
fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
