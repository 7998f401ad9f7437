//! A heap of 1 GiB: made, and used for the first time.

use super::Effort;
use crate::entry;
use crate::numbers::Spread;
use crate::ops::{Kind as Operation, Op, Stream};
use crate::region::Region;
use crate::resident;
use crate::subject::{Kind, Setup};
use crate::subjects::ours::Named;
use crate::table::Table;
use slabfit_linux::MappedHeap;
use std::time::Instant;

/// The row's name.
pub const NAME: &str = "start-up";

const HEAP: usize = 1 << 30;
const SLAB: u32 = 64;

/// slabfit as platform-linux maps it; the peers over a plain mapping of the same size.
pub fn run(effort: Effort) -> Table {
    let mut table = Table::default();
    let laps = effort.pick(21, 3);
    let bounded = |entry: &&entry::Entry| entry.kind.is_bounded() && entry.kind != Kind::Textbook;
    for entry in entry::all().iter().filter(bounded) {
        for (metric, figure) in [("us", "time"), ("resident KiB", "resident")] {
            let samples: Vec<_> =
                (0..laps).filter_map(|_| resident::ask(&["--start-up", figure, entry.name])).collect();
            if !samples.is_empty() {
                table.add(NAME, entry.name, entry.kind, metric, Spread::of(samples));
            }
        }
    }
    table
}

/// Maps slabfit's heap and serves and writes both objects.
pub fn use_once<P: Named>(stop: &mut dyn FnMut()) -> Option<()> {
    let heap = MappedHeap::<P>::with_policy(HEAP, P::config(SLAB as usize)).ok()?;
    for object in [heap.alloc(SLAB as usize), heap.alloc(100)].map(Result::ok) {
        // SAFETY: the object is live and not empty.
        unsafe { object?.write(1) };
    }
    stop();
    Some(())
}

/// The child's part: microseconds, or KiB that became resident, of making a heap and of one object of the slab size and
/// one of 100 bytes.
pub fn measure(figure: &str, subject: &str) -> Option<f64> {
    let entry = entry::all().into_iter().find(|entry| entry.name == subject)?;
    let before = resident::now()?;
    let start = Instant::now();
    let (mut time, mut after) = (0.0, before);
    let mut stop = || {
        time = start.elapsed().as_secs_f64() * 1e6;
        after = resident::now().unwrap_or(before);
    };
    if let Some(first_use) = entry.first_use {
        first_use(&mut stop)?;
    } else {
        let region = Region::map(HEAP).ok()?;
        let setup = Setup { region: &region, heap: HEAP, peer: HEAP, slab_size: SLAB as usize, fresh: true };
        let ops = [SLAB, 100].into_iter().enumerate().map(|(slot, size)| Op::new(Operation::Alloc, slot, size));
        let stream = Stream { warm: Vec::new(), ops: ops.collect(), slots: 2 };
        (entry.hold)(&setup, &stream, &mut stop);
    }
    match figure {
        "time" => Some(time),
        _ => Some(after.saturating_sub(before) as f64 / 1024.0),
    }
}
