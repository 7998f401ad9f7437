//! The report's groups: rows that answer one question together, in one picture and with one figure for each subject.

use crate::rows::{fit, growth, start_up, threads, worst};
use crate::subject::Kind;
use crate::table::{Line, Table};

/// A group.
pub struct Group {
    /// Its name, of its picture too.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What is measured.
    pub about: &'static str,
    /// The unit of its figures, and which are better.
    pub unit: &'static str,
    /// Digits after the point that its figures have.
    pub digits: usize,
    scenes: Scenes,
}

/// Which figures of the table are a group's.
enum Scenes {
    /// Of each of these rows the one with this metric.
    Rows(&'static [&'static str], &'static str),
    /// Of one row those whose metrics end so.
    Ending(&'static str, &'static str),
    /// Of one row those whose metrics begin so, and end in a number of something.
    Numbers(&'static str, &'static str, &'static str),
}

/// A line of a group's picture.
pub struct Scene<'a> {
    /// Its label.
    pub name: String,
    /// A figure for each subject.
    pub dots: Vec<Dot<'a>>,
}

/// A subject's figure.
pub struct Dot<'a> {
    /// The subject, without its lock.
    pub subject: &'a str,
    /// What it is.
    pub kind: Kind,
    /// The figure.
    pub value: f64,
    /// Requests failed, so that less was done.
    pub failed: bool,
}

const TRACES: [&str; 8] = [
    "trace-gitlog-1.5x",
    "trace-gitlog-4x",
    "trace-cargometa-1.5x",
    "trace-cargometa-4x",
    "trace-gs-1.5x",
    "trace-gs-4x",
    "trace-sqlite-1.5x",
    "trace-sqlite-4x",
];

/// All groups, in the order of the report.
pub const ALL: [Group; 12] = [
    Group {
        name: "small",
        title: "Small objects",
        about: "An alloc or a free of up to 200 bytes: in order and at random, with 300 to 100,000 objects live, in a heap that is all but full",
        unit: "ns an operation",
        digits: 1,
        scenes: Scenes::Rows(
            &["slab-lifo", "slab-random", "mixed", "churn-small-300", "churn-small-3000", "tight", "big-heap"],
            "ns",
        ),
    },
    Group {
        name: "large",
        title: "Large objects and vectors that grow",
        about: "Requests of some KiB, and reallocs from 16 bytes on",
        unit: "ns an operation",
        digits: 1,
        scenes: Scenes::Rows(&["churn-large", "realloc-one", "realloc-many"], "ns"),
    },
    Group {
        name: "traces",
        title: "Recorded programs",
        about: "git log, cargo metadata, ghostscript and sqlite in heaps of 1.5 and 4 times what they have live at the peak",
        unit: "ns an operation",
        digits: 1,
        scenes: Scenes::Rows(&TRACES, "ns"),
    },
    Group {
        name: "fit",
        title: "The smallest heap",
        about: "The smallest region that serves each recorded program to its end, bookkeeping included",
        unit: "bytes over the bytes live at the peak",
        digits: 3,
        scenes: Scenes::Ending(fit::NAME, " segment"),
    },
    Group {
        name: "worst-case",
        title: "The worst case",
        about: "100,000 gaps too small for the request; the one that fits is found last, or none fits",
        unit: "ns, the longest of all operations",
        digits: 0,
        scenes: Scenes::Ending(worst::NAME, " max ns"),
    },
    Group {
        name: "growth",
        title: "How the worst case grows",
        about: "The same among 100 to 1,000,000 gaps, by callgrind",
        unit: "instructions an operation",
        digits: 0,
        scenes: Scenes::Numbers(growth::NAME, "instructions at ", "gaps"),
    },
    Group {
        name: "threads",
        title: "Threads",
        about: "All threads on one heap of 4 MiB, half the requests of the slab size; each allocator under the lock that suits it best",
        unit: "million operations a second: more is better",
        digits: 0,
        scenes: Scenes::Numbers(threads::NAME, "Mops at ", "threads"),
    },
    Group {
        name: "passing",
        title: "Objects that go from thread to thread",
        about: "Threads in a ring: each allocates 8 to 400 bytes, and the next one frees them",
        unit: "million operations a second: more is better",
        digits: 0,
        scenes: Scenes::Numbers(threads::RING, "Mops at ", "threads"),
    },
    Group {
        name: "sessions",
        title: "Threads that come and go",
        about: "A session of 2,000 objects in a thread of its own, so many at a time; 40 of them are left to later ones",
        unit: "million operations a second: more is better",
        digits: 0,
        scenes: Scenes::Numbers(threads::SESSIONS, "Mops at ", "threads"),
    },
    Group {
        name: "start-up",
        title: "Start-up",
        about: "A heap of 1 GiB made and first used",
        unit: "microseconds",
        digits: 0,
        scenes: Scenes::Rows(&[start_up::NAME], "us"),
    },
    Group {
        name: "footprint",
        title: "Memory of programs",
        about: "Most bytes resident: recorded programs replayed by the malloc of a process, and whole live ones; for slabfit in the smallest heap that serves them",
        unit: "of glibc's",
        digits: 2,
        scenes: Scenes::Ending("footprint", " resident"),
    },
    Group {
        name: "flash",
        title: "Flash on a Cortex-M",
        about: "What the firmware has more than the same one over a bump allocator, by target and optimisation",
        unit: "bytes",
        digits: 0,
        scenes: Scenes::Ending("flash", " bytes"),
    },
];

impl Group {
    /// Its rows, which are the names of the files that its figures are in.
    pub fn rows(&self) -> Vec<&'static str> {
        match self.scenes {
            Scenes::Rows(rows, _) => rows.to_vec(),
            Scenes::Ending(row, _) | Scenes::Numbers(row, ..) => vec![row],
        }
    }

    /// The label of the scene that a line belongs to, if it is one of the group's.
    fn scene(&self, line: &Line) -> Option<String> {
        match self.scenes {
            Scenes::Rows(rows, metric) => {
                (line.metric == metric && rows.contains(&line.row.as_str())).then(|| line.row.clone())
            }
            Scenes::Ending(row, end) => line.metric.strip_suffix(end).filter(|_| line.row == row).map(str::to_owned),
            Scenes::Numbers(row, begin, noun) => {
                let number = line.metric.strip_prefix(begin).filter(|_| line.row == row)?;
                Some(format!("{number} {noun}"))
            }
        }
    }

    /// Its scenes in the table's order. Where a subject was measured under several locks the most counts.
    pub fn scenes<'a>(&self, table: &'a Table) -> Vec<Scene<'a>> {
        let mut scenes: Vec<Scene<'a>> = Vec::new();
        let compared = |line: &&Line| !matches!(line.kind, Kind::Empty | Kind::Floor) && line.spread.value.is_finite();
        for line in table.lines.iter().filter(compared) {
            let Some(name) = self.scene(line) else { continue };
            let subject = line.subject.split(" / ").next().unwrap_or(&line.subject);
            let failed = table.value(&line.row, &line.subject, "failed requests").is_some_and(|failed| failed > 0.0);
            let dot = Dot { subject, kind: line.kind, value: line.spread.value, failed };
            let index = scenes.iter().position(|scene| scene.name == name).unwrap_or_else(|| {
                scenes.push(Scene { name, dots: vec![] });
                scenes.len() - 1
            });
            let dots = &mut scenes[index].dots;
            match dots.iter_mut().find(|known| known.subject == subject) {
                Some(known) => known.value = known.value.max(dot.value),
                None => dots.push(dot),
            }
        }
        scenes
    }
}

/// The geometric mean of a subject's figures; none unless it did all that was asked in every scene.
pub fn mean(scenes: &[Scene<'_>], subject: &str) -> Option<f64> {
    let figure = |scene: &Scene<'_>| {
        let dot = scene.dots.iter().find(|dot| dot.subject == subject && !dot.failed)?;
        (dot.value > 0.0).then(|| dot.value.ln())
    };
    let all: Option<Vec<f64>> = scenes.iter().map(figure).collect();
    let all = all.filter(|all| !all.is_empty())?;
    Some((all.iter().sum::<f64>() / all.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::Spread;

    fn group(name: &str) -> &'static Group {
        ALL.iter().find(|group| group.name == name).expect("there is such a group")
    }

    fn add(table: &mut Table, row: &str, subject: &str, metric: &str, value: f64) {
        table.add(row, subject, Kind::NoStd, metric, Spread::exact(value));
    }

    #[test]
    fn every_row_belongs_to_one_group() {
        let mut grouped: Vec<_> =
            ALL.iter().flat_map(Group::rows).filter(|row| !["footprint", "flash"].contains(row)).collect();
        let mut rows: Vec<_> = crate::rows::all().into_iter().map(|row| row.name).collect();
        grouped.sort_unstable();
        rows.sort_unstable();
        assert_eq!(grouped, rows);
    }

    #[test]
    fn a_group_has_a_scene_for_each_row_and_a_mean_of_all() {
        let mut table = Table::default();
        for (row, value) in [("churn-large", 10.0), ("realloc-one", 40.0), ("fit", 9.0)] {
            add(&mut table, row, "talc", "ns", value);
        }
        add(&mut table, "churn-large", "rlsf", "ns", 30.0);
        let scenes = group("large").scenes(&table);
        assert_eq!(scenes.iter().map(|scene| scene.name.as_str()).collect::<Vec<_>>(), ["churn-large", "realloc-one"]);
        assert!((mean(&scenes, "talc").expect("it is in both") - 20.0).abs() < 1e-9);
        assert_eq!(mean(&scenes, "rlsf"), None); // it is in one alone
    }

    #[test]
    fn who_failed_requests_has_no_mean() {
        let mut table = Table::default();
        add(&mut table, "churn-large", "talc", "ns", 10.0);
        add(&mut table, "churn-large", "talc", "failed requests", 3.0);
        let scenes = group("large").scenes(&table);
        assert!(scenes[0].dots[0].failed);
        assert_eq!(mean(&scenes, "talc"), None);
    }

    #[test]
    fn of_several_locks_the_better_one_counts() {
        let mut table = Table::default();
        add(&mut table, "threads", "talc / SpinLock", "Mops at 8", 8.0);
        add(&mut table, "threads", "talc / FutexLock", "Mops at 8", 80.0);
        let scenes = group("threads").scenes(&table);
        assert_eq!((scenes[0].name.as_str(), scenes[0].dots.len(), scenes[0].dots[0].value), ("8 threads", 1, 80.0));
    }
}
