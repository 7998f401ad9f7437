//! The smallest heap that serves a trace to its end.

use super::Effort;
use crate::entry::{self, Entry};
use crate::numbers::Spread;
use crate::region::{PAGE, Region};
use crate::subject::{Kind, NO_SLAB, Setup, bookkeeping};
use crate::table::Table;
use crate::trace::{self, Trace};

/// The row's name.
pub const NAME: &str = "fit";

/// Slab sizes that users who know these programs might choose.
const SLABS: [usize; 9] = [16, 24, 32, 48, 64, 72, 248, 1032, 4368];

/// No subject is given more than this many times the peak.
const MOST: usize = 8;

/// Bisects for every trace and every subject that manages a region.
///
/// `segment` is what the requests were served from: of a subject in one piece all of it. Of slabfit by next fit or first
/// fit it is the block segment and its bookkeeping in a heap without slots, what the placement costs; and `heap` is
/// everything, the quarter for the slab included, with the slab size that suits the program best.
pub fn run(effort: Effort) -> Table {
    let mut table = Table::default();
    for name in trace::NAMES.into_iter().take(effort.pick(trace::NAMES.len(), 1)) {
        let trace = trace::load(name);
        let region = Region::map(2 * MOST * trace.peak).expect("addresses are plenty");
        for entry in entry::all().into_iter().filter(|entry| entry.kind.is_bounded()) {
            if entry.kind == Kind::Textbook {
                continue; // serves where next fit serves, slowly
            }
            let mut add = |figure: &str, over: Option<f64>| {
                let metric = format!("{name} {figure}");
                table.add(NAME, entry.name, entry.kind, &metric, Spread::exact(over.unwrap_or(f64::INFINITY)));
            };
            if entry.in_one_piece {
                let bytes = smallest(&trace, |bytes| serves(&entry, &region, &trace, (bytes, bytes, NO_SLAB)));
                add("segment", bytes.map(|bytes| over(&trace, bytes)));
            } else {
                let segments =
                    smallest(&trace, |bytes| serves(&entry, &region, &trace, in_two_pieces(bytes / 3 * 4, NO_SLAB)));
                add("segment", segments.map(|bytes| over(&trace, bytes + bookkeeping(bytes / 3 * 4, NO_SLAB))));
                add("heap", best_heap(&entry, &region, &trace));
            }
        }
    }
    table
}

fn over(trace: &Trace, bytes: usize) -> f64 {
    bytes as f64 / trace.peak as f64
}

/// A heap in two pieces, an arena that nobody asks for, and the slab size.
fn in_two_pieces(heap: usize, slab_size: usize) -> (usize, usize, usize) {
    (heap & !15, 0, slab_size)
}

fn serves(entry: &Entry, region: &Region, trace: &Trace, (heap, peer, slab_size): (usize, usize, usize)) -> bool {
    let setup = Setup { region, heap, peer, slab_size, fresh: false };
    (entry.first_failure)(&setup, &trace.stream).is_none()
}

fn best_heap(entry: &Entry, region: &Region, trace: &Trace) -> Option<f64> {
    let heaps = SLABS.into_iter().filter_map(|slab_size| {
        let heap = smallest(trace, |bytes| serves(entry, region, trace, in_two_pieces(bytes, slab_size)))?;
        Some(over(trace, heap + bookkeeping(heap, slab_size)))
    });
    heaps.min_by(f64::total_cmp)
}

/// The fewest bytes with which `serves` holds, to a thousandth of the peak; none where the most are too few.
fn smallest(trace: &Trace, serves: impl Fn(usize) -> bool) -> Option<usize> {
    let step = (trace.peak / 1000).next_multiple_of(PAGE);
    let (mut fails, mut holds) = (trace.peak / step, MOST * trace.peak / step);
    if !serves(holds * step) {
        return None;
    }
    while holds - fails > 1 {
        let middle = fails.midpoint(holds);
        if serves(middle * step) {
            holds = middle;
        } else {
            fails = middle;
        }
    }
    Some(holds * step)
}
