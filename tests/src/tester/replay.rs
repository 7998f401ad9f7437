//! Replays a trace of a real program on a heap: every object is filled as the program would fill it and verified
//! before it is freed or resized, and at the end.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::tester::drawing::Picture;
use crate::tester::session::{Failed, Failure, Served, Session};
use crate::tester::trace::{Operation, Trace};
use crate::tester::window::Object;

/// How a replay went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Operations of the trace.
    pub operations: u64,
    /// How long they took, with the filling and the verifying.
    pub time: Duration,
    /// Requests among them: every allocate, and every reallocate of an object that was served.
    pub requests: u64,
    /// Requests that got no memory. The replay went on, as the objects' owner would have had to.
    pub failed: Failed,
    /// Operations on objects that were never served.
    pub skipped: u64,
    /// Who served the allocates.
    pub served: Served,
    /// Most bytes live at once, as the program asked for them.
    pub peak_bytes: u64,
    /// Bytes of the heap.
    pub heap_bytes: u64,
    /// The heap when the program had most in use.
    pub picture: Option<Picture>,
}

/// Replays `trace`. `watch` is told now and then how many operations are done; the picture has at most `width`
/// characters a row.
///
/// A request that does not fit is counted, and not a failure: which programs fit a heap is the heap's size to say.
///
/// # Errors
/// What the allocator did wrong, and at which operation.
pub fn replay(session: &Session<'_>, trace: &Trace, watch: &dyn Fn(u64), width: usize) -> Result<Replayed, Failure> {
    let mut replay = Replay::new(session, trace);
    let started = Instant::now();
    let mut drawing = Duration::ZERO;
    for (index, &operation) in trace.operations().iter().enumerate() {
        let step = replay.step(operation);
        step.map_err(|failure| Failure(format!("{}: {failure}", trace.describe(index))))?;
        watch(index as u64 + 1);
        if index == trace.peak_at() {
            let pause = Instant::now();
            replay.report.picture = Some(session.draw(replay.live(), width));
            drawing = pause.elapsed();
        }
    }
    replay.report.time = started.elapsed() - drawing;
    replay.free_the_rest().map_err(|failure| Failure(format!("after the last operation: {failure}")))?;
    Ok(replay.report)
}

struct Replay<'a> {
    session: &'a Session<'a>,
    /// By the trace's count: where each object is while it is live.
    objects: Vec<Option<Object>>,
    live_bytes: u64,
    report: Replayed,
}

impl<'a> Replay<'a> {
    fn new(session: &'a Session<'a>, trace: &Trace) -> Self {
        let report = Replayed {
            operations: trace.operations().len() as u64,
            time: Duration::ZERO,
            requests: 0,
            failed: Failed::default(),
            skipped: 0,
            served: Served::default(),
            peak_bytes: 0,
            heap_bytes: session.size() as u64,
            picture: None,
        };
        Self { session, objects: vec![None; trace.objects()], live_bytes: 0, report }
    }

    fn step(&mut self, operation: Operation) -> Result<(), Failure> {
        match operation {
            Operation::Allocate { object, size } => self.allocate(object, bytes(size)),
            Operation::Reallocate { object, size } => self.reallocate(object, bytes(size)),
            Operation::Free { object } => self.free(object),
        }
    }

    fn allocate(&mut self, id: u32, size: usize) -> Result<(), Failure> {
        self.report.requests += 1;
        match self.session.alloc(size)? {
            Err(refusal) => self.report.failed.count(refusal),
            Ok(object) => {
                self.report.served.count(self.session.server(object));
                self.session.window().fill(object, u64::from(id), 0);
                self.place(id, object);
            }
        }
        Ok(())
    }

    fn reallocate(&mut self, id: u32, size: usize) -> Result<(), Failure> {
        let Some(object) = self.objects[id as usize] else {
            self.report.skipped += 1;
            return Ok(());
        };
        self.report.requests += 1;
        self.session.verify(object, u64::from(id))?;
        match self.session.realloc(object, size)? {
            Err(refusal) => {
                self.report.failed.count(refusal);
                self.session.verify(object, u64::from(id))
            }
            Ok(resized) => {
                self.session.verify(resized.first(object.size()), u64::from(id))?;
                self.session.window().fill(resized, u64::from(id), object.size());
                self.live_bytes -= object.size() as u64;
                self.place(id, resized);
                Ok(())
            }
        }
    }

    fn free(&mut self, id: u32) -> Result<(), Failure> {
        let Some(object) = self.objects[id as usize].take() else {
            self.report.skipped += 1;
            return Ok(());
        };
        self.session.verify(object, u64::from(id))?;
        self.live_bytes -= object.size() as u64;
        self.session.free(object)
    }

    fn place(&mut self, id: u32, object: Object) {
        self.objects[id as usize] = Some(object);
        self.live_bytes += object.size() as u64;
        self.report.peak_bytes = self.report.peak_bytes.max(self.live_bytes);
    }

    fn live(&self) -> impl Iterator<Item = Object> {
        self.objects.iter().filter_map(|&object| object)
    }

    /// A program that ends gives everything back; so the heap must be as empty as it was.
    fn free_the_rest(&mut self) -> Result<(), Failure> {
        self.session.check()?;
        for id in 0..self.objects.len() {
            if self.objects[id].is_some() {
                self.free(id as u32)?;
            }
        }
        self.session.end()
    }
}

/// A request's size for the heap. Programs that ask for nothing expect an address all the same, where the C functions
/// answer NULL; and what is larger than an address space is as large as can be asked for.
fn bytes(size: u64) -> usize {
    usize::try_from(size.max(1)).unwrap_or(usize::MAX)
}
