//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::tester::picture_args::{FilmArguments, MapArguments, PlotArguments, WatchArguments};
use crate::tester::size_arg::size;
use crate::tester::trace_args::{
    AdviseArguments, FootprintArguments, LeaksArguments, PlacementArgument, ReplayArguments,
};
use clap::error::{ContextKind, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// What the tester is asked to do. Without a subcommand it tests.
#[derive(Debug, Parser)]
#[command(name = "tester", version, subcommand_negates_reqs = true)]
#[command(about = "Tests a heap of SIZE bytes: conformance scenarios, traces of real programs, threads")]
pub struct Arguments {
    /// What to test, and how.
    #[command(flatten)]
    pub test: Option<TestArguments>,
    /// A subcommand, which does something other than test.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the tester can do beside testing.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replay a trace, and compare every address with the recorded one.
    Replay(ReplayArguments),
    /// List what a program never freed.
    Leaks(LeaksArguments),
    /// Find the slab size and the smallest heap that would have served a program.
    Advise(AdviseArguments),
    /// Measure what traces and programs take, beside other allocators.
    Footprint(FootprintArguments),
    /// Replay the operations on standard input with this process's malloc: a part of `footprint`.
    #[command(hide = true)]
    ReplayMalloc,
    /// Run a program and measure it: a part of `footprint`.
    #[command(hide = true)]
    Weigh {
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// One step of a test of a library, in a process that the library may wreck: the tester starts itself so.
    #[command(hide = true)]
    Step {
        /// The step, as JSON.
        assignment: String,
    },
    /// Draw a heap at one moment of a trace, as SVG
    Map(MapArguments),
    /// Draw a heap at many moments of a trace, as one HTML page with a slider
    Film(FilmArguments),
    /// Plot live bytes and fragmentation over a trace, as SVG
    Plot(PlotArguments),
    /// Watch a heap in the terminal while a trace is replayed
    Watch(WatchArguments),
}

/// What to test, and how.
#[derive(Args, Clone, Debug)]
pub struct TestArguments {
    /// Bytes of the heap: 1048576, 64K, 1MiB, 2G
    #[arg(value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    pub size: usize,
    /// Slot size of the slab, in bytes
    #[arg(long, value_name = "N", value_parser = size, default_value = "64", allow_negative_numbers = true)]
    pub slab_size: usize,
    /// Test this libmem.so instead of slabfit's own heap
    #[arg(long, value_name = "PATH")]
    pub lib: Option<PathBuf>,
    /// Replay this .rep trace, plain or .zst, instead of the four that come with the tester; can be repeated
    #[arg(long, value_name = "FILE")]
    pub trace: Vec<PathBuf>,
    /// Threads of the stress test
    #[arg(long, value_name = "N", value_parser = threads, default_value = "4", allow_negative_numbers = true)]
    pub threads: usize,
    /// Seed of the random choices; without it one is chosen, and printed
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Run one suite only
    #[arg(long, value_name = "SUITE")]
    pub only: Option<Suite>,
    /// Placement policy of slabfit's own heap
    #[arg(long, value_name = "POLICY", conflicts_with = "lib")]
    pub placement: Option<PlacementArgument>,
    /// Seconds a call may take before the library counts as hung
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10", allow_negative_numbers = true)]
    pub time_limit: u64,
}

/// The tester's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// What the contract says, claim by claim.
    Conformance,
    /// Traces of real programs.
    Traces,
    /// Threads.
    Stress,
}

impl TestArguments {
    /// The placement of slabfit's own heap.
    #[must_use]
    pub fn placement(&self) -> PlacementArgument {
        self.placement.unwrap_or(PlacementArgument::Next)
    }

    /// Whether `suite` is to run.
    #[must_use]
    pub fn includes(&self, suite: Suite) -> bool {
        self.only.is_none_or(|only| only == suite)
    }
}

/// What is wrong with a command line, in one line. `None` for what is no error: help and version, which `error` prints.
#[must_use]
pub fn one_line(error: &clap::Error) -> Option<String> {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return None;
    }
    if error.kind() == ErrorKind::MissingRequiredArgument {
        let missing = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
        let start = subcommand(error).map_or("1MiB".to_owned(), |name| format!("{name} --help"));
        return Some(format!("{missing} is missing; for a start, try: tester {start}"));
    }
    // What follows the first paragraph is advice, which would take more than a line.
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    Some(first.lines().map(str::trim).collect::<Vec<_>>().join(" "))
}

/// The subcommand that an error is about, which only its usage tells.
fn subcommand(error: &clap::Error) -> Option<String> {
    let text = error.to_string();
    let (_, usage) = text.split_once("Usage: tester ")?;
    let word = usage.split_whitespace().next()?;
    word.bytes().all(|letter| letter.is_ascii_lowercase()).then(|| word.to_owned())
}

fn threads(text: &str) -> Result<usize, String> {
    const MOST: usize = 1024;
    match text.parse() {
        Ok(number @ 1..=MOST) => Ok(number),
        _ => Err(format!("not a number of threads from 1 to {MOST}")),
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(number @ 1..=86_400) => Ok(number),
        _ => Err("not a number of seconds from 1 to 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        let words = ["tester"].into_iter().chain(line.split_whitespace());
        Arguments::try_parse_from(words).map_err(|error| one_line(&error).unwrap_or_default())
    }

    #[test]
    fn a_size_is_all_it_takes() {
        let test = parse("64K").unwrap().test.unwrap();
        assert_eq!((test.size, test.slab_size, test.threads, test.time_limit), (64 << 10, 64, 4, 10));
        assert_eq!(test.placement(), PlacementArgument::Next);
        assert!(test.includes(Suite::Conformance) && test.includes(Suite::Traces) && test.includes(Suite::Stress));
    }

    #[test]
    fn a_step_needs_no_size() {
        let arguments = parse("step {}").unwrap();
        assert!(arguments.test.is_none());
        assert!(matches!(arguments.command, Some(Command::Step { assignment }) if assignment == "{}"));
    }

    #[test]
    fn every_error_is_one_line() {
        for (line, expected) in [
            ("", "<SIZE> is missing; for a start, try: tester 1MiB"),
            ("map", "--heap <SIZE>, --output <FILE>, <TRACE> is missing; for a start, try: tester map --help"),
            ("watch gs", "--heap <SIZE> is missing; for a start, try: tester watch --help"),
            ("0", "invalid value '0' for '<SIZE>': a size of 0 holds nothing"),
            ("-5", "invalid value '-5' for '<SIZE>': not a size; write bytes, or a unit as in 64K, 1MiB or 2G"),
            ("1K --slab-size 0", "invalid value '0' for '--slab-size <N>': a size of 0 holds nothing"),
            ("1K --threads 0", "invalid value '0' for '--threads <N>': not a number of threads from 1 to 1024"),
            ("1K --nonsense", "unexpected argument '--nonsense' found"),
            ("1K 2K", "unexpected argument '2K' found"),
            (
                "1K --only all",
                "invalid value 'all' for '--only <SUITE>' [possible values: conformance, traces, stress]",
            ),
            ("1K --lib a --placement first", "the argument '--lib <PATH>' cannot be used with '--placement <POLICY>'"),
        ] {
            assert_eq!(parse(line).unwrap_err(), expected, "{line:?}");
        }
    }
}
