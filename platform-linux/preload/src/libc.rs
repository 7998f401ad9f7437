//! What only libc can do: everything else asks the kernel, or nobody.
#![allow(unsafe_code)]

use core::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use core::ptr::{NonNull, null, null_mut};

use linux_raw_sys::general::{__NR_openat, __NR_process_vm_readv, AT_FDCWD};
use rustix::fd::{FromRawFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::getpid;

// Also for memcpy and its like, which the compiler calls by itself.
#[link(name = "c")]
unsafe extern "C" {
    safe fn __errno_location() -> *mut c_int;
    safe fn getauxval(kind: c_ulong) -> c_ulong;
    fn pthread_key_create(key: *mut c_uint, at_end: extern "C" fn(*mut c_void)) -> c_int;
    safe fn pthread_setspecific(key: c_uint, value: *const c_void) -> c_int;
    safe fn pthread_atfork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> c_int;
    pub(crate) safe fn abort() -> !;
    safe fn _exit(status: c_int) -> !;
    safe fn signal(number: c_int, handler: extern "C" fn(c_int)) -> *mut c_void;
    fn syscall(number: c_long, ...) -> c_long;
    fn getcwd(buffer: *mut c_char, size: usize) -> *mut c_char;
    fn sigaction(number: c_int, new: *const SignalAction, old: *mut SignalAction) -> c_int;
    safe fn raise(number: c_int) -> c_int;
    fn dladdr(address: *const c_void, place: *mut ObjectInfo) -> c_int;
    static program_invocation_short_name: *const c_char;
}

pub(crate) const SIGBUS: c_int = 7;
pub(crate) const SIGSEGV: c_int = 11;

/// `siginfo_t` of a fault, as far as it is read.
#[repr(C)]
pub(crate) struct SignalInfo {
    number: c_int,
    errno: c_int,
    code: c_int,
    address: *const c_void,
}

impl SignalInfo {
    /// Whether the kernel has sent it, for what the program did.
    pub(crate) fn is_fault(&self) -> bool {
        self.code > 0
    }

    /// What was accessed.
    pub(crate) fn address(&self) -> usize {
        self.address.addr()
    }
}

type FaultHandler = extern "C" fn(c_int, &SignalInfo, *mut c_void);

/// `struct sigaction`.
#[repr(C)]
struct SignalAction {
    /// None is the default action, `SIG_DFL`.
    handler: Option<FaultHandler>,
    mask: [c_ulong; 128 / size_of::<c_ulong>()],
    flags: c_int,
    restorer: *const c_void,
}

impl SignalAction {
    const DEFAULT: Self = Self { handler: None, mask: [0; 128 / size_of::<c_ulong>()], flags: 0, restorer: null() };
}

/// Has `handler` called for the next fault of that kind, if the program has the default action for it. The action is the default one
/// again when the handler runs.
pub(crate) fn on_fault(number: c_int, handler: FaultHandler) {
    const SA_SIGINFO: c_int = 4;
    const SA_ONSTACK: c_int = 0x0800_0000;
    const SA_RESETHAND: c_int = 0x8000_0000_u32 as c_int;
    let mut old = SignalAction::DEFAULT;
    // SAFETY: the variable can be written to; nothing is set.
    let is_known = unsafe { sigaction(number, null(), &raw mut old) } == 0;
    if is_known && old.handler.is_none() {
        let flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND;
        let new = SignalAction { handler: Some(handler), flags, ..SignalAction::DEFAULT };
        // SAFETY: the handler takes what the flags say that it is given.
        let _ = unsafe { sigaction(number, &raw const new, null_mut()) };
    }
}

/// Sends the calling thread a signal.
pub(crate) fn send_to_self(number: c_int) {
    let _ = raise(number);
}

/// `Dl_info`: what `dladdr` tells of an address.
#[repr(C)]
struct ObjectInfo {
    name: *const c_char,
    start: *mut c_void,
    symbol: *const c_char,
    symbol_address: *mut c_void,
}

/// Where the loaded object (program or library) starts that an address lies in; `None` for one that lies in none.
pub(crate) fn start_of_object(address: *const c_void) -> Option<NonNull<c_void>> {
    let mut info = ObjectInfo { name: null(), start: null_mut(), symbol: null(), symbol_address: null_mut() };
    // SAFETY: any address may be asked for, and the variable can be written to.
    let is_known = unsafe { dladdr(address, &raw mut info) } != 0;
    NonNull::new(info.start).filter(|_| is_known)
}

/// What a shell answers for a program that it cannot start.
const CANNOT_START: c_int = 127;

/// Ends the process at once: nothing of it has run yet.
// Not reached: where lines are counted, which begins after this; tests/tests/preload sees it.
pub(crate) fn refuse_to_start() -> ! {
    _exit(CANNOT_START)
}

/// Ends the process at once, all well.
// Not reached: as above.
pub(crate) fn end_at_once() -> ! {
    _exit(0)
}

/// Tells C why a call failed.
pub(crate) fn set_errno(errno: Errno) {
    // SAFETY: the address of the calling thread's own errno, as libc says.
    unsafe { __errno_location().write(errno.raw_os_error()) };
}

/// Opens a file, or makes one that all may use whom the process's mask lets. Programs that it starts do not get it, and it
/// becomes nobody's terminal. `errno` stays what it was.
///
/// Not by `open`, in which libc may end the thread (`pthread_cancel`), in the middle of a program's `malloc`; and rustix asserts
/// that the kernel answers no nonsense, so that a panic would have to be linked.
pub(crate) fn open(name: &CStr, how: OFlags) -> Result<OwnedFd, Errno> {
    const MODE: c_uint = 0o666;
    const OPENAT: c_int = __NR_openat as c_int;
    let flags = (how | OFlags::CLOEXEC | OFlags::NOCTTY).bits();
    let errno = __errno_location();
    // SAFETY: the address of the calling thread's own errno, as libc says.
    let before = unsafe { errno.read() };
    // SAFETY: the arguments are openat's: a directory, a string that outlives the call, flags and a mode.
    let answer = unsafe { syscall(c_long::from(OPENAT), AT_FDCWD, name.as_ptr(), flags, MODE) };
    if let Ok(file @ 0..) = c_int::try_from(answer) {
        // SAFETY: just opened, and nobody else's.
        return Ok(unsafe { OwnedFd::from_raw_fd(file) });
    }
    // SAFETY: as above. The numbers of errors go to 4095, which rustix asserts.
    let why = Errno::from_raw_os_error(unsafe { errno.read() }.clamp(1, 4095));
    // SAFETY: as above.
    unsafe { errno.write(before) };
    Err(why)
}

/// Two words of the process's own memory at `address`; `None` where none is that can be read. `errno` stays what it was. The kernel reads
/// them, so that an address may be anything.
pub(crate) fn read_own(address: usize) -> Option<[usize; 2]> {
    const READ: c_int = __NR_process_vm_readv as c_int;
    let mut words = [0usize; 2];
    let here = [(&raw mut words).expose_provenance(), size_of_val(&words)];
    let there = [address, size_of_val(&words)];
    let process = getpid().as_raw_nonzero().get();
    let errno = __errno_location();
    // SAFETY: the address of the calling thread's own errno, as libc says.
    let before = unsafe { errno.read() };
    let one = 1 as c_ulong;
    // SAFETY: the arguments are the call's: a process, and twice a list of one piece, an address and a length. It writes to `words` alone,
    // which are there.
    let answer =
        unsafe { syscall(c_long::from(READ), process, &raw const here, one, &raw const there, one, 0 as c_ulong) };
    // SAFETY: as above.
    unsafe { errno.write(before) };
    (answer == size_of_val(&words) as c_long).then_some(words)
}

/// An address at the end of the first thread's stack, or above it.
#[cfg(target_env = "gnu")]
pub(crate) fn first_stack() -> usize {
    unsafe extern "C" {
        /// Where the stack began.
        static __libc_stack_end: *const usize;
    }
    // SAFETY: the loader has set it before it called anybody, and nobody sets it again.
    unsafe { __libc_stack_end }.addr()
}

/// These libcs do not say.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn first_stack() -> usize {
    usize::MAX
}

/// Whether the program has more rights than who started it, as one with the set-user-ID bit: its environment is not to be
/// obeyed then. The kernel says so.
pub(crate) fn is_privileged() -> bool {
    const AT_SECURE: c_ulong = 23;
    getauxval(AT_SECURE) != 0
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
        // SAFETY: the start of a string, or after a byte of it that is not its end.
        let byte = unsafe { next.read() };
        if byte == 0 {
            return None;
        }
        // SAFETY: its end lies after it.
        next = unsafe { next.add(1) };
        Some(byte)
    });
    bytes.take(64)
}

/// Has `handler` called for a signal, until the program has something else called for it. A system call that the signal
/// interrupts goes on afterwards, where that is possible.
pub(crate) fn on_signal(number: c_int, handler: extern "C" fn(c_int)) {
    // It fails for numbers that are no signal's.
    let _ = signal(number, handler);
}

/// The name of the current directory, if it has one that fits.
pub(crate) fn current_directory(buffer: &mut [u8]) -> Option<&[u8]> {
    // SAFETY: the buffer can be written to, and has so many bytes. (One of none is refused, and nothing is allocated.)
    let name = unsafe { getcwd(buffer.as_mut_ptr().cast(), buffer.len()) };
    NonNull::new(name)?;
    Some(CStr::from_bytes_until_nul(buffer).ok()?.to_bytes())
}

/// Makes a key: `at_end` is called at the end of each thread that has [set](set_key) it.
pub(crate) fn new_key(at_end: extern "C" fn(*mut c_void)) -> Option<c_uint> {
    let mut key = 0;
    // SAFETY: valid for writes: the variable's address.
    let made = unsafe { pthread_key_create(&raw mut key, at_end) } == 0;
    made.then_some(key)
}

/// Sets the calling thread's number under a key, which its end hands on as an address, and returns whether that is done. Allocates in
/// some libcs.
pub(crate) fn set_key(key: c_uint, number: usize) -> bool {
    pthread_setspecific(key, core::ptr::without_provenance(number)) == 0
}

/// Has these called around every fork from now on. May allocate.
pub(crate) fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) {
    // It fails where there is no memory left for a table of more than some fifty handlers, and this is the first.
    let _ = pthread_atfork(prepare, parent, child);
}

/// libc's lock on its list of open files, around a fork.
///
/// A fork takes it after the handlers have run. Whoever has the heap by then waits here for a thread that flushes all files,
/// which waits for one that reads from a file, which waits for memory: so the list is taken first, as it is before libc's own
/// malloc. The lock counts its owner's calls.
#[cfg(target_env = "gnu")]
pub(crate) mod files {
    #[link(name = "c")]
    unsafe extern "C" {
        safe fn _IO_list_lock();
        safe fn _IO_list_unlock();
        safe fn _IO_list_resetlock();
    }

    /// Before the fork.
    pub(crate) fn hold() {
        _IO_list_lock();
    }

    /// After it, in the parent.
    pub(crate) fn let_go() {
        _IO_list_unlock();
    }

    /// After it, in the child, whatever libc has done: it makes the lock anew only where there were several threads.
    pub(crate) fn let_go_in_child() {
        _IO_list_resetlock();
    }
}

/// Other libcs have no such functions.
#[cfg(not(target_env = "gnu"))]
pub(crate) mod files {
    pub(crate) fn hold() {}
    pub(crate) fn let_go() {}
    pub(crate) fn let_go_in_child() {}
}

/// A stream of libc's, to be written to by who holds nothing that libc may want.
pub(crate) struct Stream(*mut c_void);

impl Stream {
    /// # Safety
    /// It is a stream of libc, open as long as this is used.
    pub(crate) unsafe fn new(stream: *mut c_void) -> Self {
        Self(stream)
    }
}

impl core::fmt::Write for Stream {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        #[link(name = "c")]
        unsafe extern "C" {
            fn fwrite(bytes: *const c_void, size: usize, count: usize, stream: *mut c_void) -> usize;
        }
        // SAFETY: the bytes are there, and the stream is open, as was promised to `new`.
        let written = unsafe { fwrite(text.as_ptr().cast(), 1, text.len(), self.0) };
        if written == text.len() { Ok(()) } else { Err(core::fmt::Error) }
    }
}

/// Reads a variable of the environment. To be called before the program runs and may change it.
pub(crate) fn variable<R>(name: &str, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
    let value = value_of(name)?;
    // SAFETY: the end of a string is a string, and nobody changes it meanwhile, by the terms of this function.
    Some(read(unsafe { CStr::from_ptr(value) }.to_bytes()))
}

/// Leaves the program and those that it starts an empty value of a variable. To be called as `variable`.
pub(crate) fn empty_variable(name: &str) {
    // Not reached: a variable that is not there; it has just been read.
    if let Some(value) = value_of(name) {
        // SAFETY: a byte of the value, or its end, in memory that the kernel has made for the process to write to.
        unsafe { value.cast_mut().write(0) };
    }
}

/// Reads every variable whose name begins so. To be called as `variable`.
pub(crate) fn variables(prefix: &str, mut read: impl FnMut(&[u8], &[u8])) {
    for entry in entries() {
        // SAFETY: an entry is a string, and nobody changes it meanwhile, by the terms of this function.
        let text = unsafe { CStr::from_ptr(entry) }.to_bytes();
        let end = text.iter().position(|&byte| byte == b'=').filter(|_| text.starts_with(prefix.as_bytes()));
        if let Some((name, value)) = end.and_then(|end| text.split_at_checked(end)) {
            read(name, value.get(1..).unwrap_or_default());
        }
    }
}

/// Where the value of a variable begins.
fn value_of(name: &str) -> Option<*const c_char> {
    let entry = entries().find(|&entry| {
        // SAFETY: an entry is a string, and nobody changes it meanwhile, by the terms of this function.
        let text = unsafe { CStr::from_ptr(entry) };
        text.to_bytes().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
    })?;
    // SAFETY: the name and the sign stand at the start of the string, and after them at least its end.
    Some(unsafe { entry.add(name.len() + 1) })
}

/// The strings of the environment.
fn entries() -> impl Iterator<Item = *const c_char> {
    let mut next = environment();
    core::iter::from_fn(move || {
        // SAFETY: the list ends with a null pointer, and until there was one each step led to another entry.
        let entry = unsafe { next.read() };
        if entry.is_null() {
            return None;
        }
        // SAFETY: after an entry that is not null there is another one.
        next = unsafe { next.add(1) };
        Some(entry)
    })
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
