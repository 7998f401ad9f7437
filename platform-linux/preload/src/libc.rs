//! What only libc can do: everything else asks the kernel, or nobody.
#![allow(unsafe_code)]

use core::ffi::{CStr, c_char, c_int, c_long, c_ulong};

use linux_raw_sys::general::__NR_openat;
use rustix::fd::{FromRawFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;

// Also for memcpy and its like, which the compiler calls by itself.
#[link(name = "c")]
unsafe extern "C" {
    safe fn __errno_location() -> *mut c_int;
    safe fn getauxval(kind: c_ulong) -> c_ulong;
    safe fn pthread_atfork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> c_int;
    pub(crate) safe fn abort() -> !;
    safe fn _exit(status: c_int) -> !;
    fn syscall(number: c_long, ...) -> c_long;
    static program_invocation_short_name: *const c_char;
}

/// What a shell answers for a program that it cannot start.
const CANNOT_START: c_int = 127;

/// Ends the process at once: nothing of it has run yet.
pub(crate) fn refuse_to_start() -> ! {
    _exit(CANNOT_START)
}

/// Tells C why a call failed.
pub(crate) fn set_errno(errno: Errno) {
    // SAFETY: the address of the calling thread's own errno, as libc says.
    unsafe { __errno_location().write(errno.raw_os_error()) };
}

/// Opens a file that all may use whom the process's mask lets. `errno` stays what it was.
///
/// rustix panics, as far as a compiler can tell, where the kernel answers with a number that is none.
pub(crate) fn open(name: &CStr, how: OFlags) -> Result<OwnedFd, Errno> {
    const CURRENT_FOLDER: c_long = -100;
    const MODE: c_long = 0o666;
    const OPENAT: c_long = __NR_openat as usize as c_long;
    let how = how.bits() as usize;
    // SAFETY: the address of the calling thread's own errno, as libc says.
    let errno = unsafe { &mut *__errno_location() };
    let before = *errno;
    // SAFETY: the arguments that this call has, and a string that outlives it.
    let number = unsafe { syscall(OPENAT, CURRENT_FOLDER, name.as_ptr(), how, MODE) };
    if let Ok(number) = u16::try_from(number) {
        // SAFETY: just opened, and nobody else knows of it.
        return Ok(unsafe { OwnedFd::from_raw_fd(number.into()) });
    }
    let error = Errno::from_raw_os_error((*errno).clamp(1, 4095));
    *errno = before;
    Err(error)
}

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    const AT_PAGESZ: c_ulong = 6;
    getauxval(AT_PAGESZ) as usize
}

/// The name that the program was called by, shortened where nobody would read on.
pub(crate) fn program_name() -> impl Iterator<Item = u8> {
    // SAFETY: libc sets it before the program runs; who sets it again, sets it to another string.
    let mut next = unsafe { program_invocation_short_name }.cast::<u8>();
    let bytes = core::iter::from_fn(move || {
        // SAFETY: the start of a string, or behind a byte of it that is not its end.
        let byte = unsafe { next.read() };
        if byte == 0 {
            return None;
        }
        // SAFETY: its end lies behind it.
        next = unsafe { next.add(1) };
        Some(byte)
    });
    bytes.take(64)
}

/// Has these called around every fork from now on. May allocate.
pub(crate) fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) {
    // It fails where there is no memory left for a table of more than some fifty handlers, and this is the first.
    let _ = pthread_atfork(prepare, parent, child);
}

/// Reads a variable of the environment. To be called before the program runs and may change it.
pub(crate) fn variable<R>(name: &str, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
    let value = value_of(name)?;
    // SAFETY: the end of a string is a string, and nobody changes it meanwhile, by the terms of this function.
    Some(read(unsafe { CStr::from_ptr(value) }.to_bytes()))
}

/// Leaves the program and those that it starts an empty value of a variable. To be called as `variable`.
pub(crate) fn empty_variable(name: &str) {
    if let Some(value) = value_of(name) {
        // SAFETY: a byte of the value, or its end, in memory that the kernel has made for the process to write to.
        unsafe { value.cast_mut().write(0) };
    }
}

/// Where the value of a variable begins.
fn value_of(name: &str) -> Option<*const c_char> {
    let mut next = environment();
    loop {
        // SAFETY: the list ends with a null pointer, and until there was one each step led to another entry.
        let entry = unsafe { next.read() };
        if entry.is_null() {
            return None;
        }
        // SAFETY: an entry is a string, and nobody changes it meanwhile, by the terms of this function.
        let text = unsafe { CStr::from_ptr(entry) };
        if text.to_bytes().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")) {
            // SAFETY: the name and the sign stand at the start of the string, and behind them at least its end.
            return Some(unsafe { entry.add(name.len() + 1) });
        }
        // SAFETY: behind an entry that is not null there is another one.
        next = unsafe { next.add(1) };
    }
}

/// The environment as the kernel laid it out above the stack: count of arguments, arguments, null, variables, null. The
/// loader keeps the address. `environ` would do as well, were it set before the first call of malloc in every version.
#[cfg(target_env = "gnu")]
fn environment() -> *const *const c_char {
    unsafe extern "C" {
        /// Where the stack began: at the count of arguments.
        static __libc_stack_end: *const usize;
    }
    // SAFETY: the loader has set it before it called anybody, and nobody sets it again.
    let arguments = unsafe { __libc_stack_end };
    // SAFETY: the kernel has put the count there.
    let count = unsafe { arguments.read() };
    // SAFETY: so many arguments and a null follow the count, all of them pointers, and then come the variables.
    unsafe { arguments.add(1 + count + 1) }.cast()
}

/// The environment. These libcs have set it before they load anything.
#[cfg(not(target_env = "gnu"))]
fn environment() -> *const *const c_char {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: nobody sets it meanwhile, by the terms of `variable`.
    unsafe { environ }
}
