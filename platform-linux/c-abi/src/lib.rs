//! `libmem`: the heap of a process, for C. What each function promises stands in `include/mem.h`.
//!
//! With `panic = "abort"`, as the release profile has it, this needs no `std`, and its panic handler is never linked:
//! nothing in here panics. With unwinding, as under `cargo test`, `std` has to stand in for the handler.
#![cfg_attr(panic = "abort", no_std)]
#![deny(unsafe_code)]

mod output;

use core::ffi::{c_int, c_void};
use core::fmt::Write;
use core::ptr;

use slabfit::{Config, Fault};
use slabfit_linux::ProcessHeap;

use output::{Output, Stream};

static HEAP: ProcessHeap = ProcessHeap::empty();

/// Gives the process its heap and returns the heap's first byte, or null.
#[allow(unsafe_code, reason = "C finds it by name")]
// SAFETY: the name is the library's own.
#[unsafe(no_mangle)]
pub extern "C" fn Mem_Init(size: c_int, slab_size: c_int) -> *mut c_void {
    let (Some(size), Some(slab_size)) = (positive(size), positive(slab_size)) else {
        return ptr::null_mut();
    };
    match HEAP.init(size, Config::new(slab_size)) {
        Ok(first) => first.as_ptr().cast(),
        Err(_) => ptr::null_mut(),
    }
}

/// Returns `size` bytes, zeroed if they are `slab_size`, or null.
#[allow(unsafe_code, reason = "C finds it by name")]
// SAFETY: the name is the library's own.
#[unsafe(no_mangle)]
pub extern "C" fn Mem_Alloc(size: c_int) -> *mut c_void {
    let Some(size) = positive(size) else {
        return ptr::null_mut();
    };
    let object = if size == HEAP.slab_size() { HEAP.alloc_zeroed(size) } else { HEAP.alloc(size) };
    object.map_or(ptr::null_mut(), |object| object.as_ptr().cast())
}

/// Frees what `Mem_Alloc` returned: 0. Any other address is refused, reported and changes nothing: -1.
///
/// # Safety
/// The object is not used after this.
#[allow(unsafe_code, reason = "C finds it by name, and what it frees is C's to give up")]
// SAFETY: the name is the library's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn Mem_Free(ptr: *mut c_void) -> c_int {
    if ptr.is_null() {
        return 0;
    }
    // SAFETY: any address may be passed, and that the object is no longer used is the caller's promise.
    let Err(wrong) = (unsafe { HEAP.free(ptr.cast()) }) else {
        return 0;
    };
    report(wrong.address, wrong.fault);
    -1
}

/// Prints both segments to standard output.
#[allow(unsafe_code, reason = "C finds it by name")]
// SAFETY: the name is the library's own.
#[unsafe(no_mangle)]
pub extern "C" fn Mem_Dump() {
    let mut out = Output::to(Stream::Stdout);
    // A stream that takes no more is no fault of the heap, and there is nobody to tell.
    let _ = HEAP.dump(&mut out);
}

/// One line on standard error for a refused free.
#[cold]
fn report(address: usize, fault: Fault) {
    let kind = if fault == Fault::OutsideHeap { "SEGFAULT: " } else { "" };
    let _ = writeln!(Output::to(Stream::Stderr), "{kind}Mem_Free({address:#x}): {fault}");
}

fn positive(number: c_int) -> Option<usize> {
    usize::try_from(number).ok().filter(|&number| number != 0)
}

// For memcpy and its like, which the compiler calls by itself, and for `abort`.
#[cfg(panic = "abort")]
#[allow(unsafe_code, reason = "declares what libc has")]
#[link(name = "c")]
unsafe extern "C" {
    safe fn abort() -> !;
}

/// The compiler asks for one, and the linker leaves it out again.
#[cfg(panic = "abort")]
#[panic_handler]
fn unreachable(_: &core::panic::PanicInfo<'_>) -> ! {
    abort()
}
