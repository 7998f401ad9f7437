//! What most calls of a hardened heap come to: a slot of a size class is at hand, or its magazine and its quarantine have room. All else is
//! left to [the calls that serve every object](crate::hardened::objects), which also say what is wrong with an object that is refused.
//!
//! Complexity: O(1), and O(n) in the slot's bytes.

use core::ptr::NonNull;

use crate::blocks::Blocks;
use crate::claim::{AnySize, Claim};
use crate::classes::MayHave;
use crate::policy::Policy;
use crate::size_class::{class_for, stride};
use crate::units::{Granules, Offset};
use crate::ward::{CANARY, Code};

impl<P: Policy> Blocks<'_, P> {
    /// Allocates `size` bytes, if that is simple: a class serves them, and its magazine has a slot. `None` otherwise, and nothing has
    /// changed.
    #[inline(always)]
    pub(crate) fn alloc_slot_warded(&mut self, size: usize) -> Option<NonNull<u8>> {
        self.take_slot(class_for(size.saturating_add(CANARY))?, size)
    }

    /// Takes one of the slots at hand of a class, which chance chooses, for an object of `size` bytes.
    #[inline(always)]
    pub(crate) fn take_slot(&mut self, class: usize, size: usize) -> Option<NonNull<u8>> {
        let (classes, ward) = (self.classes.get_mut()?, self.ward.get_mut()?);
        let at = classes.take(class, |count| ward.random(count))?;
        let slot = stride(class);
        ward.set_live(at, slot.bytes().wrapping_sub(size));
        let pattern = ward.canary(at);
        if !self.region.span(at, slot)?.is_zero() {
            self.expect_zeros(at, 0..slot.bytes());
        }
        let mut span = self.region.span(at, slot)?;
        span.draw(size, pattern);
        Some(span.start())
    }

    /// Frees the object that starts at `at`, if that is simple: it is a slot, as the caller claims, and no byte on either side of it was
    /// written. Returns the granules that this left to requests of any size. `None` otherwise, and nothing has changed.
    #[inline(always)]
    pub(crate) fn free_slot_warded(&mut self, at: Offset, claim: impl Claim) -> Option<Granules> {
        let (classes, ward) = (self.classes.get()?, self.ward.get()?);
        let Code::Live(rest) = ward.code(at) else { return None };
        let class = classes.class_of(at)?;
        let (slot, is_first) = (stride(class), classes.is_first(at, class));
        let size = slot.bytes().checked_sub(rest)?;
        if !claim.is_exactly(size) || !self.region.span(at, slot)?.keeps(size, ward.canary(at)) {
            return None;
        }
        let is_harmed = if is_first { self.before_run(at).is_some() } else { !self.keeps_end(at.minus(slot), slot) };
        if is_harmed {
            return None;
        }
        self.region.span(at, slot)?.clear();
        let leaves = self.ward.get_mut()?.push(class, at);
        Some(leaves.map_or(Granules::ZERO, |leaves| self.release_slot(leaves)))
    }

    /// Returns whether nothing was written to the end of the slot that starts at `at`: as [`before_slot`](Self::before_slot) says it, but
    /// with no branch that depends on what the slot holds.
    #[inline(always)]
    fn keeps_end(&mut self, at: Offset, slot: Granules) -> bool {
        let Some((rest, pattern)) = self.ward.get().and_then(|ward| ward.short_rest(at)) else {
            return self.before_slot(at, slot.bytes()).is_none();
        };
        self.region.span(at, slot).is_some_and(|span| span.keeps(slot.bytes().wrapping_sub(rest), pattern))
    }

    /// Frees a slot that has left the quarantine, and returns the granules that this left to requests of any size.
    #[inline(always)]
    fn release_slot(&mut self, at: Offset) -> Granules {
        if let Some(ward) = self.ward.get_mut() {
            ward.forget(at);
        }
        match self.free_slot(at, AnySize) {
            Some(()) => Granules::ZERO,
            None => self.free_any_slot(at),
        }
    }

    #[cold]
    #[inline(never)]
    fn free_any_slot(&mut self, at: Offset) -> Granules {
        let before = self.counters.live();
        // Not reached: a failure, which only destroyed bookkeeping has.
        let _ = self.free_object(at, AnySize);
        before.minus(self.counters.live())
    }
}
