//! rlsf, with as many lists as a heap of this size needs.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use rlsf::Tlsf;

use crate::locked::{ARRAY, Allocator, Locked};

type Rlsf = Tlsf<'static, u16, u8, 12, 8>;

impl Allocator for Rlsf {
    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        self.allocate(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn free(&mut self, object: *mut u8, layout: Layout) {
        // SAFETY: a live object is not at null.
        let object = unsafe { NonNull::new_unchecked(object) };
        // SAFETY: as the caller promises.
        unsafe { self.deallocate(object, layout.align()) };
    }

    unsafe fn resize(&mut self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: a live object is not at null.
        let object = unsafe { NonNull::new_unchecked(object) };
        // SAFETY: the alignment is a layout's, and the caller of a global allocator keeps sizes below `isize::MAX`.
        let layout = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: as the caller promises.
        unsafe { self.reallocate(object, layout) }.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

#[global_allocator]
static GLOBAL: Locked<Rlsf> = Locked::new(Rlsf::new());

pub fn start() {
    // SAFETY: a static is not at null.
    let array = unsafe { NonNull::new_unchecked(ARRAY.get()) };
    GLOBAL.with(|rlsf| {
        // SAFETY: nobody else uses the array.
        unsafe { rlsf.insert_free_block_ptr(array) };
    });
}
