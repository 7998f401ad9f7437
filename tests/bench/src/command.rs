//! The command line.

use std::path::{Path, PathBuf};

const USAGE: &str = "\
slabfit-bench [--row NAME]... [--quick] [--counts] [--from-csv] [--results FOLDER] [--report FILE]
    Measures all rows, or those whose names begin with NAME, and writes the results (CSV, SVG: tests/bench/results) and
    the report (BENCHMARKS.md). --quick does a little of everything, as a test, and writes below the temporary folder
    unless told where. --counts counts instructions with callgrind (for rows that are sequences) instead of time.
    --from-csv measures nothing: it writes the pictures and the report anew from the CSV files.
slabfit-bench --programs [--preload FILE] [--root FOLDER] [--placement WORD]... [--only NAME]... [--rounds N] [--short]
                         [--results FOLDER] [--report FILE]
    Runs real programs under glibc's malloc, jemalloc, mimalloc and libmem_preload.so (FILE, or the one beside this
    program) in turn, N rounds, and compares what they print and take. --placement adds a column with that
    SLABFIT_PLACEMENT. FOLDER, laid out as / is, has programs and libraries that are not installed. --short does a little,
    as a test, and writes no results.
slabfit-bench --profile ROW SUBJECT [LAPS]
    Runs a row's work on one subject, for perf and the like. Subjects: \"slabfit next fit\", talc, glibc, ...
slabfit-bench --once ROW SUBJECT
    Once and shortened, for callgrind: --collect-atstart=no --toggle-collect=slabfit_bench_measured. Prints the
    number of operations that are counted: allocs, frees, reallocs.
slabfit-bench --growth-op GAPS SUBJECT [PAIRS]
    The worst case alone, likewise.";

/// What is to be done.
pub enum Command {
    /// A run of the benchmark.
    Run(Run),
    /// Real programs.
    Programs(Programs),
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
    /// Nothing is measured.
    from_csv: bool,
    /// Where the CSV and SVG files are.
    pub results: PathBuf,
    /// The report's file.
    pub report: PathBuf,
}

/// A run of real programs.
pub struct Programs {
    only: Vec<String>,
    /// The preload library, if it is not beside this program.
    pub preload: Option<PathBuf>,
    /// Where more programs and libraries are.
    pub root: Option<PathBuf>,
    /// Placements that have a column, beside the library's default.
    pub placements: Vec<String>,
    /// How often each program is run under each allocator.
    pub rounds: usize,
    /// A little of everything.
    pub short: bool,
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
        /// Gaps to pass.
        gaps: usize,
        /// The subject.
        subject: String,
        /// Allocs and frees.
        pairs: usize,
    },
}

impl Run {
    /// Whether a row was asked for.
    pub fn wants(&self, row: &str) -> bool {
        let named = self.rows.is_empty() || self.rows.iter().any(|wanted| row.starts_with(wanted.as_str()));
        named && !self.from_csv
    }
}

impl Programs {
    /// Whether a program was asked for.
    pub fn wants(&self, program: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| program.starts_with(wanted.as_str()))
    }
}

/// What the arguments ask for, or how it is asked.
pub fn parse(arguments: &[String]) -> Result<Command, String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["--programs", words @ ..] = words.as_slice() {
        return programs(words).map(Command::Programs);
    }
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
        ["--growth-op", gaps, subject, pairs @ ..] => Some(Child::Growth {
            gaps: gaps.parse().ok()?,
            subject: text(subject),
            pairs: pairs.first().and_then(|pairs| pairs.parse().ok()).unwrap_or(100),
        }),
        _ => None,
    }
}

fn run(words: &[&str]) -> Result<Run, String> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut rows, mut results, mut report) = (Vec::new(), None, None);
    let (mut quick, mut counts, mut from_csv) = (false, false, false);
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value\n{USAGE}"));
        match word {
            "--row" => rows.push(String::from(*value()?)),
            "--results" => results = Some(PathBuf::from(value()?)),
            "--report" => report = Some(PathBuf::from(value()?)),
            "--quick" => quick = true,
            "--counts" => counts = true,
            "--from-csv" => from_csv = true,
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
    let (results, report) = (results.unwrap_or(results_at), report.unwrap_or(report_at));
    Ok(Run { rows, quick, counts, from_csv, results, report })
}

fn programs(words: &[&str]) -> Result<Programs, String> {
    /// Rounds of a run whose figures count.
    const ROUNDS: usize = 7;
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut options = Programs {
        only: Vec::new(),
        preload: None,
        root: None,
        placements: Vec::new(),
        rounds: 0,
        short: false,
        results: package.join("results"),
        report: package.join("../../BENCHMARKS.md"),
    };
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let mut value = || words.next().map(|word| String::from(*word)).ok_or(format!("{word} needs a value\n{USAGE}"));
        match word {
            "--only" => options.only.push(value()?),
            "--preload" => options.preload = Some(value()?.into()),
            "--root" => options.root = Some(value()?.into()),
            "--placement" => options.placements.push(value()?),
            "--results" => options.results = value()?.into(),
            "--report" => options.report = value()?.into(),
            "--rounds" => {
                let rounds = value()?.parse().ok().filter(|&rounds| rounds > 0);
                options.rounds = rounds.ok_or(format!("--rounds needs a number\n{USAGE}"))?;
            }
            "--short" => options.short = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    if options.rounds == 0 {
        options.rounds = if options.short { 1 } else { ROUNDS };
    }
    Ok(options)
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
    fn from_csv_no_row_is_measured() {
        let Ok(Command::Run(run)) = parse_words(&["--from-csv"]) else { panic!("a run") };
        assert!(!run.wants("mixed") && !run.counts);
    }

    #[test]
    fn a_quick_run_does_not_overwrite_results() {
        let Ok(Command::Run(run)) = parse_words(&["--quick"]) else { panic!("a run") };
        assert!(run.results.starts_with(std::env::temp_dir()));
        assert!(run.report.starts_with(std::env::temp_dir()));
    }

    #[test]
    fn programs_are_run_often_enough_and_those_that_are_named() {
        let Ok(Command::Programs(all)) = parse_words(&["--programs"]) else { panic!("programs") };
        assert!(all.rounds >= 7 && !all.short && all.wants("perl"));
        let words = ["--programs", "--short", "--only", "git", "--placement", "next", "--preload", "/lib.so"];
        let Ok(Command::Programs(short)) = parse_words(&words) else { panic!("programs") };
        assert!(short.rounds == 1 && short.wants("git log") && !short.wants("perl"));
        assert_eq!((short.placements, short.preload), (vec!["next".to_owned()], Some("/lib.so".into())));
        assert!(parse_words(&["--programs", "--rounds", "0"]).is_err_and(|error| error.contains("a number")));
    }

    #[test]
    fn what_is_not_understood_is_answered_with_the_usage() {
        assert!(parse_words(&["--rows"]).is_err_and(|usage| usage.contains("--quick")));
        assert!(parse_words(&["--row"]).is_err_and(|usage| usage.contains("needs a value")));
    }
}
