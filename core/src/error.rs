//! What can go wrong, as types. Nothing here is ever a panic.

use core::error::Error;
use core::fmt;

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
    /// It is no multiple of [`GRANULE`](crate::GRANULE).
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

impl fmt::Display for Reentered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("called while this thread holds the lock")
    }
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooSmall { size, minimum } => {
                write!(f, "region of {size} bytes is too small, {minimum} are needed")
            }
            Self::TooLarge { size } => write!(f, "region of {size} bytes is larger than 64 GiB"),
            Self::SlabSizeZero => f.write_str("a slab size of 0 bytes"),
            Self::BookkeepingTooSmall { size, needed } => {
                write!(f, "{size} bytes of bookkeeping are too few, {needed} are needed")
            }
            Self::AlreadyInitialised => f.write_str("the heap is initialised already"),
            Self::Reentered => Reentered.fmt(f),
        }
    }
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInitialised => f.write_str("the heap has no memory yet"),
            Self::NoneFree => f.write_str("no cache is free"),
            Self::Reentered => Reentered.fmt(f),
        }
    }
}

impl fmt::Display for ExtendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotInitialised => AllocError::NotInitialised.fmt(f),
            Self::TooSmall { size, minimum } => write!(f, "{size} bytes are too few, {minimum} are needed"),
            Self::BeyondReserve { size, reserve } => {
                write!(f, "{size} bytes are more than the {reserve} that are left in reserve")
            }
            Self::Reentered => Reentered.fmt(f),
        }
    }
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInitialised => f.write_str("the heap is not initialised"),
            Self::Full => f.write_str("the heap is full"),
            Self::Fragmented => f.write_str("the heap is too fragmented"),
            Self::Reentered => Reentered.fmt(f),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutsideHeap => f.write_str("outside the heap"),
            Self::Misaligned => f.write_str("misaligned"),
            Self::NotAStart => f.write_str("not the start of an object"),
            Self::NeverAllocated => f.write_str("never allocated"),
            Self::DoubleFree => f.write_str("double free"),
            Self::HeaderOverwritten => f.write_str("header overwritten"),
            Self::SizeMismatch => f.write_str("not of this size or alignment"),
            Self::WrittenPastEnd => f.write_str("written past its end"),
            Self::WrittenBeforeStart => f.write_str("written before its start"),
            Self::Reentered => Reentered.fmt(f),
        }
    }
}

impl fmt::Display for InvalidFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}: {}", self.address, self.reason)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |f: &mut fmt::Formatter<'_>, address: usize, bytes: usize| {
            write!(f, "{address:#x}: {bytes} {} written", if bytes == 1 { "byte" } else { "bytes" })
        };
        match *self {
            Self::PastEnd { address, size, bytes } => {
                count(f, address, bytes)?;
                write!(f, " past the end of an object of {size} bytes")
            }
            Self::BeforeStart { address, size, bytes } => {
                count(f, address, bytes)?;
                write!(f, " before the start of an object of {size} bytes")
            }
            Self::AfterFree { address, offset, bytes } => {
                count(f, address, bytes)?;
                write!(f, " after the free, at offset {offset}")
            }
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::PastEnd { address, object, size } => {
                let past = address.wrapping_sub(object).wrapping_sub(size);
                write!(f, "{object:#x}: access {past} bytes past the end of an object of {size} bytes")
            }
            Self::BeforeStart { address, object, size } => {
                let before = object.wrapping_sub(address);
                write!(f, "{object:#x}: access {before} bytes before the start of an object of {size} bytes")
            }
            Self::AfterFree { address, object } => {
                let offset = address.wrapping_sub(object) as isize;
                write!(f, "{object:#x}: access after the free, at offset {offset}")
            }
            Self::NoBytes { address, object } => {
                let offset = address.wrapping_sub(object);
                write!(f, "{object:#x}: access to an object of 0 bytes, at offset {offset}")
            }
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Damage {
    fn format(&self, f: defmt::Formatter<'_>) {
        match *self {
            Self::PastEnd { address, size, bytes } => {
                defmt::write!(f, "{=usize:#x}: {} bytes written past the end of {} bytes", address, bytes, size);
            }
            Self::BeforeStart { address, size, bytes } => {
                defmt::write!(f, "{=usize:#x}: {} bytes written before the start of {} bytes", address, bytes, size);
            }
            Self::AfterFree { address, offset, bytes } => {
                defmt::write!(f, "{=usize:#x}: {} bytes written after the free, at offset {}", address, bytes, offset);
            }
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for InvalidFree {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=usize:#x}: {}", self.address, self.reason);
    }
}

impl fmt::Display for ReallocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidFree(wrong) => wrong.fmt(f),
            Self::Alloc(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overwritten { address } => write!(f, "{address:#x}: header overwritten"),
            Self::Boundary { address } => write!(f, "{address:#x}: block boundaries do not alternate"),
            Self::Summary => f.write_str("a summary bit is wrong"),
            Self::Maximum => f.write_str("a maximum is wrong"),
            Self::Rover { address } => write!(f, "{address:#x}: the rover's free block is not the map's"),
            Self::Count => f.write_str("a count is wrong"),
            Self::HighWater => f.write_str("a block lies above the high-water mark"),
            Self::Returned => f.write_str("a slot was returned that was never used"),
            Self::Run { address } => write!(f, "{address:#x}: a run of slots is wrong"),
            Self::Magazine { slot_size } => write!(f, "the magazine of {slot_size} bytes is wrong"),
            Self::Damaged(damage) => damage.fmt(f),
            Self::Ward { address } => write!(f, "{address:#x}: what is known of this object is wrong"),
            Self::Reentered => Reentered.fmt(f),
        }
    }
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
