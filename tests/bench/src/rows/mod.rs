//! The rows: what is measured.

pub mod counts;
pub mod fit;
pub mod growth;
pub mod start_up;
pub mod stream;
pub mod threads;
pub mod worst;

use crate::table::Table;

/// How much is to be done.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Little: enough to see that everything works.
    pub quick: bool,
}

impl Effort {
    /// `full`, or `quick` if little is to be done.
    pub fn pick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// A row.
pub struct Row {
    /// Its name, on the command line and of its files.
    pub name: String,
    /// What it is about, in a line.
    pub about: String,
    /// Measures it.
    pub run: Box<dyn Fn(Effort) -> Table>,
}

/// All rows, in the order of the report.
pub fn all() -> Vec<Row> {
    let mut rows: Vec<Row> = stream::all().into_iter().map(stream::row).collect();
    let other = |name: &str, about: &str, run: fn(Effort) -> Table| Row {
        name: name.to_owned(),
        about: about.to_owned(),
        run: Box::new(run),
    };
    rows.extend([
        other("fit", "the smallest heap that serves each trace to its end, over the trace's peak live bytes", fit::run),
        other(
            "worst-case",
            "100,000 gaps too small for the request; the one that fits is found last, or none fits",
            worst::run,
        ),
        other(
            "growth",
            "the worst case among 100 to 1,000,000 gaps: instructions an operation, by callgrind",
            growth::run,
        ),
        other("threads", "mixed, 1 to 8 threads on one heap of 4 MiB: million operations a second", threads::run),
        other(
            threads::RING,
            "each thread allocates what the next one frees, 1 to 8 threads: million operations a second",
            threads::ring,
        ),
        other(
            threads::SESSIONS,
            "threads that come and go, 1 to 8 at a time: million operations a second",
            threads::sessions,
        ),
        other("start-up", "a heap of 1 GiB made and first used: time, and what becomes resident", start_up::run),
    ]);
    rows
}
