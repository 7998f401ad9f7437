//! Clears, fills, compares and copies bytes of a region.
//!
//! Apart from [the region](crate::region), which compares offsets with its bounds: here the caller promises that the bytes may be
//! touched.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::NonNull;

use crate::units::Granules;

/// Clears `bytes` of an object, but for those from the address `zeros_from` on.
///
/// # Safety
/// The `bytes` at `object` were just handed out by the heap and nobody else knows them yet.
pub(crate) unsafe fn clear(object: NonNull<u8>, bytes: usize, zeros_from: usize) {
    let bytes = zeros_from.saturating_sub(object.addr().get()).min(bytes);
    // SAFETY: valid for writes: as the caller promises; alignment of u8 is 1.
    unsafe { object.write_bytes(0, bytes) };
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
pub(crate) unsafe fn clear_granules(start: NonNull<u8>, bytes: usize) {
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
