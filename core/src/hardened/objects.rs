//! What a hardened heap does with its objects, under the lock of the block segment. [The ward](crate::ward) knows them.
//!
//! All memory that is no live object's is zeros, but for headers: a free clears the object, and a header that comes to lie inside a gap,
//! a run or a payload is cleared. The slot or block of an object has at least 8 bytes more than were asked for; they hold the object's
//! pattern.
//!
//! For slots and blocks in quarantine [the classes](crate::classes) and the map say "live".
//!
//! Complexity: O(n) in the object's bytes, and otherwise as without it.

use core::ops::Range;
use core::ptr::NonNull;

use crate::blocks::Blocks;
use crate::claim::{AnySize, Claim};
use crate::classes::MayHave;
use crate::error::{AllocError, Damage, Reason};
use crate::hardened::fenced::LARGE;
use crate::policy::Policy;
use crate::size_class::stride;
use crate::units::{GRANULE, Granules, Offset, Resize};
use crate::ward::{CANARY, Code, Ward};

/// Bytes of an object that is cleared and compared under the lock. A larger one is by its owner, without the lock.
const NEAR: usize = 4096;

/// A live object of a hardened heap.
#[derive(Clone, Copy)]
pub(crate) struct Object {
    pub(crate) at: Offset,
    /// Its bytes, as asked for.
    pub(crate) size: usize,
    /// The bytes of its slot, or of its block without the header; of a fenced one those between the fences.
    pub(crate) capacity: usize,
    /// The granules of the fence before it, if it has one.
    pub(crate) fence: Granules,
}

/// An object that was handed out.
pub(crate) struct Given {
    pub(crate) place: NonNull<u8>,
    /// How many of its bytes are to be compared with zeros yet.
    pub(crate) unseen: usize,
}

/// What is left to do for a free.
pub(crate) enum Freeing {
    Done,
    /// The object is to be cleared, without the lock, and then [put away](Blocks::put_away).
    Clear(Object, NonNull<u8>),
    /// The object is to be made inaccessible, without the lock.
    Hide(Object, NonNull<u8>),
}

impl<P: Policy> Blocks<'_, P> {
    /// Allocates `size` bytes at a multiple of `alignment`, a power of two, and draws the pattern after them.
    pub(crate) fn alloc_warded(&mut self, size: usize, alignment: usize) -> Result<Given, AllocError> {
        let zeros_from = self.zeros_from();
        let asked = size.saturating_add(CANARY);
        let class = self.classes.get().and_then(|classes| classes.serving(asked, alignment));
        if let Some(place) = class.and_then(|class| self.take_slot(class, size)) {
            return Ok(Given { place, unseen: 0 });
        }
        let place = self.alloc_or_empty(asked, alignment)?;
        let at = self.region.offset(place);
        let capacity = self.capacity(at);
        let touched = zeros_from.saturating_sub(place.addr().get()).min(capacity);
        let seen = if capacity <= NEAR { 0..touched } else { size.min(touched)..touched };
        self.expect_zeros(at, seen);
        self.draw(Object { at, size, capacity, fence: Granules::ZERO });
        Ok(Given { place, unseen: if capacity <= NEAR { 0 } else { size.min(touched) } })
    }

    /// Compares bytes that were free, counted from `at`, with zeros, and clears those that differ.
    pub(crate) fn expect_zeros(&mut self, at: Offset, bytes: Range<usize>) {
        if let Some(found) = self.region.differing(at, bytes, 0) {
            self.note(Damage::AfterFree { address: self.region.address(at), offset: found.start, bytes: found.len() });
            self.region.fill(at, found, 0);
        }
    }

    /// Returns whether something was found that nobody was told of.
    #[inline(always)]
    pub(crate) fn has_found(&self) -> bool {
        self.ward.get().is_some_and(Ward::has_found)
    }

    /// Takes what was found, to tell somebody.
    pub(crate) fn take_found(&mut self) -> Option<Damage> {
        self.ward.get_mut()?.take_found()
    }

    /// Allocates `size` bytes. Before it fails, the quarantine is emptied.
    pub(crate) fn alloc_or_empty(&mut self, size: usize, alignment: usize) -> Result<NonNull<u8>, AllocError> {
        let object = self.alloc_object(size, alignment);
        let Err(error) = object else { return object };
        if !self.empty_quarantine() {
            return object;
        }
        self.counters.uncount_failure(error);
        self.alloc_object(size, alignment)
    }

    /// Notes a live object, and draws the pattern from its end to the end of its slot or block, or to the fence after it.
    #[inline(always)]
    pub(crate) fn draw(&mut self, object: Object) {
        let Object { at, size, capacity, fence } = object;
        let is_fenced = fence > Granules::ZERO;
        let rest = if is_fenced { self.capacity(at) } else { capacity }.wrapping_sub(size);
        let Some(ward) = self.ward.get_mut() else { return };
        if is_fenced {
            ward.set_fenced(at, rest);
        } else {
            ward.set_live(at, rest);
        }
        let canary = ward.canary(at);
        self.region.fill(at, size..capacity, canary);
    }

    /// Does what [`draw`](Self::draw) does for an object that has changed its size.
    fn redraw(&mut self, object: Object) {
        if let Some(ward) = self.ward.get_mut() {
            ward.forget(object.at);
        }
        self.draw(object);
    }

    /// Returns the bytes of the slot that starts at `at`, or of the block whose payload does.
    #[inline(always)]
    pub(crate) fn capacity(&self, at: Offset) -> usize {
        let class = self.classes.get().and_then(|classes| classes.class_of(at));
        match class {
            Some(class) => stride(class).bytes(),
            None => at.up_to(self.map.block_end(at.minus(Granules::HEADER))).bytes(),
        }
    }

    /// Finds the live object that starts at `at`.
    #[inline(always)]
    pub(crate) fn object(&self, at: Offset) -> Result<Object, Reason> {
        let code = self.ward.get().map(|ward| ward.code(at));
        let Some(Code::Live(rest)) = code else { return self.unusual(at, code.unwrap_or(Code::None)) };
        let capacity = self.capacity(at);
        // Not reached: a rest that is more than the object has, which only destroyed bookkeeping has.
        let size = capacity.checked_sub(rest).ok_or(Reason::NotAStart)?;
        Ok(Object { at, size, capacity, fence: Granules::ZERO })
    }

    /// Finds the live object that starts at `at` where that is fenced, or has no bytes.
    #[cold]
    fn unusual(&self, at: Offset, code: Code) -> Result<Object, Reason> {
        match code {
            Code::Fenced(rest) => {
                let pages = self.ward.get().and_then(Ward::pages).ok_or(Reason::NotAStart)?;
                let size = self.capacity(at).checked_sub(rest).ok_or(Reason::NotAStart)?;
                let capacity = self.fenced_capacity(at).ok_or(Reason::NotAStart)?;
                Ok(Object { at, size, capacity, fence: Granules::from_bytes_floor(pages.size()) })
            }
            Code::Nothing => Ok(Object { at, size: 0, capacity: 0, fence: Granules::ZERO }),
            _ => Err(self.unwarded(at, code)),
        }
    }

    /// Says why no live object starts at `at`.
    #[cold]
    fn unwarded(&self, at: Offset, code: Code) -> Reason {
        if let Code::Freed | Code::Busy | Code::NothingFreed = code {
            return Reason::DoubleFree;
        }
        let slot = self.classes.get().and_then(|classes| Some((classes, classes.find(at)?)));
        let start = match slot {
            Some((classes, found)) => match classes.live(&found) {
                Err(Reason::DoubleFree) => return Reason::DoubleFree,
                _ => classes.place(&found).map_or(Offset::NIL, |(start, _)| start),
            },
            None => match self.live(at) {
                Err(reason @ (Reason::DoubleFree | Reason::NeverAllocated)) => return reason,
                _ => self.map.block_start(at).plus(Granules::HEADER),
            },
        };
        if self.is_freed(start) { Reason::DoubleFree } else { Reason::NotAStart }
    }

    /// Finds the live object that starts at `at`, and refuses it if it is not what the caller claims, or if bytes on either side of it
    /// were written.
    #[inline(always)]
    fn unharmed(&mut self, at: Offset, claim: impl Claim) -> Result<Object, Reason> {
        let object = self.object(at).map_err(|reason| self.counters.refused(reason))?;
        if !claim.is_exactly(object.size) {
            return Err(self.counters.refused(Reason::SizeMismatch));
        }
        if let Some(damage) = self.past_end(&object) {
            self.note(damage);
            return Err(self.counters.refused(Reason::WrittenPastEnd));
        }
        if let Some(damage) = self.before_start(&object) {
            self.note(damage);
            return Err(self.counters.refused(Reason::WrittenBeforeStart));
        }
        Ok(object)
    }

    /// Returns what was written between an object's end and the end of its slot or block.
    #[inline(always)]
    pub(crate) fn past_end(&self, object: &Object) -> Option<Damage> {
        let Object { at, size, capacity, .. } = *object;
        let canary = self.ward.get()?.canary(at);
        let found = self.region.differing(at, size..capacity, canary)?;
        Some(Damage::PastEnd { address: self.region.address(at), size, bytes: found.end.wrapping_sub(size) })
    }

    /// Returns what was written before an object's start: into a block's header, or into what lies before a slot.
    #[inline(always)]
    fn before_start(&self, object: &Object) -> Option<Damage> {
        let at = object.at;
        if object.capacity == 0 {
            return None;
        }
        let slot = self.classes.get().and_then(|classes| Some((classes.class_of(at)?, classes)));
        let bytes = match slot {
            Some((class, classes)) if classes.is_first(at, class) => self.before_run(at),
            Some((class, _)) => self.before_slot(at.minus(stride(class)), stride(class).bytes()),
            None => self.in_header(at.minus(object.fence)),
        };
        bytes.map(|bytes| Damage::BeforeStart { address: self.region.address(at), size: object.size, bytes })
    }

    /// Returns how many bytes before a block's payload were written, as far as its header reaches.
    #[inline(always)]
    pub(crate) fn in_header(&self, at: Offset) -> Option<usize> {
        let start = at.minus(Granules::HEADER);
        let size = start.up_to(self.map.block_end(start));
        if self.region.allocated_is_intact(start, size) && self.region.padding_is_clear(start) {
            return None;
        }
        let first = self.region.overwritten_from(start, size)?;
        Some(GRANULE.wrapping_sub(first))
    }

    /// Returns how many bytes at the end of a slot or block of `capacity` bytes that starts at `start` were written, if they are no
    /// object's: the pattern of a live object, or zeros.
    pub(crate) fn before_slot(&self, start: Offset, capacity: usize) -> Option<usize> {
        let ward = self.ward.get()?;
        let (bytes, pattern) = match ward.code(start) {
            Code::Live(rest) => (capacity.checked_sub(rest)?..capacity, ward.canary(start)),
            Code::Busy | Code::Fence => return None,
            _ => (capacity.saturating_sub(GRANULE)..capacity, 0),
        };
        let found = self.region.differing(start, bytes, pattern)?;
        Some(capacity.wrapping_sub(found.start))
    }

    /// Does what [`before_slot`](Self::before_slot) does for what lies before a run that starts at `at`.
    #[inline(never)]
    pub(crate) fn before_run(&self, at: Offset) -> Option<usize> {
        if at == Offset::ZERO {
            return None;
        }
        let granule = at.minus(Granules::new(1));
        // In no slot and no block there are zeros.
        let start = self.start_around(granule).unwrap_or(granule);
        self.before_slot(start, start.up_to(at).bytes())
    }

    /// Returns the start of the slot, or of the payload of the block, that a granule lies in.
    fn start_around(&self, granule: Offset) -> Option<Offset> {
        if let Some((classes, found)) = self.classes.get().and_then(|classes| Some((classes, classes.find(granule)?))) {
            return classes.place(&found).map(|(start, _)| start);
        }
        let is_block = self.map.is_allocated(granule);
        is_block.then(|| self.map.block_start(granule).plus(Granules::HEADER))
    }

    #[cold]
    pub(crate) fn note(&mut self, damage: Damage) {
        if let Some(ward) = self.ward.get_mut() {
            ward.note(damage);
        }
    }

    /// Frees the object that starts at `at`, or makes it the caller's to clear.
    pub(crate) fn free_warded(&mut self, at: Offset, claim: impl Claim) -> Result<Freeing, Reason> {
        let object = self.unharmed(at, claim)?;
        if object.capacity > NEAR || object.capacity == 0 {
            return self.free_unusual(object);
        }
        self.region.clear(at, object.capacity);
        self.put_away(&object);
        Ok(Freeing::Done)
    }

    /// Frees an object of 0 bytes, or makes another one the caller's to clear or to hide.
    fn free_unusual(&mut self, object: Object) -> Result<Freeing, Reason> {
        let place = self.region.granule(object.at).ok_or(Reason::NotAStart)?;
        let Some(ward) = self.ward.get_mut() else { return Ok(Freeing::Done) };
        if object.capacity == 0 {
            ward.free_nothing(object.at);
            return Ok(Freeing::Done);
        }
        ward.set_busy(object.at);
        let is_fenced = object.fence > Granules::ZERO;
        Ok(if is_fenced { Freeing::Hide(object, place) } else { Freeing::Clear(object, place) })
    }

    /// Returns whether the object that starts at `at`, or that a fence at `at` is before, is in quarantine or on its way.
    pub(crate) fn is_freed(&self, at: Offset) -> bool {
        let Some(ward) = self.ward.get() else { return false };
        let fence = ward.pages().map_or(Granules::ZERO, |pages| Granules::from_bytes_floor(pages.size()));
        let at = if ward.code(at) == Code::Fence { at.plus(fence) } else { at };
        matches!(ward.code(at), Code::Freed | Code::Busy)
    }

    /// Puts an object of zeros into quarantine, and frees what leaves that.
    #[inline(always)]
    pub(crate) fn put_away(&mut self, object: &Object) {
        let (at, class) = (object.at, self.classes.get().and_then(|classes| classes.class_of(object.at)));
        let Some(ward) = self.ward.get_mut() else { return };
        let leaves = match class {
            Some(class) => ward.push(class, at),
            None => ward.push_block(at, Granules::from_bytes_floor(object.capacity)),
        };
        if let Some(at) = leaves {
            self.release(at);
        }
        if class.is_none() {
            while let Some(at) = self.ward.get_mut().and_then(Ward::pop_surplus) {
                self.release(at);
            }
        }
    }

    /// Frees an object that has left the quarantine.
    fn release(&mut self, at: Offset) {
        let is_block = self.classes.get().is_none_or(|classes| classes.class_of(at).is_none());
        if let Some(ward) = self.ward.get_mut() {
            ward.forget(at);
        }
        if is_block {
            self.release_block(at);
        } else if self.free_slot(at, AnySize).is_none() {
            // Not reached: a failure, which only destroyed bookkeeping has; so below.
            let _ = self.free_object(at, AnySize);
        }
    }

    fn release_block(&mut self, at: Offset) {
        let capacity = self.capacity(at);
        if let Some(bytes) = self.in_header(at) {
            self.note(Damage::BeforeStart { address: self.region.address(at), size: capacity, bytes });
            self.rewrite_header(at);
        }
        if let Some(ward) = self.ward.get_mut() {
            ward.block_left(Granules::from_bytes_floor(capacity));
        }
        let _ = self.free(at, AnySize);
    }

    /// Writes the header of the block whose payload starts at `at`.
    pub(crate) fn rewrite_header(&mut self, at: Offset) {
        let start = at.minus(Granules::HEADER);
        self.region.fill(start, 0..GRANULE, 0);
        self.region.write_allocated(start, start.up_to(self.map.block_end(start)));
    }

    /// Frees all that is in quarantine, and returns whether there was anything.
    pub(crate) fn empty_quarantine(&mut self) -> bool {
        let mut any = false;
        for ring in 0..self.ward.get().map_or(0, |ward| ward.of_blocks().wrapping_add(1)) {
            while let Some(at) = self.ward.get_mut().and_then(|ward| ward.pop(ring)) {
                self.release(at);
                any = true;
            }
        }
        any
    }

    /// Gives the live object that starts at `at` a size of `size` bytes, where it stands if `stay` and if it can.
    pub(crate) fn resize_warded(
        &mut self,
        at: Offset,
        size: usize,
        stay: bool,
        claim: impl Claim,
    ) -> Result<Resize, Reason> {
        let old = self.unharmed(at, claim)?;
        if old.fence > Granules::ZERO || old.capacity == 0 {
            return Ok(self.resize_unusual(old, size, stay));
        }
        let asked = size.saturating_add(CANARY);
        let (own, serving) = match self.classes.get() {
            Some(classes) => (classes.class_of(at), classes.serving(asked, GRANULE)),
            None => (None, None),
        };
        let rest = old.capacity.saturating_sub(size);
        if !stay || serving != own || rest > Ward::MOST_REST || self.is_fenceable(size) {
            return Ok(Resize::Move(old.size));
        }
        let mut capacity = old.capacity;
        if asked > capacity {
            // Of a block, as the class of a slot would be another one. It grows into the gap after it, or stays as it is.
            let Resize::InPlace = self.resize(at, asked, stay, AnySize)? else { return Ok(Resize::Move(old.size)) };
            capacity = self.capacity(at);
            self.expect_zeros(at, old.capacity..capacity);
        }
        // What was pattern is the object's now.
        self.region.fill(at, old.size..size.max(old.size).min(old.capacity), 0);
        self.redraw(Object { capacity, size, ..old });
        Ok(Resize::InPlace)
    }

    /// Does what [`resize_warded`](Self::resize_warded) does for a fenced object, or one of 0 bytes.
    #[cold]
    fn resize_unusual(&mut self, old: Object, size: usize, stay: bool) -> Resize {
        let least = old.capacity.saturating_sub(old.fence.bytes());
        if !stay || size <= least || size > old.capacity || size < LARGE {
            return Resize::Move(old.size);
        }
        self.region.fill(old.at, old.size..size.max(old.size), 0);
        self.redraw(Object { size, ..old });
        Resize::InPlace
    }

    /// Returns whether an object of `size` bytes is to stand between inaccessible pages.
    fn is_fenceable(&self, size: usize) -> bool {
        (size == 0 || size >= LARGE) && self.ward.get().is_some_and(|ward| ward.pages().is_some())
    }

    /// Makes the live object that starts at `at` smaller where it stands, whatever its rest is: it cannot move.
    pub(crate) fn shrink_warded(&mut self, at: Offset, size: usize) {
        let is_smaller = |object: &Object| size < object.size;
        if let Some(object) = self.object(at).ok().filter(is_smaller) {
            self.redraw(Object { size, ..object });
        }
    }
}
