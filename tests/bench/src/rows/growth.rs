//! How the worst case grows with the number of gaps, in instructions.

use super::{Effort, worst};
use crate::callgrind;
use crate::entry;
use crate::gaps::{Scene, timed};
use crate::numbers::Spread;
use crate::subject::Kind;
use crate::table::Table;

/// The row's name.
pub const NAME: &str = "growth";

/// Numbers of gaps.
pub const GAPS: [usize; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];

/// Pairs that are counted.
const PAIRS: usize = 100;

/// Most subjects are not asked to set scenes of more gaps than this: under callgrind that takes a minute.
const MANY: usize = 10_000;

/// Those that are, beside slabfit.
const WITH_MANY: [&str; 2] = ["talc", "rlsf"];

/// Counts an alloc of what fits last and its free, for every subject that manages a region.
pub fn run(effort: Effort) -> Table {
    let mut table = Table::default();
    let count = |gaps: usize, subject: &str| {
        let counts = callgrind::run(&["--growth-op", &gaps.to_string(), subject, &PAIRS.to_string()])?;
        Some(counts.instructions / (2 * PAIRS) as f64)
    };
    let harness = count(0, "empty").unwrap_or(0.0);
    for gaps in GAPS.into_iter().take(effort.pick(GAPS.len(), 2)) {
        for entry in entry::all().into_iter().filter(|entry| entry.kind.is_bounded()) {
            if gaps > MANY && entry.kind != Kind::Ours && !WITH_MANY.contains(&entry.name) {
                continue;
            }
            if let Some(instructions) = count(gaps, entry.name) {
                let metric = format!("instructions at {gaps}");
                table.add(NAME, entry.name, entry.kind, &metric, Spread::exact(instructions - harness));
            }
        }
    }
    table
}

/// The child's part: the scene, and `pairs` of operations in it; without gaps, nothing but the harness around them. The
/// answer is the number of allocs, frees and reallocs; nothing if the subject does not exist.
pub fn operate(gaps: usize, subject: &str, pairs: usize) -> Option<String> {
    if gaps == 0 {
        for _ in 0..2 * pairs {
            timed(|| {});
        }
        return Some(format!("{pairs} {pairs} 0"));
    }
    let entry = entry::all().into_iter().find(|entry| entry.name == subject)?;
    let region = worst::region(gaps);
    let ticks = (entry.gaps)(&worst::setup(&region, gaps), Scene { gaps, fits: true }, pairs);
    Some(format!("{} {} 0", ticks.allocs.len(), ticks.frees.len()))
}
