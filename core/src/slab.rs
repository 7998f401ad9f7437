//! The slab: slots of one size, side by side, the lowest free one first.
//!
//! A slot is free if it was never used or was returned. The lowest goes first, so the used ones are always the first few, and a
//! count says how many. A bit tree has the returned ones; it is empty at first, so set-up touches no slot. The lowest returned
//! slot is in a field instead: a program that frees and allocates in turn leaves the tree alone.
//!
//! Complexity of alloc and free: O(log) in the number of slots.

use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::NonNull;

use crate::bit_tree::{BitTree, NO_BIT};
use crate::bits::below_bit;
use crate::error::Reason;
use crate::memory::{Bump, Piece};
use crate::policy::Policy;
use crate::region::Region;
use crate::stats::SegmentStats;
use crate::units::{BITS, Granules, Offset, Reciprocal, Resize, Word};

/// Invariants:
/// - `used <= slots`; the slots below `used` were live at some time, and no other. A slot is live iff it is below `used`, is not
///   `lowest` and not in `returned`.
/// - `lowest` is the lowest slot that is not live: `used`, if every slot below that is.
/// - All bits of `returned` are above `lowest` and below `used`.
/// - A returned slot begins with a `FreeHeader`: `length` is the slot's bytes; `next` is the next free slot, returned or never
///   used, or null, and always null under a policy without a list. If `lent`, it may be all zeros instead.
#[derive(Debug)]
pub(crate) struct Slab<'a, P> {
    pub(crate) region: Region<'a>,
    pub(crate) lowest: u32,
    pub(crate) used: u32,
    pub(crate) slots: u32,
    by_stride: Reciprocal,
    /// What the C header's `length` says of a slot.
    length: i32,
    /// The returned slots above `lowest`.
    pub(crate) returned: BitTree<'a>,
    /// How many slots below `used` are not live.
    pub(crate) idle: u32,
    /// Whether returned slots were ever lent to the heap's owner, who may have cleared their headers.
    pub(crate) lent: bool,
    /// Requests that were served.
    allocs: usize,
    refused_frees: usize,
    policy: PhantomData<P>,
}

/// Returns how many slots of `slab_size` bytes a segment of `segment` bytes has.
pub(crate) const fn slots_of(segment: usize, slab_size: usize) -> u32 {
    match Granules::from_bytes_floor(segment).count().checked_div(Granules::from_bytes_ceil(slab_size).count()) {
        Some(slots) => slots,
        None => 0,
    }
}

impl<'a, P: Policy> Slab<'a, P> {
    /// A slab of no slots, all zeros.
    pub(crate) const EMPTY: Self = Self {
        region: Region::EMPTY,
        lowest: 0,
        used: 0,
        slots: 0,
        by_stride: Reciprocal::ZERO,
        length: 0,
        returned: BitTree::EMPTY,
        idle: 0,
        lent: false,
        allocs: 0,
        refused_frees: 0,
        policy: PhantomData,
    };

    /// Returns how many bytes of bookkeeping `slots` slots take.
    pub(crate) const fn footprint(slots: u32) -> usize {
        BitTree::words(slots).saturating_mul(size_of::<Word>())
    }

    /// Makes an empty slab one of slots of `slab_size` bytes, rounded up to granules.
    pub(crate) fn set_up(&mut self, piece: Piece<'a>, slab_size: usize, memory: &mut Bump<'a>) -> Option<()> {
        self.region = Region::new(piece);
        self.slots = slots_of(self.region.granules().bytes(), slab_size);
        self.by_stride = Reciprocal::new(Granules::from_bytes_ceil(slab_size).count());
        self.length = self.stride().length();
        self.returned.set_up(self.slots, memory)
    }

    /// Returns the size of a slot.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn stride(&self) -> Granules {
        Granules::new(self.by_stride.divisor())
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn offset(&self, slot: u32) -> Offset {
        Offset::new(slot.wrapping_mul(self.stride().count()))
    }

    /// Returns the slot that holds the granule at `at`, by a division: for what is no slot's start, and for walks.
    pub(crate) fn slot_at(&self, at: Offset) -> u32 {
        at.index().checked_div(self.stride().count()).unwrap_or(u32::MAX)
    }

    /// Allocates the lowest free slot, if that is simple: it was never used, or another returned slot is near and stays so.
    /// `None` otherwise, and nothing has changed.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn alloc_near(&mut self) -> Option<NonNull<u8>> {
        let slot = self.lowest;
        let next;
        if slot < self.used {
            let word = self.returned.word_of(slot);
            if word & word.wrapping_sub(1) == 0 {
                return None;
            }
            next = slot & !(BITS - 1) | word.trailing_zeros();
            self.returned.clear_in_word(next);
            self.idle = self.idle.wrapping_sub(1);
        } else if slot < self.slots {
            next = slot.wrapping_add(1);
            self.used = next;
        } else {
            return None;
        }
        self.lowest = next;
        self.allocs = self.allocs.wrapping_add(1);
        self.region.granule(self.offset(slot))
    }

    /// Allocates the lowest free slot; `None` if all are live.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn alloc(&mut self) -> Option<NonNull<u8>> {
        let slot = self.lowest;
        if slot >= self.slots {
            return None;
        }
        let payload = self.region.granule(self.offset(slot))?;
        if slot == self.used {
            self.used = slot.wrapping_add(1);
            self.lowest = self.used;
        } else {
            self.idle = self.idle.wrapping_sub(1);
            let next = if self.idle == 0 { NO_BIT } else { self.returned.next(slot) };
            if next != NO_BIT {
                self.returned.clear(next);
            }
            self.lowest = next.min(self.used);
        }
        self.allocs = self.allocs.wrapping_add(1);
        Some(payload)
    }

    /// Returns whether a slot below `used` is not live.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn is_returned(&self, slot: u32) -> bool {
        slot == self.lowest || self.returned.contains(slot)
    }

    /// Returns the address from which on the memory is zeros, if it was lent as such. A slot holds nothing before it is used.
    pub(crate) fn zeros_from(&self) -> usize {
        self.region.zeros_from(self.offset(self.used))
    }

    /// Finds the live slot that starts at `at`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn live(&self, at: Offset) -> Result<u32, Reason> {
        let Some(slot) = self.by_stride.divide(at.index()) else { return Err(self.reason(at)) };
        if slot >= self.used || self.is_returned(slot) {
            return Err(self.reason(at));
        }
        Ok(slot)
    }

    /// Says why `at` is no live slot's start.
    #[cold]
    #[inline(never)]
    fn reason(&self, at: Offset) -> Reason {
        let slot = self.slot_at(at);
        if slot >= self.slots {
            Reason::NotAStart
        } else if slot >= self.used {
            Reason::NeverAllocated
        } else if self.is_returned(slot) {
            Reason::DoubleFree
        } else {
            Reason::NotAStart
        }
    }

    /// Frees the live slot that starts at `at`, if that is simple: it is below all returned ones, and none of their summaries
    /// changes. `None` otherwise, and nothing has changed.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn free_near(&mut self, at: Offset) -> Option<()> {
        let slot = self.by_stride.divide(at.index())?;
        let next = self.lowest;
        // Below `lowest` all slots are live.
        if slot >= next {
            return None;
        }
        if next < self.used {
            if self.returned.word_of(next) == 0 {
                return None;
            }
            self.returned.set_in_word(next);
        }
        self.lowest = slot;
        self.idle = self.idle.wrapping_add(1);
        self.region.write_free_slot(at, self.length, if P::ROVES { self.free_offset(next) } else { Offset::NIL });
        Some(())
    }

    /// Frees the live slot that starts at `at`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn free(&mut self, at: Offset) -> Result<(), Reason> {
        let slot = match self.live(at) {
            Ok(slot) => slot,
            Err(reason) => return Err(self.refused(reason)),
        };
        self.idle = self.idle.wrapping_add(1);
        let lowest = self.lowest;
        if slot < lowest {
            self.lowest = slot;
            if lowest < self.used {
                self.returned.set(lowest);
            }
            self.region.write_free_slot(at, self.length, if P::ROVES { self.free_offset(lowest) } else { Offset::NIL });
        } else {
            self.returned.set(slot);
            self.region.write_free_slot(at, self.length, self.next_free(slot));
            if P::ROVES {
                // Whole, as its length may have been cleared.
                self.region.write_free_slot(self.offset(self.previous_free(slot)), self.length, at);
            }
        }
        Ok(())
    }

    /// Counts a refused free, and returns its reason.
    #[cold]
    pub(crate) fn refused(&mut self, reason: Reason) -> Reason {
        self.refused_frees = self.refused_frees.wrapping_add(1);
        reason
    }

    /// Returns the `next` of returned slot `slot`: where the next free slot is, or [`Offset::NIL`].
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn next_free(&self, slot: u32) -> Offset {
        if !P::ROVES {
            return Offset::NIL;
        }
        self.free_offset(self.returned.next(slot.wrapping_add(1)))
    }

    /// Finds the last returned slot before `slot`, which is above `lowest`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn previous_free(&self, slot: u32) -> u32 {
        let previous = self.returned.previous(slot);
        if previous == NO_BIT { self.lowest } else { previous }
    }

    /// Returns the offset of free slot `next` or, if `next` is not one, that of the first slot that was never used.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn free_offset(&self, next: u32) -> Offset {
        let next = next.min(self.used);
        if next < self.slots { self.offset(next) } else { Offset::NIL }
    }

    /// Finds the first returned slots side by side of which the first lies from slot `from` on and before slot `to`. The last ones may
    /// lie after `to`.
    pub(crate) fn first_returned(&self, from: u32, to: u32) -> Option<Range<u32>> {
        let to = to.min(self.used);
        let start = if from <= self.lowest { self.lowest } else { self.returned.next(from) };
        if start >= to {
            return None;
        }
        let mut end = start.wrapping_add(1);
        while end < to {
            let ahead = !self.returned.word_of(end) & !below_bit(end);
            end = (end & !(BITS - 1)).wrapping_add(ahead.trailing_zeros());
            if ahead != 0 {
                break;
            }
        }
        Some(start..end)
    }

    /// Returns whether the header of returned slot `slot`, which starts at `at`, is as it was written or may have been cleared.
    pub(crate) fn is_intact(&self, at: Offset, slot: u32) -> bool {
        self.region.free_is_intact(at, self.stride(), self.next_free(slot)) || self.lent && self.region.is_clear(at)
    }

    /// Returns whether the slot that starts at `at` can hold `size` bytes where it stands, if `stay`.
    pub(crate) fn resize(&mut self, at: Offset, size: usize, stay: bool) -> Result<Resize, Reason> {
        self.live(at).map_err(|reason| self.refused(reason))?;
        let slot = self.stride().bytes();
        Ok(if stay && size <= slot { Resize::InPlace } else { Resize::Move(slot) })
    }

    /// Returns the number of live slots.
    pub(crate) fn objects(&self) -> u32 {
        self.used.wrapping_sub(self.idle)
    }

    pub(crate) fn stats(&self) -> SegmentStats {
        let bytes = |slots: u32| Granules::new(slots.wrapping_mul(self.stride().count())).bytes();
        let (live, free) = (self.objects(), self.slots.wrapping_sub(self.objects()));
        SegmentStats {
            size: self.region.granules().bytes(),
            live_bytes: bytes(live),
            // The lowest free slot goes first: the last slot that was ever used was so when all before it were live.
            peak_bytes: bytes(self.used),
            live_objects: live as usize,
            peak_objects: self.used as usize,
            free_bytes: bytes(free),
            largest_free: bytes(free.min(1)),
            free_blocks: free as usize,
            allocs: self.allocs as u64,
            frees: self.allocs.wrapping_sub(live as usize) as u64,
            failed_full: 0,
            failed_fragmented: 0,
            refused_frees: self.refused_frees as u64,
            corruptions: 0,
        }
    }
}
