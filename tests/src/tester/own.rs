//! slabfit's own heap, behind the same three functions as any `libmem.so`.

use core::ptr::NonNull;
use std::sync::OnceLock;

use slabfit::{AllocError, Block, Config, ReallocError};

use crate::any_heap::AnyMappedHeap;
use crate::model::Placement;
use crate::tester::allocator::{Allocator, NotResized, Refusal, Refused};

/// A heap that is made by [`Allocator::init`].
///
/// Not the process's heap, which `libmem.so` has: a run needs many, one after the other.
pub struct OwnHeap {
    placement: Placement,
    heap: OnceLock<AnyMappedHeap>,
}

impl OwnHeap {
    /// No heap yet.
    #[must_use]
    pub fn new(placement: Placement) -> Self {
        Self { placement, heap: OnceLock::new() }
    }
}

impl Allocator for OwnHeap {
    fn init(&self, size: isize, slab_size: isize) -> Result<NonNull<u8>, String> {
        let (size, slab_size) = (positive(size).ok_or("NULL")?, positive(slab_size).ok_or("NULL")?);
        let heap =
            AnyMappedHeap::new(size, Config::new(slab_size), self.placement).map_err(|error| error.to_string())?;
        let base = heap.base().ok_or("a heap without memory")?;
        self.heap.set(heap).map_err(|_| "already initialised")?;
        Ok(base)
    }

    fn alloc(&self, size: isize) -> Result<NonNull<u8>, Refusal> {
        let heap = self.heap.get().ok_or(Refusal::Null)?;
        let size = positive(size).ok_or(Refusal::Null)?;
        let object = if size == heap.slab_size() { heap.alloc_zeroed(size) } else { heap.alloc(size) };
        object.map_err(refusal)
    }

    unsafe fn free(&self, address: *mut u8) -> Result<(), Refused> {
        if address.is_null() {
            return Ok(());
        }
        let heap = self.heap.get().ok_or_else(|| Refused("there is no heap".to_owned()))?;
        // SAFETY: the caller answers for the object's use.
        unsafe { heap.free(address) }.map_err(|wrong| Refused(wrong.reason.to_string()))
    }

    unsafe fn realloc(&self, object: NonNull<u8>, _old: usize, new: isize) -> Result<NonNull<u8>, NotResized> {
        let heap = self.heap.get().ok_or(NotResized::NoRoom(Refusal::Null))?;
        let new = positive(new).ok_or(NotResized::NoRoom(Refusal::Null))?;
        // SAFETY: the caller answers for the object's use.
        unsafe { heap.realloc(object.as_ptr(), new) }.map_err(|error| match error {
            ReallocError::Alloc(error) => NotResized::NoRoom(refusal(error)),
            wrong => NotResized::Refused(Refused(wrong.to_string())),
        })
    }

    fn largest_class(&self) -> usize {
        let stats = self.heap.get().and_then(|heap| heap.stats().ok()).unwrap_or_default();
        stats.classes.iter().map(|class| class.slot_size).max().unwrap_or(0)
    }

    fn blocks(&self) -> Option<Vec<Block>> {
        let heap = self.heap.get().filter(|_| self.placement == Placement::General)?;
        Some(heap.blocks().collect())
    }

    fn check(&self) -> Result<(), String> {
        self.heap.get().map_or(Ok(()), |heap| heap.check().map_err(|violation| violation.to_string()))
    }
}

fn refusal(error: AllocError) -> Refusal {
    match error {
        AllocError::Full => Refusal::Full,
        AllocError::Fragmented => Refusal::Fragmented,
        _ => Refusal::Null,
    }
}

fn positive(number: isize) -> Option<usize> {
    usize::try_from(number).ok().filter(|&number| number != 0)
}
