//! A heap for a `static` that needs no call before its first use.
//!
//! The heap and its array are two statics. In one, the heap's own fields, which are not all zeros, would put the whole
//! array into the program file; apart, the array is zeros and takes no room there.

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::{self, MaybeUninit};
use core::ops::Deref;

use static_assertions::const_assert_eq;

use crate::error::InitError;
use crate::heap::{DefaultLock, Heap};
use crate::lock::{Locked, NoLock, RawLock};
use crate::region::{CACHE_LINE, Memory};
use crate::split::{Config, MIN_REGION};

/// `N` bytes for a `static`, from which one heap takes its memory: no `static mut`, no `unsafe`.
///
/// The bytes are lent once, for ever, to the first that asks: a [`StaticHeap`], or whoever calls [`take`](Self::take).
/// The lock is held while they change hands; it is the heap's.
///
/// The bytes begin as zeros and cost nothing in the program file. They cost the compiler some 40 ms and 4 MB for every
/// MiB, though: where there is an operating system, have it map hundreds of them.
pub struct StaticArray<const N: usize, L: RawLock = DefaultLock>(Lendable<L, [MaybeUninit<u8>; N]>);

/// Bytes, and whether somebody has them.
///
/// Invariants: while `lent` is false nobody has a reference to the bytes, but for who holds its lock; and they are zeros.
#[repr(C, align(64))]
struct Lendable<L, B: ?Sized> {
    lent: Locked<L, bool>,
    bytes: UnsafeCell<B>,
}

// The bytes begin at a cache line, as the bookkeeping likes it.
const_assert_eq!(mem::offset_of!(Lendable<NoLock, [MaybeUninit<u8>; 1]>, bytes) % CACHE_LINE, 0);
const_assert_eq!(align_of::<Lendable<NoLock, [MaybeUninit<u8>; 1]>>() % CACHE_LINE, 0);

// SAFETY: the bytes are reached by the one who finds `lent` false under its lock, so they are as if sent to that thread,
// which `B: Send` allows; `lent` is Sync where L is.
unsafe impl<L: Sync, B: ?Sized + Send> Sync for Lendable<L, B> {}

impl<const N: usize, L: RawLock> StaticArray<N, L> {
    /// `N` zero bytes that nobody has yet.
    pub const fn new() -> Self {
        Self(Lendable { lent: Locked::new(false), bytes: UnsafeCell::new([MaybeUninit::zeroed(); N]) })
    }

    /// The bytes, unless they were lent before (or this thread was interrupted while it lent them).
    ///
    /// ```
    /// use slabfit::{Config, Heap, InitError, StaticArray};
    ///
    /// static ARRAY: StaticArray<4096> = StaticArray::new();
    ///
    /// let region = ARRAY.take().unwrap();
    /// let heap: Heap = Heap::new(region, Config::new(32))?;
    /// assert!(ARRAY.take().is_none());
    /// # Ok::<(), InitError>(())
    /// ```
    #[expect(clippy::mut_from_ref, reason = "the first caller gets it, and no other")]
    pub fn take(&'static self) -> Option<&'static mut [MaybeUninit<u8>]> {
        let before = self.0.lent.with(|lent| mem::replace(lent, true));
        if before != Ok(false) {
            return None;
        }
        // SAFETY: exclusive, for ever: `lent` was false, so nobody had them, and from now on it is true.
        Some(unsafe { &mut *self.0.bytes.get() })
    }
}

impl<const N: usize, L: RawLock> Default for StaticArray<N, L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize, L: RawLock> fmt::Debug for StaticArray<N, L> {
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
/// Another lock is named in both types: `StaticArray<4096, L>` and `StaticHeap<L>`. Without one that threads can share the
/// statics do not compile.
///
/// If there is no heap to be made, every request fails; [`set_up`](Self::set_up) says why.
///
/// ```
/// use slabfit::{Config, StaticArray, StaticHeap};
///
/// static ARRAY: StaticArray<{ 4 << 20 }> = StaticArray::new();
///
/// #[global_allocator]
/// static HEAP: StaticHeap = StaticHeap::new(&ARRAY, Config::new(64));
///
/// fn main() {
///     let words: Vec<String> = "out of the array".split(' ').map(String::from).collect();
///     assert!(HEAP.owns(words.as_ptr().cast()));
///     assert_eq!(HEAP.check(), Ok(()));
/// }
/// ```
pub struct StaticHeap<L: RawLock + 'static = DefaultLock> {
    heap: Heap<'static, L>,
    array: &'static Lendable<L, [MaybeUninit<u8>]>,
    config: Config,
}

impl<L: RawLock + 'static> StaticHeap<L> {
    /// A heap that will have the array. An array too small for any heap does not compile:
    ///
    /// ```compile_fail,E0080
    /// # use slabfit::{Config, StaticArray, StaticHeap};
    /// static ARRAY: StaticArray<{ slabfit::MIN_REGION - 1 }> = StaticArray::new();
    /// static HEAP: StaticHeap = StaticHeap::new(&ARRAY, Config::new(64));
    /// ```
    pub const fn new<const N: usize>(array: &'static StaticArray<N, L>, config: Config) -> Self {
        const { assert!(N >= MIN_REGION, "an array of fewer than MIN_REGION bytes") };
        Self { heap: Heap::empty(), array: &array.0, config }
    }

    /// Takes the memory now, where that was not done yet. The first use does the same, so nobody need call this but who
    /// wants it done early, or wants to know why every request fails.
    ///
    /// # Errors
    /// What is wrong with the array or the slab size. An array that somebody else has counts as one of 0 bytes.
    #[cold]
    pub fn set_up(&self) -> Result<(), InitError> {
        self.array.lent.with(|lent| {
            if self.heap.size() > 0 {
                return Ok(());
            }
            let bytes: &'static mut [MaybeUninit<u8>] = if *lent {
                &mut []
            } else {
                // SAFETY: exclusive: `lent` is false and its lock held; for ever: if the heap takes them `lent` becomes
                // true, and if it does not, nobody has them when the lock is given back.
                unsafe { &mut *self.array.bytes.get() }
            };
            // SAFETY: zeros: `lent` is false, or there are none.
            let memory = unsafe { Memory::from(bytes).assume_zeroed() };
            let done = self.heap.init(memory, self.config);
            // The heap may have been given other memory meanwhile: these bytes were set up then, and are not zeros.
            *lent |= matches!(done, Ok(()) | Err(InitError::AlreadyInitialised));
            done
        })?
    }

    /// The heap as it is, for calls that make no sense before the first request.
    pub(super) fn as_is(&self) -> &Heap<'static, L> {
        &self.heap
    }
}

impl<L: RawLock + 'static> Deref for StaticHeap<L> {
    type Target = Heap<'static, L>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        if self.heap.size() == 0 {
            // Where this fails the heap stays empty, and says so of every request.
            let _ = self.set_up();
        }
        &self.heap
    }
}

impl<L: RawLock + 'static> fmt::Debug for StaticHeap<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticHeap").field("heap", &self.heap).field("config", &self.config).finish_non_exhaustive()
    }
}
