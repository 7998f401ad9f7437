//! What lies at an address: the slot and its run, and whether the slot is live.

use super::{Classes, OWNED};
use crate::error::Reason;
use crate::size_class::{Class, TABLE};
use crate::units::{Granules, Offset};

/// An address in a run.
pub(crate) struct InRun {
    pub(crate) class: usize,
    /// The run's first KiB.
    pub(crate) run: u32,
    /// The slot that it lies in, or one after the last.
    pub(crate) slot: u32,
    /// Whether it is the slot's first byte.
    pub(super) is_start: bool,
    /// Whether a cache owns the run.
    pub(crate) is_owned: bool,
}

impl InRun {
    /// Returns the slot that starts here, or the next one.
    pub(crate) fn or_next(self) -> Self {
        let slot = self.slot.wrapping_add(u32::from(!self.is_start));
        Self { slot, is_start: true, ..self }
    }

    /// Returns the slot as a bit.
    pub(super) const fn bit(&self) -> u64 {
        1u64.wrapping_shl(self.slot)
    }
}

impl Classes<'_> {
    /// Returns what lies at `at`, if that is in a run.
    pub(crate) fn find(&self, at: Offset) -> Option<InRun> {
        let kib = self.origin.kib(at);
        let tag = self.class_of.get(kib);
        let (class, is_owned) = (usize::from(tag & !OWNED).wrapping_sub(1), tag & OWNED != 0);
        let Class { stride, mask, .. } = TABLE.get(class)?;
        let run = kib as u32 & !mask;
        let within = self.start(run).up_to(at).count();
        let slot = within.checked_div(stride.count())?;
        Some(InRun { class, run, slot, is_start: slot.wrapping_mul(stride.count()) == within, is_owned })
    }

    /// Returns why no live slot starts at `found`, as an error.
    pub(crate) fn live(&self, found: &InRun) -> Result<(), Reason> {
        match self.place(found) {
            None => Err(Reason::NotAStart),
            Some((start, _)) if !self.is_slot(start, found.is_owned) => Err(Reason::DoubleFree),
            Some(_) if !found.is_start => Err(Reason::NotAStart),
            Some(_) => Ok(()),
        }
    }

    /// Returns whether a slot is live.
    pub(crate) fn is_live(&self, found: &InRun) -> bool {
        self.place(found).is_some_and(|(start, _)| self.is_slot(start, found.is_owned))
    }

    /// Returns where a slot starts, and its granules; `None` if the run has no such slot.
    pub(crate) fn place(&self, found: &InRun) -> Option<(Offset, Granules)> {
        let class = TABLE.get(found.class).filter(|class| found.slot < class.slots)?;
        Some((self.slot(found.run, found.slot, class), class.stride))
    }

    /// Returns where a slot of a run starts.
    fn slot(&self, run: u32, slot: u32, class: &Class) -> Offset {
        self.start(run).plus(Granules::new(slot.wrapping_mul(class.stride.count())))
    }
}
