//! embedded-alloc, the heap of its example: linked_list_allocator behind a lock of its own.

use core::mem::MaybeUninit;

use embedded_alloc::LlffHeap;

#[global_allocator]
static GLOBAL: LlffHeap = LlffHeap::empty();

static mut ARRAY: [MaybeUninit<u8>; crate::HEAP] = [MaybeUninit::uninit(); crate::HEAP];

pub fn start() {
    // SAFETY: nobody else uses the array, and this is called once, before everything.
    unsafe { GLOBAL.init(&raw mut ARRAY as usize, crate::HEAP) };
}
