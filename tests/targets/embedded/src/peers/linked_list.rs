//! linked_list_allocator.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use linked_list_allocator::Heap;

use crate::locked::{ARRAY, Allocator, Locked};

impl Allocator for Heap {
    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        self.allocate_first_fit(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn free(&mut self, object: *mut u8, layout: Layout) {
        // SAFETY: a live object is not at null.
        let object = unsafe { NonNull::new_unchecked(object) };
        // SAFETY: as the caller promises.
        unsafe { self.deallocate(object, layout) };
    }
}

#[global_allocator]
static GLOBAL: Locked<Heap> = Locked::new(Heap::empty());

pub fn start() {
    GLOBAL.with(|heap| {
        // SAFETY: nobody else uses the array, and nothing was allocated yet.
        unsafe { heap.init(ARRAY.get().cast(), crate::HEAP) };
    });
}
