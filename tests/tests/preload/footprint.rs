//! `tester footprint`: what a trace takes under slabfit, beside other allocators.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::preloaded::{Outcome, Program, c, compiled, library, skipped};

/// What is resident at a pattern's start, at most and at its end, in KiB: of the whole process.
#[derive(Debug)]
struct Looks {
    start: u64,
    most: u64,
    end: u64,
}

impl Looks {
    fn of(outcome: &Outcome) -> Self {
        assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome:#?}");
        let text = outcome.text();
        let looks = text.lines().filter_map(|line| line.split_once(' ')?.1.parse().ok()).collect::<Vec<u64>>();
        let (&[start, .., end], Some(&most)) = (&looks[..], looks.iter().max()) else { panic!("{outcome:#?}") };
        Self { start, most, end }
    }
}

/// Another allocator's library, where programs for these tests were unpacked.
fn jemalloc() -> Option<String> {
    let root = env::var_os("SLABFIT_PROGRAMS")?;
    let path = Path::new(&root).join(format!("usr/lib/{}-linux-gnu/libjemalloc.so.2", env::consts::ARCH));
    path.is_file().then(|| path.to_string_lossy().into_owned())
}

#[test]
fn what_is_let_go_of_does_not_stay_resident_in_any_pattern() {
    let Some(program) = compiled("cc", "patterns.c", "patterns", &c(&[])) else { return };
    let jemalloc = jemalloc();
    if jemalloc.is_none() {
        skipped("libjemalloc.so.2 beside glibc's malloc");
    }
    // What stays at most of what was resident beyond the start, in percent: much is free, but of the last pattern, in which pages
    // have a live object here and there.
    for (pattern, stays) in [("few-large", 1), ("many-small", 10), ("saw-tooth", 20), ("server", 10), ("minority", 35)]
    {
        let program = program.clone().arguments([pattern]);
        let ours = Looks::of(&program.run_preloaded("512M"));
        let limit = ours.start + (ours.most - ours.start) * stays / 100;
        assert!(ours.most > ours.start + 80_000 && ours.end <= limit, "{pattern}: {ours:?}, at most {limit}");
        let mut others = vec![Looks::of(&program.run())];
        others.extend(jemalloc.iter().map(|library| Looks::of(&program.clone().with("LD_PRELOAD", library).run())));
        let best = others.iter().map(|looks| looks.end).min().unwrap_or_default();
        assert!(ours.end * 5 <= best * 6, "{pattern}: {ours:?} beside {others:?}");
    }
}

#[test]
fn every_trace_takes_little_more_than_lives_but_under_next_fit() {
    for trace in ["gitlog", "cargometa", "gs", "sqlite"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tester"));
        let output =
            command.args(["footprint", trace, "--preload"]).arg(library()).output().expect("the tester starts");
        let (text, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && complaints.is_empty(), "{text}{complaints}");
        assert!(text.contains(&format!("{trace}: ")) && text.contains(" bytes live at the peak, "), "{text}");
        let general = row(&text, "slabfit, size classes and first fit");
        assert!(general.heap <= Some(115.0) && general.heap.is_some() && general.resident <= 115.0, "{text}");
        let first = row(&text, "slabfit, first fit");
        // The goals: of what lives, headers included, a cap of 1.25 times as much, and 1.15 times as much resident.
        assert!(first.heap <= Some(125.0) && first.heap.is_some() && first.resident <= 115.0, "{text}");
        let next = row(&text, "slabfit, next fit");
        assert!(next.heap > first.heap && next.resident > first.resident, "{text}");
        let system = row(&text, "the system's");
        // What is measured is there: much less than all that lives at once cannot be resident.
        assert!(system.heap.is_none() && [first, next, system].iter().all(|row| row.resident >= 90.0), "{text}");
    }
}

#[test]
fn a_program_is_measured_as_a_whole() {
    if Program::installed("sqlite3").is_none() {
        return;
    }
    let csv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("footprint.csv");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tester"));
    command.args(["footprint", "sqlite3", "--preload"]).arg(library()).arg("--csv").arg(&csv);
    let output = command.output().expect("the tester starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let resident = |label: &str| {
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(label)).unwrap_or_default();
        let figures: Vec<u64> = line.split_whitespace().filter_map(|word| word.replace(',', "").parse().ok()).collect();
        // After slab size and heap, which the system's has not.
        *figures.get(if label.starts_with("slabfit") { 2 } else { 0 }).unwrap_or_else(|| panic!("{label} in {text}"))
    };
    // The file has the same figures, a line for each allocator.
    let file = fs::read_to_string(&csv).expect("it was written");
    let of = |allocator: &str| {
        let line = file.lines().find(|line| line.starts_with(&format!("sqlite3,{allocator},")));
        line.and_then(|line| line.split(',').nth(5)).map(|bytes| bytes.parse().expect("a number"))
    };
    assert_eq!(of("slabfit first"), Some(resident("slabfit, first fit")), "{file}");
    assert_eq!(of("the system's"), Some(resident("the system's")), "{file}");
    // It holds some 3.6 million bytes, and this process, which is no part of it, many more.
    let (ours, system) = (resident("slabfit, first fit"), resident("the system's"));
    assert!((4 << 20..24 << 20).contains(&ours) && (4 << 20..24 << 20).contains(&system), "{text}");
}

#[test]
fn what_cannot_be_measured_is_said() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tester")).args(arguments).env("PATH", "/nowhere").output();
        let output = output.expect("the tester starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let library = library();
    let library = library.to_str().expect("the target folder's name is UTF-8");
    let (status, text, _) = run(&["footprint", "perl", "--preload", library]);
    assert_eq!((status, text.lines().last()), (Some(0), Some("SKIPPED: there is no perl")));
    let (status, _, complaint) = run(&["footprint", "gs", "--preload", "/no/such.so"]);
    let expected = "tester: there is no /no/such.so; cargo build --release makes it\n";
    assert_eq!((status, &*complaint), (Some(2), expected));
}

/// Two columns, in percent: the heap's, which only slabfit has, and what is resident.
#[derive(Debug)]
struct Row {
    heap: Option<f64>,
    resident: f64,
}

fn row(text: &str, label: &str) -> Row {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(label));
    let line = line.unwrap_or_else(|| panic!("{label} is not in {text}"));
    let words: Vec<_> = line.split_whitespace().collect();
    // Slab size, heap, its share, what is resident, its share, time; each share is followed by its sign.
    let shares: Vec<f64> =
        words.windows(2).filter(|pair| pair[1] == "%").filter_map(|pair| pair[0].parse().ok()).collect();
    match *shares {
        [heap, resident] => Row { heap: Some(heap), resident },
        [resident] => Row { heap: None, resident },
        _ => panic!("{line:?}"),
    }
}
