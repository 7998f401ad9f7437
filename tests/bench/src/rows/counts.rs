//! Instructions an operation for the rows that are sequences: where a row falls short, what of.

use super::{Effort, stream};
use crate::callgrind::{self, Counts};
use crate::numbers::Spread;
use crate::ops::Kind as Operation;
use crate::subject::Kind;
use crate::table::Table;

/// Counts `row`, shortened, for every subject that manages a region, less what the empty subject has.
pub fn run(row: &str, _: Effort) -> Table {
    let mut table = Table::default();
    let Some(spec) = stream::all().into_iter().find(|spec| spec.name == row) else { return table };
    let work = (spec.make)(Effort { quick: true });
    let mut harness = None;
    for entry in stream::subjects(row).into_iter().filter(|entry| entry.kind != Kind::System) {
        let Some(counts) = callgrind::run(&["--once", row, entry.name]) else { continue };
        let own = *harness.get_or_insert(if entry.kind == Kind::Empty { counts } else { Counts::default() });
        let operations = work.stream_of(&entry).ops.len() as f64;
        let scale = operations / work.stream.ops.len() as f64;
        let net = |all: f64, own: f64| Spread::exact((all - own * scale) / operations);
        if entry.kind != Kind::Empty {
            let instructions = net(counts.instructions, own.instructions);
            table.add(row, entry.name, entry.kind, "instructions", instructions);
            table.add(row, entry.name, entry.kind, "mispredicted", net(counts.mispredicted, own.mispredicted));
        }
    }
    table
}

/// The child's part: `row`'s work, `laps` times on `subject`. The answer is how many operations one lap has: allocs,
/// frees, reallocs; nothing if row or subject do not exist.
pub fn repeat(row: &str, subject: &str, effort: Effort, laps: usize) -> Option<String> {
    let spec = stream::all().into_iter().find(|spec| spec.name == row)?;
    let entry = stream::subjects(row).into_iter().find(|entry| entry.name == subject)?;
    let work = (spec.make)(effort);
    let region = stream::region(&work);
    region.touch();
    let setup = stream::setup(&work, &region);
    for _ in 0..laps {
        (entry.lap)(&setup, work.stream_of(&entry));
    }
    let count = |kind| work.stream_of(&entry).ops.iter().filter(|op| op.kind() == kind).count();
    let [allocs, frees, reallocs] = [Operation::Alloc, Operation::Free, Operation::Realloc].map(count);
    Some(format!("{allocs} {frees} {reallocs}"))
}
