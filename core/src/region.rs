//! The caller's bytes, and the only raw pointers of the algorithms.
//!
//! A [`Memory`] is what the caller lends: it is cut here into the regions of the two segments and into the slices of the
//! bookkeeping. A [`Region`] turns an offset into a pointer, after comparing it with its bounds, whatever the offset's
//! origin; nothing else in the crate does.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::slice;

use crate::header::{AllocatedHeader, FreeHeader};
use crate::size::{GRANULE, Granules, Offset};
use crate::switch::wrong;

/// Bytes of a cache line, to which the bookkeeping is aligned: a node of the max tree is one.
pub(crate) const CACHE_LINE: usize = 64;

/// The memory that a caller lends to a heap: a region, and possibly a second piece that holds the bookkeeping.
///
/// Of one piece (`Memory::from(&mut bytes[..])`) the bookkeeping takes the start, below the slab segment and apart from
/// it by 64 guard bytes, so that a write past a payload's end moves away from it.
#[derive(Debug)]
pub struct Memory<'a> {
    region: NonNull<u8>,
    size: usize,
    bookkeeping: Option<(NonNull<u8>, usize)>,
    /// Whether every byte of the bookkeeping is 0, and of the region.
    zeroed: bool,
    region_zeroed: bool,
    lent: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

impl<'a> From<&'a mut [MaybeUninit<u8>]> for Memory<'a> {
    fn from(region: &'a mut [MaybeUninit<u8>]) -> Self {
        // SAFETY: valid and nobody else's, for as long as the slice is borrowed.
        unsafe { Self::from_raw(start_of(region).as_ptr(), region.len()) }
    }
}

/// For ever: where a loan ends, bytes that its owner believes to be initialised could hold what is not, such as the padding of
/// an object. A slice that is lent for less is one of `MaybeUninit<u8>`.
impl From<&'static mut [u8]> for Memory<'static> {
    fn from(region: &'static mut [u8]) -> Self {
        // SAFETY: valid and nobody else's from now on.
        unsafe { Self::from_raw(region.as_mut_ptr(), region.len()) }
    }
}

impl<'a, const N: usize> From<&'a mut RegionArray<N>> for Memory<'a> {
    fn from(array: &'a mut RegionArray<N>) -> Self {
        Self::from(&mut array.0[..])
    }
}

fn start_of(bytes: &mut [MaybeUninit<u8>]) -> NonNull<u8> {
    NonNull::from(bytes).cast()
}

impl<'a> Memory<'a> {
    /// A region that is the heap to its last byte, and `bookkeeping` of any alignment and of at least
    /// [`bookkeeping_size`](crate::bookkeeping_size) bytes.
    pub fn with_bookkeeping(region: &'a mut [MaybeUninit<u8>], bookkeeping: &'a mut [MaybeUninit<u8>]) -> Self {
        let size = bookkeeping.len();
        Self { bookkeeping: Some((start_of(bookkeeping), size)), ..Self::from(region) }
    }

    /// A region of `size` bytes, whose start holds the bookkeeping.
    ///
    /// The start is rounded up to a multiple of [`GRANULE`] and the end down: up to `2 * GRANULE - 2` bytes are lost, and
    /// [`Heap::base`](crate::Heap::base) and [`Heap::size`](crate::Heap::size) say what is left.
    ///
    /// A null pointer is taken as a region of no bytes, which no heap can be made of.
    ///
    /// # Safety
    /// For as long as the heap lives, the `size` bytes at `region` are one allocated object, readable and writable
    /// through `region`, and nothing else touches them but through pointers that the heap hands out.
    pub unsafe fn from_raw(region: *mut u8, size: usize) -> Self {
        let size = if wrong!("null-region", region.is_null()) { 0 } else { size };
        let region = NonNull::new(region).unwrap_or(NonNull::dangling());
        let skip = region.align_offset(GRANULE).min(size);
        // SAFETY: in bounds: at most `size` bytes further.
        let region = unsafe { region.add(skip) };
        let size = size.wrapping_sub(skip);
        Self { region, size, bookkeeping: None, zeroed: false, region_zeroed: false, lent: PhantomData }
    }

    /// A region that is the heap to its last byte, and the bookkeeping apart from it.
    ///
    /// # Safety
    /// As for [`Self::from_raw`], for both pieces, which do not overlap.
    pub unsafe fn from_raw_parts(region: *mut u8, size: usize, bookkeeping: *mut u8, bookkeeping_size: usize) -> Self {
        let bookkeeping = NonNull::new(bookkeeping).map_or((NonNull::dangling(), 0), |b| (b, bookkeeping_size));
        // SAFETY: the region: as the caller promises for the first piece.
        let memory = unsafe { Self::from_raw(region, size) };
        Self { bookkeeping: Some(bookkeeping), ..memory }
    }

    /// The same memory, said to be all zeros. Set-up then clears nothing and touches O(1) memory, whatever the size, and
    /// a zeroed object in bytes that no object has reached yet needs no clearing.
    ///
    /// # Safety
    /// Every byte of the region, and of the bookkeeping where it is apart, is 0.
    pub unsafe fn assume_zeroed(self) -> Self {
        Self { zeroed: true, region_zeroed: true, ..self }
    }

    /// Bytes of the region.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Bytes of the second piece, if there is one.
    pub(crate) fn bookkeeping_size(&self) -> Option<usize> {
        self.bookkeeping.map(|(_, size)| size)
    }

    /// Cuts the memory into bookkeeping, slab segment and next-fit segment. `carved` bytes at the region's start go to
    /// the bookkeeping where there is no second piece; both segments follow. `None` if the sizes do not fit.
    pub(crate) fn cut(
        self,
        carved: usize,
        slab: usize,
        next_fit: usize,
    ) -> Option<(Carver<'a>, Region<'a>, Region<'a>)> {
        let heap = carved.checked_add(slab)?.checked_add(next_fit)?;
        if wrong!("region-cut", heap > self.size) {
            return None;
        }
        let (start, size) = self.bookkeeping.unwrap_or((self.region, carved));
        let carver = Carver { next: start, left: size, zeroed: self.zeroed, lent: PhantomData };
        // SAFETY: in bounds: carved <= size of the region, which is one allocated object.
        let slab_start = unsafe { self.region.add(carved) };
        // SAFETY: in bounds: carved + slab <= size of the region.
        let next_fit_start = unsafe { slab_start.add(slab) };
        let zeroed = self.region_zeroed;
        Some((carver, Region::new(slab_start, slab, zeroed), Region::new(next_fit_start, next_fit, zeroed)))
    }
}

/// Cuts the bookkeeping's memory into slices, zeroed, one behind the other, from the first cache line on.
pub(crate) struct Carver<'a> {
    next: NonNull<u8>,
    left: usize,
    zeroed: bool,
    lent: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

/// What a slice of the bookkeeping may hold.
///
/// # Safety
/// Zero bytes are a valid value, there is no padding and nothing to drop.
pub(crate) unsafe trait Plain {}
// SAFETY: integers: every bit pattern is valid, no padding, no drop.
unsafe impl Plain for u64 {}
// SAFETY: an array of integers, as above.
unsafe impl Plain for [u64; 2] {}
// SAFETY: an array of integers, as above.
unsafe impl Plain for [u32; 16] {}

impl<'a> Carver<'a> {
    /// Moves to the next cache line.
    pub(crate) fn align(&mut self) -> Option<()> {
        let skip = self.next.align_offset(CACHE_LINE);
        self.advance(skip).map(|_| ())
    }

    fn advance(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        let start = self.next;
        if wrong!("bookkeeping-left", bytes > self.left) {
            return None;
        }
        self.left = self.left.wrapping_sub(bytes);
        // SAFETY: in bounds: `bytes` were left of the one allocated object that `next` points into.
        self.next = unsafe { start.add(bytes) };
        Some(start)
    }

    /// A slice of `count` zeros, or `None` where the memory is too small for it or not aligned.
    pub(crate) fn slice<T: Plain>(&mut self, count: usize) -> Option<&'a mut [T]> {
        let bytes = count.checked_mul(size_of::<T>())?;
        let start = self.advance(bytes)?.cast::<T>();
        if wrong!("bookkeeping-aligned", !start.is_aligned()) {
            return None;
        }
        if !self.zeroed {
            // SAFETY: valid for writes: `advance` has taken these bytes off the lent memory for this slice alone;
            // aligned: just checked.
            unsafe { start.write_bytes(0, count) };
        }
        // SAFETY: valid, exclusive, for 'a: the bytes are lent for 'a and `advance` gives each of them out once;
        // aligned: just checked; initialised: zeros, written here or promised to `from_raw_parts`, which `Plain` allows.
        Some(unsafe { slice::from_raw_parts_mut(start.as_ptr(), count) })
    }
}

/// The bytes of one segment.
///
/// Every access compares its offset with the bounds first. Headers are written and read through raw pointers and no
/// reference into the region is ever made, as its bytes belong to others too.
#[derive(Debug)]
pub(crate) struct Region<'a> {
    base: NonNull<u8>,
    granules: Granules,
    /// Whether every byte was 0 when the memory was lent.
    zeroed: bool,
    lent: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

// SAFETY: a region is the exclusive right to lent bytes, like `&mut [u8]`, which is Send.
unsafe impl Send for Region<'_> {}
// SAFETY: through `&Region` nothing is reached but header reads; writes take `&mut self`.
unsafe impl Sync for Region<'_> {}

impl<'a> Region<'a> {
    /// A region of no bytes.
    pub(crate) const EMPTY: Self =
        Self { base: NonNull::dangling(), granules: Granules::NONE, zeroed: false, lent: PhantomData };

    fn new(base: NonNull<u8>, bytes: usize, zeroed: bool) -> Self {
        Self { base, granules: Granules::within(bytes), zeroed, lent: PhantomData }
    }

    /// The address from which on all bytes are 0, where none from `untouched` on was ever written.
    pub(crate) fn zeros_from(&self, untouched: Offset) -> usize {
        if self.zeroed { self.address(untouched) } else { usize::MAX }
    }

    pub(crate) fn granules(&self) -> Granules {
        self.granules
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Address of the granule at `at`, or behind the last.
    pub(crate) fn address(&self, at: Offset) -> usize {
        self.base.addr().get().wrapping_add(at.bytes())
    }

    /// A pointer to `count` granules from `at`, if the region has them.
    #[inline]
    pub(crate) fn pointer(&self, at: Offset, count: Granules) -> Option<NonNull<u8>> {
        // Two numbers of 32 bits do not overflow 64.
        let end = u64::from(at.index()).wrapping_add(u64::from(count.count()));
        if wrong!("region-end", end > u64::from(self.granules.count())) {
            return None;
        }
        // SAFETY: in bounds: at <= end <= granules was just compared, and all granules lie in one allocated object.
        Some(unsafe { self.base.add(at.bytes()) })
    }

    /// A pointer to the header at `at`, if the region has it.
    #[inline]
    fn header(&self, at: Offset) -> Option<NonNull<u8>> {
        if wrong!("header-end", at.index() >= self.granules.count()) {
            return None;
        }
        // SAFETY: in bounds: at < granules was just compared, and all granules lie in one allocated object.
        Some(unsafe { self.base.add(at.bytes()) })
    }

    /// Writes the header of a free block or slot, whose header counts `length` granules.
    #[inline]
    pub(crate) fn write_free(&mut self, at: Offset, length: Granules, next: Offset) {
        let header = FreeHeader::new(length, self.link_to(next));
        if let Some(place) = self.header(at) {
            // SAFETY: valid for writes: 16 bytes of the region, which nobody else may touch while they are free;
            // aligned: region and offset are multiples of 16 bytes.
            unsafe { place.cast::<FreeHeader>().write(header) };
        }
    }

    /// Points the free header at `at`, if there is one, to `next` and leaves its length.
    #[inline]
    pub(crate) fn link(&mut self, at: Offset, next: Offset) {
        let next = self.link_to(next);
        if let Some(place) = self.header(at) {
            let header = place.cast::<FreeHeader>().as_ptr();
            // SAFETY: in bounds: 16 bytes of the region; a place, not a value, is computed.
            let field = unsafe { &raw mut (*header).next };
            // SAFETY: valid for writes and aligned: a field of a header that lies in the region at a multiple of 16.
            unsafe { field.write(next) };
        }
    }

    /// Sets the length of the free header at `at` and leaves its link.
    #[inline]
    pub(crate) fn set_length(&mut self, at: Offset, length: Granules) {
        if let Some(place) = self.header(at) {
            // SAFETY: valid for writes and aligned: the header's first field, in the region at a multiple of 16.
            unsafe { place.cast::<i32>().write(length.length()) };
        }
    }

    /// Writes the header of an allocated block of `block` granules and answers with its payload.
    #[inline]
    pub(crate) fn write_allocated(&mut self, at: Offset, block: Granules) -> Option<NonNull<u8>> {
        let place = self.pointer(at, block)?;
        // SAFETY: valid for writes: the region has `block` granules here, of which the header is the first; aligned:
        // region and offset are multiples of 16 bytes.
        unsafe { place.cast::<AllocatedHeader>().write(AllocatedHeader::new(block)) };
        // SAFETY: in bounds: the payload begins inside the block.
        Some(unsafe { place.add(GRANULE) })
    }

    /// Writes the headers of an allocated block at `at` and of the free block that is left behind it, if any granules
    /// are, which are `whole` together, and answers with the payload.
    #[inline(always)]
    pub(crate) fn write_split(
        &mut self,
        at: Offset,
        block: Granules,
        whole: Granules,
        next: Offset,
    ) -> Option<NonNull<u8>> {
        let place = self.pointer(at, whole.max(block))?;
        let rest = Granules::new(whole.count().saturating_sub(block.count()));
        // Whether there is a rest is anybody's guess and no branch: the header of none is written where the block's will be.
        let before_rest = if rest > Granules::NONE { block } else { Granules::NONE };
        // SAFETY: in bounds: block < whole where there is a rest, and the region has `whole` granules here.
        let behind = unsafe { place.add(before_rest.bytes()) };
        let header = FreeHeader::new(rest.minus(Granules::HEADER), self.link_to(next));
        // SAFETY: valid for writes: the region has `rest` granules here, or `block` where there is no rest, of which the
        // header is the first; aligned: region and offset are multiples of 16 bytes.
        unsafe { behind.cast::<FreeHeader>().write(header) };
        // SAFETY: valid for writes: the region has `block` granules here, of which the header is the first; aligned: as
        // above.
        unsafe { place.cast::<AllocatedHeader>().write(AllocatedHeader::new(block)) };
        // SAFETY: in bounds: the payload begins inside the block.
        Some(unsafe { place.add(GRANULE) })
    }

    /// Whether the header of a live block of `block` granules is as it was written.
    #[inline]
    pub(crate) fn allocated_is_intact(&self, at: Offset, block: Granules) -> bool {
        self.pointer(at, block).is_some_and(|place| {
            // SAFETY: valid for reads: 16 bytes of the region, initialised when the block was allocated; aligned:
            // region and offset are multiples of 16 bytes; any bits are a header. Volatile, as a wild write of the
            // user's may come at any time.
            let header = unsafe { place.cast::<AllocatedHeader>().read_volatile() };
            header.is_of(block)
        })
    }

    /// Whether the header of a free block or slot is as it was written.
    pub(crate) fn free_is_intact(&self, at: Offset, length: Granules, next: Offset) -> bool {
        self.header(at).is_some_and(|place| {
            // SAFETY: valid for reads, aligned, any bits: as for `allocated_is_intact`.
            let header = unsafe { place.cast::<FreeHeader>().read_volatile() };
            header.length == length.length() && header.next.addr() == self.link_to(next).addr()
        })
    }

    /// What a free header's `next` is for a successor at `next`: null where there is none.
    #[inline]
    fn link_to(&self, next: Offset) -> *mut FreeHeader {
        self.header(next).map_or(ptr::null_mut(), |place| place.cast().as_ptr())
    }
}

/// Clears `bytes` of an object, but for those from the address `zeros_from` on.
///
/// # Safety
/// The `bytes` at `object` were just handed out by the heap and nobody else knows them yet.
pub(crate) unsafe fn clear(object: NonNull<u8>, bytes: usize, zeros_from: usize) {
    let bytes = zeros_from.saturating_sub(object.addr().get()).min(bytes);
    // SAFETY: valid for writes: as the caller promises; alignment of u8 is 1.
    unsafe { object.write_bytes(0, bytes) };
}

/// Copies the bytes of one object into another.
///
/// # Safety
/// Both lie in the heap's region with at least `bytes` bytes behind each. They may overlap.
pub(crate) unsafe fn copy(from: NonNull<u8>, to: NonNull<u8>, bytes: usize) {
    // SAFETY: valid for reads and writes: as the caller promises; overlap is allowed; alignment of u8 is 1.
    unsafe { from.copy_to(to, bytes) };
}

/// An array that a heap can live in, on the stack or in a `static`: as aligned as the bookkeeping likes it.
///
/// ```
/// use slabfit::{Config, Heap, RegionArray};
/// let mut array = RegionArray::<4096>::new();
/// let heap: Heap = Heap::new(&mut array, Config::new(64))?;
/// assert_eq!(heap.slab_size(), 64);
/// # Ok::<(), slabfit::InitError>(())
/// ```
#[repr(C, align(64))]
#[derive(Debug)]
pub struct RegionArray<const N: usize>([MaybeUninit<u8>; N]);

impl<const N: usize> RegionArray<N> {
    /// An array of `N` bytes, not initialised: in a `static` it costs nothing in the program file.
    pub const fn new() -> Self {
        Self([MaybeUninit::uninit(); N])
    }

    /// The bytes, to be lent to a heap beside bookkeeping of their own.
    pub const fn as_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        &mut self.0
    }
}

impl<const N: usize> Default for RegionArray<N> {
    fn default() -> Self {
        Self::new()
    }
}
