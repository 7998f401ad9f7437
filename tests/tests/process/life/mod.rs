//! What the tests of signals, of waiting and of a process's life share: a watchdog, a seed, threads by their names, and
//! programs in C that take minutes on a busy machine.

use std::env;
use std::ffi::OsStr;
use std::io::{Write, stderr};
use std::path::Path;
use std::process::{Command, Output, Stdio, abort};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;
use std::{mem, ptr};

use crate::c_common;

/// For a machine that does ten other things at once. On an idle one no test here takes a tenth of it.
const TIME_LIMIT: Duration = Duration::from_secs(400);

/// Ends the process when a test does not end: a deadlock cannot be unwound.
pub struct Watchdog(Option<Sender<()>>);

impl Watchdog {
    pub fn new() -> Self {
        let (alive, end) = mpsc::channel();
        let test = thread::current().name().unwrap_or_default().to_owned();
        thread::spawn(move || {
            if end.recv_timeout(TIME_LIMIT) == Err(RecvTimeoutError::Timeout) {
                // Not captured with the test's output, which is lost when the process ends.
                let _ = writeln!(stderr(), "{test} has not ended after {TIME_LIMIT:?}");
                abort();
            }
        });
        Self(Some(alive))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

/// A seed, printed, or the one that `SLABFIT_SEED` says.
pub fn seed() -> u64 {
    let seed = env::var("SLABFIT_SEED")
        .map_or_else(|_| u64::from(fastrand::u32(..)), |seed| seed.parse().expect("SLABFIT_SEED is a number"));
    println!("replay with SLABFIT_SEED={seed}");
    seed
}

/// Compiles a program of `tests/c` and runs it with these arguments. Its status must be 0, and it must say nothing on
/// standard error but what is asked for; the answer is what it printed. `None` where there is no compiler.
pub fn printed(program: &str, arguments: &[&OsStr]) -> Option<String> {
    let output = run(program, arguments)?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{program}: {}\n{stdout}", output.status);
    println!("{program}: {stdout}");
    Some(stdout.into_owned())
}

/// Compiles a program against the library, or, if it loads the library itself, without, and runs it.
pub fn run(program: &str, arguments: &[&OsStr]) -> Option<Output> {
    let library = c_common::library();
    let run_path = c_common::run_path(&library);
    let source = c_common::sources().join(program);
    let link: &[&OsStr] =
        if program == "life_dlopen.c" { &[OsStr::new("-ldl")] } else { &[library.as_os_str(), &run_path] };
    let binary = compile(&source, link)?;
    let mut command = Command::new("timeout");
    command.arg(TIME_LIMIT.as_secs().to_string()).arg(binary).args(arguments).stdin(Stdio::null());
    Some(command.output().expect("there is a timeout command"))
}

fn compile(source: &Path, link: &[&OsStr]) -> Option<std::path::PathBuf> {
    let name = source.file_stem().expect("a file has a name");
    if source.extension() == Some(OsStr::new("c")) {
        return c_common::compile(source, name, link);
    }
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut compile = c_common::compiler_for(("CXX", "c++"))?;
    compile.args(["-std=c++17", "-O1", "-g", "-pthread"]).arg(source).arg("-o").arg(&binary).args(link);
    c_common::assert_silent_success(&compile.output().expect("the compiler starts"), &source.to_string_lossy());
    Some(binary)
}

/// A line that nobody overlooks, past the test harness, which shows what a passed test printed to nobody.
pub fn skipped(what: &str) {
    let test = thread::current().name().unwrap_or_default().to_owned();
    writeln!(stderr(), "SKIPPED {test}: {what}").expect("stderr is open");
}

/// CPU time of the calling thread.
pub fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is there.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Has `handler` called on a signal.
///
/// It must do no more than a handler may: numbers, atomics, its own stack, and the heap, whose promise that is.
pub fn on_signal(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: all zero is a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: the handler keeps to the above.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) }, 0);
}

/// Interrupts the calling thread, now.
pub fn interrupt_myself(signal: libc::c_int) {
    // SAFETY: there is a handler.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}
