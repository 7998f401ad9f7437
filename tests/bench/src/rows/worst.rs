//! The worst case: the search that passes every gap.

use super::Effort;
use crate::clock;
use crate::entry;
use crate::gaps::{self, Scene};
use crate::numbers::{Spread, percentile};
use crate::region::Region;
use crate::subject::{NO_SLAB, Setup, bookkeeping};
use crate::table::Table;

/// The row's name.
pub const NAME: &str = "worst-case";

/// The setup in which a scene of `count` gaps is set.
pub fn setup(region: &Region, count: usize) -> Setup<'_> {
    let (heap, peer) = (gaps::heap(count), gaps::arena(count));
    Setup { region, heap, peer, slab_size: NO_SLAB, fresh: false }
}

/// A region large enough for a scene of `count` gaps.
pub fn region(count: usize) -> Region {
    let heap = gaps::heap(count);
    let bytes = gaps::arena(count).max(heap + bookkeeping(heap, NO_SLAB));
    Region::map(bytes).expect("the machine has memory for every row")
}

/// Measures both scenes for every subject that manages a region.
pub fn run(effort: Effort) -> Table {
    let mut table = Table::default();
    let count = effort.pick(100_000, 2_000);
    let region = region(count);
    region.touch();
    let setup = setup(&region, count);
    for fits in [true, false] {
        let scene = Scene { gaps: count, fits };
        for entry in entry::all().into_iter().filter(|entry| entry.kind.is_bounded()) {
            // Each pair meets the same heap, so what one of several runs took least is what it takes.
            let runs: Vec<_> = (0..5).map(|_| (entry.gaps)(&setup, scene, 1000)).collect();
            let of = |which: fn(&gaps::Ticks) -> &Vec<u32>| least(runs.iter().map(which));
            let word = if fits { "fits" } else { "none fits" };
            for (operation, ticks) in [("alloc", of(|ticks| &ticks.allocs)), ("free", of(|ticks| &ticks.frees))] {
                add(&mut table, &entry, &format!("{operation} {word}"), ticks);
            }
        }
    }
    table
}

/// For each operation the least that any run took.
fn least<'a>(runs: impl Iterator<Item = &'a Vec<u32>>) -> Vec<u32> {
    runs.cloned()
        .reduce(|one, other| one.iter().zip(&other).map(|(one, other)| *one.min(other)).collect())
        .unwrap_or_default()
}

fn add(table: &mut Table, entry: &entry::Entry, what: &str, mut ticks: Vec<u32>) {
    if ticks.is_empty() {
        return;
    }
    ticks.sort_unstable();
    let own = harness();
    for (word, share) in [("median", 0.5), ("max", 1.0)] {
        let ns = (f64::from(percentile(&ticks, share)) - own) * clock::ns_per_tick();
        table.add(NAME, entry.name, entry.kind, &format!("{what} {word} ns"), Spread::exact(ns.max(0.0)));
    }
}

/// Ticks that reading the counter twice takes.
fn harness() -> f64 {
    let mut ticks: Vec<_> = (0..1001).map(|_| gaps::timed(|| {})).collect();
    ticks.sort_unstable();
    f64::from(percentile(&ticks, 0.5))
}
