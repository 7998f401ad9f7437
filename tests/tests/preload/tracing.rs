//! `SLABFIT_TRACE`: every call is recorded, whatever ends the process, and comes to the same address again.

mod ends;
mod files;

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use slabfit_tests::tester::extension::Event;
use slabfit_tests::tester::replay_exact::{Until, recorded_ground, replay_exactly};
use slabfit_tests::tester::trace::Trace;

use crate::preloaded::{Program, c, compiled, fresh_folder, scratch, sources};
use crate::programs::Git;
use crate::recording::{OfARecording, read};

#[test]
fn python_comes_to_the_same_addresses_again() {
    let Some(python) = Program::installed("python3") else { return };
    let python = python.arguments([sources().join("everyday.py")]).with("PYTHONMALLOC", "malloc");
    let (outcome, trace) = python.recorded("python", "128M");
    outcome.agrees_with(&trace.replays());
    assert!(trace.operations().len() > 100_000 && trace.threads() > 1, "{}", trace.operations().len());
    assert!(trace.recorded().is_some_and(|recorded| recorded.setup.program.starts_with("python")));
}

#[test]
fn git_sort_and_sqlite_do() {
    if let Some(git) = Git::installed() {
        let history = git.history(&fresh_folder("git_traced"));
        let (outcome, trace) = git.at(&history, &["log", "--stat", "-M"]).recorded("git", "128M");
        outcome.agrees_with(&trace.replays());
    }
    if let Some(sort) = Program::installed("sort") {
        let lines = scratch().join("lines_to_trace.txt");
        let text: String = (0..50_000u64).map(|i| format!("{} line\n", i * 7919 % 50_021)).collect();
        fs::write(&lines, text).expect("target can be written to");
        let (outcome, trace) =
            sort.arguments(["-n", "--parallel=4", "-S8M"]).arguments([lines]).recorded("sort", "64M");
        outcome.agrees_with(&trace.replays());
    }
    if let Some(sqlite) = Program::installed("sqlite3") {
        let sqlite = sqlite.arguments(["-batch", ":memory:"]).input(sources().join("everyday.sql"));
        let (outcome, trace) = sqlite.recorded("sqlite", "128M");
        outcome.agrees_with(&trace.replays());
    }
}

#[test]
fn a_rust_program_with_threads_does() {
    let options = ["--edition=2024", "-O", "-Dwarnings"].map(OsStr::new);
    let Some(program) = compiled("rustc", "collections.rs", "collections_traced", &options) else { return };
    let (outcome, trace) = program.recorded("collections", "64M");
    outcome.agrees_with(&trace.replays());
    assert!(trace.threads() > 1);
}

#[test]
fn threads_are_told_apart_and_their_calls_stand_in_the_heaps_order() {
    let Some(threads) = compiled("cc", "threads.c", "threads_traced", &c(&[])) else { return };
    for placement in ["general", "first", "next"] {
        let (outcome, trace) = threads.clone().with("SLABFIT_PLACEMENT", placement).recorded("threads", "64M");
        outcome.agrees_with(&trace.replays());
        assert_eq!(trace.threads(), 1 + 60 * 12);
    }
}

#[test]
fn alignments_failed_requests_and_wrong_frees_are_recorded() {
    let Some(family) = compiled("cc", "family.c", "family_traced", &c(&[])) else { return };
    let (outcome, trace) = family.recorded("family", "64M");
    outcome.agrees_with(&trace.replays());
    let recorded = trace.recorded().expect("a recording");
    assert!([32, 4096, 65536].iter().all(|&wanted| recorded.notes.iter().any(|note| note.wish.alignment == wanted)));
    assert!(recorded.notes.iter().any(|note| note.wish.zeroed));
    let failed = |event: &Event| matches!(event, Event::NotAllocated { why, .. } if why == "the heap is full");
    assert!(recorded.events.iter().filter(|(_, event)| failed(event)).count() > 10, "{:#?}", recorded.events);

    let Some(wrong) = compiled("cc", "wrong_free.c", "wrong_free_traced", &c(&[])) else { return };
    let (_, trace) = wrong.recorded("wrong_free", "64M");
    trace.replays();
    let refused = |reason: &str| {
        let fits = |event: &Event| matches!(event, Event::Refused { reason: found, .. } if found == reason);
        trace.recorded().is_some_and(|recorded| recorded.events.iter().any(|(_, event)| fits(event)))
    };
    assert!(refused("double free") && refused("outside the heap") && refused("header overwritten"));
}

#[test]
fn a_full_heap_is_replayed_with_its_failures() {
    let Some(full) = compiled("cc", "full.c", "full_traced", &c(&[])) else { return };
    let (outcome, trace) = full.recorded("full", "1M");
    outcome.agrees_with(&trace.replays());
}

#[test]
fn magazines_that_were_emptied_are_recorded() {
    let Some(emptied) = compiled("cc", "emptied.c", "emptied_traced", &c(&[])) else { return };
    let file = scratch().join("emptied.rep");
    let outcome = emptied.with("SLABFIT_TRACE", &file).run_preloaded("1M");
    assert_eq!((outcome.status.code(), &*outcome.text(), &*outcome.stderr), (Some(0), "", ""), "{outcome:#?}");
    let trace = read(&file);
    outcome.agrees_with(&trace.replays());
    assert_eq!(trace.events().filter(|event| matches!(event, Event::Emptied)).count(), 1);
    // Without that an object comes to lie elsewhere.
    let text = fs::read_to_string(&file).expect("it is text").replace("#m\n", "");
    let trace = Trace::decode(text.as_bytes(), 1 << 20).expect("a trace");
    let ground = recorded_ground(&trace).expect("it says what it was recorded on");
    let replay = replay_exactly(&trace, ground, Until::Difference, &|_| ()).expect("there is such a heap");
    assert!(replay.difference.is_some());
}

#[test]
fn magazines_that_are_emptied_when_pages_begin_to_go_back_are_recorded() {
    let Some(trimmed) = compiled("cc", "trimmed_small.c", "trimmed_small_traced", &c(&[])) else { return };
    let (outcome, trace) = trimmed.arguments(["recorded"]).recorded("trimmed_small", "256M");
    outcome.agrees_with(&trace.replays());
    assert!(trace.events().filter(|event| matches!(event, Event::Emptied)).count() > 1);
}

/// Its signals come in the middle of records, too: then, as the heap is not in use, they are answered at once.
#[test]
fn a_program_that_is_recorded_is_drawn_as_well() {
    let Some(program) = compiled("cc", "pictured.c", "pictured_traced", &c(&[])) else { return };
    let (pictures, file) = (fresh_folder("pictures_and_a_trace"), scratch().join("pictured.rep.zst"));
    let name = pictures.join("%n");
    let program = program.arguments(["busy".as_ref(), name.as_os_str()]).with("SLABFIT_MAP", &name);
    let outcome = program.with("SLABFIT_MAP_SIGNAL", "USR1").with("SLABFIT_TRACE", &file).run_preloaded("4M");
    assert_eq!((outcome.status.code(), &*outcome.stderr), (Some(0), ""), "{outcome:#?}");
    assert_eq!(fs::read_dir(&pictures).expect("a folder").count(), 100);
    read(&file).replays();
}

#[test]
fn readers_that_know_nothing_of_recordings_skip_what_is_new() {
    let Some(program) = compiled("cc", "family.c", "family_as_text", &c(&[])) else { return };
    let (zstd, plain) = (scratch().join("as_zstd.rep.zst"), scratch().join("as_text.rep"));
    let text = |file: &Path| {
        let outcome = program.clone().with("SLABFIT_TRACE", file).run_preloaded("64M");
        assert!(outcome.status.success(), "{outcome:#?}");
        let bytes = fs::read(file).expect("the trace is there");
        let bytes = if file == zstd { zstd::decode_all(&*bytes).expect("whole frames") } else { bytes };
        String::from_utf8(bytes).expect("it is text")
    };
    for text in [text(&zstd), text(&plain)] {
        let numbers: Vec<u64> = text.lines().take(4).map(|line| line.parse().expect("a header of numbers")).collect();
        let lines: Vec<_> = text.lines().skip(4).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert!(lines.iter().all(|line| ["a ", "r ", "f "].iter().any(|start| line.starts_with(start))));
        let made = lines.iter().filter(|line| line.starts_with("a ")).count() as u64;
        assert_eq!((numbers[1], numbers[2], numbers[3]), (made, lines.len() as u64, 1));
        let trace = Trace::decode(text.as_bytes(), 1 << 30).expect("a trace");
        assert_eq!(u128::from(numbers[0]), trace.peak_bytes());
        // What an old reader makes of it.
        let old: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        assert_eq!(Trace::decode(old.as_bytes(), 1 << 30).expect("a trace").operations(), trace.operations());
    }
}
