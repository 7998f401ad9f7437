//! Traces at their edges: the program takes its file away, a signal handler comes in the middle, little is left to record with.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use slabfit_tests::tester::extension::Event;

use crate::preloaded::{Program, c, compiled, fresh_folder, library, scratch};
use crate::recording::{OfARecording, read};

#[test]
fn a_trace_for_which_there_is_no_memory_is_said_in_one_line() {
    let Some(bash) = Program::installed("bash") else { return };
    let (library, file) = (library(), scratch().join("no_memory.rep"));
    let settings = format!("LD_PRELOAD={} SLABFIT_TRACE={} SLABFIT_HEAP=1G", library.display(), file.display());
    let outcome = bash.arguments(["-c", &format!("ulimit -v 200000; {settings} exec env")]).run();
    assert_eq!((outcome.status.code(), &*outcome.text()), (Some(127), ""), "{outcome:#?}");
    assert!(outcome.stderr.starts_with("slabfit: SLABFIT_TRACE=/"), "{outcome:#?}");
    assert!(outcome.stderr.ends_with(": no trace: the system is out of memory\n"), "{outcome:#?}");
}

/// Runs a part of `trace_lost.c`, and what it says.
fn lost(part: &str, trace: &str, argument: &Path) -> Option<(String, PathBuf)> {
    let program = compiled("cc", "trace_lost.c", &format!("trace_lost_{part}"), &c(&[]))?;
    let file = fresh_folder(&format!("traces_lost_{part}")).join(trace);
    let argument = file.parent().expect("a folder").join(argument);
    let program = program.arguments([OsStr::new(part), argument.as_os_str()]);
    let outcome = program.with("SLABFIT_TRACE", &file).run_preloaded("16M");
    assert_eq!((outcome.status.code(), &*outcome.text()), (Some(0), ""), "{outcome:#?}");
    Some((outcome.stderr, file))
}

#[test]
fn a_trace_that_the_program_takes_away_ends_in_one_line() {
    let ends = |why: &str| format!("slabfit: the trace ends here: {why}\n");
    for (part, why) in [
        ("full", "no space is left"),
        ("zero", "no space is left"),
        ("gone", "there is no such folder"),
        ("replaced", "another file has its name"),
    ] {
        let Some((said, file)) = lost(part, "lost.rep", Path::new("lost.rep")) else { return };
        assert_eq!(said, ends(why), "{part}");
        match part {
            "full" | "zero" => assert!(read(&file).replays().compared > 1000),
            "gone" => assert!(!file.exists()),
            _ => assert_eq!(fs::read_to_string(file).expect("it is there"), "mine"),
        }
    }
    // Its child's could only begin as one that is cut short.
    let Some((said, _)) = lost("cut", "%p.rep", Path::new("")) else { return };
    assert_eq!(said, ends("error 5"));
}

#[test]
fn a_child_lets_go_of_a_trace_that_the_program_has_closed() {
    let Some((said, file)) = lost("nobody", "closed.rep", Path::new("closed.rep")) else { return };
    assert_eq!(said, "");
    let trace = read(&file);
    trace.replays();
    assert!(trace.recorded().is_some_and(|recorded| recorded.ended));
}

#[test]
fn an_exit_in_the_middle_of_a_record_leaves_the_trace_as_it_is() {
    let Some(program) = compiled("cc", "interrupted.c", "interrupted_traced", &c(&[])) else { return };
    let file = scratch().join("interrupted.rep");
    let outcome = program.arguments(["exit"]).with("SLABFIT_TRACE", &file).run_preloaded("64M");
    assert_eq!(outcome.status.code(), Some(3), "{outcome:#?}");
    let trace = read(&file);
    trace.replays();
    assert!(!trace.recorded().expect("a recording").ended);
}

/// Giving pages back is no call that is recorded, but the heap is in use meanwhile.
#[test]
fn calls_that_a_handler_is_refused_are_counted_wherever_it_came() {
    let Some(program) = compiled("cc", "interrupted.c", "interrupted_trimming", &c(&[])) else { return };
    let file = scratch().join("trimming.rep");
    let outcome = program.arguments(["trim"]).with("SLABFIT_TRACE", &file).run_preloaded("64M");
    assert_eq!((outcome.status.code(), outcome.stderr.lines().count()), (Some(0), 5), "{outcome:#?}");
    let trace = read(&file);
    trace.replays();
    let interrupted = |event: &Event| if let Event::Interrupted(count) = event { *count } else { 0 };
    // A request and a free each time.
    assert!(trace.events().map(interrupted).sum::<u64>() >= 2 * 5);
}

#[test]
fn what_is_freed_behind_the_end_is_recorded() {
    let folder = scratch();
    let shared = c(&["-fPIC", "-shared"]);
    let Some(_) = compiled("cc", "early_library.c", "libearly_traced.so", &shared) else { return };
    let linked = folder.join("libearly_traced.so");
    fs::copy(&linked, folder.join("libearly_copied.so")).expect("target can be written to");
    let mut options = c(&["-Wl,-rpath,$ORIGIN"]);
    options.push(linked.as_os_str());
    let Some(program) = compiled("cc", "early.c", "early_traced", &options) else { return };
    let file = folder.join("early.rep");
    let program = program.arguments([folder.join("libearly_copied.so")]).with("SLABFIT_TRACE", &file);
    let outcome = program.run_preloaded("64M");
    assert!(outcome.status.success(), "{outcome:#?}");
    let trace = read(&file);
    trace.replays();
    assert!(trace.recorded().is_some_and(|recorded| recorded.ended));
    let text = fs::read_to_string(&file).expect("it is text");
    assert_eq!(text.lines().nth(3), Some("1"), "the weight stands alone in its line");
    let (_, behind) = text.split_once("\n#end\n").expect("it came to its end");
    assert!(behind.lines().any(|line| line.starts_with("f ")), "the library that is linked frees its object: {behind}");
}

#[test]
fn a_program_that_has_every_number_taken_or_few_to_take_is_recorded_as_well() {
    let Some(bash) = Program::installed("bash") else { return };
    for (name, before) in
        [("taken", "for number in {301..331}; do eval \"exec $number</dev/null\"; done"), ("few", "ulimit -n 200")]
    {
        let file = scratch().join(format!("numbers_{name}.rep.zst"));
        let settings = format!("LD_PRELOAD={} SLABFIT_TRACE={}", library().display(), file.display());
        let outcome = bash.clone().arguments(["-c", &format!("{before}; {settings} exec env true")]).run();
        assert_eq!((outcome.status.code(), &*outcome.stderr), (Some(0), ""), "{outcome:#?}");
        read(&file).replays();
    }
}

#[test]
fn a_name_of_any_bytes_is_told_without_those_that_readers_would_take_for_something_else() {
    let Some(env) = Program::installed("env") else { return };
    let name = "a \"b\"\\c\u{1}\u{e9}";
    let path = fresh_folder("odd_names").join(name);
    std::os::unix::fs::symlink(env.path(), &path).expect("target can be written to");
    let file = scratch().join("odd_name.rep");
    let outcome = Program::at(&path).with("SLABFIT_TRACE", &file).run_preloaded("1M");
    assert!(outcome.status.success(), "{outcome:#?}");
    assert_eq!(outcome.reports[0]["program"], "a ?b??c???");
    assert_eq!(read(&file).setup().program, "a?\"b\"\\c???");
}
