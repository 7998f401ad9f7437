//! The C headers that lie in the heap, as `mem.h` declares them.
//!
//! They are for C programs, debuggers and students that walk the heap from outside. The allocator itself reads only one: that of
//! a live block, to refuse its free if the header was overwritten.

use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;

use static_assertions::{const_assert, const_assert_eq};

use crate::units::{GRANULE, Granules};

/// What stands in the `magic` field of every allocated block's header.
pub const MAGIC: usize = 0x507_7604;

/// Begins every free block, and every free slot that was used before.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeHeader {
    /// Bytes after the header of a free block; all bytes of a free slot. `INT_MAX` if an `int` cannot hold them.
    pub length: i32,
    /// The next free block or slot by address, or null; null under every policy but [`NextFit`](crate::NextFit).
    pub next: *mut FreeHeader,
}

/// Begins every allocated block; the payload follows one granule after its first byte.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocatedHeader {
    /// Bytes of payload. `INT_MAX` if an `int` cannot hold them.
    pub length: i32,
    /// [`MAGIC`], unless somebody has written over it.
    pub magic: *mut c_void,
}

const_assert!(size_of::<FreeHeader>() <= GRANULE && align_of::<FreeHeader>() <= GRANULE);
const_assert!(size_of::<AllocatedHeader>() <= GRANULE && align_of::<AllocatedHeader>() <= GRANULE);
// Both begin with `length`, and the pointer follows at its alignment.
const_assert_eq!(offset_of!(FreeHeader, length), 0);
const_assert_eq!(offset_of!(FreeHeader, next), size_of::<usize>());
const_assert_eq!(offset_of!(AllocatedHeader, length), 0);
const_assert_eq!(offset_of!(AllocatedHeader, magic), size_of::<usize>());

impl AllocatedHeader {
    /// Makes the header of a block of `block` granules.
    pub(crate) const fn new(block: Granules) -> Self {
        Self { length: block.minus(Granules::HEADER).length(), magic: ptr::without_provenance_mut(MAGIC) }
    }
}
