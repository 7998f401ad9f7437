//! Pages of free memory go back to the kernel, when asked or by themselves, and nothing else changes.

mod asked;
mod by_itself;

use std::ops::Range;

use slabfit::{Heap, Policy, Segment};
use slabfit_linux::FutexLock;

const MIB: usize = 1 << 20;

/// Bytes of the pages in `addresses` that are resident.
fn resident(addresses: Range<usize>) -> usize {
    // SAFETY: it reads a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("there are pages");
    let mut pages = vec![0u8; addresses.len().div_ceil(page)];
    let start = std::ptr::with_exposed_provenance_mut(addresses.start / page * page);
    // SAFETY: it writes a byte for every page asked about, and reads nothing.
    let asked = unsafe { libc::mincore(start, addresses.len(), pages.as_mut_ptr()) };
    assert_eq!(asked, 0, "{}", std::io::Error::last_os_error());
    pages.iter().filter(|&page| page & 1 != 0).count() * page
}

/// Objects of `size` bytes until `bytes` are live, every byte of each its number.
fn fill<P: Policy>(heap: &Heap<'_, FutexLock, P>, size: usize, bytes: usize) -> Vec<*mut u8> {
    let object = |number: usize| {
        let object = heap.alloc(size).expect("there is memory").as_ptr();
        // SAFETY: of `size` bytes, and nobody else's.
        unsafe { object.write_bytes(number as u8, size) };
        object
    };
    (0..bytes / size).map(object).collect()
}

/// # Safety
/// The object is live, and not used after this.
unsafe fn free<P: Policy>(heap: &Heap<'_, FutexLock, P>, object: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe { heap.free(object) }.expect("the object is live");
}

/// Fills the slab of a heap of 64 MiB with slots of 64 bytes, and frees all but every 1000th. Answers with those.
fn thin_out_the_slab<P: Policy>(heap: &Heap<'_, FutexLock, P>, freed: impl Fn(*mut u8)) -> Vec<(usize, *mut u8)> {
    let slots = fill(heap, 64, 16 * MIB);
    assert_eq!(resident(heap.segment(Segment::Slab)), 16 * MIB);
    for (_, &slot) in slots.iter().enumerate().filter(|(number, _)| number % 1000 != 0) {
        // SAFETY: freed once, and not used any more.
        unsafe { free(heap, slot) };
        freed(slot);
    }
    slots.into_iter().enumerate().step_by(1000).collect()
}
