//! A heap whose policy is chosen at run time, for tests that run under each.

use std::alloc::Layout;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;

use slabfit::{
    AllocError, Block, Config, ExtendError, FirstFit, General, Heap, InitError, InvalidFree, Memory, NextFit, RawLock,
    ReallocError, Reentered, Segment, SpinLock, Stats, Violation,
};

use crate::model::Placement;

/// A heap of any policy. Its methods are those of [`Heap`].
#[allow(missing_docs, reason = "the policies are documented where they are")]
#[expect(clippy::large_enum_variant, reason = "few, and each is looked at for as long as it is there")]
pub enum AnyHeap<L: RawLock = SpinLock> {
    NextFit(Heap<'static, L, NextFit>),
    FirstFit(Heap<'static, L, FirstFit>),
    General(Heap<'static, L, General>),
}

/// The expression for whichever heap it is.
macro_rules! with {
    ($any:expr, $heap:ident => $result:expr) => {
        match $any {
            AnyHeap::NextFit($heap) => $result,
            AnyHeap::FirstFit($heap) => $result,
            AnyHeap::General($heap) => $result,
        }
    };
}

#[allow(clippy::missing_errors_doc, clippy::missing_safety_doc, missing_docs, reason = "as the heap's own")]
impl<L: RawLock> AnyHeap<L> {
    /// A heap without memory.
    pub fn empty(placement: Placement) -> Self {
        match placement {
            Placement::NextFit => Self::NextFit(Heap::empty()),
            Placement::FirstFit => Self::FirstFit(Heap::empty()),
            Placement::General => Self::General(Heap::empty()),
        }
    }

    pub fn from_memory(memory: Memory<'static>, config: Config, placement: Placement) -> Result<Self, InitError> {
        let heap = Self::empty(placement);
        heap.init(memory, config)?;
        Ok(heap)
    }

    pub fn init(&self, memory: impl Into<Memory<'static>>, config: Config) -> Result<(), InitError> {
        with!(self, heap => heap.init(memory, config))
    }

    pub fn alloc(&self, size: usize) -> Result<NonNull<u8>, AllocError> {
        with!(self, heap => heap.alloc(size))
    }

    pub fn alloc_zeroed(&self, size: usize) -> Result<NonNull<u8>, AllocError> {
        with!(self, heap => heap.alloc_zeroed(size))
    }

    pub fn alloc_layout(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        with!(self, heap => heap.alloc_layout(layout))
    }

    pub fn alloc_layout_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        with!(self, heap => heap.alloc_layout_zeroed(layout))
    }

    pub unsafe fn extend(&self, bytes: usize) -> Result<(), ExtendError> {
        // SAFETY: as the caller promises.
        with!(self, heap => unsafe { heap.extend(bytes) })
    }

    pub unsafe fn free(&self, ptr: *mut u8) -> Result<(), InvalidFree> {
        // SAFETY: as the caller promises.
        with!(self, heap => unsafe { heap.free(ptr) })
    }

    /// See [`slabfit::Heap::free_sized`].
    ///
    /// # Safety
    /// As there.
    pub unsafe fn free_sized(&self, ptr: *mut u8, layout: Layout) -> Result<(), InvalidFree> {
        // SAFETY: as the caller promises.
        with!(self, heap => unsafe { heap.free_sized(ptr, layout) })
    }

    /// See [`slabfit::Heap::free_measured`].
    ///
    /// # Safety
    /// As there.
    pub unsafe fn free_measured(&self, ptr: *mut u8) -> Result<usize, InvalidFree> {
        // SAFETY: as the caller promises.
        with!(self, heap => unsafe { heap.free_measured(ptr) })
    }

    pub unsafe fn realloc(&self, ptr: *mut u8, size: usize) -> Result<NonNull<u8>, ReallocError> {
        // SAFETY: as the caller promises.
        with!(self, heap => unsafe { heap.realloc(ptr, size) })
    }

    pub unsafe fn realloc_layout(
        &self,
        ptr: *mut u8,
        layout: Layout,
        new_size: usize,
    ) -> Result<NonNull<u8>, ReallocError> {
        // SAFETY: as the caller promises.
        with!(self, heap => unsafe { heap.realloc_layout(ptr, layout, new_size) })
    }

    pub fn usable_size(&self, ptr: *const u8) -> Result<usize, InvalidFree> {
        with!(self, heap => heap.usable_size(ptr))
    }

    pub fn owns(&self, ptr: *const u8) -> bool {
        with!(self, heap => heap.owns(ptr))
    }

    pub fn base(&self) -> Option<NonNull<u8>> {
        with!(self, heap => heap.base())
    }

    pub fn size(&self) -> usize {
        with!(self, heap => heap.size())
    }

    pub fn slab_size(&self) -> usize {
        with!(self, heap => heap.slab_size())
    }

    pub fn segment(&self, segment: Segment) -> Range<usize> {
        with!(self, heap => heap.segment(segment))
    }

    /// Where next fit's rover stands; `None` under the other policies, which have none.
    ///
    /// # Panics
    /// If this thread is in the heap.
    pub fn rover(&self) -> Option<usize> {
        match self {
            Self::NextFit(heap) => heap.rover().expect("nobody is in the heap"),
            Self::FirstFit(_) | Self::General(_) => None,
        }
    }

    pub fn empty_magazines(&self) -> Result<(), Reentered> {
        with!(self, heap => heap.empty_magazines())
    }

    pub fn stats(&self) -> Result<Stats, Reentered> {
        with!(self, heap => heap.stats())
    }

    pub fn blocks(&self) -> Box<dyn Iterator<Item = Block> + '_> {
        with!(self, heap => Box::new(heap.blocks()))
    }

    pub fn blocks_in(&self, segment: Segment) -> Box<dyn Iterator<Item = Block> + '_> {
        with!(self, heap => Box::new(heap.blocks_in(segment)))
    }

    pub fn overwritten(&self) -> Box<dyn Iterator<Item = usize> + '_> {
        with!(self, heap => Box::new(heap.overwritten()))
    }

    pub fn with_free_ranges<R>(
        &self,
        from: usize,
        least: usize,
        most: usize,
        work: impl FnOnce(NonNull<[u8]>) -> R,
    ) -> Result<Option<(Range<usize>, R)>, Reentered> {
        with!(self, heap => heap.with_free_ranges(from, least, most, work))
    }

    pub fn with_free_slots<R>(
        &self,
        within: Range<usize>,
        least: usize,
        work: impl FnOnce(NonNull<[u8]>) -> R,
    ) -> Result<Option<(Range<usize>, R)>, Reentered> {
        with!(self, heap => heap.with_free_slots(within, least, work))
    }

    pub fn check(&self) -> Result<(), Violation> {
        with!(self, heap => heap.check())
    }

    pub fn repair(&self) -> Result<usize, Reentered> {
        with!(self, heap => heap.repair())
    }

    pub fn dump(&self, out: &mut impl fmt::Write) -> fmt::Result {
        with!(self, heap => heap.dump(out))
    }
}
