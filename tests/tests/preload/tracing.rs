//! `SLABFIT_TRACE`: every call is recorded, whatever ends the process, and comes to the same address again.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use slabfit::{SegmentStats, Stats};
use slabfit_tests::tester::extension::{Event, Place, Recorded};
use slabfit_tests::tester::recordings::Source;
use slabfit_tests::tester::replay_exact::{ExactReplay, Until, recorded_ground, replay_exactly};
use slabfit_tests::tester::trace::{Operation, Trace};

use crate::preloaded::{Outcome, Program, c, compiled, fresh_folder, library, number, scratch, skipped, sources};
use crate::programs::Git;
use crate::stepping::Steps;

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

impl Program {
    /// Runs it with the library and records it; what it does does not change.
    fn recorded(self, name: &str, heap: &str) -> (Outcome, Trace) {
        let file = scratch().join(format!("{name}.rep.zst"));
        // There are no caches while calls are recorded.
        let plain = self.clone().with("SLABFIT_CACHE", "0").run_preloaded(heap);
        let recorded = self.with("SLABFIT_TRACE", &file).run_preloaded(heap);
        let told = |outcome: &Outcome| (outcome.status, outcome.stderr.lines().count());
        assert_eq!(told(&recorded), told(&plain), "{recorded:#?}");
        (recorded, read(&file))
    }
}

impl Outcome {
    /// The heap of the replay ended as the program's did, to the last counter: no call is missing.
    fn agrees_with(&self, replay: &ExactReplay) {
        let [report] = &*self.reports else { panic!("one process: {self:#?}") };
        for (name, replayed) in figures(&replay.stats) {
            assert_eq!(number(report, &name), replayed, "{name} in {report}");
        }
        for (name, replayed) in class_figures(&replay.stats) {
            assert_eq!(number(report, &name), replayed, "{name} in {report}");
        }
    }
}

/// The figures that a replay has in common with its program.
fn figures(stats: &Stats) -> Vec<(String, u64)> {
    let of = |segment: &str, stats: &SegmentStats| {
        let figures = [
            ("live_bytes", stats.live_bytes as u64),
            ("peak_bytes", stats.peak_bytes as u64),
            ("peak_objects", stats.peak_objects as u64),
            ("largest_free", stats.largest_free as u64),
            ("free_blocks", stats.free_blocks as u64),
            ("allocs", stats.allocs),
            ("frees", stats.frees),
            ("failed_full", stats.failed_full),
            ("failed_fragmented", stats.failed_fragmented),
        ];
        figures.map(|(name, figure)| (format!("/{segment}/{name}"), figure))
    };
    [of("slab", &stats.slab), of("blocks", &stats.blocks)].concat()
}

/// The same of the size classes that the heap has.
fn class_figures(stats: &Stats) -> impl Iterator<Item = (String, u64)> {
    let existing = stats.classes.iter().filter(|class| class.slot_size > 0).enumerate();
    existing.flat_map(|(index, class)| {
        let figures = [
            ("slot_size", class.slot_size as u64),
            ("runs", class.runs as u64),
            ("live_objects", class.live_objects as u64),
            ("peak_runs", class.peak_runs as u64),
            ("opened", class.opened),
            ("allocs", class.allocs),
            ("frees", class.frees),
        ];
        figures.map(|(name, figure)| (format!("/classes/{index}/{name}"), figure))
    })
}

pub fn read(file: &Path) -> Trace {
    let recording = Source::File(PathBuf::from(file)).load();
    recording.unwrap_or_else(|error| panic!("{error}")).trace
}

/// What the tests ask of a trace.
pub trait OfARecording {
    fn replays(&self) -> ExactReplay;
    fn setup(&self) -> &slabfit_tests::tester::extension::Setup;
    fn events(&self) -> impl Iterator<Item = &Event>;
    fn threads(&self) -> usize;
}

impl OfARecording for Trace {
    /// Every call comes to what it came to.
    fn replays(&self) -> ExactReplay {
        let ground = recorded_ground(self).expect("it says what it was recorded on");
        let replay = replay_exactly(self, ground, Until::Difference, &|_| ()).expect("there is such a heap");
        assert_eq!((&replay.difference, replay.skipped), (&None, 0));
        let placed = |operation: &&Operation| !matches!(operation, Operation::Free { .. });
        assert_eq!(replay.compared, self.operations().iter().filter(placed).count() as u64);
        replay
    }

    fn setup(&self) -> &slabfit_tests::tester::extension::Setup {
        let Recorded { setup, .. } = self.recorded().expect("a recording");
        setup
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        self.recorded().into_iter().flat_map(|recorded| recorded.events.iter().map(|(_, event)| event))
    }

    fn threads(&self) -> usize {
        let mut threads: Vec<_> = self.recorded().expect("a recording").notes.iter().map(|note| note.thread).collect();
        threads.sort_unstable();
        threads.dedup();
        threads.len()
    }
}
