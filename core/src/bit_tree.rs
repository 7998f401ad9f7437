//! Bits with summaries, which find the next set bit in one step a level.
//!
//! The block map has one for its chunks, the slab one for its slots, the size classes one for their runs.

use core::iter;

use crate::bits::{below_bit, from_bit, highest};
use crate::lent::Lent;
use crate::memory::Bump;
use crate::units::{BITS, Word};

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
