//! What every suite runs against: the three C functions of `libmem.so`, whoever implements them.

use core::fmt;
use core::ptr::NonNull;

use serde::{Deserialize, Serialize};
use slabfit::Block;

/// Why a request got no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The heap said that too few bytes are free.
    Full,
    /// The heap said that enough bytes are free, but not side by side.
    Fragmented,
    /// NULL, which is all that most C libraries say.
    Null,
}

/// A free that was refused: the address is no live object, or its header is overwritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A realloc that left the old object as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotResized {
    /// There is no room for the new size.
    NoRoom(Refusal),
    /// The old object was refused.
    Refused(Refused),
}

/// An allocator that behaves as `Mem_Init`, `Mem_Alloc` and `Mem_Free` do. Sizes are signed because C's are, and a
/// negative one has an answer too.
pub trait Allocator: Sync {
    /// Makes the heap, once, and returns its first byte.
    ///
    /// # Errors
    /// What the allocator says about a size or slab size that it refuses, or about a second call.
    fn init(&self, size: isize, slab_size: isize) -> Result<NonNull<u8>, String>;

    /// Asks for `size` bytes; exactly the slab size comes back zero-filled.
    ///
    /// # Errors
    /// The reason for NULL, where it is known.
    fn alloc(&self, size: isize) -> Result<NonNull<u8>, Refusal>;

    /// Frees `address`; null is no error.
    ///
    /// # Errors
    /// The allocator refused it.
    ///
    /// # Safety
    /// Nobody uses the object at `address` any more. Every address may be passed, an object's or not.
    unsafe fn free(&self, address: *mut u8) -> Result<(), Refused>;

    /// Gives `object` another size, keeping its first `min(old, new)` bytes. The C functions have no realloc, so unless
    /// an allocator has one of its own, this is what a C program would do.
    ///
    /// # Errors
    /// Why nothing has changed.
    ///
    /// # Safety
    /// `object` is a live object of `old` bytes, which nobody else uses; once resized, its old address is stale.
    unsafe fn realloc(&self, object: NonNull<u8>, old: usize, new: isize) -> Result<NonNull<u8>, NotResized> {
        let moved = self.alloc(new).map_err(NotResized::NoRoom)?;
        let kept = old.min(new.unsigned_abs());
        // SAFETY: `object` holds `old` bytes by this function's contract and `moved` holds `new`, and `kept` exceeds
        // neither. A library that hands out overlapping memory is to be caught, not to be undefined behaviour, so the
        // copy is one that allows overlap.
        unsafe { moved.copy_from(object, kept) };
        // SAFETY: nobody uses `object` by this function's contract, and its bytes have just been copied.
        unsafe { self.free(object.as_ptr()) }.map_err(NotResized::Refused)?;
        Ok(moved)
    }

    /// The largest request that a size class serves; 0 without size classes.
    fn largest_class(&self) -> usize {
        0
    }

    /// The heap's slots and blocks, where it is more than who holds its objects can see: with size classes.
    fn blocks(&self) -> Option<Vec<Block>> {
        None
    }

    /// The allocator's own opinion of its state, where it has one.
    ///
    /// # Errors
    /// What is broken.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
