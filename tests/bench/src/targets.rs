//! What each row is to reach, and whether it does: computed from the figures, never typed.

use crate::rows::{fit, growth, start_up, threads, worst};
use crate::subject::Kind;
use crate::table::Table;
use crate::trace;

/// slabfit's columns.
pub const OURS: [&str; 2] = ["slabfit next fit", "slabfit first fit"];
/// A speed of this much of another's is level with it: what two runs of one allocator differ by.
const LEVEL: f64 = 0.97;
/// The row whose median the worst case is compared with.
const CHURN: &str = "churn-small-3000";

/// How a column stands to its target.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The figure that counts.
    pub figure: String,
    /// Whether it reaches the target; nothing where the target is the other column's.
    pub reached: Option<bool>,
}

/// A row of the summary.
pub struct Verdict {
    /// The row.
    pub row: String,
    /// What is to be reached.
    pub target: String,
    /// Next fit and first fit; nothing where a column was not measured.
    pub ours: [Option<Cell>; 2],
    /// Who is compared with, and the figure of each.
    pub rivals: String,
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
fn fastest(table: &Table, row: &str, field: Field) -> Option<(String, f64)> {
    let served = |subject: &str| table.value(row, subject, "failed requests").is_none_or(|failed| failed == 0.0);
    let rivals = table.of(row, "ns").filter(|line| field.has(line.kind) && served(&line.subject));
    let best = rivals.min_by(|one, other| one.spread.value.total_cmp(&other.spread.value))?;
    Some((best.subject.clone(), best.spread.value))
}

fn times(figure: f64) -> String {
    format!("{figure:.2}x")
}

/// A row that is about speed: `judge` says whether a column (0: next fit) with that speed reaches the target.
fn speed(
    table: &Table,
    row: &str,
    target: &str,
    field: Field,
    judge: impl Fn(usize, f64, f64) -> Option<bool>,
) -> Verdict {
    let rival = fastest(table, row, field);
    let ours = [0, 1].map(|column| {
        let (own, (_, rival)) = table.value(row, OURS[column], "ns").zip(rival.clone())?;
        let failed = table.value(row, OURS[column], "failed requests").unwrap_or(0.0);
        let failures = if failed > 0.0 { format!(", {failed} failed") } else { String::new() };
        let figure = format!("{own:.1} ns, {}{failures}", times(rival / own));
        Some(Cell { figure, reached: judge(column, rival / own, failed) })
    });
    let words = [Field::NoStd, Field::All].map(|field| fastest(table, row, field));
    let words: Vec<_> = words.into_iter().flatten().map(|(name, ns)| format!("{name} {ns:.1} ns")).collect();
    Verdict { row: row.to_owned(), target: target.to_owned(), ours, rivals: words.join("; of all ") }
}

fn slab(table: &Table, row: &str) -> Verdict {
    let floor = table.value(row, "pop and push", "ns");
    let mut verdict =
        speed(table, row, "at most 1.5x pop and push; faster than every peer", Field::All, |_, _, _| None);
    for (cell, name) in verdict.ours.iter_mut().zip(OURS) {
        let own = table.value(row, name, "ns").zip(floor);
        if let (Some(cell), Some((own, floor)), Some((_, rival))) = (cell, own, fastest(table, row, Field::All)) {
            cell.figure += &format!(", {} the floor", times(own / floor));
            cell.reached = Some(own <= 1.5 * floor && own < rival);
        }
    }
    verdict
}

fn fits(table: &Table) -> Verdict {
    let least = |program: &str| {
        let metric = format!("{program} segment");
        let rivals = table.of(fit::NAME, &metric).filter(|line| line.kind == Kind::NoStd);
        rivals.min_by(|one, other| one.spread.value.total_cmp(&other.spread.value)).cloned()
    };
    let ours = [0, 1].map(|column| {
        let mut figures = Vec::new();
        let mut reached = true;
        for program in trace::NAMES {
            let own = table.value(fit::NAME, OURS[column], &format!("{program} segment"))?;
            reached &= least(program).is_none_or(|rival| own <= rival.spread.value);
            figures.push(format!("{program} {own:.3}"));
        }
        Some(Cell { figure: figures.join(", "), reached: (column == 1).then_some(reached) })
    });
    let rivals: Vec<_> = trace::NAMES.iter().filter_map(|program| least(program)).collect();
    let rivals: Vec<_> = rivals.iter().map(|line| format!("{} {:.3}", line.subject, line.spread.value)).collect();
    let target = "first fit at or below every no_std peer (block segment and its map over the peak)";
    Verdict { row: fit::NAME.to_owned(), target: target.to_owned(), ours, rivals: rivals.join(", ") }
}

/// The longest of a subject's operations in the worst case.
fn longest(table: &Table, subject: &str) -> Option<f64> {
    let metrics = ["alloc fits max ns", "free fits max ns", "alloc none fits max ns"];
    let all: Option<Vec<f64>> = metrics.iter().map(|metric| table.value(worst::NAME, subject, metric)).collect();
    all?.into_iter().reduce(f64::max)
}

fn worst_case(table: &Table) -> Verdict {
    let ours = OURS.map(|name| {
        let (most, median) = longest(table, name).zip(table.value(CHURN, name, "p50 ns"))?;
        let figure = format!("{most:.0} ns, {} of {median:.1} ns", times(most / median));
        Some(Cell { figure, reached: Some(most <= 20.0 * median) })
    });
    let textbook =
        longest(table, "textbook next fit").map_or(String::new(), |ns| format!("textbook next fit {ns:.0} ns"));
    let target = format!("maximum at most 20x the median of {CHURN}");
    Verdict { row: worst::NAME.to_owned(), target, ours, rivals: textbook }
}

fn grows(table: &Table) -> Verdict {
    let counts = |subject: &str| {
        let at = |holes| table.value(growth::NAME, subject, &format!("instructions at {holes}"));
        at(growth::HOLES[0]).zip(at(growth::HOLES[growth::HOLES.len() - 1]))
    };
    let ours = OURS.map(|name| {
        let (few, many) = counts(name)?;
        let figure = format!("{few:.0} to {many:.0}, {}", times(many / few));
        Some(Cell { figure, reached: Some(many <= 2.0 * few) })
    });
    let rivals = counts("talc").map_or(String::new(), |(few, many)| format!("talc {few:.0} to {many:.0}"));
    let target = "instructions grow at most 2x from 100 to 1,000,000 holes";
    Verdict { row: growth::NAME.to_owned(), target: target.to_owned(), ours, rivals }
}

/// Speed of one thread, and of eight, under each lock.
fn crowd(table: &Table) -> Verdict {
    let at = |name: &str, count: usize| table.value(threads::NAME, name, &format!("Mops at {count}"));
    let ours = OURS.map(|name| {
        let locks = ["SpinLock", "FutexLock"].map(|lock| {
            let name = format!("{name} / {lock}");
            at(&name, 1).zip(at(&name, 8)).map(|(one, eight)| (lock, one, eight))
        });
        let locks: Vec<_> = locks.into_iter().flatten().collect();
        let kept = locks.iter().map(|(_, one, eight)| eight / one).reduce(f64::max)?;
        let figures: Vec<_> = locks.iter().map(|(lock, one, eight)| format!("{lock} {one:.1} to {eight:.1}")).collect();
        Some(Cell { figure: figures.join(", "), reached: Some(kept >= 0.8) })
    });
    let eight: Vec<_> = table.of(threads::NAME, "Mops at 8").filter(|line| line.kind == Kind::NoStd).collect();
    let best = eight.into_iter().max_by(|one, other| one.spread.value.total_cmp(&other.spread.value));
    let rivals = best.map_or(String::new(), |line| {
        format!("{} {:.1} to {:.1}", line.subject, at(&line.subject, 1).unwrap_or(0.0), line.spread.value)
    });
    let target = "8 threads at least 0.8 of 1, under the better lock (million operations a second)";
    Verdict { row: threads::NAME.to_owned(), target: target.to_owned(), ours, rivals }
}

fn starts(table: &Table) -> Verdict {
    let figures = |subject: &str| {
        table.value(start_up::NAME, subject, "us").zip(table.value(start_up::NAME, subject, "resident KiB"))
    };
    let words = |(us, kib): (f64, f64)| format!("{us:.0} us, {kib:.0} KiB");
    let ours = OURS.map(|name| {
        let (us, kib) = figures(name)?;
        Some(Cell { figure: words((us, kib)), reached: Some(us < 100.0 && kib < 64.0) })
    });
    let rivals = figures("talc").map_or(String::new(), |figures| format!("talc {}", words(figures)));
    let target = "under 100 us, under 64 KiB resident";
    Verdict { row: start_up::NAME.to_owned(), target: target.to_owned(), ours, rivals }
}

/// Every row's verdict, as far as it was measured, in the order of the report.
pub fn verdicts(table: &Table) -> Vec<Verdict> {
    let level = |row: &str| {
        speed(table, row, "level with the fastest no_std peer", Field::NoStd, |_, speed, _| Some(speed >= LEVEL))
    };
    let mut all = vec![slab(table, "slab-lifo"), slab(table, "slab-random")];
    all.push(speed(table, "mixed", "faster than every no_std peer", Field::NoStd, |_, speed, _| Some(speed > 1.0)));
    all.extend(["churn-small-300", CHURN, "churn-large", "tight"].map(level));
    let big = "next fit at least 0.6 of the fastest no_std peer, first fit level with it";
    all.push(speed(table, "big-heap", big, Field::NoStd, |column, speed, _| {
        Some(speed >= if column == 0 { 0.6 } else { LEVEL })
    }));
    all.extend([fits(table), worst_case(table), grows(table), crowd(table)]);
    for program in trace::NAMES {
        for (heap, counts, word) in [("1.5x", 1, "first fit"), ("4x", 0, "next fit")] {
            let target = format!("{word} level with the fastest no_std peer, no failed request");
            all.push(speed(
                table,
                &format!("trace-{program}-{heap}"),
                &target,
                Field::NoStd,
                |column, speed, failed| (column == counts).then_some(speed >= LEVEL && failed == 0.0),
            ));
        }
    }
    for row in ["realloc-one", "realloc-many"] {
        let target = "faster than every peer";
        all.push(speed(table, row, target, Field::All, |_, speed, _| Some(speed > 1.0)));
    }
    all.push(starts(table));
    all.retain(|verdict| verdict.ours.iter().any(Option::is_some));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::Spread;

    fn table(figures: &[(&str, Kind, f64, f64)]) -> Table {
        let mut table = Table::default();
        for &(subject, kind, ns, failed) in figures {
            table.add("mixed", subject, kind, "ns", Spread::exact(ns));
            table.add("mixed", subject, kind, "failed requests", Spread::exact(failed));
        }
        table
    }

    #[test]
    fn a_row_is_reached_when_the_fastest_peer_is_slower() {
        let reached = |ns| {
            let table = table(&[
                (OURS[0], Kind::Ours, ns, 0.0),
                ("talc", Kind::NoStd, 10.0, 0.0),
                ("rlsf", Kind::NoStd, 8.0, 0.0),
                ("mimalloc", Kind::System, 2.0, 0.0),
            ]);
            verdicts(&table)[0].ours[0].clone().and_then(|cell| cell.reached)
        };
        assert_eq!(reached(7.9), Some(true));
        assert_eq!(reached(9.0), Some(false));
    }

    #[test]
    fn a_peer_that_failed_requests_is_no_rival() {
        let table = table(&[("talc", Kind::NoStd, 10.0, 0.0), ("buddy", Kind::NoStd, 1.0, 3.0)]);
        assert_eq!(fastest(&table, "mixed", Field::NoStd), Some(("talc".to_owned(), 10.0)));
    }
}
