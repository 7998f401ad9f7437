//! What the tester needs of the operating system beyond `std`.

use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::process::Child;

/// Bytes of a page, to which a heap's size is rounded up.
#[must_use]
pub fn page_size() -> usize {
    // SAFETY: no arguments that could be wrong.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}

/// A file of `size` zero bytes that no folder holds, and that another process can be given.
///
/// # Errors
/// The kernel's.
pub fn memory_file(size: usize) -> io::Result<File> {
    // SAFETY: the name is a C string; the kernel copies it.
    let descriptor = unsafe { libc::memfd_create(c"slabfit-tester".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened, and nobody else owns it.
    let file = unsafe { File::from_raw_fd(descriptor) };
    file.set_len(size as u64)?;
    Ok(file)
}

/// Maps the first `size` bytes of a file, so that every process that does sees the same bytes.
///
/// # Errors
/// The kernel's.
pub fn map_shared(file: &File, size: usize) -> io::Result<NonNull<u8>> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: with a null address and without MAP_FIXED no mapping is replaced; `file` is open during the call.
    let start = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, file.as_raw_fd(), 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Maps `size` bytes of zeros that become resident as they are touched, and that no limit on what is promised counts.
///
/// # Errors
/// The kernel's.
pub fn map_private(size: usize) -> io::Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: with a null address and without MAP_FIXED no mapping is replaced.
    let start = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Undoes [`map_shared`] and [`map_private`].
///
/// # Safety
/// `start` and `size` are a mapping's, and nobody uses it any more.
pub unsafe fn unmap(start: NonNull<u8>, size: usize) {
    // SAFETY: handed on. A failure would leave a page mapped, which harms nobody.
    unsafe { libc::munmap(start.as_ptr().cast(), size) };
}

/// Waits for a process, and returns the most bytes that it ever had resident; `None` if it did not end well.
///
/// # Errors
/// The kernel's.
pub fn peak_resident(process: Child) -> io::Result<Option<u64>> {
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    let number = process.id() as libc::pid_t;
    loop {
        // SAFETY: both places outlive the call.
        let ended = unsafe { libc::wait4(number, &raw mut status, 0, usage.as_mut_ptr()) };
        if ended == number {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: all of it are numbers, and zero where the kernel has written none.
    let kilobytes = unsafe { usage.assume_init() }.ru_maxrss;
    let well = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
    Ok(well.then_some(u64::try_from(kilobytes).unwrap_or(0) << 10))
}

/// Waits until there is something to read from `wake`, or nobody at the other end of `terminal` any more; whether it is that.
///
/// # Errors
/// The kernel's.
pub fn wait_or_hang_up(wake: impl AsFd, terminal: impl AsFd) -> io::Result<bool> {
    let [wake, terminal] = [wake.as_fd().as_raw_fd(), terminal.as_fd().as_raw_fd()];
    // That a terminal has hung up is told without being asked for.
    let mut both = [(wake, libc::POLLIN), (terminal, 0)].map(|(fd, events)| libc::pollfd { fd, events, revents: 0 });
    loop {
        // SAFETY: so many entries, which live during the call, with descriptors that are open meanwhile.
        match unsafe { libc::poll(both.as_mut_ptr(), both.len() as libc::nfds_t, -1) } {
            1.. => return Ok(both[1].revents != 0),
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}

/// Makes this process one that can be spared: it dies with its parent, however that dies, and leaves no core file
/// behind when it crashes, which it is expected to.
pub fn become_expendable() {
    // SAFETY: takes a signal number by value.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` lives during the call.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
}

/// A signal by the name that manuals have for it.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGALRM => "SIGALRM",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGILL => "SIGILL",
        libc::SIGINT => "SIGINT",
        libc::SIGKILL => "SIGKILL",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGSYS => "SIGSYS",
        libc::SIGTERM => "SIGTERM",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGXCPU => "SIGXCPU",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}
