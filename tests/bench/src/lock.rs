//! The lock around each peer: the very type that slabfit's heap uses.

use parking_lot::lock_api::RawMutex as _;
use slabfit::RawLock;
use std::cell::UnsafeCell;
use std::process::abort;

/// A value behind a [`RawLock`].
pub struct Locked<L, T> {
    lock: L,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only through `with`, which holds the lock; peers own what they point to (the region).
unsafe impl<L: RawLock + Sync, T> Sync for Locked<L, T> {}

impl<L: RawLock, T> Locked<L, T> {
    /// The value with a lock of its own.
    pub fn new(value: T) -> Self {
        Self { lock: L::INIT, value: UnsafeCell::new(value) }
    }

    /// Runs `work` with the lock held.
    #[inline(always)]
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let Ok(token) = self.lock.lock() else { abort() };
        // SAFETY: the lock is held, so no other reference to the value exists.
        let result = work(unsafe { &mut *self.value.get() });
        // SAFETY: the token is from the `lock` above, and the reference has ended.
        unsafe { self.lock.unlock(token) };
        result
    }
}

/// parking_lot's mutex, what a hosted program puts around a peer: the peers' other choice in the threads row.
pub struct ParkingLock(parking_lot::RawMutex);

// SAFETY: `RawMutex` promises mutual exclusion between its lock and unlock, with the ordering that a mutex needs.
unsafe impl RawLock for ParkingLock {
    const INIT: Self = Self(parking_lot::RawMutex::INIT);
    type Token = ();

    #[inline]
    fn lock(&self) -> Result<(), slabfit::Reentered> {
        self.0.lock();
        Ok(())
    }

    #[inline]
    unsafe fn unlock(&self, (): ()) {
        // SAFETY: the caller holds the lock.
        unsafe { self.0.unlock() };
    }
}
