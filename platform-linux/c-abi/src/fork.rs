//! Has libc hold the process's heap while it forks, so that a child can use it whatever other threads were doing.
//!
//! Before it libc's list of open files is taken. A fork takes that after its handlers have run; and a stream of the program's own
//! making (`fopencookie`) may wait for the heap, where a thread that flushes all files waits for the stream.
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
    if !REGISTERED.load(Ordering::Acquire) && pthread_atfork(hold, let_go, let_go_in_child) == 0 {
        REGISTERED.store(true, Ordering::Release);
    }
}

extern "C" fn hold() {
    files::hold();
    HEAP.hold_for_fork();
}

extern "C" fn let_go() {
    // SAFETY: libc calls the three of a registration in turn: `hold` before a fork, and one of the others on each side.
    unsafe { HEAP.let_go_after_fork() };
    files::let_go();
}

extern "C" fn let_go_in_child() {
    // SAFETY: as above.
    unsafe { HEAP.let_go_after_fork() };
    files::let_go_in_child();
}

/// libc's lock on its list of open files, which counts its owner's calls.
#[cfg(target_env = "gnu")]
mod files {
    #[link(name = "c")]
    unsafe extern "C" {
        safe fn _IO_list_lock();
        safe fn _IO_list_unlock();
        safe fn _IO_list_resetlock();
    }

    pub(super) fn hold() {
        _IO_list_lock();
    }

    pub(super) fn let_go() {
        _IO_list_unlock();
    }

    /// Whatever libc has done: it makes the lock anew only where there were several threads.
    pub(super) fn let_go_in_child() {
        _IO_list_resetlock();
    }
}

/// Other libcs have no such functions.
#[cfg(not(target_env = "gnu"))]
mod files {
    pub(super) fn hold() {}
    pub(super) fn let_go() {}
    pub(super) fn let_go_in_child() {}
}
