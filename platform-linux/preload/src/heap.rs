//! The heap of the process, and what becomes of wrong frees.
#![deny(unsafe_code)]

use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

use slabfit::{Reason, InvalidFree};
use slabfit_linux::{Output, ProcessHeap};

use crate::libc;

/// Without memory until the first request: see `start`.
pub(crate) static HEAP: ProcessHeap = ProcessHeap::empty();

/// Whether a wrong free ends the process. Set before the heap has memory.
pub(crate) static ABORT: AtomicBool = AtomicBool::new(false);

/// Says in one line what was wrong with an address that `function` was given.
#[cold]
pub(crate) fn refused(function: &str, wrong: InvalidFree) {
    let _ = writeln!(Output::stderr(), "slabfit: {function}({:#x}): {}", wrong.address, wrong.reason);
    // An interrupted heap does not know the address to be wrong.
    if ABORT.load(Ordering::Relaxed) && wrong.reason != Reason::Reentered {
        libc::abort();
    }
}
