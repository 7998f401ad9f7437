//! The lock of a heap that the threads of a process share: a futex mutex whose word names its owner.
//!
//! A mutex needs three states (unlocked, locked, and locked with sleepers, so that an unlock nobody waits for costs no
//! system call). Here "locked" also says by whom, because a signal handler may allocate while its own thread is inside
//! the heap: waiting would then last for ever, so the lock has to tell its own thread from the others. Were the owner
//! written down beside the lock, there would be a moment, after taking it and before writing, in which a handler finds
//! no owner and waits. One compare-and-swap that puts the owner *into* the word leaves no such moment.
//!
//! The word: 0 = unlocked; a thread's identity = locked by it; that identity | 1 = the same, and somebody may sleep; 1 = locked
//! for ever, by a thread that this process does not have.
//!
//! # Why half a word is enough to sleep on
//! The kernel compares 32 bits before it puts a waiter to sleep, so on 64-bit targets the waiters look at the word's low
//! half, and the identities of two threads may share theirs. That does no harm. What a waiter must never do is sleep
//! while the word is unlocked or does not say that somebody sleeps: in both cases the lowest bit is 0, it is 1 in what
//! the waiter expects, so the halves differ. If they are equal, whoever holds the lock will find the bit when it unlocks
//! and will wake a waiter, whichever thread it is.
#![allow(unsafe_code)]

use slabfit::{RawLock, Reentered};
#[cfg(slabfit_loom)]
use slabfit_loom::{AtomicUsize, LOOKS, Ordering, pause, sleep, this_thread, wake_one};

#[cfg(not(slabfit_loom))]
use crate::{
    lineage,
    waiting::{AtomicUsize, LOOKS, Ordering, pause, sleep, sleep_a_moment, this_thread, wake_one},
};

const UNLOCKED: usize = 0;
/// Set beside the owner's identity while some thread may be asleep.
const CONTENDED: usize = 1;
/// Nobody's, and never to be given back.
const ABANDONED: usize = CONTENDED;

/// How many moments of 10 ms, in a child that knows nothing of its parent's threads and has several of its own, pass without
/// an unlock before a lock counts as one that is never given back. Who holds one does not wait for anything.
#[cfg(not(slabfit_loom))]
const PATIENCE: u32 = 100;

/// A mutex that waits awake for a moment and then sleeps, and that refuses a thread which holds it already.
///
/// Not fair: whoever comes first after an unlock gets it. A signal handler that uses a heap while its own thread is
/// inside that heap gets [`Reentered`] at once, also where it would have to wait for the other of the heap's two locks;
/// otherwise it may wait, as anybody, for a lock that another thread holds. (Two handlers that use two heaps crosswise,
/// each in a thread that it interrupted inside the other's heap, can still wait for each other.)
///
/// In a child that was made past the handlers of `fork`, by `clone` or `_Fork`, a lock that another thread of the parent held is
/// never given back. There it is refused, as [`Reentered`], instead of waited for.
///
/// On x86 a thread is known by its thread pointer, which the ELF ABI keeps at `fs:0` (`gs:0` on 32 bits): every libc
/// sets it up for every thread. On AArch64 it is `tpidr_el0`, and on other targets the kernel is asked for the thread's
/// id, which costs a system call.
#[derive(Debug)]
pub struct FutexLock {
    word: AtomicUsize,
}

// SAFETY: `lock` and `lock_unless_holding` return Ok only after a compare-and-swap of the word from unlocked to this thread's
// identity, which no other thread can repeat before `unlock` has put unlocked back: mutual exclusion. The former acquires
// and the latter releases: what one holder wrote, the next one sees.
unsafe impl RawLock for FutexLock {
    const INIT: Self = Self { word: AtomicUsize::new(UNLOCKED) };

    type Token = ();

    #[inline]
    fn lock(&self) -> Result<(), Reentered> {
        let me = this_thread();
        if self.try_change(UNLOCKED, me) { Ok(()) } else { self.lock_slow(me) }
    }

    #[inline]
    fn lock_unless_holding(&self, other: &Self) -> Result<(), Reentered> {
        let me = this_thread();
        if self.try_change(UNLOCKED, me) {
            return Ok(());
        }
        // From here on this thread would wait.
        if other.is_held_by(me) { Err(Reentered) } else { self.lock_slow(me) }
    }

    #[inline]
    unsafe fn unlock(&self, (): ()) {
        if self.word.swap(UNLOCKED, Ordering::Release) & CONTENDED != 0 {
            self.wake();
        }
    }
}

impl FutexLock {
    /// The word at present. Orders nothing.
    #[inline]
    fn look(&self) -> usize {
        self.word.load(Ordering::Relaxed)
    }

    /// Puts `new` in the place of `seen`, or does nothing. Acquires.
    #[inline]
    fn try_change(&self, seen: usize, new: usize) -> bool {
        self.word.compare_exchange(seen, new, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Whether the lock is this thread's, which only this thread can change.
    fn is_held_by(&self, me: usize) -> bool {
        self.look() & !CONTENDED == me
    }

    #[cold]
    fn lock_slow(&self, me: usize) -> Result<(), Reentered> {
        if self.is_held_by(me) {
            return Err(Reentered);
        }
        // A thread that has slept cannot know whether others still do, so it takes the lock as contended: at worst one
        // wake-up too many, never one too few.
        let mut mine = me;
        loop {
            let seen = self.wait_awake();
            if seen == UNLOCKED {
                if self.try_change(UNLOCKED, mine) {
                    return Ok(());
                }
                continue;
            }
            if seen == ABANDONED {
                return Err(Reentered);
            }
            let contended = seen | CONTENDED;
            if seen == contended || self.try_change(seen, contended) {
                self.sleep(contended)?;
                mine = me | CONTENDED;
            }
        }
    }

    /// Waits, briefly and awake, for an unlock. Plain loads leave the cache line with its holder; and where others sleep
    /// already, this thread is not ahead of them and goes to sleep as well.
    fn wait_awake(&self) -> usize {
        for _ in 0..LOOKS {
            let seen = self.look();
            if seen == UNLOCKED || seen & CONTENDED != 0 {
                return seen;
            }
            pause();
        }
        self.look()
    }

    /// Sleeps while the word is `seen`, unless that is never to change.
    #[cfg(not(slabfit_loom))]
    fn sleep(&self, seen: usize) -> Result<(), Reentered> {
        if !lineage::is_orphan() {
            sleep(&self.word, seen);
            return Ok(());
        }
        // Whoever has it is not this thread. If there is no other, it was one of the parent's.
        let abandoned = lineage::is_alone() || (0..PATIENCE).all(|_| sleep_a_moment(&self.word, seen));
        if abandoned && self.try_change(seen, ABANDONED) { Err(Reentered) } else { Ok(()) }
    }

    #[cfg(slabfit_loom)]
    fn sleep(&self, seen: usize) -> Result<(), Reentered> {
        sleep(&self.word, seen);
        Ok(())
    }

    #[cold]
    fn wake(&self) {
        wake_one(&self.word);
    }
}
