//! What each column is to reach, and whether it does.

mod figures;

use crate::table::Table;
use figures::Figure;

/// slabfit's columns.
pub const OURS: [&str; 4] = ["slabfit next fit", "slabfit first fit", "slabfit general", "slabfit cache"];
/// The line about all trace rows together, which has no row of its own.
const TRACES: &str = "traces";

/// A figure of a row and the bound of each column; none where the column has nothing to reach.
struct Target {
    row: &'static str,
    figure: Figure,
    bounds: [Option<f64>; OURS.len()],
}

const fn target(row: &'static str, figure: Figure, bounds: [Option<f64>; OURS.len()]) -> Target {
    Target { row, figure, bounds }
}

/// All targets, in the order of the report.
#[rustfmt::skip]
const TARGETS: &[Target] = &[
    //                                                   next fit     first fit    general      cache
    target("slab-lifo", Figure::Speed,                   [Some(1.0),   Some(1.0),   Some(1.1), None]),
    target("slab-lifo", Figure::Instructions,            [Some(50.0),  Some(50.0),  None, None]),
    target("slab-random", Figure::Speed,                 [Some(1.0),   Some(1.0),   Some(1.1), None]),
    target("slab-random", Figure::Instructions,          [Some(90.0),  Some(55.0),  None, None]),
    target("mixed", Figure::Speed,                       [None,        None,        Some(1.1), None]),
    target("churn-small-300", Figure::Speed,             [Some(0.75),  Some(0.5),   Some(1.3), None]),
    target("churn-small-300", Figure::Instructions,      [None,        None,        Some(65.0), None]),
    target("churn-small-3000", Figure::Speed,            [Some(0.6),   Some(0.45),  Some(1.1), None]),
    target("churn-small-3000", Figure::Instructions,     [Some(150.0), Some(220.0), Some(65.0), None]),
    target("churn-large", Figure::Speed,                 [None,        None,        Some(0.5), None]),
    target("churn-large", Figure::Instructions,          [Some(220.0), Some(300.0), None, None]),
    target("tight", Figure::Speed,                       [None,        None,        Some(0.8), None]),
    target("tight", Figure::Instructions,                [Some(220.0), Some(240.0), None, None]),
    target("big-heap", Figure::Speed,                    [None,        None,        Some(1.0), None]),
    target("big-heap", Figure::Instructions,             [Some(160.0), Some(240.0), None, None]),
    target("realloc-one", Figure::Speed,                 [None,        None,        Some(0.9), None]),
    target("realloc-one", Figure::Instructions,          [Some(150.0), Some(150.0), None, None]),
    target("realloc-many", Figure::Speed,                [None,        None,        Some(0.9), None]),
    target("realloc-many", Figure::Instructions,         [Some(300.0), Some(400.0), None, None]),
    target("trace-gitlog-1.5x", Figure::Speed,           [None,        None,        Some(0.9), None]),
    target("trace-gitlog-4x", Figure::Speed,             [None,        None,        Some(0.9), None]),
    target("trace-cargometa-1.5x", Figure::Speed,        [None,        None,        Some(0.9), None]),
    target("trace-cargometa-4x", Figure::Speed,          [Some(0.8),   None,        Some(0.9), None]),
    target("trace-gs-1.5x", Figure::Speed,               [None,        None,        Some(0.9), None]),
    target("trace-gs-4x", Figure::Speed,                 [None,        None,        Some(0.9), None]),
    target("trace-sqlite-1.5x", Figure::Speed,           [None,        None,        Some(0.9), None]),
    target("trace-sqlite-4x", Figure::Speed,             [Some(0.7),   None,        Some(0.9), None]),
    target(TRACES, Figure::Traces,                       [None,        None,        Some(1.05), None]),
    target("fit", Figure::Fit,                           [None,        None,        Some(1.07), None]),
    target("fit", Figure::FitToTalc,                     [None,        None,        Some(1.0), None]),
    target("fit", Figure::FitToPeers,                    [None,        Some(1.0),   None, None]),
    target("worst-case", Figure::Longest,                [Some(20.0),  Some(20.0),  Some(20.0), None]),
    target("growth", Figure::Growth,                     [Some(2.0),   Some(2.0),   Some(2.0), None]),
    target("churn-small-300", Figure::Nanoseconds,       [None,        None,        None,        Some(4.5)]),
    target("threads", Figure::OfGeneral,                 [None,        None,        None,        Some(1.0 / 0.6)]),
    target("threads", Figure::Scale(2),                  [None,        None,        None,        Some(1.8)]),
    target("threads", Figure::Scale(8),                  [None,        None,        None,        Some(1.7)]),
    target("threads", Figure::OfTalc,                    [None,        None,        None,        Some(1.5)]),
    target("threads", Figure::OfEach("glibc"),           [None,        None,        None,        Some(1.3)]),
    target("threads", Figure::OfEach("snmalloc"),        [None,        None,        None,        Some(0.85)]),
    target("passing", Figure::OfEach("glibc"),           [None,        None,        None,        Some(1.0)]),
    target("sessions", Figure::OfEach("glibc"),          [None,        None,        None,        Some(1.0)]),
    target("threads", Figure::Crowd,                     [Some(0.8),   Some(0.8),   None, None]),
    target("start-up", Figure::Start,                    [Some(100.0), Some(100.0), Some(100.0), None]),
    target("start-up", Figure::StartResident,            [Some(64.0),  Some(64.0),  Some(64.0), None]),
];

/// How a column stands to its target.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The figure that counts.
    pub figure: String,
    /// Whether it reaches the target; nothing where the column has none.
    pub reached: Option<bool>,
}

/// A row of the summary.
pub struct Verdict {
    /// The row.
    pub row: &'static str,
    /// What is to be reached.
    pub target: String,
    /// One for each of [`OURS`]; nothing where a column was not measured.
    pub ours: [Option<Cell>; OURS.len()],
    /// Who is compared with, and the figure of each.
    pub rivals: String,
}

impl Target {
    fn verdict(&self, table: &Table) -> Verdict {
        let mut bounds = self.bounds.into_iter();
        let ours = OURS.map(|subject| {
            let bound = bounds.next().flatten();
            let reading = self.figure.of(table, self.row, subject)?;
            let reached = bound.map(|bound| self.figure.relation().holds(reading.value, bound));
            Some(Cell { figure: reading.words, reached })
        });
        Verdict { row: self.row, target: self.words(), ours, rivals: self.figure.rivals(table, self.row) }
    }

    /// What is to be reached: one bound, or one for each column.
    fn words(&self) -> String {
        let word = |bound: Option<f64>| bound.map_or("-".to_owned(), |bound| bound.to_string());
        let [first, ..] = self.bounds;
        let bounds = if self.bounds.iter().all(|bound| *bound == first) {
            word(first)
        } else {
            self.bounds.map(word).join(" / ")
        };
        format!("{}: {} {bounds}", self.figure.words(), self.figure.relation().words())
    }
}

/// Every target's verdict, as far as it was measured, in the order of the report.
pub fn verdicts(table: &Table) -> Vec<Verdict> {
    let all = TARGETS.iter().map(|target| target.verdict(table));
    all.filter(|verdict| verdict.ours.iter().any(Option::is_some)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::Spread;
    use crate::rows;
    use crate::subject::Kind;

    const NEXT: usize = 0;
    const GENERAL: usize = 2;

    /// Figures of a row: subject, kind, nanoseconds, failed requests.
    fn add(table: &mut Table, row: &str, figures: &[(&str, Kind, f64, f64)]) {
        for &(subject, kind, ns, failed) in figures {
            table.add(row, subject, kind, "ns", Spread::exact(ns));
            table.add(row, subject, kind, "failed requests", Spread::exact(failed));
        }
    }

    fn reached(table: &Table, row: &str, column: usize) -> Option<bool> {
        let verdict = verdicts(table).into_iter().find(|verdict| verdict.row == row)?;
        verdict.ours[column].clone().and_then(|cell| cell.reached)
    }

    #[test]
    fn every_target_is_about_a_row() {
        let rows: Vec<_> = rows::all().into_iter().map(|row| row.name).collect();
        let stray = |target: &&Target| target.row != TRACES && !rows.iter().any(|row| row == target.row);
        assert_eq!(TARGETS.iter().find(stray).map(|target| target.row), None);
    }

    #[test]
    fn a_column_reaches_its_own_bound_against_the_fastest_peer() {
        let with = |general: f64| {
            let mut table = Table::default();
            let peers = [("talc", Kind::NoStd, 11.0, 0.0), ("rlsf", Kind::NoStd, 12.0, 0.0)];
            add(&mut table, "mixed", &[peers[0], peers[1], ("mimalloc", Kind::System, 2.0, 0.0)]);
            add(&mut table, "mixed", &[(OURS[GENERAL], Kind::Ours, general, 0.0), (OURS[NEXT], Kind::Ours, 8.0, 0.0)]);
            table
        };
        assert_eq!(reached(&with(10.0), "mixed", GENERAL), Some(true));
        assert_eq!(reached(&with(10.1), "mixed", GENERAL), Some(false));
        assert_eq!(reached(&with(10.0), "mixed", NEXT), None); // it has no bound there, and a figure all the same
        assert!(verdicts(&with(10.0))[0].ours[NEXT].is_some());
        assert_eq!(verdicts(&with(10.0))[0].target, "speed, of the fastest no_std peer's: at least - / - / 1.1 / -");
    }

    #[test]
    fn a_column_that_was_not_measured_is_empty() {
        let mut table = Table::default();
        assert!(verdicts(&table).is_empty());
        add(&mut table, "mixed", &[("talc", Kind::NoStd, 11.0, 0.0), (OURS[NEXT], Kind::Ours, 8.0, 0.0)]);
        assert_eq!(verdicts(&table)[0].ours[GENERAL], None);
    }

    #[test]
    fn who_failed_requests_has_no_speed() {
        let mut table = Table::default();
        add(&mut table, "mixed", &[("talc", Kind::NoStd, 11.0, 0.0), ("buddy", Kind::NoStd, 1.0, 3.0)]);
        add(&mut table, "mixed", &[(OURS[GENERAL], Kind::Ours, 5.0, 1.0)]);
        assert_eq!(reached(&table, "mixed", GENERAL), Some(false));
        assert_eq!(verdicts(&table)[0].rivals, "talc 11.0 ns; of all talc 11.0 ns");
    }

    #[test]
    fn the_traces_are_reached_all_together() {
        let mut table = Table::default();
        let rows = TARGETS.iter().filter(|target| target.row.starts_with("trace-"));
        for (target, ns) in rows.zip([5.0, 20.0].into_iter().cycle()) {
            add(&mut table, target.row, &[("talc", Kind::NoStd, 11.0, 0.0), (OURS[GENERAL], Kind::Ours, ns, 0.0)]);
        }
        assert_eq!(reached(&table, TRACES, GENERAL), Some(true)); // 2.2 and 0.55 are 1.1
        assert_eq!(reached(&table, "trace-gitlog-4x", GENERAL), Some(false));
    }

    #[test]
    fn a_heap_that_fits_is_compared_with_talc_and_with_every_peer() {
        let mut table = Table::default();
        for trace in crate::trace::NAMES {
            for (subject, kind, over) in
                [(OURS[1], Kind::Ours, 1.04), (OURS[GENERAL], Kind::Ours, 1.06), ("talc", Kind::NoStd, 1.05)]
            {
                table.add("fit", subject, kind, &format!("{trace} segment"), Spread::exact(over));
            }
        }
        let verdicts = verdicts(&table);
        let reached = |line: usize, column: usize| verdicts[line].ours[column].clone().and_then(|cell| cell.reached);
        assert_eq!((reached(0, GENERAL), reached(1, GENERAL), reached(2, 1)), (Some(true), Some(false), Some(true)));
    }
}
