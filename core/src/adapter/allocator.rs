//! The heap as the allocator of a `Vec`, a `Box` or a map that names its allocator: `Allocator` for `&Heap`.
//!
//! The trait is that of crate allocator-api2, whose versions are different traits to the compiler: one feature each.
#![allow(unsafe_code)]

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use crate::bytes;
use crate::claim::OfSize;
use crate::error::{InvalidFree, ReallocError};
use crate::lock::RawLock;
use crate::policy::Policy;
use crate::segments::Heap;

/// Allocates for `layout`, zeros if `zeroed`. A layout of no bytes takes no memory, and freeing it does nothing, which some
/// collections rely on.
#[inline]
fn allocate<L: RawLock, P: Policy>(heap: &Heap<'_, L, P>, layout: Layout, zeroed: bool) -> Option<NonNull<[u8]>> {
    let object = match layout.size() {
        0 => NonNull::new(ptr::without_provenance_mut(layout.align()))?,
        _ if zeroed => heap.alloc_layout_zeroed(layout).ok()?,
        _ => heap.alloc_layout(layout).ok()?,
    };
    // As long as it was asked to be, without what rounding adds.
    Some(NonNull::slice_from_raw_parts(object, layout.size()))
}

/// Frees an object of layout `layout`. The heap counts a refusal and tells its hooks; the trait has no way to report it.
///
/// # Safety
/// Nobody uses the object afterwards.
#[inline]
unsafe fn deallocate<L: RawLock, P: Policy>(heap: &Heap<'_, L, P>, object: NonNull<u8>, layout: Layout) {
    if layout.size() > 0 {
        // SAFETY: as the caller promises.
        if let Err(wrong) = unsafe { heap.free_sized(object.as_ptr(), layout) } {
            report(heap, wrong);
        }
    }
}

/// Tells the heap's hooks of a refusal.
#[cold]
fn report<L: RawLock, P: Policy>(heap: &Heap<'_, L, P>, wrong: InvalidFree) {
    if let Some(hooks) = heap.hooks() {
        hooks.report(wrong);
    }
}

/// Gives an object of layout `old` the layout `new`, with zeros after the old size if `zeroed`.
///
/// # Safety
/// The object has the layout `old`. If this succeeds nobody uses it afterwards, but for what is returned.
#[inline]
unsafe fn resize<L: RawLock, P: Policy>(
    heap: &Heap<'_, L, P>,
    object: NonNull<u8>,
    old: Layout,
    new: Layout,
    zeroed: bool,
) -> Option<NonNull<[u8]>> {
    if old.size() == 0 {
        return allocate(heap, new, zeroed);
    }
    if new.size() == 0 {
        // SAFETY: as the caller promises.
        unsafe { deallocate(heap, object, old) };
        return allocate(heap, new, zeroed);
    }
    // SAFETY: as the caller promises.
    let resized = unsafe { heap.resize(object.as_ptr(), new.size(), new.align(), OfSize::at(object.as_ptr(), old)) };
    if let Err(ReallocError::InvalidFree(wrong)) = resized {
        report(heap, wrong);
    }
    let object = resized.ok()?;
    if zeroed && old.size() < new.size() {
        // SAFETY: in bounds: the object has the new size, which is more than the old one.
        let tail = unsafe { object.add(old.size()) };
        // SAFETY: the bytes after the old size belong to the object now, and nobody knows them yet.
        unsafe { bytes::clear(tail, new.size().wrapping_sub(old.size()), usize::MAX) };
    }
    Some(NonNull::slice_from_raw_parts(object, new.size()))
}

macro_rules! allocator_for {
    ($feature:literal, $api:ident) => {
        // SAFETY: an object is memory of the layout's size and alignment that is nobody else's until it is freed or the
        // region's loan ends, which is not before the reference's lifetime does; copies of the reference are the same
        // heap; an object is known by its address alone, so each method takes those of every other.
        #[cfg(feature = $feature)]
        unsafe impl<L: RawLock, P: Policy> $api::alloc::Allocator for &Heap<'_, L, P> {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                allocate(self, layout, false).ok_or($api::alloc::AllocError)
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                allocate(self, layout, true).ok_or($api::alloc::AllocError)
            }

            #[inline]
            unsafe fn deallocate(&self, object: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller gives the object up.
                unsafe { deallocate(self, object, layout) };
            }

            #[inline]
            unsafe fn grow(
                &self,
                object: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                // SAFETY: the caller gives the object up, which has the layout `old`, unless this fails.
                unsafe { resize(self, object, old, new, false) }.ok_or($api::alloc::AllocError)
            }

            #[inline]
            unsafe fn grow_zeroed(
                &self,
                object: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                // SAFETY: as for `grow`.
                unsafe { resize(self, object, old, new, true) }.ok_or($api::alloc::AllocError)
            }

            #[inline]
            unsafe fn shrink(
                &self,
                object: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                // SAFETY: as for `grow`.
                unsafe { resize(self, object, old, new, false) }.ok_or($api::alloc::AllocError)
            }
        }
    };
}

allocator_for!("allocator-api2-02", allocator_api2_02);
allocator_for!("allocator-api2-03", allocator_api2_03);
allocator_for!("allocator-api2-04", allocator_api2_04);
