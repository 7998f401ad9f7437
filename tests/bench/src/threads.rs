//! Many threads on one heap.

use crate::drive::{self, Passed};
use crate::ops::{Rng, Stream};
use crate::subject::{Setup, Subject};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Barrier, Mutex};
use std::time::Instant;

/// Objects that go from thread to thread together.
const BATCH: usize = 64;

/// Batches that wait for a thread.
const WAITING: usize = 4;

type Batch = [Option<Passed>; BATCH];

/// One thread for each stream, all on the same subject; nanoseconds of wall time from the common start to the last end.
pub fn crowd<S: Subject>(setup: &Setup<'_>, streams: &[Stream]) -> u64 {
    // SAFETY: the rows run one subject at a time; that its threads share it is what the row is about.
    let subject = unsafe { S::over(setup) };
    let subject = &*subject;
    let barrier = Barrier::new(streams.len());
    let times = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for stream in streams {
            let (barrier, times) = (&barrier, &times);
            scope.spawn(move || {
                let (mut start, mut end) = (None, None);
                drive::part(
                    subject,
                    stream,
                    || {
                        barrier.wait();
                        start = Some(Instant::now());
                    },
                    || end = Some(Instant::now()),
                );
                times.lock().expect("no thread panics").push((start, end));
            });
        }
    });
    let times = times.into_inner().expect("no thread panics");
    let first = times.iter().filter_map(|time| time.0).min();
    let last = times.iter().filter_map(|time| time.1).max();
    first.zip(last).map_or(0, |(first, last)| (last - first).as_nanos() as u64)
}

/// Threads in a ring: each allocates, and the next one frees. So many objects in all; nanoseconds as for [`crowd`].
pub fn ring<S: Subject>(setup: &Setup<'_>, threads: usize, objects: usize) -> u64 {
    // SAFETY: as for `crowd`.
    let subject = unsafe { S::over(setup) };
    let subject = &*subject;
    let batches = objects / BATCH / threads;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..threads).map(|_| sync_channel::<Batch>(WAITING)).unzip();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let ends = receivers.into_iter().zip((1..=threads).map(|next| senders[next % threads].clone()));
        for (thread, (receiver, sender)) in ends.enumerate() {
            scope.spawn(move || link(subject, thread, batches, sender, &receiver));
        }
        drop(senders);
    });
    start.elapsed().as_nanos() as u64
}

/// One of the ring's threads.
fn link<S: Subject>(subject: &S, thread: usize, batches: usize, sender: SyncSender<Batch>, receiver: &Receiver<Batch>) {
    // SAFETY: what another has made, and sent to this thread alone.
    let free = |batch: Batch| batch.into_iter().flatten().for_each(|object| unsafe { drive::unmake(subject, object) });
    subject.enter();
    let mut rng = Rng(thread as u64);
    for _ in 0..batches {
        let mut batch = [(); BATCH].map(|()| drive::make(subject, 8 + (rng.next() % 393) as u32));
        // Whoever waits for the next thread frees meanwhile what waits for itself, so that the ring never stands still.
        while let Err(TrySendError::Full(back)) = sender.try_send(batch) {
            batch = back;
            match receiver.try_recv() {
                Ok(other) => free(other),
                Err(_) => std::thread::yield_now(),
            }
        }
        receiver.try_iter().for_each(free);
    }
    drop(sender);
    receiver.iter().for_each(free);
    subject.leave();
}

/// A server: `lines` threads at a time, each of which ends after one session and leaves some objects to later ones. Returns
/// nanoseconds as for [`crowd`].
pub fn sessions<S: Subject>(setup: &Setup<'_>, lines: usize, sessions: usize) -> u64 {
    // SAFETY: as for `crowd`.
    let subject = unsafe { S::over(setup) };
    let subject = &*subject;
    let kept = Mutex::new(Vec::new());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for line in 0..lines {
            let kept = &kept;
            scope.spawn(move || {
                for number in 0..sessions / lines {
                    std::thread::scope(|scope| {
                        scope.spawn(|| session(subject, (number * lines + line) as u64, kept));
                    });
                }
            });
        }
    });
    let ns = start.elapsed().as_nanos() as u64;
    for object in kept.into_inner().expect("no thread panics") {
        // SAFETY: nobody else has it.
        unsafe { drive::unmake(subject, object) };
    }
    subject.leave();
    ns
}

/// Objects of a session, those that it leaves, and those that are left at most.
pub const SESSION: usize = 2000;
const LEFT: usize = 40;
const MOST_LEFT: usize = 2000;

fn session<S: Subject>(subject: &S, seed: u64, kept: &Mutex<Vec<Passed>>) {
    subject.enter();
    let mut rng = Rng(seed);
    let mut objects = Vec::with_capacity(SESSION);
    objects.extend((0..SESSION).filter_map(|_| drive::make(subject, 8 + (rng.next() % 393) as u32)));
    while objects.len() > LEFT {
        let object = objects.swap_remove((rng.next() % objects.len() as u64) as usize);
        // SAFETY: this thread's, and taken off its list.
        unsafe { drive::unmake(subject, object) };
    }
    let mut kept = kept.lock().expect("no thread panics");
    kept.extend(objects);
    let old = kept.len().saturating_sub(MOST_LEFT);
    let old: Vec<Passed> = kept.drain(..old).collect();
    // SAFETY: taken off the common list.
    old.into_iter().for_each(|object| unsafe { drive::unmake(subject, object) });
    subject.leave();
}
