//! What a caller says of an object that it gives back: nothing, or the layout that it asked for.
//!
//! A free asks whether the object could have been handed out for that. A type each, so that a free that says nothing compares nothing.

use core::alloc::Layout;

use crate::size_class::class_for;
use crate::units::{GRANULE, Granules};

/// What is said of an object. Each question is about one that is live.
pub(crate) trait Claim: Copy {
    /// Returns whether a block of `size` could be the object.
    fn is_block(self, size: Granules) -> bool;

    /// Returns whether a slot for requests of `slab_size` bytes could be the object. One that a realloc made smaller stays in its slot.
    fn is_slot(self, slab_size: usize) -> bool;

    /// Returns whether a slot of a size class could be the object. `or_smaller` if slots hold objects that a smaller class would serve.
    fn is_slot_of(self, class: usize, or_smaller: bool) -> bool;

    /// Returns whether an object that was asked for with exactly `size` bytes is meant.
    fn is_exactly(self, size: usize) -> bool;

    /// Says the same of an object of `size` bytes.
    fn of(self, size: usize) -> Self;
}

/// Nothing is said: every object could be it.
#[derive(Clone, Copy)]
pub(crate) struct AnySize;

impl Claim for AnySize {
    #[inline(always)]
    fn is_block(self, _: Granules) -> bool {
        true
    }

    #[inline(always)]
    fn is_slot(self, _: usize) -> bool {
        true
    }

    #[inline(always)]
    fn is_slot_of(self, _: usize, _: bool) -> bool {
        true
    }

    #[inline(always)]
    fn is_exactly(self, _: usize) -> bool {
        true
    }

    #[inline(always)]
    fn of(self, _: usize) -> Self {
        self
    }
}

/// The object was asked for with so many bytes, at least 1.
#[derive(Clone, Copy)]
pub(crate) struct OfSize(usize);

impl OfSize {
    /// Says that an object was asked for with `size` bytes, where 0 counts as 1.
    #[inline(always)]
    pub(crate) fn new(size: usize) -> Self {
        Self(size.max(1))
    }

    /// Says that the object at `ptr` was asked for with `layout`, of at least 1 byte. No object fits if `ptr` is no multiple of the
    /// alignment: the size is then more than a quarter of all memory. No branch, as sizes and alignments cannot be predicted.
    #[inline(always)]
    pub(crate) fn at(ptr: *const u8, layout: Layout) -> Self {
        let misaligned = ptr.addr() & layout.align().wrapping_sub(1);
        Self(layout.size() | (misaligned.wrapping_neg() / 2))
    }

    /// Counts 0 bytes as 1.
    #[inline(always)]
    pub(crate) fn at_least_1(self) -> Self {
        Self::new(self.0)
    }
}

impl Claim for OfSize {
    /// The payload is the size rounded up, or one granule longer.
    #[inline(always)]
    fn is_block(self, size: Granules) -> bool {
        size.minus(Granules::HEADER).bytes().wrapping_sub(self.0) < 2 * GRANULE
    }

    #[inline(always)]
    fn is_slot(self, slab_size: usize) -> bool {
        self.0.wrapping_sub(1) / GRANULE <= slab_size.wrapping_sub(1) / GRANULE
    }

    #[inline(always)]
    fn is_slot_of(self, class: usize, or_smaller: bool) -> bool {
        class_for(self.0).is_some_and(|own| own == class || or_smaller && own < class)
    }

    #[inline(always)]
    fn is_exactly(self, size: usize) -> bool {
        self.0 == size.max(1)
    }

    #[inline(always)]
    fn of(self, size: usize) -> Self {
        Self::new(size)
    }
}
