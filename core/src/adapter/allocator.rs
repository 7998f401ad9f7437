//! The heap as the allocator of a `Vec`, a `Box` or a map that names its allocator: `Allocator` for `&Heap`.
//!
//! The trait is that of crate allocator-api2, whose versions are different traits to the compiler: one feature each.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::adapter;
use crate::heap::Heap;
use crate::lock::RawLock;
use crate::region;

/// What is handed out is as long as it was asked to be: what rounding adds to it is the heap's own affair.
fn bytes(object: NonNull<u8>, layout: Layout) -> NonNull<[u8]> {
    NonNull::slice_from_raw_parts(object, layout.size())
}

/// [`Heap::realloc_layout`], with zeros behind the old size.
///
/// # Safety
/// As for `realloc_layout`; and the object has the layout `old`, whose size is no more than that of `new`.
unsafe fn grow_zeroed<L: RawLock>(
    heap: &Heap<'_, L>,
    object: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Option<NonNull<u8>> {
    // SAFETY: as the caller promises.
    let object = unsafe { heap.realloc_layout(object.as_ptr(), new) }.ok()?;
    // SAFETY: in bounds: the object has the new size, which is no less than the old one.
    let tail = unsafe { object.add(old.size()) };
    // SAFETY: the bytes behind the old size belong to the object now, and the caller does not know them yet.
    unsafe { region::clear(tail, new.size().wrapping_sub(old.size())) };
    Some(object)
}

macro_rules! allocator_for {
    ($feature:literal, $api:ident) => {
        // SAFETY: an object is memory of the layout's size and alignment that is nobody else's until it is freed or the
        // region's loan ends, which is not before the reference's lifetime does; copies of the reference are the same
        // heap; an object is known by its address alone, so each method takes those of every other.
        #[cfg(feature = $feature)]
        unsafe impl<L: RawLock> $api::alloc::Allocator for &Heap<'_, L> {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                let object = self.alloc_layout(layout).map_err(|_| $api::alloc::AllocError)?;
                Ok(bytes(object, layout))
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                let object = adapter::alloc_zeroed(self, layout).map_err(|_| $api::alloc::AllocError)?;
                Ok(bytes(object, layout))
            }

            #[inline]
            unsafe fn deallocate(&self, object: NonNull<u8>, _: Layout) {
                // SAFETY: the caller gives the object up. A refusal is counted by the heap.
                let _ = unsafe { self.free(object.as_ptr()) };
            }

            #[inline]
            unsafe fn grow(
                &self,
                object: NonNull<u8>,
                _: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                // SAFETY: the caller gives the object up, unless this fails.
                let object = unsafe { self.realloc_layout(object.as_ptr(), new) };
                object.map(|object| bytes(object, new)).map_err(|_| $api::alloc::AllocError)
            }

            #[inline]
            unsafe fn grow_zeroed(
                &self,
                object: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                // SAFETY: as the caller promises: it gives the object up, whose layout is `old`, no larger than `new`.
                let object = unsafe { grow_zeroed(self, object, old, new) };
                object.map(|object| bytes(object, new)).ok_or($api::alloc::AllocError)
            }

            #[inline]
            unsafe fn shrink(
                &self,
                object: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                // SAFETY: to a heap, giving an object another size is the same in both directions.
                unsafe { self.grow(object, old, new) }
            }
        }
    };
}

allocator_for!("allocator-api2-02", allocator_api2_02);
allocator_for!("allocator-api2-03", allocator_api2_03);
allocator_for!("allocator-api2-04", allocator_api2_04);
