//! Less than any allocator has to do: how much of a row is the harness, how much the lock, how much a list.

use super::Peer;
use crate::lock::Locked;
use crate::subject::{Kind, Setup, Subject};
use slabfit::RawLock;
use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::hint::black_box;
use std::ptr;

/// Bytes for whoever writes into memory that nobody allocated.
const SCRATCH: usize = 64;

/// Answers with the same few bytes every time. What a row costs with it is what the harness costs.
pub struct Empty(UnsafeCell<[u8; SCRATCH]>);

// SAFETY: the bytes are only written, through raw pointers, with values that nobody reads.
unsafe impl Sync for Empty {}

impl Subject for Empty {
    const NAME: &'static str = "empty";
    const KIND: Kind = Kind::Empty;

    unsafe fn over(_: &Setup<'_>) -> Box<Self> {
        Box::new(Self(UnsafeCell::new([0; SCRATCH])))
    }

    #[inline(always)]
    fn alloc(&self, layout: Layout) -> *mut u8 {
        black_box(layout);
        black_box(self.0.get().cast())
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        black_box((ptr, layout));
    }

    #[inline(always)]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        black_box((layout, size));
        black_box(ptr)
    }
}

/// Takes the lock, gives it back, and does nothing else.
pub struct LockPair<L>(Locked<L, [u8; SCRATCH]>);

impl<L: RawLock + Sync + 'static> Subject for LockPair<L> {
    const NAME: &'static str = "lock and unlock";
    const KIND: Kind = Kind::Floor;

    unsafe fn over(_: &Setup<'_>) -> Box<Self> {
        Box::new(Self(Locked::new([0; SCRATCH])))
    }

    #[inline(always)]
    fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.with(|scratch| {
            black_box(layout);
            black_box(scratch.as_mut_ptr())
        })
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        self.0.with(|_| black_box((ptr, layout)));
    }

    #[inline(always)]
    unsafe fn realloc(&self, ptr: *mut u8, _: Layout, size: usize) -> *mut u8 {
        self.0.with(|_| black_box((ptr, size)).0)
    }
}

/// Bytes of a node, the slab rows' size.
const NODE: usize = 64;

/// A list of free nodes of one size: the least that a slab can do.
pub struct NodeList(*mut *mut u8);

impl Peer for NodeList {
    const NAME: &'static str = "pop and push";
    const KIND: Kind = Kind::Floor;

    fn new() -> Self {
        Self(ptr::null_mut())
    }

    unsafe fn start(&mut self, base: *mut u8, size: usize) {
        for offset in (0..size / NODE * NODE).step_by(NODE).rev() {
            let node = base.wrapping_add(offset);
            // SAFETY: the node lies in the caller's bytes and is free.
            unsafe { self.dealloc(node, Layout::new::<[u64; NODE / 8]>()) };
        }
    }

    #[inline(always)]
    fn alloc(&mut self, _: Layout) -> *mut u8 {
        let node = self.0;
        if !node.is_null() {
            // SAFETY: a node of the list is ours and holds the address of the next one.
            self.0 = unsafe { node.read() }.cast();
        }
        node.cast()
    }

    #[inline(always)]
    unsafe fn dealloc(&mut self, ptr: *mut u8, _: Layout) {
        let node = ptr.cast::<*mut u8>();
        // SAFETY: the caller gives the node back; it is aligned and large enough for a pointer.
        unsafe { node.write(self.0.cast()) };
        self.0 = node;
    }
}
