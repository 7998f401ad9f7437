//! Bits whose next or previous set one is found in a step per level, and never by scanning.
//!
//! Above the words of bits stand words of summary, 64-ary: a bit of a level is set iff the word below it is not zero.
//! (The bitmap version of van Emde Boas' idea, as in real-time schedulers' ready lists; with 64-bit words five levels
//! hold 2^30 bits.)
//!
//! Complexity of every operation: O(levels), that is O(log64 of the bits).
#![deny(unsafe_code)]

use core::mem;

use crate::region::Carver;

/// 64^5 = 2^30 bits: the slots of 16 bytes in the quarter of 64 GiB, and more than its chunks.
const LEVELS: usize = 5;

const WORD: usize = u64::BITS as usize;

/// Invariant: bit i of level k+1 is set iff word i of level k is not zero.
#[derive(Debug)]
pub(crate) struct BitTree<'a> {
    /// Level 0 holds the bits. Levels above the first of a single word have no words.
    pub(crate) levels: [&'a mut [u64]; LEVELS],
    /// The level of a single word.
    top: usize,
}

/// The bits of a word from `bit` up.
pub(crate) const fn from_bit(bit: u32) -> u64 {
    u64::MAX.wrapping_shl(bit)
}

/// The bits of a word above `bit`.
pub(crate) const fn above_bit(bit: u32) -> u64 {
    (u64::MAX - 1).wrapping_shl(bit)
}

/// The bits of a word up to `bit`.
pub(crate) const fn up_to_bit(bit: u32) -> u64 {
    !above_bit(bit)
}

/// The bits of a word below `bit`.
pub(crate) const fn below_bit(bit: u32) -> u64 {
    !from_bit(bit)
}

/// The highest set bit of a word that is not zero.
pub(crate) const fn highest(word: u64) -> u32 {
    (u64::BITS - 1).wrapping_sub(word.leading_zeros())
}

const fn place(bit: usize) -> u32 {
    (bit % WORD) as u32
}

impl<'a> BitTree<'a> {
    /// A tree of no bits.
    pub(crate) const fn empty() -> Self {
        Self { levels: [&mut [], &mut [], &mut [], &mut [], &mut []], top: 0 }
    }

    /// Bytes that `bits` bits take.
    pub(crate) const fn footprint(bits: usize) -> usize {
        let mut words = 0usize;
        let mut below = bits;
        loop {
            below = below.div_ceil(WORD);
            words = words.saturating_add(below);
            if below <= 1 {
                return words.saturating_mul(size_of::<u64>());
            }
        }
    }

    /// A tree of `bits` clear bits, or `None` where the memory or the levels do not suffice.
    pub(crate) fn new(bits: usize, memory: &mut Carver<'a>) -> Option<Self> {
        let mut tree = Self::empty();
        let mut below = bits;
        for (level, words) in tree.levels.iter_mut().enumerate() {
            below = below.div_ceil(WORD);
            *words = memory.slice(below)?;
            tree.top = level;
            if below <= 1 {
                return Some(tree);
            }
        }
        // Not reached: more than 64^5 bits, which no heap has.
        None
    }

    #[inline]
    fn word(&self, level: usize, index: usize) -> u64 {
        self.levels.get(level).and_then(|words| words.get(index)).copied().unwrap_or(0)
    }

    pub(crate) fn contains(&self, bit: usize) -> bool {
        self.word(0, bit / WORD).wrapping_shr(place(bit)) & 1 != 0
    }

    /// Sets a bit or clears it. Which of the two, and whether it was so before, is no branch; whether its word becomes zero
    /// or ceases to be is one.
    #[inline]
    pub(crate) fn assign(&mut self, bit: usize, value: bool) {
        let [words, ..] = &mut self.levels;
        let Some(word) = words.get_mut(bit / WORD) else { return };
        let before = *word;
        let after = before & !1u64.wrapping_shl(place(bit)) | u64::from(value).wrapping_shl(place(bit));
        *word = after;
        if (before == 0) != (after == 0) {
            if value { self.set_above(bit) } else { self.clear_above(bit) }
        }
    }

    /// Sets the summary of a bit, as far up as it is not set yet. Out of line: few calls come here.
    #[inline(never)]
    fn set_above(&mut self, bit: usize) {
        let mut bit = bit / WORD;
        for words in self.levels.iter_mut().skip(1) {
            let Some(word) = words.get_mut(bit / WORD) else { return };
            let before = *word;
            *word = before | 1u64.wrapping_shl(place(bit));
            if before != 0 {
                return;
            }
            bit /= WORD;
        }
    }

    /// Clears the summary of a bit whose word has become zero, as far up as words do. Out of line: few calls come here.
    #[inline(never)]
    fn clear_above(&mut self, bit: usize) {
        let mut bit = bit / WORD;
        for words in self.levels.iter_mut().skip(1) {
            let Some(word) = words.get_mut(bit / WORD) else { return };
            *word &= !1u64.wrapping_shl(place(bit));
            if *word != 0 {
                return;
            }
            bit /= WORD;
        }
    }

    /// Clears the first word of bits that is not zero, and answers with its index and the bits.
    pub(crate) fn take_first_word(&mut self) -> Option<(usize, u64)> {
        let mut index = 0usize;
        for words in self.levels.iter().take(self.top.saturating_add(1)).skip(1).rev() {
            let word = *words.get(index)?;
            if word == 0 {
                return None;
            }
            index = index.wrapping_mul(WORD).wrapping_add(word.trailing_zeros() as usize);
        }
        let [words, ..] = &mut self.levels;
        let bits = mem::take(words.get_mut(index)?);
        if bits == 0 {
            return None;
        }
        self.clear_above(index.wrapping_mul(WORD));
        Some((index, bits))
    }

    /// Sets the bits of a word that has none.
    pub(crate) fn put_word(&mut self, index: usize, bits: u64) {
        let [words, ..] = &mut self.levels;
        if let Some(word) = words.get_mut(index) {
            *word = bits;
            self.set_above(index.wrapping_mul(WORD));
        }
    }

    /// Which bit is the last set one before `bit`, as far as its word shows: one of the word, or else the last of the word
    /// before, which may be set or not.
    #[inline(always)]
    pub(crate) fn previous_nearby(&self, bit: usize) -> usize {
        let found = self.word(0, bit / WORD) & below_bit(place(bit));
        (bit | (WORD - 1)).wrapping_sub(found.leading_zeros() as usize)
    }

    /// Which bit is the first set one after `bit`, as far as its word shows: one of the word, or else the first of the next
    /// word, which may be set or not.
    #[inline(always)]
    pub(crate) fn next_nearby(&self, bit: usize) -> usize {
        let found = self.word(0, bit / WORD) & above_bit(place(bit));
        (bit & !(WORD - 1)).wrapping_add(found.trailing_zeros() as usize)
    }

    /// The first set bit at or after `bit`.
    #[inline(never)]
    pub(crate) fn next(&self, bit: usize) -> Option<usize> {
        let mut bit = bit;
        for (level, words) in self.levels.iter().enumerate() {
            let found = words.get(bit / WORD)? & from_bit(place(bit));
            if found != 0 {
                let index = bit & !(WORD - 1) | found.trailing_zeros() as usize;
                return self.descend(level, index, u64::trailing_zeros);
            }
            bit = (bit / WORD).wrapping_add(1);
        }
        None
    }

    /// The last set bit before `bit`.
    #[inline(never)]
    pub(crate) fn previous(&self, bit: usize) -> Option<usize> {
        let mut bit = bit;
        for level in 0..LEVELS {
            let found = self.word(level, bit / WORD) & below_bit(place(bit));
            if found != 0 {
                let index = bit & !(WORD - 1) | highest(found) as usize;
                return self.descend(level, index, highest);
            }
            bit /= WORD;
        }
        None
    }

    /// From bit `index` of `level` down to the bit of level 0 that it stands for, by `pick` of each word.
    #[inline]
    fn descend(&self, level: usize, index: usize, pick: impl Fn(u64) -> u32) -> Option<usize> {
        let (mut level, mut index) = (level, index);
        while level > 0 {
            level = level.wrapping_sub(1);
            let word = *self.levels.get(level)?.get(index)?;
            index = index.wrapping_mul(WORD).wrapping_add(pick(word) as usize);
        }
        Some(index)
    }
}
