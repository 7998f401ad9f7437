//! The programs in `tests/programs`, which check the malloc that they run with.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;

use slabfit::{Reason, Reentered};

use crate::preloaded::{Outcome, Program, c, compiled, fresh_folder, library, scratch};

const ABORTED: i32 = 6;

#[test]
fn malloc_and_its_family_keep_their_promises() {
    runs_silently("family", "64M");
}

#[test]
fn they_keep_them_with_every_placement_and_any_slab_size() {
    let Some(program) = compiled("cc", "family.c", "family_placed", &c(&[])) else { return };
    for placement in ["general", "first", "next"] {
        for slab in ["0", "1", "48", "100", "4K", "1G"] {
            let program = program.clone().with("SLABFIT_PLACEMENT", placement).with("SLABFIT_SLAB", slab);
            // Where a block goes back to is first fit's promise alone.
            let program = if placement == "next" { program.arguments(["anywhere"]) } else { program };
            assert_silent_success(&program.run_preloaded("64M"));
        }
    }
}

#[test]
fn small_objects_lie_in_size_classes_unless_another_placement_is_asked_for() {
    let Some(program) = compiled("cc", "small.c", "small", &c(&[])) else { return };
    for (program, placement) in [
        (program.clone(), "general"),
        (program.clone().with("SLABFIT_PLACEMENT", "general"), "general"),
        (program.clone().with("SLABFIT_PLACEMENT", "first"), "first"),
        (program.clone().with("SLABFIT_PLACEMENT", "next"), "next"),
    ] {
        let outcome = program.arguments([placement]).run_preloaded("64M");
        assert_eq!(
            (outcome.status.code(), &outcome.reports[0]["placement"]),
            (Some(0), &placement.into()),
            "{outcome:#?}"
        );
        // It prints what is to be said of its wrong frees.
        assert_eq!((outcome.stderr.is_empty(), &*outcome.stderr), (false, &*outcome.text()));
    }
}

#[test]
fn runs_of_small_objects_go_back_to_the_kernel() {
    runs_silently("trimmed_small", "256M");
}

#[test]
fn slots_of_the_slab_go_back_to_the_kernel_under_each_placement() {
    let Some(program) = compiled("cc", "trimmed_slab.c", "trimmed_slab", &c(&[])) else { return };
    for placement in ["general", "first", "next"] {
        let program = program.clone().with("SLABFIT_PLACEMENT", placement).with("SLABFIT_SLAB", "64");
        assert_silent_success(&program.run_preloaded("128M"));
    }
}

#[test]
fn a_full_heap_answers_null_and_maps_nothing() {
    runs_silently("full", "1M");
}

#[test]
fn memory_that_was_freed_does_not_stay_resident() {
    runs_silently("trimmed", "256M");
}

#[test]
fn threads_are_born_and_die() {
    runs_silently("threads", "64M");
}

#[test]
fn a_child_has_a_whole_heap_whatever_threads_do() {
    runs_silently("fork", "64M");
}

#[test]
fn fork_handlers_of_a_program_may_allocate() {
    runs_silently("atfork", "64M");
}

#[test]
fn a_signal_handler_never_waits_for_its_own_thread() {
    let Some(program) = compiled("cc", "signal_handler.c", "signal_handler", &c(&[])) else { return };
    // Without caches, so that it finds the heap locked.
    assert_silent_success(&program.with("SLABFIT_CACHE", "0").run_preloaded("64M"));
}

#[test]
fn a_signal_handler_that_interrupts_its_threads_cache_is_served() {
    let Some(program) = compiled("cc", "handler_served.c", "handler_served", &c(&[])) else { return };
    let outcome = program.run_preloaded("64M");
    assert_eq!((outcome.status.code(), &*outcome.text()), (Some(0), ""), "{outcome:#?}");
    // Where it interrupts the heap itself, its free is refused, and its request gets null.
    let refused = format!("): {Reentered}");
    assert!(outcome.stderr.lines().all(|line| line.ends_with(&refused)), "{outcome:#?}");
}

#[test]
fn the_loader_is_served_before_main_and_after() {
    let folder = scratch();
    let Some(library) = compiled("cc", "early_library.c", "libearly.so", &c(&["-fPIC", "-shared"])) else { return };
    let (linked, copy) = (folder.join("libearly.so"), folder.join("libearly_copy.so"));
    fs::copy(&linked, &copy).expect("target can be written to");
    drop(library);
    let mut options = c(&["-Wl,-rpath,$ORIGIN"]);
    options.push(linked.as_os_str());
    let Some(program) = compiled("cc", "early.c", "early", &options) else { return };
    assert_silent_success(&program.arguments([&copy]).run_preloaded("64M"));
}

#[test]
fn a_wrong_free_is_refused_and_named() {
    let Some(program) = compiled("cc", "wrong_free.c", "wrong_free", &c(&[])) else { return };
    for placement in ["general", "first", "next"] {
        let outcome = program.clone().with("SLABFIT_PLACEMENT", placement).run_preloaded("64M");
        assert!(outcome.status.success(), "{outcome:#?}");
        assert!(!outcome.stdout.is_empty(), "it expects nothing");
        assert_eq!(outcome.stderr, outcome.text());
    }
}

#[test]
fn a_wrong_free_aborts_where_that_is_asked_for() {
    let Some(program) = compiled("cc", "wrong_free.c", "wrong_free_once", &c(&[])) else { return };
    let outcome = program.with("SLABFIT_ABORT", "1").run_preloaded("64M");
    assert_eq!(outcome.status.signal().or(outcome.status.code().map(|code| code - 128)), Some(ABORTED), "{outcome:#?}");
    assert_eq!((outcome.stderr.lines().count(), outcome.reports.len()), (1, 0), "{outcome:#?}");
    assert_eq!(outcome.stderr, outcome.text());
}

#[test]
fn a_wrong_free_ends_nothing_where_that_is_refused() {
    let Some(program) = compiled("cc", "wrong_free.c", "wrong_frees_all", &c(&[])) else { return };
    let outcome = program.with("SLABFIT_ABORT", "0").run_preloaded("64M");
    assert_eq!((outcome.status.code(), &*outcome.stderr), (Some(0), &*outcome.text()), "{outcome:#?}");
}

#[test]
fn programs_that_are_started_get_none_of_its_files() {
    let Some(program) = compiled("cc", "opened.c", "opened", &c(&["-rdynamic"])) else { return };
    let [picture, trace] = ["opened.svg", "opened.rep"].map(|name| scratch().join(name));
    let outcome = program.with("SLABFIT_MAP", &picture).with("SLABFIT_TRACE", &trace).run_preloaded("64M");
    let opened = format!("{}\n{}\n", trace.display(), picture.display());
    assert_eq!((outcome.status.code(), &*outcome.text()), (Some(0), &*opened), "{outcome:#?}");
}

/// Whoever is in the heap cannot be told that an address is wrong.
#[test]
fn a_free_inside_the_heap_is_refused_and_aborts_nothing() {
    let Some(program) = compiled("cc", "interrupted.c", "interrupted_free", &c(&[])) else { return };
    let program = program.with("SLABFIT_CACHE", "0");
    let outcome = program.arguments(["free"]).with("SLABFIT_ABORT", "1").run_preloaded("64M");
    let mine = outcome.text().trim().to_owned();
    let line = format!("slabfit: free({mine}): {}\n", Reason::Reentered);
    assert_eq!((outcome.status.code(), &*outcome.stderr), (Some(0), &*line.repeat(5)), "{outcome:#?}");
}

#[test]
fn an_exit_inside_the_heap_says_that_there_is_no_report() {
    let Some(program) = compiled("cc", "interrupted.c", "interrupted_exit", &c(&[])) else { return };
    let program = program.with("SLABFIT_CACHE", "0");
    let outcome = program.arguments(["exit"]).run_preloaded("64M");
    assert_eq!((outcome.status.code(), outcome.reports.len()), (Some(3), 0), "{outcome:#?}");
    let (start, end) = ("slabfit: interrupted_exit[", format!("]: no report: {Reentered}\n"));
    assert!(outcome.stderr.starts_with(start) && outcome.stderr.ends_with(&end), "{outcome:#?}");
}

#[test]
fn operators_of_a_programs_own_get_what_they_have_handed_out() {
    let options = ["-std=c++17", "-O1", "-fno-builtin", "-Wno-sized-deallocation"].map(OsStr::new);
    let Some(program) = compiled("c++", "own_operators.cpp", "own_operators", &options) else { return };
    for harden in ["0", "1"] {
        let outcome = program.clone().with("SLABFIT_HARDEN", harden).run_preloaded("64M");
        let told = (outcome.status.code(), &*outcome.text(), &*outcome.stderr);
        assert_eq!(told, (Some(0), "1\n", ""), "{outcome:#?}");
    }
}

#[test]
fn a_cxx_program_runs_unchanged_and_out_of_memory() {
    let options = ["-std=c++17", "-O1", "-pthread", "-Wall", "-Wextra", "-Werror"].map(OsStr::new);
    let Some(program) = compiled("c++", "containers.cpp", "containers", &options) else { return };
    program.runs_unchanged("64M");
    program.clone().with("SLABFIT_HARDEN", "1").runs_unchanged("64M");
    for heap in ["128K", "256K"] {
        // Two threads that end in an exception at once do not say which.
        program.runs_out_of_memory(heap, "terminate called");
    }
    // The C++ library's own first request, for exceptions that are thrown when memory is out, already fails.
    assert!(!program.run_preloaded("4K").status.success());
}

#[test]
fn a_rust_program_runs_unchanged_and_out_of_memory() {
    let options = ["--edition=2024", "-O", "-Dwarnings"].map(OsStr::new);
    let Some(program) = compiled("rustc", "collections.rs", "collections", &options) else { return };
    program.runs_unchanged("64M");
    for heap in ["128K", "256K"] {
        program.runs_out_of_memory(heap, "memory allocation of");
    }
}

#[test]
fn a_wrong_setting_is_named_and_nothing_runs() {
    let Some(program) = Program::installed("env") else { return };
    for (name, wrong, expected) in [
        ("SLABFIT_HEAP", &["", "0", "12Q", "-1", "1 M", "65G", "99999999999999999999", "M"][..], "bytes from 1 to 64G"),
        ("SLABFIT_SLAB", &["", "x", "64B64", "99999999999999999999G"], "bytes from 0 to 64G"),
        ("SLABFIT_PLACEMENT", &["", "best", "First", "first fit"], "general, first or next"),
        ("SLABFIT_ABORT", &["", "2", "yes"], "0 or 1"),
        ("SLABFIT_STATS", &["", "2", "JSON"], "0, 1 or json"),
        ("SLABFIT_MAP", &["", "maps/", "%", "a%", "%d.svg", "%p%s"], "a file's name of up to 1000 bytes"),
        ("SLABFIT_TRACE", &["traces/", "%", "a%", "%n.rep", "%d.rep"], "a file's name of up to 1000 bytes"),
        (
            "SLABFIT_MAP_SIGNAL",
            &["", "KILL", "usr1", "10", "USR1"],
            "USR1, USR2, HUP, QUIT, URG or WINCH, with SLABFIT_MAP",
        ),
    ] {
        for value in wrong {
            // The last one that `env` is given holds.
            let outcome = program.clone().with(name, value).run_preloaded("1M");
            assert_eq!(
                (outcome.status.code(), &*outcome.stdout),
                (Some(127), &b""[..]),
                "{name}={value}: {outcome:#?}"
            );
            let start = format!("slabfit: {name}={value}: not {expected}");
            assert!(outcome.stderr.starts_with(&start) && outcome.stderr.lines().count() == 1, "{outcome:#?}");
        }
    }
    let long = program.with("SLABFIT_HEAP", "7\n".repeat(1000)).run_preloaded("1M");
    assert_eq!((long.status.code(), long.stderr.lines().count()), (Some(127), 1), "{long:#?}");
    assert!(long.stderr.len() < 400, "{long:#?}");
}

#[test]
fn a_picture_may_be_asked_for_by_any_of_these_signals() {
    let Some(program) = Program::installed("env") else { return };
    for signal in ["USR1", "USR2", "HUP", "QUIT", "URG", "WINCH", "SIGUSR1"] {
        let program = program.clone().with("SLABFIT_MAP", "/%p/map").with("SLABFIT_MAP_SIGNAL", signal);
        let outcome = program.run_preloaded("1M");
        assert_eq!((outcome.status.code(), &*outcome.stderr), (Some(0), ""), "{signal}: {outcome:#?}");
    }
}

#[test]
fn a_heap_that_the_system_does_not_give_is_said_in_one_line() {
    let Some(shell) = Program::installed("bash") else { return };
    // The shell itself runs without the library.
    let script = format!("ulimit -v 200000; LD_PRELOAD={} SLABFIT_HEAP=1G exec env", library().display());
    let outcome = shell.arguments(["-c", &script]).run();
    assert_eq!((outcome.status.code(), &*outcome.stdout), (Some(127), &b""[..]), "{outcome:#?}");
    assert_eq!(outcome.stderr, "slabfit: no heap of 1073741824 bytes: the system is out of memory\n");
}

#[test]
fn a_name_below_a_directory_that_is_gone_is_none() {
    let Some(shell) = Program::installed("bash") else { return };
    let folder = fresh_folder("gone");
    let script = format!(
        "cd {0}; rmdir {0}; LD_PRELOAD={1} SLABFIT_MAP=map.svg exec env",
        folder.display(),
        library().display()
    );
    let outcome = shell.arguments(["-c", &script]).run();
    assert_eq!((outcome.status.code(), &*outcome.stdout), (Some(127), &b""[..]), "{outcome:#?}");
    assert!(outcome.stderr.starts_with("slabfit: SLABFIT_MAP=map.svg: not a file's name"), "{outcome:#?}");
}

/// Compiles and runs a program that has nothing to say when all is well.
fn runs_silently(program: &str, heap: &str) {
    let Some(program) = compiled("cc", &format!("{program}.c"), program, &c(&[])) else { return };
    assert_silent_success(&program.run_preloaded(heap));
}

fn assert_silent_success(outcome: &Outcome) {
    let told = (outcome.status.code(), &*outcome.text(), &*outcome.stderr);
    assert_eq!(told, (Some(0), "", ""), "{outcome:#?}");
}
