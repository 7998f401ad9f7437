//! Which segment serves a call of the heap.
#![allow(unsafe_code)]

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use static_assertions::const_assert;

use crate::bytes;
use crate::claim::{AnySize, Claim, OfSize};
use crate::error::{AllocError, InvalidFree, ReallocError, Reason};
use crate::layout::Segment;
use crate::lock::{Guard, RawLock};
use crate::policy::Policy;
use crate::segments::{Heap, Place};
use crate::slab::Slab;
use crate::sync::Ordering;
use crate::units::{GRANULE, Granules, Offset, Resize};

/// An object's address, or a code that says why there is none. Codes are below every object's address, so one register holds either.
#[derive(Clone, Copy)]
pub(crate) struct Served(NonNull<u8>);

impl Served {
    /// The reasons, as declared.
    const REASONS: [AllocError; 4] =
        [AllocError::NotInitialised, AllocError::Full, AllocError::Fragmented, AllocError::Reentered];

    pub(crate) fn because(error: AllocError) -> Self {
        let address = (error as usize).wrapping_add(1);
        // Not reached: null.
        Self(NonNull::new(ptr::without_provenance_mut(address)).unwrap_or(NonNull::dangling()))
    }

    #[inline(always)]
    fn result(self) -> Result<NonNull<u8>, AllocError> {
        let address = self.0.addr().get();
        if address >= GRANULE {
            return Ok(self.0);
        }
        // Not reached: an address of no reason.
        Err(*Self::REASONS.get(address.wrapping_sub(1)).unwrap_or(&AllocError::Full))
    }
}

impl From<Result<NonNull<u8>, AllocError>> for Served {
    fn from(result: Result<NonNull<u8>, AllocError>) -> Self {
        result.map_or_else(Self::because, Self)
    }
}

const_assert!(Served::REASONS.len() < GRANULE);

impl<'a, L: RawLock, P: Policy> Heap<'a, L, P> {
    /// Allocates `size` bytes at a multiple of [`GRANULE`]: a slot if `size` is exactly the slab size and one is free; otherwise, under
    /// [`General`](crate::General), a slot of the size class that serves `size`; otherwise a block. A size of 0 counts as 1.
    ///
    /// # Errors
    /// [`AllocError::Full`] or [`AllocError::Fragmented`]; nothing has changed.
    #[inline]
    pub fn alloc(&self, size: usize) -> Result<NonNull<u8>, AllocError> {
        if P::HARDENED {
            return self.alloc_hardened(size).result();
        }
        if size == self.bounds.slab_size.load(Ordering::Relaxed) {
            self.alloc_slot(size).result()
        } else {
            self.alloc_block(size).result()
        }
    }

    // One function for each segment, and the slow cases as out-of-line tail calls: each path alone needs fewer registers than all
    // together.
    #[inline(never)]
    fn alloc_block(&self, size: usize) -> Served {
        let Ok(mut blocks) = self.lock_blocks() else { return Served::because(AllocError::Reentered) };
        let object = blocks.alloc_near(size);
        drop(blocks);
        match object {
            Some(object) => Served(object),
            None => self.alloc_any_block(size),
        }
    }

    #[inline(never)]
    fn alloc_any_block(&self, size: usize) -> Served {
        let Ok(mut blocks) = self.lock_blocks() else { return Served::because(AllocError::Reentered) };
        blocks.alloc_object(size, GRANULE).into()
    }

    /// Serves a request for a slot of the slab.
    #[inline(never)]
    fn alloc_slot(&self, size: usize) -> Served {
        let Ok(mut slab) = self.lock_slab() else { return Served::because(AllocError::Reentered) };
        match slab.alloc_near() {
            Some(slot) => Served(slot),
            None => self.alloc_any_slot(slab, size),
        }
    }

    #[inline(never)]
    fn alloc_any_slot(&self, mut slab: Guard<'_, L, Slab<'a, P>>, size: usize) -> Served {
        let slot = slab.alloc();
        drop(slab);
        match slot {
            Some(slot) => Served(slot),
            None => self.spill(size),
        }
    }

    /// Serves a request for a slot of the slab, none of which is free, as one of another size.
    #[cold]
    #[inline(never)]
    fn spill(&self, size: usize) -> Served {
        let Ok(mut blocks) = self.lock_blocks() else { return Served::because(AllocError::Reentered) };
        let served = blocks.alloc_object(size, GRANULE);
        blocks.spilled = blocks.spilled.wrapping_add(usize::from(served.is_ok()));
        served.into()
    }

    /// Allocates `size` zero bytes. Every one of them is written, so that nothing in the heap can change this.
    ///
    /// # Errors
    /// As [`alloc`](Self::alloc).
    pub fn alloc_zeroed(&self, size: usize) -> Result<NonNull<u8>, AllocError> {
        let object = self.alloc(size)?;
        // SAFETY: just handed out, of `size` bytes, and known to nobody yet.
        unsafe { bytes::clear(object, size, usize::MAX) };
        Ok(object)
    }

    /// Allocates for `layout`. With an alignment above [`GRANULE`] it is a slot of a size class, if the slot's size is a multiple of the
    /// alignment, or else a block; never a slot of the slab.
    ///
    /// # Errors
    /// As [`alloc`](Self::alloc).
    #[inline]
    pub fn alloc_layout(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.alloc_at(layout.size(), layout.align())
    }

    #[inline]
    pub(crate) fn alloc_at(&self, size: usize, alignment: usize) -> Result<NonNull<u8>, AllocError> {
        if alignment <= GRANULE {
            return self.alloc(size);
        }
        if P::HARDENED {
            return self.alloc_warded(size, alignment);
        }
        self.lock_blocks()?.alloc_object(size, alignment)
    }

    /// Allocates zero bytes for `layout`, and skips clearing where it can: where the memory was lent as zeros
    /// ([`Memory::assume_zeroed`](crate::Memory::assume_zeroed)), bytes that no object has reached yet are not touched. A write past an object's
    /// end may have left something in them.
    ///
    /// # Errors
    /// As [`alloc`](Self::alloc).
    pub fn alloc_layout_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let (size, alignment) = (layout.size(), layout.align());
        if P::HARDENED {
            // Every object is zeros.
            return self.alloc_at(size, alignment);
        }
        let for_slab = self.is_for_slab(size, alignment);
        if for_slab {
            let mut slab = self.lock_slab()?;
            let zeros_from = slab.zeros_from();
            if let Some(slot) = slab.alloc() {
                drop(slab);
                // SAFETY: just handed out, of the layout's size, and known to nobody yet.
                unsafe { bytes::clear(slot, size, zeros_from) };
                return Ok(slot);
            }
        }
        let mut blocks = self.lock_blocks()?;
        let zeros_from = blocks.zeros_from();
        let object = blocks.alloc_object(size, alignment)?;
        blocks.spilled = blocks.spilled.wrapping_add(usize::from(for_slab));
        drop(blocks);
        // SAFETY: just handed out, of the layout's size, and known to nobody yet.
        unsafe { bytes::clear(object, size, zeros_from) };
        Ok(object)
    }

    /// Frees the object at `ptr`. Any address may be passed: one that is not the start of a live object is refused.
    ///
    /// # Errors
    /// [`InvalidFree`] says what the address is; nothing has changed.
    ///
    /// # Safety
    /// If `ptr` is the start of a live object, nobody uses that object afterwards. (An address that was freed and handed
    /// out again is the start of a live object, its new owner's: no allocator can tell the two apart.)
    #[inline]
    pub unsafe fn free(&self, ptr: *mut u8) -> Result<(), InvalidFree> {
        // SAFETY: as the caller promises.
        unsafe { self.free_as(ptr, AnySize) }
    }

    /// Frees the object at `ptr` that was asked for with `layout`. Any address and any layout may be passed: it refuses what
    /// [`free`](Self::free) refuses, and a live object that the heap does not hand out for such a layout. It compares numbers that a free
    /// has at hand.
    ///
    /// The address must be a multiple of the layout's alignment. A block fits the sizes that round up to its payload, or to a granule
    /// less; a slot of a size class the sizes that its class serves; a slot of the slab every size that it can hold, as an object that
    /// [`realloc`](Self::realloc) makes smaller stays in it. (Once an object in a slot of a size class could not move when it was to
    /// shrink, those slots fit smaller sizes too.)
    ///
    /// # Errors
    /// [`InvalidFree`]; nothing has changed. [`Reason::SizeMismatch`] says that only the layout is wrong.
    ///
    /// # Safety
    /// As for [`free`](Self::free).
    #[inline]
    pub unsafe fn free_sized(&self, ptr: *mut u8, layout: Layout) -> Result<(), InvalidFree> {
        // SAFETY: as the caller promises.
        unsafe { self.free_as(ptr, OfSize::at(ptr, layout).at_least_1()) }
    }

    /// Frees the object at `ptr` if it is what the caller claims.
    ///
    /// # Safety
    /// As for [`free`](Self::free).
    #[inline]
    pub(crate) unsafe fn free_as(&self, ptr: *mut u8, claim: impl Claim) -> Result<(), InvalidFree> {
        if P::HARDENED {
            // SAFETY: as the caller promises.
            return unsafe { self.free_warded(ptr, claim) }.map(|_| ());
        }
        let freed = match self.locate(ptr) {
            Place::Blocks(at) => self.free_block(at, claim),
            Place::Slab(at) if self.is_slot(claim) => self.free_slot(at),
            Place::Slab(at) => self.refuse_slot(at),
            Place::Nowhere => Err(self.refuse(ptr)),
        };
        freed.map_err(|reason| InvalidFree { address: ptr.addr(), reason })
    }

    #[inline(never)]
    fn free_block(&self, at: Offset, claim: impl Claim) -> Result<(), Reason> {
        if !P::CLASSES {
            return self.lock_blocks()?.free(at, claim);
        }
        let freed = self.lock_blocks()?.free_slot(at, claim);
        match freed {
            Some(()) => Ok(()),
            None => self.free_any_block(at, claim),
        }
    }

    #[inline(never)]
    fn free_any_block(&self, at: Offset, claim: impl Claim) -> Result<(), Reason> {
        self.lock_blocks()?.free_object(at, claim)
    }

    /// Frees the object at `ptr` as [`free`](Self::free) does, and returns how many bytes that left to requests of any size, for who
    /// gives pages of free memory back: those of a block with its header, or of runs that lost their last slot; of a slot of the slab
    /// its own. For most slots of a size class it is 0.
    ///
    /// # Errors
    /// As [`free`](Self::free).
    ///
    /// # Safety
    /// As for [`free`](Self::free).
    #[inline]
    pub unsafe fn free_measured(&self, ptr: *mut u8) -> Result<usize, InvalidFree> {
        if P::HARDENED {
            // SAFETY: as the caller promises.
            return unsafe { self.free_warded(ptr, AnySize) }.map(Granules::bytes);
        }
        let freed = match self.locate(ptr) {
            Place::Blocks(at) => self.free_block_measured(at),
            Place::Slab(at) => self.free_slot(at).map(|()| Granules::from_bytes_ceil(self.slab_size())),
            Place::Nowhere => Err(self.refuse(ptr)),
        };
        freed.map(Granules::bytes).map_err(|reason| InvalidFree { address: ptr.addr(), reason })
    }

    #[inline(never)]
    fn free_block_measured(&self, at: Offset) -> Result<Granules, Reason> {
        if P::CLASSES {
            let freed = self.lock_blocks()?.free_slot(at, AnySize);
            if freed.is_some() {
                return Ok(Granules::ZERO);
            }
        }
        self.free_any_block_measured(at)
    }

    #[inline(never)]
    fn free_any_block_measured(&self, at: Offset) -> Result<Granules, Reason> {
        let mut blocks = self.lock_blocks()?;
        let before = blocks.counters.live();
        blocks.free_object(at, AnySize)?;
        Ok(before.minus(blocks.counters.live()))
    }

    #[inline(never)]
    fn free_slot(&self, at: Offset) -> Result<(), Reason> {
        let mut slab = self.lock_slab()?;
        match slab.free_near(at) {
            Some(()) => Ok(()),
            None => Self::free_any_slot(slab, at),
        }
    }

    #[inline(never)]
    fn free_any_slot(mut slab: Guard<'_, L, Slab<'a, P>>, at: Offset) -> Result<(), Reason> {
        slab.free(at)
    }

    /// Returns whether the slots of the slab could be what the caller claims.
    #[inline(always)]
    fn is_slot(&self, claim: impl Claim) -> bool {
        claim.is_slot(self.bounds.slab_size.load(Ordering::Relaxed))
    }

    /// Refuses the slot that starts at `at`, or what else is there: it is not what the caller claims.
    #[cold]
    #[inline(never)]
    fn refuse_slot(&self, at: Offset) -> Result<(), Reason> {
        let mut slab = self.lock_slab()?;
        let reason = slab.live(at).err().unwrap_or(Reason::SizeMismatch);
        Err(slab.refused(reason))
    }

    /// Refuses an address that is not a granule's start, and counts it in its segment, unless this thread holds that lock.
    #[cold]
    #[inline(never)]
    pub(crate) fn refuse(&self, ptr: *const u8) -> Reason {
        let reason = self.misplaced(ptr);
        if self.segment(Segment::Slab).contains(&ptr.addr()) {
            let _ = self.lock_slab().map(|mut slab| slab.refused(reason));
        } else if let Ok(mut blocks) = self.lock_blocks() {
            if reason == Reason::OutsideHeap {
                blocks.refused_outside = blocks.refused_outside.wrapping_add(1);
            } else {
                blocks.counters.refused(reason);
            }
        }
        reason
    }

    /// Changes the size of the object at `ptr`: in place if possible, otherwise by alloc, copy and free. The bytes up to the
    /// smaller size keep their values.
    ///
    /// A slot of the slab stays while it is large enough, one of a size class while the same class serves the new size. A block that
    /// shrinks by two granules or more gives the rest back; one that grows takes what it needs of a free block after it. Where a size
    /// class serves the new size of a block and has a slot, the block moves there. A slot that is to shrink and cannot move stays.
    ///
    /// # Errors
    /// The address is no live object's, or there is no memory; the object is then as it was.
    ///
    /// # Safety
    /// As for [`free`](Self::free): if it succeeds, nobody uses the object at the old address afterwards, unless it is
    /// the new one.
    pub unsafe fn realloc(&self, ptr: *mut u8, size: usize) -> Result<NonNull<u8>, ReallocError> {
        // SAFETY: as the caller promises.
        unsafe { self.resize(ptr, size, GRANULE, AnySize) }
    }

    /// Changes the size of the object at `ptr` from `layout`'s to `new_size` and keeps its alignment, as
    /// [`GlobalAlloc::realloc`](core::alloc::GlobalAlloc::realloc) does. An object that lies at no multiple of the alignment moves to one.
    ///
    /// # Errors
    /// As [`realloc`](Self::realloc), and [`Reason::SizeMismatch`] for an object that does not fit the layout's size, as
    /// [`free_sized`](Self::free_sized) says.
    ///
    /// # Safety
    /// As for [`realloc`](Self::realloc).
    pub unsafe fn realloc_layout(
        &self,
        ptr: *mut u8,
        layout: Layout,
        new_size: usize,
    ) -> Result<NonNull<u8>, ReallocError> {
        // SAFETY: as the caller promises.
        unsafe { self.resize(ptr, new_size, layout.align(), OfSize::new(layout.size())) }
    }

    /// Gives the object at `ptr`, if it is what the caller claims, a size of `size` bytes and an alignment of `alignment`, a power of two.
    ///
    /// # Safety
    /// As for [`realloc`](Self::realloc).
    pub(crate) unsafe fn resize(
        &self,
        ptr: *mut u8,
        size: usize,
        alignment: usize,
        claim: impl Claim,
    ) -> Result<NonNull<u8>, ReallocError> {
        if P::HARDENED {
            // SAFETY: as the caller promises.
            return unsafe { self.resize_warded(ptr, size, alignment, claim) };
        }
        let invalid = |reason| InvalidFree { address: ptr.addr(), reason };
        let stay = ptr.addr() & alignment.wrapping_sub(1) == 0;
        let resized = match self.locate(ptr) {
            Place::Blocks(at) => {
                let for_slab = self.is_for_slab(size, alignment);
                let blocks = self.lock_blocks().map_err(Reason::from);
                blocks.and_then(|mut blocks| blocks.resize_object(at, size, alignment, stay, for_slab, claim))
            }
            Place::Slab(at) if self.is_slot(claim) => {
                self.lock_slab().map_err(Reason::from).and_then(|mut it| it.resize(at, size, stay))
            }
            Place::Slab(at) => self.refuse_slot(at).map(|()| Resize::InPlace),
            Place::Nowhere => Err(self.refuse(ptr)),
        };
        let resized = resized.map_err(invalid)?;
        let old = NonNull::new(ptr).ok_or(invalid(Reason::OutsideHeap))?;
        let (new, old_size) = match resized {
            Resize::InPlace => return Ok(old),
            Resize::To(new) => return Ok(new),
            Resize::Move(old_size) => match self.alloc_at(size, alignment) {
                Ok(new) => (new, old_size),
                // A slot of a larger class.
                Err(_) if P::CLASSES && stay && size <= old_size => return self.keep_slot(old),
                Err(error) => return Err(error.into()),
            },
        };
        let count = Granules::from_bytes_ceil(old_size.min(size));
        // SAFETY: both lie in the region, whole granules each: the old one was live with `old_size` bytes when the lock was
        // held, the new one has `size`, rounded up.
        unsafe { bytes::copy(old, new, count) };
        // SAFETY: as the caller promises for the old object.
        if let Err(error) = unsafe { self.free_as(ptr, claim) } {
            // Another thread has freed or overwritten it meanwhile. The new object is known to nobody yet.
            // SAFETY: nobody uses the new object.
            let _ = unsafe { self.free_as(new.as_ptr(), claim.of(size)) };
            return Err(error.into());
        }
        Ok(new)
    }

    /// Leaves an object that shrinks in a slot of a larger class than its own, as it cannot move, and notes that.
    #[cold]
    pub(crate) fn keep_slot(&self, object: NonNull<u8>) -> Result<NonNull<u8>, ReallocError> {
        self.lock_blocks().map_err(AllocError::from)?.kept_slot = true;
        Ok(object)
    }

    /// Returns how many bytes the object at `ptr` can hold: those asked for, rounded up.
    ///
    /// # Errors
    /// As [`free`](Self::free), but an overwritten header is not looked at.
    pub fn usable_size(&self, ptr: *const u8) -> Result<usize, InvalidFree> {
        let size = match self.locate(ptr) {
            _ if P::HARDENED => self.warded_size(ptr),
            Place::Blocks(at) => self.lock_blocks().map_err(Reason::from).and_then(|it| it.object_size(at)),
            Place::Slab(at) => {
                self.lock_slab().map_err(Reason::from).and_then(|it| it.live(at).map(|_| it.stride().bytes()))
            }
            Place::Nowhere => Err(self.misplaced(ptr)),
        };
        size.map_err(|reason| InvalidFree { address: ptr.addr(), reason })
    }
}
