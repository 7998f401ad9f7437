//! `libmem`: heaps of a fixed size, for C. What each function promises stands in `include/mem.h`.
//!
//! On Linux it has all of them. Without an operating system it has the heaps with handles, in the caller's memory, and is made from
//! `core` alone.
//!
//! With `panic = "abort"`, as the release profile has it, this needs no `std`, and its panic handler is never linked:
//! nothing in here panics. With unwinding, as under `cargo test`, `std` has to stand in for the handler.
//!
//! A file may use only those before it:
//! - `linux` and `bare`: what the platform gives, under the name `platform`; they know the types of the others;
//! - `errno`: what C is told of a failure;
//! - `stats`: a heap's figures, as a C struct;
//! - `request`: what is asked of a heap, whichever it is;
//! - `process`: the functions of the process's heap, `Mem_*`, with `fork`: what it needs done around a fork;
//! - `options`: what a heap with a handle is to be like;
//! - `handle`: where a heap with a handle lives, and how a handle is known;
//! - `walk`: a heap's slots and blocks, as C structs;
//! - `heaps`: the functions of heaps with handles, `mem_heap_*`.
#![cfg_attr(panic = "abort", no_std)]
#![cfg(any(target_os = "linux", target_os = "none"))]
#![deny(unsafe_code)]

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "none")]
mod bare;
#[cfg(target_os = "none")]
use bare as platform;

mod errno;
mod stats;
mod request;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod fork;
mod options;
mod handle;
mod walk;
mod heaps;

// For memcpy and its like, which the compiler calls by itself, and for `abort`.
#[cfg(all(panic = "abort", target_os = "linux"))]
#[allow(unsafe_code, reason = "declares what libc has")]
#[link(name = "c")]
unsafe extern "C" {
    safe fn abort() -> !;
}

/// The compiler asks for one, and the linker leaves it out again.
#[cfg(panic = "abort")]
#[panic_handler]
fn unreachable(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(target_os = "linux")]
    abort();
    #[cfg(target_os = "none")]
    loop {}
}
