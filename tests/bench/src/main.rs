//! slabfit beside its peers: one process, one lock type, one sequence of operations.
//!
//! Every figure in the README and the docs comes from here. `--help` says how it is used; `rows` what is measured,
//! `subjects` who; `drive` is the loop around them and `entry` the list of all its compiled copies. `programs` is apart from
//! these: real programs as processes, each under one allocator after the other.

mod callgrind;
mod clock;
mod command;
mod drive;
mod elsewhere;
mod entry;
mod groups;
mod gaps;
mod lock;
mod numbers;
mod ops;
mod plot;
mod programs;
mod region;
mod report;
mod resident;
mod rows;
mod subject;
mod subjects;
mod table;
mod targets;
mod threads;
mod trace;

use command::{Child, Command, Programs, Run};
use rows::{Effort, Row, counts, growth, start_up};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use table::Table;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match command::parse(&arguments) {
        Ok(Command::Run(options)) => exit(run(&options)),
        Ok(Command::Programs(options)) => exit(run_programs(&options)),
        Ok(Command::Child(child)) => be(&child).map_or(ExitCode::FAILURE, |answer| {
            println!("{answer}");
            ExitCode::SUCCESS
        }),
        Err(usage) => {
            eprintln!("{usage}");
            ExitCode::FAILURE
        }
    }
}

/// The exit status of a run, whose error is said.
fn exit(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slabfit-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the rows that were asked for, adds them to those measured before, and writes the report of all.
fn run(options: &Run) -> io::Result<()> {
    let rows = rows::all();
    let effort = Effort { quick: options.quick };
    let mut table = load(&rows, &options.results);
    for row in rows.iter().filter(|row| options.wants(&row.name)) {
        println!("\n{}: {}", row.name, row.about);
        let newer = if options.counts { counts::run(&row.name, effort) } else { (row.run)(effort) };
        print!("{}", report::columns(&newer, &row.name));
        table.update(newer);
        table.save(&options.results)?;
        std::fs::write(options.results.join(MACHINE), report::machine())?;
    }
    publish(table, &options.results, &options.report)?;
    println!("{} and {} are up to date", options.report.display(), shown(&options.results));
    Ok(())
}

/// Runs real programs, and adds a full run to the report.
fn run_programs(options: &Programs) -> io::Result<()> {
    if !programs::run(options)? {
        return Ok(());
    }
    publish(load(&rows::all(), &options.results), &options.results, &options.report)?;
    println!("{} is up to date", options.report.display());
    Ok(())
}

/// What was measured before.
fn load(rows: &[Row], results: &Path) -> Table {
    let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    Table::load(results, &names)
}

/// The file that says what the rows were measured on.
const MACHINE: &str = "machine";

/// Writes the pictures and the report of all rows, of what other programs measure, and of real programs as far as they were run.
fn publish(mut table: Table, results: &Path, report: &Path) -> io::Result<()> {
    std::fs::create_dir_all(results)?;
    std::fs::write(results.join("targets.csv"), report::targets_csv(&table))?;
    println!("\n{}", report::summary(&table));
    table.update(elsewhere::load(results));
    plot::all(&table, results)?;
    let programs = Table::load(results, &[programs::NAME.to_owned()]);
    let machine = std::fs::read_to_string(results.join(MACHINE)).unwrap_or_else(|_| "not said".to_owned());
    std::fs::write(report, report::markdown(&table, &programs, &machine))
}

fn shown(folder: &Path) -> String {
    folder.join("*.csv, *.svg").display().to_string()
}

/// The part of a child process: one figure, printed.
fn be(child: &Child) -> Option<String> {
    match child {
        Child::Once { row, subject, quick, laps } => {
            let effort = Effort { quick: *quick };
            counts::repeat(row, subject, effort, *laps)
        }
        Child::Resident { row, subject } => resident::measure(row, subject).map(|bytes| bytes.to_string()),
        Child::StartUp { figure, subject } => start_up::measure(figure, subject).map(|number| number.to_string()),
        Child::Growth { gaps, subject, pairs } => growth::operate(*gaps, subject, *pairs),
    }
}
