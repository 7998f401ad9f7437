//! The program's critical section as a heap's lock.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, Ordering, compiler_fence};

use ::critical_section::RestoreState;

use crate::error::Reentered;
use crate::hooks::without_unwinding;
use crate::lock::RawLock;

/// The critical section that the program provides for crate critical-section. On a single core it masks interrupts, so that a
/// handler may allocate too.
///
/// Interrupts wait while the heap is in use: for a few steps in a request or a free, but for the whole of
/// [`check`](crate::Heap::check) and [`repair`](crate::Heap::repair), which are linear.
///
/// A handler that it does not mask (a non-maskable interrupt, a fault) is refused if it interrupts the heap.
#[derive(Debug)]
pub struct CriticalSectionLock {
    /// Critical sections nest, and a lock must not.
    held: AtomicBool,
}

// SAFETY: exclusion: inside the section nothing else runs but a handler that is not masked, and `held` refuses that; ordering:
// one section happens before the next; a section that panics ends the program.
unsafe impl RawLock for CriticalSectionLock {
    const INIT: Self = Self { held: AtomicBool::new(false) };

    type Token = RestoreState;

    #[inline]
    fn lock(&self) -> Result<RestoreState, Reentered> {
        // SAFETY: released by `unlock`, which takes this state, or below.
        let restore = without_unwinding(|| unsafe { ::critical_section::acquire() });
        if self.held.load(Ordering::Relaxed) {
            // SAFETY: this is the state of the section just entered, and others end before it.
            without_unwinding(|| unsafe { ::critical_section::release(restore) });
            return Err(Reentered);
        }
        self.held.store(true, Ordering::Relaxed);
        // A handler that is not masked runs on this core: it is enough that the compiler keeps the heap's work after this.
        compiler_fence(Ordering::SeqCst);
        Ok(restore)
    }

    #[inline]
    unsafe fn unlock(&self, token: RestoreState) {
        self.held.store(false, Ordering::Release);
        // SAFETY: the state is that of the section that `lock` entered, in this thread, as the caller promises; sections
        // entered since have ended: a heap calls nobody while it holds its lock, and what `with_free_ranges` calls has
        // returned, its own sections with it.
        without_unwinding(|| unsafe { ::critical_section::release(token) });
    }
}
