//! What C is told of a failure: a null pointer, or -1, and why in `errno`. After a success `errno` is what it was.
#![deny(unsafe_code)]

use core::ffi::{c_int, c_long};
use core::ptr::{self, NonNull};

use slabfit::{AllocError, InitError, ReallocError, Reason, Reentered, Violation};

use crate::platform::{self, Number};

/// Tells C why a call failed.
#[cold]
fn set(failure: Failure) {
    platform::set_errno(failure.0);
}

/// Why a call failed, as a number that C has a name for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) c_int);

impl Failure {
    /// An argument that no call takes: a size of 0, an address of no object, a handle of no heap.
    pub(crate) const INVALID: Self = Self(Number::INVALID);
    /// There is no room.
    pub(crate) const NO_MEMORY: Self = Self(Number::NO_MEMORY);
    /// The thread would wait for itself: it is a signal handler's, and was interrupted in the heap.
    const INTERRUPTED: Self = Self(Number::INTERRUPTED);
    /// There is a heap already, as a mutex that is initialised twice is busy.
    const IN_USE: Self = Self(Number::IN_USE);
    /// The system gives no random numbers.
    #[cfg(target_os = "linux")]
    pub(crate) const NO_RANDOM: Self = Self(Number::NO_RANDOM);
    /// The heap was written over ("Structure needs cleaning").
    const DAMAGED: Self = Self(Number::DAMAGED);
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
