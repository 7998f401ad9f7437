//! A whole test: what the command line asks for, suite by suite, and what came of it.

use core::fmt;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use slabfit::MAX_HEAP;

use crate::tester::args::{Suite, TestArguments};
use crate::tester::conformance::{Scenario, scenarios};
use crate::tester::recordings::{LoadError, Recording, Source};
use crate::tester::replay::Replayed;
use crate::tester::replay_heap::name;
use crate::tester::report::{Report, grouped, picture_width};
use crate::tester::runner::{OwnRunner, Runner, Settings};
use crate::tester::session::Failure;
use crate::tester::stress;
use crate::tester::supervisor::LibraryRunner;
use crate::tester::sys;

/// Bytes of a heap from which on it is known to serve every request of every program that comes with the tester.
const SERVES_ALL: usize = 64 << 20;

/// Why nothing was tested.
#[derive(Debug)]
pub enum Stop {
    /// What was asked for cannot be done.
    Usage(String),
    /// A trace cannot be loaded.
    Load(LoadError),
    /// The report cannot be written.
    Output(io::Error),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) => f.write_str(why),
            Self::Load(error) => error.fmt(f),
            Self::Output(error) => write!(f, "cannot write the report: {error}"),
        }
    }
}

impl core::error::Error for Stop {}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Runs the test and prints its report to `out`. Whether all held.
///
/// # Errors
/// Why nothing, or not everything, was tested.
pub fn test(arguments: &TestArguments, out: &mut dyn Write) -> Result<bool, Stop> {
    check_sizes(arguments)?;
    let recordings = load_recordings(arguments)?;
    let settings = settings(arguments);
    let runner = runner(arguments, settings)?;
    let mut report = Report::new(out);
    report.line(&headline(arguments, &settings))?;
    match runner {
        Ok(runner) => suites(arguments, &recordings, &*runner, report),
        Err(failure) => {
            report.check("the library can be loaded", Err(&failure))?;
            Ok(report.finish()?)
        }
    }
}

/// Who carries out the steps; or the failure of a library that cannot even be loaded without harm.
fn runner(arguments: &TestArguments, settings: Settings) -> Result<Result<Box<dyn Runner>, Failure>, Stop> {
    let Some(path) = &arguments.lib else {
        let own = OwnRunner::new(settings).map_err(|error| Stop::Usage(format!("cannot make the heap: {error}")))?;
        return Ok(Ok(Box::new(own)));
    };
    let library = LibraryRunner::new(path, settings, Duration::from_secs(arguments.time_limit));
    match library.load() {
        Ok(Ok(())) => Ok(Ok(Box::new(library))),
        Ok(Err(why)) => Err(Stop::Usage(format!("cannot load the library: {}", why.replace('\n', " ")))),
        Err(failure) => Ok(Err(failure)),
    }
}

fn suites(
    arguments: &TestArguments,
    recordings: &[Recording],
    runner: &dyn Runner,
    mut report: Report<'_>,
) -> Result<bool, Stop> {
    if arguments.includes(Suite::Conformance) {
        let placement = arguments.placement().into();
        let chosen: Vec<_> = scenarios().filter(|scenario| scenario.holds.under(placement)).collect();
        report.conformance(&conformance(runner, &chosen), chosen.len())?;
    }
    let replayed = replays(runner, recordings, arguments.size);
    if arguments.includes(Suite::Traces) {
        report.traces(&replayed)?;
    }
    if arguments.includes(Suite::Stress) && runner.given_up().is_none() {
        let bar = bar("stress", stress::OPERATIONS);
        let result = runner.stress(&|done| bar.set_position(done));
        bar.finish_and_clear();
        report.stress(&result)?;
    }
    if let Some(failure) = runner.given_up() {
        report.check("the test comes to its end", Err(&failure))?;
    }
    if arguments.includes(Suite::Traces) {
        report.pictures(&replayed)?;
    }
    Ok(report.finish()?)
}

/// The scenarios with their results, up to the one at which the runner gives up.
fn conformance(runner: &dyn Runner, scenarios: &[&'static Scenario]) -> Vec<(&'static Scenario, Result<(), Failure>)> {
    let bar = bar("conformance", scenarios.len() as u64);
    let carry_out = |&scenario: &&'static Scenario| {
        let result = runner.scenario(scenario);
        bar.inc(1);
        (scenario, result)
    };
    let results = scenarios.iter().take_while(|_| runner.given_up().is_none()).map(carry_out).collect();
    bar.finish_and_clear();
    results
}

fn replays(runner: &dyn Runner, recordings: &[Recording], size: usize) -> Vec<(String, Result<Replayed, Failure>)> {
    let replay = |recording: &Recording| {
        let name = recording.source.name();
        let bar = bar(&name, recording.trace.operations().len() as u64);
        let result = runner.replay(recording, &|done| bar.set_position(done));
        bar.finish_and_clear();
        (name, result.and_then(|replayed| all_served(replayed, &recording.source, size)))
    };
    recordings.iter().take_while(|_| runner.given_up().is_none()).map(replay).collect()
}

/// That a request fails is a failure where the heap is known to be large enough.
fn all_served(replayed: Replayed, source: &Source, size: usize) -> Result<Replayed, Failure> {
    match (source, replayed.failed.total()) {
        (Source::Shipped(_), failed @ 1..) if size >= SERVES_ALL => {
            let (failed, enough) = (grouped(failed), grouped(SERVES_ALL as u64));
            Err(Failure(format!("{failed} requests failed, but a heap of {enough} bytes serves every one of them")))
        }
        _ => Ok(replayed),
    }
}

fn load_recordings(arguments: &TestArguments) -> Result<Vec<Recording>, Stop> {
    if !arguments.includes(Suite::Traces) {
        return Ok(Vec::new());
    }
    let own = arguments.trace.iter().cloned().map(Source::File);
    let sources: Vec<_> = if arguments.trace.is_empty() { Source::shipped().collect() } else { own.collect() };
    sources.iter().map(Source::load).collect::<Result<_, _>>().map_err(Stop::Load)
}

/// Sizes that no heap of the kind to be tested can have.
fn check_sizes(arguments: &TestArguments) -> Result<(), Stop> {
    let (most, whose) = match arguments.lib {
        None => (MAX_HEAP, "slabfit's heaps have"),
        Some(_) => (usize::try_from(i32::MAX).unwrap_or(usize::MAX), "Mem_Init takes an int:"),
    };
    for (name, bytes) in [("heap", arguments.size), ("slab size", arguments.slab_size)] {
        if bytes > most {
            let (bytes, most) = (grouped(bytes as u64), grouped(most as u64));
            return Err(Stop::Usage(format!("a {name} of {bytes} bytes is too large; {whose} {most} at most")));
        }
    }
    Ok(())
}

fn settings(arguments: &TestArguments) -> Settings {
    Settings {
        size: arguments.size,
        slab_size: arguments.slab_size,
        placement: arguments.placement(),
        seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..)),
        threads: arguments.threads,
        width: picture_width(),
    }
}

fn headline(arguments: &TestArguments, settings: &Settings) -> String {
    let subject = match &arguments.lib {
        Some(path) => path.display().to_string(),
        None => format!("slabfit, {}", name(settings.placement())),
    };
    // As a heap has it: whole pages.
    let size = settings.size.next_multiple_of(sys::page_size());
    let (size, slab_size) = (grouped(size as u64), grouped(settings.slab_size as u64));
    format!("{subject}: a heap of {size} bytes, slab size {slab_size}, seed {}", settings.seed)
}

/// A progress bar on stderr, if that is a terminal.
#[must_use]
pub fn bar(name: &str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:12} [{wide_bar}] {human_pos} of {human_len}");
    let bar = ProgressBar::new(length).with_prefix(name.to_owned());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
