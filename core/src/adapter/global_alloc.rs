//! The heap as a program's allocator.
//!
//! A free or realloc whose layout does not fit the object is refused, as is every other wrong free. The trait has no way to report
//! that: the heap stays as it was, counts it ([`Stats`](crate::Stats)), and calls the hook that it may have ([`Hooks`](crate::Hooks)).
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use crate::adapter::StaticHeap;
use crate::adapter::banks::{Bank, Banks};
use crate::bytes;
use crate::error::{AllocError, ReallocError};
use crate::hooks::Hooks;
use crate::lock::RawLock;
use crate::policy::Policy;
use crate::segments::Heap;

/// Serves a request, and tries once more if the hook for that asks for it.
#[inline(always)]
fn alloc<B: Bank>(bank: &B, hooks: Option<&Hooks>, layout: Layout) -> *mut u8 {
    match bank.alloc_in_bank(layout) {
        Ok(object) => object.as_ptr(),
        Err(error) => hooks.map_or(ptr::null_mut(), |hooks| alloc_again(bank, hooks, layout, error)),
    }
}

/// Serves a request as [`alloc`] does, with zeros.
#[inline(always)]
fn alloc_zeroed<B: Bank>(bank: &B, hooks: Option<&Hooks>, layout: Layout) -> *mut u8 {
    match (bank.alloc_zeroed_in_bank(layout), hooks) {
        (Ok(object), _) => object.as_ptr(),
        (Err(_), None) => ptr::null_mut(),
        (Err(error), Some(hooks)) => {
            let object = alloc_again(bank, hooks, layout, error);
            if let Some(object) = NonNull::new(object) {
                // SAFETY: just handed out, of the layout's size, and known to nobody yet.
                unsafe { bytes::clear(object, layout.size(), usize::MAX) };
            }
            object
        }
    }
}

/// Tries once more to serve a request that has failed, if the hook for that asks for it.
#[cold]
#[inline(never)]
fn alloc_again<B: Bank>(bank: &B, hooks: &Hooks, layout: Layout, error: AllocError) -> *mut u8 {
    if !hooks.ask_for_memory(layout, error) {
        return ptr::null_mut();
    }
    bank.alloc_in_bank(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
}

/// Frees an object, and reports it if that is refused.
///
/// # Safety
/// Nobody uses the object afterwards.
#[inline(always)]
unsafe fn dealloc<B: Bank>(bank: &B, hooks: Option<&Hooks>, ptr: *mut u8, layout: Layout) {
    // SAFETY: as the caller promises.
    if let (Err(wrong), Some(hooks)) = (unsafe { bank.free_in_bank(ptr, layout) }, hooks) {
        hooks.report(wrong);
    }
}

/// Resizes an object, reports it if that is refused, and tries once more if the hook for that asks for it.
///
/// # Safety
/// If this succeeds nobody uses the object at `ptr` afterwards, but for what is returned.
#[inline(always)]
unsafe fn realloc<B: Bank>(bank: &B, hooks: Option<&Hooks>, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    // SAFETY: as the caller promises.
    match (unsafe { resize(bank, ptr, layout, new_size) }, hooks) {
        (Ok(object), _) => object.as_ptr(),
        (Err(_), None) => ptr::null_mut(),
        // SAFETY: as the caller promises.
        (Err(error), Some(hooks)) if asks_again(hooks, layout, new_size, error) => unsafe {
            resize(bank, ptr, layout, new_size).map_or(ptr::null_mut(), NonNull::as_ptr)
        },
        _ => ptr::null_mut(),
    }
}

/// Resizes an object.
///
/// # Safety
/// As for [`realloc`].
unsafe fn resize<B: Bank>(
    bank: &B,
    ptr: *mut u8,
    layout: Layout,
    new_size: usize,
) -> Result<NonNull<u8>, ReallocError> {
    // SAFETY: as the caller promises.
    unsafe { bank.resize_in_bank(ptr, layout, new_size) }
}

/// Tells the hooks why an object was not resized, and returns whether to try once more.
#[cold]
#[inline(never)]
fn asks_again(hooks: &Hooks, layout: Layout, new_size: usize, error: ReallocError) -> bool {
    match error {
        ReallocError::InvalidFree(wrong) => {
            hooks.report(wrong);
            false
        }
        // Not reached: a size that no layout has.
        ReallocError::Alloc(error) => {
            Layout::from_size_align(new_size, layout.align()).is_ok_and(|layout| hooks.ask_for_memory(layout, error))
        }
    }
}

// SAFETY: an object is memory of the layout's size and alignment that is nobody else's until it is freed, and that
// memory was lent for ever; what fails changes nothing and answers null; nothing unwinds, as no lock may, and a hook is not let.
unsafe impl<L: RawLock, P: Policy> GlobalAlloc for Heap<'static, L, P> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        alloc(self, self.hooks(), layout)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        alloc_zeroed(self, self.hooks(), layout)
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller gives the object up.
        unsafe { dealloc(self, self.hooks(), ptr, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller gives the object at `ptr` up, unless this fails.
        unsafe { realloc(self, self.hooks(), ptr, layout, new_size) }
    }
}

// SAFETY: as for the heap, which does everything; before the first request the heap is given memory that is lent for ever, under a
// lock. (The hooks are those of the handle, a constant: where there are none, no code asks.)
unsafe impl<L: RawLock + 'static, P: Policy> GlobalAlloc for StaticHeap<L, P> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        alloc(&**self, self.hooks(), layout)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        alloc_zeroed(&**self, self.hooks(), layout)
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller gives the object up.
        unsafe { dealloc(self.as_is(), self.hooks(), ptr, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller gives the object at `ptr` up, unless this fails.
        unsafe { realloc(self.as_is(), self.hooks(), ptr, layout, new_size) }
    }
}

// SAFETY: as for the heaps that are its banks: each object is one of theirs, and returns to the one in whose memory it lies.
unsafe impl<const N: usize> GlobalAlloc for Banks<N> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        alloc(self, self.own_hooks(), layout)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        alloc_zeroed(self, self.own_hooks(), layout)
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller gives the object up.
        unsafe { dealloc(self, self.own_hooks(), ptr, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller gives the object at `ptr` up, unless this fails.
        unsafe { realloc(self, self.own_hooks(), ptr, layout, new_size) }
    }
}
