//! The library as a file: what it gives, what it needs, what it must not hold.

use std::fs;

use crate::preloaded::{Program, library, skipped, sources};

#[test]
fn it_exports_the_family_and_no_other_name() {
    let Some(mut names) = symbols(&["-D", "--defined-only", "-P"]) else { return };
    // Under `cargo test` the crates are built with what the tests of all of them need.
    names.retain(|name| !name.starts_with("_critical_section_"));
    let list = fs::read_to_string(sources().join("exported-symbols.txt")).expect("the list is there");
    assert_eq!(names, list.lines().collect::<Vec<_>>());
}

/// The released library has no `std` to catch a panic, so there must be none; and of libc it needs only what cannot come
/// back to it, or may: `fwrite` is for a stream that the program gives it, and nothing is held meanwhile.
#[test]
fn a_released_library_has_nothing_that_panics_or_allocates() {
    let (Some(all), Some(needed)) = (symbols(&["-P"]), symbols(&["-D", "-P", "--undefined-only"])) else { return };
    if needed.iter().any(|name| name.starts_with("_Unwind_")) {
        return skipped("released libmem_preload.so (name one by SLABFIT_PRELOAD)");
    }
    assert!(!all.iter().any(|name| name.contains("panic")), "{all:#?}");
    let own = ["__errno_location", "__libc_stack_end", "__register_atfork", "_exit", "abort", "getauxval"];
    let own = own.into_iter().chain(["_IO_list_lock", "_IO_list_resetlock", "_IO_list_unlock", "fwrite"]);
    // `pthread_setspecific` allocates for the keys of programs that have many; the thread has no cache yet, and the heap serves it.
    let own = own.chain(["pthread_key_create", "pthread_setspecific"]);
    let own = own.chain(["dladdr", "getcwd", "raise", "sigaction", "signal", "syscall"]).collect::<Vec<_>>();
    let pure = ["bcmp", "memcmp", "memcpy", "memmove", "memset", "program_invocation_short_name", "strlen"];
    // Those of the C start-up files.
    let start = ["_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__cxa_finalize", "__gmon_start__"];
    // Weak: those of the C++ runtime, where there is one.
    let cxx = ["_ZSt15get_new_handlerv", "_ZdaPv", "_ZdaPvSt11align_val_t", "_ZdlPv", "_ZdlPvSt11align_val_t"];
    let cxx =
        cxx.into_iter().chain(["_Znam", "_ZnamSt11align_val_t", "_Znwm", "_ZnwmSt11align_val_t"]).collect::<Vec<_>>();
    let known = |name: &str| [&own[..], &pure, &start, &cxx].iter().any(|names| names.contains(&name));
    assert!(needed.iter().all(|name| known(name)), "{needed:#?}");
}

#[test]
fn it_has_its_soname() {
    let Some(readelf) = Program::installed("readelf") else { return };
    let text = readelf.arguments(["-d", "-W"]).arguments([library()]).run().text();
    assert!(text.contains("Library soname: [libmem_preload.so]"), "{text}");
}

/// Names, sorted, without their versions.
fn symbols(options: &[&str]) -> Option<Vec<String>> {
    let outcome = Program::installed("nm")?.arguments(options).arguments([library()]).run();
    assert!(outcome.status.success(), "{outcome:#?}");
    let text = outcome.text();
    let names = text.lines().filter_map(|line| line.split([' ', '@']).next()).map(str::to_owned);
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    Some(names)
}
