//! What only [the checker](crate::check) reads of the size classes.

use super::find::InRun;
use super::{Classes, OWNED};
use crate::size_class::{Class, TABLE, all_of};
use crate::units::Offset;

/// What is known of a run, for the checker.
pub(crate) struct Run {
    pub(crate) class: usize,
    pub(crate) kibs: u32,
    /// Whether it begins here, and each of its KiB has its class.
    pub(crate) is_whole: bool,
    pub(crate) is_open: bool,
    pub(crate) slots: RunSlots,
}

/// The slots of a run, a bit each.
pub(crate) struct RunSlots {
    pub(crate) all: u64,
    pub(crate) live: u64,
    /// Those in the magazine.
    pub(crate) held: u64,
}

impl Classes<'_> {
    /// Returns the number of KiB from the origin on.
    pub(crate) fn kibs(&self) -> u32 {
        self.class_of.len() as u32
    }

    /// Returns whether `at` lies in a run that a cache owns.
    #[cfg(target_has_atomic = "64")]
    pub(crate) fn is_at_owned(&self, at: Offset) -> bool {
        self.is_in_owned(self.origin.kib(at) as u32)
    }

    /// Returns whether no cache is attached, so that what all count stands still.
    pub(crate) fn is_quiet(&self) -> bool {
        self.cache_stats().attached == 0
    }

    /// Returns whether each KiB of a run has the class of a run that a cache owns.
    #[cfg(target_has_atomic = "64")]
    pub(crate) fn is_all_owned(&self, run: u32, kibs: u32, class: usize) -> bool {
        let tag = OWNED | class.wrapping_add(1) as u8;
        (run..run.wrapping_add(kibs)).all(|kib| self.class_of.get(kib as usize) == tag)
    }

    /// Returns the number of marks that are set.
    pub(crate) fn marked(&self) -> usize {
        (0..self.marks.len()).map(|word| self.marks.get(word).count_ones() as usize).sum()
    }

    /// Returns whether a KiB lies in a run.
    pub(crate) fn is_in_run(&self, kib: u32) -> bool {
        self.class_of.get(kib as usize) != 0
    }

    /// Returns the run of which a KiB is the first.
    pub(crate) fn run_at(&self, kib: u32) -> Option<Run> {
        let class = usize::from(self.class_of.get(kib as usize)).checked_sub(1)?;
        let Class { mask, slots, .. } = TABLE.get(class)?;
        let has_class = |kib: u32| usize::from(self.class_of.get(kib as usize)) == class.wrapping_add(1);
        let is_whole = kib & mask == 0 && (kib..=kib | mask).all(has_class);
        let each = (0..*slots).map(|slot| InRun { class, run: kib, slot, is_start: true, is_owned: false });
        let live = each.filter(|slot| self.is_live(slot)).fold(0, |live, slot| live | slot.bit());
        let magazine = self.magazines.get_ref(class)?;
        let in_magazine = magazine.slots.iter().take(self.held(class)).filter_map(|at| self.find(Offset::new(*at)));
        let in_run = in_magazine.filter(|slot| slot.run == kib && slot.is_start);
        let held = in_run.fold(0, |held, slot| held | slot.bit());
        let slots = RunSlots { all: all_of(*slots), live, held };
        let is_open = self.open.contains(self.bit_in_open(class, kib));
        Some(Run { class, kibs: mask.wrapping_add(1), is_whole, is_open, slots })
    }

    /// Returns how many slots a class's magazine claims to hold.
    pub(crate) fn count_of(&self, class: usize) -> usize {
        self.magazines.get_ref(class).map_or(0, |magazine| magazine.count as usize)
    }
}
