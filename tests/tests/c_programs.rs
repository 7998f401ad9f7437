//! The programs in `tests/c`, each compiled by the system's C compiler and run as a process of its own against
//! `libmem.so`: the one that cargo built for these tests, or the one that `SLABFIT_LIBMEM` names.
//!
//! A program checks what it sees and ends with status 0; what it prints, and where, is compared here to the byte.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// No program here takes a tenth of it.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The environment's name for a compiler, and the one it has otherwise.
const C: (&str, &str) = ("CC", "cc");
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
fn the_structs_are_laid_out_as_designed() {
    runs_silently("layout");
}

#[test]
fn a_program_can_walk_the_free_lists() {
    runs_silently("free_list");
}

#[test]
fn dump_shows_both_segments() {
    let Some(output) = run("dump") else { return };
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{output:#?}");
    let shown = String::from_utf8(output.stdout).expect("it is text");
    let address =
        shown.lines().next().and_then(|line| line.strip_prefix("heap at 0x")).expect("the program says where");
    let base = usize::from_str_radix(address, 16).expect("an address");
    let expected = format!(
        "heap at {base:#x}
slab segment: 1024 bytes at {base:#x}, slots of 64 bytes
  {base:#x}         64 used
  {:#x}         64 free x 15
next-fit segment: 3072 bytes at {:#x}, rover at {:#x}
  {:#x}         48 used
  {:#x}        128 free
  {:#x}         32 used
  {:#x}       2864 free
",
        base + 64,
        base + 1024,
        base + 1024 + 208,
        base + 1024,
        base + 1024 + 48,
        base + 1024 + 176,
        base + 1024 + 208,
    );
    assert_eq!(shown, expected);
}

#[test]
fn the_static_library_serves_as_well() {
    let archive = library().with_file_name("libmem.a");
    if !archive.is_file() {
        return skipped("libmem.a");
    }
    // A library built for unwinding, as under cargo test, needs the unwinder; the released one needs nothing.
    let Some(binary) = compile("slab", "slab_static", &[archive.as_os_str(), OsStr::new("-lgcc_s")]) else { return };
    assert_silent_success(&output_in_time(&mut Command::new(binary)), "slab");
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
fn libmem_exports_four_names_and_no_others() {
    let Some(output) = run_tool("nm", &["-D", "--defined-only", "-P"]) else { return };
    let text = String::from_utf8(output.stdout).expect("symbols are text");
    let mut names: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    names.sort_unstable();
    let list = fs::read_to_string(sources().join("exported-symbols.txt")).expect("the list is there");
    assert_eq!(names, list.lines().collect::<Vec<_>>());
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
    assert!(names.iter().all(|name| ["memcpy", "memmove", "memset", "memcmp", "bcmp"].contains(name)), "{names:?}");
}

#[test]
fn libmem_has_its_soname() {
    let Some(output) = run_tool("readelf", &["-d", "-W"]) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Library soname: [libmem.so]"), "{text}");
}

/// Compiles and runs a program that has nothing to say when all is well.
fn runs_silently(program: &str) {
    if let Some(output) = run(program) {
        assert_silent_success(&output, program);
    }
}

/// Compiles and runs a program that prints on standard output what it expects libmem to print on standard error.
fn says_on_stderr_what_it_expects(program: &str) {
    let Some(output) = run(program) else { return };
    assert_eq!(output.status.code(), Some(0), "{program}: {output:#?}");
    assert!(!output.stdout.is_empty(), "{program} expects nothing");
    assert_eq!(String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout), "{program}");
}

fn assert_silent_success(output: &Output, what: &str) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), &*stdout, &*stderr), (Some(0), "", ""), "{what}: {}", output.status);
}

/// `None` where there is no C compiler.
fn run(program: &str) -> Option<Output> {
    let library = library();
    let mut run_path = OsString::from("-Wl,-rpath,");
    run_path.push(library.parent().expect("a file lies in a folder"));
    let binary = compile(program, program, &[library.as_os_str(), &run_path])?;
    Some(output_in_time(&mut Command::new(binary)))
}

fn compile(program: &str, binary: &str, link: &[&OsStr]) -> Option<PathBuf> {
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(binary);
    let mut compile = compiler_for(C)?;
    compile.args(["-std=gnu11", "-O1", "-g", "-pthread"]).arg(sources().join(format!("{program}.c")));
    compile.arg("-o").arg(&binary).args(link);
    let output = compile.output().expect("the compiler starts");
    assert_silent_success(&output, program);
    Some(binary)
}

/// The C compiler, told to warn of much and to take it seriously; or a line that nobody overlooks.
fn compiler_for((variable, usual): (&str, &str)) -> Option<Command> {
    let compiler = env::var(variable).unwrap_or_else(|_| usual.to_owned());
    let mut command = Command::new(&compiler);
    if Command::new(&compiler).arg("--version").output().is_err() {
        skipped(&compiler);
        return None;
    }
    command.args(["-Wall", "-Wextra", "-Werror", "-I"]).arg(include());
    Some(command)
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

/// Past the test harness, which shows what a passed test printed to nobody.
fn skipped(tool: &str) {
    let test = thread::current().name().unwrap_or_default().to_owned();
    writeln!(stderr(), "SKIPPED {test}: there is no {tool}").expect("stderr is open");
}

/// Waits for a program, but not for ever.
fn output_in_time(command: &mut Command) -> Output {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let end = Instant::now() + TIME_LIMIT;
    // What the programs print fits into a pipe.
    while child.try_wait().expect("it is our child").is_none() {
        if Instant::now() > end {
            child.kill().expect("it is our child");
            panic!("{command:?} hangs: {:#?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().expect("it is our child")
}

/// Beside this test's own executable: cargo builds the libraries of a dependency there.
fn library() -> PathBuf {
    let path = env::var_os("SLABFIT_LIBMEM").map_or_else(
        || env::current_exe().expect("a test has an executable").with_file_name("libmem.so"),
        |path| fs::canonicalize(&path).unwrap_or_else(|error| panic!("SLABFIT_LIBMEM={path:?}: {error}")),
    );
    assert_eq!(path.file_name(), Some(OsStr::new("libmem.so")), "programs look for the library by that name");
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("c")
}

fn include() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../platform-linux/c-abi/include")
}
