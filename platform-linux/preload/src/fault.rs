//! Says in a line which object an access was beside that ends the program: a hardened heap has inaccessible pages.
//!
//! The handler is there for programs that have the default action, and takes itself away when it is called: then the fault comes
//! again, and ends the program as it would have without it.
#![deny(unsafe_code)]

use core::ffi::{c_int, c_void};
use core::fmt::Write;

use slabfit_linux::Output;

use crate::heap::HEAP;
use crate::libc::{self, SignalInfo};

/// Has faults reported. To be called when the library is loaded.
pub(crate) fn report() {
    if HEAP.is_hardened() {
        libc::on_fault(libc::SIGSEGV, on_fault);
        libc::on_fault(libc::SIGBUS, on_fault);
    }
}

/// Allocates nothing. In a thread that is inside the heap nothing is said.
extern "C" fn on_fault(signal: c_int, info: &SignalInfo, _: *mut c_void) {
    if !info.is_fault() {
        // From another process or thread: it does not come again by itself.
        libc::send_to_self(signal);
        return;
    }
    if let Some(trap) = HEAP.trap(info.address()) {
        let _ = writeln!(Output::stderr(), "slabfit: {trap}");
    }
}
