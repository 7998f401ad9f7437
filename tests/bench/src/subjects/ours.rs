//! slabfit, as a Rust program uses it.

use crate::subject::{Kind, Setup, Subject, bookkeeping, resized};
use slabfit::{Config, Heap, Memory, RawLock};
use std::alloc::Layout;
use std::process::abort;
use std::ptr::{self, NonNull};

/// A heap under lock `L`, placing by first fit or, as specified, by next fit.
pub struct Slabfit<L: RawLock, const FIRST_FIT: bool>(Heap<'static, L>);

impl<L: RawLock + Send + Sync + 'static, const FIRST_FIT: bool> Subject for Slabfit<L, FIRST_FIT> {
    const NAME: &'static str = if FIRST_FIT { "slabfit first fit" } else { "slabfit next fit" };
    const KIND: Kind = Kind::Ours;

    unsafe fn over(setup: &Setup<'_>) -> Box<Self> {
        let (map, size) = (setup.region.base(), setup.heap);
        let map_size = bookkeeping(size, setup.slab_size);
        // SAFETY: the region holds the bookkeeping and the heap, and is this subject's, so the caller says.
        let base = unsafe { map.add(map_size) };
        // SAFETY: two disjoint pieces of the region, zero where it says so, that outlive the subject.
        let memory = unsafe { Memory::from_raw_parts(base, size, map, map_size, setup.fresh) };
        let config = Config::new(setup.slab_size);
        let heap = Box::new(Self(Heap::empty()));
        let started = heap.0.init(memory, if FIRST_FIT { config.first_fit() } else { config });
        assert!(started.is_ok(), "slabfit refused {size} bytes: {started:?}");
        heap
    }

    #[inline(always)]
    fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.alloc_layout(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, _: Layout) {
        // SAFETY: the caller's promise, passed on.
        if unsafe { self.0.free(ptr) }.is_err() {
            abort(); // no row frees wrongly
        }
    }

    #[inline(always)]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        let new = unsafe { self.0.realloc_layout(ptr, resized(layout, size)) };
        new.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}
