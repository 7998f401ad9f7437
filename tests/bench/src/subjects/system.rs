//! The allocators of hosted programs, called directly. They take memory as they like, and lock as they like.

use crate::subject::{Kind, Setup, Subject};
use std::alloc::Layout;

/// A subject that calls a C library's malloc, free and realloc.
macro_rules! system {
    ($(#[$doc:meta])* $subject:ident, $name:literal, $malloc:path, $free:path, $realloc:path) => {
        $(#[$doc])*
        pub struct $subject;

        impl Subject for $subject {
            const NAME: &'static str = $name;
            const KIND: Kind = Kind::System;

            unsafe fn over(_: &Setup<'_>) -> Box<Self> {
                Box::new(Self)
            }

            #[inline(always)]
            fn alloc(&self, layout: Layout) -> *mut u8 {
                // SAFETY: malloc may be called with any size.
                unsafe { $malloc(layout.size()) }.cast()
            }

            #[inline(always)]
            unsafe fn dealloc(&self, ptr: *mut u8, _: Layout) {
                // SAFETY: the caller's promise, passed on.
                unsafe { $free(ptr.cast()) };
            }

            #[inline(always)]
            unsafe fn realloc(&self, ptr: *mut u8, _: Layout, size: usize) -> *mut u8 {
                // SAFETY: the caller's promise, passed on; no row asks for zero bytes.
                unsafe { $realloc(ptr.cast(), size) }.cast()
            }
        }
    };
}

system!(
    /// The C library of this machine.
    Glibc, "glibc", libc::malloc, libc::free, libc::realloc
);
system!(
    /// mimalloc.
    Mimalloc, "mimalloc", libmimalloc_sys::mi_malloc, libmimalloc_sys::mi_free, libmimalloc_sys::mi_realloc
);
system!(
    /// jemalloc.
    Jemalloc, "jemalloc", tikv_jemalloc_sys::malloc, tikv_jemalloc_sys::free, tikv_jemalloc_sys::realloc
);

/// snmalloc, through the functions it has for Rust.
pub struct Snmalloc;

impl Subject for Snmalloc {
    const NAME: &'static str = "snmalloc";
    const KIND: Kind = Kind::System;

    unsafe fn over(_: &Setup<'_>) -> Box<Self> {
        Box::new(Self)
    }

    #[inline(always)]
    fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the alignment is a power of two.
        unsafe { snmalloc_sys::sn_rust_alloc(layout.align(), layout.size()) }.cast()
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { snmalloc_sys::sn_rust_dealloc(ptr.cast(), layout.align(), layout.size()) };
    }

    #[inline(always)]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        unsafe { snmalloc_sys::sn_rust_realloc(ptr.cast(), layout.align(), layout.size(), size) }.cast()
    }
}

/// rpmalloc, which keeps a heap for each thread and finds it without a check: each must have been made known before.
pub struct Rpmalloc;

impl Subject for Rpmalloc {
    const NAME: &'static str = "rpmalloc";
    const KIND: Kind = Kind::System;

    unsafe fn over(_: &Setup<'_>) -> Box<Self> {
        // SAFETY: it may be called any number of times; it makes the calling thread known as well.
        let status = unsafe { rpmalloc_sys::rpmalloc_initialize() };
        assert!(status == 0, "rpmalloc does not start: {status}");
        Box::new(Self)
    }

    fn enter(&self) {
        // SAFETY: `over` has run, or there would be no `self`. The thread's end gives its heap back.
        unsafe { rpmalloc_sys::rpmalloc_thread_initialize() };
    }

    #[inline(always)]
    fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the thread is known.
        unsafe { rpmalloc_sys::rpmalloc(layout.size()) }.cast()
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, _: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { rpmalloc_sys::rpfree(ptr.cast()) };
    }

    #[inline(always)]
    unsafe fn realloc(&self, ptr: *mut u8, _: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, passed on; no row asks for zero bytes.
        unsafe { rpmalloc_sys::rprealloc(ptr.cast(), size) }.cast()
    }
}

/// scudo, LLVM's hardened allocator, in the version that its crate for Rust carries and builds: without the processor's
/// checksum instruction (SSE 4.2), and without a realloc, so that one allocates, copies and frees.
pub struct Scudo;

impl Scudo {
    /// Its smallest alignment: it refuses to take memory back that claims another than the one that it was served with.
    const ALIGN: usize = 16;
}

impl Subject for Scudo {
    const NAME: &'static str = "scudo";
    const KIND: Kind = Kind::System;

    unsafe fn over(_: &Setup<'_>) -> Box<Self> {
        Box::new(Self)
    }

    #[inline(always)]
    fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the alignment is a power of two.
        unsafe { scudo_sys::scudo_allocate(layout.size(), layout.align().max(Self::ALIGN)) }.cast()
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { scudo_sys::scudo_deallocate(ptr.cast(), layout.size(), layout.align().max(Self::ALIGN)) };
    }
}
