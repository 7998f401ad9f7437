//! Many threads on one heap.

use super::Effort;
use crate::entry;
use crate::numbers::Spread;
use crate::ops::{self, Sizes, Stream};
use crate::region::Region;
use crate::subject::{Setup, bookkeeping};
use crate::table::Table;

/// The row's name.
pub const NAME: &str = "threads";

/// Numbers of threads.
pub const THREADS: [usize; 5] = [1, 2, 4, 6, 8];

const HEAP: usize = 4 << 20;
const SLAB: u32 = 64;
/// Objects of all threads together.
const LIVE: usize = 2400;

/// Measures every subject under each of its locks, with the same operations divided among more and more threads.
pub fn run(effort: Effort) -> Table {
    let mut table = Table::default();
    let (total, laps) = effort.pick((1_600_000, 7), (40_000, 2));
    let map = bookkeeping(HEAP, SLAB as usize);
    let region = Region::map(HEAP + map).expect("the machine has memory for every row");
    region.touch();
    let setup = Setup { region: &region, heap: HEAP, peer: HEAP + map, slab_size: SLAB as usize, fresh: false };
    let mut subjects = entry::by_lock();
    subjects.retain(|(_, entry)| !entry.walks()); // they hold the lock for microseconds: a row of minutes, and no news
    for threads in THREADS {
        let streams: Vec<Stream> = (0..threads).map(|thread| part(thread, threads, total)).collect();
        let mut speeds = vec![Vec::new(); subjects.len()];
        for _ in 0..laps {
            for ((_, entry), speeds) in subjects.iter().zip(&mut speeds) {
                let ns = (entry.crowd)(&setup, &streams);
                speeds.push(1000.0 * total as f64 / ns as f64);
            }
        }
        for ((lock, entry), speeds) in subjects.iter().zip(speeds) {
            let name = format!("{} / {lock}", entry.name);
            table.add(NAME, &name, entry.kind, &format!("Mops at {threads}"), Spread::of(speeds));
        }
    }
    table
}

fn part(thread: usize, threads: usize, total: usize) -> Stream {
    let counts = [8 * LIVE / threads, total / threads];
    ops::churn(LIVE / threads, Sizes::HalfAlways(SLAB, 4, 200), counts, thread as u64)
}
