//! What is measured: an allocator over a region, or the system's.

use crate::region::Region;
use slabfit::{Config, NextFit, Policy};
use std::alloc::Layout;
use std::ptr;

/// Who a subject is, in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// slabfit.
    Ours,
    /// An allocator for a fixed region, as slabfit is one.
    NoStd,
    /// The textbook version of what slabfit does.
    Textbook,
    /// A process's allocator, which takes memory from the system as it likes and locks as it likes.
    System,
    /// Less than any allocator has to do.
    Floor,
    /// Nothing at all: what the harness itself costs.
    Empty,
}

impl Kind {
    /// The word for it in the CSV files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::NoStd => "no_std",
            Self::Textbook => "textbook",
            Self::System => "system",
            Self::Floor => "floor",
            Self::Empty => "empty",
        }
    }

    /// The kind whose word is `name`.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Ours, Self::NoStd, Self::Textbook, Self::System, Self::Floor, Self::Empty]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// Whether it manages the bytes of a region and nothing else.
    pub fn is_bounded(self) -> bool {
        matches!(self, Self::Ours | Self::NoStd | Self::Textbook)
    }

    /// Whether its pointers are memory of its own for each object: what is written there can be read back.
    pub fn is_allocator(self) -> bool {
        self.is_bounded() || self == Self::System
    }
}

/// The memory a subject is given.
///
/// A heap of `heap` bytes is exactly that for slabfit by next fit or first fit, with the bookkeeping beside it; slabfit
/// general and the peers get one piece of `peer` bytes, by default the sum of both: the same total.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// Where the bytes come from.
    pub region: &'a Region,
    /// Bytes of slabfit's heap, both segments, where it is not in one piece.
    pub heap: usize,
    /// Bytes of the arena of a peer, or of slabfit in one piece.
    pub peer: usize,
    /// slabfit's slab size; [`NO_SLAB`] for a row that is about next fit alone.
    pub slab_size: usize,
    /// The region is fresh from the system: all zero, nothing resident.
    pub fresh: bool,
}

/// A slab size that no request has and no slab segment has room for: everything goes to next fit.
pub const NO_SLAB: usize = 1 << 40;

/// Bytes that slabfit's bookkeeping takes in front of the heap, so that the heap stays aligned.
pub const fn bookkeeping(heap: usize, slab_size: usize) -> usize {
    bookkeeping_of::<NextFit>(heap, slab_size)
}

/// [`bookkeeping`] under another policy.
pub const fn bookkeeping_of<P: Policy>(heap: usize, slab_size: usize) -> usize {
    slabfit::bookkeeping_size::<P>(heap, Config::new(slab_size)).next_multiple_of(64)
}

/// Alignment of every request; what 64-bit Rust programs ask for most, and what each subject has a short path for.
pub const ALIGN: usize = 8;

/// See [`start_up`](crate::rows::start_up): makes a heap, uses it, and calls back. None where it failed.
pub type FirstUse = fn(&mut dyn FnMut()) -> Option<()>;

/// An allocator under measurement.
pub trait Subject: Sync + Sized + 'static {
    /// The column's title.
    const NAME: &'static str;
    /// Its place in the comparison.
    const KIND: Kind;
    /// Whether it is given [`Setup::peer`] bytes in one piece, whatever it keeps of them for itself; otherwise a heap of
    /// [`Setup::heap`] bytes, and its bookkeeping beside it.
    const IN_ONE_PIECE: bool = true;
    /// An alignment at which a small object, once free, is a gap among the others. A higher one than every row's, where
    /// small objects otherwise lie in runs whose slots no search sees.
    const GAP_ALIGN: usize = ALIGN;
    /// Its first use where the system maps its heap for it; none where that is a mapping and the subject over it.
    const FIRST_USE: Option<FirstUse> = None;

    /// A fresh allocator over the memory of `setup`.
    ///
    /// # Safety
    /// Nobody else may use the region's bytes while the subject is used.
    unsafe fn over(setup: &Setup<'_>) -> Box<Self>;

    /// Makes the calling thread known, where it is another than the one that called [`over`](Self::over).
    fn enter(&self) {}

    /// Lets go of what the subject keeps for the calling thread, whose last call this is.
    fn leave(&self) {}

    /// Memory for `layout`, or null.
    fn alloc(&self, layout: Layout) -> *mut u8;

    /// Takes memory back.
    ///
    /// # Safety
    /// `ptr` must be live memory of this subject, served for `layout`.
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout);

    /// Changes the size of `ptr` to `size`; null when that fails, and `ptr` is then as it was.
    ///
    /// As `GlobalAlloc::realloc` does it where an allocator has nothing better: allocate, copy, free.
    ///
    /// # Safety
    /// `ptr` must be live memory of this subject, served for `layout`.
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let new = self.alloc(resized(layout, size));
        if !new.is_null() {
            // SAFETY: both are live, distinct, and at least as long as the smaller size.
            unsafe { ptr::copy_nonoverlapping(ptr, new, layout.size().min(size)) };
            // SAFETY: the caller gave `ptr` with its layout.
            unsafe { self.dealloc(ptr, layout) };
        }
        new
    }
}

/// `layout` with another size.
#[inline]
pub fn resized(layout: Layout, size: usize) -> Layout {
    // SAFETY: the alignment is that of a valid layout, and no row asks for sizes anywhere near isize::MAX.
    unsafe { Layout::from_size_align_unchecked(size, layout.align()) }
}
