//! A number for each chunk. Finds the first chunk from another one on whose number is at least `n`, in one step up and one down for
//! each level.
//!
//! Above the numbers stand maxima: each is the largest number of a node below, of 16 numbers on a 64-bit core (a cache line)
//! and of 8 on others. (A segment tree with wide nodes.)
//!
//! Complexity of every operation: O(levels), that is O(log of the chunks).
#![allow(unsafe_code)]

use static_assertions::{const_assert, const_assert_eq};

use crate::memory::{ALIGNMENT, Bump, Lent};

/// The numbers of a node.
const FAN: u32 = if usize::BITS == 64 { 16 } else { 8 };

type Node = [u32; FAN as usize];

const_assert_eq!(size_of::<Node>() % ALIGNMENT, 0);

/// 16^7 or 8^15 chunks: more than the largest heap has. With the end of the last one a power of two, so that an index is
/// brought into bounds by a mask.
const LEVELS: u32 = if usize::BITS == 64 { 7 } else { 15 };

const_assert!((LEVELS + 1).is_power_of_two());

/// What a search returns if no chunk has such a number.
pub(crate) const NO_CHUNK: u32 = u32::MAX;

/// The largest number. What is larger counts as this: no segment has two gaps of half the largest one, so that a search for more
/// finds the only gap that may be as large.
pub(crate) const MOST: u32 = i32::MAX as u32;

/// Invariants: number `i` of level `k + 1` is the largest of node `i` of level `k`. What fills a level's last node is 0.
#[derive(Debug)]
pub(crate) struct MaxTree<'a> {
    /// All levels, the chunks' numbers first.
    numbers: Lent<'a, u32>,
    /// Where each level begins, and where the last one ends.
    starts: [u32; LEVELS as usize + 1],
    /// The level of one node.
    top: u32,
}

/// Finds the first number of a node, from `place` on, that is at least `n`, and returns its place; without one [`FAN`] or
/// more. `n` is 1 to [`MOST`].
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
#[cfg_attr(target_pointer_width = "64", inline(always))]
fn first_in(node: &Node, place: u32, n: u32) -> u32 {
    let later = node.iter().skip(place as usize);
    place.wrapping_add(later.take_while(|&&number| number < n).count() as u32)
}

/// Finds the last number of a node, before `place`, that is at least `n`, and returns its place; without one [`FAN`] or more.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
fn last_in(node: &Node, place: u32, n: u32) -> u32 {
    let before = (0..place).rev().zip(node.iter().take(place as usize).rev());
    before.filter(|&(_, &number)| number >= n).map(|(place, _)| place).next().unwrap_or(FAN)
}

/// Returns the largest number of a node.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
#[cfg_attr(target_pointer_width = "64", inline(always))]
fn largest(node: &Node) -> u32 {
    node.iter().fold(0, |most, &number| most.max(number))
}

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
use sse2::{first_in, largest, last_in};

/// A node as four SSE2 vectors, which every x86-64 has: of the loops compilers make two to four times as many instructions.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod sse2 {
    use core::arch::x86_64::{
        __m128i, _mm_and_si128, _mm_andnot_si128, _mm_cmpgt_epi32, _mm_cvtsi128_si32, _mm_movemask_epi8, _mm_or_si128,
        _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi32, _mm_shuffle_epi32,
    };

    use super::Node;

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn vectors(node: &Node) -> [__m128i; 4] {
        // SAFETY: of one size (or this would not compile), and every bit pattern is a value of both.
        unsafe { core::mem::transmute::<Node, [__m128i; 4]>(*node) }
    }

    /// Returns the numbers of a node that are at least `n`, a bit each.
    #[inline(always)]
    fn at_least(node: &Node, n: u32) -> u32 {
        #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one obligation, the same for each")]
        // SAFETY: they ask for SSE2, which this is compiled for, and touch no memory.
        let enough = unsafe {
            // The comparison is signed, as all numbers are at most i32::MAX.
            let below = _mm_set1_epi32((n as i32).wrapping_sub(1));
            let [a, b, c, d] = vectors(node).map(|four| _mm_cmpgt_epi32(four, below));
            // All bits of each number are alike now, so half of them, and half again, say the same.
            _mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d)))
        };
        enough as u32
    }

    /// Finds the first number of a node, from `place` on, that is at least `n`, and returns its place; without one 32. `n` is
    /// 1 to [`MOST`](super::MOST).
    #[inline(always)]
    pub(super) fn first_in(node: &Node, place: u32, n: u32) -> u32 {
        (at_least(node, n) & u32::MAX.wrapping_shl(place)).trailing_zeros()
    }

    /// Finds the last number of a node, before `place`, that is at least `n`, and returns its place; without one [`u32::MAX`].
    #[inline(always)]
    pub(super) fn last_in(node: &Node, place: u32, n: u32) -> u32 {
        let before = at_least(node, n) & 1u32.wrapping_shl(place).wrapping_sub(1);
        31u32.wrapping_sub(before.leading_zeros())
    }

    /// Returns the largest number of a node.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(super) fn largest(node: &Node) -> u32 {
        let [a, b, c, d] = vectors(node);
        let four = larger(larger(a, b), larger(c, d));
        #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one obligation, the same for each")]
        // SAFETY: as above.
        let most = unsafe {
            let two = larger(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            _mm_cvtsi128_si32(larger(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
        };
        most as u32
    }

    /// Returns the larger number of each pair.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn larger(a: __m128i, b: __m128i) -> __m128i {
        #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one obligation, the same for each")]
        // SAFETY: as above.
        unsafe {
            let first = _mm_cmpgt_epi32(a, b);
            _mm_or_si128(_mm_and_si128(first, a), _mm_andnot_si128(first, b))
        }
    }
}

impl<'a> MaxTree<'a> {
    /// A tree of no numbers, all zeros.
    pub(crate) const EMPTY: Self = Self { numbers: Lent::EMPTY, starts: [0; LEVELS as usize + 1], top: 0 };

    /// Returns how many numbers a tree of `chunks` chunks takes.
    pub(crate) const fn numbers(chunks: u32) -> usize {
        let mut numbers = 0usize;
        let mut below = chunks;
        loop {
            let nodes = below.div_ceil(FAN);
            numbers = numbers.saturating_add((nodes as usize).saturating_mul(FAN as usize));
            if nodes <= 1 {
                return numbers;
            }
            below = nodes;
        }
    }

    /// Makes an empty tree one of `chunks` zeros; `None` if the memory or the levels do not suffice.
    pub(crate) fn set_up(&mut self, chunks: u32, memory: &mut Bump<'a>) -> Option<()> {
        self.numbers = memory.slice(Self::numbers(chunks))?;
        let (mut below, mut next) = (chunks, 0u32);
        for (level, end) in (0u32..).zip(self.starts.iter_mut().skip(1)) {
            let nodes = below.div_ceil(FAN);
            next = next.wrapping_add(nodes.wrapping_mul(FAN));
            *end = next;
            if nodes <= 1 {
                self.top = level;
                return Some(());
            }
            below = nodes;
        }
        // Not reached: more chunks than the levels hold, which no heap has.
        None
    }

    #[expect(clippy::indexing_slicing, reason = "the mask brings the index into bounds")]
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn start(&self, level: u32) -> u32 {
        self.starts[(level & LEVELS) as usize]
    }

    /// Returns what `look` makes of the node of `level` that holds number `index`; `none` if there is no such node.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn look_at(&self, level: u32, index: u32, none: u32, look: impl FnOnce(&Node) -> u32) -> u32 {
        self.numbers.look_at(self.start(level).wrapping_add(index & !(FAN - 1)) as usize, none, look)
    }

    /// Returns the place in its node of the first number, from `index` of `level` on, that is at least `n`; [`FAN`] or more
    /// if there is none.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn first_from(&self, level: u32, index: u32, n: u32) -> u32 {
        self.look_at(level, index, FAN, |node| first_in(node, index % FAN, n))
    }

    /// Returns the number of `chunk`, 0 if there is no such chunk.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn get(&self, chunk: u32) -> u32 {
        self.numbers.get(chunk as usize)
    }

    /// Returns the largest number of all.
    pub(crate) fn root(&self) -> u32 {
        self.look_at(self.top, 0, 0, largest)
    }

    /// Makes the number of `chunk` at least `n`, and the maxima above, as far up as they are lower.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn raise(&mut self, chunk: u32, n: u32) {
        let Some(number) = self.numbers.get_mut(chunk as usize) else { return };
        // On a Cortex-M a branch costs less than the look at the second level.
        if cfg!(target_pointer_width = "32") && *number >= n {
            return;
        }
        let n = n.min(MOST);
        // Whether the number rises cannot be predicted, so it is no branch; that the second level has a larger one can.
        *number = n.max(*number);
        let above = self.start(1).wrapping_add(chunk / FAN);
        if self.numbers.get(above as usize) < n {
            self.raise_above(chunk, n);
        }
    }

    #[inline(never)]
    fn raise_above(&mut self, chunk: u32, n: u32) {
        let (mut level, mut index) = (0u32, chunk);
        while level < self.top {
            (level, index) = (level.wrapping_add(1), index / FAN);
            match self.numbers.get_mut(self.start(level).wrapping_add(index) as usize) {
                Some(number) if *number < n => *number = n,
                _ => return,
            }
        }
    }

    /// Lowers the number of `chunk` to `n`, and recomputes the maxima above, as far up as they change.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn lower(&mut self, chunk: u32, n: u32) {
        let Some(number) = self.numbers.get_mut(chunk as usize) else { return };
        let before = core::mem::replace(number, n);
        let (mut level, mut index) = (0u32, chunk);
        while level < self.top {
            let above = self.start(level.wrapping_add(1)).wrapping_add(index / FAN) as usize;
            if self.numbers.get(above) != before {
                return;
            }
            let most = self.look_at(level, index, 0, largest);
            // Not reached: a maximum that is not there; it was just read.
            if let Some(number) = self.numbers.get_mut(above) {
                *number = most;
            }
            (level, index) = (level.wrapping_add(1), index / FAN);
        }
    }

    /// Finds the first chunk from `from` on whose number is at least `n`, or [`NO_CHUNK`].
    #[inline(never)]
    pub(crate) fn first(&self, from: u32, n: u32) -> u32 {
        let (mut index, n) = (from, n.min(MOST));
        let mut level = 0u32;
        while level <= self.top {
            if self.start(level).wrapping_add(index) < self.start(level.wrapping_add(1)) {
                let place = self.first_from(level, index, n);
                if place < FAN {
                    return self.descend(level, index & !(FAN - 1) | place, n);
                }
            }
            (level, index) = (level.wrapping_add(1), (index / FAN).wrapping_add(1));
        }
        NO_CHUNK
    }

    /// Finds the first chunk of all whose number is at least `n`, or [`NO_CHUNK`]. It looks at the first node of each level,
    /// from the second level up: in a heap that is filled from its start the first chunks mostly have one.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn first_of_all(&self, n: u32) -> u32 {
        let n = n.min(MOST);
        let mut level = self.top.min(1);
        loop {
            let place = self.first_from(level, 0, n);
            if place < FAN {
                return self.descend(level, place, n);
            }
            if level >= self.top {
                return NO_CHUNK;
            }
            level = level.wrapping_add(1);
        }
    }

    /// Finds the last chunk before `before`, which is a chunk, whose number is at least `n`, or [`NO_CHUNK`].
    #[inline(never)]
    pub(crate) fn last(&self, before: u32, n: u32) -> u32 {
        let n = n.min(MOST);
        let (mut level, mut index) = (0u32, before);
        loop {
            let place = self.look_at(level, index, FAN, |node| last_in(node, index % FAN, n));
            if place < FAN {
                index = index & !(FAN - 1) | place;
                break;
            }
            if level >= self.top {
                return NO_CHUNK;
            }
            (level, index) = (level.wrapping_add(1), index / FAN);
        }
        while level > 0 {
            (level, index) = (level.wrapping_sub(1), index.wrapping_mul(FAN));
            index = index.wrapping_add(self.look_at(level, index, 0, |node| last_in(node, FAN, n)));
        }
        index
    }

    /// Descends from number `index` of `level` to the first chunk below it whose number is at least `n`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn descend(&self, level: u32, index: u32, n: u32) -> u32 {
        let (mut level, mut index) = (level, index);
        while level > 0 {
            level = level.wrapping_sub(1);
            index = index.wrapping_mul(FAN);
            index = index.wrapping_add(self.first_from(level, index, n));
        }
        index
    }

    /// Returns whether the invariants hold.
    pub(crate) fn is_whole(&self) -> bool {
        // No search finds a number above MOST.
        (0..self.numbers.len()).all(|place| self.numbers.get(place) <= MOST)
            && (0..self.top).all(|level| {
                let numbers = self.start(level.wrapping_add(1)).wrapping_sub(self.start(level));
                let above = level.wrapping_add(1);
                let room = self.start(above.wrapping_add(1)).wrapping_sub(self.start(above));
                (0..room).all(|index| {
                    let place = index.wrapping_mul(FAN);
                    let most = if place < numbers { self.look_at(level, place, 0, largest) } else { 0 };
                    self.numbers.get(self.start(above).wrapping_add(index) as usize) == most
                })
            })
    }
}

/// What tests reach.
#[cfg(test)]
impl MaxTree<'_> {
    pub(crate) const FAN: u32 = FAN;

    /// Returns the number of levels, that of the chunks' numbers included.
    pub(crate) fn levels(&self) -> u32 {
        self.top + 1
    }

    /// Returns where the numbers of a level stand, and what fills its last node.
    pub(crate) fn places(&self, level: u32) -> core::ops::Range<usize> {
        self.start(level) as usize..self.start(level + 1) as usize
    }

    pub(crate) fn number_mut(&mut self, place: usize) -> Option<&mut u32> {
        self.numbers.get_mut(place)
    }

    pub(crate) fn first_in(node: &[u32; FAN as usize], place: u32, n: u32) -> u32 {
        first_in(node, place, n)
    }

    pub(crate) fn largest(node: &[u32; FAN as usize]) -> u32 {
        largest(node)
    }
}
