//! How blocks are placed. A policy is a type, so that a program holds the code of its own only.

use core::fmt::Debug;
use core::marker::PhantomData;

use crate::classes::{Classes, MayHave};
use crate::ward::Ward;

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

    /// Whether the heap looks for what the program does wrong.
    #[doc(hidden)]
    const HARDENED: bool = false;

    /// What a hardened heap knows of its objects, or nothing.
    #[doc(hidden)]
    type Ward<'a>: MayHave<Ward<'a>>;
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

/// Places objects as `P` does, [`General`] or [`FirstFit`], and finds what the program does wrong with them.
///
/// - *A write past an object's end or before its start*: at least 8 bytes between the end of what was asked for and the next object hold
///   a pattern made of the heap's [key](crate::Config::key). `free`, `realloc` and [`check`](crate::Heap::check) compare it, and the
///   free of the object that follows.
/// - *A write after the free*: a freed object is filled with zeros, and compared with zeros when its memory is handed out again.
/// - *A double free*: freed objects stay in a quarantine, for 64 frees of their size class at least, and leave it in random order. Blocks
///   do so too, within a [bound](crate::QuarantineStats) on their bytes.
/// - *A size that is not the object's*, to the byte, in [`free_sized`](crate::Heap::free_sized) and its like.
///
/// Errors name the fault, and [`Hooks::damage`](crate::Hooks::damage) is told of each write that was found. A heap of this policy has no
/// slab and no caches, whatever its configuration says, and gives out zeros only. [`usable_size`](crate::Heap::usable_size) is what
/// was asked for. Its bookkeeping takes a byte for each granule more, and its set-up clears memory that was not lent as zeros.
///
/// ```
/// use slabfit::{Config, DefaultLock, General, Hardened, Heap, Reason, RegionArray};
///
/// let mut array = RegionArray::<{ 256 << 10 }>::new();
/// let key = [0x8f2c_6a1d_73b5_e049, 0x1b94_d7e2_5c08_a36f]; // from a source of random numbers
/// let heap: Heap<'_, DefaultLock, Hardened<General>> = Heap::from_memory(&mut array, Config::without_slab().key(key))?;
/// let object = heap.alloc(20)?.as_ptr();
/// // SAFETY: no byte of the object, but one that the heap has: the mistake that is to be found.
/// unsafe { object.add(20).write(b'!') };
/// // SAFETY: nobody uses the object afterwards.
/// let freed = unsafe { heap.free(object) };
/// assert_eq!(freed.unwrap_err().reason, Reason::WrittenPastEnd);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hardened<P>(PhantomData<P>);

impl<P: sealed::Plain> Policy for Hardened<P> {
    const ROVES: bool = false;
    const CLASSES: bool = P::CLASSES;
    type Classes<'a> = P::Classes<'a>;
    const HARDENED: bool = true;
    type Ward<'a> = Ward<'a>;
}

impl Policy for General {
    const ROVES: bool = false;
    const CLASSES: bool = true;
    type Classes<'a> = Classes<'a>;
    type Ward<'a> = ();
}

impl Policy for NextFit {
    const ROVES: bool = true;
    const CLASSES: bool = false;
    type Classes<'a> = ();
    type Ward<'a> = ();
}

impl Policy for FirstFit {
    const ROVES: bool = false;
    const CLASSES: bool = false;
    type Classes<'a> = ();
    type Ward<'a> = ();
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::NextFit {}
    impl Sealed for super::FirstFit {}
    impl Sealed for super::General {}
    impl<P: Plain> Sealed for super::Hardened<P> {}

    /// A policy that can be hardened.
    pub trait Plain: super::Policy {}
    impl Plain for super::FirstFit {}
    impl Plain for super::General {}
}
