//! Bits in native words: windows, which show almost a word of bits from any boundary on, and summaries, which find the next set
//! bit in a step for each level.
//!
//! Bit `i` of an array is bit `i % 8` of byte `i / 8`. So an unaligned load of the word at byte `i / 8`, shifted right by `i % 8`,
//! shows the bits from `i` on, whatever words they lie in. The arrays are padded at both ends so that every such load is in bounds.
//! (Where the processor has no unaligned loads, the compiler uses byte loads; two aligned words and a funnel shift take as many
//! instructions.)
#![allow(unsafe_code)]

use core::{iter, ptr};

use crate::memory::{Bump, Lent};
use crate::units::{BITS, Offset, Word};

/// Returns the bits of a word from `bit` up.
pub(crate) const fn from_bit(bit: u32) -> Word {
    Word::MAX.wrapping_shl(bit)
}

/// Returns the bits of a word above `bit`.
pub(crate) const fn above_bit(bit: u32) -> Word {
    (Word::MAX - 1).wrapping_shl(bit)
}

/// Returns the bits of a word up to `bit`.
pub(crate) const fn up_to_bit(bit: u32) -> Word {
    !above_bit(bit)
}

/// Returns the bits of a word below `bit`.
pub(crate) const fn below_bit(bit: u32) -> Word {
    !from_bit(bit)
}

/// Returns the highest set bit of a word that is not zero.
pub(crate) const fn highest(word: Word) -> u32 {
    (BITS - 1).wrapping_sub(word.leading_zeros())
}

/// Returns the bits of a word from its lowest set bit up; none if it has none.
pub(crate) const fn from_lowest(word: Word) -> Word {
    word | word.wrapping_neg()
}

/// Returns the bits of a word above its lowest set bit; none if it has none.
pub(crate) const fn above_lowest(word: Word) -> Word {
    !(word ^ word.wrapping_sub(1))
}

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

/// Levels of the largest tree. Six suffice for the slots of the largest heap; a power of two lets a mask bring a level into bounds.
const LEVELS: u32 = 8;

/// Bits with summaries: the next or previous set bit is found in O(levels), O(log of the bits).
///
/// Above the words of bits stand words of summary, as in the ready lists of real-time schedulers. The first two levels are inline:
/// they find what lies within a word of words.
///
/// Invariants: bit `i` of level `k + 1` is set iff word `i` of level `k` is not zero. Each level ends with a word that is zero.
#[derive(Debug)]
pub(crate) struct BitTree<'a> {
    /// All levels, the bits first.
    words: Lent<'a, Word>,
    /// Where each level begins.
    starts: [u32; LEVELS as usize],
    /// The level of one word, at least 1.
    top: u32,
}

/// What [`BitTree::next`] and [`previous`](BitTree::previous) return where there is no such bit.
pub(crate) const NO_BIT: u32 = u32::MAX;

impl<'a> BitTree<'a> {
    /// A tree of no bits, all zeros.
    pub(crate) const EMPTY: Self = Self { words: Lent::EMPTY, starts: [0; LEVELS as usize], top: 0 };

    /// Returns how many words a tree of `bits` bits takes.
    pub(crate) const fn words(bits: u32) -> usize {
        let (mut words, mut below, mut level) = (0usize, bits, 0);
        loop {
            below = below.div_ceil(BITS);
            words = words.saturating_add(below as usize).saturating_add(1);
            if level > 0 && below <= 1 {
                return words;
            }
            level = 1;
        }
    }

    /// Makes an empty tree one of `bits` clear bits; `None` if the memory or the levels do not suffice.
    pub(crate) fn set_up(&mut self, bits: u32, memory: &mut Bump<'a>) -> Option<()> {
        self.words = memory.slice(Self::words(bits))?;
        let (mut below, mut next) = (bits, 0u32);
        for (level, start) in (0u32..).zip(&mut self.starts) {
            *start = next;
            below = below.div_ceil(BITS);
            next = next.wrapping_add(below).wrapping_add(1);
            if level > 0 && below <= 1 {
                self.top = level;
                return Some(());
            }
        }
        // Not reached: more bits than the levels hold, which no heap has.
        None
    }

    #[expect(clippy::indexing_slicing, reason = "the mask brings the index into bounds")]
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn place(&self, level: u32, word: u32) -> usize {
        self.starts[(level & (LEVELS - 1)) as usize].wrapping_add(word) as usize
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn word(&self, level: u32, word: u32) -> Word {
        self.words.get(self.place(level, word))
    }

    /// Returns the word of bits that holds `bit`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn word_of(&self, bit: u32) -> Word {
        self.words.get((bit / BITS) as usize)
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn contains(&self, bit: u32) -> bool {
        self.word_of(bit).wrapping_shr(bit) & 1 != 0
    }

    /// Sets a bit whose word is not zero.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn set_in_word(&mut self, bit: u32) {
        let _ = set_in(self.words.get_mut((bit / BITS) as usize), bit);
    }

    /// Clears a bit whose word has others.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn clear_in_word(&mut self, bit: u32) {
        let _ = clear_in(self.words.get_mut((bit / BITS) as usize), bit);
    }

    /// Sets a bit.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn set(&mut self, bit: u32) {
        if set_in(self.words.get_mut((bit / BITS) as usize), bit) {
            let above = self.place(1, bit / (BITS * BITS));
            if set_in(self.words.get_mut(above), bit / BITS) {
                self.set_above(bit / (BITS * BITS));
            }
        }
    }

    /// Clears a bit.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn clear(&mut self, bit: u32) {
        if clear_in(self.words.get_mut((bit / BITS) as usize), bit) {
            let above = self.place(1, bit / (BITS * BITS));
            if clear_in(self.words.get_mut(above), bit / BITS) {
                self.clear_above(bit / (BITS * BITS));
            }
        }
    }

    /// Sets bit `bit` of level 2 and the summaries above it, as far up as they are not set yet.
    #[cold]
    #[inline(never)]
    fn set_above(&mut self, bit: u32) {
        let (mut level, mut bit) = (2, bit);
        while level <= self.top {
            let place = self.place(level, bit / BITS);
            if !set_in(self.words.get_mut(place), bit) {
                return;
            }
            (level, bit) = (level.wrapping_add(1), bit / BITS);
        }
    }

    /// Clears bit `bit` of level 2 and the summaries above it, as far up as words become zero.
    #[cold]
    #[inline(never)]
    fn clear_above(&mut self, bit: u32) {
        let (mut level, mut bit) = (2, bit);
        while level <= self.top {
            let place = self.place(level, bit / BITS);
            if !clear_in(self.words.get_mut(place), bit) {
                return;
            }
            (level, bit) = (level.wrapping_add(1), bit / BITS);
        }
    }

    /// Finds the first set bit from `from` on, or [`NO_BIT`].
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn next(&self, from: u32) -> u32 {
        match self.word_of(from) & from_bit(from) {
            0 => self.far_next(from),
            here => from & !(BITS - 1) | here.trailing_zeros(),
        }
    }

    #[inline(never)]
    fn far_next(&self, from: u32) -> u32 {
        let (mut level, mut at) = (1, (from / BITS).wrapping_add(1));
        while level <= self.top {
            let word = self.word(level, at / BITS) & from_bit(at);
            if word != 0 {
                return self.descend(level, at & !(BITS - 1) | word.trailing_zeros(), Word::trailing_zeros);
            }
            (level, at) = (level.wrapping_add(1), (at / BITS).wrapping_add(1));
        }
        NO_BIT
    }

    /// Finds the last set bit before `before`, which is a bit of the tree, or [`NO_BIT`].
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn previous(&self, before: u32) -> u32 {
        match self.word_of(before) & below_bit(before) {
            0 => self.far_previous(before),
            here => before & !(BITS - 1) | highest(here),
        }
    }

    #[inline(never)]
    fn far_previous(&self, before: u32) -> u32 {
        let (mut level, mut at) = (1, before / BITS);
        while level <= self.top {
            let word = self.word(level, at / BITS) & below_bit(at);
            if word != 0 {
                return self.descend(level, at & !(BITS - 1) | highest(word), highest);
            }
            (level, at) = (level.wrapping_add(1), at / BITS);
        }
        NO_BIT
    }

    /// Descends from bit `at` of `level`, at least 1, to a bit of level 0, by the bit that `choose` picks in each word.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn descend(&self, level: u32, at: u32, choose: impl Fn(Word) -> u32) -> u32 {
        let (mut level, mut at) = (level, at);
        loop {
            level = level.wrapping_sub(1);
            at = at.wrapping_mul(BITS).wrapping_add(choose(self.word(level, at)));
            if level == 0 {
                return at;
            }
        }
    }

    /// Returns the set bits in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let from = |first| Some(self.next(first)).filter(|bit| *bit != NO_BIT);
        iter::successors(from(0), move |bit| from(bit.wrapping_add(1)))
    }

    /// Returns the number of words of a level, without the zero word at its end.
    fn words_in(&self, level: u32) -> u32 {
        let end = match level.checked_add(1).filter(|above| *above <= self.top) {
            Some(above) => self.place(above, 0),
            None => self.words.len(),
        };
        (end as u32).wrapping_sub(1).wrapping_sub(self.place(level, 0) as u32)
    }

    /// Returns whether the invariants hold.
    pub(crate) fn is_whole(&self) -> bool {
        if self.words.len() == 0 {
            return true;
        }
        (0..=self.top).all(|level| {
            let (words, above) = (self.words_in(level), level.wrapping_add(1));
            let is_summary = |word: u32| {
                let is_set = self.word(above, word / BITS).wrapping_shr(word) & 1 != 0;
                is_set == (word < words && self.word(level, word) != 0)
            };
            // All bits of the summary, also those that stand for no word.
            let bits = if level < self.top { self.words_in(above).wrapping_mul(BITS) } else { 0 };
            self.word(level, words) == 0 && (0..bits).all(is_summary)
        })
    }
}

/// Sets a bit of a word; whether the word was zero.
#[cfg_attr(target_pointer_width = "64", inline(always))]
fn set_in(word: Option<&mut Word>, bit: u32) -> bool {
    word.is_some_and(|word| {
        let before = *word;
        *word = before | (1 as Word).wrapping_shl(bit);
        before == 0
    })
}

/// Clears a bit of a word; whether the word is zero then.
#[cfg_attr(target_pointer_width = "64", inline(always))]
fn clear_in(word: Option<&mut Word>, bit: u32) -> bool {
    word.is_some_and(|word| {
        *word &= !(1 as Word).wrapping_shl(bit);
        *word == 0
    })
}

/// What tests reach.
#[cfg(test)]
impl BitTree<'_> {
    /// Returns the number of levels, that of the bits included.
    pub(crate) fn levels(&self) -> u32 {
        self.top + 1
    }

    /// Returns where the words of a level stand, the zero word at its end included.
    pub(crate) fn places(&self, level: u32) -> core::ops::Range<usize> {
        let end = if level < self.top { self.place(level + 1, 0) } else { self.words.len() };
        self.place(level, 0)..end
    }

    pub(crate) fn word_mut(&mut self, place: usize) -> Option<&mut Word> {
        self.words.get_mut(place)
    }
}
