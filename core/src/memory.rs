//! The memory that a caller lends. It is handed out to the bookkeeping piece by piece, and to the segments as regions.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::lent::{Lent, Plain};
#[cfg(target_has_atomic = "64")]
use crate::lent::{Shared, Zeroable};
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
        // SAFETY: initialised: written, or lent as zeros, which are `T::ZERO`; aligned: just checked; nobody else's: `advance` has
        // taken these bytes off the lent memory for this slice alone.
        Some(unsafe { Lent::new(start, count) })
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
        // SAFETY: initialised: zeros, which are a value; aligned: just checked; reached by shared references alone: `advance` has
        // taken these bytes off the lent memory for this slice alone.
        Some(unsafe { Shared::new(start, count) })
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
