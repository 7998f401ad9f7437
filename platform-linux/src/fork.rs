//! Both locks of a process's heap, from before a fork until after it.
//!
//! A child has one thread, and whatever another one was in the middle of stays as it was: a lock that it held is never given
//! back. So the forking thread takes the heap's locks first.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;

use slabfit::{Heap, HeapGuard, Policy};

use crate::futex::FutexLock;
use crate::lineage;

/// What is held of a heap, and how often that was asked for: by one fork if it was told so more than once. (Not by two, one
/// in a signal handler inside the other: fork is none of the functions that a handler may call, by POSIX.1-2024.)
///
/// Invariants: the content is reached by a thread that has both locks, and no other; `held` is there iff `wanted` is not 0.
pub(crate) struct Forks(UnsafeCell<Wanted>);

struct Wanted {
    wanted: usize,
    held: Option<HeapGuard<'static, FutexLock>>,
}

// SAFETY: one thread at a time reaches the content, by the invariant, and what it leaves there it takes away itself: in the
// parent it is the same thread, and in the child the only one, which goes by the same thread pointer. (Where the kernel is asked
// who a thread is, the child's has another number, and would wait for itself were it to use the heap before it lets go.)
unsafe impl Sync for Forks {}
// SAFETY: while something is held its heap is borrowed for ever and does not move; and nothing else belongs to a thread.
unsafe impl Send for Forks {}

impl Forks {
    pub(crate) const fn none() -> Self {
        Self(UnsafeCell::new(Wanted { wanted: 0, held: None }))
    }

    /// Holds `heap`, which is the same in every call.
    pub(crate) fn hold<P: Policy>(&self, heap: &'static Heap<'static, FutexLock, P>) {
        let held = heap.lock_all();
        // SAFETY: this thread has both locks: `lock_all` has taken them, or this thread had them before.
        let forks = unsafe { &mut *self.0.get() };
        forks.wanted = forks.wanted.wrapping_add(1);
        // If there is one, the new one has taken nothing.
        forks.held.get_or_insert(held);
    }

    /// # Safety
    /// The thread has called `hold` once for this call; for a child, its parent's thread has.
    pub(crate) unsafe fn let_go(&self) {
        // SAFETY: this thread has both locks since `hold`, as the caller promises.
        let forks = unsafe { &mut *self.0.get() };
        forks.wanted = forks.wanted.wrapping_sub(1);
        let held = if forks.wanted == 0 { forks.held.take() } else { None };
        // What this process has of its parent's is whole.
        lineage::adopt();
        // Here, and not before the content is taken away, the locks go.
        drop(held);
    }
}
