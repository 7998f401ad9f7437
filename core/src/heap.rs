//! The heap: one region cut in two, a lock for each part, and who serves what.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::{self, NonNull};

use crate::error::{AllocError, InitError, InvalidFree, ReallocError, Reason, Reentered};
use crate::lock::{Locked, RawLock};
use crate::next_fit::BlockSegment;
use crate::policy::{NextFit, Policy};
use crate::region::{self, Memory};
use crate::size::{GRANULE, Granules, Offset, Resize};
use crate::slab::Slab;
use crate::split::{Config, Segment, split};
use crate::stats::Stats;
use crate::switch::wrong;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};

/// The lock of a heap whose type names none.
#[cfg(target_has_atomic = "8")]
pub type DefaultLock = crate::spin::SpinLock;
/// The lock of a heap whose type names none: this target has no atomic swap, so the heap is one thread's.
#[cfg(not(target_has_atomic = "8"))]
pub type DefaultLock = crate::lock::NoLock;

/// A heap in the caller's memory: a slab and next fit side by side, each under a lock of its own.
///
/// The heap takes nothing on trust: it believes no byte that lies in its region, and [`free`](Self::free) and
/// [`realloc`](Self::realloc) refuse every address that is not a live object's start. It never panics, prints or
/// allocates, and its calls end whatever was written into the region.
///
/// Complexity: alloc, free and realloc are O(log) in the region's size (realloc beside its copying; for alignments above
/// 16 see [`alloc_layout`](Self::alloc_layout)). `stats` is O(log) too; `check`, `repair` and the walks are linear.
///
/// ```
/// use slabfit::{Config, Heap, RegionArray};
///
/// let mut array = RegionArray::<16384>::new();
/// let heap: Heap = Heap::new(&mut array, Config::new(64))?;
/// let object = heap.alloc(100)?.as_ptr();
/// // SAFETY: nobody uses the object afterwards.
/// unsafe { heap.free(object) }?;
/// // SAFETY: as above.
/// let again = unsafe { heap.free(object) };
/// assert_eq!(again.unwrap_err().reason, slabfit::Reason::DoubleFree);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// A `static` heap is made empty and gets its memory later, once:
///
/// ```
/// use slabfit::{AllocError, Config, Heap, InitError, RegionArray};
///
/// static HEAP: Heap = Heap::empty();
///
/// assert_eq!(HEAP.alloc(1), Err(AllocError::NotInitialised));
/// HEAP.init(Box::leak(Box::new(RegionArray::<8192>::new())), Config::new(32))?;
/// assert!(HEAP.alloc(32).is_ok());
/// # Ok::<(), InitError>(())
/// ```
pub struct Heap<'a, L: RawLock = DefaultLock, P: Policy = NextFit> {
    bounds: Bounds,
    policy: PhantomData<P>,
    pub(crate) slab: Locked<L, Slab<'a>>,
    pub(crate) next_fit: Locked<L, BlockSegment<'a>>,
}

/// Where the heap lies: written once, by `init`, and read without a lock.
///
/// Invariant: `size` is 0 before the others are set, and is set after them.
#[repr(align(64))]
struct Bounds {
    base: AtomicPtr<u8>,
    size: AtomicUsize,
    slab_segment: AtomicUsize,
    slab_size: AtomicUsize,
}

impl Bounds {
    fn set(&self, base: NonNull<u8>, slab_segment: usize, slab_size: usize, size: usize) {
        self.base.store(base.as_ptr(), Ordering::Relaxed);
        self.slab_segment.store(slab_segment, Ordering::Relaxed);
        self.slab_size.store(slab_size, Ordering::Relaxed);
        self.size.store(size, Ordering::Release);
    }
}

/// Where an address lies.
enum Place {
    Slab(Offset),
    Block(Offset),
    /// Outside the heap, or not the first byte of a granule.
    Nowhere,
}

impl<'a> Heap<'a> {
    /// Makes a heap in `memory` with the default lock and policy; [`from_memory`](Self::from_memory) makes one of any type.
    ///
    /// # Errors
    /// [`InitError`] says what is wrong with the memory or the configuration.
    pub fn new(memory: impl Into<Memory<'a>>, config: Config) -> Result<Self, InitError> {
        Self::from_memory(memory, config)
    }
}

impl<'a, L: RawLock, P: Policy> Heap<'a, L, P> {
    /// A heap without memory: every request fails with [`AllocError::NotInitialised`] until [`init`](Self::init).
    pub const fn empty() -> Self {
        Self {
            bounds: Bounds {
                base: AtomicPtr::new(ptr::null_mut()),
                size: AtomicUsize::new(0),
                slab_segment: AtomicUsize::new(0),
                slab_size: AtomicUsize::new(0),
            },
            policy: PhantomData,
            slab: Locked::new(Slab::empty()),
            next_fit: Locked::new(BlockSegment::empty()),
        }
    }

    /// A heap in `memory`: a slice of bytes, a [`RegionArray`](crate::RegionArray), or a [`Memory`].
    ///
    /// # Errors
    /// [`InitError`] says what is wrong with the memory or the slab size.
    pub fn from_memory(memory: impl Into<Memory<'a>>, config: Config) -> Result<Self, InitError> {
        let heap = Self::empty();
        heap.init(memory, config)?;
        Ok(heap)
    }

    /// Gives an empty heap its memory, once. Of several threads that try, one succeeds.
    ///
    /// # Errors
    /// [`InitError`] says what is wrong; the heap is then as before, and another call may succeed.
    pub fn init(&self, memory: impl Into<Memory<'a>>, config: Config) -> Result<(), InitError> {
        // If this thread is in one of the two, nothing may change, nor the memory: this finds it out.
        let outside = self.with_slab(|_| ()).and_then(|()| self.with_next_fit(|_| ()));
        if wrong!("init-inside", outside.is_err()) {
            return Err(InitError::Reentered);
        }
        let parts = split::<P>(memory.into(), config)?;
        self.with_next_fit(|place| {
            if wrong!("init-once", place.region.granules() > Granules::NONE) {
                return Err(InitError::AlreadyInitialised);
            }
            // Before the first object is handed out, so that its free finds the heap.
            self.bounds.set(parts.base, parts.slab_segment, config.slab_size, parts.size);
            *place = parts.next_fit;
            Ok(())
        })??;
        self.with_slab(|place| *place = parts.slab)?;
        Ok(())
    }

    #[inline]
    pub(crate) fn with_slab<R>(&self, work: impl FnOnce(&mut Slab<'a>) -> R) -> Result<R, Reentered> {
        self.slab.with_beside(&self.next_fit, work)
    }

    #[inline]
    pub(crate) fn with_next_fit<R>(&self, work: impl FnOnce(&mut BlockSegment<'a>) -> R) -> Result<R, Reentered> {
        self.next_fit.with_beside(&self.slab, work)
    }

    /// An object of `size` bytes, at a multiple of 16: a slot if `size` is exactly the slab size and one is free, a
    /// block otherwise. A size of 0 counts as 1.
    ///
    /// # Errors
    /// [`AllocError::Full`] or [`AllocError::Fragmented`]; nothing has changed.
    #[inline]
    pub fn alloc(&self, size: usize) -> Result<NonNull<u8>, AllocError> {
        let for_slab = size == self.slab_size();
        self.serve(size, for_slab, Slab::alloc, |next_fit| next_fit.alloc(size))
    }

    /// Serves a request for `size` bytes by `slot`, if it is one for the slab and the slab has one, or by `block`.
    #[inline(always)]
    fn serve<R>(
        &self,
        size: usize,
        for_slab: bool,
        slot: impl FnOnce(&mut Slab<'a>) -> Option<R>,
        block: impl FnOnce(&mut BlockSegment<'a>) -> Option<R>,
    ) -> Result<R, AllocError> {
        if for_slab {
            if let Some(slot) = self.with_slab(slot)? {
                return Ok(slot);
            }
        }
        self.with_next_fit(|next_fit| match block(next_fit) {
            Some(block) => {
                if for_slab {
                    next_fit.spilled = next_fit.spilled.wrapping_add(1);
                }
                Ok(block)
            }
            None => Err(next_fit.failed(size)),
        })?
    }

    /// The same, with `size` zero bytes. Every one of them is written, so that nothing in the heap can change this.
    ///
    /// # Errors
    /// As [`alloc`](Self::alloc).
    pub fn alloc_zeroed(&self, size: usize) -> Result<NonNull<u8>, AllocError> {
        let object = self.alloc(size)?;
        // SAFETY: just handed out, of `size` bytes, and known to nobody yet.
        unsafe { region::clear(object, size, usize::MAX) };
        Ok(object)
    }

    /// The same for a layout, as fast as it can be: where the memory was lent as zeros
    /// ([`Memory::assume_zeroed`]), bytes that no object has reached yet are not touched. What a write past an object's
    /// end has left in them is then seen.
    ///
    /// # Errors
    /// As [`alloc`](Self::alloc).
    pub fn alloc_layout_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let (size, alignment) = (layout.size(), layout.align());
        let slot = |slab: &mut Slab<'a>| {
            let zeros_from = slab.zeros_from();
            slab.alloc().map(|slot| (slot, zeros_from))
        };
        let block = |next_fit: &mut BlockSegment<'a>| {
            let zeros_from = next_fit.zeros_from();
            next_fit.alloc_aligned(size, alignment).map(|block| (block, zeros_from))
        };
        let for_slab = size == self.slab_size() && alignment <= GRANULE;
        let (object, zeros_from) = self.serve(size, for_slab, slot, block)?;
        // SAFETY: just handed out, of the layout's size, and known to nobody yet.
        unsafe { region::clear(object, size, zeros_from) };
        Ok(object)
    }

    /// An object for `layout`. With an alignment above 16 it is always a block: slots are 16 apart or more, but not at
    /// multiples of anything larger.
    ///
    /// Complexity: O(log), and above alignment 16 O(log) more for every free block that is large enough and holds no
    /// aligned payload, and lies before the one that does: which of them comes first is specified, so each is looked at.
    ///
    /// # Errors
    /// As [`alloc`](Self::alloc).
    #[inline]
    pub fn alloc_layout(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        if layout.align() <= GRANULE {
            return self.alloc(layout.size());
        }
        let block = |next_fit: &mut BlockSegment<'a>| next_fit.alloc_aligned(layout.size(), layout.align());
        self.serve(layout.size(), false, |_| None, block)
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
        let freed = match self.locate(ptr) {
            Place::Slab(at) => self.with_slab(|slab| slab.free(at)),
            Place::Block(at) => self.with_next_fit(|next_fit| next_fit.free(at)),
            Place::Nowhere => Ok(Err(self.refuse(ptr))),
        };
        freed.unwrap_or(Err(Reason::Reentered)).map_err(|reason| InvalidFree { address: ptr.addr(), reason })
    }

    /// Refuses an address that is no granule's, and counts it where it belongs, unless this thread is there.
    #[cold]
    fn refuse(&self, ptr: *const u8) -> Reason {
        let reason = self.misplaced(ptr);
        let _ = if reason == Reason::OutsideHeap {
            self.with_next_fit(|next_fit| next_fit.refused_outside = next_fit.refused_outside.wrapping_add(1))
        } else if self.segment(Segment::Slab).contains(&ptr.addr()) {
            self.with_slab(|slab| slab.counters.refused(reason)).map(|_| ())
        } else {
            self.with_next_fit(|next_fit| next_fit.counters.refused(reason)).map(|_| ())
        };
        reason
    }

    /// Changes the size of the object at `ptr`: where it stands if it can, otherwise as alloc, copy and free. The bytes
    /// up to the smaller size stay what they were.
    ///
    /// A slot stays while it is large enough. A block that shrinks by 32 bytes or more gives the rest back; one that
    /// grows takes what it needs of a free block behind it.
    ///
    /// # Errors
    /// The address is no live object's, or there is no memory; the object is then as it was.
    ///
    /// # Safety
    /// As for [`free`](Self::free): if it succeeds, nobody uses the object at the old address afterwards, unless it is
    /// the new one.
    pub unsafe fn realloc(&self, ptr: *mut u8, size: usize) -> Result<NonNull<u8>, ReallocError> {
        // SAFETY: as the caller promises.
        unsafe { self.resize(ptr, size, GRANULE, || self.alloc(size)) }
    }

    /// Changes the size of the object at `ptr` from `layout`'s to `new_size` and keeps its alignment, as
    /// [`GlobalAlloc::realloc`](core::alloc::GlobalAlloc::realloc) does.
    ///
    /// # Errors
    /// As [`realloc`](Self::realloc). A size that no layout of this alignment has is [`AllocError::Full`].
    ///
    /// # Safety
    /// As for [`realloc`](Self::realloc).
    pub unsafe fn realloc_layout(
        &self,
        ptr: *mut u8,
        layout: Layout,
        new_size: usize,
    ) -> Result<NonNull<u8>, ReallocError> {
        let new = Layout::from_size_align(new_size, layout.align()).map_err(|_| AllocError::Full)?;
        // SAFETY: as the caller promises.
        unsafe { self.realloc_to(ptr, new) }
    }

    /// Gives the object at `ptr` the layout `new`.
    ///
    /// # Safety
    /// As for [`realloc`](Self::realloc).
    pub(crate) unsafe fn realloc_to(&self, ptr: *mut u8, new: Layout) -> Result<NonNull<u8>, ReallocError> {
        // SAFETY: as the caller promises.
        unsafe { self.resize(ptr, new.size(), new.align(), || self.alloc_layout(new)) }
    }

    /// # Safety
    /// As for `realloc`. `alloc` answers with a new object of `size` bytes.
    unsafe fn resize(
        &self,
        ptr: *mut u8,
        size: usize,
        alignment: usize,
        alloc: impl FnOnce() -> Result<NonNull<u8>, AllocError>,
    ) -> Result<NonNull<u8>, ReallocError> {
        let wrong = |reason| InvalidFree { address: ptr.addr(), reason };
        let old = NonNull::new(ptr).ok_or(wrong(Reason::OutsideHeap));
        let stay = ptr.addr() & alignment.wrapping_sub(1) == 0;
        let resized = match self.locate(ptr) {
            Place::Slab(at) => self.with_slab(|slab| slab.resize(at, size, stay)),
            Place::Block(at) => self.with_next_fit(|next_fit| next_fit.resize(at, size, stay)),
            Place::Nowhere => Ok(Err(self.refuse(ptr))),
        };
        let old_size = match resized.unwrap_or(Err(Reason::Reentered)).map_err(wrong)? {
            Resize::InPlace => return Ok(old?),
            Resize::Move(old_size) => old_size,
        };
        let (old, new) = (old?, alloc()?);
        // SAFETY: both lie in the region: the old one was live with `old_size` bytes when the lock was held, the new
        // one has `size`.
        unsafe { region::copy(old, new, old_size.min(size)) };
        // SAFETY: as the caller promises for the old object.
        if let Err(error) = unsafe { self.free(ptr) } {
            // Another thread has freed or overwritten it meanwhile. The new object is known to nobody yet.
            // SAFETY: nobody uses the new object.
            let _ = unsafe { self.free(new.as_ptr()) };
            return Err(error.into());
        }
        Ok(new)
    }

    /// Bytes that the object at `ptr` can hold: those asked for, rounded up.
    ///
    /// # Errors
    /// As [`free`](Self::free), but an overwritten header is not looked at.
    pub fn usable_size(&self, ptr: *const u8) -> Result<usize, InvalidFree> {
        let size = match self.locate(ptr) {
            Place::Slab(at) => self.with_slab(|slab| slab.live(at).map(|_| slab.stride.bytes())),
            Place::Block(at) => self.with_next_fit(|next_fit| next_fit.live(at).map(|block| block.size().payload())),
            Place::Nowhere => Ok(Err(self.misplaced(ptr))),
        };
        size.unwrap_or(Err(Reason::Reentered)).map_err(|reason| InvalidFree { address: ptr.addr(), reason })
    }

    /// Which segment's granule an address is the first byte of.
    #[inline]
    fn locate(&self, ptr: *const u8) -> Place {
        let size = self.bounds.size.load(Ordering::Acquire);
        let at = ptr.addr().wrapping_sub(self.bounds.base.load(Ordering::Relaxed).addr());
        if wrong!("outside", at >= size) || wrong!("misaligned", at % GRANULE != 0) {
            return Place::Nowhere;
        }
        let split = self.bounds.slab_segment.load(Ordering::Relaxed);
        if at < split {
            Place::Slab(Offset::of_byte(at))
        } else {
            Place::Block(Offset::of_byte(at.wrapping_sub(split)))
        }
    }

    /// What is wrong with an address that is no granule's.
    fn misplaced(&self, ptr: *const u8) -> Reason {
        if self.owns(ptr) { Reason::Misaligned } else { Reason::OutsideHeap }
    }

    /// Whether an address lies in one of the segments.
    pub fn owns(&self, ptr: *const u8) -> bool {
        let size = self.size();
        ptr.addr().wrapping_sub(self.bounds.base.load(Ordering::Relaxed).addr()) < size
    }

    /// The heap's first byte, where the slab segment starts; `None` before `init`.
    pub fn base(&self) -> Option<NonNull<u8>> {
        NonNull::new(self.bounds.base.load(Ordering::Acquire))
    }

    /// Bytes of both segments together; 0 before `init`.
    pub fn size(&self) -> usize {
        self.bounds.size.load(Ordering::Acquire)
    }

    /// Bytes of the requests that go to the slab; 0 before `init`.
    #[inline]
    pub fn slab_size(&self) -> usize {
        self.bounds.slab_size.load(Ordering::Relaxed)
    }

    /// The addresses of a segment.
    pub fn segment(&self, segment: Segment) -> Range<usize> {
        let size = self.size();
        let base = self.bounds.base.load(Ordering::Relaxed).addr();
        let split = base.wrapping_add(self.bounds.slab_segment.load(Ordering::Relaxed));
        match segment {
            Segment::Slab => base..split,
            Segment::Blocks => split..base.wrapping_add(size),
        }
    }

    /// The rover's address; `None` before `init`, or if this thread is in the heap.
    pub fn rover(&self) -> Option<usize> {
        let address = self.with_next_fit(|next_fit| next_fit.region.address(next_fit.rover.at)).ok()?;
        (self.size() > 0).then_some(address)
    }

    /// The heap's figures.
    ///
    /// # Errors
    /// [`Reentered`] if this thread is in the heap.
    pub fn stats(&self) -> Result<Stats, Reentered> {
        let slab = self.with_slab(|slab| slab.stats())?;
        self.with_next_fit(|next_fit| Stats {
            slab,
            blocks: next_fit.stats(),
            spilled: next_fit.spilled,
            refused_outside: next_fit.refused_outside,
        })
    }
}
