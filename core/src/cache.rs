//! A cache: small objects for one owner, without the heap's lock.
#![allow(unsafe_code)]

use core::alloc::Layout;
use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;

use crate::bytes;
use crate::claim::{AnySize, Claim, OfSize};
use crate::error::{AllocError, CacheError, InvalidFree, ReallocError, Reason, Reentered, Violation};
use crate::lock::RawLock;
use crate::owned::{Keep, Owned, Tag};
use crate::policy::General;
use crate::region::Places;
use crate::segments::{DefaultLock, Heap};
use crate::size_class::{HALF, LARGEST, class_for, serves, slot_size, stride};
use crate::units::{GRANULE, Granules, Offset};

/// A cache: it serves small objects from runs of its own, without the heap's lock. [`Heap::cache`] makes one.
///
/// It is for one owner: a thread, a core, an interrupt level, a task. It may be sent to another, and is not shared. What it does not
/// serve itself it has the heap serve, so one may use it for everything. An object belongs to the heap, not to the cache: it may be
/// freed through any cache of the heap, and by the heap itself, and lives on when the cache is dropped.
///
/// Nothing is taken on trust here either: [`free`](Self::free) refuses every address that is not a live object's start, and of two frees
/// of one object at once exactly one succeeds, through whichever caches they go.
///
/// **What lies idle in it**: for each size class up to 32 slots at hand; a run all of whose slots are idle; and, where others free its
/// objects, what they have freed since it last ran out of slots. The heap takes runs all of whose slots were freed by others by itself
/// before a request fails; [`empty`](Self::empty) gives back all that can be, and a drop does so too. The slots that are left lie in
/// runs with live objects. They wait for the next cache, which takes the place of the dropped one. A cache opens a run only while an
/// eighth of the block segment is free; then the heap serves it.
///
/// Complexity: O(1) while the magazine has slots, or room, which is nearly always; as the heap's calls otherwise.
///
/// ```
/// use std::thread;
///
/// use slabfit::{Config, DefaultLock, General, Heap, RegionArray};
///
/// let mut array = RegionArray::<{ 1 << 20 }>::new();
/// let heap: Heap<'_, DefaultLock, General> = Heap::from_memory(&mut array, Config::without_slab().caches(2))?;
/// thread::scope(|scope| {
///     for _ in 0..2 {
///         scope.spawn(|| {
///             let cache = heap.cache().unwrap();
///             let object = cache.alloc(40).unwrap();
///             // SAFETY: nobody uses the object afterwards.
///             unsafe { cache.free(object.as_ptr()) }.unwrap();
///         });
///     }
/// });
/// assert_eq!(heap.stats()?.caches.run_bytes, 0);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Cache<'h, 'a, L: RawLock = DefaultLock> {
    heap: &'h Heap<'a, L, General>,
    owned: Owned<'a>,
    keep: &'a Keep,
    owner: u32,
    /// The block segment, and where its last 512 bytes start: as they were when this cache got its last run, so every run of its own lies in
    /// there. (As cells they also see to it that a cache is not Sync.)
    places: Cell<Places<'a>>,
    tail: Cell<Offset>,
}

impl<'a, L: RawLock> Heap<'a, L, General> {
    /// Makes a cache, or attaches one again that was dropped: the one of lowest number. How many there can be at once says
    /// [`Config::caches`](crate::Config::caches).
    ///
    /// # Errors
    /// [`CacheError`]. The heap then serves all requests itself.
    pub fn cache(&self) -> Result<Cache<'_, 'a, L>, CacheError> {
        let mut blocks = self.lock_blocks()?;
        let granules = blocks.region.granules();
        if granules == Granules::ZERO {
            return Err(CacheError::NotInitialised);
        }
        let owner = blocks.classes.attach().ok_or(CacheError::NoneFree)?;
        let owned = blocks.classes.owned;
        let keep = owned.keep(owner).ok_or(CacheError::NoneFree)?;
        let (places, tail) = (Cell::new(blocks.region.places()), Cell::new(tail_of(granules)));
        Ok(Cache { heap: self, owned, keep, owner, places, tail })
    }

    /// Takes back what lies in caches whose owners are no more and could not drop them, whatever they were about: in a process that was
    /// forked, those of all threads but one. `kept` is that one's. Linear in the region's size.
    ///
    /// # Errors
    /// [`Reentered`] if this thread is in the heap.
    ///
    /// # Safety
    /// Nobody uses a cache of this heap now but by this call, and none but `kept`, and those made afterwards, is ever used again, nor
    /// dropped.
    pub unsafe fn recover_caches(&self, kept: Option<&Cache<'_, 'a, L>>) -> Result<(), Reentered> {
        let mut blocks = self.lock_blocks()?;
        // Not reached: no tables.
        let _ = blocks.recover(kept.map(|cache| cache.owner));
        Ok(())
    }
}

/// Returns where the last 512 bytes start of a segment of so many granules.
const fn tail_of(granules: Granules) -> Offset {
    Offset::ZERO.plus(granules).minus(const { Granules::from_bytes_ceil(LARGEST) })
}

impl<'h, 'a, L: RawLock> Cache<'h, 'a, L> {
    /// Returns the heap.
    pub fn heap(&self) -> &'h Heap<'a, L, General> {
        self.heap
    }

    /// Allocates `size` bytes at a multiple of [`GRANULE`]: a slot of this cache if a size class serves `size`, and as
    /// [`Heap::alloc`] does otherwise.
    ///
    /// # Errors
    /// As [`Heap::alloc`].
    #[inline]
    pub fn alloc(&self, size: usize) -> Result<NonNull<u8>, AllocError> {
        match self.alloc_slot(size) {
            Some(slot) => Ok(slot),
            None => self.alloc_any(size, GRANULE),
        }
    }

    /// Allocates for `layout`, as [`alloc`](Self::alloc) does. With an alignment above [`GRANULE`] it is a slot if the slot's size is a
    /// multiple of that.
    ///
    /// # Errors
    /// As [`Heap::alloc`].
    #[inline]
    pub fn alloc_layout(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        if layout.align() <= GRANULE {
            self.alloc(layout.size())
        } else {
            self.alloc_any(layout.size(), layout.align())
        }
    }

    /// Allocates `size` zero bytes. Every one of them is written.
    ///
    /// # Errors
    /// As [`Heap::alloc`].
    pub fn alloc_zeroed(&self, size: usize) -> Result<NonNull<u8>, AllocError> {
        let object = self.alloc(size)?;
        // SAFETY: just handed out, of `size` bytes, and known to nobody yet.
        unsafe { bytes::clear(object, size, usize::MAX) };
        Ok(object)
    }

    /// Allocates zero bytes for `layout`; the heap's own objects as [`Heap::alloc_layout_zeroed`] does.
    ///
    /// # Errors
    /// As [`Heap::alloc`].
    pub fn alloc_layout_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let slot = self.class(layout.size(), layout.align()).and_then(|class| self.take_slot(class));
        let Some(slot) = slot else { return self.heap.alloc_layout_zeroed(layout) };
        // SAFETY: just handed out, of the layout's size, and known to nobody yet.
        unsafe { bytes::clear(slot, layout.size(), usize::MAX) };
        Ok(slot)
    }

    /// Allocates `size` bytes if a slot for them is at hand; `None`, and nothing has changed, if not: [`alloc`](Self::alloc) knows what to do
    /// then. A few dozen instructions, for a program to have in line.
    #[inline(always)]
    pub fn alloc_slot(&self, size: usize) -> Option<NonNull<u8>> {
        if self.heap.is_for_slab(size, GRANULE) {
            return None;
        }
        let slot = self.owned.pop(self.keep, class_for(size)?, self.tail.get())?;
        self.places.get().granule(slot)
    }

    #[inline(never)]
    fn alloc_any(&self, size: usize, alignment: usize) -> Result<NonNull<u8>, AllocError> {
        match self.class(size, alignment).and_then(|class| self.take_slot(class)) {
            Some(slot) => Ok(slot),
            None => self.heap.alloc_at(size, alignment),
        }
    }

    /// Returns the class that serves such requests here.
    fn class(&self, size: usize, alignment: usize) -> Option<usize> {
        let class = serves(size, alignment, self.owned.classes())?;
        (!self.heap.is_for_slab(size, alignment)).then_some(class)
    }

    /// Allocates a slot, the top of the class's magazine, which is filled first if it is empty.
    fn take_slot(&self, class: usize) -> Option<NonNull<u8>> {
        let slot = self.owned.pop(self.keep, class, Offset::NIL).or_else(|| {
            self.refill(class)?;
            self.owned.pop(self.keep, class, Offset::NIL)
        })?;
        // Not reached: a slot that is not all in the segment, which only destroyed bookkeeping has.
        self.places.get().pointer(slot, stride(class))
    }

    /// Fills a magazine, which is empty: from a run with idle slots, of those that others have returned if need be, or from a new one.
    fn refill(&self, class: usize) -> Option<()> {
        if !self.owned.has_idle(self.keep, class) {
            for run in self.owned.take_returned(self.keep) {
                if self.owned.collect(run) {
                    self.close(run);
                }
            }
        }
        if !self.owned.has_idle(self.keep, class) {
            let mut blocks = self.heap.lock_blocks().ok()?;
            // The heap may have been extended.
            self.places.set(blocks.region.places());
            self.tail.set(tail_of(blocks.region.granules()));
            blocks.open_owned(self.owner, class)?;
        }
        self.owned.fill(self.keep, class)
    }

    /// Closes a run that has idle slots only, unless this owner is in the heap: it stays as it is then.
    fn close(&self, run: u32) {
        if let Ok(mut blocks) = self.heap.lock_blocks() {
            blocks.close_owned(run);
        }
    }

    /// Frees the object at `ptr`, whoever allocated it. Any address may be passed: one that is not the start of a live object is refused.
    ///
    /// # Errors
    /// As [`Heap::free`].
    ///
    /// # Safety
    /// As for [`Heap::free`].
    #[inline]
    pub unsafe fn free(&self, ptr: *mut u8) -> Result<(), InvalidFree> {
        // SAFETY: as the caller promises.
        match unsafe { self.free_slot(ptr) } {
            Some(_) => Ok(()),
            // SAFETY: as the caller promises.
            None => unsafe { self.heap.free(ptr) },
        }
    }

    /// Frees the object at `ptr` if it could have been handed out for `layout`: see [`Heap::free_sized`].
    ///
    /// # Errors
    /// As [`Heap::free_sized`].
    ///
    /// # Safety
    /// As for [`Heap::free`].
    #[inline]
    pub unsafe fn free_sized(&self, ptr: *mut u8, layout: Layout) -> Result<(), InvalidFree> {
        let claim = OfSize::at(ptr, layout).at_least_1();
        if let Some((class, _)) = self.live_slot(ptr) {
            self.confirm(ptr, class, claim)?;
            // SAFETY: as the caller promises.
            if unsafe { self.free_slot(ptr) }.is_some() {
                return Ok(());
            }
        }
        // SAFETY: as the caller promises.
        unsafe { self.heap.free_as(ptr, claim) }
    }

    /// Refuses a free or realloc of a live slot of a class, if it is not what the caller claims.
    #[inline]
    fn confirm(&self, ptr: *const u8, class: usize, claim: impl Claim) -> Result<(), InvalidFree> {
        if claim.is_slot_of(class, false) {
            return Ok(());
        }
        let blocks = self.heap.lock_blocks().map_err(Reason::from);
        let confirmed = blocks.and_then(|mut blocks| blocks.confirm_class(class, claim));
        confirmed.map_err(|reason| InvalidFree { address: ptr.addr(), reason })
    }

    /// Frees the object at `ptr` if it is a live slot of a cache, this one or another. Returns whether memory went back to the heap with
    /// it; `None`, and nothing has changed, if it is anything else, which is the heap's to [free](Heap::free) or to refuse.
    ///
    /// # Safety
    /// As for [`Heap::free`].
    #[inline]
    pub unsafe fn free_slot(&self, ptr: *mut u8) -> Option<bool> {
        let at = self.places.get().find(ptr);
        let tag = self.owned.take(at)?;
        let at = Offset::new(at as u32);
        if tag.owner() == self.owner && self.owned.push(self.keep, at, tag).is_some() {
            return Some(false);
        }
        Some(self.put_away(at, tag))
    }

    /// Puts a slot away that was taken: it is another's, or its magazine is full. Returns whether memory went back to the heap.
    #[inline(never)]
    fn put_away(&self, at: Offset, tag: Tag) -> bool {
        if tag.owner() != self.owner {
            let is_detached = self.owned.give_back(Some(self.keep), at, tag);
            if is_detached {
                self.settle(tag.owner());
            }
            return is_detached;
        }
        let mut has_closed = false;
        for index in 0..HALF {
            if let Some(run) = self.owned.idle_oldest(self.keep, tag.class(), index) {
                self.close(run);
                has_closed = true;
            }
        }
        self.owned.drop_oldest(self.keep, tag.class(), HALF);
        self.owned.push(self.keep, at, tag);
        has_closed
    }

    /// Settles a cache, if it is detached still and this owner is not in the heap. Otherwise somebody does so later.
    fn settle(&self, owner: u32) {
        if let Ok(mut blocks) = self.heap.lock_blocks() {
            blocks.settle_detached(owner);
        }
    }

    /// Changes the size of the object at `ptr`, whoever allocated it. A slot of a cache stays while the same class serves the new size,
    /// and moves otherwise; other objects as [`Heap::realloc`] says.
    ///
    /// # Errors
    /// As [`Heap::realloc`].
    ///
    /// # Safety
    /// As for [`Heap::realloc`].
    pub unsafe fn realloc(&self, ptr: *mut u8, size: usize) -> Result<NonNull<u8>, ReallocError> {
        // SAFETY: as the caller promises.
        unsafe { self.resize(ptr, size, GRANULE, AnySize) }
    }

    /// Changes the size of the object at `ptr` and keeps its alignment, as [`Heap::realloc_layout`] does.
    ///
    /// # Errors
    /// As [`Heap::realloc`].
    ///
    /// # Safety
    /// As for [`Heap::realloc`].
    pub unsafe fn realloc_layout(
        &self,
        ptr: *mut u8,
        layout: Layout,
        new_size: usize,
    ) -> Result<NonNull<u8>, ReallocError> {
        // SAFETY: as the caller promises.
        unsafe { self.resize(ptr, new_size, layout.align(), OfSize::new(layout.size())) }
    }

    /// Returns the class of the live slot of a cache's run that starts at `ptr`, and a pointer to it.
    fn live_slot(&self, ptr: *const u8) -> Option<(usize, NonNull<u8>)> {
        let at = Offset::new(u32::try_from(self.places.get().find(ptr)).ok()?);
        let class = self.owned.live_tag(at)?.class();
        // Not reached: a slot that is not all in the segment, which only destroyed bookkeeping has.
        Some((class, self.places.get().pointer(at, stride(class))?))
    }

    /// Gives the object at `ptr`, if it is what the caller claims, a size of `size` bytes and an alignment of `alignment`, a power of two.
    ///
    /// # Safety
    /// As for [`Heap::realloc`].
    unsafe fn resize(
        &self,
        ptr: *mut u8,
        size: usize,
        alignment: usize,
        claim: impl Claim,
    ) -> Result<NonNull<u8>, ReallocError> {
        let Some((class, old)) = self.live_slot(ptr) else {
            // SAFETY: as the caller promises.
            return unsafe { self.heap.resize(ptr, size, alignment, claim) };
        };
        self.confirm(ptr, class, claim)?;
        let (old_size, stays) = (slot_size(class), ptr.addr() & alignment.wrapping_sub(1) == 0);
        if stays && serves(size, alignment, self.owned.classes()) == Some(class) {
            return Ok(old);
        }
        let new = match self.alloc_any(size, alignment) {
            Ok(new) => new,
            Err(_) if stays && size <= old_size => return self.heap.keep_slot(old),
            Err(error) => return Err(error.into()),
        };
        // SAFETY: both lie in the region, whole granules each: the old one has its class's size, the new one `size`, rounded up.
        unsafe { bytes::copy(old, new, Granules::from_bytes_ceil(old_size.min(size))) };
        // SAFETY: as the caller promises for the old object.
        if let Err(error) = unsafe { self.free(ptr) } {
            // Another thread has freed it meanwhile. The new object is known to nobody yet.
            // SAFETY: nobody uses the new object.
            let _ = unsafe { self.free(new.as_ptr()) };
            return Err(error.into());
        }
        Ok(new)
    }

    /// Returns how many bytes the object at `ptr` can hold, if it is a live slot of a cache, this one or another; `None` if it is anything
    /// else: [`Heap::usable_size`] knows more. A few dozen instructions, and no lock.
    #[inline(always)]
    pub fn slot_size(&self, ptr: *const u8) -> Option<usize> {
        let tag = self.owned.find_live(self.places.get().find(ptr))?;
        Some(slot_size(tag.class()))
    }

    /// Tests every invariant of this cache and of its runs. Linear in the region's size, with the heap's lock held.
    ///
    /// # Errors
    /// The first violation found.
    pub fn check(&self) -> Result<(), Violation> {
        let blocks = self.heap.lock_blocks()?;
        blocks.check_keep(&blocks.classes, self.owner)
    }

    /// Gives back all that lies idle here: the magazines, what others have freed, and every run without a live slot.
    ///
    /// # Errors
    /// [`Reentered`] if this owner is in the heap.
    pub fn empty(&self) -> Result<(), Reentered> {
        self.heap.lock_blocks().map(|mut blocks| {
            // Not reached: a cache that the heap does not have.
            let _ = blocks.settle(self.owner);
        })
    }
}

impl<L: RawLock> Drop for Cache<'_, '_, L> {
    /// Gives back all that lies idle, as [`empty`](Self::empty) does, and lets the next cache go on with the rest. If this owner is in the
    /// heap, another gives it back later.
    fn drop(&mut self) {
        self.owned.detach(self.keep);
        self.settle(self.owner);
    }
}

impl<L: RawLock> fmt::Debug for Cache<'_, '_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("number", &self.owner).finish_non_exhaustive()
    }
}
