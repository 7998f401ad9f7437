//! The calling thread's cache of a process's heap: made at its first request, given back at its end.
//!
//! It lies in thread-local storage that is reached without a call: the *initial-exec* model, by inline assembly, as stable Rust has
//! none without `std`. (`__tls_get_addr`, which other models call, may allocate.) So a library with it has to be loaded when the
//! program begins, or find room in what the loader keeps for such; `LD_PRELOAD` and linking do. On targets other than x86-64 and
//! AArch64 no thread has a cache, and the heap serves all.
//!
//! A signal handler that interrupts its thread in the cache finds it busy, and the heap serves the handler.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering, compiler_fence};

use slabfit::{Cache, CacheError, General, Reentered};

use crate::futex::FutexLock;
use crate::heap::ProcessHeap;

/// A thread's cache of a process's heap.
pub type ThreadCache = Cache<'static, 'static, FutexLock>;

/// The heap of which the cache is, while nobody uses it; or one of these.
type State = *mut ProcessHeap<General>;

/// What the thread has not asked for yet: the storage of a thread that begins is zeros.
const NEW: State = ptr::null_mut();
/// In use, by this thread, or by the code that a handler of its interrupted; or being made.
const BUSY: State = ptr::without_provenance_mut(1);
/// The thread has no cache and will not get one.
const NONE: State = ptr::without_provenance_mut(2);

/// Frees of a thread's cache for one look at what can go back to the kernel, and for one step while pages go back.
const FREES: u32 = 64;
const FREES_MEANWHILE: u32 = 8;

/// What a thread has.
///
/// Invariants: `cache` is there iff `state` is a heap, of which it is one, or [`BUSY`] by [`with_cache`](ProcessHeap::with_cache). Both
/// are reached by this thread alone, and its handlers.
#[repr(C, align(64))]
struct Own {
    state: AtomicPtr<ProcessHeap<General>>,
    /// Frees by [`free_slot`](ProcessHeap::free_slot) until it is time to look at what can go back to the kernel.
    until_look: AtomicU32,
    cache: UnsafeCell<MaybeUninit<ThreadCache>>,
}

impl Own {
    /// # Safety
    /// There is a cache, and it is not dropped while the reference lives.
    #[inline(always)]
    unsafe fn cache(&self) -> &ThreadCache {
        let place = self.cache.get().cast::<ThreadCache>();
        // SAFETY: valid and initialised: as the caller promises; shared: it is changed when it is made and dropped, and at no other time.
        unsafe { &*place }
    }
}

// A symbol of so many zero bytes in each thread's storage.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
core::arch::global_asm!(
    ".pushsection .tbss.slabfit_linux_own,\"awT\",@nobits",
    ".globl slabfit_linux_own",
    ".hidden slabfit_linux_own",
    ".type slabfit_linux_own, @object",
    ".size slabfit_linux_own, {size}",
    ".p2align 6",
    "slabfit_linux_own:",
    ".zero {size}",
    ".popsection",
    size = const size_of::<Own>(),
);

/// Where the calling thread's storage is.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn own() -> Option<ptr::NonNull<Own>> {
    let place: *mut Own;
    // SAFETY: the symbol's offset from the thread pointer, which the ELF ABI keeps at fs:0; flags apart it changes nothing.
    unsafe {
        core::arch::asm!(
            "mov {place}, qword ptr [rip + slabfit_linux_own@GOTTPOFF]",
            "add {place}, qword ptr fs:[0]",
            place = out(reg) place,
            options(pure, nomem, nostack),
        );
    }
    // SAFETY: not null: the storage is an object.
    Some(unsafe { ptr::NonNull::new_unchecked(place) })
}

/// Where the calling thread's storage is.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn own() -> Option<ptr::NonNull<Own>> {
    let place: *mut Own;
    // SAFETY: the symbol's offset from the thread pointer, which the ELF ABI keeps in tpidr_el0; it changes nothing.
    unsafe {
        core::arch::asm!(
            "mrs {thread}, tpidr_el0",
            "adrp {place}, :gottprel:slabfit_linux_own",
            "ldr {place}, [{place}, :gottprel_lo12:slabfit_linux_own]",
            "add {place}, {place}, {thread}",
            thread = out(reg) _,
            place = out(reg) place,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    // SAFETY: not null: the storage is an object.
    Some(unsafe { ptr::NonNull::new_unchecked(place) })
}

/// No storage is known.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn own() -> Option<ptr::NonNull<Own>> {
    None
}

impl ProcessHeap<General> {
    /// Calls `call` with the calling thread's cache, and makes that first if the thread has none yet. `None`, and nothing was called, where
    /// it can have none: the heap was made without caches ([`Config::caches`](slabfit::Config::caches)) or all are in use, the thread is
    /// at its end, or a handler has interrupted it in here. The heap itself serves then.
    ///
    /// `at_end` is called before a thread's first cache is made. It sees to it that [`end_thread`](Self::end_thread) is called at the end of
    /// the thread, and returns whether it could. It may allocate.
    pub fn with_cache<R>(&'static self, at_end: fn() -> bool, call: impl FnOnce(&ThreadCache) -> R) -> Option<R> {
        // SAFETY: this thread's storage, as long as the thread lives; shared with its handlers, by the terms of `Own`.
        let own = unsafe { own()?.as_ref() };
        if own.state.load(Ordering::Relaxed) != ptr::from_ref(self).cast_mut() {
            self.make_cache(own, at_end)?;
        }
        self.with_ready_cache(call)
    }

    /// Calls `call` with the calling thread's cache, as [`with_cache`](Self::with_cache) does, but makes none: `None` for a thread
    /// that has no cache yet.
    #[inline(always)]
    pub fn with_ready_cache<R>(&'static self, call: impl FnOnce(&ThreadCache) -> R) -> Option<R> {
        // SAFETY: as in `with_cache`.
        let own = unsafe { own()?.as_ref() };
        let heap = ptr::from_ref(self).cast_mut();
        if own.state.load(Ordering::Relaxed) != heap {
            return None;
        }
        own.state.store(BUSY, Ordering::Relaxed);
        // A handler sees what the thread has done, in this order.
        compiler_fence(Ordering::SeqCst);
        // SAFETY: there is one, as the state was a heap; nobody drops it while the state is BUSY.
        let answer = call(unsafe { own.cache() });
        compiler_fence(Ordering::SeqCst);
        own.state.store(heap, Ordering::Relaxed);
        Some(answer)
    }

    /// Frees the object at `ptr`, if the calling thread has a cache and the object is a live slot of one, its own or another thread's: see
    /// [`Cache::free_slot`]. Returns whether [`trim_after_small_frees`](Self::trim_after_small_frees) is to be called: memory went back to
    /// the heap, or this is the 64th such free of the thread, or the 8th while pages go back.
    ///
    /// # Safety
    /// As for [`Cache::free`].
    #[inline(always)]
    pub unsafe fn free_slot(&'static self, ptr: *mut u8) -> Option<bool> {
        // SAFETY: as in `with_cache`.
        let own = unsafe { own()?.as_ref() };
        // SAFETY: as the caller promises.
        let went_back = self.with_ready_cache(|cache| unsafe { cache.free_slot(ptr) })??;
        let until_look = own.until_look.load(Ordering::Relaxed).saturating_sub(1);
        own.until_look.store(until_look, Ordering::Relaxed);
        Some(went_back || until_look == 0)
    }

    /// Gives pages back as [`trim_after_free_with`](Self::trim_after_free_with) does: to be called when [`free_slot`](Self::free_slot) says
    /// so. It does a step.
    pub fn trim_after_small_frees(&'static self, empty: impl FnOnce()) {
        let goes_on = self.trim_after_some_frees(empty);
        // SAFETY: as in `with_cache`.
        if let Some(own) = own().map(|own| unsafe { own.as_ref() }) {
            own.until_look.store(if goes_on { FREES_MEANWHILE } else { FREES }, Ordering::Relaxed);
        }
    }

    /// Makes the calling thread's cache if the thread has not asked for one yet, as [`with_cache`](Self::with_cache) does. Returns whether
    /// this call has made it.
    pub fn begin_thread(&'static self, at_end: fn() -> bool) -> bool {
        // SAFETY: as in `with_cache`.
        let Some(own) = own().map(|own| unsafe { own.as_ref() }) else { return false };
        own.state.load(Ordering::Relaxed) == NEW && self.make_cache(own, at_end).is_some()
    }

    /// Makes the thread's cache, at its first request.
    #[cold]
    #[inline(never)]
    fn make_cache(&'static self, own: &Own, at_end: fn() -> bool) -> Option<()> {
        // In one step: a handler that comes between two makes a cache itself, and another one would take its place.
        own.state.compare_exchange(NEW, BUSY, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        compiler_fence(Ordering::SeqCst);
        let state = match at_end().then(|| self.cache()) {
            Some(Ok(cache)) => {
                // SAFETY: valid for writes: nobody else is here while the state is BUSY; none was there, as it was NEW.
                unsafe { own.cache.get().write(MaybeUninit::new(cache)) };
                ptr::from_ref(self).cast_mut()
            }
            // The thread asks again when it is not in the heap, and there is one.
            Some(Err(CacheError::Reentered | CacheError::NotInitialised)) => NEW,
            _ => NONE,
        };
        compiler_fence(Ordering::SeqCst);
        own.state.store(state, Ordering::Relaxed);
        (state == ptr::from_ref(self).cast_mut()).then_some(())
    }

    /// Gives the calling thread's cache back: the heap serves what the thread still asks for.
    pub fn end_thread(&'static self) {
        // SAFETY: as in `with_cache`.
        let Some(own) = own().map(|own| unsafe { own.as_ref() }) else { return };
        // In one step, as in `make_cache`.
        let state = own.state.swap(NONE, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        if state == ptr::from_ref(self).cast_mut() {
            // SAFETY: there is one, as the state was a heap; it is not used again, as the state is NONE.
            unsafe { own.cache.get().cast::<ThreadCache>().drop_in_place() };
        } else if state != NEW {
            // Another heap's is left. So is one in use: a thread that ends in the midst of a call, by its handler, leaves its cache as
            // one whose owner is gone.
            own.state.store(state, Ordering::Relaxed);
        }
    }

    /// Takes back the caches of the threads that a forked child does not have: to be called there after
    /// [`let_go_after_fork`](Self::let_go_after_fork), before it has a second thread.
    ///
    /// # Errors
    /// [`Reentered`] if the fork was made inside the heap, or the cache: then what lies in these caches stays there.
    ///
    /// # Safety
    /// The process is a child that was just forked, and has one thread.
    pub unsafe fn recover_after_fork(&'static self) -> Result<(), Reentered> {
        // SAFETY: as in `with_cache`.
        let own = own().map(|own| unsafe { own.as_ref() });
        let state = own.map_or(NEW, |own| own.state.load(Ordering::Relaxed));
        if state == BUSY {
            return Err(Reentered);
        }
        let is_own = state == ptr::from_ref(self).cast_mut();
        // SAFETY: there is one, as the state is a heap.
        let kept = own.filter(|_| is_own).map(|own| unsafe { own.cache() });
        // SAFETY: the other threads, whose caches these were, are not in this process; this one is in no call.
        unsafe { self.recover_caches(kept) }
    }
}
