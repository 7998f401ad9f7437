//! The peers proper: published `no_std` allocators, each as its documentation says to use it on one region.

use super::Peer;
use crate::subject::{Kind, resized};
use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// talc 5, over one claimed region.
pub struct Talc(talc::base::Talc<talc::source::Manual, talc::DefaultBinning>);

impl Peer for Talc {
    const NAME: &'static str = "talc";
    const KIND: Kind = Kind::NoStd;

    fn new() -> Self {
        Self(talc::base::Talc::new(talc::source::Manual))
    }

    unsafe fn start(&mut self, base: *mut u8, size: usize) {
        // SAFETY: the bytes are ours alone.
        let claimed = unsafe { self.0.claim(base, size) };
        assert!(claimed.is_some(), "talc needs a larger region than {size} bytes");
    }

    #[inline(always)]
    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        // SAFETY: no row asks for zero bytes.
        unsafe { self.0.allocate(layout) }.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline(always)]
    unsafe fn dealloc(&mut self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { self.0.deallocate(ptr, layout) };
    }

    #[inline(always)]
    unsafe fn realloc(&mut self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, passed on; no row asks for zero bytes.
        if unsafe { self.0.try_realloc_in_place(ptr, layout, size) } {
            return ptr;
        }
        let new = self.alloc(resized(layout, size));
        if !new.is_null() {
            // SAFETY: both are live, distinct, and at least as long as the old size (shrinking never moves).
            unsafe { ptr::copy_nonoverlapping(ptr, new, layout.size()) };
            // SAFETY: the caller gave `ptr` with its layout.
            unsafe { self.dealloc(ptr, layout) };
        }
        new
    }
}

/// rlsf's two-level segregated fit, with the lists that its own `GlobalTlsf` and embedded-alloc choose.
pub struct Rlsf(rlsf::Tlsf<'static, usize, usize, { usize::BITS as usize }, { usize::BITS as usize }>);

impl Peer for Rlsf {
    const NAME: &'static str = "rlsf";
    const KIND: Kind = Kind::NoStd;

    fn new() -> Self {
        Self(rlsf::Tlsf::new())
    }

    unsafe fn start(&mut self, base: *mut u8, size: usize) {
        let block = NonNull::slice_from_raw_parts(NonNull::new(base).expect("a mapping is never at 0"), size);
        // SAFETY: the bytes are ours alone for as long as the subject lives.
        let pool = unsafe { self.0.insert_free_block_ptr(block) };
        assert!(pool.is_some(), "rlsf needs a larger region than {size} bytes");
    }

    #[inline(always)]
    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        self.0.allocate(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline(always)]
    unsafe fn dealloc(&mut self, ptr: *mut u8, layout: Layout) {
        // SAFETY: live memory is never at 0.
        let ptr = unsafe { NonNull::new_unchecked(ptr) };
        // SAFETY: the caller's promise, passed on.
        unsafe { self.0.deallocate(ptr, layout.align()) };
    }

    #[inline(always)]
    unsafe fn realloc(&mut self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: live memory is never at 0.
        let ptr = unsafe { NonNull::new_unchecked(ptr) };
        // SAFETY: the caller's promise, passed on.
        let new = unsafe { self.0.reallocate(ptr, resized(layout, size)) };
        new.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

/// linked_list_allocator: address-ordered first fit over a singly linked list of gaps.
pub struct LinkedList(linked_list_allocator::Heap);

impl Peer for LinkedList {
    const NAME: &'static str = "linked_list_allocator";
    const KIND: Kind = Kind::NoStd;

    fn new() -> Self {
        Self(linked_list_allocator::Heap::empty())
    }

    unsafe fn start(&mut self, base: *mut u8, size: usize) {
        // SAFETY: the bytes are ours alone for as long as the subject lives.
        unsafe { self.0.init(base, size) };
    }

    #[inline(always)]
    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        self.0.allocate_first_fit(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline(always)]
    unsafe fn dealloc(&mut self, ptr: *mut u8, layout: Layout) {
        // SAFETY: live memory is never at 0.
        let ptr = unsafe { NonNull::new_unchecked(ptr) };
        // SAFETY: the caller's promise, passed on.
        unsafe { self.0.deallocate(ptr, layout) };
    }
}

/// buddy_system_allocator: powers of two.
pub struct Buddy(buddy_system_allocator::Heap<33>);

impl Peer for Buddy {
    const NAME: &'static str = "buddy_system_allocator";
    const KIND: Kind = Kind::NoStd;

    fn new() -> Self {
        Self(buddy_system_allocator::Heap::new())
    }

    unsafe fn start(&mut self, base: *mut u8, size: usize) {
        // SAFETY: the bytes are ours alone for as long as the subject lives.
        unsafe { self.0.init(base.addr(), size) };
    }

    #[inline(always)]
    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        self.0.alloc(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline(always)]
    unsafe fn dealloc(&mut self, ptr: *mut u8, layout: Layout) {
        // SAFETY: live memory is never at 0.
        let ptr = unsafe { NonNull::new_unchecked(ptr) };
        // SAFETY: the caller's promise, passed on.
        unsafe { self.0.dealloc(ptr, layout) };
    }
}

/// good_memory_allocator (galloc): boundary tags and small bins.
pub struct Good(good_memory_allocator::Allocator);

impl Peer for Good {
    const NAME: &'static str = "good_memory_allocator";
    const KIND: Kind = Kind::NoStd;

    fn new() -> Self {
        Self(good_memory_allocator::Allocator::empty())
    }

    unsafe fn start(&mut self, base: *mut u8, size: usize) {
        // SAFETY: the bytes are ours alone, and this value stays where it is.
        unsafe { self.0.init(base.addr(), size) };
    }

    #[inline(always)]
    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        // SAFETY: no row asks for zero bytes.
        unsafe { self.0.alloc(layout) }
    }

    #[inline(always)]
    unsafe fn dealloc(&mut self, ptr: *mut u8, _: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { self.0.dealloc(ptr) };
    }

    #[inline(always)]
    unsafe fn realloc(&mut self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, passed on; no row asks for zero bytes.
        unsafe { self.0.realloc(ptr, layout, size) }
    }
}

/// The region that picoalloc manages.
struct Whole {
    base: *mut u8,
    size: picoalloc::Size,
}

// SAFETY: the pointer is only handed to the allocator that owns the value, which is used under a lock.
unsafe impl Send for Whole {}

impl picoalloc::Env for Whole {
    fn total_space(&self) -> picoalloc::Size {
        self.size
    }

    unsafe fn allocate_address_space(&mut self) -> *mut u8 {
        self.base
    }

    unsafe fn expand_memory_until(&mut self, _: *mut u8, size: picoalloc::Size) -> bool {
        size <= self.size
    }

    unsafe fn free_address_space(&mut self, _: *mut u8) {}
}

/// picoalloc: segregated free lists, in units of 32 bytes of which the header takes one.
pub struct Pico(picoalloc::Allocator<Whole>);

impl Pico {
    /// Bytes of a unit.
    const UNIT: usize = 32;

    fn over(base: *mut u8, size: usize) -> Self {
        // Rounded down: `Size` rounds up, and the last unit would not be the region's.
        let size = picoalloc::Size::from_bytes_usize(size / Self::UNIT * Self::UNIT);
        Self(picoalloc::Allocator::new(Whole { base, size: size.expect("no row has a region of 128 GiB") }))
    }
}

impl Peer for Pico {
    const NAME: &'static str = "picoalloc";
    const KIND: Kind = Kind::NoStd;

    fn new() -> Self {
        Self::over(ptr::null_mut(), 0)
    }

    unsafe fn start(&mut self, base: *mut u8, size: usize) {
        *self = Self::over(base, size);
    }

    #[inline(always)]
    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        let units = |bytes| picoalloc::Size::from_bytes_usize(bytes);
        let (Some(align), Some(size)) = (units(layout.align()), units(layout.size())) else { return ptr::null_mut() };
        self.0.alloc(align, size).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline(always)]
    unsafe fn dealloc(&mut self, ptr: *mut u8, _: Layout) {
        // SAFETY: live memory is never at 0.
        let ptr = unsafe { NonNull::new_unchecked(ptr) };
        // SAFETY: the caller's promise, passed on.
        unsafe { self.0.free(ptr) };
    }

    #[inline(always)]
    unsafe fn realloc(&mut self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let units = |bytes| picoalloc::Size::from_bytes_usize(bytes);
        let (Some(align), Some(size)) = (units(layout.align()), units(size)) else { return ptr::null_mut() };
        // SAFETY: live memory is never at 0.
        let ptr = unsafe { NonNull::new_unchecked(ptr) };
        // SAFETY: the caller's promise, passed on; no row asks for zero bytes.
        unsafe { self.0.realloc(ptr, align, size) }.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

/// The whole region, given to dlmalloc when it first asks the "system" for memory; after that there is none.
struct OneArena(Cell<(*mut u8, usize)>);

// SAFETY: the cell belongs to the dlmalloc that owns it, which is used under a lock.
unsafe impl Send for OneArena {}

// SAFETY: `alloc` answers with memory that is the caller's alone (once), or with null; nothing is ever taken back.
unsafe impl dlmalloc::Allocator for OneArena {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let (base, bytes) = self.0.replace((ptr::null_mut(), 0));
        if size <= bytes { (base, bytes, 0) } else { (ptr::null_mut(), 0, 0) }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        false
    }

    fn page_size(&self) -> usize {
        crate::region::PAGE
    }
}

/// dlmalloc on one arena.
pub struct Dlmalloc(dlmalloc::Dlmalloc<OneArena>);

impl Peer for Dlmalloc {
    const NAME: &'static str = "dlmalloc";
    const KIND: Kind = Kind::NoStd;

    fn new() -> Self {
        Self(dlmalloc::Dlmalloc::new_with_allocator(OneArena(Cell::new((ptr::null_mut(), 0)))))
    }

    unsafe fn start(&mut self, base: *mut u8, size: usize) {
        self.0.allocator_mut().0.set((base, size / crate::region::PAGE * crate::region::PAGE));
    }

    #[inline(always)]
    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        // SAFETY: the alignment is a power of two.
        unsafe { self.0.malloc(layout.size(), layout.align()) }
    }

    #[inline(always)]
    unsafe fn dealloc(&mut self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { self.0.free(ptr, layout.size(), layout.align()) };
    }

    #[inline(always)]
    unsafe fn realloc(&mut self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        unsafe { self.0.realloc(ptr, layout.size(), layout.align(), size) }
    }
}
