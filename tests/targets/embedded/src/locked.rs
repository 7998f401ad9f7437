//! A critical section around an allocator that has no lock, and the array that it allocates from.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;

/// An allocator for one user at a time.
pub trait Allocator {
    fn alloc(&mut self, layout: Layout) -> *mut u8;

    /// # Safety
    /// The object is one of this allocator's, with this layout, and nobody uses it afterwards.
    unsafe fn free(&mut self, object: *mut u8, layout: Layout);

    /// # Safety
    /// As for `free`, unless the answer is null; and `size` is not 0.
    unsafe fn resize(&mut self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the alignment is a layout's, and the caller of a global allocator keeps sizes below `isize::MAX`.
        let new = self.alloc(unsafe { Layout::from_size_align_unchecked(size, layout.align()) });
        if !new.is_null() {
            // SAFETY: both objects have as many bytes, and they are two.
            unsafe { ptr::copy_nonoverlapping(object, new, layout.size().min(size)) };
            // SAFETY: as the caller promises.
            unsafe { self.free(object, layout) };
        }
        new
    }
}

/// The allocator in a critical section.
pub struct Locked<A>(UnsafeCell<A>);

// SAFETY: it is used only in critical sections, in `with`, and nowhere while it is used.
unsafe impl<A> Sync for Locked<A> {}

impl<A> Locked<A> {
    pub const fn new(allocator: A) -> Self {
        Self(UnsafeCell::new(allocator))
    }

    pub fn with<R>(&self, use_it: impl FnOnce(&mut A) -> R) -> R {
        // SAFETY: exclusive: one core, on which nobody else runs in here, and no allocator calls this.
        critical_section::with(|_| use_it(unsafe { &mut *self.0.get() }))
    }
}

// SAFETY: the allocators of this firmware keep to the contract of a global allocator.
unsafe impl<A: Allocator> GlobalAlloc for Locked<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.with(|allocator| allocator.alloc(layout))
    }

    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        self.with(|allocator| unsafe { allocator.free(object, layout) });
    }

    unsafe fn realloc(&self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        self.with(|allocator| unsafe { allocator.resize(object, layout, size) })
    }
}

/// The bytes of the heap.
#[repr(C, align(64))]
pub struct Array(UnsafeCell<[u8; crate::HEAP]>);

// SAFETY: the bytes are the allocator's, which is used by one at a time.
unsafe impl Sync for Array {}

pub static ARRAY: Array = Array(UnsafeCell::new([0; crate::HEAP]));

impl Array {
    pub const fn get(&self) -> *mut [u8; crate::HEAP] {
        self.0.get()
    }
}
