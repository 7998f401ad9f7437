//! Keeps the heap whole over a fork: no other thread is in it while the process is copied.
//!
//! The handlers are registered when the heap is made, in the dynamic loader, before any other library can register its
//! own. Handlers before a fork run in reverse order: ours comes last, so that those of others may allocate; and those
//! after it in order: ours comes first.
//!
//! The order of locks is libc's own, in which malloc comes last: the list of open files, the record of calls, the heap. Who
//! has one of them waits for none before it.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;

use crate::heap::HEAP;
use crate::libc;
use crate::trace;

/// The hold on the record of calls, from before a fork until after it; the heap keeps its own.
///
/// Invariant: the content is reached by a thread that has the heap's locks, and no other.
struct Hold(UnsafeCell<Option<trace::Held>>);

// SAFETY: one thread at a time reaches the content, by the invariant, and what it leaves there it takes away itself: in the
// parent it is the same thread, and in the child the only one, which goes by the same thread pointer.
unsafe impl Sync for Hold {}

static HOLD: Hold = Hold(UnsafeCell::new(None));

/// Once, when there is a heap. May allocate.
pub(crate) fn register() {
    libc::at_fork(hold, let_go, let_go_in_child);
}

extern "C" fn hold() {
    libc::files::hold();
    let trace = trace::hold();
    HEAP.hold_for_fork();
    // SAFETY: this thread has both locks: it has taken them, or had them before.
    let place = unsafe { &mut *HOLD.0.get() };
    // Another fork's, inside which a signal handler forks, stays there; none may do that (POSIX.1-2024).
    if trace.is_some() {
        *place = trace;
    }
}

extern "C" fn let_go() {
    if let Some(trace) = let_heap_go() {
        // SAFETY: from this thread's `hold`, and taken away with the rest.
        unsafe { trace::let_go(trace) };
    }
    libc::files::let_go();
}

extern "C" fn let_go_in_child() {
    libc::files::let_go_in_child();
    let trace = let_heap_go();
    // SAFETY: this is the child, and its one thread.
    unsafe { HEAP.recover_after_fork() };
    match trace {
        // SAFETY: as in the parent, whose thread has become this one.
        Some(trace) => unsafe { trace::let_go_in_child(trace) },
        None => trace::orphan(),
    }
}

fn let_heap_go() -> Option<trace::Held> {
    // SAFETY: this thread has both locks since `hold`.
    let trace = unsafe { &mut *HOLD.0.get() }.take();
    // SAFETY: libc calls the three of a registration in turn: `hold` before a fork, and one of the others on each side.
    unsafe { HEAP.let_go_after_fork() };
    trace
}
