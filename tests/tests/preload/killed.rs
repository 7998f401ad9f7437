//! A trace as it is when SIGKILL comes, at any moment from the program's first instruction on.

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::preloaded::{Program, fresh_folder, library, skipped};

/// What stands in a trace, as far as it can be read; `None` where there is nothing yet.
fn text(file: &Path) -> Option<String> {
    let bytes = fs::read(file).ok().filter(|bytes| !bytes.is_empty())?;
    let zstd = file.extension().is_some_and(|extension| extension == "zst");
    if !zstd {
        return Some(String::from_utf8(bytes).expect("it is text"));
    }
    let mut decoder = zstd::Decoder::with_buffer(&*bytes).expect("it is zstd");
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    // The frame that is being written may be cut.
    while let Ok(count @ 1..) = decoder.read(&mut piece) {
        text.extend_from_slice(&piece[..count]);
    }
    Some(String::from_utf8(text).expect("it is text"))
}

/// Four numbers, and what was recorded.
fn is_readable(text: &str) -> bool {
    let mut lines = text.split_inclusive('\n');
    let header = lines.by_ref().take(4).filter_map(|line| line.strip_suffix('\n'));
    let numbers = header.filter(|line| line.trim_start_matches('\0').parse::<u64>().is_ok()).count();
    let recorded = lines.next().unwrap_or_default();
    numbers == 4 && recorded.starts_with("#slabfit 1 heap=") && recorded.ends_with('\n')
}

/// Stops a program before and after each of its system calls, between which nothing reaches a file but what is mapped.
fn stops(file: &Path, mut at_each: impl FnMut()) -> Option<usize> {
    let program = Program::installed("true")?;
    let mut command = Command::new(program.path());
    command.env("LD_PRELOAD", library()).env("SLABFIT_HEAP", "1M").env("SLABFIT_TRACE", file).stdin(Stdio::null());
    let trace_me = || match ptrace(libc::PTRACE_TRACEME, 0) {
        true => Ok(()),
        false => Err(std::io::Error::last_os_error()),
    };
    // SAFETY: between fork and exec only this call is made, which takes no lock and no memory.
    unsafe { command.pre_exec(trace_me) };
    let Ok(mut child) = command.spawn() else {
        skipped("permission to trace a process");
        return None;
    };
    let (process, mut count, mut status) = (child.id() as libc::pid_t, 0, 0);
    loop {
        // SAFETY: the status outlives the call.
        assert_eq!(unsafe { libc::waitpid(process, &raw mut status, 0) }, process);
        if !libc::WIFSTOPPED(status) {
            break;
        }
        at_each();
        count += 1;
        assert!(ptrace(libc::PTRACE_SYSCALL, process));
    }
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
    // It was waited for above.
    let _ = child.try_wait();
    Some(count)
}

fn ptrace(what: libc::c_uint, process: libc::pid_t) -> bool {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the requests made here read and write no memory of this process.
    unsafe { libc::ptrace(what, process, none, none) != -1 }
}

#[test]
fn a_trace_can_be_read_from_its_first_byte_on() {
    let folder = fresh_folder("killed-early");
    for name in ["new.rep", "new.rep.zst", "%p.rep"] {
        let file = folder.join(name);
        let (mut absent, mut readable) = (0, 0);
        let look = || match fs::read_dir(&folder).expect("it is there").next() {
            None => absent += 1,
            Some(entry) => match text(&entry.expect("it can be read").path()) {
                None => absent += 1,
                Some(text) => {
                    assert!(is_readable(&text), "{name}: {}", text.escape_debug());
                    readable += 1;
                }
            },
        };
        let Some(count) = stops(&file, look) else { return };
        assert!(absent > 10 && readable > 10 && absent + readable == count, "{name}: {absent}, {readable} of {count}");
        for entry in fs::read_dir(&folder).expect("it is there") {
            fs::remove_file(entry.expect("it can be read").path()).expect("it is ours");
        }
    }
}

#[test]
fn a_trace_takes_the_place_of_another_file_without_a_part_of_it() {
    let file = fresh_folder("killed-over").join("old.rep");
    fs::write(&file, "x".repeat(200_000)).expect("target can be written to");
    let mut readable = 0;
    let look = || match text(&file) {
        Some(text) if text.starts_with('x') => assert_eq!(text.len(), 200_000),
        Some(text) => {
            assert!(is_readable(&text) && !text.contains("xx"), "{}", text.escape_debug());
            readable += 1;
        }
        None => {}
    };
    let Some(_) = stops(&file, look) else { return };
    assert!(readable > 10, "{readable}");
}
