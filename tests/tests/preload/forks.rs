//! Children of every making: by `fork` beside threads that hold libc's own locks, and past its handlers.

use std::env;

use crate::preloaded::{c, compiled};

/// How often each way is gone: what was wrong hung within three. `SLABFIT_FORKS` says another number.
const TIMES: &str = "300";

/// Runs a part of a program, which has nothing to say when all is well. A fork or a child that hangs is ended by an alarm.
fn runs_in_time(source: &str, part: &str, settings: &[(&'static str, &str)]) {
    let binary = format!("{}_{part}_{}", source.trim_end_matches(".c"), settings.len());
    let Some(program) = compiled("cc", source, &binary, &c(&[])) else { return };
    let program = settings.iter().fold(program, |program, (name, value)| program.with(name, value));
    let times = env::var("SLABFIT_FORKS").unwrap_or_else(|_| TIMES.to_owned());
    let outcome = program.arguments([part, &times]).run_preloaded("64M");
    assert_eq!((outcome.status.code(), &*outcome.text(), &*outcome.stderr), (Some(0), "", ""), "{part}: {outcome:#?}");
}

#[test]
fn a_fork_waits_for_no_thread_that_reads_or_flushes_files() {
    runs_in_time("fork_orders.c", "lines", &[]);
    runs_in_time("fork_orders.c", "lines", &[("SLABFIT_TRACE", "orders.rep")]);
}

#[test]
fn a_fork_waits_for_no_thread_that_looks_at_libraries_or_locales() {
    runs_in_time("fork_orders.c", "phdr", &[]);
    runs_in_time("fork_orders.c", "locale", &[]);
}

#[test]
fn a_fork_waits_for_no_thread_that_starts_programs_or_looks_up_names() {
    for part in ["pipes", "spawn", "names"] {
        runs_in_time("fork_orders.c", part, &[]);
    }
}

#[test]
fn a_child_that_clone_made_never_hangs() {
    runs_in_time("orphans.c", "clone", &[]);
    runs_in_time("orphans.c", "clone", &[("SLABFIT_SLAB", "64"), ("SLABFIT_PLACEMENT", "next")]);
}

#[test]
fn a_child_that_fork_made_without_its_handlers_never_hangs() {
    runs_in_time("orphans.c", "_Fork", &[]);
}

#[test]
fn a_child_that_shares_its_parents_memory_harms_nobody() {
    runs_in_time("orphans.c", "vfork", &[]);
}
