//! Keeps the heap whole over a fork: no other thread is in it while the process is copied.
//!
//! The handlers are registered when the heap is made, in the dynamic loader, before any other library can register its
//! own. Handlers before a fork run in reverse order: ours comes last, so that those of others may allocate; and those
//! behind it in order: ours comes first.
//!
//! The order of locks is libc's own, in which malloc comes last: the list of open files, the record of calls, the heap. Who
//! has one of them waits for none before it.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;

use slabfit::HeapGuard;
use slabfit_linux::FutexLock;

use crate::heap::HEAP;
use crate::libc;
use crate::trace;

/// The hold on the heap, from before a fork until after it.
///
/// Invariant: the content is reached by a thread that has both locks, and no other.
struct Hold(UnsafeCell<Option<Whole>>);

/// The heap, and the record of its calls, which is taken first.
struct Whole {
    heap: HeapGuard<'static, FutexLock>,
    trace: Option<trace::Held>,
}

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
    let held = Whole { heap: HEAP.lock_all(), trace };
    // SAFETY: this thread has both locks: `lock_all` has taken them, or this thread had them before.
    let place = unsafe { &mut *HOLD.0.get() };
    // There is none yet, unless a signal handler forks inside a fork, which none may (POSIX.1-2024): its own has taken nothing.
    place.get_or_insert(held);
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
    match let_heap_go() {
        // SAFETY: as in the parent, whose thread has become this one.
        Some(trace) => unsafe { trace::let_go_in_child(trace) },
        None => trace::orphan(),
    }
}

fn let_heap_go() -> Option<trace::Held> {
    // SAFETY: this thread has both locks since `hold`.
    let held = unsafe { &mut *HOLD.0.get() }.take();
    let Whole { heap, trace } = held?;
    // Here, and not before the content is taken away, the locks go.
    drop(heap);
    trace
}
