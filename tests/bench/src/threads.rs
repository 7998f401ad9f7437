//! Many threads on one heap.

use crate::drive;
use crate::ops::Stream;
use crate::subject::{Setup, Subject};
use std::sync::{Barrier, Mutex};
use std::time::Instant;

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
