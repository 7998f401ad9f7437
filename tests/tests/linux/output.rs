//! Text goes to a file in pieces that are as large as they can be, past the streams of libc and of std.

use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::thread::JoinHandleExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{mem, ptr, thread};

use slabfit_linux::Output;

/// Output to a file that the caller keeps open.
///
/// # Safety
/// The file stays open until the answer is dropped.
unsafe fn output(file: &impl AsRawFd) -> Output {
    // SAFETY: as the caller promises.
    unsafe { Output::to(file.as_raw_fd()) }
}

/// What comes out of the other end, one write at a time, until nothing is left.
fn writes(socket: &UnixDatagram) -> Vec<String> {
    socket.set_nonblocking(true).expect("it can be");
    let mut buffer = [0; 2000];
    let mut writes = Vec::new();
    while let Ok(bytes) = socket.recv(&mut buffer) {
        writes.push(String::from_utf8_lossy(&buffer[..bytes]).into_owned());
    }
    writes
}

#[test]
fn a_line_made_of_many_pieces_is_written_once_when_it_is_flushed_or_dropped() {
    let (near, far) = UnixDatagram::pair().expect("there are sockets");
    // SAFETY: `near` lives longer.
    let mut out = unsafe { output(&near) };
    assert_eq!(format!("{out:?}").matches("len: 0").count(), 1, "{out:?}");
    writeln!(out, "slabfit: {:#x} of {}", 0x7f00, "many".to_owned() + "!").expect("it takes it");
    assert_eq!(writes(&far), [""; 0]);
    assert_eq!(out.flush(), Ok(()));
    assert_eq!(writes(&far), ["slabfit: 0x7f00 of many!\n"]);
    assert_eq!(out.flush(), Ok(()));
    assert_eq!(writes(&far), [""; 0]);
    writeln!(out, "and {}", 7).expect("it takes it");
    drop(out);
    assert_eq!(writes(&far), ["and 7\n"]);
}

#[test]
fn of_long_text_every_512_bytes_are_written_and_then_the_rest() {
    let (near, far) = UnixDatagram::pair().expect("there are sockets");
    let text: String = (0..1100u32).map(|number| char::from(b'a' + (number % 23) as u8)).collect();
    // SAFETY: `near` lives longer.
    let mut out = unsafe { output(&near) };
    out.write_str(&text[..300]).and_then(|()| out.write_str(&text[300..])).expect("it takes it");
    drop(out);
    assert_eq!(writes(&far), [&text[..512], &text[512..1024], &text[1024..]]);
}

#[test]
fn longer_lines_are_written_once_where_they_are_asked_for() {
    let (near, far) = UnixDatagram::pair().expect("there are sockets");
    // SAFETY: `near` lives longer.
    let mut out = unsafe { output(&near) };
    out.write_str("before\n").expect("it takes it");
    let mut out = out.with_lines_of::<1500>();
    assert_eq!(writes(&far), ["before\n"]);
    let text = "x".repeat(1400);
    out.write_str(&text[..700]).and_then(|()| out.write_str(&text[700..])).expect("it takes it");
    drop(out);
    assert_eq!(writes(&far), [text]);
}

#[test]
fn a_file_that_takes_no_more_is_an_error_and_what_it_did_not_take_is_gone() {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    // SAFETY: `full` lives longer.
    let mut out = unsafe { output(&full) };
    assert_eq!(out.write_str("something"), Ok(()));
    assert_eq!(out.flush(), Err(fmt::Error));
    assert_eq!(out.flush(), Ok(()));
    // The 513th byte needs room.
    assert_eq!(out.write_str(&"x".repeat(513)), Err(fmt::Error));
    assert_eq!(out.write_str(&"x".repeat(512)), Ok(()));
    assert_eq!(out.write_str("x"), Err(fmt::Error));
}

#[test]
fn a_signal_that_interrupts_a_write_costs_no_byte_of_it() {
    static SIGNALS: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count(_: libc::c_int) {
        SIGNALS.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: zeros are a disposition with no flags: a call that the signal interrupts fails with EINTR.
    let mut interrupting: libc::sigaction = unsafe { mem::zeroed() };
    interrupting.sa_sigaction = count as *const () as usize;
    // SAFETY: the handler only adds to a number, and nothing else in this process has one for this signal.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &interrupting, ptr::null_mut()) }, 0);

    let (mut writer, mut reader) = UnixStream::pair().expect("there are sockets");
    // As much as it holds, so that what comes next waits.
    writer.set_nonblocking(true).expect("it can be");
    let mut room = 0;
    while let Ok(bytes) = std::io::Write::write(&mut writer, &[b'-'; 4096]) {
        room += bytes;
    }
    writer.set_nonblocking(false).expect("it can be");
    let waiting = thread::spawn(move || {
        // SAFETY: `writer` lives longer.
        let mut out = unsafe { output(&writer) };
        out.write_str(&"text".repeat(100)).and_then(|()| out.flush())
    });
    let thread = waiting.as_pthread_t();
    while SIGNALS.load(Ordering::SeqCst) < 3 {
        let before = SIGNALS.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(30));
        // SAFETY: the thread is not joined yet.
        assert_eq!(unsafe { libc::pthread_kill(thread, libc::SIGUSR1) }, 0);
        while SIGNALS.load(Ordering::SeqCst) == before {
            assert!(!waiting.is_finished(), "a signal has ended the write");
            thread::yield_now();
        }
    }
    assert!(!waiting.is_finished(), "there was no room");
    let mut come = vec![0; room + 400];
    reader.read_exact(&mut come).expect("it was written");
    assert_eq!(waiting.join().expect("it does not panic"), Ok(()));
    assert_eq!(String::from_utf8_lossy(&come[room..]), "text".repeat(100));
    assert_eq!(reader.read(&mut [0]).expect("it can be read"), 0);
}

#[test]
fn standard_output_and_standard_error_are_the_files_under_their_numbers() {
    for (out, number) in [(Output::stdout(), 1), (Output::stderr(), 2)] {
        let said = format!("{out:?}");
        assert!(said.contains(&format!("fd: {number} ")), "{said}");
    }
}
