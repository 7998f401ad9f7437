//! What C is told of a failure: a null pointer, or -1, and why in `errno`. After a success `errno` is what it was.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_long};
use core::ptr::{self, NonNull};

use rustix::io::Errno;
use slabfit::{AllocError, InitError, ReallocError, Reason, Reentered, Violation};
use slabfit_linux::{MapError, SystemError};

// All that is asked from the kernel here is asked past libc, which therefore does not know of it.
#[link(name = "c")]
unsafe extern "C" {
    safe fn __errno_location() -> *mut c_int;
}

/// Tells C why a call failed.
#[cold]
fn set(failure: Failure) {
    // SAFETY: the address of the calling thread's own errno, as libc says.
    unsafe { __errno_location().write(failure.0) };
}

/// Why a call failed, as a number that C has a name for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure(c_int);

impl Failure {
    /// An argument that no call takes: a size of 0, an address of no object, a handle of no heap.
    pub(crate) const INVALID: Self = Self(Errno::INVAL.raw_os_error());
    /// There is no room.
    pub(crate) const NO_MEMORY: Self = Self(Errno::NOMEM.raw_os_error());
    /// The thread would wait for itself: it is a signal handler's, and was interrupted in the heap.
    const INTERRUPTED: Self = Self(Errno::DEADLK.raw_os_error());
    /// There is a heap already, as a mutex that is initialised twice is busy.
    const IN_USE: Self = Self(Errno::BUSY.raw_os_error());
    /// The system gives no random numbers.
    pub(crate) const NO_RANDOM: Self = Self(Errno::NOSYS.raw_os_error());
    /// The heap was written over ("Structure needs cleaning").
    const DAMAGED: Self = Self(Errno::UCLEAN.raw_os_error());
}

impl From<AllocError> for Failure {
    #[cold]
    fn from(error: AllocError) -> Self {
        match error {
            AllocError::NotInitialised => Self::INVALID,
            AllocError::Reentered => Self::INTERRUPTED,
            _ => Self::NO_MEMORY,
        }
    }
}

impl From<InitError> for Failure {
    fn from(error: InitError) -> Self {
        match error {
            InitError::AlreadyInitialised => Self::IN_USE,
            InitError::Reentered => Self::INTERRUPTED,
            _ => Self::INVALID,
        }
    }
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

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        if reason == Reason::Reentered { Self::INTERRUPTED } else { Self::INVALID }
    }
}

impl From<ReallocError> for Failure {
    fn from(error: ReallocError) -> Self {
        match error {
            ReallocError::InvalidFree(wrong) => wrong.reason.into(),
            ReallocError::Alloc(error) => error.into(),
            // Not reached: what there is not yet.
            _ => Self::NO_MEMORY,
        }
    }
}

impl From<Reentered> for Failure {
    fn from(_: Reentered) -> Self {
        Self::INTERRUPTED
    }
}

impl From<Violation> for Failure {
    fn from(violation: Violation) -> Self {
        if violation == Violation::Reentered { Self::INTERRUPTED } else { Self::DAMAGED }
    }
}

/// What a call came to.
pub(crate) type Answer<T> = Result<T, Failure>;

/// A pointer for C: null for a failure.
#[inline]
pub(crate) fn pointer<T, P>(answer: Answer<NonNull<T>>) -> *mut P {
    match answer {
        Ok(place) => place.as_ptr().cast(),
        Err(failure) => {
            set(failure);
            ptr::null_mut()
        }
    }
}

/// A status for C: 0, or -1 for a failure.
#[inline]
pub(crate) fn status(answer: Answer<()>) -> c_int {
    match answer {
        Ok(()) => 0,
        Err(failure) => {
            set(failure);
            -1
        }
    }
}

/// A callback's answer for C, or -1 for a failure.
pub(crate) fn answer(answer: Answer<c_int>) -> c_int {
    answer.unwrap_or_else(|failure| {
        set(failure);
        -1
    })
}

/// A number of bytes for C: 0 for a failure.
pub(crate) fn size(answer: Answer<usize>) -> usize {
    answer.unwrap_or_else(|failure| {
        set(failure);
        0
    })
}

/// A count for C: -1 for a failure.
pub(crate) fn count(answer: Answer<usize>) -> c_long {
    match answer {
        Ok(count) => c_long::try_from(count).unwrap_or(c_long::MAX),
        Err(failure) => {
            set(failure);
            -1
        }
    }
}
