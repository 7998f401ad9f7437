//! Where blocks start and end, as two arrays of bits. A window shows almost a word of either, from any boundary on.
//!
//! Bit `i` of an array is bit `i % 8` of byte `i / 8`. So an unaligned load of the word at byte `i / 8`, shifted right by `i % 8`,
//! shows the bits from `i` on, whatever words they lie in. The arrays are padded at both ends so that every such load is in bounds.
//! (Where the processor has no unaligned loads, the compiler uses byte loads; two aligned words and a funnel shift take as many
//! instructions.)
//!
//! Apart from [the block map](crate::block_map), which says what the bits mean, because the words are reached through pointers.
#![allow(unsafe_code)]

use core::ptr;

use crate::lent::Lent;
use crate::memory::Bump;
use crate::units::{BITS, Offset, Word};

/// Words of padding before, between and after the two arrays of [`Boundaries`].
const PADDING: usize = 2;

/// Two bits for each boundary between granules: whether a block starts there, and whether one ends there.
///
/// Invariants: `starts` and `ends` point to the words of chunk 0, which the words of the other chunks follow; all of them and
/// [`PADDING`] words before and after each array lie in `words`; or all are 0. Boundaries below `limit` have bits, and
/// `limit` is a multiple of [`BITS`].
#[derive(Debug)]
pub(crate) struct Boundaries<'a> {
    starts: *mut Word,
    ends: *mut Word,
    limit: usize,
    words: Lent<'a, Word>,
}

// SAFETY: the pointers lead to nothing but the lent words, which are Send.
unsafe impl Send for Boundaries<'_> {}
// SAFETY: through `&Boundaries` the words are only read.
unsafe impl Sync for Boundaries<'_> {}

/// Bits of both kinds, from the same boundary on or of the same chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) starts: Word,
    pub(crate) ends: Word,
}

/// A boundary that has bits: it was compared with the limit.
///
/// Invariant: below the limit of the `Boundaries` that made it, of which each heap has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(u32);

/// A boundary that has bits or lies in the padding.
///
/// Invariant: at most [`BITS`] above a [`Place`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near(u32);

impl Window {
    /// Returns the gaps: where a block ends and none starts.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn gaps(self) -> Word {
        self.ends & !self.starts
    }
}

impl Place {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn offset(self) -> Offset {
        Offset::new(self.0)
    }

    /// Returns the boundary of a window's lowest bit among `bits`, which the window at this place showed.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn lowest(self, bits: Word) -> Near {
        Near(self.0.wrapping_add(bits.trailing_zeros()))
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn near(self) -> Near {
        Near(self.0)
    }
}

impl Near {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn offset(self) -> Offset {
        Offset::new(self.0)
    }
}

impl<'a> Boundaries<'a> {
    /// No boundaries, all zeros.
    pub(crate) const EMPTY: Self =
        Self { starts: ptr::null_mut(), ends: ptr::null_mut(), limit: 0, words: Lent::EMPTY };

    /// Returns how many words the boundaries of `chunks` chunks take.
    pub(crate) const fn words(chunks: u32) -> usize {
        (chunks as usize).saturating_mul(2).saturating_add(3 * PADDING)
    }

    /// Makes room for `chunks` chunks, all clear.
    pub(crate) fn set_up(&mut self, chunks: u32, memory: &mut Bump<'a>) -> Option<()> {
        self.words = memory.slice(Self::words(chunks))?;
        // SAFETY: in bounds: the padding before the words.
        self.starts = unsafe { self.words.start().add(PADDING) };
        // SAFETY: in bounds: the words of all chunks and the padding after them follow.
        self.ends = unsafe { self.starts.add((chunks as usize).wrapping_add(PADDING)) };
        self.limit = (chunks as usize).wrapping_mul(BITS as usize);
        Some(())
    }

    /// Returns the boundary at `at`, if it has bits.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn place(&self, at: Offset) -> Option<Place> {
        ((at.index() as usize) < self.limit).then_some(Place(at.index()))
    }

    /// Returns the bits from a boundary on: at least `BITS - 7` of each kind, from bit 0 up.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn ahead(&self, Place(at): Place) -> Window {
        let byte = (at / 8) as isize;
        let window = |words: *mut Word| {
            // SAFETY: in bounds: the word's bytes are those from `at / 8` on, of which the last is in the padding at most.
            let word = unsafe { read(words, byte) };
            word.wrapping_shr(at % 8)
        };
        Window { starts: window(self.starts), ends: window(self.ends) }
    }

    /// Returns the bits up to a boundary: at least `BITS - 7` of each kind, from the highest bit down.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn behind(&self, Place(at): Place) -> Window {
        let byte = ((at / 8) as isize).wrapping_sub((BITS / 8 - 1) as isize);
        let window = |words: *mut Word| {
            // SAFETY: in bounds: the word's bytes are those up to `at / 8`, of which the first is in the padding at least.
            let word = unsafe { read(words, byte) };
            word.wrapping_shl(!at % 8)
        };
        Window { starts: window(self.starts), ends: window(self.ends) }
    }

    /// Returns the number of chunks.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn count(&self) -> usize {
        const BITS: usize = Word::BITS as usize;
        self.limit / BITS
    }

    /// Returns the bits of a chunk; none if there is no such chunk.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn chunk(&self, chunk: u32) -> Window {
        if chunk as usize >= self.count() {
            return Window { starts: 0, ends: 0 };
        }
        self.around(Near(chunk.wrapping_mul(BITS)))
    }

    /// Returns the bits of a boundary's chunk.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn around(&self, Near(at): Near) -> Window {
        let index = (at / BITS) as usize;
        let word = |words: *mut Word| {
            // SAFETY: in bounds: a word of a chunk or of the padding after it.
            let word = unsafe { words.add(index) };
            // SAFETY: valid for reads, aligned, initialised: by the invariant.
            Word::from_le(unsafe { word.read() })
        };
        Window { starts: word(self.starts), ends: word(self.ends) }
    }

    /// Flips the start bit of a boundary and returns the bits of its chunk.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn flip_start(&mut self, at: Near) -> Window {
        let Window { starts, ends } = self.around(at);
        let starts = starts ^ bit(at.0);
        // SAFETY: in bounds: a word of a chunk or of the padding after it.
        let word = unsafe { self.starts.add((at.0 / BITS) as usize) };
        // SAFETY: valid for writes, aligned: by the invariant.
        unsafe { word.write(starts.to_le()) };
        Window { starts, ends }
    }

    /// Flips the end bit of a boundary and returns the bits of its chunk.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn flip_end(&mut self, at: Near) -> Window {
        let Window { starts, ends } = self.around(at);
        let ends = ends ^ bit(at.0);
        // SAFETY: in bounds: a word of a chunk or of the padding after it.
        let word = unsafe { self.ends.add((at.0 / BITS) as usize) };
        // SAFETY: valid for writes, aligned: by the invariant.
        unsafe { word.write(ends.to_le()) };
        Window { starts, ends }
    }

    /// Returns the bits of each chunk.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = Window> + '_ {
        (0..self.count()).map(|chunk| self.chunk(chunk as u32))
    }

    /// Returns whether the padding is clear.
    pub(crate) fn padding_is_clear(&self) -> bool {
        let chunks = self.count();
        let arrays = [PADDING, chunks.wrapping_add(2 * PADDING)].map(|start| start..start.wrapping_add(chunks));
        (0..self.words.len())
            .all(|index| arrays.iter().any(|array| array.contains(&index)) || self.words.get(index) == 0)
    }
}

/// What tests reach.
#[cfg(test)]
impl Boundaries<'_> {
    pub(crate) const PADDING: usize = PADDING;

    pub(crate) fn word_mut(&mut self, index: usize) -> Option<&mut Word> {
        self.words.get_mut(index)
    }
}

#[cfg_attr(target_pointer_width = "64", inline(always))]
const fn bit(at: u32) -> Word {
    (1 as Word).wrapping_shl(at)
}

/// Returns the word that begins at byte `byte` of `words`.
///
/// # Safety
/// Its bytes belong to the array or its padding.
#[cfg_attr(target_pointer_width = "64", inline(always))]
unsafe fn read(words: *mut Word, byte: isize) -> Word {
    // SAFETY: in bounds: as the caller promises.
    let place = unsafe { words.byte_offset(byte) };
    // SAFETY: valid for reads and initialised: as the caller promises; any alignment will do.
    Word::from_le(unsafe { place.read_unaligned() })
}
