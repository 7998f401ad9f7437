//! The lock that a heap asks for, and the value behind it.

use core::cell::{Cell, UnsafeCell};

use crate::error::Reentered;

/// A mutual exclusion lock.
///
/// Which one for which place: [`SpinLock`](crate::SpinLock) where every thread runs on a core of its own and no
/// interrupt handler allocates; one that masks interrupts on a single core and in kernels (a spinning handler would wait
/// for the code it interrupted, for ever); one that sleeps, as `slabfit_linux::FutexLock`, where threads outnumber cores;
/// [`NoLock`] where there is one thread.
///
/// # Safety
/// - After `lock` has answered with a token, no other call of `lock` on the same value does until that token was given
///   to `unlock`.
/// - What was written before an `unlock` is seen after the `lock` that follows it: acquire and release ordering.
/// - Neither panics.
pub unsafe trait RawLock {
    /// An unlocked lock.
    const INIT: Self;

    /// What `lock` leaves for `unlock`, such as the saved interrupt state.
    type Token;

    /// Waits for the lock and takes it.
    ///
    /// # Errors
    /// [`Reentered`] if the calling thread holds the lock already, for locks that know their owner: the caller is then a
    /// signal or interrupt handler, and waiting would never end.
    fn lock(&self) -> Result<Self::Token, Reentered>;

    /// Gives the lock back.
    ///
    /// # Safety
    /// `token` is from the last successful `lock` of this lock, by this thread.
    unsafe fn unlock(&self, token: Self::Token);
}

/// No lock at all, for one thread: a heap with it is not `Sync`. An interrupt that comes in between is refused.
#[derive(Debug)]
pub struct NoLock {
    held: Cell<bool>,
}

// SAFETY: exclusion: `held` refuses a second `lock`, and as `Cell` is not Sync all calls come from one thread, which
// also gives the ordering; nothing panics.
unsafe impl RawLock for NoLock {
    const INIT: Self = Self { held: Cell::new(false) };

    type Token = ();

    #[inline]
    fn lock(&self) -> Result<(), Reentered> {
        if self.held.replace(true) { Err(Reentered) } else { Ok(()) }
    }

    #[inline]
    unsafe fn unlock(&self, (): ()) {
        self.held.set(false);
    }
}

/// A value that is reached under its lock alone. Two of them never share a cache line.
#[repr(align(64))]
pub(crate) struct Locked<L, T> {
    lock: L,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by `with` alone, which excludes other threads by `L`'s contract; so it is as if sent from
// thread to thread, which T: Send allows. The lock itself is shared, which L: Sync allows.
unsafe impl<L: Sync, T: Send> Sync for Locked<L, T> {}

impl<L: RawLock, T> Locked<L, T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { lock: L::INIT, value: UnsafeCell::new(value) }
    }

    /// Runs `work` on the value. It must not call out: it holds the lock.
    #[inline]
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Result<R, Reentered> {
        let token = self.lock.lock()?;
        // SAFETY: exclusive: between `lock` and `unlock` no other call of `with` is here, by `RawLock`'s contract, and
        // `work` gets no way back to `self.value` but through `lock`.
        let result = work(unsafe { &mut *self.value.get() });
        // SAFETY: the token is from the `lock` above, in this thread.
        unsafe { self.lock.unlock(token) };
        Ok(result)
    }
}
