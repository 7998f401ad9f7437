//! The figures that have targets, computed from the table.

use crate::rows::{fit, growth, threads, worst};
use crate::subject::Kind;
use crate::table::Table;
use crate::trace;

/// What a target is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// The speed in a row of operations, where no request failed.
    Speed,
    /// The geometric mean of the speeds in all trace rows.
    Traces,
    /// Instructions an operation.
    Instructions,
    /// The geometric mean of the smallest heaps for all traces.
    Fit,
    /// The smallest heap for [`CROWDED`], of talc's.
    FitToTalc,
    /// The smallest heap for a trace, of the least that a no_std peer has: the most of all traces.
    FitToPeers,
    /// The longest operation of the worst case, of the median of [`CHURN`].
    Longest,
    /// Instructions of the worst case among most gaps, of those among fewest.
    Growth,
    /// The speed of eight threads, of one's, under the better lock.
    Crowd,
    /// Nanoseconds an operation.
    Nanoseconds,
    /// The speed of one thread with a cache, of one's under the spin lock.
    OfGeneral,
    /// The speed of so many threads, of one's.
    Scale(usize),
    /// The speed of eight threads, of talc's under its better lock.
    OfTalc,
    /// The speed, of a system allocator's: the least of all numbers of threads.
    OfEach(&'static str),
    /// Microseconds of the first use.
    Start,
    /// KiB that the first use makes resident.
    StartResident,
}

/// How a figure is to stand to its bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Relation {
    AtLeast,
    AtMost,
    Below,
}

/// A column's figure.
pub struct Reading {
    /// What is compared with the bound.
    pub value: f64,
    /// The figure and what it is made of.
    pub words: String,
}

/// The row whose median the worst case is compared with.
const CHURN: &str = "churn-small-3000";
/// The trace whose heap is compared with talc's: the one in which small objects live long and are many.
const CROWDED: &str = "cargometa";
/// The heaps of the trace rows, by the ends of the rows' names.
const TRACE_HEAPS: [&str; 2] = ["1.5x", "4x"];
/// The gaps whose instructions are compared.
const FEWEST: usize = growth::GAPS[0];
const MOST: usize = growth::GAPS[growth::GAPS.len() - 1];

impl Relation {
    /// Whether `value` stands so to `bound`.
    pub fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::AtLeast => value >= bound,
            Self::AtMost => value <= bound,
            Self::Below => value < bound,
        }
    }

    /// How it is said.
    pub fn words(self) -> &'static str {
        match self {
            Self::AtLeast => "at least",
            Self::AtMost => "at most",
            Self::Below => "below",
        }
    }
}

impl Figure {
    /// What it is, and of what.
    pub fn words(self) -> String {
        let words = match self {
            Self::FitToTalc => return format!("{CROWDED}, of talc's"),
            Self::Scale(threads) => return format!("speed of {threads} threads, of one's"),
            Self::OfEach(name) => return format!("speed, of {name}'s, the least of 1, 2, 4 and 8 threads"),
            Self::Nanoseconds => "ns",
            Self::OfGeneral => "speed of one thread, of general's under SpinLock",
            Self::OfTalc => "speed of 8 threads, of talc's under its better lock",
            Self::Longest => return format!("longest operation, of the median of {CHURN}"),
            Self::Growth => return format!("instructions among {MOST} gaps, of those among {FEWEST}"),
            Self::Speed => "speed, of the fastest no_std peer's",
            Self::Traces => "geometric mean of the trace rows' speeds, of the fastest no_std peers'",
            Self::Instructions => "instructions an operation",
            Self::Fit => "geometric mean over the peaks",
            Self::FitToPeers => "each trace, of the least no_std peer's",
            Self::Crowd => "speed of 8 threads, of one's, under the better lock (million operations a second)",
            Self::Start => "microseconds",
            Self::StartResident => "resident KiB",
        };
        words.to_owned()
    }

    /// How it is to stand to its bound.
    pub fn relation(self) -> Relation {
        match self {
            Self::Speed
            | Self::Traces
            | Self::Crowd
            | Self::OfGeneral
            | Self::Scale(_)
            | Self::OfTalc
            | Self::OfEach(_) => Relation::AtLeast,
            Self::Nanoseconds | Self::Instructions | Self::Fit | Self::FitToPeers | Self::Longest | Self::Growth => {
                Relation::AtMost
            }
            Self::FitToTalc | Self::Start | Self::StartResident => Relation::Below,
        }
    }

    /// The figure of `subject` in `row`, if it was measured.
    pub fn of(self, table: &Table, row: &str, subject: &str) -> Option<Reading> {
        let plain = |value: f64, words: String| Reading { value, words };
        match self {
            Self::Speed => speed(table, row, subject),
            Self::Traces => traces(table, subject),
            Self::Instructions => {
                table.value(row, subject, "instructions").map(|count| plain(count, format!("{count:.1}")))
            }
            Self::Fit => fit_mean(table, subject),
            Self::FitToTalc => {
                let own = fit_of(table, subject, CROWDED)?;
                Some(plain(own / fit_of(table, "talc", CROWDED)?, format!("{own:.3}")))
            }
            Self::FitToPeers => fit_to_peers(table, subject),
            Self::Longest => longest(table, subject),
            Self::Growth => growth(table, subject),
            Self::Crowd => crowd(table, subject),
            Self::Nanoseconds => table.value(row, subject, "ns").map(|ns| plain(ns, format!("{ns:.1} ns"))),
            Self::OfGeneral => of(mops(table, row, subject, 1)?, mops(table, row, "slabfit general / SpinLock", 1)?),
            Self::Scale(threads) => of(mops(table, row, subject, threads)?, mops(table, row, subject, 1)?),
            Self::OfTalc => of(mops(table, row, subject, 8)?, mops(table, row, "talc", 8)?),
            Self::OfEach(name) => {
                let each = [1, 2, 4, 8]
                    .map(|threads| of(mops(table, row, subject, threads)?, mops(table, row, name, threads)?));
                let each: Vec<Reading> = each.into_iter().flatten().collect();
                each.into_iter().min_by(|one, other| one.value.total_cmp(&other.value))
            }
            Self::Start => table.value(row, subject, "us").map(|us| plain(us, format!("{us:.0}"))),
            Self::StartResident => table.value(row, subject, "resident KiB").map(|kib| plain(kib, format!("{kib:.0}"))),
        }
    }

    /// Who is compared with, and the figure of each.
    pub fn rivals(self, table: &Table, row: &str) -> String {
        match self {
            Self::Speed => {
                let words = [Field::NoStd, Field::All].map(|field| fastest(table, row, field));
                let words: Vec<_> =
                    words.into_iter().flatten().map(|(name, ns)| format!("{name} {ns:.1} ns")).collect();
                words.join("; of all ")
            }
            Self::Traces => String::new(), // another one in each row
            Self::Nanoseconds | Self::OfGeneral | Self::Scale(_) | Self::OfTalc | Self::OfEach(_) => String::new(),
            Self::FitToPeers => {
                let least = trace::NAMES.iter().filter_map(|trace| least_peer(table, trace));
                let words: Vec<_> = least.map(|(name, over)| format!("{name} {over:.3}")).collect();
                words.join(", ")
            }
            Self::Longest => named(self.of(table, row, "textbook next fit"), "textbook next fit"),
            Self::FitToTalc | Self::Growth => named(self.of(table, row, "talc"), "talc"),
            _ => self.best_peer(table, row),
        }
    }

    /// The no_std peer that has the best of a figure.
    fn best_peer(self, table: &Table, row: &str) -> String {
        let subjects = table.subjects(row).into_iter().filter(|(_, kind)| *kind == Kind::NoStd);
        // Of a subject that has locks `of` wants the name alone, and finds the better one.
        let names = subjects.map(|(subject, _)| subject.split(" / ").next().unwrap_or(subject));
        let readings = names.filter_map(|name| self.of(table, row, name).map(|reading| (name, reading)));
        let sign = if self.relation() == Relation::AtLeast { -1.0 } else { 1.0 };
        let best = readings.min_by(|(_, one), (_, other)| (sign * one.value).total_cmp(&(sign * other.value)));
        best.map_or(String::new(), |(name, reading)| named(Some(reading), name))
    }
}

fn named(reading: Option<Reading>, name: &str) -> String {
    reading.map_or(String::new(), |reading| format!("{name} {}", reading.words))
}

/// Who a speed is compared with.
#[derive(Clone, Copy, PartialEq)]
enum Field {
    /// The allocators for a region.
    NoStd,
    /// Those and the system allocators.
    All,
}

impl Field {
    fn has(self, kind: Kind) -> bool {
        kind == Kind::NoStd || self == Self::All && kind == Kind::System
    }
}

/// The fastest of a field in a row, among those that served every request.
fn fastest<'a>(table: &'a Table, row: &'a str, field: Field) -> Option<(&'a str, f64)> {
    let served = |subject: &str| table.value(row, subject, "failed requests").is_none_or(|failed| failed == 0.0);
    let rivals = table.of(row, "ns").filter(|line| field.has(line.kind) && served(&line.subject));
    let best = rivals.min_by(|one, other| one.spread.value.total_cmp(&other.spread.value))?;
    Some((&best.subject, best.spread.value))
}

/// A speed of `times` another's, or none if requests failed: a peer that failed some is no rival either.
fn times(times: f64, failed: f64, details: &str) -> Reading {
    let failures = if failed > 0.0 { format!(", {failed} failed") } else { String::new() };
    Reading { value: if failed > 0.0 { 0.0 } else { times }, words: format!("{details}{times:.2}x{failures}") }
}

/// Nanoseconds of a subject, how much that is of the fastest peer's speed, and the requests that failed.
fn compare(table: &Table, row: &str, subject: &str) -> Option<(f64, f64, f64)> {
    let own = table.value(row, subject, "ns")?;
    let (_, rival) = fastest(table, row, Field::NoStd)?;
    Some((own, rival / own, table.value(row, subject, "failed requests").unwrap_or(0.0)))
}

fn speed(table: &Table, row: &str, subject: &str) -> Option<Reading> {
    let (own, of_rival, failed) = compare(table, row, subject)?;
    Some(times(of_rival, failed, &format!("{own:.1} ns, ")))
}

fn traces(table: &Table, subject: &str) -> Option<Reading> {
    let heaps = |trace| TRACE_HEAPS.map(|heap| format!("trace-{trace}-{heap}"));
    let rows = trace::NAMES.into_iter().flat_map(heaps);
    let all: Option<Vec<_>> = rows.map(|row| compare(table, &row, subject)).collect();
    let all = all?;
    let mean = geometric_mean(all.iter().map(|(_, of_rival, _)| *of_rival));
    Some(times(mean, all.iter().map(|(_, _, failed)| failed).sum(), ""))
}

fn geometric_mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    (values.map(f64::ln).sum::<f64>() / count).exp()
}

/// The metric of the smallest heap for a trace.
fn segment(trace: &str) -> String {
    format!("{trace} segment")
}

fn fit_of(table: &Table, subject: &str, trace: &str) -> Option<f64> {
    table.value(fit::NAME, subject, &segment(trace))
}

/// The smallest heaps for all traces, in their order, and the words for them.
fn fits(table: &Table, subject: &str) -> Option<(Vec<f64>, String)> {
    let all: Option<Vec<_>> = trace::NAMES.iter().map(|trace| fit_of(table, subject, trace)).collect();
    let all = all?;
    let words: Vec<_> = trace::NAMES.iter().zip(&all).map(|(trace, over)| format!("{trace} {over:.3}")).collect();
    Some((all, words.join(", ")))
}

fn fit_mean(table: &Table, subject: &str) -> Option<Reading> {
    let (all, _) = fits(table, subject)?;
    let mean = geometric_mean(all.into_iter());
    Some(Reading { value: mean, words: format!("{mean:.3}") })
}

/// The no_std peer that needs least for a trace.
fn least_peer<'a>(table: &'a Table, trace: &str) -> Option<(&'a str, f64)> {
    let peers = table.lines.iter().filter(|line| line.row == fit::NAME && line.kind == Kind::NoStd);
    let heaps = peers.filter(|line| line.metric == segment(trace));
    let least = heaps.min_by(|one, other| one.spread.value.total_cmp(&other.spread.value))?;
    Some((&least.subject, least.spread.value))
}

fn fit_to_peers(table: &Table, subject: &str) -> Option<Reading> {
    let (all, words) = fits(table, subject)?;
    let ratios: Option<Vec<_>> =
        trace::NAMES.iter().zip(all).map(|(trace, own)| Some(own / least_peer(table, trace)?.1)).collect();
    Some(Reading { value: ratios?.into_iter().fold(0.0, f64::max), words })
}

fn longest(table: &Table, subject: &str) -> Option<Reading> {
    let metrics = ["alloc fits max ns", "free fits max ns", "alloc none fits max ns"];
    let all: Option<Vec<f64>> = metrics.iter().map(|metric| table.value(worst::NAME, subject, metric)).collect();
    let most = all?.into_iter().fold(0.0, f64::max);
    let median = table.value(CHURN, subject, "p50 ns")?;
    Some(Reading { value: most / median, words: format!("{most:.0} ns, {:.2}x of {median:.1} ns", most / median) })
}

fn growth(table: &Table, subject: &str) -> Option<Reading> {
    let at = |gaps: usize| table.value(growth::NAME, subject, &format!("instructions at {gaps}"));
    let (few, many) = at(FEWEST).zip(at(MOST))?;
    Some(Reading { value: many / few, words: format!("{few:.0} to {many:.0}, {:.2}x", many / few) })
}

fn crowd(table: &Table, subject: &str) -> Option<Reading> {
    let locks = ["SpinLock", "FutexLock"].map(|lock| {
        let name = format!("{subject} / {lock}");
        let at = |count: usize| table.value(threads::NAME, &name, &format!("Mops at {count}"));
        at(1).zip(at(8)).map(|(one, eight)| (lock, one, eight))
    });
    let locks: Vec<_> = locks.into_iter().flatten().collect();
    let kept = locks.iter().map(|(_, one, eight)| eight / one).reduce(f64::max)?;
    let words: Vec<_> = locks.iter().map(|(lock, one, eight)| format!("{lock} {one:.1} to {eight:.1}")).collect();
    Some(Reading { value: kept, words: words.join(", ") })
}

/// Million operations a second of so many threads, under the lock that suits best; of a subject with its lock under that.
fn mops(table: &Table, row: &str, subject: &str, threads: usize) -> Option<f64> {
    let metric = format!("Mops at {threads}");
    let is_it = |name: &str| name == subject || name.split(" / ").next() == Some(subject);
    let lines = table.of(row, &metric).filter(|line| is_it(&line.subject));
    lines.map(|line| line.spread.value).reduce(f64::max)
}

/// A speed, of another's.
fn of(own: f64, other: f64) -> Option<Reading> {
    Some(Reading { value: own / other, words: format!("{own:.0} Mops, {:.2}x", own / other) })
}
