//! What there is without an operating system: two functions of the firmware's, and no errno and no streams.
#![allow(unsafe_code)]

use core::ffi::c_int;
use core::fmt::Display;

use critical_section::RawRestoreState;
pub(crate) use slabfit::CriticalSectionLock as Lock;

/// The flags that every heap can be given: nobody reads a report.
pub(crate) const FLAGS: c_int = 0;

/// The flags that a heap can be given by a struct alone: there is no source of random numbers for a hardened one.
pub(crate) const STRUCT_FLAGS: c_int = 0;

/// What a failure is, which C is not told: it gets a null pointer, -1 or 0.
pub(crate) struct Number;

impl Number {
    pub(crate) const INVALID: c_int = 1;
    pub(crate) const NO_MEMORY: c_int = 2;
    pub(crate) const INTERRUPTED: c_int = 3;
    pub(crate) const IN_USE: c_int = 4;
    pub(crate) const DAMAGED: c_int = 5;
}

pub(crate) fn set_errno(_: c_int) {}

pub(crate) fn say(_: impl Display) {}

// What mem.h asks of the firmware.
unsafe extern "C" {
    fn mem_lock() -> u32;
    fn mem_unlock(state: u32);
}

/// The firmware's critical section.
struct Firmware;

critical_section::set_impl!(Firmware);

// SAFETY: between the two nothing else runs that uses a heap: mem.h asks for that.
unsafe impl critical_section::Impl for Firmware {
    unsafe fn acquire() -> RawRestoreState {
        // SAFETY: it may be called at any time: mem.h asks for that.
        unsafe { mem_lock() }
    }

    unsafe fn release(state: RawRestoreState) {
        // SAFETY: the state is what `mem_lock` returned, and the calls are nested, as the caller promises.
        unsafe { mem_unlock(state) };
    }
}
