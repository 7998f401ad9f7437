//! The figures as text.

use crate::groups::{self, Group};
use crate::programs::ratios;
use crate::subject::Kind;
use crate::table::Table;
use crate::targets::{self, Cell, OURS};
use std::fmt::Write as _;

const INTRODUCTION: &str = "\
# Benchmarks

slabfit beside other allocators: those for a region of fixed size (no_std), those of systems, and a textbook's. `cargo run --release -p
slabfit-bench` measures the rows and writes this page, the pictures, and the CSV files in [tests/bench/results](tests/bench/results);
`-- --from-csv` writes the page and the pictures anew from these files. Figures of different runs cannot be compared.

## What to choose

- **`General`** for most programs: small objects are as fast as under the fastest no_std allocators, and wrong free calls are named.
- **`FirstFit`** for a heap below 64 KiB, for the least flash, and for the smallest region that a program runs in.
- **`NextFit`** for its list of gaps in the heap. It is no faster, and needs the largest region.
- **talc** or **rlsf**, if most objects are larger than 512 bytes or flash is scarce, and wrong free calls need no answer.
- **mimalloc** or **rpmalloc**, if memory may grow and many threads allocate: without a `Cache` for each, slabfit's share two locks.
- Not **linked_list_allocator** for a large heap: its heap is the smallest, and its time is linear in the gaps.
";

const METHOD: &str = "
## How it is measured

- Rows: one process; all subjects in turn, under the same lock type, in regions of the same size, on the same sequences of operations.
  A fresh heap in resident memory, warmed up; the median of 15 repetitions, in processor time of the thread. A first run, not
  measured, fills every object and reads it back.
- Calls are as a program's to its global allocator: not inlined, the layout not known when compiling, alignment 8. ns are less what
  an allocator that does nothing takes (`empty` in the files).
- A heap by next fit or first fit has the stated size, and its bookkeeping lies beside it; all others get one piece of both sizes. In
  rows that are not about the slab no request has its size, and a quarter of the heap idles.
- In the worst case small objects under `General` have an alignment of 32, which no size class has: slots are no gaps.
- Allocators of systems have no limit to keep, and mostly take no lock. scudo's realloc allocates, copies and frees.
- Instructions are callgrind's; a run counts them anew with `--counts`.
- The files also have percentiles, the longest operation, resident memory, how full a heap is at the first failure, and quartiles.
- Memory: `target/release/tester footprint --csv tests/bench/results/footprint.csv`. Flash: `ci/quick/49-embedded --all`, whose
  [file](tests/targets/embedded/results/all.csv) has stack, instructions and what fits as well.
";

const PROGRAMS: &str = "
## Real programs
Programs of Debian under one preloaded allocator after the other, seven rounds; their output is compared. slabfit is
`libmem_preload.so` with a heap of 1 GiB. `SLABFIT_MEASURE=1 ci/quick/46-programs` measures it ([programs](tests/bench/results/programs.csv)).

![Real programs](tests/bench/results/programs.svg)
";

/// The subjects of the table of all groups.
const SUMMARY: [&str; 8] = [OURS[2], OURS[1], OURS[0], "talc", "rlsf", "linked_list_allocator", "glibc", "mimalloc"];

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
    let columns = OURS.map(|name| name.trim_start_matches("slabfit ")).join(" | ");
    let mut text = format!("| row | to reach | {columns} | best peer |\n|---|---|---|---|---|---|---|\n");
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

/// The targets as a file.
pub fn targets_csv(table: &Table) -> String {
    let mut text = format!("row,to reach,{},best peer\n", OURS.join(","));
    for verdict in targets::verdicts(table) {
        let ours = verdict.ours.each_ref().map(|ours| format!("\"{}\"", cell(ours.as_ref()).replace("**", "")));
        let _ = writeln!(text, "{},\"{}\",{},\"{}\"", verdict.row, verdict.target, ours.join(","), verdict.rivals);
    }
    text
}

/// How many targets there are, and how many are reached.
fn reached(table: &Table) -> (usize, usize) {
    let verdicts = targets::verdicts(table);
    let judged = verdicts.iter().flat_map(|verdict| &verdict.ours).flatten().filter_map(|cell| cell.reached);
    judged.fold((0, 0), |(all, reached), is| (all + 1, reached + usize::from(is)))
}

/// The whole report; `programs` is the table of real programs, or is empty.
pub fn markdown(table: &Table, programs: &Table, machine: &str) -> String {
    let (all, reached) = reached(table);
    let mut text = format!("{INTRODUCTION}\n## One figure for each group\n\n{}", figures(table, programs));
    let _ = write!(
        text,
        "\nGeometric means; `-`: not measured in all of a group, or requests failed there. Machine: {machine}. Of {all} targets that were \
         set, {reached} are reached: [targets](tests/bench/results/targets.csv).\n"
    );
    for group in &groups::ALL {
        if !group.scenes(table).is_empty() {
            text += &section(group);
        }
    }
    if !programs.lines.is_empty() {
        text += PROGRAMS;
    }
    text += "\n## What was tried\n\n";
    text += include_str!("../tried.md");
    text += METHOD;
    text
}

/// A line for each group, and one for each figure of the programs.
fn figures(table: &Table, programs: &Table) -> String {
    let titles = SUMMARY.map(|subject| match subject.strip_prefix("slabfit ") {
        Some(ours) => format!("**{ours}**"),
        None => subject.to_owned(),
    });
    let mut text = format!("| group | unit | {} |\n|---|---|{}\n", titles.join(" | "), "---:|".repeat(titles.len()));
    for group in &groups::ALL {
        let scenes = group.scenes(table);
        if scenes.is_empty() {
            continue;
        }
        let cells = SUMMARY.map(|subject| mean_words(groups::mean(&scenes, subject), group.digits));
        let _ = writeln!(text, "| {} | {} | {} |", group.title, group.unit, cells.join(" | "));
    }
    for figure in ratios::FIGURES.iter().filter(|_| !programs.lines.is_empty()) {
        let cells = SUMMARY.map(|subject| {
            // The library's default placement has no name of its own there.
            let subject = if subject == OURS[2] { "slabfit" } else { subject };
            mean_words(programs.value(ratios::NAME, subject, &figure.ratio(ratios::MEAN)), 2)
        });
        let _ = writeln!(text, "| Real programs: {} | of glibc's | {} |", figure.name, cells.join(" | "));
    }
    text
}

fn mean_words(mean: Option<f64>, digits: usize) -> String {
    mean.map_or("-".to_owned(), |mean| format!("{mean:.digits$}"))
}

/// A group's picture, what it shows, and the files with its figures.
fn section(group: &Group) -> String {
    let Group { name, title, about, .. } = group;
    let file = |row: &str| match row {
        "flash" => "[file](tests/targets/embedded/results/all.csv)".to_owned(),
        _ => format!("[{row}](tests/bench/results/{row}.csv)"),
    };
    let files: Vec<_> = group.rows().into_iter().map(file).collect();
    format!("\n## {title}\n{about} ({}).\n\n![{title}](tests/bench/results/{name}.svg)\n", files.join(", "))
}

/// What the figures are measured on.
pub fn machine() -> String {
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

    #[test]
    fn the_report_has_a_picture_for_each_group_that_was_measured_and_its_figure() {
        let mut table = Table::default();
        for row in ["churn-large", "realloc-one"] {
            table.add(
                row,
                "slabfit general",
                Kind::Ours,
                "ns",
                Spread::exact(if row == "churn-large" { 10.0 } else { 40.0 }),
            );
        }
        let text = markdown(&table, &Table::default(), "a machine");
        assert!(text.contains("| Large objects and vectors that grow | ns an operation | 20.0 | - |"), "{text}");
        assert!(text.contains("(tests/bench/results/large.svg)") && !text.contains("small.svg"), "{text}");
        assert!(text.contains("[realloc-one](tests/bench/results/realloc-one.csv)"), "{text}");
        assert!(text.lines().count() <= 150, "{} lines", text.lines().count());
    }
}
