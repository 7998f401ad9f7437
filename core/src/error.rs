//! What can go wrong, as types. Nothing here is ever a panic.

use core::error::Error;

/// This thread holds the heap's lock already: it was interrupted, by a signal handler say, inside the heap.
///
/// Only a lock that knows its owner can tell; see [`RawLock::lock`](crate::RawLock::lock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Reentered;

/// Why no heap could be made of the memory that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum InitError {
    /// The region is smaller than a heap needs. Both figures are bytes.
    TooSmall {
        /// Bytes that were given.
        size: usize,
        /// Bytes that are needed.
        minimum: usize,
    },
    /// The region is larger than [`MAX_HEAP`](crate::MAX_HEAP).
    TooLarge {
        /// Bytes that were given.
        size: usize,
    },
    /// A slot of zero bytes was asked for.
    SlabSizeZero,
    /// The second piece of memory cannot hold the bookkeeping. Both figures are bytes.
    BookkeepingTooSmall {
        /// Bytes that were given.
        size: usize,
        /// Bytes that are needed, as [`bookkeeping_size`](crate::bookkeeping_size) says.
        needed: usize,
    },
    /// The heap was initialised before.
    AlreadyInitialised,
    /// The call came while this thread was inside the heap.
    Reentered,
}

/// Why a heap could not be extended. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ExtendError {
    /// The heap has no memory yet.
    NotInitialised,
    /// Fewer bytes than a free block has. Both figures are bytes.
    TooSmall {
        /// Bytes that were given.
        size: usize,
        /// Bytes that are needed.
        minimum: usize,
    },
    /// More bytes than the bookkeeping has room for. Both figures are bytes.
    BeyondReserve {
        /// Bytes that were given.
        size: usize,
        /// What is left of [`Config::reserve`](crate::Config::reserve).
        reserve: usize,
    },
    /// The call came while this thread was inside the heap.
    Reentered,
}

/// Why a request could not be served. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AllocError {
    /// The heap has no memory yet.
    NotInitialised,
    /// Fewer bytes are free than the request needs.
    Full,
    /// Enough bytes are free, but no free block can hold the request.
    Fragmented,
    /// The call came while this thread was inside the heap.
    Reentered,
}

/// Why a cache could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CacheError {
    /// The heap has no memory yet.
    NotInitialised,
    /// As many caches are in use as the heap was made for; or it has none, see [`Config::caches`](crate::Config::caches).
    NoneFree,
    /// The call came while this thread was inside the heap.
    Reentered,
}

/// What is wrong with an address that was to be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Reason {
    /// It lies in neither segment.
    OutsideHeap,
    /// It is not a multiple of [`GRANULE`](crate::GRANULE).
    Misaligned,
    /// It lies inside a live block or slot, or after the last slot, and is no object's first byte.
    NotAStart,
    /// It lies in memory that no block or slot has ever reached.
    NeverAllocated,
    /// It lies in free memory that was handed out before: freed twice, or part of what was freed.
    DoubleFree,
    /// It is a live block whose header is not what the allocator wrote. The block stays live.
    HeaderOverwritten,
    /// It is a live object that was not asked for with the size or alignment that the caller names. It stays live.
    SizeMismatch,
    /// It is a live object of a [hardened](crate::Hardened) heap, and bytes after its end were written. It stays live.
    WrittenPastEnd,
    /// It is a live object of a hardened heap, and bytes before its start were written. It stays live.
    WrittenBeforeStart,
    /// The call came while this thread was inside the heap.
    Reentered,
}

/// Bytes of a [hardened](crate::Hardened) heap that the program has written although they are no live object's.
///
/// Of a write that reaches further than what is compared, the bytes up to there are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// After the end of a live object.
    PastEnd {
        /// The object's address.
        address: usize,
        /// Its bytes, as asked for.
        size: usize,
        /// Bytes from its end to the last one that was written.
        bytes: usize,
    },
    /// Before the start of a live object, or of a block that was freed lately.
    BeforeStart {
        /// The object's address.
        address: usize,
        /// Its bytes, as asked for.
        size: usize,
        /// Bytes from the first one that was written to its start.
        bytes: usize,
    },
    /// In free memory.
    AfterFree {
        /// Address of the slot or of the free memory that the bytes lie in.
        address: usize,
        /// Bytes from there to the first one that was written.
        offset: usize,
        /// Bytes from the first one that was written to the last one.
        bytes: usize,
    },
}

/// What an address in an inaccessible page of a [hardened](crate::Hardened) heap belongs to: see [`Heap::trap`](crate::Heap::trap).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Trap {
    /// It lies after the end of a live object.
    PastEnd {
        /// The address.
        address: usize,
        /// The object's.
        object: usize,
        /// The object's bytes, as asked for.
        size: usize,
    },
    /// It lies before the start of a live object.
    BeforeStart {
        /// The address.
        address: usize,
        /// The object's.
        object: usize,
        /// The object's bytes, as asked for.
        size: usize,
    },
    /// It lies in an object that was freed, or beside one.
    AfterFree {
        /// The address.
        address: usize,
        /// The object's.
        object: usize,
    },
    /// It lies where objects of 0 bytes have their addresses.
    NoBytes {
        /// The address.
        address: usize,
        /// The object's.
        object: usize,
    },
}

/// A free or realloc that was refused. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidFree {
    /// The address that was given.
    pub address: usize,
    /// What is wrong with it.
    pub reason: Reason,
}

/// Why a realloc was refused or could not be served. The old object is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ReallocError {
    /// The old address is no live object's.
    InvalidFree(InvalidFree),
    /// No memory for the new size.
    Alloc(AllocError),
}

/// An invariant of the heap that does not hold.
///
/// Only [`Overwritten`](Self::Overwritten) can come from a write into the two segments. Every other one means that the bookkeeping
/// was overwritten, or that this crate has a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Violation {
    /// The header at this address is not what the allocator wrote. [`Heap::repair`](crate::Heap::repair) puts it right.
    Overwritten {
        /// Address of the header.
        address: usize,
    },
    /// Starts and ends of blocks do not alternate here, or leave the segment, or are too close.
    Boundary {
        /// Address of the granule.
        address: usize,
    },
    /// A summary bit does not say what is below it.
    Summary,
    /// A maximum does not say what is below it.
    Maximum,
    /// The rover's free block or neighbours are not those that the map has.
    Rover {
        /// Address of the rover.
        address: usize,
    },
    /// A count of objects, bytes or free blocks is wrong.
    Count,
    /// A block lies where none was ever allocated.
    HighWater,
    /// A slot was returned that was never used.
    Returned,
    /// A run of slots, or what is known of it, is not as a run must be.
    Run {
        /// Address of its first byte.
        address: usize,
    },
    /// A magazine holds what it must not, or too much.
    Magazine {
        /// Bytes of a slot of its class.
        slot_size: usize,
    },
    /// The program has written bytes that are no live object's: only in a [hardened](crate::Hardened) heap.
    /// [`Heap::repair`](crate::Heap::repair) puts them right.
    Damaged(Damage),
    /// An object's code, or the quarantine, of a hardened heap is not as it must be.
    Ward {
        /// Address of the object.
        address: usize,
    },
    /// The call came while this thread was inside the heap.
    Reentered,
}

impl Error for Reentered {}
impl Error for InitError {}
impl Error for ExtendError {}
impl Error for AllocError {}
impl Error for CacheError {}
impl Error for Reason {}
impl Error for InvalidFree {}
impl Error for Violation {}
impl Error for ReallocError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::InvalidFree(error) => Some(error),
            Self::Alloc(error) => Some(error),
        }
    }
}

impl From<InvalidFree> for ReallocError {
    fn from(wrong: InvalidFree) -> Self {
        Self::InvalidFree(wrong)
    }
}

impl From<AllocError> for ReallocError {
    fn from(error: AllocError) -> Self {
        Self::Alloc(error)
    }
}

impl From<Reentered> for InitError {
    fn from(_: Reentered) -> Self {
        Self::Reentered
    }
}

impl From<Reentered> for CacheError {
    fn from(_: Reentered) -> Self {
        Self::Reentered
    }
}

impl From<Reentered> for ExtendError {
    fn from(_: Reentered) -> Self {
        Self::Reentered
    }
}

impl From<Reentered> for AllocError {
    fn from(_: Reentered) -> Self {
        Self::Reentered
    }
}

impl From<Reentered> for Reason {
    fn from(_: Reentered) -> Self {
        Self::Reentered
    }
}

impl From<Reentered> for Violation {
    fn from(_: Reentered) -> Self {
        Self::Reentered
    }
}
