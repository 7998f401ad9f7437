//! The functions that C finds by name for heaps with handles.
//!
//! Of every handle that C passes the same is asked, and written here once: it is null, or what
//! [`mem_heap_create`], [`mem_heap_create_in`] or [`mem_heap_create_with`] returned, and no other thread destroys it during the call. A pointer to
//! anything else that can be read is refused as well.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_long, c_void};

use crate::errno::{Failure, answer, count, pointer, size, status};
use crate::handle::{self, MemHeap, open, with_heap};
use crate::options::{HeapOptions, Options};
#[cfg(target_os = "linux")]
use crate::platform;
use crate::request::{self, positive};
use crate::stats::{ClassStats, Stats};
use crate::walk::{self, Visit};

/// Maps a heap of `size` bytes, or returns null.
// SAFETY: the name is the library's own; so below.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
pub extern "C" fn mem_heap_create(size: usize, slab_size: usize, flags: c_int) -> *mut MemHeap {
    pointer(Options::of_flags(slab_size, flags).and_then(|options| handle::create(size, options)))
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
    pointer(Options::of_flags(slab_size, flags).and_then(|options| unsafe { handle::create_in(buffer, size, options) }))
}

/// Makes a heap as `options` says, or returns null.
///
/// # Safety
/// `options` is null or can be read. Its buffer is null, or its `size` bytes are readable, writable and the heap's alone until
/// `mem_heap_destroy`.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_create_with(options: *const HeapOptions) -> *mut MemHeap {
    let create = || {
        if options.is_null() {
            return Err(Failure::INVALID);
        }
        // SAFETY: not null, so it can be read, as the caller promises.
        let asked = unsafe { options.read_unaligned() };
        let options = Options::of_struct(&asked)?;
        if asked.buffer.is_null() {
            return handle::create(asked.size, options);
        }
        // SAFETY: as the caller promises.
        unsafe { handle::create_in(asked.buffer, asked.size, options) }
    };
    pointer(create())
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
    pointer(heap.and_then(|opened| Ok(with_heap!(opened, heap => heap.alloc(positive(size)?))?)))
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
    pointer(heap.and_then(|opened| with_heap!(opened, heap => request::calloc(heap, count, size))))
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
    pointer(heap.and_then(|opened| with_heap!(opened, heap => request::alloc_aligned(heap, alignment, size))))
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
    pointer(heap.and_then(|opened| {
        let reported = opened.reported("mem_heap_realloc");
        // SAFETY: as the caller promises.
        with_heap!(opened, heap => unsafe { request::realloc(heap, ptr, size, reported) })
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
    status(heap.and_then(|opened| {
        let reported = opened.reported("mem_heap_free");
        // SAFETY: as the caller promises.
        with_heap!(opened, heap => unsafe { request::free(heap, ptr, reported) })
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
    size(heap.and_then(|opened| with_heap!(opened, heap => request::usable_size(heap, ptr))))
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
    status(heap.and_then(|opened| {
        let reported = opened.reported("mem_heap_check");
        with_heap!(opened, heap => request::check(heap, reported))
    }))
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
    count(heap.and_then(|opened| with_heap!(opened, heap => heap.repair().map_err(Failure::from))))
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
    status(heap.and_then(|opened| with_heap!(opened, heap => unsafe { request::stats(heap, stats) })))
}

/// Stores the figures of the heap's size classes, `room` of them at most, and returns how many the heap has, or -1.
///
/// # Safety
/// `heap` is a handle, as the module says. `classes` is null or `room` of them can be written there.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_class_stats(heap: *mut MemHeap, classes: *mut ClassStats, room: usize) -> c_long {
    // SAFETY: as the caller promises.
    let heap = unsafe { open(heap) };
    // SAFETY: as the caller promises.
    count(heap.and_then(|opened| with_heap!(opened, heap => unsafe { request::class_stats(heap, classes, room) })))
}

/// Prints both segments to standard output: 0 or -1.
///
/// # Safety
/// `heap` is a handle, as the module says.
// SAFETY: as for `mem_heap_create`.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_dump(heap: *mut MemHeap) -> c_int {
    // SAFETY: as the caller promises.
    let heap = unsafe { open(heap) };
    status(heap.map(|opened| with_heap!(opened, heap => platform::dump(heap))))
}

/// Calls `callback` for every slot and every block, until it returns other than 0, and returns that; -1 without a callback.
///
/// # Safety
/// `heap` is a handle, as the module says. `callback` is null, or can be called with `arg`; it does not destroy the heap.
// SAFETY: as for `mem_heap_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mem_heap_walk(heap: *mut MemHeap, callback: Visit, arg: *mut c_void) -> c_int {
    // SAFETY: as the caller promises.
    let heap = unsafe { open(heap) };
    // SAFETY: as the caller promises.
    answer(heap.and_then(|opened| with_heap!(opened, heap => unsafe { walk::walk(heap, callback, arg) })))
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
