//! What is asked of a heap, whichever it is: the process's own, or one with a handle.
#![allow(unsafe_code)]

use core::alloc::Layout;
use core::ffi::c_void;
use core::ptr::NonNull;

use slabfit::{Heap, InvalidFree, Policy, ReallocError, Reason};

use crate::errno::{Answer, Failure};
use crate::platform::{Lock, say};
use crate::stats::{ClassStats, Stats};

/// The heap of every function here.
pub(crate) type CHeap<P> = Heap<'static, Lock, P>;

/// Who hears of a wrong address or a damaged heap, beside the caller: the name of the function that standard error is to
/// read, or nobody.
pub(crate) type Reported = Option<&'static str>;

/// A size or an alignment: 0 is none.
#[inline]
pub(crate) fn positive(number: usize) -> Answer<usize> {
    if number == 0 { Err(Failure::INVALID) } else { Ok(number) }
}

/// `count` objects of `size` bytes side by side, zeroed.
pub(crate) fn calloc<P: Policy>(heap: &CHeap<P>, count: usize, size: usize) -> Answer<NonNull<u8>> {
    let (count, size) = (positive(count)?, positive(size)?);
    let bytes = count.checked_mul(size).ok_or(Failure::NO_MEMORY)?;
    Ok(heap.alloc_zeroed(bytes)?)
}

/// An object at a multiple of `alignment`.
pub(crate) fn alloc_aligned<P: Policy>(heap: &CHeap<P>, alignment: usize, size: usize) -> Answer<NonNull<u8>> {
    if !alignment.is_power_of_two() {
        return Err(Failure::INVALID);
    }
    // The layout is refused where the size would overflow.
    let layout = Layout::from_size_align(positive(size)?, alignment).map_err(|_| Failure::NO_MEMORY)?;
    Ok(heap.alloc_layout(layout)?)
}

/// Another size for the object at `ptr`; for null, a new object.
///
/// # Safety
/// If it succeeds, the object is not used by its old address after this.
pub(crate) unsafe fn realloc<P: Policy>(
    heap: &CHeap<P>,
    ptr: *mut c_void,
    size: usize,
    reported: Reported,
) -> Answer<NonNull<u8>> {
    let size = positive(size)?;
    if ptr.is_null() {
        return Ok(heap.alloc(size)?);
    }
    // SAFETY: any address may be passed, and that the object is no longer used is the caller's promise.
    let moved = unsafe { heap.realloc(ptr.cast(), size) };
    if let Err(ReallocError::InvalidFree(wrong)) = moved {
        refused(reported, wrong);
    }
    Ok(moved?)
}

/// Frees the object at `ptr`; null is none.
///
/// # Safety
/// The object is not used after this.
#[inline]
pub(crate) unsafe fn free<P: Policy>(heap: &CHeap<P>, ptr: *mut c_void, reported: Reported) -> Answer<()> {
    if ptr.is_null() {
        return Ok(());
    }
    // SAFETY: any address may be passed, and that the object is no longer used is the caller's promise.
    unsafe { heap.free(ptr.cast()) }.map_err(|wrong| {
        refused(reported, wrong);
        wrong.reason.into()
    })
}

/// Bytes that the object at `ptr` can hold; null is none.
pub(crate) fn usable_size<P: Policy>(heap: &CHeap<P>, ptr: *const c_void) -> Answer<usize> {
    if ptr.is_null() {
        return Ok(0);
    }
    heap.usable_size(ptr.cast()).map_err(|wrong| wrong.reason.into())
}

/// Whether the heap is as it must be.
pub(crate) fn check<P: Policy>(heap: &CHeap<P>, reported: Reported) -> Answer<()> {
    heap.check().map_err(|violation| {
        if let Some(function) = reported {
            say(format_args!("{function}: {violation}"));
        }
        violation.into()
    })
}

/// Stores the heap's figures.
///
/// # Safety
/// `place` is null or can be written to.
pub(crate) unsafe fn stats<P: Policy>(heap: &CHeap<P>, place: *mut Stats) -> Answer<()> {
    if place.is_null() {
        return Err(Failure::INVALID);
    }
    let figures = heap.stats()?;
    // SAFETY: not null, so it can be written to, as the caller promises.
    unsafe { place.write(figures.into()) };
    Ok(())
}

/// Stores the figures of the size classes that the heap has, and says how many those are.
///
/// # Safety
/// `place` is null, or `room` of them can be written there.
pub(crate) unsafe fn class_stats<P: Policy>(heap: &CHeap<P>, place: *mut ClassStats, room: usize) -> Answer<usize> {
    if place.is_null() && room > 0 {
        return Err(Failure::INVALID);
    }
    let classes = heap.stats()?.classes;
    let existing = || classes.into_iter().filter(|class| class.slot_size > 0);
    for (index, class) in existing().take(room).enumerate() {
        // SAFETY: below `room`, so it can be written to, as the caller promises.
        unsafe { place.wrapping_add(index).write(class.into()) };
    }
    Ok(existing().count())
}

/// One line for a refused address, unless the hook of a hardened heap has written one.
#[cold]
fn refused(reported: Reported, wrong: InvalidFree) {
    let is_said = matches!(wrong.reason, Reason::WrittenPastEnd | Reason::WrittenBeforeStart);
    if let Some(function) = reported.filter(|_| !is_said) {
        let kind = if wrong.reason == Reason::OutsideHeap { "SEGFAULT: " } else { "" };
        say(format_args!("{kind}{function}({:#x}): {}", wrong.address, wrong.reason));
    }
}
