//! How blocks are placed. A policy is a type, so that a program holds the code of its own only.

use core::fmt::Debug;

use crate::classes::{Classes, MayHave};

/// How a heap places objects: [`NextFit`], [`FirstFit`] or [`General`].
pub trait Policy: sealed::Sealed + Debug + Send + Sync + 'static {
    /// Whether the search begins at a rover, and whether the `next` fields of the free headers link the gaps and the free
    /// slots by address. Without it the search begins at the segment's first byte and every `next` is null.
    #[doc(hidden)]
    const ROVES: bool;

    /// Whether small requests are served by size classes.
    #[doc(hidden)]
    const CLASSES: bool;

    /// The size classes of a heap, or nothing.
    #[doc(hidden)]
    type Classes<'a>: MayHave<Classes<'a>>;
}

/// Searches from the rover on, which stands just after the block that was allocated last, and wraps once.
///
/// The free headers form a list by address: every `next` is the next free block or slot. It is the default, and the policy
/// of `Mem_Alloc`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextFit;

/// Searches from the segment's first byte. Fragments more slowly than [`NextFit`], at the price of a longer search.
///
/// The `next` field of every free header is null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstFit;

/// Serves requests of up to 512 bytes from size classes, and the others as [`FirstFit`] does.
///
/// There are sixteen slot sizes: 16, 32, .. 128 bytes, then four to a doubling. The slots of one size lie side by side in runs of 1
/// to 8 KiB, which are opened and given back as they are needed. Most requests take a slot off a stack and most frees put one back:
/// neither searches, and neither reads or writes a byte of the heap. A slot has no header.
///
/// It is what a program's global allocator should be from 64 KiB on. A size class exists where its run is at most a 32nd of the block
/// segment: in one of less than 32 KiB there are none, and this is first fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct General;

impl Policy for General {
    const ROVES: bool = false;
    const CLASSES: bool = true;
    type Classes<'a> = Classes<'a>;
}

impl Policy for NextFit {
    const ROVES: bool = true;
    const CLASSES: bool = false;
    type Classes<'a> = ();
}

impl Policy for FirstFit {
    const ROVES: bool = false;
    const CLASSES: bool = false;
    type Classes<'a> = ();
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::NextFit {}
    impl Sealed for super::FirstFit {}
    impl Sealed for super::General {}
}
