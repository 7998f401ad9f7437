//! Pages that can be made inaccessible, where there is an operating system, or a memory management unit.

use core::ptr::{self, NonNull};

/// What a [hardened](crate::Hardened) heap asks for to put inaccessible pages round large objects: two functions that are given whole
/// pages of the heap's memory, and return whether they could do it. No lock is held while one runs.
///
/// - `hide` makes the pages inaccessible. Their bytes may be lost.
/// - `show` makes pages that were hidden, or that were not, accessible; those that were hidden are zeros then.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    size: usize,
    hide: fn(NonNull<[u8]>) -> bool,
    show: fn(NonNull<[u8]>) -> bool,
}

impl Pages {
    /// Makes what a heap needs to know of pages of `size` bytes, a power of two.
    ///
    /// # Safety
    /// The functions do what [`Pages`] says, and nothing else to the pages: the heap relies on zeros, and on access.
    #[expect(unsafe_code, reason = "that the functions do what is said of them")]
    pub const unsafe fn new(size: usize, hide: fn(NonNull<[u8]>) -> bool, show: fn(NonNull<[u8]>) -> bool) -> Self {
        Self { size, hide, show }
    }

    /// Returns the bytes of a page.
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Makes `bytes` bytes inaccessible.
    pub(crate) fn hide(&self, start: NonNull<u8>, bytes: usize) -> bool {
        (self.hide)(NonNull::slice_from_raw_parts(start, bytes))
    }

    /// Makes `bytes` bytes accessible.
    pub(crate) fn show(&self, start: NonNull<u8>, bytes: usize) -> bool {
        (self.show)(NonNull::slice_from_raw_parts(start, bytes))
    }
}

/// Two are equal if they are one and the same: the addresses of functions tell nothing.
impl PartialEq for Pages {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self, other)
    }
}

impl Eq for Pages {}
