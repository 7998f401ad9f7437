//! slabfit, as a Rust program uses it.

use crate::rows::start_up;
use crate::subject::{ALIGN, FirstUse, Kind, Setup, Subject, bookkeeping_of};
use slabfit::{Cache, Config, FirstFit, General, Heap, Memory, NextFit, Policy, RawLock, SpinLock};
use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::process::abort;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A heap under lock `L` and policy `P`.
pub struct Slabfit<L: RawLock, P: Named>(Heap<'static, L, P>);

/// A policy that has a column.
pub trait Named: Policy {
    /// The column's title.
    const NAME: &'static str;

    /// Whether it is given what a peer is given: one piece that holds the bookkeeping too, and no slab. Small objects
    /// then lie in the runs of their classes.
    const IN_ONE_PIECE: bool = false;

    /// The configuration where a heap with a slab has slots of `slab_size`.
    fn config(slab_size: usize) -> Config {
        if Self::IN_ONE_PIECE { Config::without_slab() } else { Config::new(slab_size) }
    }
}

impl Named for General {
    const NAME: &'static str = "slabfit general";
    const IN_ONE_PIECE: bool = true;
}

impl Named for NextFit {
    const NAME: &'static str = "slabfit next fit";
}

impl Named for FirstFit {
    const NAME: &'static str = "slabfit first fit";
}

impl<L: RawLock + Send + Sync + 'static, P: Named> Subject for Slabfit<L, P> {
    const NAME: &'static str = P::NAME;
    const KIND: Kind = Kind::Ours;
    const IN_ONE_PIECE: bool = P::IN_ONE_PIECE;
    /// No slot is aligned beyond its size's largest power of two, and the least has 16 bytes: at 32 it is a block of 32.
    const GAP_ALIGN: usize = if P::IN_ONE_PIECE { 32 } else { ALIGN };
    const FIRST_USE: Option<FirstUse> = Some(start_up::use_once::<P>);

    unsafe fn over(setup: &Setup<'_>) -> Box<Self> {
        let memory = if Self::IN_ONE_PIECE { one_piece } else { two_pieces::<P> };
        // SAFETY: the region is this subject's, so the caller says.
        let memory = unsafe { memory(setup) };
        // SAFETY: a fresh region is all zero.
        let memory = if setup.fresh { unsafe { memory.assume_zeroed() } } else { memory };
        let heap = Box::new(Self(Heap::empty()));
        let started = heap.0.init(memory, P::config(setup.slab_size));
        assert!(started.is_ok(), "{} refused {setup:?}: {started:?}", P::NAME);
        heap
    }

    #[inline(always)]
    fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.alloc_layout(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, _: Layout) {
        // SAFETY: the caller's promise, passed on.
        if unsafe { self.0.free(ptr) }.is_err() {
            abort(); // no row frees wrongly
        }
    }

    #[inline(always)]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        let new = unsafe { self.0.realloc_layout(ptr, layout, size) };
        new.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

/// General with a cache for each thread.
pub struct Cached {
    heap: Heap<'static, SpinLock, General>,
    /// Another for each subject: a thread keeps the cache of the last one.
    id: usize,
}

type OwnCache = ManuallyDrop<Cache<'static, 'static, SpinLock>>;

thread_local! {
    /// This thread's cache, and of which subject it is. The thread's end does not drop it: the heap may be gone by then.
    static OWN: UnsafeCell<(usize, Option<OwnCache>)> = const { UnsafeCell::new((0, None)) };
}

impl Cached {
    /// Caches that can be had: more than any row has threads.
    const CACHES: usize = 32;

    #[inline(always)]
    fn own<R>(&self, call: impl FnOnce(&Cache<'static, 'static, SpinLock>) -> R) -> R {
        OWN.with(|own| {
            // SAFETY: exclusive: this thread's, and no call in here comes back to it.
            let own = unsafe { &mut *own.get() };
            if own.0 != self.id {
                self.renew(own);
            }
            match &own.1 {
                Some(cache) => call(cache),
                None => abort(),
            }
        })
    }

    #[cold]
    fn renew(&self, own: &mut (usize, Option<OwnCache>)) {
        // SAFETY: it outlives its use: a cache is used only while `id` is that of the subject whose heap this is.
        let heap: &'static Heap<'static, SpinLock, General> = unsafe { &*ptr::from_ref(&self.heap) };
        *own = (self.id, heap.cache().ok().map(ManuallyDrop::new));
    }
}

impl Subject for Cached {
    const NAME: &'static str = "slabfit cache";
    const KIND: Kind = Kind::Ours;
    const IN_ONE_PIECE: bool = true;
    const GAP_ALIGN: usize = Slabfit::<SpinLock, General>::GAP_ALIGN;

    unsafe fn over(setup: &Setup<'_>) -> Box<Self> {
        static IDS: AtomicUsize = AtomicUsize::new(1);
        // SAFETY: the region is this subject's, so the caller says.
        let memory = unsafe { one_piece(setup) };
        // SAFETY: a fresh region is all zero.
        let memory = if setup.fresh { unsafe { memory.assume_zeroed() } } else { memory };
        let cached = Box::new(Self { heap: Heap::empty(), id: IDS.fetch_add(1, Ordering::Relaxed) });
        let started = cached.heap.init(memory, Config::without_slab().caches(Self::CACHES));
        assert!(started.is_ok(), "slabfit cache refused {setup:?}: {started:?}");
        cached
    }

    fn leave(&self) {
        OWN.with(|own| {
            // SAFETY: exclusive, as in `own`.
            let own = unsafe { &mut *own.get() };
            if own.0 == self.id {
                own.0 = 0;
                drop(own.1.take().map(ManuallyDrop::into_inner));
            }
        });
    }

    #[inline(always)]
    fn alloc(&self, layout: Layout) -> *mut u8 {
        self.own(|cache| cache.alloc_layout(layout).map_or(ptr::null_mut(), NonNull::as_ptr))
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, _: Layout) {
        // SAFETY: the caller's promise, passed on.
        if self.own(|cache| unsafe { cache.free(ptr) }).is_err() {
            abort(); // no row frees wrongly
        }
    }

    #[inline(always)]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        let new = self.own(|cache| unsafe { cache.realloc_layout(ptr, layout, size) });
        new.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

/// The memory that a peer is given.
///
/// # Safety
/// Nobody else uses the region.
unsafe fn one_piece(setup: &Setup<'_>) -> Memory<'static> {
    // SAFETY: the region holds a peer's bytes, and outlives the subject.
    unsafe { Memory::from_raw(setup.region.base(), setup.peer) }
}

/// A heap of exactly the setup's size, and the bookkeeping before it.
///
/// # Safety
/// As for [`one_piece`].
unsafe fn two_pieces<P: Policy>(setup: &Setup<'_>) -> Memory<'static> {
    let (map, size) = (setup.region.base(), setup.heap);
    let map_size = bookkeeping_of::<P>(size, setup.slab_size);
    // SAFETY: the region holds the bookkeeping and the heap.
    let base = unsafe { map.add(map_size) };
    // SAFETY: two disjoint pieces of the region that outlive the subject.
    unsafe { Memory::from_raw_parts(base, size, map, map_size) }
}
