//! Many threads on one heap.

use super::Effort;
use crate::entry::{self, Entry};
use crate::numbers::Spread;
use crate::ops::{self, Sizes, Stream};
use crate::region::Region;
use crate::subject::{Setup, bookkeeping};
use crate::table::Table;
use crate::threads;

/// The row's name.
pub const NAME: &str = "threads";

/// Numbers of threads.
pub const THREADS: [usize; 5] = [1, 2, 4, 6, 8];

const HEAP: usize = 4 << 20;
const SLAB: u32 = 64;
/// Objects of all threads together.
const LIVE: usize = 2400;

/// The rows of objects that go from thread to thread, and of threads that come and go.
pub const RING: &str = "passing";
pub const SESSIONS: &str = "sessions";

/// Measures every subject under each of its locks, with the same operations divided among more and more threads.
pub fn run(effort: Effort) -> Table {
    let (total, laps) = effort.pick((1_600_000, 7), (40_000, 2));
    let streams = |threads| -> Vec<Stream> { (0..threads).map(|thread| part(thread, threads, total)).collect() };
    let streams = THREADS.map(streams);
    let streams =
        |threads: usize| streams.iter().find(|streams| streams.len() == threads).map_or(&[][..], |found| found);
    measure(NAME, total, laps, |entry, setup, threads| (entry.crowd)(setup, streams(threads)))
}

/// Measures threads in a ring, of which each frees what the one before has allocated.
pub fn ring(effort: Effort) -> Table {
    let (objects, laps) = effort.pick((640_000, 5), (12_800, 2));
    measure(RING, 2 * objects, laps, |entry, setup, threads| (entry.ring)(setup, threads, objects))
}

/// Measures a server whose threads come and go.
pub fn sessions(effort: Effort) -> Table {
    let (sessions, laps) = effort.pick((240, 5), (24, 2));
    let operations = 2 * sessions * threads::SESSION;
    measure(SESSIONS, operations, laps, |entry, setup, threads| (entry.sessions)(setup, threads, sessions))
}

/// Has `work` do so many operations with each subject and number of threads, in turn.
fn measure(row: &str, operations: usize, laps: usize, work: impl Fn(&Entry, &Setup<'_>, usize) -> u64) -> Table {
    let mut table = Table::default();
    let map = bookkeeping(HEAP, SLAB as usize);
    let region = Region::map(HEAP + map).expect("the machine has memory for every row");
    region.touch();
    let setup = Setup { region: &region, heap: HEAP, peer: HEAP + map, slab_size: SLAB as usize, fresh: false };
    let mut subjects = entry::by_lock();
    subjects.retain(|(_, entry)| !entry.walks()); // they hold the lock for microseconds: a row of minutes, and no news
    for threads in THREADS {
        let mut speeds = vec![Vec::new(); subjects.len()];
        for _ in 0..laps {
            for ((_, entry), speeds) in subjects.iter().zip(&mut speeds) {
                let ns = work(entry, &setup, threads);
                speeds.push(1000.0 * operations as f64 / ns as f64);
            }
        }
        for ((lock, entry), speeds) in subjects.iter().zip(speeds) {
            let name = format!("{} / {lock}", entry.name);
            table.add(row, &name, entry.kind, &format!("Mops at {threads}"), Spread::of(speeds));
        }
    }
    table
}

fn part(thread: usize, threads: usize, total: usize) -> Stream {
    let counts = [8 * LIVE / threads, total / threads];
    ops::churn(LIVE / threads, Sizes::HalfAlways(SLAB, 4, 200), counts, thread as u64)
}
