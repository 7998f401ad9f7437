//! The bytes of one segment, and the headers that are written into them.
//!
//! Every access compares its offset with the bounds first, whatever the offset's origin. Headers are written and read
//! through raw pointers: no reference into a region is ever made, as its bytes belong to others too.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::mem::{MaybeUninit, offset_of};
use core::ops::Range;
use core::ptr::{self, NonNull};

use crate::bytes;
use crate::header::{AllocatedHeader, FreeHeader, MAGIC};
use crate::memory::Piece;
use crate::units::{GRANULE, Granules, Offset};

/// The places of a segment, from which pointers are made and in which they are found. Nothing is read or written through it.
///
/// Invariant: the `granules` at `base` are lent for 'a, part of one allocated object, and aligned to a granule; or both are 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    base: *mut u8,
    granules: Granules,
    lent: PhantomData<&'a [MaybeUninit<u8>]>,
}

// SAFETY: no byte is reached through it.
unsafe impl Send for Places<'_> {}
// SAFETY: no byte is reached through it.
unsafe impl Sync for Places<'_> {}

impl Places<'_> {
    /// Returns a pointer to `count` granules from `at`, if the segment has them.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn pointer(&self, at: Offset, count: Granules) -> Option<NonNull<u8>> {
        let end = at.index().checked_add(count.count())?;
        if end > self.granules.count() {
            return None;
        }
        // SAFETY: in bounds: at <= end <= granules was just compared, and all granules lie in one allocated object.
        let place = unsafe { self.base.add(at.bytes()) };
        // Null if the segment is.
        NonNull::new(place)
    }

    /// Returns a pointer to the granule at `at`, if the segment has it.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn granule(&self, at: Offset) -> Option<NonNull<u8>> {
        if at.index() >= self.granules.count() {
            return None;
        }
        // SAFETY: in bounds: at < granules was just compared, and all granules lie in one allocated object.
        let place = unsafe { self.base.add(at.bytes()) };
        // SAFETY: not null: it points into an object of one granule at least.
        Some(unsafe { NonNull::new_unchecked(place) })
    }

    /// Returns the granule of which `ptr` is the first byte; a number that no segment has, or that of a granule beyond this one's end, if
    /// it is none's.
    #[cfg(target_has_atomic = "64")]
    #[inline(always)]
    pub(crate) fn find(&self, ptr: *const u8) -> usize {
        ptr.addr().wrapping_sub(self.base.addr()).rotate_right(const { GRANULE.trailing_zeros() })
    }
}

/// The bytes of one segment.
#[derive(Debug)]
pub(crate) struct Region<'a> {
    places: Places<'a>,
    /// Whether every byte was 0 when the memory was lent.
    zeroed: bool,
    lent: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

impl<'a> Region<'a> {
    /// A region of no bytes, all zeros.
    pub(crate) const EMPTY: Self = Self {
        places: Places { base: ptr::null_mut(), granules: Granules::ZERO, lent: PhantomData },
        zeroed: false,
        lent: PhantomData,
    };

    pub(crate) fn new(piece: Piece<'a>) -> Self {
        // One fewer than an offset can count, so that `Offset::NIL` is no boundary of the segment.
        let granules = Granules::from_bytes_floor(piece.size).min(Granules::new(u32::MAX - 1));
        let places = Places { base: piece.start.as_ptr(), granules, lent: PhantomData };
        Self { places, zeroed: piece.zeroed, lent: PhantomData }
    }

    /// Makes the region `added` granules longer.
    ///
    /// # Safety
    /// The granules after the last are lent for 'a too, in the same allocated object, and 0 where all others were.
    pub(crate) unsafe fn extend(&mut self, added: Granules) {
        self.places.granules = self.places.granules.plus(added);
    }

    /// Returns the address from which on all bytes are 0, where none from `untouched` on was ever written.
    pub(crate) fn zeros_from(&self, untouched: Offset) -> usize {
        if self.zeroed { self.address(untouched) } else { usize::MAX }
    }

    /// Returns the region's places, which outlive this borrow.
    #[cfg(target_has_atomic = "64")]
    pub(crate) fn places(&self) -> Places<'a> {
        self.places
    }

    pub(crate) fn granules(&self) -> Granules {
        self.places.granules
    }

    /// Address of the granule at `at`, or of the first byte after the last.
    pub(crate) fn address(&self, at: Offset) -> usize {
        self.places.base.addr().wrapping_add(at.bytes())
    }

    /// Returns the granule that a pointer into the region points to.
    pub(crate) fn offset(&self, place: NonNull<u8>) -> Offset {
        Offset::of_byte(place.addr().get().wrapping_sub(self.places.base.addr()))
    }

    /// See [`Places::pointer`].
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn pointer(&self, at: Offset, count: Granules) -> Option<NonNull<u8>> {
        self.places.pointer(at, count)
    }

    /// See [`Places::granule`].
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn granule(&self, at: Offset) -> Option<NonNull<u8>> {
        self.places.granule(at)
    }

    /// Copies `count` granules from `from` to a place in the region, if the region has both.
    pub(crate) fn copy(&mut self, from: Offset, to: NonNull<u8>, count: Granules) {
        let to = self.offset(to);
        if let (Some(from), Some(to)) = (self.pointer(from, count), self.pointer(to, count)) {
            // SAFETY: in the region with `count` granules each: `pointer` has compared that.
            unsafe { bytes::copy(from, to, count) };
        }
    }

    /// Returns what the `next` field says of a successor at `next`: null where there is none.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn link_to(&self, next: Offset) -> *mut FreeHeader {
        self.granule(next).map_or(ptr::null_mut(), |place| place.cast().as_ptr())
    }

    /// Writes the header of a free block: `length` granules, and the next one.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn write_free(&mut self, at: Offset, length: Granules, next: Offset) {
        self.write_free_slot(at, length.length(), next);
    }

    /// Writes the header of a free slot, whose `length` is known, or of a free block.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn write_free_slot(&mut self, at: Offset, length: i32, next: Offset) {
        let header = FreeHeader { length, next: self.link_to(next) };
        if let Some(place) = self.granule(at) {
            // SAFETY: valid for writes: a granule of the region, which nobody else may touch while it is free; aligned:
            // region and offset are multiples of a granule.
            unsafe { write_free(place.as_ptr(), header) };
        }
    }

    /// Points the free header at `at`, if there is one, to `next` and leaves its length.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn link(&mut self, at: Offset, next: Offset) {
        let next = self.link_to(next);
        if let Some(place) = self.granule(at) {
            let header = place.cast::<FreeHeader>().as_ptr();
            // SAFETY: in bounds: a granule of the region; a place, not a value, is computed.
            let field = unsafe { &raw mut (*header).next };
            // SAFETY: valid for writes and aligned: a field of a header that lies in the region at a granule.
            unsafe { field.write(next) };
        }
    }

    /// Sets the length of the free header at `at`, if there is one, and leaves its link.
    pub(crate) fn set_length(&mut self, at: Offset, length: Granules) {
        if let Some(place) = self.granule(at) {
            // SAFETY: valid for writes and aligned: the header's first field, in the region at a granule.
            unsafe { place.cast::<i32>().write(length.length()) };
        }
    }

    /// Writes the header of an allocated block from `at` up to `end`, and that of the gap after it, which ends at `gap_end`, if
    /// there is one. Returns the payload; `None` if the region has no such block and gap.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn write_split(
        &mut self,
        at: Offset,
        end: Offset,
        gap_end: Offset,
        next: Offset,
    ) -> Option<NonNull<u8>> {
        if at >= end || end > gap_end || gap_end.index() > self.places.granules.count() {
            return None;
        }
        let (block, rest) = (at.up_to(end), end.up_to(gap_end));
        // SAFETY: in bounds: at < end <= granules was just compared, and all granules lie in one allocated object.
        let place = unsafe { self.places.base.add(at.bytes()) };
        // Without a rest its header is written at `at` and overwritten below: whether there is one cannot be predicted.
        let before_rest = if rest > Granules::ZERO { end } else { at };
        // SAFETY: in bounds: a granule of the rest or of the block, as above.
        let after = unsafe { self.places.base.add(before_rest.bytes()) };
        let header = FreeHeader { length: rest.minus(Granules::HEADER).length(), next: self.link_to(next) };
        // SAFETY: valid for writes: a granule that nobody else may touch while it is free; aligned: region and offset are
        // multiples of a granule.
        unsafe { write_free(after, header) };
        // SAFETY: valid for writes: the block's first granule; aligned: as above.
        unsafe { write_allocated(place, AllocatedHeader::new(block)) };
        // SAFETY: in bounds: the block has a granule, at whose end this is.
        let payload = unsafe { place.add(GRANULE) };
        // SAFETY: not null: it points into an object or to its end, after a granule of it.
        Some(unsafe { NonNull::new_unchecked(payload) })
    }

    /// Writes the header of an allocated block and returns its payload.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn write_allocated(&mut self, at: Offset, block: Granules) -> Option<NonNull<u8>> {
        let place = self.pointer(at, block.max(Granules::MIN_BLOCK))?;
        // SAFETY: valid for writes: the region has the block, of which the header is the first granule; aligned: region and
        // offset are multiples of a granule.
        unsafe { write_allocated(place.as_ptr(), AllocatedHeader::new(block)) };
        // SAFETY: in bounds: a block has two granules at least.
        Some(unsafe { place.add(GRANULE) })
    }

    /// Returns whether the header of a live block of `block` granules is as it was written. The padding is nobody's: a C
    /// program that assigns the struct may leave anything in it.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn allocated_is_intact(&self, at: Offset, block: Granules) -> bool {
        self.granule(at).is_some_and(|place| {
            let header = place.cast::<AllocatedHeader>().as_ptr();
            // SAFETY: in bounds: a granule of the region; a place, not a value, is computed.
            let field = unsafe { &raw const (*header).magic };
            // SAFETY: valid for reads, aligned, initialised: a live block's header, written when it was allocated; any bits
            // are a value. Volatile, as a wild write of the user's may come at any time.
            let magic = unsafe { field.read_volatile() };
            // SAFETY: as above, for the first field.
            let length = unsafe { header.cast::<i32>().read_volatile() };
            length == block.minus(Granules::HEADER).length() && magic.addr() == MAGIC
        })
    }

    /// Returns whether every byte was 0 when the memory was lent.
    pub(crate) fn is_zeroed(&self) -> bool {
        self.zeroed
    }

    /// Fills bytes of what starts at `at`, counted from there, with a pattern: see [`bytes::fill`].
    #[inline(always)]
    pub(crate) fn fill(&mut self, at: Offset, bytes: Range<usize>, word: u64) {
        if let Some(start) = self.pointer(at, Granules::from_bytes_ceil(bytes.end)) {
            // SAFETY: in the region: just compared. They are the heap's own, or those of an object that is the caller's.
            unsafe { bytes::fill(start, bytes, word) };
        }
    }

    /// Clears what starts at `at`, whole granules of so many bytes.
    #[inline(always)]
    pub(crate) fn clear(&mut self, at: Offset, bytes: usize) {
        if let Some(start) = self.pointer(at, Granules::from_bytes_floor(bytes)) {
            // SAFETY: in the region: just compared. They are the heap's own, or those of an object that is the caller's.
            unsafe { bytes::clear_granules(start, bytes & !(GRANULE - 1)) };
        }
    }

    /// Finds the bytes of what starts at `at` that are not as [`fill`](Self::fill) has left them: see [`bytes::differing`].
    #[inline(always)]
    pub(crate) fn differing(&self, at: Offset, bytes: Range<usize>, word: u64) -> Option<Range<usize>> {
        let start = self.pointer(at, Granules::from_bytes_ceil(bytes.end))?;
        // SAFETY: in the region: just compared.
        unsafe { bytes::differing(start, bytes, word) }
    }

    /// Returns whether nothing was written into the padding of the header at `at`.
    #[inline(always)]
    pub(crate) fn padding_is_clear(&self, at: Offset) -> bool {
        const PADDING: Range<usize> = size_of::<i32>()..offset_of!(AllocatedHeader, magic);
        PADDING.is_empty() || self.differing(at, PADDING, 0).is_none()
    }

    /// Returns the first byte of the header of a live block of `block` granules that is not as it was written.
    #[cold]
    pub(crate) fn overwritten_from(&self, at: Offset, block: Granules) -> Option<usize> {
        let AllocatedHeader { length, magic } = AllocatedHeader::new(block);
        let magic_at = offset_of!(AllocatedHeader, magic);
        let length = length.to_ne_bytes().into_iter().zip(0..);
        let magic = magic.addr().to_ne_bytes().into_iter().zip(magic_at..);
        let mut written = length.chain((size_of::<i32>()..magic_at).map(|at| (0, at))).chain(magic);
        let start = self.granule(at)?;
        written.find_map(|(byte, index)| {
            // SAFETY: in bounds: the fields of a header that lies in the region.
            let place = unsafe { start.add(index) };
            // SAFETY: valid for reads, initialised, any bits: as for `allocated_is_intact`.
            (unsafe { place.read_volatile() } != byte).then_some(index)
        })
    }

    /// Returns whether the granule at `at`, which starts with the header of a free slot, is a header of zeros.
    pub(crate) fn is_clear(&self, at: Offset) -> bool {
        self.free_is_intact(at, Granules::ZERO, Offset::NIL)
    }

    /// Returns whether the header of a free block or slot is as it was written.
    pub(crate) fn free_is_intact(&self, at: Offset, length: Granules, next: Offset) -> bool {
        self.granule(at).is_some_and(|place| {
            let header = place.cast::<FreeHeader>().as_ptr();
            // SAFETY: in bounds: a granule of the region; a place, not a value, is computed.
            let field = unsafe { &raw const (*header).next };
            // SAFETY: valid for reads, aligned, initialised, any bits: as for `allocated_is_intact`.
            let found = unsafe { field.read_volatile() };
            // SAFETY: as above, for the first field.
            let found_length = unsafe { header.cast::<i32>().read_volatile() };
            found_length == length.length() && found.addr() == self.link_to(next).addr()
        })
    }
}

/// Writes the header of a free block or slot, and leaves its padding.
///
/// # Safety
/// `place` is valid for writes, and aligned.
#[inline(always)]
unsafe fn write_free(place: *mut u8, header: FreeHeader) {
    let place = place.cast::<FreeHeader>();
    // SAFETY: in bounds: as the caller promises; a place, not a value, is computed.
    let next = unsafe { &raw mut (*place).next };
    // SAFETY: valid for writes, aligned: the first field of what the caller promises.
    unsafe { place.cast::<i32>().write(header.length) };
    // SAFETY: valid for writes, aligned: a field of what the caller promises.
    unsafe { next.write(header.next) };
}

/// Writes the header of a live block, and leaves its padding.
///
/// # Safety
/// `place` is valid for writes, and aligned.
#[inline(always)]
unsafe fn write_allocated(place: *mut u8, header: AllocatedHeader) {
    let place = place.cast::<AllocatedHeader>();
    // SAFETY: in bounds: as the caller promises; a place, not a value, is computed.
    let magic = unsafe { &raw mut (*place).magic };
    // SAFETY: valid for writes, aligned: the first field of what the caller promises.
    unsafe { place.cast::<i32>().write(header.length) };
    // SAFETY: valid for writes, aligned: a field of what the caller promises.
    unsafe { magic.write(header.magic) };
}
