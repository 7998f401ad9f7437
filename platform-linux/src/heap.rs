//! Heaps over mapped memory: one that is a value, and one that is the process's.
#![allow(unsafe_code)]

use core::error::Error;
use core::fmt;
use core::mem;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use slabfit::{
    AllocatedHeader, Config, GRANULE, Heap, InitError, MAGIC, MAX_HEAP, MIN_HEAP, Memory, NextFit, Policy, Segment,
    bookkeeping_size,
};

use crate::fences::with_fences;
use crate::fork::Forks;
use crate::futex::FutexLock;
use crate::lineage;
use crate::mapping::{Mapping, SystemError, page_size};
use crate::trim::{self, Trimmer};

/// Why there is no heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapError {
    /// The kernel gave no memory for it.
    System(SystemError),
    /// What was asked for is no heap, or there is one already.
    Init(InitError),
}

/// A heap in memory of its own, which goes back to the system when this is dropped.
///
/// All that a heap can do is reached by dereferencing. Its objects end with it: they are raw memory, and no lifetime
/// holds them.
pub struct MappedHeap<P: Policy = NextFit> {
    // Above the mapping, so that it is dropped first.
    heap: Heap<'static, FutexLock, P>,
    mapping: Mapping,
}

impl MappedHeap {
    /// Maps a heap of `size` bytes, rounded up to whole pages; its bookkeeping is mapped beside it and not part of them.
    /// [`with_policy`](Self::with_policy) makes one of any policy.
    ///
    /// # Errors
    /// The kernel's refusal, or what is wrong with the size or the configuration.
    pub fn new(size: usize, config: Config) -> Result<Self, MapError> {
        Self::with_policy(size, config)
    }
}

impl<P: Policy> MappedHeap<P> {
    /// Maps a heap of the policy that its type names, otherwise as [`new`](MappedHeap::new).
    ///
    /// # Errors
    /// As [`new`](MappedHeap::new).
    ///
    /// ```
    /// use slabfit::{Config, FirstFit};
    /// use slabfit_linux::{MapError, MappedHeap};
    ///
    /// let heap: MappedHeap<FirstFit> = MappedHeap::with_policy(1 << 20, Config::new(64))?;
    /// assert!(heap.alloc(100).is_ok());
    /// # Ok::<(), MapError>(())
    /// ```
    pub fn with_policy(size: usize, config: Config) -> Result<Self, MapError> {
        let (mapping, config) = map::<P>(size, config)?;
        // SAFETY: the heap stands beside the mapping and is dropped before it.
        let memory = unsafe { memory(&mapping) };
        Ok(Self { heap: Heap::from_memory(memory, config)?, mapping })
    }

    /// The memory that the heap and its bookkeeping live in.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Gives the pages that lie whole in free blocks, or in free slots of the slab that were used before, back to the kernel, and
    /// answers how many bytes they have, resident before or not. Headers of free slots become zeros. Under [`General`](slabfit::General) it first empties the
    /// magazines, so that runs without a live slot go back too.
    ///
    /// Complexity: O(free bytes), in steps of at most 256 KiB, between which other threads get the heap.
    pub fn trim(&self) -> usize {
        trim::trim(&self.heap, self.mapping.page(), || empty_magazines(&self.heap))
    }
}

impl<P: Policy> Deref for MappedHeap<P> {
    type Target = Heap<'static, FutexLock, P>;

    fn deref(&self) -> &Self::Target {
        &self.heap
    }
}

impl<P: Policy> fmt::Debug for MappedHeap<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedHeap").field("mapping", &self.mapping).finish_non_exhaustive()
    }
}

/// A heap for a `static`: without memory until [`init`](Self::init), and with the same memory from then on.
pub struct ProcessHeap<P: Policy = NextFit> {
    heap: Heap<'static, FutexLock, P>,
    forks: Forks,
    trimmer: Trimmer,
    /// Bytes of a page; 0 before `init`.
    page: AtomicUsize,
}

impl<P: Policy> ProcessHeap<P> {
    /// A heap that has no memory yet and serves nothing.
    pub const fn empty() -> Self {
        Self { heap: Heap::empty(), forks: Forks::none(), trimmer: Trimmer::new(), page: AtomicUsize::new(0) }
    }

    /// Maps the memory, as [`MappedHeap::new`] does, and returns the heap's first byte. It is never unmapped: any thread
    /// may use the heap until the process ends.
    ///
    /// Of several threads that call this at once exactly one succeeds.
    ///
    /// # Errors
    /// The kernel's refusal, or what is wrong with the size or the configuration, or
    /// [`InitError::AlreadyInitialised`]. The heap is then what it was before, and no memory stays mapped.
    pub fn init(&self, size: usize, config: Config) -> Result<NonNull<u8>, MapError> {
        if self.heap.base().is_some() {
            return Err(InitError::AlreadyInitialised.into());
        }
        let (mapping, config) = map::<P>(size, config)?;
        // SAFETY: a heap that takes the memory keeps it, and only one that does not lets the mapping be dropped.
        let memory = unsafe { memory(&mapping) };
        self.heap.init(memory, config)?;
        let first = mapping.heap().cast();
        self.page.store(mapping.page(), Ordering::Relaxed);
        mem::forget(mapping);
        Ok(first)
    }

    /// As [`MappedHeap::trim`]. 0 before [`init`](Self::init).
    pub fn trim(&self) -> usize {
        self.trim_with(|| empty_magazines(&self.heap))
    }

    /// The same with `empty` in place of [`Heap::empty_magazines`], for who must know when that happens: who records the calls of
    /// a program, as the addresses that follow depend on it.
    pub fn trim_with(&self, empty: impl FnOnce()) -> usize {
        match self.page.load(Ordering::Relaxed) {
            0 => 0,
            page => trim::trim(&self.heap, page, empty),
        }
    }

    /// To be called after a free by who wants pages to go back by themselves: when the live bytes have fallen by 4 MiB
    /// and by a quarter, the next calls give them back, a step of at most 256 KiB in every 8th.
    ///
    /// Complexity: O(log) in the heap's size, and one `madvise`, or a few where the kernel refuses them, as for locked pages.
    #[inline]
    pub fn trim_after_free(&self) {
        self.trim_after_free_with(core::ptr::null(), 0, || empty_magazines(&self.heap));
    }

    /// The same, with what is known of the object: where it was, and how many bytes its free gave back, as
    /// [`Heap::free_measured`] says it. 64 KiB or more are looked at in any case, and do as many steps as they have bytes, and as many
    /// again. `empty` is called in place of [`Heap::empty_magazines`], as [`trim_with`](Self::trim_with) has it, when pages begin to
    /// go back.
    ///
    /// Complexity: as [`trim_after_free`](Self::trim_after_free), and O(its bytes) for a large object.
    #[inline]
    pub fn trim_after_free_with(&self, ptr: *const u8, bytes: usize, empty: impl FnOnce()) {
        let page = self.page.load(Ordering::Relaxed);
        if page > 0 {
            self.trimmer.freed(&self.heap, page, (ptr.addr(), bytes), empty);
        }
    }

    /// Does a step, and returns whether pages go back still.
    #[cfg(not(slabfit_loom))]
    pub(crate) fn trim_after_some_frees(&self, empty: impl FnOnce()) -> bool {
        let page = self.page.load(Ordering::Relaxed);
        page > 0 && self.trimmer.freed_some(&self.heap, page, empty)
    }

    /// Bytes of the object at `ptr`, as the header in front of it has them: fast, and only as true as that is. 0 for slots of the
    /// slab, and for addresses that are no block's. In front of a slot of a run lies what its neighbour holds, so that for one
    /// this may be any number below 64 KiB.
    #[inline]
    pub fn length(&self, ptr: *const u8) -> usize {
        const HEADER: usize = size_of::<AllocatedHeader>();
        let blocks = self.heap.segment(Segment::Blocks);
        let at = ptr.addr().wrapping_sub(HEADER);
        if at % GRANULE != 0 || !blocks.contains(&at) {
            return 0;
        }
        let header = ptr.wrapping_sub(HEADER).cast::<AllocatedHeader>();
        // SAFETY: a granule of the segment, which is mapped for ever. Volatile, as it may be anything, and another thread's.
        let AllocatedHeader { length, magic, .. } = unsafe { header.read_volatile() };
        let length = if magic.addr() == MAGIC { usize::try_from(length).unwrap_or(0) } else { 0 };
        // What stands in front of a slot of a run is no header.
        let is_true = |length| self.heap.usable_size(ptr).is_ok_and(|usable| usable >= length);
        if P::CLASSES && length >= trim::LARGE && !is_true(length) { 0 } else { length }
    }

    /// Waits until no other thread is in the heap, and keeps them out: what must be done before a fork, or the child may
    /// find the heap locked for ever.
    ///
    /// Who calls `fork` is rarely who knows of the heap. libc has `pthread_atfork` for that, and libc is what this crate does
    /// without: the library that has the heap registers this, and [`let_go_after_fork`](Self::let_go_after_fork) for both
    /// sides. It may be registered more than once, by threads that make the heap at the same time.
    ///
    /// Calls of this thread are refused meanwhile. A signal handler should not fork if it may have interrupted its thread in
    /// the heap: it would wait for the other half of the heap, which another thread that does the same may have. (libc's own
    /// locks forbid it too, see `_Fork`.)
    pub fn hold_for_fork(&'static self) {
        self.forks.hold(&self.heap);
    }

    /// Lets the other threads in again, in the parent or in the child.
    ///
    /// In a child for which this is not called, as one that `clone` or `_Fork` made, a heap that another thread of the parent
    /// was in refuses its calls as [`Reentered`](slabfit::Reentered): whose lock it is will never give it back.
    ///
    /// # Safety
    /// The thread has called [`hold_for_fork`](Self::hold_for_fork) once for this call; in a child, its parent's thread has.
    pub unsafe fn let_go_after_fork(&'static self) {
        // SAFETY: as the caller promises.
        unsafe { self.forks.let_go() };
    }
}

impl<P: Policy> Deref for ProcessHeap<P> {
    type Target = Heap<'static, FutexLock, P>;

    fn deref(&self) -> &Self::Target {
        &self.heap
    }
}

impl<P: Policy> fmt::Debug for ProcessHeap<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessHeap").field("base", &self.heap.base()).finish_non_exhaustive()
    }
}

/// Gives the magazines back, unless this thread is in the heap.
fn empty_magazines<P: Policy>(heap: &Heap<'_, FutexLock, P>) {
    let _ = heap.empty_magazines();
}

/// Memory for a heap and its bookkeeping, and the configuration with what only this knows. What no heap can be made of is refused before
/// the kernel is asked.
fn map<P: Policy>(size: usize, config: Config) -> Result<(Mapping, Config), MapError> {
    if size == 0 {
        return Err(InitError::TooSmall { size, minimum: MIN_HEAP }.into());
    }
    if size > MAX_HEAP {
        return Err(InitError::TooLarge { size }.into());
    }
    if config.slab_size == 0 && config.slab_bytes != Some(0) {
        return Err(InitError::SlabSizeZero.into());
    }
    lineage::begin();
    let page = page_size()?;
    let size = size.checked_next_multiple_of(page).ok_or(InitError::TooLarge { size })?;
    let config = with_fences::<P>(config, page);
    Ok((Mapping::new(size, bookkeeping_size::<P>(size, config))?, config))
}

/// A mapping's two parts, as a heap takes them.
///
/// # Safety
/// The heap must not outlive the mapping, and of one mapping there must be one heap.
unsafe fn memory(mapping: &Mapping) -> Memory<'static> {
    let (heap, bookkeeping) = (mapping.heap(), mapping.bookkeeping());
    let (first, second) = (heap.cast().as_ptr(), bookkeeping.cast().as_ptr());
    // SAFETY: both parts are readable, writable and nobody else's, for as long as the mapping lives, which the caller
    // answers for.
    let memory = unsafe { Memory::from_raw_parts(first, heap.len(), second, bookkeeping.len()) };
    // SAFETY: the kernel hands out anonymous pages zeroed.
    unsafe { memory.assume_zeroed() }
}

impl From<SystemError> for MapError {
    fn from(error: SystemError) -> Self {
        Self::System(error)
    }
}

impl From<InitError> for MapError {
    fn from(error: InitError) -> Self {
        Self::Init(error)
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => error.fmt(f),
            Self::Init(error) => error.fmt(f),
        }
    }
}

impl Error for MapError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::System(error) => Some(error),
            Self::Init(error) => Some(error),
        }
    }
}
