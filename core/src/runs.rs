//! The block segment's objects: slots of [size classes](crate::classes) for small requests, where the policy has them, and blocks for
//! all others. Runs are taken out of the segment's free space and given back to it here.

use core::ptr::NonNull;

use crate::blocks::Blocks;
use crate::claim::{AnySize, Claim};
use crate::classes::{Classes, InRun, MayHave};
use crate::error::{AllocError, Reason};
use crate::policy::Policy;
use crate::size_class::{HALF, class_for, run_granules, stride};
use crate::units::{GRANULE, Granules, Offset, Resize};

impl<'a, P: Policy> Blocks<'a, P> {
    /// Allocates `size` bytes, if that is simple: the magazine of the class that serves them has a slot. Without classes, a block.
    /// `None` otherwise, and nothing has changed.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn alloc_near(&mut self, size: usize) -> Option<NonNull<u8>> {
        let Some(classes) = self.classes.get_mut() else { return self.alloc_or_none(size) };
        let at = classes.pop_near(class_for(size)?)?;
        self.region.granule(at)
    }

    /// Allocates `size` bytes at a multiple of `alignment`, a power of two: a slot if a class serves them and one can be had, or a
    /// block. Before it fails, the magazines are given back.
    pub(crate) fn alloc_object(&mut self, size: usize, alignment: usize) -> Result<NonNull<u8>, AllocError> {
        let class = self.classes.get().and_then(|classes| classes.serving(size, alignment));
        if let Some(slot) = class.and_then(|class| self.alloc_slot(class)) {
            return Ok(slot);
        }
        let mut block = self.alloc_block(size, alignment);
        if P::CLASSES && block.is_none() {
            self.empty_magazines();
            block = self.alloc_block(size, alignment);
        }
        let block = block.ok_or_else(|| self.failed(size))?;
        self.spilled = self.spilled.wrapping_add(usize::from(class.is_some()));
        Ok(block)
    }

    fn alloc_block(&mut self, size: usize, alignment: usize) -> Option<NonNull<u8>> {
        if alignment > GRANULE { self.alloc_aligned_or_none(size, alignment) } else { self.alloc_or_none(size) }
    }

    /// Allocates a slot: the top of the class's magazine, which is filled first if it is empty.
    fn alloc_slot(&mut self, class: usize) -> Option<NonNull<u8>> {
        let classes = self.classes.get_mut()?;
        let mut at = classes.pop(class);
        if at.is_none() && classes.refill(class).is_some() {
            at = classes.pop(class);
        }
        if at.is_none() {
            let run = self.take_run(run_granules(class))?;
            let classes = self.classes.get_mut()?;
            classes.open(class, run)?;
            at = classes.pop(class);
        }
        // Not reached: a slot that is not all in the region, which only destroyed bookkeeping has.
        self.region.pointer(at?, stride(class))
    }

    /// Gives the `count` oldest slots of a class's magazine back to their runs, and frees each run that has no live slot.
    fn give_back_slots(&mut self, class: usize, count: usize) {
        for index in 0..count {
            let run = self.classes.get_mut().and_then(|classes| classes.give_back(class, index));
            if let Some(run) = run {
                self.free_run(run);
            }
        }
        if let Some(classes) = self.classes.get_mut() {
            classes.drop_oldest(class, count);
        }
    }

    /// Gives all magazines back, and takes back what can be had of caches, so that runs without a live slot become free memory.
    #[cold]
    #[inline(never)]
    pub(crate) fn empty_magazines(&mut self) {
        for class in 0..self.classes.get().map_or(0, Classes::count) {
            let held = self.classes.get().map_or(0, |classes| classes.held(class));
            self.give_back_slots(class, held);
        }
        #[cfg(target_has_atomic = "64")]
        self.reclaim();
    }

    /// Frees the object that starts at `at`, if that is simple: it is a slot, as the caller claims, and its magazine has room. `None`
    /// otherwise, and nothing has changed.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn free_slot(&mut self, at: Offset, claim: impl Claim) -> Option<()> {
        self.classes.get_mut()?.push(at, claim)
    }

    /// Frees the object that starts at `at`.
    pub(crate) fn free_object(&mut self, at: Offset, claim: impl Claim) -> Result<(), Reason> {
        let Some(slot) = self.live_slot(at) else { return self.free(at, claim) };
        let slot = slot.map_err(|reason| self.counters.refused(reason))?;
        self.confirm_class(slot.class, claim)?;
        #[cfg(target_has_atomic = "64")]
        if slot.is_owned {
            return self.free_owned(at);
        }
        let class = slot.class;
        if self.classes.get().is_some_and(|classes| classes.is_full(class)) {
            // The slot is live still, so that its run stays.
            self.give_back_slots(class, HALF);
        }
        // Not reached: a failure, which only destroyed bookkeeping has.
        self.classes.get_mut().and_then(|classes| classes.push(at, AnySize)).ok_or(Reason::NotAStart)
    }

    /// Refuses a free or realloc of a live slot of a class, if it is not what the caller claims.
    #[inline(never)]
    pub(crate) fn confirm_class(&mut self, class: usize, claim: impl Claim) -> Result<(), Reason> {
        if claim.is_slot_of(class, self.kept_slot) {
            return Ok(());
        }
        Err(self.counters.refused(Reason::SizeMismatch))
    }

    /// Finds the live slot that starts at `at`; `None` if that lies in no run.
    fn live_slot(&self, at: Offset) -> Option<Result<InRun, Reason>> {
        let classes = self.classes.get()?;
        let found = classes.find(at)?;
        Some(classes.live(&found).map(|()| found))
    }

    /// Gives the object that starts at `at` a size of `size` bytes, where it stands if `stay` and if it can. A slot stays if the same class
    /// serves the new size; a block moves to a slot if a class serves that and has one.
    ///
    /// A move from or to a slot is done here, under the lock, unless `for_slab`, the slab being asked first: at most a slot's bytes are
    /// copied.
    #[inline(never)]
    pub(crate) fn resize_object(
        &mut self,
        at: Offset,
        size: usize,
        alignment: usize,
        stay: bool,
        for_slab: bool,
        claim: impl Claim,
    ) -> Result<Resize, Reason> {
        let Some(classes) = self.classes.get() else { return self.resize(at, size, stay, claim) };
        let class = classes.serving(size, alignment);
        if let Some(old_class) = classes.live_class(at) {
            self.confirm_class(old_class, claim)?;
            if stay && class == Some(old_class) {
                return Ok(Resize::InPlace);
            }
            let old_size = self.slot_bytes(at, old_class)?;
            let new = match class {
                _ if for_slab => None,
                Some(class) => self.alloc_slot(class),
                None => self.alloc_block(size, alignment),
            };
            return match new {
                Some(new) => self.move_to(at, new, old_size.min(size), claim),
                None => Ok(Resize::Move(old_size)),
            };
        }
        if let Some(slot) = self.live_slot(at) {
            // Live, so a cache's.
            let slot = slot.map_err(|reason| self.counters.refused(reason))?;
            self.confirm_class(slot.class, claim)?;
            let bytes = self.slot_bytes(at, slot.class)?;
            return Ok(if stay && class == Some(slot.class) { Resize::InPlace } else { Resize::Move(bytes) });
        }
        if let Some(class) = class {
            let old_size = self.intact(at, claim)?.size().payload();
            if let Some(new) = self.alloc_slot(class) {
                return self.move_to(at, new, old_size.min(size), claim);
            }
        }
        self.resize(at, size, stay, claim)
    }

    /// Returns the bytes of a slot of a class that starts at `at`.
    fn slot_bytes(&self, at: Offset, class: usize) -> Result<usize, Reason> {
        let stride = stride(class);
        // Not reached: a slot that is not all in the region, which only destroyed bookkeeping has.
        self.region.pointer(at, stride).map(|_| stride.bytes()).ok_or(Reason::NotAStart)
    }

    /// Copies `bytes` of the live object at `at` to a new one, and frees the old one.
    fn move_to(&mut self, at: Offset, new: NonNull<u8>, bytes: usize, claim: impl Claim) -> Result<Resize, Reason> {
        self.region.copy(at, new, Granules::from_bytes_ceil(bytes));
        if self.free_slot(at, claim).is_none() {
            self.free_object(at, claim)?;
        }
        Ok(Resize::To(new))
    }

    /// Returns how many bytes the object that starts at `at` can hold.
    pub(crate) fn object_size(&self, at: Offset) -> Result<usize, Reason> {
        match self.live_slot(at) {
            Some(slot) => self.slot_bytes(at, slot?.class),
            None => self.live(at).map(|block| block.size().payload()),
        }
    }
}
