//! talc: the array is claimed when it is first used.

use core::alloc::{GlobalAlloc, Layout};

use talc::TalcCell;
use talc::source::Claim;

use crate::locked::{ARRAY, Allocator, Locked};

type Talc = TalcCell<Claim>;

impl Allocator for Talc {
    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        // SAFETY: the firmware asks for no object of 0 bytes.
        unsafe { GlobalAlloc::alloc(self, layout) }
    }

    unsafe fn free(&mut self, object: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { self.dealloc(object, layout) };
    }

    unsafe fn resize(&mut self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { self.realloc(object, layout, size) }
    }
}

#[global_allocator]
static GLOBAL: Locked<Talc> = Locked::new(TalcCell::new(
    // SAFETY: nobody else uses the array.
    unsafe { Claim::array(ARRAY.get()) },
));

pub fn start() {}
