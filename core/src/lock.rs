//! The lock that a heap needs, and the value that it guards.
#![allow(unsafe_code)]

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use crate::error::Reentered;
use crate::sync::{MutPtr, UnsafeCell};

/// A mutual exclusion lock.
///
/// Which lock to choose: [`SpinLock`](crate::SpinLock) where every thread runs on a core of its own and no
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

    /// Takes the lock as [`lock`](Self::lock) does, for a thread that must not wait while it holds `other`.
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
        if self.held.replace(true) { Err(Reentered) } else { Ok(()) }
    }

    #[inline]
    unsafe fn unlock(&self, (): ()) {
        self.held.set(false);
    }
}

/// A value that is reached under its lock alone. On 64-bit targets two of them never share a cache line.
#[cfg_attr(target_pointer_width = "64", repr(align(64)))]
pub(crate) struct Locked<L, T> {
    lock: L,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through a guard alone, of which there is one at a time by `L`'s contract; so it is as if sent from
// thread to thread, which T: Send allows. The lock itself is shared, which L: Sync allows.
unsafe impl<L: Sync, T: Send> Sync for Locked<L, T> {}

impl<L: RawLock, T> Locked<L, T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { lock: L::INIT, value: UnsafeCell::new(value) }
    }

    /// Waits for the lock and takes it.
    #[inline(always)]
    pub(crate) fn lock(&self) -> Result<Guard<'_, L, T>, Reentered> {
        Ok(self.guard(self.lock.lock()?))
    }

    /// Takes the lock as [`lock`](Self::lock) does, for a thread that must not wait while it holds the lock of `other`.
    #[inline(always)]
    pub(crate) fn lock_unless_holding<U>(&self, other: &Locked<L, U>) -> Result<Guard<'_, L, T>, Reentered> {
        Ok(self.guard(self.lock.lock_unless_holding(&other.lock)?))
    }

    /// Makes the guard for the lock that was just taken; `token` is its token.
    #[inline(always)]
    fn guard(&self, token: L::Token) -> Guard<'_, L, T> {
        let hold = Hold { lock: &self.lock, token: ManuallyDrop::new(token), of_this_thread: PhantomData };
        Guard { value: self.value.get_mut(), hold }
    }
}

/// A lock that is given back when this is dropped.
///
/// Invariants: `token` is from the last `lock` of `lock`, and is there until the drop; this stays on the thread that took
/// it, as the pointer says: it is not Send.
pub(crate) struct Hold<'l, L: RawLock> {
    lock: &'l L,
    token: ManuallyDrop<L::Token>,
    of_this_thread: PhantomData<*mut ()>,
}

impl<L: RawLock> Drop for Hold<'_, L> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: this is the one drop.
        let token = unsafe { ManuallyDrop::take(&mut self.token) };
        // SAFETY: the token is from the last `lock`, in this thread, by the invariants.
        unsafe { self.lock.unlock(token) };
    }
}

/// The exclusive use of a value, for as long as its lock is held.
///
/// Invariant: `hold` is of the lock of the value that `value` leads to. It is dropped last.
pub(crate) struct Guard<'l, L: RawLock, T> {
    value: MutPtr<T>,
    hold: Hold<'l, L>,
}

impl<'l, L: RawLock, T> Guard<'l, L, T> {
    /// Keeps the lock and gives the value up.
    pub(crate) fn into_hold(self) -> Hold<'l, L> {
        self.hold
    }
}

impl<L: RawLock, T> Deref for Guard<'_, L, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: valid, and shared with nothing but other shared borrows of this guard: the lock is held. An exclusive reference
        // on the way would end those.
        self.value.with(|value| unsafe { &*value })
    }
}

impl<L: RawLock, T> DerefMut for Guard<'_, L, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: exclusive: the lock is held, and this guard is borrowed exclusively.
        unsafe { self.value.deref() }
    }
}
