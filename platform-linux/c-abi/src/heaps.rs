//! The functions that C finds by name for heaps with handles.
//!
//! Of every handle that C passes the same is asked, and written here once: it is null, or what
//! [`mem_heap_create`] or [`mem_heap_create_in`] returned, and no other thread destroys it during the call. A pointer to
//! anything else that can be read is refused as well.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_long, c_void};

use crate::errno::{Failure, count, pointer, size, status};
use crate::handle::{self, MemHeap, Wish, open};
use crate::request::{self, positive};
use crate::stats::Stats;

/// Maps a heap of `size` bytes, or returns null.
// SAFETY: the name is the library's own; so below.
#[unsafe(no_mangle)]
pub extern "C" fn mem_heap_create(size: usize, slab_size: usize, flags: c_int) -> *mut MemHeap {
    pointer(Wish::new(slab_size, flags).and_then(|wish| handle::create(size, wish)))
}

/// Makes a heap of a buffer, or returns null.
///
/// # Safety
/// `buffer` is null, or its `size` bytes are readable, writable and the heap's alone until `mem_heap_destroy`.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_create_in(
    buffer: *mut c_void,
    size: usize,
    slab_size: usize,
    flags: c_int,
) -> *mut MemHeap {
    // SAFETY: as the caller promises.
    pointer(Wish::new(slab_size, flags).and_then(|wish| unsafe { handle::create_in(buffer, size, wish) }))
}

/// Returns `size` bytes, or null.
///
/// # Safety
/// `heap` is a handle, as the module says.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_alloc(heap: *mut MemHeap, size: usize) -> *mut c_void {
    // SAFETY: as the caller promises.
    let heap = unsafe { open(heap) };
    pointer(heap.and_then(|heap| Ok(heap.heap().alloc(positive(size)?)?)))
}

/// Returns `count * size` zero bytes, or null.
///
/// # Safety
/// `heap` is a handle, as the module says.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_calloc(heap: *mut MemHeap, count: usize, size: usize) -> *mut c_void {
    // SAFETY: as the caller promises.
    let heap = unsafe { open(heap) };
    pointer(heap.and_then(|heap| request::calloc(heap.heap(), count, size)))
}

/// Returns `size` bytes at a multiple of `alignment`, or null.
///
/// # Safety
/// `heap` is a handle, as the module says.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_alloc_aligned(heap: *mut MemHeap, alignment: usize, size: usize) -> *mut c_void {
    // SAFETY: as the caller promises.
    let heap = unsafe { open(heap) };
    pointer(heap.and_then(|heap| request::alloc_aligned(heap.heap(), alignment, size)))
}

/// Gives the object at `ptr` another size, here or elsewhere. Null: the object is as it was.
///
/// # Safety
/// `heap` is a handle, as the module says. If it succeeds, the object is not used by its old address after this.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_realloc(heap: *mut MemHeap, ptr: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: as the caller promises.
    let heap = unsafe { open(heap) };
    pointer(heap.and_then(|heap| {
        // SAFETY: as the caller promises.
        unsafe { request::realloc(heap.heap(), ptr, size, heap.reported("mem_heap_realloc")) }
    }))
}

/// Frees an object of this heap: 0. Any other address is refused and changes nothing: -1.
///
/// # Safety
/// `heap` is a handle, as the module says. The object is not used after this.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_free(heap: *mut MemHeap, ptr: *mut c_void) -> c_int {
    // SAFETY: as the caller promises.
    let heap = unsafe { open(heap) };
    status(heap.and_then(|heap| {
        // SAFETY: as the caller promises.
        unsafe { request::free(heap.heap(), ptr, heap.reported("mem_heap_free")) }
    }))
}

/// Bytes that the object at `ptr` can hold; 0 for null and for an address of no object of this heap.
///
/// # Safety
/// `heap` is a handle, as the module says.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_usable_size(heap: *mut MemHeap, ptr: *const c_void) -> usize {
    // SAFETY: as the caller promises.
    let heap = unsafe { open(heap) };
    size(heap.and_then(|heap| request::usable_size(heap.heap(), ptr)))
}

/// Whether the heap is as it must be: 0 or -1.
///
/// # Safety
/// `heap` is a handle, as the module says.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_check(heap: *mut MemHeap) -> c_int {
    // SAFETY: as the caller promises.
    let heap = unsafe { open(heap) };
    status(heap.and_then(|heap| request::check(heap.heap(), heap.reported("mem_heap_check"))))
}

/// Rewrites every header that was written over, and returns how many there were, or -1.
///
/// # Safety
/// `heap` is a handle, as the module says.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_repair(heap: *mut MemHeap) -> c_long {
    // SAFETY: as the caller promises.
    let heap = unsafe { open(heap) };
    count(heap.and_then(|heap| heap.heap().repair().map_err(Failure::from)))
}

/// Stores the heap's figures.
///
/// # Safety
/// `heap` is a handle, as the module says. `stats` is null or can be written to.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_stats(heap: *mut MemHeap, stats: *mut Stats) -> c_int {
    // SAFETY: as the caller promises.
    let heap = unsafe { open(heap) };
    // SAFETY: as the caller promises.
    status(heap.and_then(|heap| unsafe { request::stats(heap.heap(), stats) }))
}

/// Prints both segments to standard output: 0 or -1.
///
/// # Safety
/// `heap` is a handle, as the module says.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_dump(heap: *mut MemHeap) -> c_int {
    // SAFETY: as the caller promises.
    let heap = unsafe { open(heap) };
    status(heap.map(|heap| request::dump(heap.heap())))
}

/// Ends a heap and all its objects: 0, also for null; -1 for what is no handle.
///
/// # Safety
/// `heap` is a handle, as the module says. Neither it nor any object of the heap is used after this.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_destroy(heap: *mut MemHeap) -> c_int {
    if heap.is_null() {
        return 0;
    }
    // SAFETY: as the caller promises.
    status(unsafe { handle::destroy(heap) })
}
