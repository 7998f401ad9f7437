//! The heap as a program's allocator.
//!
//! A free or realloc whose layout does not fit the object is refused, as is every other wrong free. The trait has no way to report
//! that: the heap counts it ([`Stats`](crate::Stats)) and stays as it was.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use crate::adapter::StaticHeap;
use crate::claim::OfSize;
use crate::heap::Heap;
use crate::lock::RawLock;
use crate::policy::Policy;

fn or_null<E>(object: Result<NonNull<u8>, E>) -> *mut u8 {
    object.map_or(ptr::null_mut(), NonNull::as_ptr)
}

// SAFETY: an object is memory of the layout's size and alignment that is nobody else's until it is freed, and that
// memory was lent for ever; what fails changes nothing and answers null; nothing unwinds, as no lock may.
unsafe impl<L: RawLock, P: Policy> GlobalAlloc for Heap<'static, L, P> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        or_null(self.alloc_layout(layout))
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        or_null(self.alloc_layout_zeroed(layout))
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller gives the object up.
        let _ = unsafe { self.free_sized(ptr, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller gives the object at `ptr` up, unless this fails.
        or_null(unsafe { self.resize(ptr, new_size, layout.align(), OfSize::at(ptr, layout)) })
    }
}

// SAFETY: the heap's own implementation, above, does everything; before the first request the heap is given memory that
// is lent for ever, under a lock.
unsafe impl<L: RawLock + 'static, P: Policy> GlobalAlloc for StaticHeap<L, P> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { GlobalAlloc::alloc(&**self, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { GlobalAlloc::alloc_zeroed(&**self, layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { GlobalAlloc::dealloc(self.as_is(), ptr, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { GlobalAlloc::realloc(self.as_is(), ptr, layout, new_size) }
    }
}
