//! Nothing is lost, whatever ends the process.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use slabfit_tests::tester::extension::{Event, Place};
use slabfit_tests::tester::trace::Trace;

use crate::preloaded::{c, compiled, fresh_folder, library, scratch, skipped};
use crate::recording::{OfARecording, read};
use crate::stepping::Steps;

#[test]
fn nothing_is_lost_when_the_process_is_killed() {
    let Some(threads) = compiled("cc", "threads.c", "threads_killed", &c(&[])) else { return };
    let folder = fresh_folder("traces_of_the_killed");
    let mut longest = 0;
    for round in 0..12u64 {
        let file = folder.join(format!("killed-{round}.rep.zst"));
        let mut command = Command::new(threads.path());
        command.env("LD_PRELOAD", library()).env("SLABFIT_HEAP", "64M").env("SLABFIT_TRACE", &file);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        // However long it takes to start, there is something to read; and in the last round much, whose chunks are of 64 KiB.
        let least = if round < 11 { 1 } else { 200_000 };
        let is_there = || fs::metadata(&file).is_ok_and(|file| file.len() >= least);
        while !is_there() {
            assert!(child.try_wait().expect("it was started").is_none(), "it has ended: {}", file.display());
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(7 * round));
        child.kill().expect("it was started");
        child.wait().expect("it was started");
        let trace = read(&file);
        trace.replays();
        longest = longest.max(trace.operations().len());
    }
    assert!(longest > 1000, "{longest}");
}

/// Whatever instruction is the last: the trace is whole before each of them.
#[test]
fn the_trace_can_be_read_between_any_two_instructions() {
    let Some(program) = compiled("cc", "stepped.c", "stepped", &c(&[])) else { return };
    let path = scratch().join("stepped.rep");
    let mut command = Command::new(program.path());
    command.env("LD_PRELOAD", library()).env("SLABFIT_HEAP", "1M").env("SLABFIT_TRACE", &path);
    let Some(mut steps) = Steps::begin(&mut command) else { return skipped("permission to trace a process") };
    // More than the calls fill; what follows is blank lines.
    let (file, mut text, mut before) = (File::open(&path).expect("it is there"), [0; 2048], [0; 2048]);
    let (mut calls, mut count) = (Vec::new(), 0u64);
    while steps.step() {
        count += 1;
        file.read_exact_at(&mut text, 0).expect("it is there");
        if text == before {
            continue;
        }
        before = text;
        let trace = Trace::decode(&text, 1 << 20).unwrap_or_else(|error| panic!("{error} in {}", text.escape_ascii()));
        let now = trace.operations().len() + trace.recorded().map_or(0, |recorded| recorded.events.len());
        if calls.last() != Some(&now) {
            trace.replays();
            calls.push(now);
        }
    }
    let first = calls[0];
    assert_eq!(calls, (first..=first + 6).collect::<Vec<_>>(), "one call after the other, in {count} steps");
    assert!(count > 1000, "{count}");
}

#[test]
fn nothing_is_lost_by_abort() {
    let Some(program) = compiled("cc", "wrong_free.c", "wrong_free_traced_once", &c(&[])) else { return };
    let program = program.with("SLABFIT_ABORT", "1");
    let file = scratch().join("aborted.rep.zst");
    let outcome = program.with("SLABFIT_TRACE", &file).run_preloaded("64M");
    assert!(!outcome.status.success(), "{outcome:#?}");
    let trace = read(&file);
    trace.replays();
    let (last, event) = trace.recorded().unwrap().events.last().expect("the wrong free is the last call");
    assert!(matches!(event, Event::Refused { place: Place::Address(_), size: None, .. }), "{event:?}");
    assert_eq!((*last, trace.recorded().unwrap().ended), (trace.operations().len(), false));
}
