//! Has libc hold the process's heap while it forks, so that a child can use it whatever other threads were doing.
#![allow(unsafe_code)]

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::process::HEAP;

#[link(name = "c")]
unsafe extern "C" {
    safe fn pthread_atfork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> c_int;
}

static REGISTERED: AtomicBool = AtomicBool::new(false);

/// The dynamic loader calls what stands in this section when the library is loaded. `Mem_Init` would be too late: libc has a
/// lock of its own for its list, and a signal handler that interrupted `Mem_Init` there would wait for it for ever.
#[used]
// SAFETY: the section holds pointers to functions that may be called with no arguments, and this is one.
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = register;

/// Before the heap is made, whose locks are taken for that. Threads that come at once all do so: none may go on before it
/// is done, and none may wait here, where a fork would leave its child waiting.
pub(crate) extern "C" fn register() {
    // Where libc had no memory for another handler, the next call tries again.
    if !REGISTERED.load(Ordering::Acquire) && pthread_atfork(hold, let_go, let_go) == 0 {
        REGISTERED.store(true, Ordering::Release);
    }
}

extern "C" fn hold() {
    HEAP.hold_for_fork();
}

extern "C" fn let_go() {
    // SAFETY: libc calls the three of a registration in turn: `hold` before a fork, and this once on each side.
    unsafe { HEAP.let_go_after_fork() };
}
