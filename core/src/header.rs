//! The C headers that lie in the heap, as `mem.h` declares them.
//!
//! They are written for those who walk the heap from outside: C programs, debuggers, students. The allocator itself
//! reads one of them in one place, to refuse the free of a block whose header was overwritten. The layout is that of
//! 64-bit Linux on every target, so that one picture of the heap holds everywhere.
#![deny(unsafe_code)]

use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;

use static_assertions::{const_assert, const_assert_eq};

use crate::size::{GRANULE, Granules};
use crate::switch::wrong;

/// What stands in the `magic` field of every allocated block's header.
pub const MAGIC: usize = 0x507_7604;

/// Begins every free block, and every free slot that was used before.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeHeader {
    /// Bytes behind the header of a free block; all bytes of a free slot. `INT_MAX` where an `int` cannot say it.
    pub length: i32,
    padding: u32,
    /// The next free block or slot by address, or null.
    pub next: *mut FreeHeader,
    #[cfg(target_pointer_width = "32")]
    high: u32,
}

/// Begins every allocated block; the payload follows it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocatedHeader {
    /// Bytes of payload. `INT_MAX` where an `int` cannot say it.
    pub length: i32,
    padding: u32,
    /// [`MAGIC`], as long as nobody has written over it.
    pub magic: *mut c_void,
    #[cfg(target_pointer_width = "32")]
    high: u32,
}

const_assert_eq!(size_of::<FreeHeader>(), GRANULE);
const_assert_eq!(offset_of!(FreeHeader, length), 0);
const_assert_eq!(offset_of!(FreeHeader, next), 8);
const_assert!(align_of::<FreeHeader>() <= GRANULE);
const_assert_eq!(size_of::<AllocatedHeader>(), GRANULE);
const_assert_eq!(offset_of!(AllocatedHeader, length), 0);
const_assert_eq!(offset_of!(AllocatedHeader, magic), 8);
const_assert!(align_of::<AllocatedHeader>() <= GRANULE);

impl FreeHeader {
    /// The header of `length` granules: those behind a free block's header, or all those of a free slot.
    pub(crate) const fn new(length: Granules, next: *mut Self) -> Self {
        Self {
            length: length.length(),
            padding: 0,
            next,
            #[cfg(target_pointer_width = "32")]
            high: 0,
        }
    }
}

impl AllocatedHeader {
    /// The header of a block of `block` granules.
    pub(crate) const fn new(block: Granules) -> Self {
        Self {
            length: block.minus(Granules::HEADER).length(),
            padding: 0,
            magic: ptr::without_provenance_mut(MAGIC),
            #[cfg(target_pointer_width = "32")]
            high: 0,
        }
    }

    /// Whether `length` and `magic` are what `new` writes for a block of this size. The padding is nobody's: a C
    /// program that assigns the struct may leave anything in it.
    pub(crate) fn is_of(&self, block: Granules) -> bool {
        let length = block.minus(Granules::HEADER).length();
        !wrong!("length", self.length != length) && !wrong!("magic", self.magic.addr() != MAGIC)
    }
}
