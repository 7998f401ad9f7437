//! The slab: slots of one size, side by side, the lowest free one first. It knows no locks and no next fit.
//!
//! A slot is free if it was never used or was returned. The used ones are always the first few, as the lowest goes
//! first, so a count says which they are. The lowest returned slot stands in a field and the others in a bit tree: an
//! empty one to begin with, so that set-up touches no slot. (One bit per slot, as for "allocated", but set the other way
//! round: zeros are then the right bits for a slab that nobody has used yet.) A program that frees what it allocated last
//! meets the field alone.
//!
//! Complexity of alloc and free: O(log64 of the slots).

use core::mem;
use core::ptr::NonNull;

use crate::bit_tree::BitTree;
use crate::error::Fault;
use crate::region::{Carver, Region};
use crate::size::{Divisor, Granules, Offset, Resize};
use crate::stats::{Counters, SegmentStats};

/// Invariants:
/// - `used <= slots`; a slot is live iff its index is below `used` and it is neither `lowest` nor in `returned`.
/// - `lowest` and all bits of `returned` are below `used`; `lowest` is below all bits, and [`NONE`] iff there is none.
/// - A returned slot begins with a `FreeHeader`: `length` is the slot's bytes, `next` is the next free slot, returned or
///   not yet used, or null.
#[derive(Debug)]
pub(crate) struct Slab<'a> {
    pub(crate) region: Region<'a>,
    /// The lowest returned slot.
    pub(crate) lowest: u32,
    /// The other returned slots.
    pub(crate) returned: BitTree<'a>,
    pub(crate) slots: u32,
    /// Slots that were ever used.
    pub(crate) used: u32,
    pub(crate) stride: Granules,
    by_stride: Divisor,
    pub(crate) counters: Counters,
}

/// No slot: there are never so many.
pub(crate) const NONE: u32 = u32::MAX;

/// How many slots of `slab_size` bytes a segment of `segment` bytes has.
pub(crate) const fn slots_of(segment: usize, slab_size: usize) -> u32 {
    match Granules::within(segment).count().checked_div(Granules::holding(slab_size).count()) {
        Some(slots) => slots,
        None => 0,
    }
}

impl<'a> Slab<'a> {
    /// A slab of no slots.
    pub(crate) const fn empty() -> Self {
        Self {
            region: Region::EMPTY,
            lowest: NONE,
            returned: BitTree::empty(),
            slots: 0,
            used: 0,
            stride: Granules::MIN_SLOT,
            by_stride: Divisor::new(Granules::MIN_SLOT),
            counters: Counters::ZERO,
        }
    }

    /// Bytes of bookkeeping for `slots` slots.
    pub(crate) const fn footprint(slots: u32) -> usize {
        BitTree::footprint(slots as usize)
    }

    /// A slab of slots of `slab_size` bytes, rounded up to granules.
    pub(crate) fn new(region: Region<'a>, slab_size: usize, memory: &mut Carver<'a>) -> Option<Self> {
        let stride = Granules::holding(slab_size);
        let slots = slots_of(region.granules().bytes(), slab_size);
        let returned = BitTree::new(slots as usize, memory)?;
        let by_stride = Divisor::new(stride);
        Some(Self { region, lowest: NONE, returned, slots, used: 0, stride, by_stride, counters: Counters::ZERO })
    }

    pub(crate) fn offset(&self, slot: u32) -> Offset {
        Offset::new(slot.wrapping_mul(self.stride.count()))
    }

    /// The slot that `at` lies in.
    pub(crate) fn index(&self, at: Offset) -> u32 {
        self.by_stride.divide(at)
    }

    /// The lowest free slot, or `None` when all are live.
    #[inline]
    pub(crate) fn alloc(&mut self) -> Option<NonNull<u8>> {
        let slot = self.lowest.min(self.used);
        if slot >= self.slots {
            return None;
        }
        let pointer = self.region.pointer(self.offset(slot), self.stride)?;
        if slot == self.used {
            self.used = self.used.wrapping_add(1);
        } else {
            self.lowest = if self.returned_slots() > 1 { self.take_first() } else { NONE };
        }
        self.counters.allocated(self.stride);
        Some(pointer)
    }

    /// How many slots were returned.
    fn returned_slots(&self) -> u32 {
        self.used.wrapping_sub(self.counters.objects)
    }

    /// Takes the first slot out of the tree.
    #[inline(never)]
    fn take_first(&mut self) -> u32 {
        let Some(slot) = self.returned.first() else { return NONE };
        self.returned.clear(slot);
        slot as u32
    }

    /// Whether a slot was returned, of those that were used.
    #[inline]
    pub(crate) fn is_returned(&self, slot: u32) -> bool {
        slot == self.lowest || self.returned.contains(slot as usize)
    }

    /// The address from which on the memory is zeros, if it was lent as such. A slot holds nothing before it is used.
    pub(crate) fn zeros_from(&self) -> usize {
        self.region.zeros_from(self.offset(self.used))
    }

    /// The live slot that starts at `at`.
    #[inline]
    pub(crate) fn live(&self, at: Offset) -> Result<u32, Fault> {
        let slot = self.index(at);
        if slot >= self.slots {
            Err(Fault::NotABlock)
        } else if slot >= self.used {
            Err(Fault::NeverAllocated)
        } else if self.is_returned(slot) {
            Err(Fault::AlreadyFree)
        } else if self.offset(slot) != at {
            Err(Fault::NotABlock)
        } else {
            Ok(slot)
        }
    }

    /// Frees the live slot that starts at `at`.
    #[inline]
    pub(crate) fn free(&mut self, at: Offset) -> Result<(), Fault> {
        let slot = self.live(at).inspect_err(|&fault| self.counters.refused(fault))?;
        self.counters.freed(self.stride);
        if slot < self.lowest {
            self.put_first(slot, at);
        } else {
            self.put_behind(slot, at);
        }
        Ok(())
    }

    /// Puts a slot in front of all other returned ones.
    #[inline]
    fn put_first(&mut self, slot: u32, at: Offset) {
        let next = mem::replace(&mut self.lowest, slot);
        if next != NONE {
            self.returned.set(next as usize);
        }
        self.region.write_free(at, self.stride, self.free_offset(next));
    }

    /// Puts a slot between other returned ones, or behind them.
    #[inline(never)]
    fn put_behind(&mut self, slot: u32, at: Offset) {
        self.returned.set(slot as usize);
        self.region.write_free(at, self.stride, self.next_free(slot));
        let previous = self.returned.previous(slot as usize).map_or(self.lowest, |slot| slot as u32);
        self.region.link(self.offset(previous), at);
    }

    /// Where the next free slot behind a returned one is, or [`Offset::NONE`].
    pub(crate) fn next_free(&self, slot: u32) -> Offset {
        let next = self.returned.next((slot as usize).wrapping_add(1));
        self.free_offset(next.map_or(NONE, |slot| slot as u32))
    }

    /// Where returned slot `next` is, or the first one never used if there is no such.
    fn free_offset(&self, next: u32) -> Offset {
        let next = next.min(self.used);
        if next < self.slots { self.offset(next) } else { Offset::NONE }
    }

    /// Whether the slot that starts at `at` can hold `size` bytes where it stands, if `stay`.
    pub(crate) fn resize(&mut self, at: Offset, size: usize, stay: bool) -> Result<Resize, Fault> {
        self.live(at).inspect_err(|&fault| self.counters.refused(fault))?;
        let slot = self.stride.bytes();
        Ok(if stay && size <= slot { Resize::InPlace } else { Resize::Move(slot) })
    }

    pub(crate) fn stats(&self) -> SegmentStats {
        let free = self.slots.wrapping_sub(self.counters.objects);
        let usable = Granules::new(self.slots.wrapping_mul(self.stride.count()));
        let largest = if free > 0 { self.stride } else { Granules::NONE };
        self.counters.figures(self.region.granules().bytes(), usable, largest, free)
    }
}
