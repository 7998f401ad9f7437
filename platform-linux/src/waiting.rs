//! What the lock asks of the machine and of the kernel: atomics, a pause, sleep, and who the calling thread is.
//!
//! tests/loom has a model checker's answers in its place, so that what it checks is the lock itself.
#![allow(unsafe_code)]

use core::sync::atomic::AtomicU32;

use rustix::io::Errno;
use rustix::thread::{Timespec, futex, sched_yield};

pub(crate) use core::sync::atomic::{AtomicUsize, Ordering};

/// How often a waiter looks before it sleeps.
pub(crate) const LOOKS: u32 = 3;

/// How often it gives the processor away between two looks.
const YIELDS: u32 = 8;

/// Passes the time between two looks: the processor goes to whoever else wants it, the holder perhaps.
///
/// A pause instruction is too short, and so is a single yield. Each look takes the lock's cache line away from its holder,
/// and a look that finds the lock free takes all of the heap's; the holder could do dozens of operations in the time that
/// this costs, and does so meanwhile: fewer looks, more work.
pub(crate) fn pause() {
    for _ in 0..YIELDS {
        sched_yield();
    }
}

/// Sleeps while the word is `seen`, as far as its low half tells; may return at any time.
pub(crate) fn sleep(word: &AtomicUsize, seen: usize) {
    // An error says that the value is another one or that a signal came: the caller looks again in any case.
    let _ = futex::wait(low_half(word), futex::Flags::PRIVATE, seen as u32, None);
}

/// Sleeps as [`sleep`] does, for 10 ms at most. Returns whether these have passed.
pub(crate) fn sleep_a_moment(word: &AtomicUsize, seen: usize) -> bool {
    const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    futex::wait(low_half(word), futex::Flags::PRIVATE, seen as u32, Some(&MOMENT)) == Err(Errno::TIMEDOUT)
}

/// Wakes one of those that `sleep` on the word, if any does.
pub(crate) fn wake_one(word: &AtomicUsize) {
    // It fails for an address that is no memory of this process, which a reference never is.
    let _ = futex::wake(low_half(word), futex::Flags::PRIVATE, 1);
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
pub(crate) fn this_thread() -> usize {
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
