//! Bits in native words: windows, which show a word's worth of bits from any place on, and summaries, in which the next set
//! bit is found in a step for each level.
//!
//! Bit `i` of an array is bit `i % 8` of byte `i / 8`: a word read at any byte shows the bits from there on, whatever words
//! they lie in, and one shift brings bit `i` to its end. The arrays are padded by a word at both ends for that. (Where the
//! processor has no unaligned loads, the compiler makes one of byte loads; two aligned words and a funnel shift take as many
//! instructions.)
#![allow(unsafe_code)]

use crate::memory::{Bump, Lent};
use crate::units::{BITS, Offset, Word};

/// Bytes of a word.
const WORD: u32 = BITS / 8;

/// The bits of a word from `bit` up.
pub(crate) const fn from_bit(bit: u32) -> Word {
    Word::MAX.wrapping_shl(bit)
}

/// The bits of a word above `bit`.
pub(crate) const fn above_bit(bit: u32) -> Word {
    (Word::MAX - 1).wrapping_shl(bit)
}

/// The bits of a word up to `bit`.
pub(crate) const fn up_to_bit(bit: u32) -> Word {
    !above_bit(bit)
}

/// The bits of a word below `bit`.
pub(crate) const fn below_bit(bit: u32) -> Word {
    !from_bit(bit)
}

/// The highest set bit of a word that is not zero.
pub(crate) const fn highest(word: Word) -> u32 {
    (BITS - 1).wrapping_sub(word.leading_zeros())
}

/// The bits of a word from its lowest set bit up; none if it has none.
pub(crate) const fn from_lowest(word: Word) -> Word {
    word | word.wrapping_neg()
}

/// The bits of a word above its lowest set bit; none if it has none.
pub(crate) const fn above_lowest(word: Word) -> Word {
    !(word ^ word.wrapping_sub(1))
}

/// An array of bits, one for each place of a segment.
///
/// Invariant: `words` has a word of padding at both ends, whose bits are clear; `limit` is the number of bits between.
#[derive(Debug)]
pub(crate) struct Bits<'a> {
    words: Lent<'a, Word>,
    limit: u32,
}

impl<'a> Bits<'a> {
    /// An array of no bits.
    pub(crate) const EMPTY: Self = Self { words: Lent::EMPTY, limit: 0 };

    /// Words that the bits of `chunks` chunks take.
    pub(crate) const fn words(chunks: u32) -> usize {
        (chunks as usize).saturating_add(2)
    }

    /// The bits of `chunks` chunks, all clear.
    pub(crate) fn new(chunks: u32, memory: &mut Bump<'a>) -> Option<Self> {
        // The last bits of 2^32 cannot be counted, and no segment has them.
        Some(Self { words: memory.slice(Self::words(chunks))?, limit: chunks.saturating_mul(BITS) })
    }

    /// The bits from `at` on: at least `BITS - 7` of them, from bit 0 of the answer up.
    #[inline(always)]
    pub(crate) fn ahead(&self, at: Offset) -> Word {
        let index = at.index();
        if index >= self.limit {
            return 0;
        }
        // SAFETY: in bounds: the word's bytes are those from WORD + index / 8 on, of which the last is before
        // 2 * WORD + limit / 8, the length.
        let word = unsafe { self.read(WORD.wrapping_add(index / 8)) };
        word.wrapping_shr(index % 8)
    }

    /// The bits up to `at`: at least `BITS - 7` of them, from the highest bit of the answer down.
    #[inline(always)]
    pub(crate) fn behind(&self, at: Offset) -> Word {
        let index = at.index();
        if index >= self.limit {
            return 0;
        }
        // SAFETY: in bounds: the word's bytes are those up to WORD + index / 8, of which the first is byte 1 or later.
        let word = unsafe { self.read((index / 8).wrapping_add(1)) };
        word.wrapping_shl(7u32.wrapping_sub(index % 8))
    }

    /// The word that begins at byte `byte`.
    ///
    /// # Safety
    /// `byte + WORD` is at most the array's length in bytes.
    #[inline(always)]
    unsafe fn read(&self, byte: u32) -> Word {
        // SAFETY: in bounds: as the caller promises.
        let place = unsafe { self.words.start().cast::<u8>().add(byte as usize) };
        // SAFETY: valid for reads and initialised: the array's own words; any alignment will do.
        Word::from_le(unsafe { place.cast::<Word>().read_unaligned() })
    }

    /// The bits of a chunk.
    #[inline(always)]
    pub(crate) fn chunk(&self, chunk: u32) -> Word {
        Word::from_le(self.words.get((chunk as usize).wrapping_add(1)))
    }

    /// Turns the bit at `at` over and returns the bits of its chunk.
    #[inline(always)]
    pub(crate) fn flip(&mut self, at: Offset) -> Word {
        let Some(word) = self.words.get_mut((at.chunk() as usize).wrapping_add(1)) else { return 0 };
        let bits = Word::from_le(*word) ^ (1 as Word).wrapping_shl(at.index());
        *word = bits.to_le();
        bits
    }

    /// The chunks there are, and the words that hold them.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = Word> + '_ {
        (0..self.words.len().saturating_sub(2)).map(|chunk| self.chunk(chunk as u32))
    }

    /// Whether the padding at both ends is clear.
    pub(crate) fn padding_is_clear(&self) -> bool {
        self.words.get(0) == 0 && self.words.get(self.words.len().wrapping_sub(1)) == 0
    }

    #[cfg(test)]
    pub(crate) fn set_padding(&mut self) {
        for index in [0, self.words.len() - 1] {
            *self.words.get_mut(index).unwrap() = Word::MAX;
        }
    }
}

/// 64^6 or 32^6 bits: the slots of a granule in the largest heap, and more than it has chunks.
const LEVELS: usize = 6;

/// Bits with summaries: the next or previous set bit is found in O(levels), O(log of the bits).
///
/// Above the words of bits stand words of summary. (The bitmap version of van Emde Boas' idea, as in the ready lists of
/// real-time schedulers.)
///
/// Invariants: bit `i` of level `k + 1` is set iff word `i` of level `k` is not zero. Each level ends with a word that is zero.
#[derive(Debug)]
pub(crate) struct BitTree<'a> {
    /// All levels, the bits first.
    words: Lent<'a, Word>,
    /// Where each level begins.
    starts: [u32; LEVELS],
    /// The level of one word.
    top: u32,
}

/// What [`BitTree::next`] and [`previous`](BitTree::previous) return where there is no such bit.
pub(crate) const NO_BIT: u32 = u32::MAX;

impl<'a> BitTree<'a> {
    /// A tree of no bits, all zeros.
    pub(crate) const EMPTY: Self = Self { words: Lent::EMPTY, starts: [0; LEVELS], top: 0 };

    /// Words that a tree of `bits` bits takes.
    pub(crate) const fn words(bits: u32) -> usize {
        let mut words = 0usize;
        let mut below = bits;
        loop {
            below = below.div_ceil(BITS);
            words = words.saturating_add(below as usize).saturating_add(1);
            if below <= 1 {
                return words;
            }
        }
    }

    /// A tree of `bits` clear bits, or `None` if the memory or the levels do not suffice.
    pub(crate) fn new(bits: u32, memory: &mut Bump<'a>) -> Option<Self> {
        let mut tree = Self { words: memory.slice(Self::words(bits))?, ..Self::EMPTY };
        let (mut below, mut next) = (bits, 0u32);
        for (level, start) in (0u32..).zip(&mut tree.starts) {
            *start = next;
            below = below.div_ceil(BITS);
            next = next.wrapping_add(below).wrapping_add(1);
            if below <= 1 {
                tree.top = level;
                return Some(tree);
            }
        }
        // Not reached: more bits than the levels hold, which no heap has.
        None
    }

    #[inline(always)]
    fn place(&self, level: u32, word: u32) -> usize {
        let start = self.starts.get(level as usize).copied().unwrap_or(0);
        start.wrapping_add(word) as usize
    }

    #[inline(always)]
    fn word(&self, level: u32, word: u32) -> Word {
        self.words.get(self.place(level, word))
    }

    /// The word of bits that holds `bit`.
    #[inline(always)]
    pub(crate) fn word_of(&self, bit: u32) -> Word {
        self.word(0, bit / BITS)
    }

    #[inline(always)]
    pub(crate) fn contains(&self, bit: u32) -> bool {
        self.word_of(bit).wrapping_shr(bit) & 1 != 0
    }

    /// Sets a bit.
    #[inline(always)]
    pub(crate) fn set(&mut self, bit: u32) {
        let Some(word) = self.words.get_mut((bit / BITS) as usize) else { return };
        let before = *word;
        *word = before | (1 as Word).wrapping_shl(bit);
        if before == 0 {
            self.set_above(bit);
        }
    }

    /// Clears a bit.
    #[inline(always)]
    pub(crate) fn clear(&mut self, bit: u32) {
        let Some(word) = self.words.get_mut((bit / BITS) as usize) else { return };
        *word &= !(1 as Word).wrapping_shl(bit);
        if *word == 0 {
            self.clear_above(bit);
        }
    }

    /// Sets the summary of a bit, as far up as it is not set yet.
    #[cold]
    #[inline(never)]
    fn set_above(&mut self, bit: u32) {
        let mut bit = bit / BITS;
        for level in 1..=self.top {
            let place = self.place(level, bit / BITS);
            let Some(word) = self.words.get_mut(place) else { return };
            let before = *word;
            *word = before | (1 as Word).wrapping_shl(bit);
            if before != 0 {
                return;
            }
            bit /= BITS;
        }
    }

    /// Clears the summary of a bit whose word has become zero, as far up as words do.
    #[cold]
    #[inline(never)]
    fn clear_above(&mut self, bit: u32) {
        let mut bit = bit / BITS;
        for level in 1..=self.top {
            let place = self.place(level, bit / BITS);
            let Some(word) = self.words.get_mut(place) else { return };
            *word &= !(1 as Word).wrapping_shl(bit);
            if *word != 0 {
                return;
            }
            bit /= BITS;
        }
    }

    /// The first set bit from `from` on, or [`NO_BIT`].
    #[inline(never)]
    pub(crate) fn next(&self, from: u32) -> u32 {
        let mut at = from;
        for level in 0..=self.top {
            let word = self.word(level, at / BITS) & from_bit(at);
            if word != 0 {
                at = at & !(BITS - 1) | word.trailing_zeros();
                return self.descend(level, at, Word::trailing_zeros);
            }
            at = (at / BITS).wrapping_add(1);
        }
        NO_BIT
    }

    /// The last set bit before `before`, or [`NO_BIT`].
    #[inline(never)]
    pub(crate) fn previous(&self, before: u32) -> u32 {
        let mut at = before;
        for level in 0..=self.top {
            let word = self.word(level, at / BITS) & below_bit(at);
            if word != 0 {
                at = at & !(BITS - 1) | highest(word);
                return self.descend(level, at, highest);
            }
            at /= BITS;
        }
        NO_BIT
    }

    /// From bit `at` of `level` down to the bit that `choose` chooses of each word.
    #[inline(always)]
    fn descend(&self, level: u32, at: u32, choose: impl Fn(Word) -> u32) -> u32 {
        let (mut level, mut at) = (level, at);
        while level > 0 {
            level = level.wrapping_sub(1);
            at = at.wrapping_mul(BITS).wrapping_add(choose(self.word(level, at)));
        }
        at
    }

    /// Whether the invariants hold.
    pub(crate) fn is_whole(&self) -> bool {
        let end = |level: u32| match level.checked_add(1).filter(|above| *above <= self.top) {
            Some(above) => self.place(above, 0),
            None => self.words.len(),
        };
        (0..=self.top).all(|level| {
            let padding = end(level).wrapping_sub(1).wrapping_sub(self.place(level, 0));
            let summary = |word: u32| self.word(level.wrapping_add(1), word / BITS).wrapping_shr(word) & 1 != 0;
            self.words.len() == 0
                || self.word(level, padding as u32) == 0
                    && (level == self.top
                        || (0..padding as u32).all(|word| summary(word) == (self.word(level, word) != 0)))
        })
    }
}
