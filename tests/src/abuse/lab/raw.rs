//! Operations of a heap alone, without a model beside it, on addresses.

use std::alloc::Layout;
use std::ptr::without_provenance_mut;

use slabfit::{AllocError, GRANULE, InvalidFree, ReallocError, Reason};

use crate::any_heap::AnyHeap;

/// An `alloc` of the heap alone, as an address. What is no layout is asked for without its alignment.
///
/// # Errors
/// The heap's.
pub fn raw_alloc(heap: &AnyHeap, size: usize, align: usize) -> Result<usize, AllocError> {
    let served = match Layout::from_size_align(size, align) {
        Ok(layout) if align != GRANULE => heap.alloc_layout(layout),
        _ => heap.alloc(size),
    };
    served.map(|pointer| pointer.addr().get())
}

/// A `free` of the heap alone.
///
/// # Errors
/// The heap's.
pub fn raw_free(heap: &AnyHeap, address: usize) -> Result<(), InvalidFree> {
    // SAFETY: the labs hold no reference into an object.
    unsafe { heap.free(without_provenance_mut(address)) }
}

/// A `realloc` of the heap alone.
///
/// # Errors
/// The heap's.
pub fn raw_realloc(heap: &AnyHeap, address: usize, size: usize, align: usize) -> Result<usize, ReallocError> {
    let pointer = without_provenance_mut(address);
    let old_size = raw_usable(heap, address).unwrap_or(0);
    let moved = match Layout::from_size_align(old_size, align) {
        // SAFETY: the labs hold no reference into an object.
        Ok(layout) if align != GRANULE => unsafe { heap.realloc_layout(pointer, layout, size) },
        // SAFETY: as above.
        _ => unsafe { heap.realloc(pointer, size) },
    };
    moved.map(|pointer| pointer.addr().get())
}

/// The usable bytes of an object of the heap alone.
///
/// # Errors
/// Why it is none.
pub fn raw_usable(heap: &AnyHeap, address: usize) -> Result<usize, Reason> {
    heap.usable_size(without_provenance_mut(address)).map_err(|wrong| wrong.reason)
}
