//! What each [error](crate::error) says: `Display`, and defmt's `Format` where the derived one does not say it well.
//!
//! Apart from the types, so that those can be read in one go.

use core::fmt;

use crate::error::{
    AllocError, CacheError, Damage, ExtendError, InitError, InvalidFree, ReallocError, Reason, Reentered, Trap,
    Violation,
};

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
            Self::SlabSizeZero => f.write_str("the slab size is 0 bytes"),
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
            Self::NotInitialised => f.write_str("the heap is not initialised"),
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
                let offset = address.wrapping_sub(object);
                write!(f, "{object:#x}: access past the end of an object of {size} bytes, at offset {offset}")
            }
            Self::BeforeStart { address, object, size } => {
                let before = object.wrapping_sub(address);
                write!(f, "{object:#x}: access before the start of an object of {size} bytes, at offset -{before}")
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
