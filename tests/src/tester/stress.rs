//! Threads that allocate, fill, resize, pass objects to each other, verify and free, on a heap too small for all of
//! them at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::tester::session::{Failed, Failure, Session};
use crate::tester::window::Object;

/// Operations of a stress, whatever the number of threads.
pub const OPERATIONS: u64 = 400_000;
/// The largest object. Larger ones test the memory's bandwidth, not the heap.
const LARGEST: usize = 16 << 10;
/// Most objects that a thread keeps, so that a large heap is not filled for its own sake.
const MOST_HELD: usize = 2000;

/// How a stress went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stressed {
    /// Threads that took part.
    pub threads: u64,
    /// What they did in all.
    pub operations: u64,
    /// How long it took, with the filling and the verifying.
    pub time: Duration,
    /// Objects that one thread allocated and another freed.
    pub passed_on: u64,
    /// Requests that got no memory.
    pub failed: Failed,
}

/// Runs `threads` threads on one heap. The same `seed` makes each of them choose the same, but not meet the others at
/// the same moments. `watch` is told now and then how many operations are done.
///
/// # Errors
/// What the allocator did wrong.
pub fn stress(
    session: &Session<'_>,
    threads: usize,
    seed: u64,
    watch: &(dyn Fn(u64) + Sync),
) -> Result<Stressed, Failure> {
    let inboxes: Vec<Inbox> = (0..threads).map(|_| Inbox::default()).collect();
    let shared = Shared { session, inboxes, done: AtomicU64::new(0), stop: AtomicBool::new(false), watch };
    let started = Instant::now();
    let ends = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                let worker = Worker::new(&shared, number, seed);
                scope.spawn(move || worker.run(OPERATIONS / threads as u64))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join()).collect::<Vec<_>>()
    });
    let mut report = Stressed { threads: threads as u64, time: started.elapsed(), ..Stressed::default() };
    for end in ends {
        let tally = end.map_err(|_| Failure("a thread of the tester panicked".to_owned()))??;
        report.operations += tally.operations;
        report.passed_on += tally.passed_on;
        report.failed.full += tally.failed.full;
        report.failed.fragmented += tally.failed.fragmented;
        report.failed.unexplained += tally.failed.unexplained;
    }
    for parcel in shared.inboxes.iter().flat_map(Inbox::take_all) {
        shared.free(parcel)?;
    }
    session.end()?;
    Ok(report)
}

/// An object, and the id whose pattern fills it.
#[derive(Clone, Copy)]
struct Parcel {
    object: Object,
    id: u64,
}

/// Objects on their way to a thread.
#[derive(Default)]
struct Inbox(Mutex<Vec<Parcel>>);

impl Inbox {
    fn put(&self, parcel: Parcel) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(parcel);
    }

    fn take_all(&self) -> Vec<Parcel> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Shared<'a> {
    session: &'a Session<'a>,
    inboxes: Vec<Inbox>,
    done: AtomicU64,
    /// One thread has found a failure: the others need not go on.
    stop: AtomicBool,
    watch: &'a (dyn Fn(u64) + Sync),
}

impl Shared<'_> {
    fn free(&self, parcel: Parcel) -> Result<(), Failure> {
        self.session.verify(parcel.object, parcel.id)?;
        self.session.free(parcel.object)
    }
}

struct Worker<'a> {
    shared: &'a Shared<'a>,
    number: usize,
    random: Rng,
    held: Vec<Parcel>,
    held_bytes: usize,
    /// Bytes from which on this thread rather frees: half as much again as its share, so that all together want more
    /// than there is.
    quota: usize,
    next_id: u64,
    tally: Stressed,
}

impl<'a> Worker<'a> {
    fn new(shared: &'a Shared<'a>, number: usize, seed: u64) -> Self {
        Self {
            shared,
            number,
            random: Rng::with_seed(seed.wrapping_add(number as u64)),
            held: Vec::new(),
            held_bytes: 0,
            quota: shared.session.size() / shared.inboxes.len() / 2 * 3,
            next_id: (number as u64) << 40,
            tally: Stressed::default(),
        }
    }

    fn run(mut self, operations: u64) -> Result<Stressed, Failure> {
        /// Operations between two looks at the other threads.
        const ROUND: u64 = 256;
        while self.tally.operations < operations && !self.shared.stop.load(Relaxed) {
            for _ in 0..ROUND.min(operations - self.tally.operations) {
                let step = self.step();
                step.inspect_err(|_| self.shared.stop.store(true, Relaxed))?;
                self.tally.operations += 1;
            }
            let done = self.shared.done.fetch_add(ROUND, Relaxed) + ROUND;
            (self.shared.watch)(done.min(OPERATIONS));
            self.collect();
        }
        for parcel in std::mem::take(&mut self.held) {
            self.shared.free(parcel).inspect_err(|_| self.shared.stop.store(true, Relaxed))?;
        }
        Ok(self.tally)
    }

    fn step(&mut self) -> Result<(), Failure> {
        let sated = self.held_bytes > self.quota || self.held.len() > MOST_HELD;
        match self.random.u32(..100) {
            0..45 if !sated => self.allocate(),
            45..50 => self.resize(),
            50..70 => {
                self.pass_on();
                Ok(())
            }
            _ => self.free_one(),
        }
    }

    fn allocate(&mut self) -> Result<(), Failure> {
        let size = self.size();
        match self.shared.session.alloc(size)? {
            Err(refusal) => self.tally.failed.count(refusal),
            Ok(object) => {
                let id = self.next_id;
                self.next_id += 1;
                self.shared.session.window().fill(object, id, 0);
                self.hold(Parcel { object, id });
            }
        }
        Ok(())
    }

    fn resize(&mut self) -> Result<(), Failure> {
        let Some(parcel) = self.pick() else { return Ok(()) };
        let Parcel { object, id } = parcel;
        let session = self.shared.session;
        session.verify(object, id)?;
        match session.realloc(object, self.size())? {
            Err(refusal) => {
                self.tally.failed.count(refusal);
                self.hold(parcel);
            }
            Ok(resized) => {
                session.verify(resized.first(object.size()), id)?;
                session.window().fill(resized, id, object.size());
                self.hold(Parcel { object: resized, id });
            }
        }
        Ok(())
    }

    fn pass_on(&mut self) {
        let to = self.random.usize(..self.shared.inboxes.len());
        if to == self.number {
            return;
        }
        if let Some(parcel) = self.pick() {
            self.shared.inboxes[to].put(parcel);
            self.tally.passed_on += 1;
        }
    }

    fn free_one(&mut self) -> Result<(), Failure> {
        self.pick().map_or(Ok(()), |parcel| self.shared.free(parcel))
    }

    /// Takes what the other threads have sent.
    fn collect(&mut self) {
        for parcel in self.shared.inboxes[self.number].take_all() {
            self.hold(parcel);
        }
    }

    fn hold(&mut self, parcel: Parcel) {
        self.held_bytes += parcel.object.size();
        self.held.push(parcel);
    }

    fn pick(&mut self) -> Option<Parcel> {
        let last = self.held.len().checked_sub(1)?;
        let parcel = self.held.swap_remove(self.random.usize(..=last));
        self.held_bytes -= parcel.object.size();
        Some(parcel)
    }

    /// A third for the slab, most of the others small, and some as large as a share of this heap can be.
    fn size(&mut self) -> usize {
        let session = self.shared.session;
        let largest = LARGEST.min(session.size() / 16);
        match self.random.u32(..12) {
            0..4 => session.slab_size().min(largest),
            4..11 => self.random.usize(1..=largest.min(256)),
            _ => self.random.usize(1..=largest),
        }
    }
}
