//! The tester as its users meet it: its command line, its messages and its exit status, on slabfit's own heap.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use crate::tester_common::{TESTER, file, tester, text};

#[test]
fn a_wrong_argument_is_one_line_and_status_2() {
    for (arguments, line) in [
        (&[][..], "<SIZE> is missing; for a start, try: tester 1MiB"),
        (&["0"], "invalid value '0' for '<SIZE>': a size of 0 holds nothing"),
        (&["ten"], "invalid value 'ten' for '<SIZE>': not a size; write bytes, or a unit as in 64K, 1MiB or 2G"),
        (&["-1"], "invalid value '-1' for '<SIZE>': not a size; write bytes, or a unit as in 64K, 1MiB or 2G"),
        (&["1MB"], "invalid value '1MB' for '<SIZE>': unknown unit 'MB'; the units are K, KiB, M, MiB, G and GiB"),
        (&["99999999999G"], "invalid value '99999999999G' for '<SIZE>': more bytes than a 64-bit number can count"),
        (&["65GiB"], "a heap of 69,793,218,560 bytes is too large; slabfit's heaps have 68,719,476,736 at most"),
        (&["1M", "--slab-size", "0"], "invalid value '0' for '--slab-size <N>': a size of 0 holds nothing"),
        (&["1M", "--threads", "0"], "invalid value '0' for '--threads <N>': not a number of threads from 1 to 1024"),
        (&["1M", "--seed", "-1"], "invalid value '-1' for '--seed <N>': invalid digit found in string"),
        (
            &["1M", "--time-limit", "0"],
            "invalid value '0' for '--time-limit <SECONDS>': not a number of seconds from 1 to 86400",
        ),
        (
            &["1M", "--only", "none"],
            "invalid value 'none' for '--only <SUITE>' [possible values: conformance, traces, stress]",
        ),
        (&["1M", "--verbose"], "unexpected argument '--verbose' found"),
        (&["1M", "2M"], "unexpected argument '2M' found"),
        (
            &["1M", "--lib", "x", "--placement", "first"],
            "the argument '--lib <PATH>' cannot be used with '--placement <POLICY>'",
        ),
        (
            &["2GiB", "--lib", "x"],
            "a heap of 2,147,483,648 bytes is too large; Mem_Init takes an int: 2,147,483,647 at most",
        ),
    ] {
        tester(arguments).refuses(line);
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for argument in ["--help", "--version"] {
        let run = tester(&[argument]);
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
        assert!(run.stdout.contains("tester"), "{}", run.stdout);
        assert!(!run.stdout.contains("step"), "the way the tester starts itself is its own business: {}", run.stdout);
    }
}

#[test]
fn a_malformed_trace_is_refused_with_its_line() {
    for (name, content, line) in [
        ("operation.rep", "a 1 10\n\nx 1\n", "line 3: unknown operation 'x'; known are a, r and f"),
        ("missing.rep", "a 1 10\na 2\n", "line 2: the size is missing"),
        ("number.rep", "a one 10\n", "line 1: the id 'one' is not a number"),
        (
            "large.rep",
            "a 1 18446744073709551616\n",
            "line 1: the size '18446744073709551616' does not fit into 64 bits",
        ),
        ("surplus.rep", "a 1 10 16\n", "line 1: unexpected '16' at the end"),
        ("twice.rep", "a 1 10\na 1 10\n", "line 2: id 1 is allocated while it is live"),
        ("free.rep", "a 1 10\nf 1\n# again\nf 1\n", "line 4: id 1 is not live"),
        ("realloc.rep", "r 1 10\n", "line 1: id 1 is not live"),
        ("count.rep", "99\n1\n3\n1\na 1 10\nf 1\n", "line 6: the header promises 3 operations, but 2 follow"),
        ("header.rep", "99\n1\n", "line 2: the header has four lines of one number each, and this is none of them"),
        ("binary.rep", "\u{1b}[2J\n", r"line 1: unknown operation '\x1b[2J'; known are a, r and f"),
    ] {
        let path = file(name, content);
        tester(&["64K", "--trace", text(&path)]).refuses(&format!("{}: {line}", path.display()));
    }
}

#[test]
fn an_unreadable_trace_is_refused() {
    let path = file("plain.rep", "a 1 1\n");
    let missing = path.with_file_name("missing");
    let line = format!("cannot read {}: No such file or directory (os error 2)", missing.display());
    tester(&["64K", "--trace", text(&missing)]).refuses(&line);
    let folder = path.parent().expect("a file lies in a folder");
    let line = format!("cannot read {}: Is a directory (os error 21)", folder.display());
    tester(&["64K", "--trace", text(folder)]).refuses(&line);
}

#[test]
fn a_compressed_trace_that_was_cut_is_refused() {
    let compressed = zstd::encode_all(&b"a 1 10\nf 1\n"[..], 3).expect("it compresses");
    let path = file("cut_short.rep.zst", &compressed[..compressed.len() - 2]);
    let run = tester(&["64K", "--trace", text(&path)]);
    run.refuses(run.stderr.trim_end().trim_start_matches("tester: "));
    assert!(run.stderr.contains("cut_short.rep.zst: line 2: cannot be read: "), "{}", run.stderr);
}

#[test]
fn a_small_trace_is_replayed_and_counted() {
    let trace = "100\n3\n7\n1\na 0 64\na 1 100\na 2 0\nr 1 5000\nf 0\nr 1 10\nf 1\n";
    let plain = file("counted.rep", trace);
    let compressed = file("counted.rep.zst", zstd::encode_all(trace.as_bytes(), 3).expect("it compresses"));
    for path in [plain, compressed] {
        let run = tester(&["64K", "--only", "traces", "--trace", text(&path)]);
        let row = run.holds().stdout.lines().nth(3).expect("a row for the program").to_owned();
        let cells: Vec<_> = row.split_whitespace().collect();
        // The object of 0 bytes counts as one of 1: it has an address of its own.
        let expected = ["counted", "7", "5,065", "7.7", "%", "0", "1", "0", "0", "2"];
        assert_eq!([&cells[..2], &cells[3..]].concat(), expected, "{row}");
        run.says(&["counted, slab: 0.4 % of 16,384 bytes in use", "counted, blocks: 10.3 % of 49,152 bytes in use"]);
    }
}

#[test]
fn what_does_not_fit_is_counted_by_its_reason_and_no_failure() {
    let fragmented = "a 0 1000\na 1 1000\na 2 1000\nf 0\nf 2\na 3 2000\nf 1\nf 3\n";
    let full = "a 0 3000\na 1 3000\nr 1 10\nf 1\nr 0 18446744073709551615\nf 0\n";
    let (fragmented, full) = (file("fragmented.rep", fragmented), file("full.rep", full));
    let run = tester(&["4096", "--only", "traces", "--trace", text(&fragmented), "--trace", text(&full)]);
    run.holds().says(&[
        "fragmented: of 4 requests 1 failed (it was fragmented once); 1 operation on an object that was not served was left out",
        "full: of 3 requests 2 failed (the heap was full 2 times); 2 operations on objects that were not served were left out",
    ]);
}

// slabfit's own heap.

#[test]
fn everything_holds_on_64_kib() {
    tester(&["64KiB", "--seed", "1"])
        .holds()
        .says(&["slabfit, next fit: a heap of 65,536 bytes, slab size 64, seed 1\n"]);
}

#[test]
fn everything_holds_with_first_fit_and_another_slab_size() {
    let run = tester(&["1MiB", "--placement", "first", "--slab-size", "48", "--threads", "8"]);
    run.holds().says(&["slabfit, first fit: a heap of 1,048,576 bytes, slab size 48, seed ", "stress: 8 threads"]);
}

#[test]
fn everything_holds_with_size_classes() {
    for size in ["64KiB", "1MiB"] {
        let run = tester(&[size, "--placement", "general", "--slab-size", "100"]);
        run.holds().says(&["slabfit, size classes and first fit: a heap of ", "stress: 4 threads"]);
    }
    let trace = file("classes.rep", "a 0 32\na 1 100\na 2 512\na 3 513\nf 1\na 4 97\n");
    let run = tester(&["1M", "--placement", "general", "--only", "traces", "--trace", text(&trace)]);
    let row = run.holds().stdout.lines().nth(3).expect("a row for the program").to_owned();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells[cells.len() - 4..], ["0", "0", "4", "1"], "{row}");
    // Three runs of 1, 2 and 8 KiB lie there, of which slots are in use, and a block of 544 bytes.
    run.says(&["classes, blocks: 0.2 % of 786,432 bytes in use, "]);
}

#[test]
fn at_64_mib_every_request_of_every_shipped_trace_is_served() {
    for placement in ["next", "general"] {
        let run = tester(&["64MiB", "--only", "traces", "--placement", placement]);
        run.holds().says(&["gitlog", "cargometa", "gs", "sqlite"]);
        assert!(!run.stdout.contains("failed ("), "{}", run.stdout);
    }
}

#[test]
fn the_report_names_the_size_that_the_heap_has() {
    for (asked, size) in [("1", "4,096"), ("4096", "4,096"), ("5000", "8,192")] {
        tester(&[asked, "--only", "conformance"]).holds().says(&[&format!("next fit: a heap of {size} bytes, ")]);
    }
}

#[test]
fn one_of_a_kind_is_one() {
    tester(&["64K", "--only", "stress", "--threads", "1"]).holds().says(&["stress: 1 thread, "]);
}

/// Runs the tester with nobody who reads what it says, and answers with its status.
fn with_its_output_closed(arguments: &[&str]) -> Option<i32> {
    let (reader, writer) = UnixStream::pair().expect("there are sockets");
    drop(reader);
    let errors = OwnedFd::from(writer.try_clone().expect("it can be copied"));
    let mut command = Command::new(TESTER);
    command.args(arguments).stdout(OwnedFd::from(writer)).stderr(errors).status().expect("the tester starts").code()
}

#[test]
fn it_ends_quietly_where_nobody_reads_on() {
    let trace = file("unread.rep", "a 0 64\nf 0\n");
    let drawn = file("unread.svg", "");
    let (trace, drawn) = (text(&trace), text(&drawn));
    for arguments in [
        &["64K"][..],
        &["64K", "--only", "traces", "--trace", trace],
        &["--help"],
        &["map", trace, "--heap", "64K", "-o", drawn],
        &["film", trace, "--heap", "64K", "-o", drawn],
        &["plot", trace, "--heap", "64K", "-o", drawn],
        &["replay", trace, "--heap", "64K"],
        &["leaks", trace],
    ] {
        assert_eq!(with_its_output_closed(arguments), Some(141), "{arguments:?}");
    }
    // A complaint is lost, and its status is not.
    assert_eq!(with_its_output_closed(&["0"]), Some(2));
}

#[test]
fn a_suite_can_be_run_by_itself() {
    for (suite, line) in [("conformance", "conformance: "), ("traces", "traces ("), ("stress", "stress: ")] {
        let run = tester(&["64K", "--only", suite]);
        run.holds().says(&[line]);
        let others = ["conformance: ", "traces (", "stress: "].into_iter().filter(|&other| other != line);
        assert!(others.into_iter().all(|other| !run.stdout.contains(other)), "{}", run.stdout);
    }
}
