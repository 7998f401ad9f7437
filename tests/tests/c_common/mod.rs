//! Compiles the programs of `tests/c` and runs each as a process of its own against `libmem.so`: the one that cargo built
//! for these tests, or the one that `SLABFIT_LIBMEM` names.
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
pub const C: (&str, &str) = ("CC", "cc");

/// Compiles and runs a program that has nothing to say when all is well.
pub fn runs_silently(program: &str) {
    if let Some(output) = run(program) {
        assert_silent_success(&output, program);
    }
}

/// Compiles and runs a program that prints on standard output what it expects libmem to print on standard error.
pub fn says_on_stderr_what_it_expects(program: &str) {
    let Some(output) = run(program) else { return };
    assert_eq!(output.status.code(), Some(0), "{program}: {output:#?}");
    assert!(!output.stdout.is_empty(), "{program} expects nothing");
    assert_eq!(String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout), "{program}");
}

pub fn assert_silent_success(output: &Output, what: &str) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), &*stdout, &*stderr), (Some(0), "", ""), "{what}: {}", output.status);
}

/// Compiles and runs a program of `tests/c`. `None` where there is no C compiler.
pub fn run(program: &str) -> Option<Output> {
    run_source(&sources().join(program).with_extension("c"))
}

/// Compiles and runs any C program. `None` where there is no C compiler.
pub fn run_source(source: &Path) -> Option<Output> {
    let library = library();
    let name = source.file_stem().expect("a file has a name");
    let binary = compile(source, name, &[library.as_os_str(), &run_path(&library)])?;
    Some(output_in_time(&mut Command::new(binary)))
}

/// Has a program find the library where it lies: by the old kind of path, which comes before LD_LIBRARY_PATH. There cargo puts
/// folders in which an old library may lie.
pub fn run_path(library: &Path) -> OsString {
    let mut option = OsString::from("-Wl,--disable-new-dtags,-rpath,");
    option.push(library.parent().expect("a file lies in a folder"));
    option
}

pub fn compile(source: &Path, binary: &OsStr, link: &[&OsStr]) -> Option<PathBuf> {
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(binary);
    let mut compile = compiler_for(C)?;
    compile.args(["-std=gnu11", "-O1", "-g", "-pthread"]).arg(source).arg("-o").arg(&binary).args(link);
    let output = compile.output().expect("the compiler starts");
    assert_silent_success(&output, &source.to_string_lossy());
    Some(binary)
}

/// The C compiler, told to warn of much and to take it seriously; or a line that nobody overlooks.
pub fn compiler_for((variable, usual): (&str, &str)) -> Option<Command> {
    let compiler = env::var(variable).unwrap_or_else(|_| usual.to_owned());
    let mut command = Command::new(&compiler);
    if Command::new(&compiler).arg("--version").output().is_err() {
        skipped(&compiler);
        return None;
    }
    command.args(["-Wall", "-Wextra", "-Werror", "-I"]).arg(include());
    Some(command)
}

/// Past the test harness, which shows what a passed test printed to nobody.
pub fn skipped(tool: &str) {
    let test = thread::current().name().unwrap_or_default().to_owned();
    writeln!(stderr(), "SKIPPED {test}: there is no {tool}").expect("stderr is open");
}

/// Waits for a program, but not for ever.
pub fn output_in_time(command: &mut Command) -> Output {
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
pub fn library() -> PathBuf {
    let path = env::var_os("SLABFIT_LIBMEM").map_or_else(
        || env::current_exe().expect("a test has an executable").with_file_name("libmem.so"),
        |path| fs::canonicalize(&path).unwrap_or_else(|error| panic!("SLABFIT_LIBMEM={path:?}: {error}")),
    );
    assert_eq!(path.file_name(), Some(OsStr::new("libmem.so")), "programs look for the library by that name");
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("c")
}

pub fn include() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../platform-linux/c-abi/include")
}

/// Runs a program that fills the worked example's heap and shows it.
pub fn assert_dumped(program: &str) {
    let Some(output) = run(program) else { return };
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
block segment: 3072 bytes at {:#x}, rover at {:#x}
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
