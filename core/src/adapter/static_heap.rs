//! A heap for a `static` that needs no call before its first use.
//!
//! Two statics: the array, which is all zeros (`.bss`) and holds the heap's state beside the bytes; and a handle that never
//! changes (`.rodata`), which says what the heap is to be like. In one static the configuration, which is not zero, would put
//! the whole array into the program file.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::{self, MaybeUninit};
use core::ops::Deref;
use core::ptr::NonNull;

use static_assertions::const_assert_eq;

use crate::error::{AllocError, InitError, ReallocError};
use crate::hooks::Hooks;
use crate::layout::{Config, MIN_REGION};
use crate::lock::{Locked, NoLock, RawLock};
use crate::memory::{ALIGNMENT, Memory};
use crate::policy::{NextFit, Policy};
use crate::segments::{DefaultLock, Heap};

/// `N` bytes for a `static` and the state of the heap that will have them: no `static mut`, no `unsafe`.
///
/// The bytes are lent once, for ever: to the heap of a [`StaticHeap`], or to the first caller of [`take`](Self::take). All of it is
/// zeros at first, which start-up code must see to, and costs nothing in the program file. For a section that is not zeroed (NOLOAD,
/// CCM, external RAM) use a [`RegionArray`](crate::RegionArray), and give it to a [`Heap::empty`].
///
/// The compiler takes some 40 ms and 4 MB for every MiB: where there is an operating system, have it map hundreds of them.
pub struct StaticArray<const N: usize, L: RawLock + 'static = DefaultLock, P: Policy = NextFit>(
    Lendable<L, P, [MaybeUninit<u8>; N]>,
);

/// A heap, its bytes, and whether they were lent.
///
/// Invariants: while `lent` is false nobody has a reference to the bytes, but for the holder of its lock; and they are zeros.
#[repr(C)]
struct Lendable<L: RawLock + 'static, P: Policy, B: ?Sized> {
    heap: Heap<'static, L, P>,
    lent: Locked<L, bool>,
    bytes: Aligned<B>,
}

/// Bytes from a cache line on, where the bookkeeping wants to begin.
#[repr(C, align(64))]
struct Aligned<B: ?Sized>(UnsafeCell<B>);

const_assert_eq!(mem::offset_of!(Lendable<NoLock, NextFit, [MaybeUninit<u8>; 1]>, bytes) % ALIGNMENT, 0);
const_assert_eq!(align_of::<Lendable<NoLock, NextFit, [MaybeUninit<u8>; 1]>>() % ALIGNMENT, 0);

// SAFETY: the bytes are reached by the one who finds `lent` false under its lock, so they are as if sent to that thread, which
// `B: Send` allows; `heap` and `lent` are Sync where L is.
unsafe impl<L: RawLock + Sync, P: Policy, B: ?Sized + Send> Sync for Lendable<L, P, B> {}

impl<L: RawLock, P: Policy> Lendable<L, P, [MaybeUninit<u8>]> {
    /// Borrows the bytes, if nobody has them; `lent` is the flag, whose lock is held.
    #[expect(clippy::mut_from_ref, reason = "the first caller gets it, and no other")]
    fn bytes(&'static self, lent: bool) -> Option<&'static mut [MaybeUninit<u8>]> {
        // SAFETY: exclusive: `lent` is false and its lock held; for ever: the caller sets it if it keeps them.
        (!lent).then(|| unsafe { &mut *self.bytes.0.get() })
    }
}

impl<const N: usize, L: RawLock, P: Policy> StaticArray<N, L, P> {
    /// Makes an array of `N` zero bytes that nobody has yet.
    pub const fn new() -> Self {
        let bytes = Aligned(UnsafeCell::new([MaybeUninit::zeroed(); N]));
        Self(Lendable { heap: Heap::empty(), lent: Locked::new(false), bytes })
    }

    /// Takes the bytes; `None` if they were lent before, or if this thread was interrupted while it lent them.
    ///
    /// ```
    /// use slabfit::{Config, Heap, InitError, StaticArray};
    ///
    /// static ARRAY: StaticArray<4096> = StaticArray::new();
    ///
    /// let region = ARRAY.take().unwrap();
    /// let heap = Heap::new(region, Config::new(32))?;
    /// assert!(ARRAY.take().is_none());
    /// # Ok::<(), InitError>(())
    /// ```
    pub fn take(&'static self) -> Option<&'static mut [MaybeUninit<u8>]> {
        let array: &'static Lendable<L, P, [MaybeUninit<u8>]> = &self.0;
        let before = mem::replace(&mut *array.lent.lock().ok()?, true);
        array.bytes(before)
    }
}

impl<const N: usize, L: RawLock, P: Policy> Default for StaticArray<N, L, P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize, L: RawLock, P: Policy> fmt::Debug for StaticArray<N, L, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticArray").field("size", &N).finish_non_exhaustive()
    }
}

/// A heap over a [`StaticArray`], for a `static`, that takes its memory when it is first used.
///
/// It is a [`GlobalAlloc`](core::alloc::GlobalAlloc), and all that a [`Heap`] can do is reached by dereferencing. Of
/// threads that come first at the same time one sets it up, under the array's lock, and the others wait for it, so with
/// a lock that masks interrupts they are masked for as long, which is not long: the array is zeros already.
///
/// Another lock or policy is named in both types: `StaticArray<4096, L, P>` and `StaticHeap<L, P>`. The lock must be one that
/// threads can share: on targets without compare-and-swap (thumbv6m) that is `CriticalSectionLock` (feature
/// `critical-section`), as [`NoLock`] cannot be in a `static`.
///
/// Two handles of one array are one heap, made as the first of them to be used says.
///
/// If no heap can be made, every request fails; [`set_up`](Self::set_up) says why.
///
/// For a program's allocator name [`General`](crate::General) where the array has 64 KiB or more, and
/// [`FirstFit`](crate::FirstFit) where it has less:
///
/// ```
/// use slabfit::{Config, DefaultLock, General, StaticArray, StaticHeap};
///
/// static ARRAY: StaticArray<{ 4 << 20 }, DefaultLock, General> = StaticArray::new();
///
/// #[global_allocator]
/// static HEAP: StaticHeap<DefaultLock, General> = StaticHeap::new(&ARRAY, Config::without_slab());
///
/// fn main() {
///     let words: Vec<String> = "out of the array".split(' ').map(String::from).collect();
///     assert!(HEAP.owns(words.as_ptr().cast()));
///     assert_eq!(HEAP.check(), Ok(()));
/// }
/// ```
pub struct StaticHeap<L: RawLock + 'static = DefaultLock, P: Policy = NextFit> {
    array: &'static Lendable<L, P, [MaybeUninit<u8>]>,
    config: Config,
}

impl<L: RawLock + 'static, P: Policy> StaticHeap<L, P> {
    /// Makes a heap that will have the array. In a `static`, an array too small for any heap does not compile, nor does a
    /// configuration that no heap can have:
    ///
    /// ```compile_fail,E0080
    /// # use slabfit::{Config, StaticArray, StaticHeap};
    /// static ARRAY: StaticArray<{ slabfit::MIN_REGION - 1 }> = StaticArray::new();
    /// static HEAP: StaticHeap = StaticHeap::new(&ARRAY, Config::new(64));
    /// ```
    /// ```compile_fail,E0080
    /// # use slabfit::{Config, StaticArray, StaticHeap};
    /// static ARRAY: StaticArray<4096> = StaticArray::new();
    /// static HEAP: StaticHeap = StaticHeap::new(&ARRAY, Config::new(0));
    /// ```
    ///
    /// # Panics
    /// Where it is called at run time with a configuration that no heap can have.
    pub const fn new<const N: usize>(array: &'static StaticArray<N, L, P>, config: Config) -> Self {
        const { assert!(N >= MIN_REGION, "an array of fewer than MIN_REGION bytes") };
        assert!(config.is_valid(), "a slab segment of slots of 0 bytes");
        Self { array: &array.0, config }
    }

    /// Takes the memory now, if that was not done yet. The first use does so too: call this to do it early, or to learn why
    /// every request fails.
    ///
    /// # Errors
    /// What is wrong with the array. An array whose bytes were taken counts as one of 0 bytes.
    #[cold]
    pub fn set_up(&self) -> Result<(), InitError> {
        let mut lent = self.array.lent.lock()?;
        if self.array.heap.size() > 0 {
            return Ok(());
        }
        let bytes = self.array.bytes(*lent).unwrap_or_default();
        // SAFETY: zeros: `lent` is false, or there are none.
        let memory = unsafe { Memory::from(bytes).assume_zeroed() };
        let done = self.array.heap.init(memory, self.config);
        *lent |= done.is_ok();
        done
    }

    /// Allocates `size` bytes, as [`Heap::alloc`] does.
    ///
    /// # Errors
    /// As [`Heap::alloc`].
    #[inline]
    pub fn alloc(&self, size: usize) -> Result<NonNull<u8>, AllocError> {
        (**self).alloc(size)
    }

    /// Allocates `size` zero bytes, as [`Heap::alloc_zeroed`] does.
    ///
    /// # Errors
    /// As [`Heap::alloc`].
    #[inline]
    pub fn alloc_zeroed(&self, size: usize) -> Result<NonNull<u8>, AllocError> {
        (**self).alloc_zeroed(size)
    }

    /// Changes the size of the object at `ptr`, as [`Heap::realloc`] does.
    ///
    /// # Errors
    /// As [`Heap::realloc`].
    ///
    /// # Safety
    /// As for [`Heap::realloc`].
    #[inline]
    pub unsafe fn realloc(&self, ptr: *mut u8, size: usize) -> Result<NonNull<u8>, ReallocError> {
        // SAFETY: as the caller promises.
        unsafe { (**self).realloc(ptr, size) }
    }

    /// Returns what the heap is to call.
    pub(super) fn hooks(&self) -> Option<&'static Hooks> {
        self.config.hooks
    }

    /// Returns the heap as it is, for calls that make no sense before the first request.
    pub(super) fn as_is(&self) -> &Heap<'static, L, P> {
        &self.array.heap
    }
}

impl<L: RawLock + 'static, P: Policy> Deref for StaticHeap<L, P> {
    type Target = Heap<'static, L, P>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        if self.array.heap.size() == 0 {
            // Where this fails the heap stays empty, and says so of every request.
            let _ = self.set_up();
        }
        &self.array.heap
    }
}

impl<L: RawLock + 'static, P: Policy> fmt::Debug for StaticHeap<L, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticHeap").field("heap", self.as_is()).field("config", &self.config).finish_non_exhaustive()
    }
}
