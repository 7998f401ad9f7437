//! The functions that C finds by name for the heap of its process.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_long, c_void};

use slabfit::{Config, NextFit};
use slabfit_linux::ProcessHeap;

use crate::errno::{Answer, Failure, count, pointer, size, status};
use crate::fork;
use crate::platform;
use crate::request;
use crate::stats::Stats;

pub(crate) static HEAP: ProcessHeap<NextFit> = ProcessHeap::empty();

/// A C number that must be above 0.
#[inline]
fn positive(number: c_int) -> Answer<usize> {
    usize::try_from(number).map_err(|_| Failure::INVALID).and_then(request::positive)
}

/// Gives the process its heap and returns the heap's first byte, or null.
// SAFETY: the name is the library's own; so below.
#[unsafe(no_mangle)]
pub extern "C" fn Mem_Init(size: c_int, slab_size: c_int) -> *mut c_void {
    fork::register();
    let init = || Ok(HEAP.init(positive(size)?, Config::new(positive(slab_size)?))?);
    pointer(init())
}

/// Returns `size` bytes, zeroed if they are `slab_size`, or null.
// SAFETY: as for `Mem_Init`.
#[unsafe(no_mangle)]
pub extern "C" fn Mem_Alloc(size: c_int) -> *mut c_void {
    pointer(positive(size).and_then(|size| {
        let object = if size == HEAP.slab_size() { HEAP.alloc_zeroed(size) } else { HEAP.alloc(size) };
        Ok(object?)
    }))
}

/// Returns `count * size` zero bytes, or null.
// SAFETY: as for `Mem_Init`.
#[unsafe(no_mangle)]
pub extern "C" fn Mem_Calloc(count: c_int, size: c_int) -> *mut c_void {
    let calloc = || request::calloc(&HEAP, positive(count)?, positive(size)?);
    pointer(calloc())
}

/// Returns `size` bytes at a multiple of `alignment`, or null.
// SAFETY: as for `Mem_Init`.
#[unsafe(no_mangle)]
pub extern "C" fn Mem_AllocAligned(alignment: c_int, size: c_int) -> *mut c_void {
    let alloc = || request::alloc_aligned(&HEAP, positive(alignment)?, positive(size)?);
    pointer(alloc())
}

/// Gives the object at `ptr` another size, here or elsewhere. Null: the object is as it was.
///
/// # Safety
/// If it succeeds, the object is not used by its old address after this.
// SAFETY: as for `Mem_Init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn Mem_Realloc(ptr: *mut c_void, size: c_int) -> *mut c_void {
    // SAFETY: as the caller promises.
    pointer(positive(size).and_then(|size| unsafe { request::realloc(&HEAP, ptr, size, Some("Mem_Realloc")) }))
}

/// Frees what these functions returned: 0. Any other address is refused, reported and changes nothing: -1.
///
/// # Safety
/// The object is not used after this.
// SAFETY: as for `Mem_Init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn Mem_Free(ptr: *mut c_void) -> c_int {
    // SAFETY: as the caller promises.
    status(unsafe { request::free(&HEAP, ptr, Some("Mem_Free")) })
}

/// Bytes that the object at `ptr` can hold; 0 for null and for an address of no object.
// SAFETY: as for `Mem_Init`.
#[unsafe(no_mangle)]
pub extern "C" fn Mem_UsableSize(ptr: *const c_void) -> usize {
    size(request::usable_size(&HEAP, ptr))
}

/// Whether the heap is as it must be: 0, or -1 and a line on standard error.
// SAFETY: as for `Mem_Init`.
#[unsafe(no_mangle)]
pub extern "C" fn Mem_Check() -> c_int {
    status(request::check(&HEAP, Some("Mem_Check")))
}

/// Rewrites every header that was written over, and returns how many there were.
// SAFETY: as for `Mem_Init`.
#[unsafe(no_mangle)]
pub extern "C" fn Mem_Repair() -> c_long {
    count(HEAP.repair().map_err(Failure::from))
}

/// Stores the heap's figures.
///
/// # Safety
/// `stats` is null or can be written to.
// SAFETY: as for `Mem_Init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn Mem_Stats(stats: *mut Stats) -> c_int {
    // SAFETY: as the caller promises.
    status(unsafe { request::stats(&HEAP, stats) })
}

/// Prints both segments to standard output.
// SAFETY: as for `Mem_Init`.
#[unsafe(no_mangle)]
pub extern "C" fn Mem_Dump() {
    platform::dump(&HEAP);
}
