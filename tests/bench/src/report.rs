//! The figures as text.

use crate::programs::ratios;
use crate::rows::Row;
use crate::subject::Kind;
use crate::table::Table;
use crate::targets::{self, Cell};
use std::fmt::Write as _;

const INTRODUCTION: &str = "\
# Benchmarks

slabfit and its peers in one process, in turn, under the same lock type, in regions of the same size, on the same
sequences of operations, which are made before anything is measured. `cargo run --release -p slabfit-bench` measures it
all and writes this file and [tests/bench/results](tests/bench/results); every figure here comes from those files.

How it is measured:
- Every subject starts each repetition with a fresh heap in memory that is resident already, is warmed up, and then
  timed: median of 15 repetitions, taken in turn with all other subjects, in processor time of the thread. Its first
  run, not measured, fills every object and reads it back.
- Allocators are called as a program calls its global allocator: through functions that are not inlined, with a layout
  that is not known when compiling, alignment 8. The first byte of each object is written.
- ns is time an operation less what the same loop takes with an allocator that does nothing (its row here is `empty`,
  which shows that cost). Percentiles are of single operations, between two serialising reads of the time-stamp counter,
  less the same for the empty allocator; each operation is the mean of nine repetitions without the slowest two.
- slabfit's heap, by next fit and by first fit, has the stated size and its bookkeeping lies beside it; a peer gets one
  arena of both sizes together, and so does slabfit general, which has no slab. In rows that are not about the slab no
  request has the slab size, and the slab segment of the other two, a quarter of the heap, idles.
- In worst-case and growth slabfit general is asked for small objects at an alignment of 32, which no size class has:
  slots are no holes.
- \"Used at first failure\": a program that grows (two allocs to a random free) until a request fails: bytes asked for and
  live, over all bytes of the region. \"Resident\": what became resident in a fresh process by the row's work.
- Instructions are callgrind's and do not depend on the machine's load; its mispredicted branches are those of a simple
  model of a predictor. A run does not count them anew: `cargo run --release -p slabfit-bench -- --counts` does.
- System allocators (glibc, mimalloc, jemalloc, snmalloc, rpmalloc, scudo) have no limit to keep and mostly take no
  lock. scudo comes without a realloc: it allocates, copies and frees.
";

const PROGRAMS: &str = "
## programs
Real programs of Debian as processes of their own, under one allocator after the other, which is preloaded in place of their
own, round after round; what they print is compared byte by byte. slabfit is `libmem_preload.so` with a heap of 1 GiB, by its default
placement or by the one that is named. Time is the processor's, user and system, of the program and its children; of redis the
server's, which `redis-benchmark` keeps busy. A ratio is of two runs of one round. `SLABFIT_MEASURE=1 ci/46-programs` measures it.

![programs](tests/bench/results/programs.svg)
";

/// Columns of a row's table: the figure's name and its title.
const COLUMNS: [(&str, &str); 10] = [
    ("ns", "ns"),
    ("p50 ns", "p50"),
    ("p99 ns", "p99"),
    ("p99.9 ns", "p99.9"),
    ("max ns", "max"),
    ("failed requests", "failed"),
    ("used at first failure %", "used at first failure"),
    ("resident KiB", "resident KiB"),
    ("instructions", "instructions"),
    ("mispredicted", "mispredicted"),
];

fn cell(cell: Option<&Cell>) -> String {
    cell.map_or(String::new(), |cell| match cell.reached {
        Some(true) => format!("**yes**: {}", cell.figure),
        Some(false) => format!("no: {}", cell.figure),
        None => cell.figure.clone(),
    })
}

/// The table of all targets: those with a bound a column say them in the columns' order.
pub fn summary(table: &Table) -> String {
    let columns = targets::OURS.map(|name| name.trim_start_matches("slabfit ")).join(" | ");
    let mut text = format!("| row | to reach | {columns} | best peer |\n|---|---|---|---|---|---|\n");
    for verdict in targets::verdicts(table) {
        let ours = verdict.ours.each_ref().map(|ours| cell(ours.as_ref())).join(" | ");
        let _ = writeln!(text, "| {} | {} | {ours} | {} |", verdict.row, verdict.target, verdict.rivals);
    }
    text
}

/// The figures of a row, one line a subject.
pub fn columns(table: &Table, row: &str) -> String {
    let mut metrics: Vec<&str> = Vec::new();
    for line in table.lines.iter().filter(|line| line.row == row) {
        if !metrics.contains(&line.metric.as_str()) {
            metrics.push(&line.metric);
        }
    }
    let title = |metric: &str| COLUMNS.iter().find(|(name, _)| *name == metric).map(|(_, title)| (*title).to_owned());
    let titles: Vec<_> = metrics.iter().map(|metric| title(metric).unwrap_or((*metric).to_owned())).collect();
    let mut text = format!("| subject | {} |\n|---|{}\n", titles.join(" | "), "---:|".repeat(titles.len()));
    for (subject, kind) in table.subjects(row) {
        let strong = if kind == Kind::Ours { "**" } else { "" };
        let _ = write!(text, "| {strong}{subject}{strong} |");
        for metric in &metrics {
            let figure = table.get(row, subject, metric).map_or(String::new(), |spread| {
                let value = number(spread.value);
                // Only a spread that says something: half a percent is not visible in three digits.
                if spread.high - spread.low > 0.005 * spread.value.abs() {
                    format!("{value} ({} to {})", number(spread.low), number(spread.high))
                } else {
                    value
                }
            });
            let _ = write!(text, " {figure} |");
        }
        text.push('\n');
    }
    text
}

/// Three digits or so.
fn number(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => "more than 8".to_owned(),
        size if size >= 100.0 || size == size.trunc() => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 2.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The whole report; `programs` is the table of real programs, or is empty.
pub fn markdown(table: &Table, rows: &[Row], programs: &Table) -> String {
    let mut text = format!("{INTRODUCTION}\nThis machine: {}.\n\n## Targets\n\n{}", machine(), summary(table));
    for Row { name, about, .. } in rows.iter().filter(|row| !table.subjects(&row.name).is_empty()) {
        let _ = write!(text, "\n## {name}\n{about}.\n\n![{name}](tests/bench/results/{name}.svg)\n\n");
        text += &columns(table, name);
    }
    if !programs.lines.is_empty() {
        text += PROGRAMS;
        text += &ratios::markdown(programs);
    }
    text
}

/// What the figures were measured on.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores, Linux on {}", model.unwrap_or("unknown processor"), std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::Spread;

    #[test]
    fn a_row_shows_medians_and_the_spread_that_can_be_seen() {
        let mut table = Table::default();
        table.add("mixed", "talc", Kind::NoStd, "ns", Spread { value: 9.5, low: 9.0, high: 10.0 });
        table.add("mixed", "talc", Kind::NoStd, "failed requests", Spread::exact(0.0));
        let text = columns(&table, "mixed");
        assert!(text.contains("| subject | ns | failed |"), "{text}");
        assert!(text.contains("| talc | 9.50 (9 to 10) | 0 |"), "{text}");
    }
}
