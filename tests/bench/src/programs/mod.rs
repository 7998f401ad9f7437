//! Real programs under one allocator after the other: what each takes, as ratios to the C library's.

mod inputs;
mod picture;
mod process;
pub mod ratios;
mod server;
mod subjects;
mod tasks;

use crate::command::Programs;
use crate::rows::Effort;
use crate::table::Table;
use process::{Running, Taken};
use ratios::Measured;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use subjects::Subject;
use tasks::{Task, Work};

pub use ratios::NAME;

/// Runs all programs under all allocators, in turn, round after round. Fails if one does not do what it does under the C
/// library's allocator. Otherwise prints the table; of a run in full writes it and the picture too, and answers true.
pub fn run(options: &Programs) -> io::Result<bool> {
    let folder = std::env::temp_dir().join(format!("slabfit-programs-{}", std::process::id()));
    let effort = Effort { quick: options.short };
    let root = options.root.as_deref().map(absolute).transpose()?;
    let (subjects, mut skipped) = subjects::all(options, root.as_deref())?;
    fs::create_dir_all(&folder)?;
    let (tasks, missing) = tasks::all(&folder, root.as_deref(), effort, |name| options.wants(name))?;
    skipped.extend(missing);
    println!("{} programs under {}; rounds: {}", tasks.len(), names(&subjects).join(", "), options.rounds);
    let (measured, failures) = measure(&tasks, &subjects, options.rounds)?;
    for line in skipped.iter().chain(&failures) {
        println!("{line}");
    }
    println!("{} SKIPPED, {} FAILED", skipped.len(), failures.len());
    if !failures.is_empty() {
        return Err(io::Error::other(format!("what the programs printed is in {}", folder.display())));
    }
    fs::remove_dir_all(&folder)?;
    if tasks.is_empty() {
        return Ok(false);
    }
    let table = ratios::table(&subjects, &measured);
    println!("{}", ratios::markdown(&table));
    if options.short {
        println!("A short run is a test: its figures are no results.");
    }
    if !options.short {
        save(&table, &options.results)?;
    }
    Ok(!options.short)
}

/// A path that means the same in every folder.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize().map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn save(table: &Table, results: &Path) -> io::Result<()> {
    fs::create_dir_all(results)?;
    let [file, picture] = ["csv", "svg"].map(|end| results.join(format!("{NAME}.{end}")));
    fs::write(&file, table.csv(NAME, ratios::HEADER))?;
    picture::draw(table, &picture).map_err(|error| io::Error::other(error.to_string()))?;
    println!("{} and {} are up to date", file.display(), picture.display());
    Ok(())
}

fn names(subjects: &[Subject]) -> Vec<&str> {
    subjects.iter().map(|subject| subject.name.as_str()).collect()
}

/// What each took, and lines that say what went wrong.
fn measure(tasks: &[Task], subjects: &[Subject], rounds: usize) -> io::Result<(Vec<Measured>, Vec<String>)> {
    let new = |task: &Task| Measured { program: task.name.to_owned(), rounds: vec![Vec::new(); subjects.len()] };
    let mut measured: Vec<Measured> = tasks.iter().map(new).collect();
    let mut failures = Vec::new();
    for round in 0..rounds {
        for (task, measured) in tasks.iter().zip(&mut measured) {
            // Another one begins each time, but the first in the first round: what it prints is to be printed again.
            for turn in 0..subjects.len() {
                let index = (round + turn) % subjects.len();
                match task.run(&subjects[index])? {
                    Ok(taken) => measured.rounds[index].push(taken),
                    Err(failure) => failures.push(failure),
                }
            }
        }
        if !failures.is_empty() {
            break;
        }
    }
    Ok((measured, failures))
}

impl Task {
    /// What the task took under `subject`, or how it failed. The first that succeeds says what it prints.
    fn run(&self, subject: &Subject) -> io::Result<Result<Taken, String>> {
        let (job, ended) = match &self.work {
            Work::Program(job) => (job, job.start(subject).and_then(Running::wait)),
            Work::Server(server) => (server.job(), server.run(subject)),
        };
        let failure = |words: &str| {
            let complaints = fs::read_to_string(job.complaints(subject)).unwrap_or_default();
            let first = complaints.lines().next().unwrap_or_default();
            Ok(Err(format!("FAILED: {} under {}: {words}: {first}", self.name, subject.name)))
        };
        let (status, taken) = match ended {
            Ok(ended) => ended,
            Err(error) => return failure(&error.to_string()),
        };
        if !status.success() {
            return failure(&status.to_string());
        }
        let compared = [(job.output(subject), "expected.out"), (job.complaints(subject), "expected.err")];
        for (path, name) in compared {
            let expected = job.folder.join(name);
            if !expected.exists() {
                fs::rename(&path, &expected)?;
            } else if !process::same(&path, &expected)? {
                return failure(&format!("{} is not what was expected", path.display()));
            }
        }
        Ok(Ok(taken))
    }
}
