//! What a program does wrong with memory, one program for each mistake, and what becomes of it: under a hardened heap, under the others,
//! and under libc's malloc.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Write, stderr};
use std::os::unix::process::ExitStatusExt;
use std::sync::OnceLock;

use crate::preloaded::{Outcome, Program, c, compiled};

const SMALL: usize = 24;
const MEDIUM: usize = 2000;
const LARGE: usize = 100_000;
const SIZES: [usize; 3] = [SMALL, MEDIUM, LARGE];
const AMOUNTS: [usize; 5] = [1, 8, 32, 4096, 1 << 20];

const ABORTED: i32 = 6;
const FAULTED: i32 = 11;

/// How a mistake ends under a hardened heap. In a line `{p}` is the object's address, and `*` any number.
#[derive(Clone, Debug)]
enum End {
    /// By SIGABRT, after this line.
    Line(String),
    /// By SIGSEGV, after this line.
    Fault(String),
    /// The program reads what was freed, and nothing of it is there.
    Gone,
}

#[derive(Clone, Debug)]
struct Case {
    kind: &'static str,
    size: usize,
    amount: usize,
    how: &'static str,
    end: End,
}

fn case(kind: &'static str, size: usize, amount: usize, how: &'static str, end: End) -> Case {
    Case { kind, size, amount, how, end }
}

fn count(bytes: usize) -> String {
    format!("{bytes} {}", if bytes == 1 { "byte" } else { "bytes" })
}

fn past(size: usize, bytes: usize) -> End {
    End::Line(format!("{{p}}: {} written past the end of an object of {size} bytes", count(bytes)))
}

fn before(size: usize, bytes: usize) -> End {
    End::Line(format!("{{p}}: {} written before the start of an object of {size} bytes", count(bytes)))
}

fn wrong(function: &str, what: &str) -> End {
    End::Line(format!("{function}({{p}}): {what}"))
}

/// Bytes after an object's end that are no other's: the rest of a slot, of a block, and of a page.
fn rest(size: usize) -> usize {
    match size {
        SMALL => 8,
        MEDIUM => 16,
        _ => 102_400 - LARGE,
    }
}

/// Mistakes of writing beside a live object.
fn beside() -> Vec<Case> {
    let mut cases = vec![];
    for size in SIZES {
        for amount in AMOUNTS {
            for how in ["loop", "copy"] {
                let number = if how == "loop" { "102400" } else { "*" };
                let fault = format!("{{p}}: access past the end of an object of {size} bytes, at offset {number}");
                let is_fault = size == LARGE && amount > rest(size);
                let end = if is_fault { End::Fault(fault) } else { past(size, amount.min(rest(size))) };
                cases.push(case("overflow", size, amount, how, end));
                let number = if how == "loop" { "-1" } else { "-*" };
                let end = match size {
                    SMALL => before(size, amount.min(8)),
                    MEDIUM => before(size, amount.min(16)),
                    _ => End::Fault(format!(
                        "{{p}}: access before the start of an object of {size} bytes, at offset {number}"
                    )),
                };
                cases.push(case("underflow", size, amount, how, end));
            }
        }
        let fault = End::Fault(format!("{{p}}: access before the start of an object of {size} bytes, at offset -8"));
        cases.push(case("neighbour", size, 8, "loop", if size == LARGE { fault } else { before(size, 8) }));
        cases.push(case("before-realloc", size, 1, "loop", past(size, 1)));
    }
    for size in [SMALL, MEDIUM] {
        for how in
            ["strcpy", "sprintf", "strcat", "memset", "calloc", "realloc", "shrunk", "aligned_alloc", "posix_memalign"]
        {
            cases.push(case("one-more", size, 1, how, past(size, 1)));
        }
        cases.push(case("one-more", size, 1, "strdup", past(size + 1, 1)));
        cases.push(case("one-more", size, 1, "wmemset", past(size, 4)));
    }
    cases
}

/// Mistakes with what was freed.
fn after() -> Vec<Case> {
    let mut cases = vec![];
    for size in SIZES {
        for how in ["free", "realloc"] {
            let fault = End::Fault("{p}: access after the free, at offset 0".to_owned());
            cases.push(case("read-after", size, 1, how, if size == LARGE { fault } else { End::Gone }));
        }
        for (how, amount, offset) in
            [("first", 1, 0), ("fifth", 1, 5), ("last", 1, size - 1), ("all", size, 0), ("copy", 8, 0)]
        {
            let end = if size == LARGE {
                End::Fault(format!("{{p}}: access after the free, at offset {offset}"))
            } else {
                End::Line(format!("{{p}}: {} written after the free, at offset {offset}", count(amount)))
            };
            cases.push(case("write-after", size, amount, how, end));
        }
        for how in ["direct", "interleaved", "delayed", "reused", "thread"] {
            cases.push(case("twice", size, 0, how, wrong("free", "double free")));
        }
        cases.push(case("twice", size, 0, "realloc", wrong("realloc", "double free")));
        cases.push(case("moved", size, 0, "realloc", wrong("free", "double free")));
    }
    cases
}

/// Frees and reallocs of what is no object, and with a wrong size, and uses of objects of 0 bytes.
fn wrong_calls() -> Vec<Case> {
    let mut cases = vec![];
    for (function, amount) in [("free", 0), ("realloc", 10)] {
        for how in ["stack", "global", "constant", "function", "mapped", "number"] {
            cases.push(case("wrong-address", SMALL, amount, how, wrong(function, "outside the heap")));
        }
        for size in SIZES {
            cases.push(case("wrong-address", size, amount, "interior", wrong(function, "not the start of an object")));
            cases.push(case("wrong-address", size, amount, "misaligned", wrong(function, "misaligned")));
        }
        cases.push(case("wrong-address", SMALL, amount, "header", wrong(function, "not the start of an object")));
        cases.push(case("wrong-address", SMALL, amount, "never", wrong(function, "never allocated")));
    }
    for size in SIZES {
        for amount in [size - 1, size + 1, 2 * size, 0] {
            cases.push(case("sized", size, amount, "plain", other_size("free_sized", amount, size)));
        }
        cases.push(case("sized", size, size + 1, "aligned", other_size("free_aligned_sized", size + 1, size)));
    }
    for how in ["malloc", "calloc"] {
        for amount in [0, 1] {
            let end = End::Fault("{p}: access to an object of 0 bytes, at offset 0".to_owned());
            cases.push(case("nothing", 0, amount, how, end));
        }
    }
    cases
}

fn other_size(function: &str, said: usize, size: usize) -> End {
    wrong(function, &format!("not an object of {said} bytes, it was asked for with {size}"))
}

/// Those of a program in C++.
fn deletes() -> Vec<Case> {
    let mut cases = vec![];
    for size in SIZES {
        for said in [size - 1, size + 1] {
            for (how, function) in [("delete", "operator delete"), ("delete[]", "operator delete[]")] {
                cases.push(case("deletes", size, said, how, other_size(function, said, size)));
            }
        }
        for (how, function) in [("aligned", "operator delete"), ("aligned[]", "operator delete[]")] {
            // The runtime asks for a multiple of the alignment.
            let asked = size.next_multiple_of(64);
            cases.push(case("deletes", size, asked + 1, how, other_size(function, asked + 1, asked)));
        }
        cases.push(case("deletes", size, size + 1, "plain", other_size("operator delete", size + 1, size)));
        cases.push(case("deletes", size, 0, "twice", wrong("operator delete", "double free")));
    }
    cases.push(case("deletes", 24, 16, "base", other_size("operator delete", 16, 24)));
    cases
}

/// What no hardened heap stops, and why.
const UNSEEN: [(&str, &str); 7] = [
    ("read past", "a read leaves no trace, and small objects have no page of their own"),
    (
        "jump",
        "a write that jumps over the pattern hits another live object: only a check of each access knows whose pointer it was",
    ),
    ("put back", "what was written before the free is what had been there"),
    ("never freed", "the pattern is compared at a free, which does not come"),
    ("never reused", "freed memory is compared when it is handed out, which does not come"),
    ("reused late", "the address is a live object's again, its new owner's: two equal pointers cannot be told apart"),
    ("leak", "an object that is never freed is no wrong access; see tester leaks"),
];

/// The one in C and the one in C++, made once for all tests here.
fn programs() -> Option<&'static [Program; 2]> {
    static PROGRAMS: OnceLock<Option<[Program; 2]>> = OnceLock::new();
    let options = ["-std=c++17", "-O1", "-fno-builtin", "-pthread", "-Wall", "-Wextra", "-Werror"].map(OsStr::new);
    let make = || {
        let in_c = compiled("cc", "misuse.c", "misuse", &c(&[]))?;
        Some([in_c, compiled("c++", "misuse.cpp", "misuse_cxx", &options)?])
    };
    PROGRAMS.get_or_init(make).as_ref()
}

fn program(programs: &[Program; 2], case: &Case) -> Program {
    let [in_c, in_cxx] = programs;
    let (size, amount) = (case.size.to_string(), case.amount.to_string());
    let program = if case.kind == "deletes" { in_cxx } else { in_c };
    program.clone().arguments([case.kind, &size, &amount, case.how])
}

fn all() -> Vec<Case> {
    [beside(), after(), wrong_calls(), deletes()].concat()
}

fn signal(outcome: &Outcome) -> Option<i32> {
    outcome.status.signal().or(outcome.status.code().filter(|code| *code > 128).map(|code| code - 128))
}

/// Whether a line is what was expected, with `*` for any number.
fn is_like(line: &str, expected: &str) -> bool {
    match expected.split_once('*') {
        None => line == expected,
        Some((start, end)) => line
            .strip_prefix(start)
            .and_then(|rest| rest.strip_suffix(end))
            .is_some_and(|number| number.parse::<usize>().is_ok()),
    }
}

fn ends_as_expected(case: &Case, outcome: &Outcome) -> bool {
    let text = outcome.text();
    let address = text.lines().next().unwrap_or_default();
    let line = |expected: &str| {
        let expected = format!("slabfit: {}\n", expected.replace("{p}", address));
        is_like(&outcome.stderr, &expected)
    };
    match &case.end {
        End::Line(expected) => signal(outcome) == Some(ABORTED) && line(expected),
        End::Fault(expected) => signal(outcome) == Some(FAULTED) && line(expected),
        End::Gone => outcome.status.success() && outcome.stderr.is_empty() && text.ends_with("\ngone\n"),
    }
}

#[test]
fn each_mistake_is_found_and_named_by_a_hardened_heap() {
    let Some(programs) = programs() else { return };
    let cases = all();
    assert!(cases.len() >= 90, "{} cases", cases.len());
    let mut wrong = vec![];
    for case in &cases {
        let outcome = program(programs, case).with("SLABFIT_HARDEN", "1").run_preloaded("256M");
        if !ends_as_expected(case, &outcome) {
            wrong.push((case, outcome));
        }
    }
    assert!(wrong.is_empty(), "{} of {} not as expected: {wrong:#?}", wrong.len(), cases.len());
}

#[test]
fn what_cannot_be_found_is_known_and_harms_nobody_else() {
    let Some([program, _]) = programs() else { return };
    for (how, why) in UNSEEN {
        let program = program.clone().arguments(["unseen", "24", "0", how]).with("SLABFIT_HARDEN", "1");
        let outcome = program.run_preloaded("256M");
        assert_eq!((outcome.status.code(), &*outcome.stderr), (Some(0), ""), "{how}: {why}: {outcome:#?}");
    }
}

/// A mistake counts as stopped if a signal ends the program, or if nothing that was freed can be read.
fn is_stopped(outcome: &Outcome) -> bool {
    signal(outcome).is_some() || outcome.text().ends_with("\ngone\n")
}

#[test]
fn a_hardened_heap_stops_whatever_others_stop() {
    let Some(programs) = programs() else { return };
    let mut table = BTreeMap::<&str, [usize; 4]>::new();
    for case in all() {
        let program = program(programs, &case);
        let outcomes = [
            program.clone().with("SLABFIT_HARDEN", "1").run_preloaded("256M"),
            program.clone().with("SLABFIT_ABORT", "1").run_preloaded("256M"),
            program.run(),
        ];
        let stopped = outcomes.each_ref().map(is_stopped);
        assert!(stopped[0], "{case:?}: {outcomes:#?}");
        let row = table.entry(case.kind).or_default();
        row[0] += 1;
        row[1..].iter_mut().zip(stopped).for_each(|(cell, stopped)| *cell += usize::from(stopped));
    }
    let all = table.values().fold([0; 4], |sum, row| [0, 1, 2, 3].map(|column| sum[column] + row[column]));
    let rows = table.into_iter().chain([("all", all)]);
    for (kind, [cases, hardened, aborting, libc]) in rows {
        // Past the test harness, as in `skipped`.
        writeln!(stderr(), "| {kind} | {cases} | {hardened} | {aborting} | {libc} |").expect("stderr is open");
    }
}
