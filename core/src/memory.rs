//! The memory that a caller lends. It is handed out to the bookkeeping piece by piece, and to the segments as regions.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::mem::MaybeUninit;
#[cfg(target_has_atomic = "64")]
use core::ops::Range;
use core::ptr::NonNull;

#[cfg(target_has_atomic = "64")]
use crate::sync::{AtomicU8, AtomicU16};
use crate::units::GRANULE;

/// The alignment of the bookkeeping: a cache line, as a node of the maxima is one, or a word on 32-bit cores.
pub(crate) const ALIGNMENT: usize = if usize::BITS == 64 { 64 } else { size_of::<usize>() };

/// The memory that a caller lends to a heap: a region, and possibly a second piece that holds the bookkeeping.
///
/// In a region of one piece (`Memory::from(&mut array)`) the bookkeeping takes the start, below the slab segment and four guard
/// granules away from it, so that a write past a payload's end moves away from it.
///
/// A region's start is rounded up to a multiple of [`GRANULE`] and its end down: up to `2 * GRANULE - 2` bytes are lost, and
/// [`Heap::base`](crate::Heap::base) and [`Heap::size`](crate::Heap::size) say what is left.
///
/// # Where firmware has it
/// What the linker leaves free, between two symbols of any alignment:
///
/// ```
/// use slabfit::{Config, Heap, InitError, Memory};
/// # mod linker_script {
/// #     #[unsafe(no_mangle)]
/// #     static mut _heap_start: [u8; 4096] = [0; 4096];
/// # }
///
/// unsafe extern "C" {
///     static mut _heap_start: u8;
/// }
/// static HEAP: Heap = Heap::empty();
///
/// fn main() -> Result<(), InitError> {
///     let start = &raw mut _heap_start;
///     let size = 4096; // or the distance to another symbol, less the stack
///     // SAFETY: RAM that nobody else uses.
///     HEAP.init(unsafe { Memory::from_raw(start, size) }, Config::new(32))
/// }
/// ```
///
/// A section that start-up code does not zero: [`RegionArray`] shows it. Bytes that another part of the program gives away for ever,
/// initialised or not (from `cortex_m::singleton!`, a `StaticCell`, `Box::leak`):
///
/// ```
/// use std::mem::MaybeUninit;
/// use slabfit::{Config, DefaultLock, FirstFit, Heap, InitError};
///
/// fn of_bytes(bytes: &'static mut [u8]) -> Result<Heap<'static>, InitError> {
///     Heap::new(bytes, Config::new(32))
/// }
///
/// fn of_uninitialised_bytes(
///     bytes: &'static mut [MaybeUninit<u8>],
/// ) -> Result<Heap<'static, DefaultLock, FirstFit>, InitError> {
///     Heap::from_memory(bytes, Config::without_slab())
/// }
/// # assert!(of_bytes(vec![0; 4096].leak()).is_ok());
/// # assert!(of_uninitialised_bytes(vec![MaybeUninit::uninit(); 4096].leak()).is_ok());
/// ```
///
/// Several of them: a heap each, and [`Banks`](crate::Banks). More after it, later: [`Heap::extend`](crate::Heap::extend).
#[derive(Debug)]
pub struct Memory<'a> {
    region: NonNull<u8>,
    size: usize,
    bookkeeping: Option<(NonNull<u8>, usize)>,
    /// Whether every byte is 0.
    zeroed: bool,
    lent: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

impl<'a> From<&'a mut [MaybeUninit<u8>]> for Memory<'a> {
    fn from(region: &'a mut [MaybeUninit<u8>]) -> Self {
        let start = region.as_mut_ptr().cast();
        // SAFETY: readable, writable and nobody else's for as long as the slice is borrowed.
        unsafe { Self::from_raw(start, region.len()) }
    }
}

/// Lent for ever: after a shorter loan, bytes that their owner takes for initialised could be uninitialised, such as an object's
/// padding. For a shorter loan lend a slice of `MaybeUninit<u8>`.
impl From<&'static mut [u8]> for Memory<'static> {
    fn from(region: &'static mut [u8]) -> Self {
        // SAFETY: readable, writable and nobody else's from now on.
        unsafe { Self::from_raw(region.as_mut_ptr(), region.len()) }
    }
}

impl<'a, const N: usize> From<&'a mut RegionArray<N>> for Memory<'a> {
    fn from(array: &'a mut RegionArray<N>) -> Self {
        Self::from(&mut array.0[..])
    }
}

impl<'a> Memory<'a> {
    /// Lends a region that is all heap, and `bookkeeping` of any alignment and of at least
    /// [`bookkeeping_size`](crate::bookkeeping_size) bytes.
    pub fn with_bookkeeping(region: &'a mut [MaybeUninit<u8>], bookkeeping: &'a mut [MaybeUninit<u8>]) -> Self {
        let size = bookkeeping.len();
        let start = NonNull::from(bookkeeping).cast();
        Self { bookkeeping: Some((start, size)), ..Self::from(region) }
    }

    /// Lends a region of `size` bytes, whose start holds the bookkeeping.
    ///
    /// A null pointer is taken as a region of no bytes, which no heap can be made of.
    ///
    /// # Safety
    /// For as long as the heap lives, the `size` bytes at `region` are one allocated object, readable and writable
    /// through `region`, and nothing else touches them but through pointers that the heap hands out.
    pub unsafe fn from_raw(region: *mut u8, size: usize) -> Self {
        let (start, size) = NonNull::new(region).map_or((NonNull::dangling(), 0), |start| (start, size));
        let skip = start.align_offset(GRANULE).min(size);
        // SAFETY: in bounds: skip <= size.
        let region = unsafe { start.add(skip) };
        let size = size.wrapping_sub(skip);
        Self { region, size, bookkeeping: None, zeroed: false, lent: PhantomData }
    }

    /// Lends a region that is all heap, and bookkeeping apart from it.
    ///
    /// # Safety
    /// As for [`Self::from_raw`], for both pieces, which do not overlap.
    pub unsafe fn from_raw_parts(region: *mut u8, size: usize, bookkeeping: *mut u8, bookkeeping_size: usize) -> Self {
        let bookkeeping = NonNull::new(bookkeeping).map_or((NonNull::dangling(), 0), |start| (start, bookkeeping_size));
        // SAFETY: the region: as the caller promises for the first piece.
        let memory = unsafe { Self::from_raw(region, size) };
        Self { bookkeeping: Some(bookkeeping), ..memory }
    }

    /// Declares the memory to be all zeros. Set-up then clears nothing and touches O(1) memory, whatever the size, and a
    /// zeroed object in bytes that no object has reached yet needs no clearing.
    ///
    /// # Safety
    /// Every byte of the region, and of the bookkeeping where it is apart, is 0.
    pub unsafe fn assume_zeroed(self) -> Self {
        Self { zeroed: true, ..self }
    }

    /// Returns the size of the region in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Returns the size of the second piece in bytes, if there is one.
    pub(crate) fn bookkeeping_size(&self) -> Option<usize> {
        self.bookkeeping.map(|(_, size)| size)
    }

    /// Divides the memory into bookkeeping, slab segment and block segment. `own` bytes at the region's start go to the
    /// bookkeeping where there is no second piece; both segments follow. `None` if the sizes do not fit.
    pub(crate) fn divide(self, own: usize, slab: usize, blocks: usize) -> Option<(Bump<'a>, Piece<'a>, Piece<'a>)> {
        let heap = own.checked_add(slab)?.checked_add(blocks)?;
        if heap > self.size {
            return None;
        }
        let (next, left) = self.bookkeeping.unwrap_or((self.region, own));
        // SAFETY: in bounds: own <= size of the region, which is one allocated object.
        let slab_start = unsafe { self.region.add(own) };
        // SAFETY: in bounds: own + slab <= size of the region.
        let blocks_start = unsafe { slab_start.add(slab) };
        let piece = |start, size| Piece { start, size, zeroed: self.zeroed, lent: PhantomData };
        let bump = Bump { next, left, zeroed: self.zeroed, lent: PhantomData };
        Some((bump, piece(slab_start, slab), piece(blocks_start, blocks)))
    }
}

/// Lent bytes for one segment.
///
/// Invariant: the `size` bytes at `start` are part of the lent region, and of no other piece.
pub(crate) struct Piece<'a> {
    pub(crate) start: NonNull<u8>,
    pub(crate) size: usize,
    pub(crate) zeroed: bool,
    pub(crate) lent: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

/// Hands out the bookkeeping's memory from its start on, in zeroed slices.
pub(crate) struct Bump<'a> {
    next: NonNull<u8>,
    left: usize,
    zeroed: bool,
    lent: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

impl<'a> Bump<'a> {
    /// Moves on to the next multiple of [`ALIGNMENT`], if there is one.
    pub(crate) fn align(&mut self) {
        let skip = self.next.align_offset(ALIGNMENT);
        let _ = self.advance(skip);
    }

    fn advance(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        let start = self.next;
        self.left = self.left.checked_sub(bytes)?;
        // SAFETY: in bounds: `bytes` were left of the one allocated object that `next` points into.
        self.next = unsafe { start.add(bytes) };
        Some(start)
    }

    /// Hands out `count` zero values, or `None` if the memory is too small for them or not aligned.
    pub(crate) fn slice<T: Plain>(&mut self, count: usize) -> Option<Lent<'a, T>> {
        let bytes = count.checked_mul(size_of::<T>())?;
        let start = self.advance(bytes)?.cast::<T>();
        if !start.is_aligned() {
            return None;
        }
        if !self.zeroed {
            for at in 0..count {
                // SAFETY: in bounds: at < count.
                let place = unsafe { start.add(at) };
                // SAFETY: valid for writes: `advance` has taken these bytes off the lent memory for this slice alone;
                // aligned: just checked.
                unsafe { place.write(T::ZERO) };
            }
        }
        Some(Lent { start: start.as_ptr(), len: count, lent: PhantomData })
    }

    /// Hands out `count` zero values that are shared from now on, or `None` as [`slice`](Self::slice) does.
    #[cfg(target_has_atomic = "64")]
    pub(crate) fn shared<T: Zeroable>(&mut self, count: usize) -> Option<Shared<'a, T>> {
        let bytes = count.checked_mul(size_of::<T>())?;
        let start = self.advance(bytes)?.cast::<T>();
        if !start.is_aligned() {
            return None;
        }
        if !self.zeroed {
            // SAFETY: valid for writes: `advance` has taken these bytes off the lent memory for this slice alone; aligned: just
            // checked.
            unsafe { start.write_bytes(0, count) };
        }
        Some(Shared { start: start.as_ptr(), len: count, lent: PhantomData })
    }
}

/// What the bookkeeping is made of.
///
/// # Safety
/// Every bit pattern is a value, that of zero bytes is `ZERO`, and there is nothing to drop.
pub(crate) unsafe trait Plain: Copy + PartialEq {
    const ZERO: Self;
}
// SAFETY: an integer.
unsafe impl Plain for u8 {
    const ZERO: Self = 0;
}
// SAFETY: an integer.
#[cfg(target_pointer_width = "64")]
unsafe impl Plain for u16 {
    const ZERO: Self = 0;
}
// SAFETY: an integer.
unsafe impl Plain for u32 {
    const ZERO: Self = 0;
}
// SAFETY: an integer.
unsafe impl Plain for usize {
    const ZERO: Self = 0;
}

/// A slice of the bookkeeping, like `&mut [T]`, but that the empty one is all zeros: a static heap is then `.bss`.
///
/// Invariant: `start` points to `len` initialised values that are lent for 'a and nobody else's; or both are 0.
#[derive(Debug)]
pub(crate) struct Lent<'a, T> {
    start: *mut T,
    len: usize,
    lent: PhantomData<&'a mut [T]>,
}

// SAFETY: it is the exclusive right to lent integers, as `&mut [T]` is, which is Send.
unsafe impl<T: Plain + Send> Send for Lent<'_, T> {}
// SAFETY: through `&Lent` values are only read, as through `&&mut [T]`, which is Sync.
unsafe impl<T: Plain + Sync> Sync for Lent<'_, T> {}

impl<T: Plain> Lent<'_, T> {
    pub(crate) const EMPTY: Self = Self { start: core::ptr::null_mut(), len: 0, lent: PhantomData };

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns value `index`, or zero if there is none.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> T {
        if index >= self.len {
            return T::ZERO;
        }
        // SAFETY: in bounds: just compared.
        let place = unsafe { self.start.add(index) };
        // SAFETY: valid for reads, aligned, initialised: by the invariant.
        unsafe { place.read() }
    }

    /// Borrows value `index`.
    #[inline(always)]
    pub(crate) fn get_ref(&self, index: usize) -> Option<&T> {
        if index >= self.len {
            return None;
        }
        // SAFETY: in bounds: just compared.
        let place = unsafe { self.start.add(index) };
        // SAFETY: valid, aligned, initialised, and not written to while `self` is borrowed: by the invariant.
        Some(unsafe { &*place })
    }

    /// Borrows value `index` to change it.
    #[inline(always)]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.len {
            return None;
        }
        // SAFETY: in bounds: just compared.
        let place = unsafe { self.start.add(index) };
        // SAFETY: valid, aligned, initialised, and borrowed exclusively as `self` is: by the invariant.
        Some(unsafe { &mut *place })
    }

    /// Returns what `look` makes of the `N` values from `index` on; `none` if there are not so many.
    #[inline(always)]
    pub(crate) fn look_at<const N: usize, R>(&self, index: usize, none: R, look: impl FnOnce(&[T; N]) -> R) -> R {
        if index >= self.len.saturating_sub(const { N - 1 }) {
            return none;
        }
        // SAFETY: in bounds: index + N - 1 < len was just compared.
        let place = unsafe { self.start.add(index) };
        // SAFETY: valid for reads, aligned, initialised: by the invariant; not written to while `self` is borrowed.
        look(unsafe { &*place.cast::<[T; N]>() })
    }

    /// Returns the first value's address, and one that [`len`](Self::len) values follow.
    pub(crate) fn start(&self) -> *mut T {
        self.start
    }
}

/// What the shared part of the bookkeeping is made of.
///
/// # Safety
/// Zero bytes are a value, and there is nothing to drop.
#[cfg(target_has_atomic = "64")]
pub(crate) unsafe trait Zeroable: Sync {}
// SAFETY: an atomic integer.
#[cfg(target_has_atomic = "64")]
unsafe impl Zeroable for AtomicU8 {}
// SAFETY: an atomic integer.
#[cfg(target_has_atomic = "64")]
unsafe impl Zeroable for AtomicU16 {}

/// A slice of the bookkeeping that is shared, like `&[T]`, but that the empty one is all zeros.
///
/// Invariant: `start` points to `len` initialised values that are lent for 'a and reached by shared references alone; or both are 0.
#[cfg(target_has_atomic = "64")]
#[derive(Debug)]
pub(crate) struct Shared<'a, T> {
    start: *const T,
    len: usize,
    lent: PhantomData<&'a [T]>,
}

#[cfg(target_has_atomic = "64")]
impl<T> Clone for Shared<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

#[cfg(target_has_atomic = "64")]
impl<T> Copy for Shared<'_, T> {}

// SAFETY: it is `&[T]`, which is Send where T is Sync.
#[cfg(target_has_atomic = "64")]
unsafe impl<T: Sync> Send for Shared<'_, T> {}
// SAFETY: it is `&[T]`, which is Sync where T is.
#[cfg(target_has_atomic = "64")]
unsafe impl<T: Sync> Sync for Shared<'_, T> {}

#[cfg(target_has_atomic = "64")]
impl<'a, T> Shared<'a, T> {
    pub(crate) const EMPTY: Self = Self { start: core::ptr::null(), len: 0, lent: PhantomData };

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Returns the whole pages of the slice that its bytes `about` reach into: which bytes each has, and where it is. A page is a power of
    /// two.
    pub(crate) fn pages(
        &self,
        about: Range<usize>,
        page: usize,
    ) -> impl Iterator<Item = (Range<usize>, NonNull<[u8]>)> + use<'_, T> {
        let (start, size) = (self.start.cast_mut().cast::<u8>(), self.len.wrapping_mul(size_of::<T>()));
        let lead = start.addr().wrapping_neg() & page.wrapping_sub(1);
        let whole = |bytes: usize| bytes & !page.wrapping_sub(1);
        // Counted from the first whole page on.
        let first = whole(about.start.saturating_sub(lead));
        let behind = about.end.min(size).saturating_sub(lead);
        let behind = behind.checked_next_multiple_of(page.max(1)).unwrap_or(0).min(whole(size.saturating_sub(lead)));
        // `step_by` would panic for a page of 0 bytes.
        let next = move |at: &usize| at.checked_add(page).filter(|next| *next < behind && page > 0);
        let pages = core::iter::successors(Some(first).filter(|first| *first < behind), next);
        pages.filter_map(move |at| {
            let at = lead.wrapping_add(at);
            let place = NonNull::new(start.wrapping_add(at))?;
            Some((at..at.wrapping_add(page), NonNull::slice_from_raw_parts(place, page)))
        })
    }

    /// Borrows value `index`.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Option<&'a T> {
        if index >= self.len {
            return None;
        }
        // SAFETY: in bounds: just compared.
        let place = unsafe { self.start.add(index) };
        // SAFETY: valid, aligned, initialised, shared: by the invariant.
        Some(unsafe { &*place })
    }
}

/// An array that a heap can live in, on the stack or in a `static`, aligned for the bookkeeping.
///
/// ```
/// use slabfit::{Config, Heap, RegionArray};
/// let mut array = RegionArray::<4096>::new();
/// let heap = Heap::new(&mut array, Config::new(64))?;
/// assert_eq!(heap.slab_size(), 64);
/// # Ok::<(), slabfit::InitError>(())
/// ```
///
/// Its bytes may hold anything. Use it for a section that start-up code does not zero (NOLOAD, CCM, external RAM): the
/// heap is a `static` of its own, and gets the array when the memory is ready:
///
/// ```
/// use slabfit::{Config, Heap, RegionArray};
///
/// // On the target: #[unsafe(link_section = ".ccmram")]
/// static mut RAM: RegionArray<4096> = RegionArray::new();
/// static HEAP: Heap = Heap::empty();
///
/// fn main() -> Result<(), slabfit::InitError> {
///     // SAFETY: nothing else names RAM.
///     HEAP.init(unsafe { &mut *&raw mut RAM }, Config::new(32))?;
///     assert!(HEAP.alloc(100).is_ok());
///     Ok(())
/// }
/// ```
#[repr(C, align(64))]
#[derive(Debug)]
pub struct RegionArray<const N: usize>([MaybeUninit<u8>; N]);

impl<const N: usize> RegionArray<N> {
    /// Makes an array of `N` bytes, not initialised: in a `static` it costs nothing in the program file.
    pub const fn new() -> Self {
        Self([MaybeUninit::uninit(); N])
    }

    /// Returns the bytes, to lend them to a heap with bookkeeping elsewhere.
    pub const fn as_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        &mut self.0
    }
}

impl<const N: usize> Default for RegionArray<N> {
    fn default() -> Self {
        Self::new()
    }
}
