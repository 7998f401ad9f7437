use super::Operation::{Allocate, Free, Reallocate};
use super::*;
use crate::tester::extension::{Event, Note, Wish};
use crate::tester::trace_error::LONGEST_LINE;

fn parse(text: &str) -> Result<Trace, TraceError> {
    Trace::decode(text.as_bytes(), 1 << 20)
}

fn reason(text: &str) -> (u64, TraceFault) {
    let error = parse(text).expect_err(text);
    (error.line, error.reason)
}

#[test]
fn a_small_trace_is_read_as_it_stands() {
    let trace = parse("a 7 100\n\n  # a comment\r\na 900 50 \r\nr 7 10\nf 900\na 900 1\nf 7").unwrap();
    let expected = [
        Allocate { object: 0, size: 100 },
        Allocate { object: 1, size: 50 },
        Reallocate { object: 0, size: 10 },
        Free { object: 1 },
        Allocate { object: 2, size: 1 },
        Free { object: 0 },
    ];
    assert_eq!(trace.operations(), expected);
    assert_eq!((trace.objects(), trace.peak_bytes(), trace.peak_at()), (3, 150, 1));
    assert_eq!(trace.describe(4), "at operation 5, 'a 900 1'");
}

#[test]
fn the_header_is_optional_and_must_be_true() {
    let body = "a 0 1\nf 0\n";
    assert_eq!(parse(&format!("999\n1\n2\n1\n{body}")), parse(body));
    assert_eq!(reason(&format!("9\n1\n3\n1\n{body}")), (6, TraceFault::OperationCount { promised: 3, found: 2 }));
    assert_eq!(reason("9\n1\n2\n"), (3, TraceFault::HeaderCut));
    assert_eq!(reason("9\n1\na 0 1"), (3, TraceFault::NotANumber("header number", "a".to_owned())));
    assert_eq!(reason("9 1"), (1, TraceFault::Surplus("1".to_owned())));
    assert_eq!(reason("a 0 1\n17\n"), (2, TraceFault::UnknownOperation("17".to_owned())));
}

const RECORDING: &str = "#slabfit 1 heap=4096 slab=64 placement=first base=0x0 pid=1 program=p\n";

#[test]
fn a_recording_says_more_of_each_operation_and_of_what_was_none() {
    let text = format!("{RECORDING}#t 5\n#@16 m64 z\na 0 9\n#!i 1\n#t 6\n#@32\nr 0 10\n#-r 0 99 full\nf 0\n#end\n");
    let trace = parse(&text).unwrap();
    let recorded = trace.recorded().unwrap();
    let wish = Wish { alignment: 64, zeroed: true };
    let notes = [
        Note { at: Some(16), wish, thread: 5 },
        Note { at: Some(32), wish: Wish::default(), thread: 6 },
        Note { at: None, wish: Wish::default(), thread: 6 },
    ];
    let kept = Event::NotReallocated { object: 0, size: 99, why: "full".to_owned() };
    assert_eq!((&*recorded.notes, recorded.ended), (&notes[..], true));
    assert_eq!(recorded.events, [(1, Event::Interrupted(1)), (2, kept)]);
    // Without its first line all of that is comments.
    let plain = parse(text.strip_prefix(RECORDING).unwrap()).unwrap();
    assert_eq!((plain.recorded(), plain.operations()), (None, trace.operations()));
}

#[test]
fn a_recording_without_its_end_may_be_one_operation_ahead_of_its_header() {
    let text = |promised: u64, end: &str| format!("9\n1\n{promised}\n1\n{RECORDING}#@16\na 0 9\n{end}");
    assert!(parse(&text(1, "")).is_ok() && parse(&text(0, "")).is_ok() && parse(&text(1, "#end")).is_ok());
    for (promised, end) in [(0, "#end"), (2, ""), (u64::MAX, "")] {
        assert_eq!(reason(&text(promised, end)).1, TraceFault::OperationCount { promised, found: 1 });
    }
}

#[test]
fn an_empty_text_is_a_trace_of_nothing() {
    assert_eq!(parse("").unwrap(), Trace::default());
    assert_eq!(parse("0\n0\n0\n0\n").unwrap(), Trace::default());
}

#[test]
fn every_fault_names_its_line() {
    use TraceFault::*;
    for (text, line, expected) in [
        ("a 1 1\nx 1 1", 2, UnknownOperation("x".to_owned())),
        ("a1 1", 1, UnknownOperation("a1".to_owned())),
        ("\n\na", 3, Missing("id")),
        ("a 1", 1, Missing("size")),
        ("a 1 1\nr 1", 2, Missing("size")),
        ("f", 1, Missing("id")),
        ("a one 1", 1, NotANumber("id", "one".to_owned())),
        ("a 1 -1", 1, NotANumber("size", "-1".to_owned())),
        ("a 1 0x10", 1, NotANumber("size", "0x10".to_owned())),
        ("a 18446744073709551616 1", 1, NumberTooLarge("id", "18446744073709551616".to_owned())),
        ("a 1 1 1", 1, Surplus("1".to_owned())),
        ("a 1 1\nf 1 1", 2, Surplus("1".to_owned())),
        ("a 1 1\na 1 1", 2, AlreadyLive(1)),
        ("a 1 1\nf 1\nf 1", 3, NotLive(1)),
        ("r 1 1", 1, NotLive(1)),
    ] {
        assert_eq!(reason(text), (line, expected), "{text:?}");
    }
}

#[test]
fn sizes_and_ids_reach_64_bits() {
    let trace = parse("a 18446744073709551615 18446744073709551615\na 0 18446744073709551615").unwrap();
    assert_eq!(trace.peak_bytes(), 2 * u128::from(u64::MAX));
    assert_eq!(trace.describe(0), "at operation 1, 'a 18446744073709551615 18446744073709551615'");
}

#[test]
fn bytes_that_are_no_text_are_shown_escaped_and_cut() {
    assert_eq!(reason("a 1 1\n\u{1}\u{7f}"), (2, TraceFault::UnknownOperation("\\x01\\x7f".to_owned())));
    let long = "y".repeat(100);
    assert_eq!(reason(&long), (1, TraceFault::UnknownOperation(format!("{}...", &long[..32]))));
}

#[test]
fn a_line_without_end_is_refused_before_it_fills_memory() {
    assert_eq!(reason(&format!("a 1 1\n#{}", "x".repeat(5000))), (2, TraceFault::LineTooLong));
    let longest = format!("#{}\na 1 1", "x".repeat(LONGEST_LINE as usize - 2));
    assert_eq!(parse(&longest).unwrap().objects(), 1);
}

#[test]
fn zstd_is_recognised_by_its_first_bytes_and_frames_may_follow_each_other() {
    let frame = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    let file = [frame("a 1 1\n"), frame("f 1\n")].concat();
    assert_eq!(Trace::decode(&file, 100), parse("a 1 1\nf 1\n"));
    let cut = Trace::decode(&file[..file.len() - 3], 100).unwrap_err();
    assert!(matches!(cut, TraceError { line: 2, reason: TraceFault::Unreadable(_) }), "{cut}");
}

#[test]
fn a_text_that_swells_beyond_the_limit_is_refused() {
    let bomb = zstd::encode_all("\n".repeat(1 << 20).as_bytes(), 19).unwrap();
    assert!(bomb.len() < 1000);
    assert_eq!(Trace::decode(&bomb, (1 << 20) - 1).unwrap_err().reason, TraceFault::TextTooLong);
    assert_eq!(Trace::decode(&bomb, 1 << 20), Ok(Trace::default()));
}

#[test]
fn no_bytes_whatever_make_reading_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    let alphabet = b"arf 0123456789\n\n  #-\xff\0";
    for _ in 0..20_000 {
        let length = random.usize(..64);
        let mut bytes: Vec<u8> = (0..length).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
        let _ = Trace::decode(&bytes, 1 << 10);
        bytes.splice(0..0, ZSTD_MAGIC);
        let _ = Trace::decode(&bytes, 1 << 10);
    }
}
