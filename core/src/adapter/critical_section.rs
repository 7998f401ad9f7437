//! The program's own critical section as a heap's lock.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, Ordering, compiler_fence};

use ::critical_section::RestoreState;

use crate::adapter::without_unwinding;
use crate::error::Reentered;
use crate::lock::RawLock;

/// The critical section that the program has chosen by the crate critical-section: on a single core it masks interrupts,
/// so that a handler may allocate too.
///
/// While the heap is in use interrupts wait: for the few steps of a request or a free, but all the way through
/// [`check`](crate::Heap::check) and [`repair`](crate::Heap::repair), which look at everything.
///
/// What it does not mask, a non-maskable interrupt or a reason handler, is refused when it comes while the heap is in use.
#[derive(Debug)]
pub struct CriticalSectionLock {
    /// Critical sections nest, and a lock must not.
    held: AtomicBool,
}

// SAFETY: exclusion: inside the section nobody else runs but who cannot be kept out, and to him `held` says no; ordering:
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
        // Who cannot be kept out runs on this core: it is enough that the compiler leaves the heap's work behind this.
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
