//! A spin lock, for threads that each have a core of their own.
#![allow(unsafe_code)]
#![cfg(target_has_atomic = "8")]

use crate::error::Reentered;
use crate::lock::RawLock;
use crate::sync::{AtomicBool, Ordering, spin_loop};

/// A test-and-test-and-set lock: it waits on a plain load, so that waiters do not take the cache line from the owner.
///
/// It never sleeps and knows no owner. Where threads outnumber cores a waiter burns its time slice while the owner is
/// preempted, and an interrupt or signal handler that allocates while its own thread is in the heap waits for ever: use
/// a lock that sleeps or one that masks interrupts there.
#[derive(Debug)]
pub struct SpinLock {
    locked: AtomicBool,
}

// SAFETY: exclusion: only the `swap` or exchange that changes `false` to `true` takes the lock, and only `unlock` changes
// it back; ordering: Acquire there, Release here; nothing panics.
unsafe impl RawLock for SpinLock {
    const INIT: Self = Self { locked: AtomicBool::new(false) };

    type Token = ();

    #[inline]
    fn lock(&self) -> Result<(), Reentered> {
        while self.locked.swap(true, Ordering::Acquire) {
            while self.locked.load(Ordering::Relaxed) {
                spin_loop();
            }
        }
        Ok(())
    }

    #[inline]
    unsafe fn unlock(&self, (): ()) {
        self.locked.store(false, Ordering::Release);
    }
}
