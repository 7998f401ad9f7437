//! Everything that is measured, one file a family.

pub mod floor;
pub mod no_std;
pub mod ours;
pub mod system;
pub mod textbook;

use crate::lock::Locked;
use crate::subject::{Kind, Setup, Subject};
use slabfit::RawLock;
use std::alloc::Layout;
use std::ptr;

/// An allocator over one piece of memory that leaves locking to others.
pub trait Peer: 'static {
    /// The column's title.
    const NAME: &'static str;
    /// Its place in the comparison.
    const KIND: Kind;

    /// An allocator without memory.
    fn new() -> Self;

    /// Hands it its memory. Called once, when the value is where it stays: one peer points into itself.
    ///
    /// # Safety
    /// The `size` bytes at `base`, page-aligned, must belong to nobody else.
    unsafe fn start(&mut self, base: *mut u8, size: usize);

    /// Memory for `layout`, or null.
    fn alloc(&mut self, layout: Layout) -> *mut u8;

    /// Takes memory back.
    ///
    /// # Safety
    /// `ptr` must be live memory of this allocator, served for `layout`.
    unsafe fn dealloc(&mut self, ptr: *mut u8, layout: Layout);

    /// Changes a size; by default allocates, copies and frees, as `GlobalAlloc::realloc` does.
    ///
    /// # Safety
    /// `ptr` must be live memory of this allocator, served for `layout`.
    unsafe fn realloc(&mut self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let new = self.alloc(crate::subject::resized(layout, size));
        if !new.is_null() {
            // SAFETY: both are live, distinct, and at least as long as the smaller size.
            unsafe { ptr::copy_nonoverlapping(ptr, new, layout.size().min(size)) };
            // SAFETY: the caller gave `ptr` with its layout.
            unsafe { self.dealloc(ptr, layout) };
        }
        new
    }
}

/// A [`Peer`] behind a lock: a subject.
pub struct Arena<L, P>(Locked<L, P>);

impl<L: RawLock + Sync + 'static, P: Peer> Subject for Arena<L, P> {
    const NAME: &'static str = P::NAME;
    const KIND: Kind = P::KIND;

    unsafe fn over(setup: &Setup<'_>) -> Box<Self> {
        let arena = Box::new(Self(Locked::new(P::new())));
        // SAFETY: the region is this subject's, so the caller says, and has at least `peer` bytes.
        arena.0.with(|peer| unsafe { peer.start(setup.region.base(), setup.peer) });
        arena
    }

    #[inline(always)]
    fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.with(|peer| peer.alloc(layout))
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        self.0.with(|peer| unsafe { peer.dealloc(ptr, layout) });
    }

    #[inline(always)]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        self.0.with(|peer| unsafe { peer.realloc(ptr, layout, size) })
    }
}
