//! What this machine adds to a heap of any policy: memory of its own, and pictures.

use std::fmt::{self, Display};
use std::ops::Deref;

use slabfit::{Block, Config, Memory, RawLock, SegmentStats};
use slabfit_linux::picture::{self, PictureError};
use slabfit_linux::{FutexLock, MapError, Mapping};
pub use slabfit_model::any_heap::AnyHeap;

use crate::arena::bookkeeping_for;
use crate::model::Placement;
use crate::tester::sys::page_size;

/// Draws a heap; see [`picture::draw`].
///
/// # Errors
/// As there.
pub fn draw<L: RawLock>(
    heap: &AnyHeap<L>,
    title: &dyn Display,
    note: &dyn Display,
    out: &mut impl fmt::Write,
) -> Result<(), PictureError> {
    match heap {
        AnyHeap::NextFit(heap) => picture::draw(heap, title, note, out),
        AnyHeap::FirstFit(heap) => picture::draw(heap, title, note, out),
        AnyHeap::General(heap) => picture::draw(heap, title, note, out),
    }
}

/// The slots of a heap's slab, with those that were never in use as one; see [`slabfit_linux::slots`].
pub fn slots<'h, L: RawLock>(heap: &'h AnyHeap<L>, stats: &'h SegmentStats) -> Box<dyn Iterator<Item = Block> + 'h> {
    match heap {
        AnyHeap::NextFit(heap) => Box::new(slabfit_linux::slots(heap, stats)),
        AnyHeap::FirstFit(heap) => Box::new(slabfit_linux::slots(heap, stats)),
        AnyHeap::General(heap) => Box::new(slabfit_linux::slots(heap, stats)),
    }
}

/// A heap of any policy in memory of its own, as [`MappedHeap`](slabfit_linux::MappedHeap).
pub struct AnyMappedHeap {
    // Above the mapping, so that it is dropped first.
    heap: AnyHeap<FutexLock>,
    _mapping: Mapping,
}

impl AnyMappedHeap {
    /// Maps a heap of `size` bytes, rounded up to whole pages.
    ///
    /// # Errors
    /// The kernel's refusal, or what is wrong with the size or the configuration.
    pub fn new(size: usize, config: Config, placement: Placement) -> Result<Self, MapError> {
        let size = size.max(1).next_multiple_of(page_size());
        let mapping = Mapping::new(size, bookkeeping_for(size, config, placement))?;
        let (heap, second) = (mapping.heap(), mapping.bookkeeping());
        // SAFETY: both pieces are mapped for as long as the heap lives, by the order of the fields, and nobody else has them.
        let memory =
            unsafe { Memory::from_raw_parts(heap.cast().as_ptr(), heap.len(), second.cast().as_ptr(), second.len()) };
        // SAFETY: the kernel hands out anonymous pages zeroed.
        let memory = unsafe { memory.assume_zeroed() };
        Ok(Self { heap: AnyHeap::from_memory(memory, config, placement)?, _mapping: mapping })
    }
}

impl Deref for AnyMappedHeap {
    type Target = AnyHeap<FutexLock>;

    fn deref(&self) -> &Self::Target {
        &self.heap
    }
}
