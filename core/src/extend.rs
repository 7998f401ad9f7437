//! Growth: memory that is added at the end of the block segment, as far as the bookkeeping reaches.
#![allow(unsafe_code)]

use crate::block_map::Gap;
use crate::blocks::{Blocks, Freed};
use crate::classes::{Classes, MayHave};
use crate::error::ExtendError;
use crate::lock::RawLock;
use crate::policy::Policy;
use crate::segments::Heap;
use crate::units::{Granules, Offset};

impl<P: Policy> Blocks<'_, P> {
    /// Adds the granules of `bytes` bytes to the segment's end, and returns how many they are. They are freed, as if a block had lain
    /// there.
    ///
    /// # Safety
    /// As for [`Heap::extend`].
    unsafe fn extend(&mut self, bytes: usize) -> Result<Granules, ExtendError> {
        if self.region.granules() == Granules::ZERO {
            return Err(ExtendError::NotInitialised);
        }
        let added = Granules::from_bytes_floor(bytes);
        if added < Granules::MIN_BLOCK {
            return Err(ExtendError::TooSmall { size: bytes, minimum: Granules::MIN_BLOCK.bytes() });
        }
        let (start, reserve) = (self.map.end(), self.map.reserve());
        let beyond = ExtendError::BeyondReserve { size: bytes, reserve: reserve.bytes() };
        if added > reserve {
            return Err(beyond);
        }
        let end = start.plus(added);
        // Not reached: a failure, as the map reaches as far as its reserve.
        self.map.extend(end).ok_or(beyond)?;
        // SAFETY: as the caller promises.
        unsafe { self.region.extend(added) };
        self.clear_unless_zeroed(start, added);
        if let Some(classes) = self.classes.get_mut() {
            Classes::set_end(classes, end);
        }
        let gap = Gap { start: self.map.gap_start(start), end };
        let previous = if P::ROVES { self.previous_gap(start) } else { Offset::NIL };
        self.give_back(Freed { start, end, gap, previous, next: Offset::NIL });
        Ok(added)
    }
}

impl<L: RawLock, P: Policy> Heap<'_, L, P> {
    /// Adds the `bytes` bytes that follow the heap's end, [`base`](Self::base) plus [`size`](Self::size), to the block segment, rounded
    /// down to granules. They are free then, joined with a free block before them. What is allocated stays as it is.
    ///
    /// The bookkeeping must reach: [`Config::reserve`](crate::Config::reserve) says how far. Complexity: O(log) in the region's size.
    ///
    /// ```
    /// use slabfit::{Config, DefaultLock, FirstFit, Heap, Memory};
    ///
    /// let memory = Box::leak(vec![0u8; 64 << 10].into_boxed_slice()).as_mut_ptr(); // all that there will be
    /// // SAFETY: nobody else has it, now or later.
    /// let start = unsafe { Memory::from_raw(memory, 8 << 10) };
    /// let heap: Heap<'_, DefaultLock, FirstFit> = Heap::from_memory(start, Config::without_slab().reserve(56 << 10))?;
    /// assert!(heap.alloc(40 << 10).is_err());
    /// // SAFETY: the bytes follow in the same memory, which `memory` leads to, and nobody else has them.
    /// unsafe { heap.extend(56 << 10) }?;
    /// assert!(heap.alloc(40 << 10).is_ok());
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ExtendError`]; nothing has changed.
    ///
    /// # Safety
    /// For as long as the heap lives, the `bytes` bytes at the heap's end are part of the allocated object that the region is in,
    /// readable and writable through the pointer that the region was lent by ([`Memory::from_raw`](crate::Memory::from_raw)), and
    /// nothing else touches them but through pointers that the heap hands out. Where the region was declared to be zeros, they are too.
    pub unsafe fn extend(&self, bytes: usize) -> Result<(), ExtendError> {
        let mut blocks = self.lock_blocks()?;
        // SAFETY: as the caller promises.
        let added = unsafe { blocks.extend(bytes) }?;
        self.move_end(added);
        Ok(())
    }
}
