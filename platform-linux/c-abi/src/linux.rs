//! What Linux gives: a lock that sleeps, errno, and streams to write to.
#![allow(unsafe_code)]

use core::ffi::c_int;
use core::fmt::{Display, Write};

use rustix::io::Errno;
use slabfit::Policy;
pub(crate) use slabfit_linux::FutexLock as Lock;
use slabfit_linux::{MapError, Output, SystemError};

use crate::errno::Failure;
use crate::options::{MEM_HARDENED, MEM_REPORT};
use crate::request::CHeap;

/// The flags that every heap can be given.
pub(crate) const FLAGS: c_int = MEM_REPORT;

/// The flags that a heap can be given by a struct alone.
pub(crate) const STRUCT_FLAGS: c_int = MEM_HARDENED;

/// What errno is set to.
pub(crate) struct Number;

impl Number {
    pub(crate) const INVALID: c_int = Errno::INVAL.raw_os_error();
    pub(crate) const NO_MEMORY: c_int = Errno::NOMEM.raw_os_error();
    pub(crate) const INTERRUPTED: c_int = Errno::DEADLK.raw_os_error();
    pub(crate) const IN_USE: c_int = Errno::BUSY.raw_os_error();
    pub(crate) const DAMAGED: c_int = Errno::UCLEAN.raw_os_error();
    pub(crate) const NO_RANDOM: c_int = Errno::NOSYS.raw_os_error();
}

// All that is asked from the kernel here is asked past libc, which therefore does not know of it.
#[link(name = "c")]
unsafe extern "C" {
    safe fn __errno_location() -> *mut c_int;
}

#[cold]
pub(crate) fn set_errno(number: c_int) {
    // SAFETY: the address of the calling thread's own errno, as libc says.
    unsafe { __errno_location().write(number) };
}

impl From<SystemError> for Failure {
    fn from(error: SystemError) -> Self {
        match error {
            SystemError::Refused { errno } => Self(errno),
            _ => Self::NO_MEMORY,
        }
    }
}

impl From<MapError> for Failure {
    fn from(error: MapError) -> Self {
        match error {
            MapError::System(error) => error.into(),
            MapError::Init(error) => error.into(),
            // Not reached: what there is not yet.
            _ => Self::NO_MEMORY,
        }
    }
}

/// One line on standard error.
#[cold]
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(Output::stderr(), "{line}");
}

/// Prints both segments to standard output.
pub(crate) fn dump<P: Policy>(heap: &CHeap<P>) {
    // A stream that takes no more is no reason of the heap, and there is nobody to tell.
    let _ = heap.dump(&mut Output::stdout());
}
