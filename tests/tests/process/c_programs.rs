//! The programs in `tests/c` that use the heap of their process, and the library itself: see [`c_common`].

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::c_common::{
    C, assert_dumped, assert_silent_success, compile, compiler_for, include, library, output_in_time, run_source,
    runs_silently, says_on_stderr_what_it_expects, skipped, sources,
};

const CXX: (&str, &str) = ("CXX", "c++");

#[test]
fn before_init_nothing_is_served_and_nothing_freed() {
    says_on_stderr_what_it_expects("before_init");
}

#[test]
fn a_refused_init_leaves_no_heap_and_can_be_repeated() {
    runs_silently("bad_init");
}

#[test]
fn a_second_init_is_refused_and_the_heap_goes_on() {
    runs_silently("second_init");
}

#[test]
fn of_sixteen_inits_at_once_one_wins() {
    runs_silently("init_race");
}

#[test]
fn an_init_in_the_middle_of_another_is_refused_to_a_handler() {
    runs_silently("init_interrupted");
}

#[test]
fn one_page_is_usable_to_its_last_byte_and_guarded_beyond() {
    runs_silently("one_page");
}

#[test]
fn the_slab_serves_the_lowest_free_slot() {
    runs_silently("slab");
}

#[test]
fn slots_are_rounded_up_and_may_be_too_large_for_their_segment() {
    says_on_stderr_what_it_expects("odd_slab_size");
}

#[test]
fn a_full_slab_spills_to_next_fit() {
    runs_silently("spill");
}

#[test]
fn next_fit_goes_on_from_where_it_was() {
    runs_silently("next_fit");
}

#[test]
fn every_object_is_aligned_to_16() {
    runs_silently("alignment");
}

#[test]
fn the_heap_is_filled_to_the_last_granule() {
    runs_silently("fill");
}

#[test]
fn four_blocks_freed_in_any_order_are_one() {
    runs_silently("coalesce");
}

#[test]
fn the_worked_example_fills_up_and_reuses_two_neighbours() {
    runs_silently("worked_example_full");
}

#[test]
fn the_worked_example_does_not_look_back() {
    runs_silently("worked_example_rover");
}

#[test]
fn a_wrong_free_is_refused_and_named() {
    says_on_stderr_what_it_expects("wrong_frees");
}

#[test]
fn a_wrong_free_is_refused_without_a_stderr_too() {
    runs_silently("closed_stderr");
}

#[test]
fn objects_of_the_slab_size_are_zeroed() {
    runs_silently("zero_fill");
}

#[test]
fn producers_and_consumers_lose_nothing() {
    runs_silently("producers_consumers");
}

#[test]
fn a_signal_handler_never_waits_for_its_own_thread() {
    runs_silently("signal_handler");
}

#[test]
fn a_forked_child_has_a_heap_of_its_own() {
    runs_silently("fork");
}

#[test]
fn forks_are_told_of_once() {
    runs_silently("fork_handlers");
}

#[test]
fn the_structs_are_laid_out_as_designed() {
    runs_silently("layout");
}

#[test]
fn a_program_can_walk_the_free_lists() {
    runs_silently("free_list");
}

#[test]
fn dump_shows_both_segments() {
    assert_dumped("dump");
}

#[test]
fn who_fails_says_why_in_errno_and_who_succeeds_leaves_it_alone() {
    runs_silently("errno");
}

#[test]
fn calloc_zeroes_whatever_lay_there() {
    runs_silently("calloc");
}

#[test]
fn realloc_stays_where_it_can_and_loses_nothing_where_it_fails() {
    says_on_stderr_what_it_expects("realloc");
}

#[test]
fn aligned_objects_leave_gaps_that_serve_others() {
    runs_silently("aligned");
}

#[test]
fn all_of_the_usable_size_is_usable() {
    runs_silently("usable_size");
}

#[test]
fn what_was_written_over_is_named_and_repaired() {
    says_on_stderr_what_it_expects("repair");
}

#[test]
fn the_figures_are_exact() {
    says_on_stderr_what_it_expects("stats");
}

/// The block in the README is the only copy of the program, so that it cannot differ from what is tested.
#[test]
fn the_program_in_the_readme_does_what_it_says() {
    let readme = fs::read_to_string(sources().join("../../README.md")).expect("it is there");
    let mut blocks = readme.split("\n```c\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest));
    let (Some(program), None) = (blocks.next(), blocks.next()) else { panic!("the README has one C program") };
    let source = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme.c");
    fs::write(&source, program).expect("the folder is there");
    let Some(output) = run_source(&source) else { return };
    assert_eq!(output.status.code(), Some(0), "{output:#?}");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let address = stderr.strip_prefix("Mem_Free(0x").and_then(|line| line.strip_suffix("): double free\n"));
    let address = address.and_then(|address| usize::from_str_radix(address, 16).ok()).expect(&stderr);
    let blocks = address - 16;
    let slab = blocks - (256 << 10);
    let dumped = format!(
        "slab segment: 262144 bytes at {slab:#x}, slots of 64 bytes
  {slab:#x}         64 free x 4096
block segment: 786432 bytes at {blocks:#x}, rover at {blocks:#x}
  {blocks:#x}     786432 free
"
    );
    assert_eq!(stdout, format!("free: 0\nagain: -1\n{dumped}"));
}

#[test]
fn the_static_library_serves_as_well() {
    let archive = library().with_file_name("libmem.a");
    if !archive.is_file() {
        return skipped("libmem.a");
    }
    // A library built for unwinding, as under cargo test, needs the unwinder; the released one needs nothing.
    for program in ["slab", "errno", "heap_in_buffer"] {
        let (source, name) = (sources().join(program).with_extension("c"), format!("{program}_static"));
        let link = [archive.as_os_str(), OsStr::new("-lgcc_s")];
        let Some(binary) = compile(&source, name.as_ref(), &link) else { return };
        assert_silent_success(&output_in_time(&mut Command::new(binary)), program);
    }
}

#[test]
fn the_headers_compile_without_a_warning_as_c89_c11_and_cxx17() {
    for (compiler, language, standard) in [(C, "c", "c89"), (C, "c", "c11"), (CXX, "c++", "c++17")] {
        let Some(mut compile) = compiler_for(compiler) else { continue };
        compile.args(["-x", language]).arg(format!("-std={standard}")).args(["-pedantic", "-fsyntax-only"]);
        let output = compile.arg(sources().join("header_only.c")).output().expect("the compiler starts");
        assert_silent_success(&output, standard);
    }
}

#[test]
fn libmem_exports_what_mem_h_declares_and_no_more() {
    let Some(output) = run_tool("nm", &["-D", "--defined-only", "-P"]) else { return };
    let text = String::from_utf8(output.stdout).expect("symbols are text");
    let mut names: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    // A test build has the features of all its crates together, the tests' own critical sections among them.
    names.retain(|name| !name.starts_with("_critical_section_"));
    names.sort_unstable();
    let list = fs::read_to_string(sources().join("exported-symbols.txt")).expect("the list is there");
    assert_eq!(names, list.lines().collect::<Vec<_>>());
    let header = fs::read_to_string(include().join("mem.h")).expect("it is there");
    // A declaration stands at the start of a line, and nothing else there ends like one but the type of a function.
    let declared = header.lines().filter(|line| line.starts_with(char::is_alphabetic) && line.ends_with(");"));
    let declared = declared.filter(|line| !line.starts_with("typedef "));
    let mut declared: Vec<_> =
        declared.filter_map(|line| line.split('(').next()?.split([' ', '*']).next_back()).collect();
    // Without an operating system the program defines these.
    declared.retain(|name| !matches!(*name, "mem_lock" | "mem_unlock"));
    declared.sort_unstable();
    assert_eq!(names, declared);
}

/// The released library has no `std` to catch a panic, so there must be none: the one function that its panic handler
/// calls is `abort`, and what calls nothing is left out by the linker.
#[test]
fn a_released_libmem_has_nothing_that_panics() {
    let Some(symbols) = run_tool("nm", &["-P"]) else { return };
    let Some(imports) = run_tool("nm", &["-D", "-P", "--undefined-only"]) else { return };
    let (symbols, imports) = (String::from_utf8_lossy(&symbols.stdout), String::from_utf8_lossy(&imports.stdout));
    if imports.contains("_Unwind_") {
        return skipped("released libmem.so (name one by SLABFIT_LIBMEM)");
    }
    assert!(!symbols.contains("panic"), "{symbols}");
    // Weak ones (w) are the C start-up files' own.
    let strong = imports.lines().filter_map(|line| line.split_once(" U")).map(|(name, _)| name);
    let names: Vec<_> = strong.map(|name| name.split('@').next().unwrap_or(name)).collect();
    let known = ["memcpy", "memmove", "memset", "memcmp", "bcmp", "__errno_location", "__register_atfork"];
    // Of libc's list of open files, which a fork takes before the heap.
    let of_files = ["_IO_list_lock", "_IO_list_unlock", "_IO_list_resetlock"];
    assert!(names.iter().all(|name| known.contains(name) || of_files.contains(name)), "{names:?}");
}

#[test]
fn libmem_has_its_soname() {
    let Some(output) = run_tool("readelf", &["-d", "-W"]) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Library soname: [libmem.so]"), "{text}");
}

/// What a tool says of `libmem.so`.
fn run_tool(tool: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(tool).args(arguments).arg(library()).output() {
        Ok(output) => {
            assert!(output.status.success(), "{tool}: {output:#?}");
            Some(output)
        }
        Err(_) => {
            skipped(tool);
            None
        }
    }
}
