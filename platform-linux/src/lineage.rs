//! Whether this process was made from another one without a word: by `clone` or `_Fork`, past the handlers of `fork`.
//!
//! Such a child has the memory of its parent and one of its threads. A lock that another thread held at that moment is never
//! given back, and what it guards may be half changed. The kernel tells: it clears a page in every child that has memory of
//! its own, however the child was made. (One that shares its parent's memory, as after `vfork`, shares the threads' progress
//! too, and waits as they do.)
#![allow(unsafe_code)]

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
#[cfg(not(slabfit_loom))]
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// A page of one word, which is 1 in a process that knows of its making and 0 in others. Null before there is a heap, and
/// where the kernel does not know how to clear it (before Linux 4.14): then nobody is told apart.
static WORD: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

const SIZE: usize = size_of::<AtomicU32>();

/// From `linux/sched.h`: rustix has no name for it.
#[cfg(not(slabfit_loom))]
const CLONE_THREAD: u32 = 0x0001_0000;

/// Makes the page, once in a process. To be called before a heap has memory.
pub(crate) fn begin() {
    if !WORD.load(Ordering::Acquire).is_null() {
        return;
    }
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: without a wish for an address the kernel gives one where nothing is mapped.
    let Ok(page) = (unsafe { mmap_anonymous(ptr::null_mut(), SIZE, access, flags) }) else { return };
    // SAFETY: the page is this function's own, and nothing is in it.
    let clears = unsafe { madvise(page, SIZE, Advice::LinuxWipeOnFork) }.is_ok();
    // SAFETY: mapped, zeroed and aligned, for as long as it is used here.
    unsafe { AtomicU32::from_ptr(page.cast()) }.store(1, Ordering::Relaxed);
    let first =
        clears && WORD.compare_exchange(ptr::null_mut(), page.cast(), Ordering::AcqRel, Ordering::Relaxed).is_ok();
    if !first {
        // SAFETY: the page is nobody else's: it was not published.
        let _ = unsafe { munmap(page, SIZE) };
    }
}

/// The word, if there is one.
fn word() -> Option<&'static AtomicU32> {
    // SAFETY: null, or a word in a page that is mapped for ever.
    unsafe { WORD.load(Ordering::Acquire).as_ref() }
}

/// This process knows of its making: to be called in a child, by its handler, when its locks are whole.
pub(crate) fn adopt() {
    if let Some(word) = word() {
        word.store(1, Ordering::Relaxed);
    }
}

/// Whether this process is a child that was made past the handlers of `fork`, as by `clone` or `_Fork`, since the first heap
/// here was made: a lock may be one of a thread that it does not have, and a heap that refuses a call as
/// [`Reentered`](slabfit::Reentered) may do so for ever.
#[must_use]
pub fn is_orphan() -> bool {
    word().is_some_and(|word| word.load(Ordering::Relaxed) == 0)
}

/// Whether the calling thread is certainly the only one of its process. (The threads of a model are no threads of the kernel's.)
#[cfg(not(slabfit_loom))]
pub(crate) fn is_alone() -> bool {
    // The kernel refuses to take a thread out of its group, unless there is no other one in it: then there is nothing to do.
    // SAFETY: it changes nothing, least of all the table of open files.
    unsafe { unshare_unsafe(UnshareFlags::from_bits_retain(CLONE_THREAD)) }.is_ok()
}
