//! The bytes of a slot of a hardened heap, by words: compared with zeros or with a pattern, cleared, and drawn.
//!
//! A slot is short, so that a call of memset would take longer.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ptr::NonNull;

use static_assertions::const_assert;

use crate::bytes::{WORD, bits_from};
use crate::region::Region;
use crate::units::{GRANULE, Granules, Offset};

const_assert!(GRANULE % WORD == 0);

/// Bytes that are compared or cleared at once.
const CHUNK: usize = 64;
const PER_CHUNK: usize = CHUNK / WORD;
const PER_GRANULE: usize = GRANULE / WORD;

/// Granules and words that are reached whether there are so many or not, each of the others being the last one then: a branch that depends
/// on an object's size is one that the processor cannot foresee.
const FEW: usize = 8;
const NEAR_WORDS: usize = 3;

/// Whole granules of the region, which nobody else reads or writes while this borrows it.
///
/// Invariant: the `last` granule's bytes, and all from `start` up to them, are valid for reads and writes for `'r`; both are multiples of a
/// granule.
pub(crate) struct Span<'r> {
    start: NonNull<u8>,
    last: usize,
    region: PhantomData<&'r mut [u8]>,
}

impl Region<'_> {
    /// Returns `count` granules from `at` on, at least one, if the region has them. They are the heap's own, or an object's that the caller
    /// gives up.
    #[inline(always)]
    pub(crate) fn span(&mut self, at: Offset, count: Granules) -> Option<Span<'_>> {
        let last = count.bytes().checked_sub(GRANULE)?;
        Some(Span { start: self.pointer(at, count)?, last, region: PhantomData })
    }
}

impl Span<'_> {
    #[inline(always)]
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Returns whether all bytes are zeros.
    #[inline(always)]
    pub(crate) fn is_zero(&self) -> bool {
        let Some(tail) = self.tail() else {
            return (0..FEW).fold(0, |found, index| found | self.bits::<PER_GRANULE>(self.granule(index))) == 0;
        };
        let (mut at, mut found) = (0, self.bits::<PER_CHUNK>(tail));
        while at < tail {
            found |= self.bits::<PER_CHUNK>(at);
            at = at.wrapping_add(CHUNK);
        }
        found == 0
    }

    /// Makes all bytes zeros.
    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        let Some(tail) = self.tail() else {
            return (0..FEW).for_each(|index| self.set_zeros::<PER_GRANULE>(self.granule(index)));
        };
        let mut at = 0;
        while at < tail {
            self.set_zeros::<PER_CHUNK>(at);
            at = at.wrapping_add(CHUNK);
        }
        self.set_zeros::<PER_CHUNK>(tail);
    }

    /// Returns where the last chunk starts, if there are more granules than a few.
    #[inline(always)]
    fn tail(&self) -> Option<usize> {
        (self.last >= const { FEW * GRANULE }).then_some(self.last.wrapping_sub(const { CHUNK - GRANULE }))
    }

    /// Returns where a granule starts, or the last one.
    #[inline(always)]
    fn granule(&self, index: usize) -> usize {
        index.wrapping_mul(GRANULE).min(self.last)
    }

    /// Returns the bits that are in any of the `N` words from `at` on, all in the span.
    #[inline(always)]
    fn bits<const N: usize>(&self, at: usize) -> u64 {
        // SAFETY: in bounds: as said above.
        let place = unsafe { self.start.add(at) }.cast::<[u64; N]>();
        // SAFETY: valid for reads, aligned: by the invariant; initialised: the heap has written every byte.
        unsafe { place.read() }.into_iter().fold(0, |bits, word| bits | word)
    }

    /// Makes the `N` words from `at` on, all in the span, zeros.
    #[inline(always)]
    fn set_zeros<const N: usize>(&mut self, at: usize) {
        // SAFETY: in bounds: as said above.
        let place = unsafe { self.start.add(at) }.cast::<[u64; N]>();
        // SAFETY: valid for writes, aligned: by the invariant.
        unsafe { place.write([0; N]) };
    }

    /// Returns whether the bytes from `from` on, which are a word at least, are as [`draw`](Self::draw) has left them.
    #[inline(always)]
    pub(crate) fn keeps(&self, from: usize, pattern: u64) -> bool {
        let last = self.last_word();
        let first = (from & !(WORD - 1)).min(last);
        let mut found = (self.word(first) ^ pattern) & bits_from(from);
        for index in 1..NEAR_WORDS {
            found |= self.word(first.wrapping_add(index.wrapping_mul(WORD)).min(last)) ^ pattern;
        }
        let mut at = first.wrapping_add(const { NEAR_WORDS * WORD });
        while at <= last {
            found |= self.word(at) ^ pattern;
            at = at.wrapping_add(WORD);
        }
        found == 0
    }

    /// Draws a pattern from `from` on, where all bytes are zeros, and are a word at least.
    #[inline(always)]
    pub(crate) fn draw(&mut self, from: usize, pattern: u64) {
        let last = self.last_word();
        let first = (from & !(WORD - 1)).min(last);
        let mut at = first.wrapping_add(const { NEAR_WORDS * WORD });
        while at <= last {
            self.set(at, pattern);
            at = at.wrapping_add(WORD);
        }
        for index in 1..NEAR_WORDS {
            self.set(first.wrapping_add(index.wrapping_mul(WORD)).min(last), pattern);
        }
        // The last one, if there is no other, is all pattern.
        self.set(first, pattern & bits_from(from));
    }

    #[inline(always)]
    fn last_word(&self) -> usize {
        self.last.wrapping_add(const { GRANULE - WORD })
    }

    /// Returns the word at `at`, a multiple of a word up to the last one, its first byte lowest.
    #[inline(always)]
    fn word(&self, at: usize) -> u64 {
        // SAFETY: in bounds: as said above.
        let place = unsafe { self.start.add(at) }.cast::<u64>();
        // SAFETY: valid for reads, aligned: by the invariant; initialised: the heap has written every byte. Volatile, as a wild write may
        // come at any time.
        unsafe { place.read_volatile() }.to_le()
    }

    /// Sets the word at `at`, as [`word`](Self::word) returns it.
    #[inline(always)]
    fn set(&mut self, at: usize, word: u64) {
        // SAFETY: in bounds: as said above.
        let place = unsafe { self.start.add(at) }.cast::<u64>();
        // SAFETY: valid for writes, aligned: by the invariant. Volatile, or a loop of this would be a call of memset.
        unsafe { place.write_volatile(word.to_le()) };
    }
}
