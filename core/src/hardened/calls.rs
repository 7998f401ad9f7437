//! The calls of a hardened heap: what is done under the lock, what is done without it, and who is told.
#![allow(unsafe_code)]

use core::ptr::NonNull;

use crate::blocks::Blocks;
use crate::bytes;
use crate::claim::Claim;
use crate::error::{AllocError, Damage, InvalidFree, ReallocError, Reason, Reentered};
use crate::hardened::fenced::LARGE;
use crate::hardened::objects::Freeing;
use crate::heap::Served;
use crate::lock::{Guard, RawLock};
use crate::policy::Policy;
use crate::segments::{Heap, Place};
use crate::size_class::LARGEST;
use crate::units::{GRANULE, Granules, Offset, Resize};
use crate::ward::CANARY;

impl<'a, L: RawLock, P: Policy> Heap<'a, L, P> {
    /// Allocates `size` zero bytes at a multiple of [`GRANULE`].
    #[inline(never)]
    pub(crate) fn alloc_hardened(&self, size: usize) -> Served {
        // For 0 bytes there is more to do, and larger requests are no slot's.
        if size.wrapping_sub(1) < const { LARGEST - CANARY } {
            let Ok(mut blocks) = self.lock_blocks() else { return Served::because(AllocError::Reentered) };
            let slot = blocks.alloc_slot_warded(size);
            self.unlock(blocks);
            if let Some(slot) = slot {
                return Served::from(Ok(slot));
            }
        }
        self.alloc_any_hardened(size)
    }

    #[inline(never)]
    fn alloc_any_hardened(&self, size: usize) -> Served {
        self.alloc_warded(size, GRANULE).into()
    }

    /// Allocates `size` zero bytes at a multiple of `alignment`, a power of two.
    #[inline(never)]
    pub(crate) fn alloc_warded(&self, size: usize, alignment: usize) -> Result<NonNull<u8>, AllocError> {
        if size >= LARGE || size == 0 {
            if let Some(object) = self.alloc_fenced(size, alignment)? {
                return Ok(object);
            }
        }
        loop {
            match self.in_blocks(|blocks| blocks.alloc_warded(size, alignment))? {
                Ok(given) => {
                    self.look(given.place, given.unseen);
                    return Ok(given.place);
                }
                // What fenced objects in quarantine have is given up before a request fails.
                Err(_) if self.free_fenced(false)? => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs `work` under the lock of the block segment, and then, without it, tells the hook of what `work` has found.
    #[inline(always)]
    fn in_blocks<R>(&self, work: impl FnOnce(&mut Blocks<'a, P>) -> R) -> Result<R, Reentered> {
        let mut blocks = self.lock_blocks()?;
        let result = work(&mut blocks);
        self.unlock(blocks);
        Ok(result)
    }

    /// Gives the lock back, and tells the hook of what was found under it.
    #[inline(always)]
    fn unlock(&self, mut blocks: Guard<'_, L, Blocks<'a, P>>) {
        if blocks.has_found() {
            let found = blocks.take_found();
            drop(blocks);
            if let Some(damage) = found {
                self.tell(damage);
            }
        }
    }

    /// Compares the first `bytes` bytes of a new object with zeros, and clears those that differ.
    #[inline(always)]
    pub(crate) fn look(&self, object: NonNull<u8>, bytes: usize) {
        // SAFETY: granules of an object that was just handed out, and is known to nobody yet.
        let Some(found) = (unsafe { bytes::differing(object, 0..bytes, 0) }) else { return };
        let (offset, bytes) = (found.start, found.len());
        // SAFETY: as above.
        unsafe { bytes::fill(object, found, 0) };
        self.tell(Damage::AfterFree { address: object.addr().get(), offset, bytes });
    }

    /// Tells the hook of what was found.
    #[cold]
    #[inline(never)]
    fn tell(&self, damage: Damage) {
        if let Some(hooks) = self.hooks() {
            hooks.report_damage(damage);
        }
    }

    /// Frees the object at `ptr` if it is what the caller claims, and returns the granules that this left to requests of any size.
    ///
    /// # Safety
    /// As for [`free`](Self::free).
    #[inline(never)]
    pub(crate) unsafe fn free_warded(&self, ptr: *mut u8, claim: impl Claim) -> Result<Granules, InvalidFree> {
        let freed = match self.locate(ptr) {
            Place::Blocks(at) => match self.lock_blocks() {
                Ok(mut blocks) => match blocks.free_slot_warded(at, claim) {
                    Some(left) => return Ok(left),
                    // SAFETY: as the caller promises.
                    None => unsafe { self.free_warded_at(blocks, at, claim) },
                },
                Err(reentered) => Err(reentered.into()),
            },
            Place::Slab(_) | Place::Nowhere => Err(self.refuse(ptr)),
        };
        freed.map_err(|reason| InvalidFree { address: ptr.addr(), reason })
    }

    /// Frees the object that starts at `at`, whatever it is.
    ///
    /// # Safety
    /// As for [`free`](Self::free).
    #[inline(never)]
    unsafe fn free_warded_at(
        &self,
        mut blocks: Guard<'_, L, Blocks<'a, P>>,
        at: Offset,
        claim: impl Claim,
    ) -> Result<Granules, Reason> {
        let before = blocks.counters.live();
        let freeing = blocks.free_warded(at, claim);
        let left = before.minus(blocks.counters.live());
        self.unlock(blocks);
        let (object, place) = match freeing? {
            Freeing::Done => return Ok(left),
            Freeing::Clear(object, place) => (object, place),
            Freeing::Hide(object, place) => {
                // Refused to who is in the heap, which the caller was not.
                let _ = self.hide_fenced(&object, place);
                return Ok(Granules::ZERO);
            }
        };
        // SAFETY: the object was live, is nobody's now, and has so many bytes.
        unsafe { bytes::fill(place, 0..object.capacity, 0) };
        let left = self.in_blocks(|blocks| {
            let before = blocks.counters.live();
            blocks.put_away(&object);
            before.minus(blocks.counters.live())
        })?;
        Ok(left)
    }

    /// Gives the object at `ptr`, if it is what the caller claims, a size of `size` bytes and an alignment of `alignment`, a power of two.
    ///
    /// # Safety
    /// As for [`realloc`](Self::realloc).
    #[inline(never)]
    pub(crate) unsafe fn resize_warded(
        &self,
        ptr: *mut u8,
        size: usize,
        alignment: usize,
        claim: impl Claim,
    ) -> Result<NonNull<u8>, ReallocError> {
        let invalid = |reason| InvalidFree { address: ptr.addr(), reason };
        let Place::Blocks(at) = self.locate(ptr) else { return Err(invalid(self.refuse(ptr)).into()) };
        let stay = ptr.addr() & alignment.wrapping_sub(1) == 0;
        let resized = self.in_blocks(|blocks| blocks.resize_warded(at, size, stay, claim));
        let resized = resized.map_err(Reason::from).and_then(|resized| resized).map_err(invalid)?;
        let old = NonNull::new(ptr).ok_or(invalid(Reason::OutsideHeap))?;
        let old_size = match resized {
            Resize::Move(old_size) => old_size,
            _ => return Ok(old),
        };
        let new = match self.alloc_warded(size, alignment) {
            Ok(new) => new,
            Err(_) if stay && size <= old_size => {
                self.lock_blocks().map_err(AllocError::from)?.shrink_warded(at, size);
                return Ok(old);
            }
            Err(error) => return Err(error.into()),
        };
        // SAFETY: valid for reads: the old object was live, of so many bytes, when the lock was held; for writes: the new one has
        // `size` bytes, and is known to nobody yet. They may overlap: another thread's free alone makes them.
        unsafe { old.copy_to(new, old_size.min(size)) };
        // SAFETY: as the caller promises for the old object.
        if let Err(error) = unsafe { self.free_warded(ptr, claim) } {
            // Another thread has freed or overwritten it meanwhile.
            // SAFETY: nobody knows the new object.
            let _ = unsafe { self.free_warded(new.as_ptr(), claim.of(size)) };
            return Err(error.into());
        }
        Ok(new)
    }

    /// Returns the bytes that the object at `ptr` was asked for with.
    pub(crate) fn warded_size(&self, ptr: *const u8) -> Result<usize, Reason> {
        match self.locate(ptr) {
            Place::Blocks(at) => self.lock_blocks()?.object(at).map(|object| object.size),
            Place::Slab(_) | Place::Nowhere => Err(self.misplaced(ptr)),
        }
    }
}
