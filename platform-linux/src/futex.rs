//! The lock of a heap that the threads of a process share: a futex mutex whose word names its owner.
//!
//! A mutex needs three states (unlocked, locked, and locked with sleepers, so that an unlock nobody waits for costs no
//! system call). Here "locked" also says by whom, because a signal handler may allocate while its own thread is inside
//! the heap: waiting would then last for ever, so the lock has to tell its own thread from the others. Were the owner
//! written down beside the lock, there would be a moment, after taking it and before writing, in which a handler finds
//! no owner and waits. One compare-and-swap that puts the owner *into* the word leaves no such moment.
//!
//! The word: 0 = unlocked; a thread's identity = locked by it; that identity | 1 = the same, and somebody may sleep.
//!
//! # Why half a word is enough to sleep on
//! The kernel compares 32 bits before it puts a waiter to sleep, so on 64-bit targets the waiters look at the word's low
//! half, and the identities of two threads may share theirs. That does no harm. What a waiter must never do is sleep
//! while the word is unlocked or does not say that somebody sleeps: in both cases the lowest bit is 0, it is 1 in what
//! the waiter expects, so the halves differ. If they are equal, whoever holds the lock will find the bit when it unlocks
//! and will wake a waiter, whichever thread it is.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use rustix::thread::futex;
use slabfit::{RawLock, Reentered};

const UNLOCKED: usize = 0;
/// Set beside the owner's identity while some thread may be asleep.
const CONTENDED: usize = 1;

/// How often a waiter looks before it sleeps: about a microsecond, many times what a heap operation takes. A holder
/// that is running will be done by then; one that was preempted will not be, and spinning on would only delay it.
const SPINS: u32 = 100;

/// A mutex that spins briefly and then sleeps, and that refuses a thread which holds it already.
///
/// Not fair: whoever comes first after an unlock gets it. A signal handler that uses a heap while its own thread is
/// inside that heap gets [`Reentered`] at once, also where it would have to wait for the other of the heap's two locks;
/// otherwise it may wait, as anybody, for a lock that another thread holds. (Two handlers that use two heaps crosswise,
/// each in a thread that it interrupted inside the other's heap, can still wait for each other.)
///
/// On x86 a thread is known by its thread pointer, which the ELF ABI keeps at `fs:0` (`gs:0` on 32 bits): every libc
/// sets it up for every thread. On AArch64 it is `tpidr_el0`, and on other targets the kernel is asked for the thread's
/// id, which costs a system call.
#[derive(Debug)]
pub struct FutexLock {
    word: AtomicUsize,
}

// SAFETY: `lock` returns Ok only after a compare-and-swap of the word from unlocked to this thread's identity, which
// no other thread can repeat before `unlock` has put unlocked back: mutual exclusion. The former acquires and the
// latter releases: what one holder wrote, the next one sees.
unsafe impl RawLock for FutexLock {
    const INIT: Self = Self { word: AtomicUsize::new(UNLOCKED) };

    type Token = ();

    #[inline]
    fn lock(&self) -> Result<(), Reentered> {
        let me = this_thread();
        if self.word.try_change(UNLOCKED, me) { Ok(()) } else { lock_slow(&self.word, me) }
    }

    #[inline]
    fn lock_beside(&self, other: &Self) -> Result<(), Reentered> {
        let me = this_thread();
        if self.word.try_change(UNLOCKED, me) {
            return Ok(());
        }
        // From here on this thread would wait.
        if holds(&other.word, me) { Err(Reentered) } else { lock_slow(&self.word, me) }
    }

    #[inline]
    unsafe fn unlock(&self, (): ()) {
        unlock(&self.word);
    }
}

/// What the mutex needs of its word and of the kernel. A trait, so that a model checker can take the place of both.
trait Word {
    /// The value at present. Orders nothing.
    fn look(&self) -> usize;
    /// Puts `new` in the place of `seen`, or does nothing. Acquires.
    fn try_change(&self, seen: usize, new: usize) -> bool;
    /// Unlocks and returns the value before. Releases.
    fn release(&self) -> usize;
    /// Sleeps while the value is `seen`; may return at any time.
    fn wait(&self, seen: usize);
    /// Wakes one of those that sleep in `wait`, if any does.
    fn wake_one(&self);
}

/// Whether the lock is this thread's, which only this thread can change.
fn holds<W: Word>(word: &W, me: usize) -> bool {
    word.look() & !CONTENDED == me
}

#[cold]
fn lock_slow<W: Word>(word: &W, me: usize) -> Result<(), Reentered> {
    if holds(word, me) {
        return Err(Reentered);
    }
    // A thread that has slept cannot know whether others still do, so it takes the lock as contended: at worst one
    // wake-up too many, never one too few.
    let mut mine = me;
    loop {
        let seen = spin(word);
        if seen == UNLOCKED {
            if word.try_change(UNLOCKED, mine) {
                return Ok(());
            }
            continue;
        }
        let contended = seen | CONTENDED;
        if seen == contended || word.try_change(seen, contended) {
            word.wait(contended);
            mine = me | CONTENDED;
        }
    }
}

/// Waits, briefly and awake, for an unlock. Plain loads leave the cache line with its holder; and where others sleep
/// already, this thread is not ahead of them and does not spin.
fn spin<W: Word>(word: &W) -> usize {
    for _ in 0..SPINS {
        let seen = word.look();
        if seen == UNLOCKED || seen & CONTENDED != 0 {
            return seen;
        }
        core::hint::spin_loop();
    }
    word.look()
}

#[inline]
fn unlock<W: Word>(word: &W) {
    if word.release() & CONTENDED != 0 {
        wake(word);
    }
}

#[cold]
fn wake<W: Word>(word: &W) {
    word.wake_one();
}

impl Word for AtomicUsize {
    #[inline]
    fn look(&self) -> usize {
        self.load(Ordering::Relaxed)
    }

    #[inline]
    fn try_change(&self, seen: usize, new: usize) -> bool {
        self.compare_exchange(seen, new, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    fn release(&self) -> usize {
        self.swap(UNLOCKED, Ordering::Release)
    }

    fn wait(&self, seen: usize) {
        // An error says that the value is another one or that a signal came: the caller looks again in any case.
        let _ = futex::wait(low_half(self), futex::Flags::PRIVATE, seen as u32, None);
    }

    fn wake_one(&self) {
        // It fails for an address that is no memory of this process, which a reference never is.
        let _ = futex::wake(low_half(self), futex::Flags::PRIVATE, 1);
    }
}

/// The half of the word that the kernel looks at.
fn low_half(word: &AtomicUsize) -> &AtomicU32 {
    let halves = word.as_ptr().cast::<u32>();
    let index = if cfg!(target_endian = "big") { size_of::<usize>() / size_of::<u32>() - 1 } else { 0 };
    // SAFETY: `index` is 0, or 1 in a word of two halves.
    let half = unsafe { halves.add(index) };
    // SAFETY: it lies inside `word`, aligned, for as long as `word` is borrowed; only its address goes to the kernel,
    // so this program never reads or writes one memory location atomically in two sizes.
    unsafe { AtomicU32::from_ptr(half) }
}

/// Names the calling thread: the same number for as long as the thread lives, even, never 0, and never that of another
/// thread that lives at the same time.
#[inline]
fn this_thread() -> usize {
    let thread: usize;
    #[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
    // SAFETY: the ELF ABI has the thread's own control block, which fs names, begin with its own address. The load
    // touches no stack and no flags.
    unsafe {
        core::arch::asm!("mov {}, fs:[0]", out(reg) thread, options(nostack, preserves_flags, readonly));
    }
    #[cfg(target_arch = "x86")]
    // SAFETY: the ELF ABI has the thread's own control block, which gs names, begin with its own address. The load
    // touches no stack and no flags.
    unsafe {
        core::arch::asm!("mov {}, gs:[0]", out(reg) thread, options(nostack, preserves_flags, readonly));
    }
    #[cfg(all(target_arch = "aarch64", target_pointer_width = "64"))]
    // SAFETY: user space may read its thread pointer at any time; that touches no memory, no stack and no flags.
    unsafe {
        core::arch::asm!("mrs {}, tpidr_el0", out(reg) thread, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(
        all(any(target_arch = "x86_64", target_arch = "aarch64"), target_pointer_width = "64"),
        target_arch = "x86"
    )))]
    {
        // A thread id is positive and below 2^22. After a fork the child's is another one than its parent had.
        thread = (rustix::thread::gettid().as_raw_nonzero().get() as usize) << 1;
    }
    thread
}
