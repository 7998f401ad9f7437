//! What a heap is: two segments of one region, a lock for each, and where they lie.
#![allow(unsafe_code)]

use core::ops::Range;
use core::ptr::{self, NonNull};

use crate::blocks::Blocks;
use crate::classes::{Classes, MayHave};
use crate::error::{InitError, Reason, Reentered};
use crate::hooks::Hooks;
use crate::layout::{Config, Segment, lay_out};
use crate::lock::{Guard, Locked, RawLock};
use crate::memory::Memory;
use crate::policy::{NextFit, Policy};
use crate::slab::Slab;
use crate::stats::{SegmentStats, Stats};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};
use crate::units::{GRANULE, Granules, Offset};
use crate::ward::Ward;

/// The lock of a heap whose type names none.
#[cfg(target_has_atomic = "8")]
pub type DefaultLock = crate::spin::SpinLock;
/// The lock of a heap whose type names none: this target has no atomic swap, so the heap is one thread's.
#[cfg(not(target_has_atomic = "8"))]
pub type DefaultLock = crate::lock::NoLock;

/// A heap in the caller's memory: a slab and a segment of blocks side by side, each under a lock of its own.
///
/// The heap takes nothing on trust: it believes no byte that lies in its region, and [`free`](Self::free) and
/// [`realloc`](Self::realloc) refuse every address that is not a live object's start. It never panics, prints or
/// allocates, and its calls end whatever was written into the region.
///
/// Complexity: alloc, free and realloc are O(log) in the region's size (realloc apart from its copy), whatever the alignment.
/// `stats` is O(log) too; `check`, `repair` and the walks are linear.
///
/// ```
/// use slabfit::{Config, Heap, RegionArray};
///
/// let mut array = RegionArray::<16384>::new();
/// let heap = Heap::new(&mut array, Config::new(64))?;
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
    pub(crate) bounds: Bounds,
    slab: Locked<L, Slab<'a, P>>,
    blocks: Locked<L, Blocks<'a, P>>,
}

/// The bounds of the heap: written by `init`, once, and read without a lock. `extend` moves the end.
///
/// Invariant: `granules` is 0 before the others are set, and is set after them.
#[cfg_attr(target_pointer_width = "64", repr(align(64)))]
pub(crate) struct Bounds {
    base: AtomicPtr<u8>,
    /// Granules of both segments, and of the slab segment.
    granules: AtomicUsize,
    slab_granules: AtomicUsize,
    /// `usize::MAX`, which no request has, if there is no slab.
    pub(crate) slab_size: AtomicUsize,
    /// A `&'static Hooks`, or null.
    hooks: AtomicPtr<Hooks>,
}

impl Bounds {
    fn set(&self, base: NonNull<u8>, slab_segment: usize, size: usize, config: Config) {
        let Config { slab_size, hooks, .. } = config;
        self.hooks.store(hooks.map_or(ptr::null_mut(), |hooks| ptr::from_ref(hooks).cast_mut()), Ordering::Release);
        self.base.store(base.as_ptr(), Ordering::Relaxed);
        self.slab_granules.store(slab_segment / GRANULE, Ordering::Relaxed);
        self.slab_size.store(if slab_size == 0 { usize::MAX } else { slab_size }, Ordering::Relaxed);
        self.granules.store(size / GRANULE, Ordering::Release);
    }
}

/// A segment, locked, unless this thread is in the heap.
pub(crate) type Locking<'h, L, S> = Result<Guard<'h, L, S>, Reentered>;

/// Where an address lies.
pub(crate) enum Place {
    Slab(Offset),
    Blocks(Offset),
    /// Outside the heap, or not the first byte of a granule.
    Nowhere,
}

impl<'a> Heap<'a> {
    /// Makes a heap in `memory`, with the default lock and policy: `memory` is a slice of bytes, a
    /// [`RegionArray`](crate::RegionArray), or a [`Memory`]. [`from_memory`](Self::from_memory) makes one of any type.
    ///
    /// # Errors
    /// [`InitError`] says what is wrong with the memory or the configuration.
    pub fn new(memory: impl Into<Memory<'a>>, config: Config) -> Result<Self, InitError> {
        Self::from_memory(memory, config)
    }
}

impl<'a, L: RawLock, P: Policy> Heap<'a, L, P> {
    /// Makes a heap without memory, all zeros: every request fails with [`AllocError::NotInitialised`] until [`init`](Self::init).
    pub const fn empty() -> Self {
        Self {
            bounds: Bounds {
                base: AtomicPtr::new(ptr::null_mut()),
                granules: AtomicUsize::new(0),
                slab_granules: AtomicUsize::new(0),
                slab_size: AtomicUsize::new(0),
                hooks: AtomicPtr::new(ptr::null_mut()),
            },
            slab: Locked::new(Slab::EMPTY),
            blocks: Locked::new(Blocks::EMPTY),
        }
    }

    /// Makes a heap in `memory`: a slice of bytes, a [`RegionArray`](crate::RegionArray), or a [`Memory`].
    ///
    /// # Errors
    /// [`InitError`] says what is wrong with the memory or the configuration.
    pub fn from_memory(memory: impl Into<Memory<'a>>, config: Config) -> Result<Self, InitError> {
        let heap = Self::empty();
        heap.init(memory, config)?;
        Ok(heap)
    }

    /// Gives an empty heap its memory, once. Of several threads that try, one succeeds.
    ///
    /// # Errors
    /// [`InitError`] says what is wrong; the heap is then as before, and another call may succeed.
    #[cold]
    #[inline(never)]
    pub fn init(&self, memory: impl Into<Memory<'a>>, config: Config) -> Result<(), InitError> {
        // Fails before it touches the memory if this thread holds either lock.
        let (slab, blocks) = self.lock_both();
        let (mut slab, mut blocks) = (slab?, blocks?);
        if blocks.region.granules() > Granules::ZERO {
            return Err(InitError::AlreadyInitialised);
        }
        let bounds = lay_out(memory.into(), config, &mut slab, &mut blocks)?;
        self.bounds.set(bounds.base, bounds.slab_segment, bounds.size, config.under::<P>());
        Ok(())
    }

    /// Moves the heap's end by `added`. The caller holds the lock of the blocks: whoever gets an object there has waited for it, and
    /// finds the new end.
    pub(crate) fn move_end(&self, added: Granules) {
        let granules = self.bounds.granules.load(Ordering::Relaxed);
        self.bounds.granules.store(granules.wrapping_add(added.count() as usize), Ordering::Release);
    }

    /// Returns what the heap is to call.
    pub(crate) fn hooks(&self) -> Option<&'static Hooks> {
        let hooks = self.bounds.hooks.load(Ordering::Acquire);
        // SAFETY: null, or from a `&'static Hooks`: `set` alone writes it.
        unsafe { hooks.as_ref() }
    }

    /// Locks the slab.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn lock_slab(&self) -> Locking<'_, L, Slab<'a, P>> {
        self.slab.lock_unless_holding(&self.blocks)
    }

    /// Locks the blocks.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn lock_blocks(&self) -> Locking<'_, L, Blocks<'a, P>> {
        self.blocks.lock_unless_holding(&self.slab)
    }

    /// Locks both, the slab first, always. Other calls wait for no lock while they hold one, so only two callers of this could
    /// deadlock, and they take the locks in the same order.
    pub(crate) fn lock_both(&self) -> (Locking<'_, L, Slab<'a, P>>, Locking<'_, L, Blocks<'a, P>>) {
        (self.slab.lock(), self.blocks.lock())
    }

    /// Returns whether the slab is asked first for `size` bytes at a multiple of `alignment`.
    #[inline]
    pub(crate) fn is_for_slab(&self, size: usize, alignment: usize) -> bool {
        alignment <= GRANULE && size == self.bounds.slab_size.load(Ordering::Relaxed)
    }

    /// Finds the segment and the granule that start at an address.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn locate(&self, ptr: *const u8) -> Place {
        let granules = self.bounds.granules.load(Ordering::Acquire);
        let byte = ptr.addr().wrapping_sub(self.bounds.base.load(Ordering::Relaxed).addr());
        // What is no granule's start has bits at the top then: one comparison refuses it, and what lies outside.
        let at = byte.rotate_right(const { GRANULE.trailing_zeros() });
        if at >= granules {
            return Place::Nowhere;
        }
        let slab = self.bounds.slab_granules.load(Ordering::Relaxed);
        if at >= slab {
            Place::Blocks(Offset::new(at.wrapping_sub(slab) as u32))
        } else {
            Place::Slab(Offset::new(at as u32))
        }
    }

    /// Says what is wrong with an address that is not a granule's start.
    pub(crate) fn misplaced(&self, ptr: *const u8) -> Reason {
        if self.owns(ptr) { Reason::Misaligned } else { Reason::OutsideHeap }
    }

    /// Returns whether an address lies in one of the segments.
    pub fn owns(&self, ptr: *const u8) -> bool {
        let size = self.size();
        ptr.addr().wrapping_sub(self.bounds.base.load(Ordering::Relaxed).addr()) < size
    }

    /// Returns the heap's first byte, where the slab segment starts; `None` before `init`.
    pub fn base(&self) -> Option<NonNull<u8>> {
        NonNull::new(self.bounds.base.load(Ordering::Acquire))
    }

    /// Returns the number of bytes of both segments together; 0 before `init`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub fn size(&self) -> usize {
        self.bounds.granules.load(Ordering::Acquire).wrapping_mul(GRANULE)
    }

    /// Returns the size of the requests that go to the slab; 0 if none do: before `init`, without a slab, or where it is
    /// `usize::MAX`.
    ///
    /// It is read without ordering: whatever it says, a request is served by one segment or the other under its lock.
    #[inline]
    pub fn slab_size(&self) -> usize {
        match self.bounds.slab_size.load(Ordering::Relaxed) {
            usize::MAX => 0,
            size => size,
        }
    }

    /// Returns the addresses of a segment.
    pub fn segment(&self, segment: Segment) -> Range<usize> {
        let size = self.size();
        let base = self.bounds.base.load(Ordering::Relaxed).addr();
        let middle = base.wrapping_add(self.bounds.slab_granules.load(Ordering::Relaxed).wrapping_mul(GRANULE));
        match segment {
            Segment::Slab => base..middle,
            Segment::Blocks => middle..base.wrapping_add(size),
        }
    }

    /// Gives all magazines of the size classes back, so that runs without a live slot become free memory again; likewise what can be had
    /// of [caches](Self::cache) without their owners. Without size classes it does nothing.
    ///
    /// # Errors
    /// [`Reentered`] if this thread is in the heap.
    pub fn empty_magazines(&self) -> Result<(), Reentered> {
        self.lock_blocks().map(|mut blocks| blocks.empty_magazines())
    }

    /// Returns the figures of one segment: a part of [`stats`](Self::stats), which takes the other's lock too.
    ///
    /// # Errors
    /// [`Reentered`] if this thread is in the heap.
    pub fn segment_stats(&self, segment: Segment) -> Result<SegmentStats, Reentered> {
        Ok(match segment {
            Segment::Slab => self.lock_slab()?.stats(),
            Segment::Blocks => self.lock_blocks()?.stats(),
        })
    }

    /// Returns the heap's figures.
    ///
    /// # Errors
    /// [`Reentered`] if this thread is in the heap.
    pub fn stats(&self) -> Result<Stats, Reentered> {
        let slab = self.lock_slab()?.stats();
        let blocks = self.lock_blocks()?;
        let mut stats = Stats {
            slab,
            blocks: blocks.stats(),
            classes: Default::default(),
            caches: blocks.classes.get().map_or_else(Default::default, Classes::cache_stats),
            quarantine: blocks.ward.get().map_or_else(Default::default, Ward::stats),
            spilled: blocks.spilled as u64,
            refused_outside: blocks.refused_outside as u64,
        };
        if let Some(classes) = blocks.classes.get() {
            classes.set_stats(&mut stats.classes);
        }
        Ok(stats)
    }
}

impl<L: RawLock> Heap<'_, L, NextFit> {
    /// Returns the rover's address; `None` before `init`.
    ///
    /// # Errors
    /// [`Reentered`] if this thread is in the heap.
    pub fn rover(&self) -> Result<Option<usize>, Reentered> {
        let blocks = self.lock_blocks()?;
        Ok((blocks.region.granules() > Granules::ZERO).then(|| blocks.region.address(blocks.rover.at)))
    }
}
