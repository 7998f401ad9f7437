//! The tester: `cargo run --release -- 1MiB`.
//!
//! Exit status 0: all held. 1: something did not. 2: there was nothing to test, and one line on stderr says why. 141, without a word:
//! nobody reads the report any more (what a shell says of a program that SIGPIPE ended).

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use serde_json::json;
use slabfit_tests::tester::args::{Arguments, Command, one_line};
use slabfit_tests::tester::film::film;
use slabfit_tests::tester::map::map;
use slabfit_tests::tester::plot::plot;
use slabfit_tests::tester::replay_malloc::replay_by_malloc;
use slabfit_tests::tester::run::{Stop, test};
use slabfit_tests::tester::supervisor::carry_out_assignment;
use slabfit_tests::tester::watch::watch;
use slabfit_tests::tester::{advise, footprint, leaks, replay_command};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse_or_help(&error),
    };
    match (arguments.command, arguments.test) {
        (Some(_), Some(_)) => stop("a SIZE and a subcommand are too much at once"),
        (Some(Command::Step { assignment }), None) => match carry_out_assignment(&assignment) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => stop(&format!("this step has no parent process: {error}")),
        },
        (Some(Command::Replay(arguments)), None) => conclude(replay_command::run(&arguments, &mut io::stdout())),
        (Some(Command::Leaks(arguments)), None) => conclude(leaks::run(&arguments, &mut io::stdout()).map(|()| true)),
        (Some(Command::Advise(arguments)), None) => conclude(advise::run(&arguments, &mut io::stdout()).map(|()| true)),
        (Some(Command::Footprint(arguments)), None) => {
            conclude(footprint::run(&arguments, &mut io::stdout()).map(|()| true))
        }
        (Some(Command::ReplayMalloc), None) => {
            conclude(replay_by_malloc().and_then(|replayed| print(&replayed)).map_err(Stop::Output))
        }
        (Some(Command::Weigh { command }), None) => {
            conclude(footprint::weigh(&command).and_then(|weighed| print(&weighed)).map_err(Stop::Output))
        }
        (Some(Command::Map(arguments)), None) => conclude(map(&arguments).map(|()| true)),
        (Some(Command::Film(arguments)), None) => conclude(film(&arguments).map(|()| true)),
        (Some(Command::Plot(arguments)), None) => conclude(plot(&arguments).map(|()| true)),
        (Some(Command::Watch(arguments)), None) => conclude(watch(&arguments).map(|()| true)),
        (None, Some(arguments)) => conclude(test(&arguments, &mut io::stdout())),
        (None, None) => stop("nothing to do; for a start, try: tester 1MiB"),
    }
}

/// What a process tells the one that started it.
fn print(result: &impl Serialize) -> io::Result<bool> {
    writeln!(io::stdout(), "{}", json!(result))?;
    Ok(true)
}

fn conclude(held: Result<bool, Stop>) -> ExitCode {
    match held {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Stop::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::from(NOBODY_READS),
        Err(error) => stop(&error.to_string()),
    }
}

/// What a shell says of a program that was ended by SIGPIPE.
const NOBODY_READS: u8 = 128 + 13;

fn refuse_or_help(error: &clap::Error) -> ExitCode {
    match one_line(error) {
        Some(line) => stop(&line),
        None => conclude(error.print().map(|()| true).map_err(Stop::Output)),
    }
}

fn stop(why: &str) -> ExitCode {
    // Who reads no more is told no more.
    let _ = writeln!(io::stderr(), "tester: {why}");
    ExitCode::from(2)
}
