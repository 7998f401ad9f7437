//! The file of a trace: its name, its process, and what happens where it cannot be written.

use std::fs;

use slabfit_tests::tester::extension::Event;
use slabfit_tests::tester::trace::Trace;

use crate::preloaded::{Program, c, compiled, fresh_folder, library, scratch};
use crate::recording::{OfARecording, read};

#[test]
fn a_child_never_writes_into_its_parents_trace() {
    let Some(fork) = compiled("cc", "fork.c", "fork_traced", &c(&[])) else { return };
    let (_, trace) = fork.arguments(["40"]).recorded("fork", "64M");
    trace.replays();
    // It forks in the middle of a record, too.
    let Some(handler) = compiled("cc", "signal_handler.c", "handler_traced", &c(&[])) else { return };
    let handler = handler.arguments(["60"]);
    let (_, trace) = handler.recorded("handler", "64M");
    trace.replays();
    let interrupted = |(_, event): &(usize, Event)| matches!(event, Event::Interrupted(_));
    let recorded = trace.recorded().expect("a recording");
    assert!(recorded.events.iter().filter(|event| interrupted(event)).count() >= 20, "{:#?}", recorded.events);
}

#[test]
fn with_p_in_the_name_every_process_has_a_trace_that_begins_with_its_parents() {
    let Some(bash) = Program::installed("bash") else { return };
    let folder = fresh_folder("traces_of_processes");
    let bash = bash.with("SLABFIT_TRACE", folder.join("of-%p.rep.zst"));
    // Of more than one chunk when it forks.
    let script = "for i in {1..2000}; do x=$x$i; done; (exit 3); (ulimit -c 0; exec env true); exec env true";
    let outcome = bash.arguments(["-c", script]).run_preloaded("16M");
    assert!(outcome.status.success(), "{outcome:#?}");
    let sizes = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    assert_eq!(sizes.filter(|&size| size > 128 << 10).count(), 3);
    let mut traces: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| read(&entry.unwrap().path())).collect();
    traces.iter().for_each(|trace| drop(trace.replays()));
    // bash, its two children, and the `env` that two of the three became, and `true` that both became.
    assert_eq!(traces.len(), 3 + 2 + 2);
    traces.sort_by_key(|trace| trace.operations().len());
    let bashes = traces.iter().filter(|trace| trace.setup().program == "bash");
    let is_fork = |trace: &&Trace| trace.events().any(|event| matches!(event, Event::Forked(_)));
    let (forked, whole): (Vec<&Trace>, Vec<&Trace>) = bashes.partition(is_fork);
    assert_eq!((forked.len(), whole.len()), (2, 1));
    for child in forked {
        let at = child.recorded().unwrap().events.iter().find(|(_, event)| matches!(event, Event::Forked(_)));
        let &(at, _) = at.expect("it was just seen");
        assert_eq!(child.operations()[..at], whole[0].operations()[..at]);
    }
}

#[test]
fn a_percent_sign_is_written_twice_and_stands_for_itself_in_the_directory() {
    let Some(program) = Program::installed("env") else { return };
    let folder = fresh_folder("traces_50%p");
    let outcome = program.folder(&folder).with("SLABFIT_TRACE", "100%%-%p.rep").run_preloaded("1M");
    assert!(outcome.status.success(), "{outcome:#?}");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0], folder.join(format!("100%-{}.rep", read(&files[0]).setup().process)));
}

#[test]
fn without_it_the_first_process_alone_is_recorded() {
    let Some(bash) = Program::installed("bash") else { return };
    let bash = bash.arguments(["-c", "(exit 3); env; exec env echo done"]);
    let (outcome, trace) = bash.recorded("bash", "16M");
    assert!(outcome.text().ends_with("done\n") && outcome.text().contains("\nSLABFIT_TRACE=\n"), "{outcome:#?}");
    assert_eq!(trace.setup().program, "bash");
    trace.replays();
    assert!(!trace.recorded().unwrap().ended, "it has become another program");
}

#[test]
fn a_program_may_close_every_file_and_go_elsewhere() {
    let Some(python) = Program::installed("python3") else { return };
    let script = "import os; os.closerange(3, 1024); os.chdir('/'); x = [[i] for i in range(50000)]; print(len(x))";
    let python = python.with("PYTHONMALLOC", "malloc").arguments(["-c", script]);
    let folder = fresh_folder("traces_of_the_closed");
    let outcome = python.folder(&folder).with("SLABFIT_TRACE", "closed.rep.zst").run_preloaded("128M");
    assert_eq!((&*outcome.text(), &*outcome.stderr), ("50000\n", ""), "{outcome:#?}");
    let trace = read(&folder.join("closed.rep.zst"));
    outcome.agrees_with(&trace.replays());
}

#[test]
fn where_the_file_cannot_grow_the_program_goes_on_without_it() {
    let (Some(bash), Some(python)) = (Program::installed("bash"), Program::installed("python3")) else { return };
    let file = scratch().join("full_disk.rep.zst");
    let script = format!(
        "ulimit -f 512; LD_PRELOAD={} SLABFIT_TRACE={} PYTHONMALLOC=malloc exec {} -c 'print(len([[i] for i in range(50000)]))'",
        library().display(),
        file.display(),
        python.path().display(),
    );
    let outcome = bash.arguments(["-c", &script]).run();
    let said = "slabfit: the trace ends here: files may not be larger (see ulimit -f)\n";
    assert_eq!((&*outcome.text(), &*outcome.stderr), ("50000\n", said), "{outcome:#?}");
    let trace = read(&file);
    trace.replays();
    assert!(trace.operations().len() > 1000, "{}", trace.operations().len());
    assert_eq!(fs::metadata(&file).expect("it is there").len(), 512 << 10, "it takes the room that there is");
}

#[test]
fn a_file_that_cannot_be_made_is_said_in_one_line_and_nothing_runs() {
    let Some(program) = Program::installed("env") else { return };
    let folder = fresh_folder("no_trace");
    fs::write(folder.join("locked"), "").expect("target can be written to");
    for (name, why) in [
        ("/nowhere/at/all.rep", "there is no such folder"),
        ("/dev/null", "it is no plain file"),
        // As root, too.
        ("/sys/kernel/a.rep", "it cannot be written to"),
        (".", "it is no plain file"),
        (&*"n".repeat(300), "its name is too long"),
    ] {
        let outcome = program.clone().folder(&folder).with("SLABFIT_TRACE", name).run_preloaded("1M");
        assert_eq!((outcome.status.code(), &*outcome.text()), (Some(127), ""), "{name}: {outcome:#?}");
        let said = format!("slabfit: SLABFIT_TRACE={}: no trace: {why}\n", &name[..name.len().min(120)]);
        assert_eq!(outcome.stderr, said);
    }
}

#[test]
fn two_processes_at_once_need_two_files() {
    let (Some(bash), Some(sleep)) = (Program::installed("bash"), Program::installed("sleep")) else { return };
    let file = scratch().join("shared.rep.zst");
    let preload = format!("LD_PRELOAD={} SLABFIT_TRACE={}", library().display(), file.display());
    let sleep = sleep.path().display();
    // The first one is there when its trace is.
    let script = format!(
        "rm -f {0}; {preload} {sleep} 9 & while [ ! -s {0} ]; do {sleep} 0.01; done; {preload} {sleep} 0; echo $?; kill %1",
        file.display()
    );
    let outcome = bash.arguments(["-c", &script]).run();
    let said = ": no trace: another process records into it; with %p in its name each has a file of its own\n";
    assert_eq!(outcome.text(), "127\n", "{outcome:#?}");
    assert!(outcome.stderr.starts_with("slabfit: SLABFIT_TRACE=/") && outcome.stderr.ends_with(said), "{outcome:#?}");
    assert_eq!(read(&file).setup().program, "sleep");
}
