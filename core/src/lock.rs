//! The lock that a heap asks for, and the value behind it.

use core::cell::Cell;
use core::marker::PhantomData;

use crate::error::Reentered;
use crate::switch::wrong;
use crate::sync::UnsafeCell;

/// A mutual exclusion lock.
///
/// Which one for which place: [`SpinLock`](crate::SpinLock) where every thread runs on a core of its own and no
/// interrupt handler allocates; one that masks interrupts on a single core and in kernels (a spinning handler would wait
/// for the code it interrupted, for ever); one that sleeps, as `slabfit_linux::FutexLock`, where threads outnumber cores;
/// [`NoLock`] where there is one thread.
///
/// # Safety
/// Here `lock` is also `lock_unless_holding`.
/// - After `lock` has answered with a token, no other call of `lock` on the same value does until that token was given
///   to `unlock`.
/// - What was written before an `unlock` is seen after the `lock` that follows it: acquire and release ordering.
/// - Where `Token` is `()`, locks may be given back in any order.
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

    /// The same, for a thread that must not wait while it holds `other`.
    ///
    /// A heap has two locks and never waits for one while it holds the other, but a signal handler may interrupt it in
    /// one and wait for the other. Two threads that do so crosswise would wait for ever, so a lock that knows its owner
    /// refuses to wait then.
    ///
    /// # Errors
    /// [`Reentered`] if the calling thread holds this lock, or if it holds `other` and would have to wait.
    #[inline]
    fn lock_unless_holding(&self, other: &Self) -> Result<Self::Token, Reentered> {
        let _ = other;
        self.lock()
    }

    /// Gives the lock back.
    ///
    /// # Safety
    /// `token` is from the last successful `lock` or `lock_unless_holding` of this lock, by this thread.
    unsafe fn unlock(&self, token: Self::Token);
}

/// No lock at all, for one thread and no interrupt handler: a heap with it is not `Sync`. A call from inside the heap is
/// refused.
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
        if wrong!("no-lock-held", self.held.replace(true)) { Err(Reentered) } else { Ok(()) }
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

// SAFETY: the value is reached by `with_token` alone, which excludes other threads by `L`'s contract; so it is as if sent from
// thread to thread, which T: Send allows. The lock itself is shared, which L: Sync allows.
unsafe impl<L: Sync, T: Send> Sync for Locked<L, T> {}

impl<L: RawLock, T> Locked<L, T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { lock: L::INIT, value: UnsafeCell::new(value) }
    }

    /// Runs `work` on the value. It must not call out, as it holds the lock; what `with_free_ranges` calls knows that.
    #[inline]
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Result<R, Reentered> {
        self.with_token(self.lock.lock(), work)
    }

    /// The same, for a thread that must not wait while it holds the lock of `other`.
    #[inline]
    pub(crate) fn with_beside<U, R>(
        &self,
        other: &Locked<L, U>,
        work: impl FnOnce(&mut T) -> R,
    ) -> Result<R, Reentered> {
        self.with_token(self.lock.lock_unless_holding(&other.lock), work)
    }

    /// `token` is what this value's lock has just answered.
    #[inline]
    fn with_token<R>(
        &self,
        token: Result<L::Token, Reentered>,
        work: impl FnOnce(&mut T) -> R,
    ) -> Result<R, Reentered> {
        // Given back also where the one caller's `work` that is not the crate's own panics.
        let _hold = Hold { lock: &self.lock, token: Some(token?), of_this_thread: PhantomData };
        // SAFETY: exclusive: between `lock` and `unlock` no other call is here, by `RawLock`'s contract, and
        // `work` gets no way back to `self.value` but through `lock`.
        Ok(self.value.with_mut(|value| work(unsafe { &mut *value })))
    }

    /// Takes the lock and leaves the value alone, until the answer is dropped.
    pub(crate) fn hold(&self) -> Result<Hold<'_, L>, Reentered> {
        let token = self.lock.lock()?;
        Ok(Hold { lock: &self.lock, token: Some(token), of_this_thread: PhantomData })
    }
}

/// A lock that is given back when this is dropped.
///
/// Invariants: `token` is from the last `lock` of `lock`, and is there until the drop; this stays on the thread that took
/// it, which the pointer says: it is not Send.
pub(crate) struct Hold<'l, L: RawLock> {
    lock: &'l L,
    token: Option<L::Token>,
    of_this_thread: PhantomData<*mut ()>,
}

impl<L: RawLock> Drop for Hold<'_, L> {
    fn drop(&mut self) {
        // Not reached: a hold without its token, which is there until this.
        if let Some(token) = self.token.take() {
            // SAFETY: the token is from the last `lock`, in this thread, by the invariants.
            unsafe { self.lock.unlock(token) };
        }
    }
}
