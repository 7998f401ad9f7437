//! The heap of the process, of the policy that the settings name, and what becomes of wrong frees.
#![allow(unsafe_code)]

use core::alloc::Layout;
use core::ffi::c_void;
use core::fmt::{Display, Write};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use slabfit::{
    AllocError, Config, Damage, FirstFit, General, Hardened, Hooks, InvalidFree, NextFit, ReallocError, Reason,
    Reentered, Segment, Stats, Trap,
};
use slabfit_linux::picture::{self, PictureError};
use slabfit_linux::{MapError, Output, Placement, ProcessHeap, ThreadCache, is_orphan};

use crate::libc;

/// Without memory until the first request: see `start`.
pub(crate) static HEAP: ChosenHeap = ChosenHeap {
    policy: AtomicU8::new(GENERAL),
    general: ProcessHeap::empty(),
    first_fit: ProcessHeap::empty(),
    next_fit: ProcessHeap::empty(),
    hardened_general: ProcessHeap::empty(),
    hardened_first_fit: ProcessHeap::empty(),
};

/// A heap of every policy, of which one ever gets memory. Another one is a field here, a number below, and an arm in
/// [`with_heap`].
pub(crate) struct ChosenHeap {
    /// Which it is. Set before that one gets its memory.
    policy: AtomicU8,
    general: ProcessHeap<General>,
    first_fit: ProcessHeap<FirstFit>,
    next_fit: ProcessHeap<NextFit>,
    hardened_general: ProcessHeap<Hardened<General>>,
    hardened_first_fit: ProcessHeap<Hardened<FirstFit>>,
}

const GENERAL: u8 = 0;
const FIRST_FIT: u8 = 1;
const NEXT_FIT: u8 = 2;
/// The hardened ones, and no other, from here on.
const HARDENED_GENERAL: u8 = 3;
const HARDENED_FIRST_FIT: u8 = 4;

/// Evaluates `$work` with `$heap` standing for the heap that was chosen: one load and a branch or two, always the same way.
macro_rules! with_heap {
    ($chosen:expr, $heap:ident => $work:expr) => {
        match $chosen.policy.load(Ordering::Relaxed) {
            HARDENED_GENERAL => {
                let $heap = &$chosen.hardened_general;
                $work
            }
            HARDENED_FIRST_FIT => {
                let $heap = &$chosen.hardened_first_fit;
                $work
            }
            NEXT_FIT => {
                let $heap = &$chosen.next_fit;
                $work
            }
            FIRST_FIT => {
                let $heap = &$chosen.first_fit;
                $work
            }
            _ => {
                let $heap = &$chosen.general;
                $work
            }
        }
    };
}

impl ChosenHeap {
    /// Gives the heap of a policy its memory.
    ///
    /// # Errors
    /// As [`ProcessHeap::init`].
    pub(crate) fn init(&self, size: usize, config: Config, placement: Placement) -> Result<(), MapError> {
        let number = match placement {
            Placement::General => GENERAL,
            Placement::FirstFit => FIRST_FIT,
            Placement::NextFit => NEXT_FIT,
        };
        self.policy.store(number, Ordering::Relaxed);
        with_heap!(self, heap => heap.init(size, config)).map(|_| ())
    }

    /// Gives the heap of a hardened policy its memory.
    ///
    /// # Errors
    /// As [`ProcessHeap::init`].
    pub(crate) fn init_hardened(&self, size: usize, config: Config, placement: Placement) -> Result<(), MapError> {
        // Next fit cannot be hardened: the settings refuse it.
        let is_general = placement == Placement::General;
        self.policy.store(if is_general { HARDENED_GENERAL } else { HARDENED_FIRST_FIT }, Ordering::Relaxed);
        with_heap!(self, heap => heap.init(size, config.hooks(&HOOKS))).map(|_| ())
    }

    #[inline]
    pub(crate) fn is_hardened(&self) -> bool {
        self.policy.load(Ordering::Relaxed) >= HARDENED_GENERAL
    }

    /// The heap of the hardened policy with size classes, if that was chosen: for calls that nearly all come to it.
    #[inline(always)]
    pub(crate) fn hardened(&self) -> Option<&ProcessHeap<Hardened<General>>> {
        (self.policy.load(Ordering::Relaxed) == HARDENED_GENERAL).then_some(&self.hardened_general)
    }

    pub(crate) fn placement(&self) -> Placement {
        match self.policy.load(Ordering::Relaxed) {
            NEXT_FIT => Placement::NextFit,
            FIRST_FIT | HARDENED_FIRST_FIT => Placement::FirstFit,
            _ => Placement::General,
        }
    }

    /// Calls `call` with the calling thread's cache, if it can have one. Only the heap with size classes has caches.
    #[inline]
    fn with_cache<R>(&'static self, call: impl FnOnce(&ThreadCache) -> R) -> Option<R> {
        if self.policy.load(Ordering::Relaxed) != GENERAL {
            return None;
        }
        self.general.with_cache(at_end_of_thread, call)
    }

    /// Allocates `size` bytes, if the calling thread has a slot for them at hand.
    #[inline(always)]
    pub(crate) fn alloc_slot(&'static self, size: usize) -> Option<NonNull<u8>> {
        self.general.with_ready_cache(|cache| cache.alloc_slot(size))?
    }

    #[inline]
    pub(crate) fn alloc(&'static self, size: usize) -> Result<NonNull<u8>, AllocError> {
        match self.with_cache(|cache| cache.alloc(size)) {
            Some(answer) => answer,
            None => with_heap!(self, heap => heap.alloc(size)),
        }
    }

    pub(crate) fn alloc_layout(&'static self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        match self.with_cache(|cache| cache.alloc_layout(layout)) {
            Some(answer) => answer,
            None => with_heap!(self, heap => heap.alloc_layout(layout)),
        }
    }

    pub(crate) fn alloc_layout_zeroed(&'static self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        match self.with_cache(|cache| cache.alloc_layout_zeroed(layout)) {
            Some(answer) => answer,
            None => with_heap!(self, heap => heap.alloc_layout_zeroed(layout)),
        }
    }

    /// # Safety
    /// As for [`slabfit::Heap::realloc`].
    #[inline]
    pub(crate) unsafe fn realloc(&'static self, ptr: *mut u8, size: usize) -> Result<NonNull<u8>, ReallocError> {
        // SAFETY: as the caller promises.
        match self.with_cache(|cache| unsafe { cache.realloc(ptr, size) }) {
            Some(answer) => answer,
            // SAFETY: as the caller promises.
            None => with_heap!(self, heap => unsafe { heap.realloc(ptr, size) }),
        }
    }

    /// See [`ProcessHeap::free_slot`].
    ///
    /// # Safety
    /// As for [`slabfit::Heap::free`].
    #[inline(always)]
    pub(crate) unsafe fn free_slot(&'static self, ptr: *mut u8) -> Option<bool> {
        // SAFETY: as the caller promises.
        unsafe { self.general.free_slot(ptr) }
    }

    /// See [`ProcessHeap::recover_after_fork`].
    ///
    /// # Safety
    /// As there.
    pub(crate) unsafe fn recover_after_fork(&'static self) {
        if self.policy.load(Ordering::Relaxed) == GENERAL {
            // In the midst of a call of the heap, what lies in the other threads' caches stays there.
            // SAFETY: as the caller promises.
            let _ = unsafe { self.general.recover_after_fork() };
        }
    }

    /// See [`slabfit::Heap::free_measured`].
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub(crate) unsafe fn free(&'static self, ptr: *mut u8) -> Result<usize, InvalidFree> {
        // A thread that frees what others allocate gets a cache too, so that it waits for none of them.
        let is_general = self.policy.load(Ordering::Relaxed) == GENERAL;
        if is_general && self.general.begin_thread(at_end_of_thread) {
            // SAFETY: as the caller promises.
            if unsafe { self.free_slot(ptr) }.is_some() {
                return Ok(0);
            }
        }
        // SAFETY: as the caller promises.
        with_heap!(self, heap => unsafe { heap.free_measured(ptr) })
    }

    /// See [`slabfit::Heap::free_sized`].
    ///
    /// # Safety
    /// As there.
    pub(crate) unsafe fn free_sized(&'static self, ptr: *mut u8, layout: Layout) -> Result<(), InvalidFree> {
        // SAFETY: as the caller promises.
        with_heap!(self, heap => unsafe { heap.free_sized(ptr, layout) })
    }

    /// See [`ProcessHeap::trim_after_free_with`].
    #[inline]
    pub(crate) fn trim_after_free(&self, ptr: *const u8, length: usize, empty: impl FnOnce()) {
        with_heap!(self, heap => heap.trim_after_free_with(ptr, length, empty));
    }

    /// See [`ProcessHeap::length`]. 0 in a hardened heap, whose headers do not tell what was asked for.
    #[inline]
    pub(crate) fn length(&self, ptr: *const u8) -> usize {
        if self.is_hardened() {
            return 0;
        }
        with_heap!(self, heap => heap.length(ptr))
    }

    /// See [`ProcessHeap::trim_with`].
    pub(crate) fn trim(&self, empty: impl FnOnce()) -> usize {
        with_heap!(self, heap => heap.trim_with(empty))
    }

    /// See [`ProcessHeap::trim_after_small_frees`].
    #[cold]
    pub(crate) fn trim_after_small_frees(&'static self, empty: impl FnOnce()) {
        self.general.trim_after_small_frees(empty);
    }

    /// Empties the heap's magazines, and what the calling thread has at hand. What other threads have stays theirs.
    pub(crate) fn empty_magazines(&'static self) -> Result<(), Reentered> {
        if self.policy.load(Ordering::Relaxed) == GENERAL {
            self.general.with_ready_cache(ThreadCache::empty).unwrap_or(Ok(()))?;
        }
        with_heap!(self, heap => heap.empty_magazines())
    }

    /// Returns the size of the slot at `ptr`, if the calling thread has a cache and it is a live slot of one.
    #[inline(always)]
    pub(crate) fn slot_size(&'static self, ptr: *const u8) -> Option<usize> {
        self.general.with_ready_cache(|cache| cache.slot_size(ptr))?
    }

    pub(crate) fn usable_size(&self, ptr: *const u8) -> Result<usize, InvalidFree> {
        with_heap!(self, heap => heap.usable_size(ptr))
    }

    /// Whether an address lies in the slab.
    pub(crate) fn is_in_slab(&self, ptr: *const u8) -> bool {
        with_heap!(self, heap => heap.segment(Segment::Slab)).contains(&ptr.addr())
    }

    /// Whether a size class has slots of so many bytes.
    pub(crate) fn has_class(&self, bytes: usize) -> bool {
        self.stats().is_ok_and(|stats| stats.classes.iter().any(|class| class.slot_size == bytes))
    }

    /// See [`slabfit::Heap::trap`].
    pub(crate) fn trap(&self, address: usize) -> Option<Trap> {
        with_heap!(self, heap => heap.trap(address))
    }

    pub(crate) fn owns(&self, ptr: *const u8) -> bool {
        with_heap!(self, heap => heap.owns(ptr))
    }

    pub(crate) fn base(&self) -> Option<NonNull<u8>> {
        with_heap!(self, heap => heap.base())
    }

    /// 0 before there is memory. What was stored before it got some is seen by who reads another number here.
    pub(crate) fn size(&self) -> usize {
        with_heap!(self, heap => heap.size())
    }

    pub(crate) fn slab_size(&self) -> usize {
        with_heap!(self, heap => heap.slab_size())
    }

    pub(crate) fn stats(&self) -> Result<Stats, Reentered> {
        with_heap!(self, heap => heap.stats())
    }

    /// Fails if this thread is inside the heap. Of the ways to ask, one that changes nothing.
    pub(crate) fn is_free_to_enter(&self) -> Result<(), Reentered> {
        with_heap!(self, heap => [Segment::Slab, Segment::Blocks].map(|segment| heap.segment_stats(segment)))
            .into_iter()
            .try_for_each(|figures| figures.map(|_| ()))
    }

    /// See [`ProcessHeap::hold_for_fork`].
    pub(crate) fn hold_for_fork(&'static self) {
        with_heap!(self, heap => heap.hold_for_fork());
    }

    /// See [`ProcessHeap::let_go_after_fork`].
    ///
    /// # Safety
    /// As there.
    pub(crate) unsafe fn let_go_after_fork(&'static self) {
        // SAFETY: as the caller promises.
        with_heap!(self, heap => unsafe { heap.let_go_after_fork() });
    }

    pub(crate) fn draw(
        &self,
        title: &dyn Display,
        note: &dyn Display,
        out: &mut impl Write,
    ) -> Result<(), PictureError> {
        with_heap!(self, heap => picture::draw(heap, title, note, out))
    }
}

/// libc's key under which threads with a cache have a number, plus one; 0 before there is one.
static KEY: AtomicU32 = AtomicU32::new(0);

/// How often libc goes through what is to be called at a thread's end. Others may free objects there, so the cache goes last.
const ROUNDS: usize = 4;

/// Has the calling thread's cache given back at its end, and returns whether it will be.
fn at_end_of_thread() -> bool {
    let mut key = KEY.load(Ordering::Acquire);
    if key == 0 {
        let Some(new) = libc::new_key(end_thread) else { return false };
        // Of two threads that are the first, each has its own.
        key = new.wrapping_add(1);
        let _ = KEY.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire);
    }
    libc::set_key(key.wrapping_sub(1), 1)
}

extern "C" fn end_thread(round: *mut c_void) {
    let (key, round) = (KEY.load(Ordering::Acquire).wrapping_sub(1), round.addr());
    if round >= ROUNDS || !libc::set_key(key, round.wrapping_add(1)) {
        HEAP.general.end_thread();
    }
}

/// Whether a wrong free ends the process, and what a hardened heap finds. Set before the heap has memory.
pub(crate) static ABORT: AtomicBool = AtomicBool::new(false);

/// Says in one line that an object is none of so many bytes at such an alignment, as `function` was told.
#[cold]
pub(crate) fn refused_size(function: &str, address: usize, alignment: usize, size: usize, usable: usize) {
    let mut out = Output::stderr();
    let _ = write!(out, "slabfit: {function}({address:#x}): not an object of {size} bytes");
    let _ = if address % alignment.max(1) == 0 {
        let has = if HEAP.is_hardened() { "was asked for with" } else { "has room for" };
        writeln!(out, ", it {has} {usable}")
    } else {
        writeln!(out, " at a multiple of {alignment}")
    };
    drop(out);
    if ABORT.load(Ordering::Relaxed) {
        libc::abort();
    }
}

/// Says in one line what was wrong with an address that `function` was given.
#[cold]
pub(crate) fn refused(function: &str, wrong: InvalidFree) {
    // Nothing is known of the address, and what is lost to the child is not its fault.
    if wrong.reason == Reason::Reentered && is_orphan() {
        return;
    }
    // The hook has said more.
    if matches!(wrong.reason, Reason::WrittenPastEnd | Reason::WrittenBeforeStart) {
        return;
    }
    let _ = writeln!(Output::stderr(), "slabfit: {function}({:#x}): {}", wrong.address, wrong.reason);
    // An interrupted heap does not know the address to be wrong.
    if ABORT.load(Ordering::Relaxed) && wrong.reason != Reason::Reentered {
        libc::abort();
    }
}

/// What a hardened heap calls.
static HOOKS: Hooks = Hooks::new().damage(damaged);

/// Says in one line what the program has written although it is no live object's.
#[cold]
fn damaged(damage: Damage) {
    let _ = writeln!(Output::stderr(), "slabfit: {damage}");
    if ABORT.load(Ordering::Relaxed) {
        libc::abort();
    }
}
