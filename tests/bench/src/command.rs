//! The command line.

use std::path::{Path, PathBuf};

const USAGE: &str = "\
slabfit-bench [--row NAME]... [--quick] [--counts] [--results FOLDER] [--report FILE]
    Measures all rows, or those whose names begin with NAME, and writes the results (CSV, SVG: tests/bench/results) and
    the report (BENCHMARKS.md). --quick does a little of everything, as a test, and writes below the temporary folder
    unless told where. --counts counts instructions with callgrind (for rows that are sequences) instead of time.
slabfit-bench --profile ROW SUBJECT [LAPS]
    Runs a row's work on one subject, for perf and the like. Subjects: \"slabfit next fit\", talc, glibc, ...
slabfit-bench --once ROW SUBJECT
    Once and shortened, for callgrind: --collect-atstart=no --toggle-collect=slabfit_bench_measured. Prints the
    number of operations that are counted: allocs, frees, reallocs.
slabfit-bench --growth-op HOLES SUBJECT [PAIRS]
    The worst case alone, likewise.";

/// What is to be done.
pub enum Command {
    /// A run of the benchmark.
    Run(Run),
    /// One figure, for the process that started this one.
    Child(Child),
}

/// A run of the benchmark.
pub struct Run {
    rows: Vec<String>,
    /// A little of everything.
    pub quick: bool,
    /// Instructions, not time.
    pub counts: bool,
    /// Where the CSV and SVG files are.
    pub results: PathBuf,
    /// The report's file.
    pub report: PathBuf,
}

/// What a child process measures.
pub enum Child {
    /// A row's work on one subject, some times.
    Once {
        /// The row.
        row: String,
        /// The subject.
        subject: String,
        /// Shortened.
        quick: bool,
        /// How often.
        laps: usize,
    },
    /// Bytes that a row's work makes resident.
    Resident {
        /// The row.
        row: String,
        /// The subject.
        subject: String,
    },
    /// A heap's start.
    StartUp {
        /// Time or residence.
        figure: String,
        /// The subject.
        subject: String,
    },
    /// The worst case.
    Growth {
        /// Holes to pass.
        holes: usize,
        /// The subject.
        subject: String,
        /// Allocs and frees.
        pairs: usize,
    },
}

impl Run {
    /// Whether a row was asked for.
    pub fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| row.starts_with(wanted.as_str()))
    }
}

/// What the arguments ask for, or how it is asked.
pub fn parse(arguments: &[String]) -> Result<Command, String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    child(&words).map_or_else(|| run(&words).map(Command::Run), |child| Ok(Command::Child(child)))
}

fn child(words: &[&str]) -> Option<Child> {
    let text = |word: &&str| String::from(*word);
    match words {
        ["--profile", row, subject, laps @ ..] => Some(Child::Once {
            row: text(row),
            subject: text(subject),
            quick: false,
            laps: laps.first().and_then(|laps| laps.parse().ok()).unwrap_or(100),
        }),
        ["--once", row, subject] => Some(Child::Once { row: text(row), subject: text(subject), quick: true, laps: 1 }),
        ["--resident", row, subject] => Some(Child::Resident { row: text(row), subject: text(subject) }),
        ["--start-up", figure, subject] => Some(Child::StartUp { figure: text(figure), subject: text(subject) }),
        ["--growth-op", holes, subject, pairs @ ..] => Some(Child::Growth {
            holes: holes.parse().ok()?,
            subject: text(subject),
            pairs: pairs.first().and_then(|pairs| pairs.parse().ok()).unwrap_or(100),
        }),
        _ => None,
    }
}

fn run(words: &[&str]) -> Result<Run, String> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut rows, mut quick, mut counts, mut results, mut report) = (Vec::new(), false, false, None, None);
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value\n{USAGE}"));
        match word {
            "--row" => rows.push(String::from(*value()?)),
            "--results" => results = Some(PathBuf::from(value()?)),
            "--report" => report = Some(PathBuf::from(value()?)),
            "--quick" => quick = true,
            "--counts" => counts = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    // A quick run's figures must never be taken for results.
    let test = std::env::temp_dir().join("slabfit-bench-quick");
    let (results_at, report_at) = if quick {
        (test.clone(), test.join("BENCHMARKS.md"))
    } else {
        (package.join("results"), package.join("../../BENCHMARKS.md"))
    };
    Ok(Run { rows, quick, counts, results: results.unwrap_or(results_at), report: report.unwrap_or(report_at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> Result<Command, String> {
        parse(&words.iter().map(|word| String::from(*word)).collect::<Vec<_>>())
    }

    #[test]
    fn a_row_is_asked_for_by_the_beginning_of_its_name() {
        let Ok(Command::Run(run)) = parse_words(&["--row", "churn-small"]) else { panic!("a run") };
        assert!(run.wants("churn-small-300"));
        assert!(!run.wants("churn-large"));
    }

    #[test]
    fn a_quick_run_does_not_overwrite_results() {
        let Ok(Command::Run(run)) = parse_words(&["--quick"]) else { panic!("a run") };
        assert!(run.results.starts_with(std::env::temp_dir()));
        assert!(run.report.starts_with(std::env::temp_dir()));
    }

    #[test]
    fn what_is_not_understood_is_answered_with_the_usage() {
        assert!(parse_words(&["--rows"]).is_err_and(|usage| usage.contains("--quick")));
        assert!(parse_words(&["--row"]).is_err_and(|usage| usage.contains("needs a value")));
    }
}
