//! The functions that C finds by name. None calls another of them by its name: the name may be another library's.
#![allow(unsafe_code)]

use core::alloc::Layout;
use core::ffi::{c_int, c_void};
use core::ptr::{self, NonNull};

use rustix::io::Errno;
use slabfit::{AllocError, GRANULE, InvalidFree, ReallocError, Reason};

use crate::heap::{HEAP, refused, refused_size};
use crate::libc::{page_size, set_errno};
use crate::start::{heap, is_pending};
use crate::trace::{self, Caller, Request, with_caller};

// Where memory is asked for, the record of calls wants to know by whom.
with_caller! {
    "rsi" "rdx" "x1" "x2" fn alloc_any(size: usize) -> *mut c_void => alloc_for;
    "rdx" "rcx" "x2" "x3" fn calloc_any(count: usize, size: usize) -> *mut c_void => calloc_for;
    "rdx" "rcx" "x2" "x3" fn realloc_any(ptr: *mut c_void, size: usize) -> *mut c_void => realloc_for;
    "rcx" "r8" "x3" "x4" fn reallocarray_any(ptr: *mut c_void, count: usize, size: usize) -> *mut c_void => reallocarray_for;
    "rcx" "r8" "x3" "x4" fn posix_memalign_any(place: *mut *mut c_void, alignment: usize, size: usize) -> c_int => posix_memalign_for;
    "rdx" "rcx" "x2" "x3" fn aligned_alloc_any(alignment: usize, size: usize) -> *mut c_void => aligned_alloc_for;
    "rdx" "rcx" "x2" "x3" fn memalign_any(alignment: usize, size: usize) -> *mut c_void => memalign_for;
    "rsi" "rdx" "x1" "x2" fn valloc_any(size: usize) -> *mut c_void => valloc_for;
    "rsi" "rdx" "x1" "x2" fn pvalloc_any(size: usize) -> *mut c_void => pvalloc_for;
}

/// What a request came to.
type Answer = Result<NonNull<u8>, AllocError>;

/// An object, as C is told of it.
#[inline]
fn object(answer: Answer) -> *mut c_void {
    match answer {
        Ok(object) => object.as_ptr().cast(),
        Err(_) => failed(Errno::NOMEM),
    }
}

#[cold]
fn failed(errno: Errno) -> *mut c_void {
    set_errno(errno);
    ptr::null_mut()
}

#[inline]
fn alloc(size: usize, caller: Caller) -> Answer {
    let heap = heap()?;
    trace::request(Request { size, alignment: 1, zeroed: false, caller }, || heap.alloc(size))
}

/// `alignment` is a power of two.
fn alloc_aligned(alignment: usize, size: usize, caller: Caller) -> Answer {
    // The layout is refused where the size would overflow.
    let layout = Layout::from_size_align(size, alignment).map_err(|_| AllocError::Full)?;
    let heap = heap()?;
    trace::request(Request { size, alignment, zeroed: false, caller }, || heap.alloc_layout(layout))
}

fn zeroed(layout: Layout, caller: Caller) -> Answer {
    let heap = heap()?;
    let request = Request { size: layout.size(), alignment: layout.align(), zeroed: true, caller };
    trace::request(request, || heap.alloc_layout_zeroed(layout))
}

/// # Safety
/// The object is not used after this.
#[inline(always)]
unsafe fn give_back(function: &str, ptr: *mut c_void) {
    // SAFETY: as the caller promises.
    match unsafe { HEAP.free_slot(ptr.cast()) } {
        Some(false) => (),
        Some(true) => HEAP.trim_after_small_frees(trace::empty_magazines),
        // SAFETY: as the caller promises.
        None => unsafe { give_any_back(function, ptr) },
    }
}

/// Does what [`give_back`] does for an object that lies in no cache.
///
/// # Safety
/// As there.
#[inline(never)]
unsafe fn give_any_back(function: &str, ptr: *mut c_void) {
    if let Some(heap) = HEAP.hardened().filter(|_| !trace::is_on()) {
        // SAFETY: as the caller promises.
        return match unsafe { heap.free_measured(ptr.cast()) } {
            Ok(bytes) => heap.trim_after_free_with(ptr.cast(), bytes, trace::empty_magazines),
            Err(wrong) => refused(function, wrong),
        };
    }
    // SAFETY: any address may be passed, and that the object is no longer used is the caller's promise.
    match trace::free(ptr.addr(), || unsafe { HEAP.free(ptr.cast()) }) {
        Ok(bytes) => HEAP.trim_after_free(ptr.cast(), bytes, trace::empty_magazines),
        Err(wrong) => refused(function, wrong),
    }
}

/// An object of `size` bytes, or null and `ENOMEM`.
// SAFETY: the name is libc's, whose function this stands in for, with the same signature; so below.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    new_object(size)
}

/// Does what [`malloc`] does.
#[inline(always)]
fn new_object(size: usize) -> *mut c_void {
    if !is_pending() {
        if let Some(slot) = HEAP.alloc_slot(size) {
            return slot.as_ptr().cast();
        }
        if let Some(heap) = HEAP.hardened().filter(|_| !trace::is_on()) {
            return object(heap.alloc(size));
        }
    }
    // SAFETY: any size may be asked for.
    unsafe { alloc_any(size) }
}

/// Does what [`new_object`] does where the thread has no slot at hand.
extern "C" fn alloc_for(size: usize, frame: usize, address: usize) -> *mut c_void {
    object(alloc(size, Caller { address, frame }))
}

/// An object of `count * size` zero bytes, or null and `ENOMEM`. Bytes that no object has reached yet are taken for zeros.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    // SAFETY: any numbers may be passed.
    unsafe { calloc_any(count, size) }
}

extern "C" fn calloc_for(count: usize, size: usize, frame: usize, address: usize) -> *mut c_void {
    let bytes = count.checked_mul(size);
    let layout = bytes.and_then(|bytes| Layout::from_size_align(bytes, GRANULE).ok()).ok_or(AllocError::Full);
    object(layout.and_then(|layout| zeroed(layout, Caller { address, frame })))
}

/// Frees an object. Null is none; any other address is refused and reported.
///
/// # Safety
/// The object is not used after this.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(ptr: *mut c_void) {
    if !ptr.is_null() {
        // SAFETY: as the caller promises.
        unsafe { give_back("free", ptr) };
    }
}

/// Changes an object's size, where it stands or by moving it; without an object, makes one; with a size of 0, frees it
/// as `free` does and answers null. Else null and `ENOMEM`, or for a wrong address `EINVAL`: nothing has changed.
///
/// # Safety
/// Unless the answer is null, the object is not used by its old address after this; for a size of 0 not either.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    if ptr.is_null() {
        return new_object(size);
    }
    // SAFETY: as the caller promises.
    unsafe { realloc_any(ptr, size) }
}

/// # Safety
/// As for `realloc`.
unsafe extern "C" fn realloc_for(ptr: *mut c_void, size: usize, frame: usize, address: usize) -> *mut c_void {
    // SAFETY: as the caller promises.
    unsafe { resize("realloc", ptr, size, Caller { address, frame }) }
}

/// # Safety
/// As for `realloc`.
#[inline]
unsafe fn resize(function: &str, ptr: *mut c_void, size: usize, caller: Caller) -> *mut c_void {
    if ptr.is_null() {
        return object(alloc(size, caller));
    }
    if size == 0 {
        // SAFETY: as the caller promises.
        unsafe { give_back(function, ptr) };
        return ptr::null_mut();
    }
    let length = HEAP.length(ptr.cast());
    // SAFETY: as the caller promises.
    match trace::realloc(ptr.addr(), size, caller, || unsafe { HEAP.realloc(ptr.cast(), size) }) {
        Ok(object) => {
            // Its old place, or its end, may be free now.
            let moved = object.as_ptr() != ptr.cast();
            let (from, freed) = if moved { (0, length) } else { (size, length.saturating_sub(size)) };
            HEAP.trim_after_free(ptr.cast::<u8>().wrapping_add(from), freed, trace::empty_magazines);
            object.as_ptr().cast()
        }
        Err(ReallocError::InvalidFree(wrong)) => {
            refused(function, wrong);
            failed(Errno::INVAL)
        }
        Err(_) => failed(Errno::NOMEM),
    }
}

/// As [`realloc`] to `count * size` bytes; null and `ENOMEM` where that is no number of bytes.
///
/// # Safety
/// As for `realloc`.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(ptr: *mut c_void, count: usize, size: usize) -> *mut c_void {
    // SAFETY: as the caller promises.
    unsafe { reallocarray_any(ptr, count, size) }
}

/// # Safety
/// As for `reallocarray`.
unsafe extern "C" fn reallocarray_for(
    ptr: *mut c_void,
    count: usize,
    size: usize,
    frame: usize,
    address: usize,
) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: as the caller promises.
        Some(bytes) => unsafe { resize("reallocarray", ptr, bytes, Caller { address, frame }) },
        None => failed(Errno::NOMEM),
    }
}

/// As [`free`], for who knows how many bytes were asked for (C23): an object that was none of so many is refused.
///
/// # Safety
/// The object is not used after this.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_sized(ptr: *mut c_void, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { give_back_sized("free_sized", ptr, 1, size) }
}

/// As [`free_sized`], for an object of [`aligned_alloc`] and its alignment (C23).
///
/// # Safety
/// The object is not used after this.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_aligned_sized(ptr: *mut c_void, alignment: usize, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { give_back_sized("free_aligned_sized", ptr, alignment, size) }
}

/// # Safety
/// The object is not used after this.
pub(crate) unsafe fn give_back_sized(function: &str, ptr: *mut c_void, alignment: usize, size: usize) {
    if ptr.is_null() {
        return;
    }
    if HEAP.is_hardened() {
        // SAFETY: as the caller promises.
        return unsafe { give_back_exactly(function, ptr, alignment, size) };
    }
    // Of an address that is no object's the free itself says so.
    match HEAP.usable_size(ptr.cast()) {
        Ok(usable) if ptr.addr() % alignment.max(1) != 0 || !may_be_of(ptr, size, usable) => {
            refused_size(function, ptr.addr(), alignment, size, usable);
        }
        // SAFETY: as the caller promises.
        _ => unsafe { give_back(function, ptr) },
    }
}

/// Does what [`give_back_sized`] does in a hardened heap, which knows what was asked for.
///
/// # Safety
/// As there.
unsafe fn give_back_exactly(function: &str, ptr: *mut c_void, alignment: usize, size: usize) {
    let is_aligned = ptr.addr() % alignment.max(1) == 0;
    let freed = match Layout::from_size_align(size, 1) {
        // SAFETY: as the caller promises.
        Ok(layout) if is_aligned => unsafe { HEAP.free_sized(ptr.cast(), layout) },
        _ => HEAP.usable_size(ptr.cast()).and(Err(InvalidFree { address: ptr.addr(), reason: Reason::SizeMismatch })),
    };
    match freed {
        Ok(()) => HEAP.trim_after_free(ptr.cast(), 0, trace::empty_magazines),
        Err(InvalidFree { reason: Reason::SizeMismatch, .. }) => {
            let usable = HEAP.usable_size(ptr.cast()).unwrap_or(0);
            refused_size(function, ptr.addr(), alignment, size, usable);
        }
        Err(wrong) => refused(function, wrong),
    }
}

/// Whether an object with room for `usable` bytes may be one for which `size` were asked: a block has a granule too much at
/// most; a slot, of the slab or of a run, stays one where its object shrinks and there is no smaller place. What has the size of
/// a run's slot may be one, wherever it lies.
fn may_be_of(ptr: *mut c_void, size: usize, usable: usize) -> bool {
    let least = size.max(1).checked_next_multiple_of(GRANULE).unwrap_or(usize::MAX);
    let fits_block = || usable - least <= GRANULE;
    least <= usable && (fits_block() || HEAP.is_in_slab(ptr.cast()) || HEAP.has_class(usable))
}

/// Stores an object at a multiple of `alignment`: 0. `EINVAL` for an alignment that is no power of two or smaller than a
/// pointer, `ENOMEM` when the heap is full; nothing is stored then, and `errno` is left alone.
///
/// # Safety
/// `place` can be written to.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(place: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { posix_memalign_any(place, alignment, size) }
}

/// # Safety
/// As for `posix_memalign`.
unsafe extern "C" fn posix_memalign_for(
    place: *mut *mut c_void,
    alignment: usize,
    size: usize,
    frame: usize,
    address: usize,
) -> c_int {
    if !alignment.is_power_of_two() || alignment < size_of::<*mut c_void>() {
        return Errno::INVAL.raw_os_error();
    }
    match alloc_aligned(alignment, size, Caller { address, frame }) {
        Ok(object) => {
            // SAFETY: as the caller promises.
            unsafe { place.write(object.as_ptr().cast()) };
            0
        }
        Err(_) => Errno::NOMEM.raw_os_error(),
    }
}

/// An object at a multiple of `alignment`, or null and `ENOMEM`, or `EINVAL` for one that is no power of two.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    // SAFETY: any numbers may be passed.
    unsafe { aligned_alloc_any(alignment, size) }
}

extern "C" fn aligned_alloc_for(alignment: usize, size: usize, frame: usize, address: usize) -> *mut c_void {
    let caller = Caller { address, frame };
    if alignment.is_power_of_two() { object(alloc_aligned(alignment, size, caller)) } else { failed(Errno::INVAL) }
}

/// Allocates at a multiple of `alignment`, rounded up to a power of two. `EINVAL` if that overflows.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
    // SAFETY: any numbers may be passed.
    unsafe { memalign_any(alignment, size) }
}

extern "C" fn memalign_for(alignment: usize, size: usize, frame: usize, address: usize) -> *mut c_void {
    match alignment.max(GRANULE).checked_next_power_of_two() {
        Some(alignment) => object(alloc_aligned(alignment, size, Caller { address, frame })),
        None => failed(Errno::INVAL),
    }
}

/// An object at the start of a page, or null and `ENOMEM`.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    // SAFETY: any numbers may be passed.
    unsafe { valloc_any(size) }
}

extern "C" fn valloc_for(size: usize, frame: usize, address: usize) -> *mut c_void {
    object(alloc_aligned(page_size(), size, Caller { address, frame }))
}

/// An object of whole pages, one at least, at the start of a page, or null and `ENOMEM`.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    // SAFETY: any numbers may be passed.
    unsafe { pvalloc_any(size) }
}

extern "C" fn pvalloc_for(size: usize, frame: usize, address: usize) -> *mut c_void {
    let page = page_size();
    let pages = size.max(1).checked_next_multiple_of(page).ok_or(AllocError::Full);
    object(pages.and_then(|size| alloc_aligned(page, size, Caller { address, frame })))
}

/// Bytes that the object at `ptr` can hold; 0 for null and for any other address that is no object's.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_usable_size(ptr: *mut c_void) -> usize {
    match HEAP.slot_size(ptr.cast()) {
        Some(size) => size,
        None => usable_size_of_any(ptr),
    }
}

/// Does what [`malloc_usable_size`] does for an object that lies in no cache.
#[inline(never)]
fn usable_size_of_any(ptr: *mut c_void) -> usize {
    let size = match HEAP.hardened() {
        Some(heap) => heap.usable_size(ptr.cast()),
        None => HEAP.usable_size(ptr.cast()),
    };
    size.unwrap_or(0)
}

/// Empties the magazines of the size classes, and gives the pages of free blocks back to the kernel: 1 if there are any, resident or not, 0 if there are none. All of
/// them, so there is no `pad` to keep; some go back by themselves.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_trim(pad: usize) -> c_int {
    let _ = pad;
    c_int::from(HEAP.trim(trace::empty_magazines) > 0)
}
