//! A heap to replay on: memory of its own, at an address that makes every placement what it was when it was recorded.

use core::alloc::Layout;
use core::ptr::NonNull;
use std::io;

use slabfit::{Config, GRANULE, Memory, NoLock, RawLock, ReallocError, Stats};

use crate::any_heap::AnyHeap;
use crate::arena::bookkeeping_for;
use crate::model::Placement;
use crate::tester::extension::Wish;
use crate::tester::session::Failed;
use crate::tester::sys;

/// What a heap is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ground {
    /// Bytes of the heap: whole pages, at most [`slabfit::MAX_HEAP`].
    pub heap: usize,
    /// Slot size of the slab, in bytes; 0 for none.
    pub slab_size: usize,
    /// How the heap places objects.
    pub placement: Placement,
}

/// Slots of `slab_size` bytes in a quarter of the heap, or no slab for a size of 0, as the preload library has it.
#[must_use]
pub fn config(slab_size: usize) -> Config {
    if slab_size == 0 { Config::without_slab() } else { Config::new(slab_size) }
}

/// The placements, in the order in which reports have them: the preload library's default comes first.
pub const PLACEMENTS: [Placement; 3] = [Placement::General, Placement::FirstFit, Placement::NextFit];

/// A placement as people read it.
#[must_use]
pub fn name(placement: Placement) -> &'static str {
    slabfit_linux::Placement::from_word(placement.word().as_bytes()).map_or("", slabfit_linux::Placement::name)
}

/// Why a request got no memory.
pub use slabfit::AllocError as Refused;

/// Anonymous memory, given back when it is dropped.
struct Pages {
    start: NonNull<u8>,
    size: usize,
}

impl Pages {
    fn new(size: usize) -> io::Result<Self> {
        Ok(Self { start: sys::map_private(size)?, size })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, with this size; whoever points into it is gone, see `ReplayHeap`.
        unsafe { sys::unmap(self.start, self.size) };
    }
}

/// A heap whose objects nobody writes to.
pub struct ReplayHeap {
    // Above the memory, so that it is dropped first.
    heap: AnyHeap<NoLock>,
    base: NonNull<u8>,
    _region: Pages,
    _bookkeeping: Pages,
}

/// An object, as an offset from the heap's first byte.
pub type Offset = u64;

impl ReplayHeap {
    /// A heap whose first byte's address leaves the same rest as `base` when it is divided by `alignment`, a power of two:
    /// where an object of a large alignment fits depends on it.
    ///
    /// # Errors
    /// The system has no memory, or no heap can be made as asked.
    pub fn new(ground: Ground, base: u64, alignment: usize) -> io::Result<Self> {
        let Ground { heap: size, slab_size, placement } = ground;
        let alignment = alignment.max(sys::page_size());
        let whole = size.checked_add(alignment).ok_or(io::ErrorKind::OutOfMemory)?;
        let region = Pages::new(whole)?;
        let rest = base as usize & (alignment - 1);
        let shift = rest.wrapping_sub(region.start.addr().get()) & (alignment - 1);
        // SAFETY: `shift` is below `alignment`, and so many bytes are mapped beside the heap's.
        let base = unsafe { region.start.add(shift) };
        let config = config(slab_size);
        let bookkeeping = Pages::new(bookkeeping_for(size, config, placement).max(1))?;
        let (second, len) = (bookkeeping.start.as_ptr(), bookkeeping.size);
        // SAFETY: both pieces are mapped for as long as the heap lives, by the order of the fields, and nobody else has them.
        let memory = unsafe { Memory::from_raw_parts(base.as_ptr(), size, second, len) };
        // SAFETY: the kernel hands out anonymous pages zeroed.
        let memory = unsafe { memory.assume_zeroed() };
        let heap = AnyHeap::from_memory(memory, config, placement).map_err(io::Error::other)?;
        Ok(Self { heap, base, _region: region, _bookkeeping: bookkeeping })
    }

    /// The heap.
    pub(super) fn heap(&self) -> &AnyHeap<NoLock> {
        &self.heap
    }

    /// Asks for memory.
    ///
    /// # Errors
    /// The heap's.
    pub fn alloc(&self, size: u64, wish: Wish) -> Result<Offset, Refused> {
        serve(&self.heap, size, wish).map(|object| self.offset(object))
    }

    /// Gives an object another size.
    ///
    /// # Errors
    /// The heap's.
    pub fn realloc(&self, object: Offset, size: u64) -> Result<Offset, ReallocError> {
        // SAFETY: nobody uses an object of this heap, neither before nor after.
        let moved = unsafe { self.heap.realloc(self.address(object), bytes(size)) };
        moved.map(|moved| self.offset(moved))
    }

    /// Frees whatever is at an offset; whether that was an object.
    pub fn free(&self, object: Offset) -> bool {
        // SAFETY: as above.
        unsafe { self.heap.free(self.address(object)) }.is_ok()
    }

    /// Empties the magazines of the size classes.
    pub fn empty_magazines(&self) {
        // Nobody is in the heap.
        let _ = self.heap.empty_magazines();
    }

    /// The heap's figures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.heap.stats().unwrap_or_default()
    }

    fn address(&self, object: Offset) -> *mut u8 {
        self.base.as_ptr().wrapping_add(bytes(object))
    }

    fn offset(&self, object: NonNull<u8>) -> Offset {
        object.addr().get().wrapping_sub(self.base.addr().get()) as u64
    }
}

/// Counts a refusal by its reason.
pub fn count(failed: &mut Failed, why: Refused) {
    match why {
        Refused::Full => failed.full += 1,
        Refused::Fragmented => failed.fragmented += 1,
        _ => failed.unexplained += 1,
    }
}

/// Asks a heap for memory, by the function that the preload library would call.
pub(super) fn serve<L: RawLock>(heap: &AnyHeap<L>, size: u64, wish: Wish) -> Result<NonNull<u8>, Refused> {
    let size = bytes(size);
    if wish == Wish::default() {
        return heap.alloc(size);
    }
    let layout = Layout::from_size_align(size, bytes(wish.alignment).max(GRANULE)).map_err(|_| Refused::Full)?;
    if wish.zeroed { heap.alloc_layout_zeroed(layout) } else { heap.alloc_layout(layout) }
}

/// What is larger than an address space is as large as can be asked for.
pub(super) fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
