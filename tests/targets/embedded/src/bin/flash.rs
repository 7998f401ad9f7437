//! A firmware that allocates, frees and reallocates, and does nothing else: what its code takes is measured.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::alloc::{alloc, dealloc, realloc};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::hint::black_box;
use core::panic::PanicInfo;

use cortex_m as _;
use cortex_m_rt::entry;

#[entry]
fn main() -> ! {
    slabfit_embedded::start();
    let mut numbers = Vec::new();
    for number in 0..black_box(100_u32) {
        numbers.push(number);
    }
    for size in [40, 12, 300] {
        let (layout, larger) = (Layout::new::<u64>(), black_box(size));
        // SAFETY: a u64 is not of 0 bytes.
        let object = unsafe { alloc(black_box(layout)) };
        // SAFETY: nobody else uses the object, and `larger` is not 0.
        let object = unsafe { realloc(object, layout, larger) };
        // SAFETY: it has the size that it was given last.
        let layout = unsafe { Layout::from_size_align_unchecked(larger, layout.align()) };
        // SAFETY: nobody uses the object afterwards.
        unsafe { dealloc(black_box(object), layout) };
    }
    black_box(&numbers);
    drop(numbers);
    loop {}
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
