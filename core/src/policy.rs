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

/// Size classes for requests of up to 512 bytes, and [`FirstFit`] for the rest.
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
