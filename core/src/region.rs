//! The bytes of one segment, and the headers that are written into them.
//!
//! Every access compares its offset with the bounds first, whatever the offset's origin. Headers are written and read
//! through raw pointers: no reference into a region is ever made, as its bytes belong to others too.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::mem::{MaybeUninit, offset_of};
use core::ops::Range;
use core::ptr::{self, NonNull};

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
            unsafe { copy(from, to, count) };
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

    /// Fills bytes of what starts at `at`, counted from there, with a pattern: see [`fill`].
    #[inline(always)]
    pub(crate) fn fill(&mut self, at: Offset, bytes: Range<usize>, word: u64) {
        if let Some(start) = self.pointer(at, Granules::from_bytes_ceil(bytes.end)) {
            // SAFETY: in the region: just compared. They are the heap's own, or those of an object that is the caller's.
            unsafe { fill(start, bytes, word) };
        }
    }

    /// Clears what starts at `at`, whole granules of so many bytes.
    #[inline(always)]
    pub(crate) fn clear(&mut self, at: Offset, bytes: usize) {
        if let Some(start) = self.pointer(at, Granules::from_bytes_floor(bytes)) {
            // SAFETY: in the region: just compared. They are the heap's own, or those of an object that is the caller's.
            unsafe { clear_granules(start, bytes & !(GRANULE - 1)) };
        }
    }

    /// Finds the bytes of what starts at `at` that are not as [`fill`](Self::fill) has left them: see [`differing`].
    #[inline(always)]
    pub(crate) fn differing(&self, at: Offset, bytes: Range<usize>, word: u64) -> Option<Range<usize>> {
        let start = self.pointer(at, Granules::from_bytes_ceil(bytes.end))?;
        // SAFETY: in the region: just compared.
        unsafe { differing(start, bytes, word) }
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

/// Clears `bytes` of an object, but for those from the address `zeros_from` on.
///
/// # Safety
/// The `bytes` at `object` were just handed out by the heap and nobody else knows them yet.
pub(crate) unsafe fn clear(object: NonNull<u8>, bytes: usize, zeros_from: usize) {
    let bytes = zeros_from.saturating_sub(object.addr().get()).min(bytes);
    // SAFETY: valid for writes: as the caller promises; alignment of u8 is 1.
    unsafe { object.write_bytes(0, bytes) };
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

/// Bytes of a word of a pattern.
pub(crate) const WORD: usize = size_of::<u64>();

/// Words that are compared at once.
const WORDS: usize = 8;

/// Returns the bits of the first word that has a byte at `at` or after it. A word is read with its first byte lowest.
#[inline(always)]
pub(crate) const fn bits_from(at: usize) -> u64 {
    u64::MAX.wrapping_shl((at % WORD).wrapping_mul(8) as u32)
}

/// Fills `bytes`, counted from `start`, with a pattern: byte `i` becomes the word's byte `i % 8`. They end where a word does, unless the
/// pattern is zeros.
///
/// # Safety
/// `start` is a multiple of a granule, and from it on all granules that `bytes` reach into are valid for reads and writes.
#[inline(always)]
pub(crate) unsafe fn fill(start: NonNull<u8>, bytes: Range<usize>, word: u64) {
    let Range { start: from, end } = bytes;
    if from >= end {
        return;
    }
    if word == 0 {
        // SAFETY: in bounds: as the caller promises.
        let first = unsafe { start.add(from) };
        // SAFETY: valid for writes: as the caller promises; alignment of u8 is 1.
        return unsafe { first.write_bytes(0, end.wrapping_sub(from)) };
    }
    let mut at = from & !(WORD - 1);
    let mut bits = bits_from(from);
    while at < end {
        // SAFETY: in bounds: the word lies in one of the granules.
        let place = unsafe { start.add(at) }.cast::<u64>();
        // SAFETY: valid for reads, aligned: as the caller promises. Volatile, as the bytes may be another thread's.
        let kept = if bits == u64::MAX { 0 } else { unsafe { place.read_volatile() }.to_le() & !bits };
        // SAFETY: valid for writes, aligned: as the caller promises.
        unsafe { place.write((kept | word & bits).to_le()) };
        (at, bits) = (at.wrapping_add(WORD), u64::MAX);
    }
}

/// Clears the first `bytes` from `start` on, whole granules: by words where they are few.
///
/// # Safety
/// As for [`fill`].
#[inline(always)]
unsafe fn clear_granules(start: NonNull<u8>, bytes: usize) {
    const FEW: usize = 128;
    if bytes > FEW {
        // SAFETY: as the caller promises.
        return unsafe { fill(start, 0..bytes, 0) };
    }
    let mut at = 0;
    while at < bytes {
        // SAFETY: in bounds: as the caller promises.
        let place = unsafe { start.add(at) }.cast::<u64>();
        // SAFETY: valid for writes, aligned: as the caller promises. Volatile, or it would be a call of memset.
        unsafe { place.write_volatile(0) };
        at = at.wrapping_add(WORD);
    }
}

/// Finds the bytes that are not as [`fill`] has left them: the range from the first to the last one.
///
/// # Safety
/// As for [`fill`], for reads.
#[inline(always)]
pub(crate) unsafe fn differing(start: NonNull<u8>, bytes: Range<usize>, word: u64) -> Option<Range<usize>> {
    let Range { start: from, end } = bytes;
    if from >= end {
        return None;
    }
    let (mut at, whole) = (from & !(WORD - 1), end & !(WORD - 1));
    let (mut differ, mut bits) = (0, bits_from(from));
    while at < whole {
        if bits == u64::MAX && at.wrapping_add(const { WORDS * WORD }) <= whole {
            // SAFETY: as the caller promises.
            differ |= unsafe { differences(start, at, word) };
            at = at.wrapping_add(const { WORDS * WORD });
            continue;
        }
        // SAFETY: as the caller promises.
        differ |= unsafe { difference(start, at, word) } & bits;
        (at, bits) = (at.wrapping_add(WORD), u64::MAX);
    }
    if whole < end {
        // SAFETY: as the caller promises.
        differ |= unsafe { difference(start, whole, word) } & bits & !bits_from(end);
    }
    // SAFETY: as the caller promises.
    if differ == 0 { None } else { unsafe { differing_range(start, from..end, word) } }
}

/// Does what [`differing`] does where there are such bytes.
///
/// # Safety
/// As there.
#[cold]
#[inline(never)]
unsafe fn differing_range(start: NonNull<u8>, bytes: Range<usize>, word: u64) -> Option<Range<usize>> {
    let mut found: Option<Range<usize>> = None;
    for at in bytes {
        // SAFETY: as the caller promises.
        let differ =
            unsafe { difference(start, at & !(WORD - 1), word) }.wrapping_shr((at % WORD).wrapping_mul(8) as u32);
        if differ & 0xff != 0 {
            found = Some(found.map_or(at, |found| found.start)..at.wrapping_add(1));
        }
    }
    found
}

/// Returns the bits in which the word at `at` is not `word`, its first byte lowest.
///
/// # Safety
/// As for [`differing`], for the word at `at`.
#[inline(always)]
unsafe fn difference(start: NonNull<u8>, at: usize, word: u64) -> u64 {
    // SAFETY: in bounds: as the caller promises.
    let place = unsafe { start.add(at) }.cast::<u64>();
    // SAFETY: valid for reads, aligned: as the caller promises; the heap has written every byte. Volatile, as a wild write may come at
    // any time.
    (unsafe { place.read_volatile() }).to_le() ^ word
}

/// Returns the bits in which any of the words from `at` on, [`WORDS`] of them, is not `word`.
///
/// # Safety
/// As for [`difference`], for those words.
#[inline(always)]
unsafe fn differences(start: NonNull<u8>, at: usize, word: u64) -> u64 {
    // SAFETY: in bounds: as the caller promises.
    let place = unsafe { start.add(at) }.cast::<[u64; WORDS]>();
    // SAFETY: valid for reads, aligned: as the caller promises; the heap has written every byte.
    unsafe { place.read() }.into_iter().fold(0, |differ, found| differ | found.to_le() ^ word)
}

/// Copies `count` granules of one payload into another.
///
/// # Safety
/// Both lie in the heap's region with at least `count` granules each, at multiples of a granule. They may overlap: what is
/// copied then is anybody's, as only a free of the old object by another thread makes them.
pub(crate) unsafe fn copy(from: NonNull<u8>, to: NonNull<u8>, count: Granules) {
    // Not reached: the loop, but without an operating system, where it is smaller than the 700 bytes of memmove.
    if cfg!(target_os = "none") {
        // Not reached: as above. SAFETY: as the caller promises.
        return unsafe { copy_words(from.cast(), to.cast(), count) };
    }
    // SAFETY: valid for reads and writes: as the caller promises; overlap is allowed; alignment of u8 is 1.
    unsafe { from.copy_to(to, count.bytes()) }
}

/// [`copy`] by words.
///
/// # Safety
/// As for [`copy`].
// Not reached: by targets with an operating system.
unsafe fn copy_words(from: NonNull<MaybeUninit<usize>>, to: NonNull<MaybeUninit<usize>>, count: Granules) {
    const WORD: usize = size_of::<usize>();
    for at in 0..count.bytes() / WORD {
        // SAFETY: in bounds: both have `count` granules.
        let from = unsafe { from.add(at) };
        // SAFETY: as above.
        let to = unsafe { to.add(at) };
        // SAFETY: valid for reads, aligned: as the caller promises. Volatile, or it would become memmove again.
        let word = unsafe { from.read_volatile() };
        // SAFETY: valid for writes, aligned: as the caller promises.
        unsafe { to.write_volatile(word) };
    }
}
