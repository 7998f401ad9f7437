//! Pages without access, for what a hardened heap puts round large objects.
#![allow(unsafe_code)]

use core::ptr::NonNull;

use rustix::mm::{Advice, MprotectFlags, madvise, mprotect};
use slabfit::{Config, Pages, Policy};

/// One for each size that pages have on Linux.
static PAGES: [Pages; 7] = [
    pages(4 << 10),
    pages(8 << 10),
    pages(16 << 10),
    pages(32 << 10),
    pages(64 << 10),
    pages(128 << 10),
    pages(256 << 10),
];

const fn pages(size: usize) -> Pages {
    // SAFETY: the kernel protects pages that are given back to it, and hands out zeros for them.
    unsafe { Pages::new(size, hide, show) }
}

/// Has a hardened heap use pages of `page` bytes.
pub(crate) fn with_fences<P: Policy>(config: Config, page: usize) -> Config {
    let index = page.trailing_zeros().checked_sub(12);
    match index.and_then(|index| PAGES.get(index as usize)) {
        Some(pages) if P::HARDENED => config.pages(pages),
        _ => config,
    }
}

/// Gives the pages back, and takes access away. Locked pages cannot be given back: they stay as they are.
fn hide(pages: NonNull<[u8]>) -> bool {
    let (start, bytes) = (pages.as_ptr().cast(), pages.len());
    // SAFETY: whole pages of a heap's mapping; their bytes are nobody's, says the heap.
    if unsafe { madvise(start, bytes, Advice::LinuxDontNeed) }.is_err() {
        return false;
    }
    // SAFETY: as above.
    unsafe { mprotect(start, bytes, MprotectFlags::empty()) }.is_ok()
}

fn show(pages: NonNull<[u8]>) -> bool {
    let access = MprotectFlags::READ | MprotectFlags::WRITE;
    // SAFETY: whole pages of a heap's mapping, which have this access as a rule.
    unsafe { mprotect(pages.as_ptr().cast(), pages.len(), access) }.is_ok()
}
