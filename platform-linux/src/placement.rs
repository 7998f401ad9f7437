//! The policies by name, for a library that is told which one at run time.
#![deny(unsafe_code)]

use slabfit::{FirstFit, General, Hardened, Heap, NextFit, Policy, RawLock};

/// The policies that a library chooses among at run time.
///
/// A heap's policy is a type. A program that learns only at its start which one is asked for holds a heap of each type, and
/// one of these to tell which is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// [`NextFit`].
    NextFit,
    /// [`FirstFit`].
    FirstFit,
    /// [`General`].
    General,
}

impl Placement {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NextFit, Self::FirstFit, Self::General];

    /// The word for it in settings and in traces: `next`, `first` or `general`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NextFit => "next",
            Self::FirstFit => "first",
            Self::General => "general",
        }
    }

    /// The name as people read it: `next fit`, `first fit`, or `size classes and first fit`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NextFit => "next fit",
            Self::FirstFit => "first fit",
            Self::General => "size classes and first fit",
        }
    }

    /// The policy that a [`word`](Self::word) stands for.
    #[must_use]
    pub fn from_word(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|placement| placement.word().as_bytes() == word)
    }
}

/// A policy that has a name, and a rover or none. A hardened one has the name of that which it places objects by.
pub trait Placed: Policy + Sized {
    /// Its name.
    const PLACEMENT: Placement;

    /// The address of a heap's rover; `None` for a policy without one, before `init`, or if this thread is in the heap.
    fn rover<L: RawLock>(heap: &Heap<'_, L, Self>) -> Option<usize>;
}

impl Placed for NextFit {
    const PLACEMENT: Placement = Placement::NextFit;

    fn rover<L: RawLock>(heap: &Heap<'_, L, Self>) -> Option<usize> {
        heap.rover().ok().flatten()
    }
}

impl Placed for FirstFit {
    const PLACEMENT: Placement = Placement::FirstFit;

    fn rover<L: RawLock>(_: &Heap<'_, L, Self>) -> Option<usize> {
        None
    }
}

impl Placed for General {
    const PLACEMENT: Placement = Placement::General;

    fn rover<L: RawLock>(_: &Heap<'_, L, Self>) -> Option<usize> {
        None
    }
}

impl Placed for Hardened<FirstFit> {
    const PLACEMENT: Placement = Placement::FirstFit;

    fn rover<L: RawLock>(_: &Heap<'_, L, Self>) -> Option<usize> {
        None
    }
}

impl Placed for Hardened<General> {
    const PLACEMENT: Placement = Placement::General;

    fn rover<L: RawLock>(_: &Heap<'_, L, Self>) -> Option<usize> {
        None
    }
}
