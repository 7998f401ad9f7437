//! The places around one place: its own chunk and the two beside it, shifted so that it stands at the edge of a word.
//!
//! What lies next to a block is nearly always within 64 granules of it, but often not in its own chunk. Reading three
//! chunks at once and shifting them costs a few instructions more than reading one, and saves the branch that asks on
//! which side of a chunk's end the neighbour lies, which no processor can predict.
#![deny(unsafe_code)]

use crate::size::{Granules, Offset};

/// The start word and the end word of 64 granules, side by side.
pub(crate) type Chunk = [u64; 2];

/// The gaps that start in a chunk.
pub(crate) const fn gaps_of([starts, ends]: Chunk) -> u64 {
    ends & !starts
}

/// The 64 places from `bit` of a word up.
const fn up(here: u64, behind: u64, bit: u32) -> u64 {
    // In two steps, as no shift is by 64.
    here.wrapping_shr(bit) | behind.wrapping_shl(1).wrapping_shl(!bit)
}

/// The 64 places up to `bit` of a word.
const fn down(before: u64, here: u64, bit: u32) -> u64 {
    here.wrapping_shl(!bit) | before.wrapping_shr(1).wrapping_shr(bit)
}

/// Invariant, with `p` for the place: bit i of `up` is place p + i, bit 63 - i of `ends_down` is place p - i.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    place: Offset,
    up: Chunk,
    ends_down: u64,
}

impl Window {
    /// Around `place`, which lies in the second of three chunks.
    #[inline(always)]
    pub(crate) const fn new(place: Offset, [before, here, behind]: [Chunk; 3]) -> Self {
        let bit = place.bit();
        let ([_, ends_before], [starts, ends], [starts_behind, ends_behind]) = (before, here, behind);
        Self {
            place,
            up: [up(starts, starts_behind, bit), up(ends, ends_behind, bit)],
            ends_down: down(ends_before, ends, bit),
        }
    }

    /// Whether a block starts at the place.
    #[inline(always)]
    pub(crate) const fn is_start(self) -> bool {
        let [starts, _] = self.up;
        starts & 1 != 0
    }

    /// Where the block that starts at the place ends, and where the gap ends that there would be without it, if the window
    /// shows both.
    #[inline(always)]
    pub(crate) fn block_and_gap_end(self) -> Option<(Offset, Offset)> {
        let [starts, ends] = self.up;
        let ends = ends & !1;
        // The two's complement has the lowest bit, and of those above it the other ones.
        let starts = starts & (ends | ends.wrapping_neg());
        let at = |bits: u64| self.place.plus(Granules::new(bits.trailing_zeros()));
        // Without an end there is no start behind it either.
        (starts != 0).then_some((at(ends), at(starts)))
    }

    /// Where that gap starts, if the window shows it.
    #[inline(always)]
    pub(crate) fn gap_start(self) -> Option<Offset> {
        let start = self.place.minus(Granules::new(self.ends_down.leading_zeros()));
        (self.ends_down != 0).then_some(start)
    }
}

/// A free block: the granules from `start` up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) start: Offset,
    pub(crate) end: Offset,
}

impl Gap {
    pub(crate) const fn size(self) -> Granules {
        self.start.up_to(self.end)
    }
}

/// What is next to an allocated block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around {
    /// Where the block ends.
    pub(crate) end: Offset,
    /// The gap that there would be if the block were freed.
    pub(crate) gap: Gap,
    /// Where the last gap before the block starts, or [`Offset::NONE`].
    pub(crate) previous: Offset,
    /// Where the first gap behind `gap` starts, or [`Offset::NONE`].
    pub(crate) next: Offset,
}
