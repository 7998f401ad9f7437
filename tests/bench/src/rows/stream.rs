//! The rows that are a sequence of operations on one heap.

use super::{Effort, Row};
use crate::clock;
use crate::drive::Timing;
use crate::entry::{self, Entry};
use crate::numbers::{Spread, percentile};
use crate::ops::{self, Sizes, Stream};
use crate::region::Region;
use crate::resident;
use crate::subject::{Kind, NO_SLAB, Setup, bookkeeping};
use crate::table::Table;
use crate::trace;
use std::time::{Duration, Instant};

/// A row's work and the heap it runs in.
pub struct Work {
    /// The operations.
    pub stream: Stream,
    /// Fewer of them, for the subjects that walk lists, where all would take hours.
    pub brief: Option<Stream>,
    /// Bytes of slabfit's heap.
    pub heap: usize,
    /// Bytes of a peer's arena, bookkeeping excepted, if not the same.
    pub peer: Option<usize>,
    /// slabfit's slab size.
    pub slab_size: usize,
    /// The sizes of a program that grows until a request fails; none where that says nothing.
    pub growing: Option<Sizes>,
}

impl Work {
    /// The operations for `entry`.
    pub fn stream_of(&self, entry: &Entry) -> &Stream {
        self.brief.as_ref().filter(|_| entry.walks()).unwrap_or(&self.stream)
    }
}

/// A row before its work is made.
pub struct Spec {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub about: String,
    /// Makes the work.
    pub make: Box<dyn Fn(Effort) -> Work>,
}

const MIB: usize = 1 << 20;
const SLAB: u32 = 64;
const SMALL: Sizes = Sizes::Between(4, 200);
const SEED: u64 = 0x0005_1AB0;

/// Bytes that a request takes in slabfit's block segment.
fn block(size: u32) -> usize {
    16 + (size as usize).next_multiple_of(16).max(16)
}

fn spec(name: &str, about: &str, make: impl Fn(Effort) -> Work + 'static) -> Spec {
    Spec { name: name.to_owned(), about: about.to_owned(), make: Box::new(make) }
}

fn churn(name: &str, about: &str, live: usize, sizes: Sizes, heap: usize, slab_size: usize) -> Spec {
    spec(name, about, move |effort| Work {
        stream: ops::churn(live, sizes, [8 * live, effort.pick(400_000, 20_000)], SEED),
        brief: None,
        heap,
        peer: None,
        slab_size,
        growing: Some(sizes),
    })
}

fn slab(name: &str, about: &str, make: fn(usize) -> Stream) -> Spec {
    spec(name, about, move |effort| Work {
        stream: make(effort.pick(400_000, 20_000)),
        brief: None,
        heap: MIB,
        peer: None,
        slab_size: SLAB as usize,
        growing: None,
    })
}

fn tight(effort: Effort) -> Work {
    const SEGMENT: usize = MIB / 4 * 3;
    let count = effort.pick(400_000, 20_000);
    let stream = ops::tight(SEGMENT / 10 * 9, block, SMALL, count, SEED);
    Work { stream, brief: None, heap: MIB, peer: Some(SEGMENT), slab_size: NO_SLAB, growing: None }
}

fn big_heap(effort: Effort) -> Work {
    let live = effort.pick(100_000, 10_000);
    let churn = |counts| ops::churn(live, Sizes::Between(4, 400), counts, SEED);
    Work {
        stream: churn([8 * live, effort.pick(400_000, 20_000)]),
        brief: Some(churn([live / 5, effort.pick(4_000, 400)])),
        heap: effort.pick(64, 8) * MIB,
        peer: None,
        slab_size: NO_SLAB,
        growing: None, // as in the small heaps
    }
}

fn vectors(name: &str, about: &str, count: usize, longest: u32, heap: usize) -> Spec {
    spec(name, about, move |effort| Work {
        stream: ops::vectors(count, longest, effort.pick(200_000, 10_000), SEED),
        brief: None,
        heap,
        peer: None,
        slab_size: NO_SLAB,
        growing: None,
    })
}

/// The slab size for a program: of the sizes it asks for often, the one with which the smallest heap serves it (see the
/// `fit` row), as its user would choose.
fn trace_slab(program: &str) -> usize {
    match program {
        "gitlog" => 72,
        "gs" => 248,
        "sqlite" => 4368,
        _ => 24,
    }
}

fn replay(program: &'static str, tenths: usize) -> Spec {
    let (whole, tenth) = (tenths / 10, tenths % 10);
    let times = if tenth == 0 { format!("{whole}") } else { format!("{whole}.{tenth}") };
    let about = format!("the trace of {program} in a heap of {times} times its peak");
    spec(&format!("trace-{program}-{times}x"), &about, move |_| {
        let trace = trace::load(program);
        let heap = (trace.peak * tenths / 10).next_multiple_of(crate::region::PAGE);
        Work { stream: trace.stream, brief: None, heap, peer: None, slab_size: trace_slab(program), growing: None }
    })
}

/// The rows, in the order of the report.
pub fn all() -> Vec<Spec> {
    let mut specs = vec![
        slab("slab-lifo", "alloc and free of the slab size, 4,000 live, last in first out", |count| {
            ops::stack(4000, SLAB, count, SEED)
        }),
        slab("slab-random", "alloc and free of the slab size, up to 4,000 live, in random order", |count| {
            ops::churn(4000, Sizes::Always(SLAB), [32_000, count], SEED)
        }),
        churn(
            "mixed",
            "half the requests the slab size, half 4 to 200 bytes; 3,000 live in 1 MiB",
            3000,
            Sizes::HalfAlways(SLAB, 4, 200),
            MIB,
            SLAB as usize,
        ),
        churn("churn-small-300", "4 to 200 bytes, 300 live in 1 MiB", 300, SMALL, MIB, NO_SLAB),
        churn("churn-small-3000", "4 to 200 bytes, 3,000 live in 1 MiB", 3000, SMALL, MIB, NO_SLAB),
        churn(
            "churn-large",
            "4 to 10,000 bytes, 300 live in 16 MiB",
            300,
            Sizes::Between(4, 10_000),
            16 * MIB,
            NO_SLAB,
        ),
        spec("tight", "the block segment of 1 MiB filled to 90%: free one, allocate one", tight),
        spec("big-heap", "4 to 400 bytes, 100,000 live in 64 MiB", big_heap),
        vectors("realloc-one", "one vector that doubles from 16 bytes to 64 KiB", 1, 1 << 16, MIB),
        vectors("realloc-many", "64 vectors that double from 16 bytes to 4 KiB, in random turns", 64, 1 << 12, MIB),
    ];
    for program in trace::NAMES {
        specs.extend([replay(program, 15), replay(program, 40)]);
    }
    specs
}

/// The row of a specification.
pub fn row(spec: Spec) -> Row {
    let Spec { name, about, make } = spec;
    let title = name.clone();
    Row { name, about, run: Box::new(move |effort| measure(&title, &make(effort), effort)) }
}

/// A mapped region for `work`, and what a subject is to make of it.
pub fn region(work: &Work) -> Region {
    let map = bookkeeping(work.heap, work.slab_size);
    let peer = work.peer.unwrap_or(work.heap);
    Region::map(work.heap.max(peer) + map).expect("the machine has memory for every row")
}

/// The setup of `work` in `region`.
pub fn setup<'a>(work: &Work, region: &'a Region) -> Setup<'a> {
    let map = bookkeeping(work.heap, work.slab_size);
    let peer = (work.peer.unwrap_or(work.heap) + map) & !15;
    Setup { region, heap: work.heap, peer, slab_size: work.slab_size, fresh: false }
}

/// The subjects of a row: the list of nodes has one size, so it is a floor for the slab rows alone.
pub fn subjects(row: &str) -> Vec<Entry> {
    let mut entries = entry::all();
    entries.retain(|entry| entry.name != "pop and push" || row.starts_with("slab"));
    entries
}

/// A subject and what was measured of it.
struct Column {
    entry: Entry,
    failures: u64,
    /// One for each operation.
    timings: Vec<Timing>,
    /// Nanoseconds an operation, one for each repetition.
    laps: Vec<f64>,
    /// Repetitions it takes part in: fewer if it is very slow.
    most_laps: usize,
}

fn measure(row: &str, work: &Work, effort: Effort) -> Table {
    let region = region(work);
    region.touch();
    let setup = setup(work, &region);
    let (laps, timings) = effort.pick((15, 9), (3, 2));
    let mut columns = warm_up(row, work, &setup, laps);
    for turn in 0..laps {
        // Another one begins each time: whoever follows a subject finds the caches as that one left them.
        let first = turn % columns.len();
        columns.rotate_left(first);
        for column in columns.iter_mut().filter(|column| turn < column.most_laps) {
            let stream = work.stream_of(&column.entry);
            let lap = (column.entry.lap)(&setup, stream);
            column.laps.push(lap.ns as f64 / stream.ops.len() as f64);
            column.failures = lap.failures;
        }
        columns.rotate_right(first);
    }
    for turn in 0..timings {
        for column in columns.iter_mut().filter(|column| turn < column.most_laps) {
            (column.entry.latencies)(&setup, work.stream_of(&column.entry), &mut column.timings);
        }
    }
    let mut table = report(row, columns);
    if let Some(sizes) = work.growing {
        first_failures(row, &setup, sizes, &mut table);
    }
    if !effort.quick {
        resident::add(row, &mut table);
    }
    table
}

/// Runs each subject once, with the contents of all objects checked. One that loses them has no column.
fn warm_up(row: &str, work: &Work, setup: &Setup<'_>, laps: usize) -> Vec<Column> {
    /// So long a subject may take for all of its repetitions; one that is very slow has fewer.
    const PATIENCE: Duration = Duration::from_secs(4);
    let mut columns = Vec::new();
    for entry in subjects(row) {
        let start = Instant::now();
        let stream = work.stream_of(&entry);
        match (entry.verify)(setup, stream) {
            Err(error) => eprintln!("{row}: left out: {error}"),
            Ok(failures) => {
                let possible = PATIENCE.as_secs_f64() / start.elapsed().as_secs_f64();
                let most_laps = (possible as usize).clamp(1, laps);
                let timings = vec![Timing::default(); stream.ops.len()];
                columns.push(Column { entry, failures, timings, laps: Vec::new(), most_laps });
            }
        }
    }
    columns
}

/// The row's figures, less what the empty subject has.
fn report(row: &str, columns: Vec<Column>) -> Table {
    let mut table = Table::default();
    let scale = clock::ns_per_tick();
    let mut harness: Option<(f64, f64)> = None;
    for Column { entry, failures, timings, laps, .. } in columns {
        let mut ticks: Vec<_> = timings.iter().map(|timing| timing.mean()).collect();
        ticks.sort_unstable_by(f64::total_cmp);
        let at = |share| percentile(&ticks, share) * scale;
        let ns = Spread::of(laps);
        let (own_ns, own_latency) = *harness.get_or_insert((ns.value, at(0.5)));
        let empty = entry.kind == Kind::Empty;
        let mut add = |metric: &str, spread| table.add(row, entry.name, entry.kind, metric, spread);
        add("ns", if empty { ns } else { ns.less(own_ns) });
        for (metric, share) in [("p50 ns", 0.5), ("p99 ns", 0.99), ("p99.9 ns", 0.999), ("max ns", 1.0)] {
            let net = if empty { at(share) } else { (at(share) - own_latency).max(0.0) };
            add(metric, Spread::exact(net));
        }
        add("failed requests", Spread::exact(failures as f64));
    }
    table
}

/// How much of the heap a growing program has in use when its first request fails.
fn first_failures(row: &str, setup: &Setup<'_>, sizes: Sizes, table: &mut Table) {
    const SEEDS: u64 = 5;
    let total = setup.peer;
    let streams: Vec<_> = (0..SEEDS).map(|seed| ops::grow(total + total / 8, sizes, seed)).collect();
    for entry in subjects(row).into_iter().filter(|entry| entry.kind.is_bounded()) {
        let used = streams.iter().filter_map(|stream| (entry.first_failure)(setup, stream));
        let shares: Vec<_> = used.map(|bytes| 100.0 * bytes as f64 / total as f64).collect();
        if !shares.is_empty() {
            table.add(row, entry.name, entry.kind, "used at first failure %", Spread::of(shares));
        }
    }
}
