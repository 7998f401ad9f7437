//! The slab: slots of one size, side by side, the lowest free one first. It knows no locks and no next fit.
//!
//! A slot is free if it was never used or was returned. The used ones are always the first few, as the lowest goes
//! first, so a count says which they are. The returned ones stand in a bit tree: an empty one to begin with, so that
//! set-up touches no slot. (One bit per slot, as for "allocated", but set the other way round: zeros are then the right
//! bits for a slab that nobody has used yet.) The tree's lowest word that has bits is kept in a field instead: slots come
//! from there, and a program that frees and allocates in turn meets the tree where a word becomes empty, and not else.
//!
//! Complexity of alloc and free: O(log64 of the slots).

use core::cmp::Ordering;
use core::ptr::NonNull;

use crate::bit_tree::{self, BitTree};
use crate::error::Reason;
use crate::region::{Carver, Region};
use crate::size::{Divisor, Granules, Offset, Resize};
use crate::stats::{Counters, Extent, SegmentStats};
use crate::switch::wrong;

/// The 64 slots in which the lowest returned one is: bit i is slot `64 * word + i`, set iff it was returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Front {
    /// [`NONE`] iff `bits` are 0.
    pub(crate) word: u32,
    pub(crate) bits: u64,
}

/// No slot and no word of slots: there are never so many.
pub(crate) const NONE: u32 = u32::MAX;

const fn word_of(slot: u32) -> u32 {
    slot / u64::BITS
}

const fn bit_of(slot: u32) -> u64 {
    1u64.wrapping_shl(slot)
}

impl Front {
    const EMPTY: Self = Self { word: NONE, bits: 0 };

    /// The slot of the lowest of some bits, or [`NONE`].
    #[inline]
    const fn first(self, bits: u64) -> u32 {
        if bits == 0 { NONE } else { self.slot(bits.trailing_zeros()) }
    }

    pub(crate) const fn slot(self, bit: u32) -> u32 {
        self.word.wrapping_mul(u64::BITS).wrapping_add(bit)
    }
}

/// Invariants:
/// - `used <= slots`; a slot is live iff its index is below `used` and it is neither in `front` nor in `returned`.
/// - All bits of `front` and `returned` are below `used`; those of `returned` are in words behind that of `front`, so it
///   is empty where `front` is.
/// - A returned slot begins with a `FreeHeader`: `length` is the slot's bytes, `next` is the next free slot, returned or
///   not yet used, or null.
#[derive(Debug)]
pub(crate) struct Slab<'a> {
    pub(crate) region: Region<'a>,
    /// The lowest returned slots.
    pub(crate) front: Front,
    /// The other returned slots.
    pub(crate) returned: BitTree<'a>,
    pub(crate) slots: u32,
    /// Slots that were ever used, and so the most that were live at once.
    pub(crate) used: u32,
    pub(crate) stride: Granules,
    by_stride: Divisor,
    pub(crate) counters: Counters,
}

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
            front: Front::EMPTY,
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
        Some(Self {
            region,
            front: Front::EMPTY,
            returned,
            slots,
            used: 0,
            stride,
            by_stride,
            counters: Counters::ZERO,
        })
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
        let slot = match self.front.bits {
            0 => self.used,
            bits => self.front.slot(bits.trailing_zeros()),
        };
        if slot >= self.slots {
            return None;
        }
        let pointer = self.region.pointer(self.offset(slot), self.stride)?;
        if self.front.bits == 0 {
            self.used = self.used.wrapping_add(1);
        } else {
            self.front.bits &= self.front.bits.wrapping_sub(1);
            if self.front.bits == 0 {
                self.refill_front();
            }
        }
        self.counters.allocated();
        Some(pointer)
    }

    /// Takes the tree's first word out of it.
    #[cold]
    fn refill_front(&mut self) {
        self.front = match self.returned.take_first_word() {
            Some((word, bits)) => Front { word: word as u32, bits },
            None => Front::EMPTY,
        };
    }

    /// Whether a slot was returned, of those that were used.
    #[inline]
    pub(crate) fn is_returned(&self, slot: u32) -> bool {
        if word_of(slot) == self.front.word {
            self.front.bits & bit_of(slot) != 0
        } else {
            self.returned.contains(slot as usize)
        }
    }

    /// The address from which on the memory is zeros, if it was lent as such. A slot holds nothing before it is used.
    pub(crate) fn zeros_from(&self) -> usize {
        self.region.zeros_from(self.offset(self.used))
    }

    /// The live slot that starts at `at`.
    #[inline]
    pub(crate) fn live(&self, at: Offset) -> Result<u32, Reason> {
        let slot = self.index(at);
        if wrong!("slot-tail", slot >= self.slots) {
            Err(Reason::NotAStart)
        } else if wrong!("slot-unused", slot >= self.used) {
            Err(Reason::NeverAllocated)
        } else if wrong!("slot-free", self.is_returned(slot)) {
            Err(Reason::DoubleFree)
        } else if wrong!("slot-start", self.offset(slot) != at) {
            Err(Reason::NotAStart)
        } else {
            Ok(slot)
        }
    }

    /// Frees the live slot that starts at `at`. The usual case calls nothing, and the others answer for it: it then has no
    /// registers to save.
    #[inline]
    pub(crate) fn free(&mut self, at: Offset) -> Result<(), Reason> {
        let slot = match self.live(at) {
            Ok(slot) => slot,
            Err(reason) => return Err(self.counters.refused(reason)),
        };
        self.counters.freed();
        let above = self.front.bits & bit_tree::above_bit(slot % u64::BITS);
        match word_of(slot).cmp(&self.front.word) {
            Ordering::Less => self.put_before_front(slot, at),
            Ordering::Greater => self.put_behind_front(slot, at),
            Ordering::Equal if above == 0 => self.put_last_into_front(slot, at),
            Ordering::Equal => self.put_into_front(slot, at, self.front.first(above)),
        }
    }

    /// Frees a slot of the front's word, behind which comes returned slot `next`, if any.
    #[inline(always)]
    fn put_into_front(&mut self, slot: u32, at: Offset, next: u32) -> Result<(), Reason> {
        let (bit, bits) = (bit_of(slot), self.front.bits);
        self.region.write_free(at, self.stride, self.free_offset(next));
        let below = bits & bit.wrapping_sub(1);
        if below != 0 {
            let previous = self.front.slot(bit_tree::highest(below));
            self.region.link(self.offset(previous), at);
        }
        self.front.bits = bits | bit;
        Ok(())
    }

    #[inline(never)]
    fn put_last_into_front(&mut self, slot: u32, at: Offset) -> Result<(), Reason> {
        self.put_into_front(slot, at, self.next_in_tree(slot))
    }

    #[inline(never)]
    fn put_before_front(&mut self, slot: u32, at: Offset) -> Result<(), Reason> {
        let next = self.front.first(self.front.bits);
        self.region.write_free(at, self.stride, self.free_offset(next));
        if next != NONE {
            self.returned.put_word(self.front.word as usize, self.front.bits);
        }
        self.front = Front { word: word_of(slot), bits: bit_of(slot) };
        Ok(())
    }

    #[inline(never)]
    fn put_behind_front(&mut self, slot: u32, at: Offset) -> Result<(), Reason> {
        self.returned.assign(slot as usize, true);
        self.region.write_free(at, self.stride, self.next_free(slot));
        let previous = match self.returned.previous(slot as usize) {
            Some(slot) => slot as u32,
            None => self.front.slot(bit_tree::highest(self.front.bits)),
        };
        self.region.link(self.offset(previous), at);
        Ok(())
    }

    /// Where the next free slot behind a returned one is, or [`Offset::NONE`].
    #[inline]
    pub(crate) fn next_free(&self, slot: u32) -> Offset {
        let in_front = if word_of(slot) == self.front.word { self.front.bits } else { 0 };
        let next = match in_front & bit_tree::above_bit(slot % u64::BITS) {
            0 => self.next_in_tree(slot),
            above => self.front.first(above),
        };
        self.free_offset(next)
    }

    /// The next slot in the tree behind one, or [`NONE`].
    fn next_in_tree(&self, slot: u32) -> u32 {
        self.returned.next((slot as usize).wrapping_add(1)).map_or(NONE, |slot| slot as u32)
    }

    /// Where returned slot `next` is, or the first one never used if there is no such.
    fn free_offset(&self, next: u32) -> Offset {
        let next = next.min(self.used);
        if next < self.slots { self.offset(next) } else { Offset::NONE }
    }

    /// Whether the slot that starts at `at` can hold `size` bytes where it stands, if `stay`.
    pub(crate) fn resize(&mut self, at: Offset, size: usize, stay: bool) -> Result<Resize, Reason> {
        self.live(at).map_err(|reason| self.counters.refused(reason))?;
        let slot = self.stride.bytes();
        Ok(if stay && size <= slot { Resize::InPlace } else { Resize::Move(slot) })
    }

    pub(crate) fn stats(&self) -> SegmentStats {
        let free = self.slots.wrapping_sub(self.counters.objects);
        let usable = Granules::new(self.slots.wrapping_mul(self.stride.count()));
        let largest = if free > 0 { self.stride } else { Granules::NONE };
        // The lowest free slot goes first: the last slot that was ever used was so when all before it were live.
        let [live, peak] = [self.counters.objects, self.used].map(|slots| slots.wrapping_mul(self.stride.count()));
        let extent = Extent { live, peak, peak_objects: self.used };
        self.counters.figures(self.region.granules().bytes(), usable, extent, largest, free)
    }
}
