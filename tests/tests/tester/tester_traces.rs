//! What the tester says of traces: `replay`, `leaks`, `advise`; and what it says where a recording was changed.

use crate::tester_common::{Run, file, tester, text};
use serde_json::Value;

/// A program on a heap of 4096 bytes, by DESIGN's rules: slots from 0 on, blocks from 1024 on.
const RECORDING: &str = "\
0000000000000406
0000000000000004
0000000000000006
1
#slabfit 1 heap=4096 slab=64 placement=first base=0x7f0000010000 pid=7 program=prog
#t 7
#@0
a 0 64
#@1040 z
a 1 100
#t 8
#@1168
a 2 32
#-a 5000 full
#@1216 m64
a 3 10
#@1248
r 1 200
#!i 2
f 0
#!f 0 double free
#!f 0x10 outside the heap
#end
";

/// Replays it with one text in it replaced.
fn replay_changed(name: &str, from: &str, to: &str) -> (String, Run) {
    assert_eq!(RECORDING.matches(from).count(), 1, "{from:?}");
    let path = file(&format!("{name}.rep"), RECORDING.replace(from, to));
    (path.display().to_string(), tester(&["replay", text(&path)]))
}

/// Exit status 1, and the last line names the call, what was recorded, and what it is here.
fn differs(name: &str, from: &str, to: &str, difference: &str) {
    let (_, run) = replay_changed(name, from, to);
    assert_eq!((run.status, run.stderr.as_str()), (Some(1), ""), "{}", run.stdout);
    assert_eq!(run.stdout.lines().last(), Some(&*format!("DIFFERS {difference}")), "{}", run.stdout);
}

fn json(arguments: &[&str]) -> Value {
    let run = tester(&[arguments, &["--json"]].concat());
    assert_eq!((run.status, run.stderr.as_str(), run.stdout.lines().count()), (Some(0), "", 1), "{}", run.stdout);
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.stdout))
}

#[test]
fn a_recording_comes_to_its_addresses_again() {
    let path = file("recording.rep", RECORDING);
    let run = tester(&["replay", text(&path)]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{}", run.stdout);
    run.says(&[
        "prog[7]: 6 operations, 4 objects, 306 bytes live at the peak; recorded to its exit\n",
        "  on a heap of 4,096 bytes, slab size 64, first fit, as recorded\n",
        "every address is the recorded one: 5 compared\n",
    ]);
    let report = json(&["replay", text(&path)]);
    assert_eq!(
        (&report["compared"], &report["difference"], &report["as_recorded"]),
        (&5.into(), &Value::Null, &true.into())
    );
    assert_eq!((&report["slab"]["live_objects"], &report["blocks"]["live_objects"]), (&0.into(), &3.into()));
}

#[test]
fn the_first_call_that_comes_to_something_else_is_named() {
    for (name, from, to, difference) in [
        ("place", "#@1168", "#@1184", "at operation 3, 'a 2 32': recorded at base + 1184, here at base + 1168"),
        ("size", "a 1 100", "a 1 120", "at operation 3, 'a 2 32': recorded at base + 1168, here at base + 1184"),
        (
            "alignment",
            "#@1216 m64",
            "#@1216 m128",
            "at operation 4, 'a 3 10': recorded at base + 1216, here at base + 1280",
        ),
        ("resized", "#@1248", "#@1040", "at operation 5, 'r 1 200': recorded at base + 1040, here at base + 1248"),
        ("slab", "slab=64", "slab=32", "at operation 1, 'a 0 64': recorded at base + 0, here at base + 1040"),
        ("unserved", "#-a 5000", "#-a 500", "before operation 4, '#-a 500': recorded full, here at base + 1216"),
        (
            "refused",
            "#!f 0 do",
            "#!f 1168 do",
            "before operation 7, '#!f 1168': recorded refused as double free, here freed",
        ),
    ] {
        differs(name, from, to, difference);
    }
}

#[test]
fn an_alignment_above_a_page_is_kept_wherever_the_heap_lies() {
    let mut recording = RECORDING.replace("heap=4096", "heap=16384").replace("5000", "50000").replace("m64", "m8192");
    for (small, large) in [("#@1040", "#@4112"), ("#@1168", "#@4240"), ("#@1248", "#@4288")] {
        recording = recording.replace(small, large);
    }
    // Of a heap at a multiple of 8192, and of one that begins a page after such a multiple.
    for (name, base, place) in [("even", "0x7f0000010000", "#@8192"), ("odd", "0x7f0000011000", "#@12288")] {
        let recording = recording.replace("0x7f0000010000", base).replace("#@1216", place);
        let run = tester(&["replay", text(&file(&format!("{name}.rep"), recording))]);
        assert_eq!(run.status, Some(0), "{name}: {}{}", run.stdout, run.stderr);
    }
}

#[test]
fn a_recording_that_was_cut_or_changed_is_refused_with_its_line() {
    for (name, from, to, line) in [
        (
            "without_place",
            "#@1168\n",
            "",
            "line 12: in a recording '#@' and a place stand before each a and r, and nowhere else",
        ),
        (
            "placed_twice",
            "#t 8\n",
            "#@16\n",
            "line 12: in a recording '#@' and a place stand before each a and r, and nowhere else",
        ),
        (
            "freed_there",
            "#!i 2\n",
            "#@16\n",
            "line 20: in a recording '#@' and a place stand before each a and r, and nowhere else",
        ),
        ("no_place", "#@1168", "#@x", "line 12: '#@x' is not a line of a recording"),
        ("no_setup", "slab=64 ", "", "line 5: '#slabfit 1 heap=4096 placement=f...' is not a line of a recording"),
        ("no_alignment", "m64", "m65", "line 15: '#@1216 m65' is not a line of a recording"),
        ("one_less", "f 0\n", "", "line 22: the header promises 6 operations, but 5 follow"),
        ("one_more", "f 0\n", "f 0\nf 2\n", "line 24: the header promises 6 operations, but 7 follow"),
    ] {
        let (path, run) = replay_changed(name, from, to);
        run.refuses(&format!("{path}: {line}"));
    }
}

#[test]
fn a_killed_program_may_be_one_operation_ahead_of_the_header() {
    let killed = RECORDING.replace("#end\n", "");
    let ahead = file("ahead.rep", killed.replace("0000000000000006\n1", "0000000000000005\n1"));
    let run = tester(&["replay", text(&ahead)]);
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
    run.says(&["recorded cut short: it did not come to its exit", "every address is the recorded one: 5 compared"]);
    let far = file("far.rep", killed.replace("0000000000000006\n1", "0000000000000004\n1"));
    tester(&["replay", text(&far)])
        .refuses(&format!("{}: line 22: the header promises 4 operations, but 6 follow", far.display()));
    // Its last frame need not be whole; but what the header counts must be there.
    let frames = |last: &str| [zstd::encode_all(killed.as_bytes(), 1), zstd::encode_all(last.as_bytes(), 1)];
    let [whole, last] = frames("\n\n\n\n\n\n\n\n").map(|frame| frame.expect("it is compressed"));
    let cut = file("cut.rep.zst", [&whole[..], &last[..last.len() - 3]].concat());
    tester(&["replay", text(&cut)]).says(&["every address is the recorded one: 5 compared"]);
    let lost = file("lost.rep.zst", &whole[..whole.len() - 3]);
    let run = tester(&["replay", text(&lost)]);
    assert_eq!(run.status, Some(2), "{}", run.stdout);
}

/// With size classes, at an address after a multiple of the longest run.
const GENERAL: &str = "\
0000000000000892
0000000000000006
0000000000000008
1
#slabfit 1 heap=1048576 slab=0 placement=general base=0x7f0000011000 pid=7 program=prog
#t 7
#@0
a 0 64
#@64
a 1 60
#@4096
a 2 300
#@12288
a 3 400
f 1
f 0
#m
#@0
a 4 64
#@2048 m128
a 5 128
#end
";

#[test]
fn a_recording_with_size_classes_comes_to_its_addresses_again() {
    let path = file("general.rep", GENERAL);
    let run = tester(&["replay", text(&path)]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{}", run.stdout);
    run.says(&["  on a heap of 1,048,576 bytes, slab size 0, size classes and first fit, as recorded\n"]);
    let report = json(&["replay", text(&path)]);
    assert_eq!(report["classes"]["live_objects"], 4, "{report}");
    let run = tester(&["leaks", text(&path)]);
    run.says(&["never freed: 4 objects, 892 bytes\n", "4 of them are slots of size classes, and keep 4 runs"]);
    assert_eq!(json(&["leaks", text(&path)])["slots"]["objects"], 4);
}

#[test]
fn another_heap_is_another_story() {
    let path = file("elsewhere.rep", RECORDING);
    let run = tester(&["replay", text(&path), "--heap", "64K", "--slab-size", "32", "--placement", "next"]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{}", run.stdout);
    run.says(&[
        "on a heap of 65,536 bytes, slab size 32, next fit\n",
        "no address was compared: the heap is not the recorded one\n",
    ]);
    tester(&["replay", text(&path), "--heap", "256"]).says(&["on a heap of 4,096 bytes", "as recorded", "5 compared"]);
    tester(&["replay", text(&path), "--heap", "65G"])
        .refuses("a heap of 69,793,218,560 bytes is too large; slabfit's heaps have 68,719,476,736 at most");
}

#[test]
fn a_trace_without_places_is_replayed_all_the_same() {
    let run = tester(&["replay", "gitlog"]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{}", run.stdout);
    run.says(&[
        "gitlog: 70,951 operations, 33,476 objects, 2,984,333 bytes live at the peak\n",
        "requests: none failed\n",
        "no address was compared: the trace has none\n",
    ]);
    let path = file("comments.rep", "a 0 10\n#@17 is nothing here\nf 0\n");
    assert_eq!(tester(&["replay", text(&path)]).status, Some(0));
    let report = json(&["replay", "gs", "--heap", "1M"]);
    assert!(report["failed"]["full"].as_u64() > Some(0) && report["skipped"].as_u64() > Some(0), "{report}");
}

#[test]
fn leaks_are_listed_by_size_and_by_call() {
    let path = file("leaks.rep", RECORDING);
    let run = tester(&["leaks", text(&path)]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{}", run.stdout);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = run.stdout.lines().skip(1).map(words).collect();
    let expected = [
        "never freed: 3 objects, 242 bytes",
        "by size, most bytes first",
        "size objects bytes",
        "200 1 200",
        "32 1 32",
        "10 1 10",
        "in the order of the calls",
        "operation call size resized at thread offset",
        "2 a 1 100 200 5 7 1248",
        "3 a 2 32 32 - 8 1168",
        "4 a 3 10 10 - 8 1216",
    ];
    assert_eq!(lines, expected);
    tester(&["leaks", text(&path), "--top", "1"]).says(&["  and 2 more (--top shows them)\n"]);
    let report = json(&["leaks", text(&path)]);
    assert_eq!((&report["objects"], &report["bytes"]), (&3.into(), &242.into()));
    assert_eq!((&report["by_call"][0]["id"], &report["by_call"][0]["offset"]), (&1.into(), &1248.into()));
    let none = file("no_leaks.rep", "a 0 10\nf 0\n");
    tester(&["leaks", text(&none)]).says(&["everything was freed\n"]);
}

#[test]
fn advice_names_a_heap_that_serves_and_none_below_it_does() {
    // 512 objects of 48 bytes and one of 24,560: slots for the former save their headers.
    let small: String = (0..512).map(|id| format!("a {id} 48\n")).collect();
    let path = file("advise.rep", format!("{small}a 512 24560\n"));
    let report = json(&["advise", text(&path)]);
    let mut heaps = [0; 2];
    for ((index, placement, slab), place) in [(0, "general", "0"), (1, "first", "48")].into_iter().zip(&mut heaps) {
        let (advice, best) = (&report["advice"][index], &report["advice"][index]["best"]);
        let found = (&advice["placement"], best["slab_size"].to_string());
        assert_eq!(found, (&placement.into(), slab.to_owned()), "{report}");
        let heap = best["heap"].as_u64().expect("a heap");
        let serves = |heap: u64| {
            let heap = heap.to_string();
            let arguments = ["--heap", &heap, "--slab-size", slab, "--placement", placement];
            let failed = &json(&[&["replay", text(&path)][..], &arguments].concat())["failed"];
            failed["full"] == 0 && failed["fragmented"] == 0
        };
        assert!(serves(heap) && !serves(heap - 4096), "{heap}");
        *place = heap;
    }
    // Slots of a class need no quarter of the heap.
    let [general, first] = heaps;
    assert!(general <= first, "{heaps:?}");
    let run = tester(&["advise", text(&path)]);
    let setting = format!("best: SLABFIT_HEAP={}K SLABFIT_SLAB=0 SLABFIT_PLACEMENT=general\n", general / 1024);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{}", run.stdout);
    let classes = "size classes and first fit: the smallest heap for each slab size\n";
    run.says(&[classes, "\nfirst fit: the smallest heap for each slab size\n", "\nnext fit: ", &setting]);
    let asked = json(&["advise", text(&path), "--slab-size", "32", "--slab-size", "16"]);
    let tried = |index: usize| -> Vec<_> {
        asked["advice"][index]["tried"].as_array().expect("a list").iter().map(|one| one["slab_size"].clone()).collect()
    };
    assert_eq!((tried(0), tried(1)), (vec![32.into(), 16.into()], vec![Value::from(32), 16.into()]));
}

#[test]
fn a_trace_that_is_not_there_is_refused() {
    for command in ["replay", "leaks", "advise"] {
        let run = tester(&[command, "/no/such.rep"]);
        run.refuses("cannot read /no/such.rep: No such file or directory (os error 2)");
        tester(&[command]).refuses(&format!("<TRACE> is missing; for a start, try: tester {command} --help"));
    }
}

#[test]
fn the_testers_page_shows_what_advise_prints() {
    let page = include_str!("../../tester/README.md");
    let (_, shown) = page.split_once("target/release/tester advise gs").expect("the command stands on the page");
    let shown = shown.split("```").nth(2).expect("its output stands under it").trim_start_matches("text\n");
    let run = tester(&["advise", "gs"]);
    for line in shown.lines().filter(|line| line.trim() != "...") {
        assert!(run.stdout.lines().any(|printed| printed == line), "{line:?} is not in\n{}", run.stdout);
    }
    assert!(shown.lines().count() > 8, "{shown}");
}
