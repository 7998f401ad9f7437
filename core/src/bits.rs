//! Masks of a native word: the bits from a bit on, above it, up to it and below it.

use crate::units::{BITS, Word};

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
