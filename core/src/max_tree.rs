//! A number for each of many places, which are chunks or spans of them. Finds the first place from another one on whose number is at
//! least `n`, in one step up and one down for each level.
//!
//! Above the numbers stand maxima: each is the largest number of a node below, of a cache line of numbers on a 64-bit core and of 8
//! numbers on others. (A segment tree with wide nodes.)
//!
//! Complexity of every operation: O(levels), that is O(log of the places).
#![allow(unsafe_code)]

use static_assertions::{const_assert, const_assert_eq};

use crate::lent::{Lent, Plain};
use crate::memory::{ALIGNMENT, Bump};

/// What a tree is made of: its numbers, and the nodes that they make.
pub(crate) trait Number: Plain + Ord + 'static {
    /// The numbers of a node.
    const FAN: u32;
    /// The largest number.
    const MOST: u32;

    type Node: AsRef<[Self]>;

    /// Makes a number of `n`, at most [`MOST`](Self::MOST).
    fn new(n: u32) -> Self;

    fn get(self) -> u32;

    /// Returns what `look` makes of the node that starts at `index`; `none` if there is no such node.
    fn look_at<R>(numbers: &Lent<'_, Self>, index: usize, none: R, look: impl FnOnce(&Self::Node) -> R) -> R;

    /// Finds the first number of a node, from `place` on, that is at least `n`, and returns its place; without one
    /// [`FAN`](Self::FAN) or more. `n` is 1 to [`MOST`](Self::MOST).
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn first_in(node: &Self::Node, place: u32, n: u32) -> u32 {
        let later = node.as_ref().iter().skip(place as usize);
        place.wrapping_add(later.take_while(|&&number| number.get() < n).count() as u32)
    }

    /// Finds the last number of a node, before `place`, that is at least `n`, and returns its place; without one
    /// [`FAN`](Self::FAN) or more.
    fn last_in(node: &Self::Node, place: u32, n: u32) -> u32 {
        let before = (0..place).rev().zip(node.as_ref().iter().take(place as usize).rev());
        before.filter(|&(_, &number)| number.get() >= n).map(|(place, _)| place).next().unwrap_or(Self::FAN)
    }

    /// Returns the largest number of a node.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn largest(node: &Self::Node) -> Self {
        node.as_ref().iter().fold(Self::ZERO, |most, &number| most.max(number))
    }
}

impl Number for u32 {
    const FAN: u32 = if usize::BITS == 64 { 16 } else { 8 };
    const MOST: u32 = i32::MAX as u32;

    type Node = [Self; Self::FAN as usize];

    fn new(n: u32) -> Self {
        n
    }

    fn get(self) -> u32 {
        self
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn look_at<R>(numbers: &Lent<'_, Self>, index: usize, none: R, look: impl FnOnce(&Self::Node) -> R) -> R {
        numbers.look_at(index, none, look)
    }
}

#[cfg(target_pointer_width = "64")]
impl Number for u16 {
    const FAN: u32 = 32;
    const MOST: u32 = i16::MAX as u32;

    type Node = [Self; Self::FAN as usize];

    #[inline(always)]
    fn new(n: u32) -> Self {
        n as Self
    }

    #[inline(always)]
    fn get(self) -> u32 {
        u32::from(self)
    }

    #[inline(always)]
    fn look_at<R>(numbers: &Lent<'_, Self>, index: usize, none: R, look: impl FnOnce(&Self::Node) -> R) -> R {
        numbers.look_at(index, none, look)
    }

    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    #[inline(always)]
    fn first_in(node: &Self::Node, place: u32, n: u32) -> u32 {
        sse2::first_in(node, place, n)
    }

    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    #[inline(always)]
    fn last_in(node: &Self::Node, place: u32, n: u32) -> u32 {
        sse2::last_in(node, place, n)
    }

    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    #[inline(always)]
    fn largest(node: &Self::Node) -> Self {
        sse2::largest(node)
    }
}

const_assert_eq!(size_of::<<u32 as Number>::Node>() % ALIGNMENT, 0);

/// 16^7 or 8^15 places: more than the largest heap has. With the end of the last one a power of two, so that an index is
/// brought into bounds by a mask.
const LEVELS: u32 = if usize::BITS == 64 { 7 } else { 15 };

const_assert!((LEVELS + 1).is_power_of_two());

/// What a search returns if no place has such a number.
pub(crate) const NO_CHUNK: u32 = u32::MAX;

/// Invariants: number `i` of level `k + 1` is the largest of node `i` of level `k`. What fills a level's last node is 0.
#[derive(Debug)]
pub(crate) struct MaxTree<'a, N> {
    /// All levels, the places' numbers first.
    numbers: Lent<'a, N>,
    /// Where each level begins, and where the last one ends.
    starts: [u32; LEVELS as usize + 1],
    /// The level of one node.
    top: u32,
}

/// A node as four SSE2 vectors, which every x86-64 has: of the loops compilers make two to four times as many instructions.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod sse2 {
    use core::arch::x86_64::{
        __m128i, _mm_cmpgt_epi16, _mm_cvtsi128_si32, _mm_max_epi16, _mm_movemask_epi8, _mm_packs_epi16, _mm_set1_epi16,
        _mm_shuffle_epi32, _mm_srli_epi32,
    };

    type Node = <u16 as super::Number>::Node;

    #[inline(always)]
    fn vectors(node: &Node) -> [__m128i; 4] {
        // SAFETY: of one size (or this would not compile), and every bit pattern is a value of both.
        unsafe { core::mem::transmute::<Node, [__m128i; 4]>(*node) }
    }

    /// Returns the numbers of a node that are at least `n`, a bit each.
    #[inline(always)]
    fn at_least(node: &Node, n: u32) -> u32 {
        #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one obligation, the same for each")]
        // SAFETY: they ask for SSE2, which this is compiled for, and touch no memory.
        let [low, high] = unsafe {
            // The comparison is signed, as all numbers are at most i16::MAX.
            let below = _mm_set1_epi16((n as i16).wrapping_sub(1));
            let [a, b, c, d] = vectors(node).map(|eight| _mm_cmpgt_epi16(eight, below));
            // Both bytes of each number are alike now, so one of them says the same.
            [_mm_movemask_epi8(_mm_packs_epi16(a, b)), _mm_movemask_epi8(_mm_packs_epi16(c, d))]
        };
        low as u32 | (high as u32).wrapping_shl(16)
    }

    /// [`Number::first_in`](super::Number::first_in).
    #[inline(always)]
    pub(super) fn first_in(node: &Node, place: u32, n: u32) -> u32 {
        (at_least(node, n) & u32::MAX.wrapping_shl(place)).trailing_zeros()
    }

    /// [`Number::last_in`](super::Number::last_in).
    #[inline(always)]
    pub(super) fn last_in(node: &Node, place: u32, n: u32) -> u32 {
        let before = u64::from(at_least(node, n)) & 1u64.wrapping_shl(place).wrapping_sub(1);
        63u32.wrapping_sub(before.leading_zeros())
    }

    /// [`Number::largest`](super::Number::largest).
    #[inline(always)]
    pub(super) fn largest(node: &Node) -> u16 {
        let [a, b, c, d] = vectors(node);
        #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one obligation, the same for each")]
        // SAFETY: as above.
        let most = unsafe {
            let eight = _mm_max_epi16(_mm_max_epi16(a, b), _mm_max_epi16(c, d));
            let four = _mm_max_epi16(eight, _mm_shuffle_epi32::<0b01_00_11_10>(eight));
            let two = _mm_max_epi16(four, _mm_shuffle_epi32::<0b10_11_00_01>(four));
            _mm_cvtsi128_si32(_mm_max_epi16(two, _mm_srli_epi32::<16>(two)))
        };
        most as u16
    }
}

impl<'a, N: Number> MaxTree<'a, N> {
    /// A tree of no numbers, all zeros.
    pub(crate) const EMPTY: Self = Self { numbers: Lent::EMPTY, starts: [0; LEVELS as usize + 1], top: 0 };

    /// Returns how many bytes a tree of `places` places takes.
    pub(crate) const fn footprint(places: u32) -> usize {
        Self::numbers(places).saturating_mul(size_of::<N>())
    }

    const fn numbers(places: u32) -> usize {
        let mut numbers = 0usize;
        let mut below = places;
        loop {
            let nodes = below.div_ceil(N::FAN);
            numbers = numbers.saturating_add((nodes as usize).saturating_mul(N::FAN as usize));
            if nodes <= 1 {
                return numbers;
            }
            below = nodes;
        }
    }

    /// Makes an empty tree one of `places` zeros; `None` if the memory or the levels do not suffice.
    pub(crate) fn set_up(&mut self, places: u32, memory: &mut Bump<'a>) -> Option<()> {
        self.numbers = memory.slice(Self::numbers(places))?;
        let (mut below, mut next) = (places, 0u32);
        for (level, end) in (0u32..).zip(self.starts.iter_mut().skip(1)) {
            let nodes = below.div_ceil(N::FAN);
            next = next.wrapping_add(nodes.wrapping_mul(N::FAN));
            *end = next;
            if nodes <= 1 {
                self.top = level;
                return Some(());
            }
            below = nodes;
        }
        // Not reached: more places than the levels hold, which no heap has.
        None
    }

    #[expect(clippy::indexing_slicing, reason = "the mask brings the index into bounds")]
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn start(&self, level: u32) -> u32 {
        self.starts[(level & LEVELS) as usize]
    }

    /// Returns what `look` makes of the node of `level` that holds number `index`; `none` if there is no such node.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn look_at<R>(&self, level: u32, index: u32, none: R, look: impl FnOnce(&N::Node) -> R) -> R {
        let start = self.start(level).wrapping_add(index & !(const { N::FAN - 1 }));
        N::look_at(&self.numbers, start as usize, none, look)
    }

    /// Returns the place in its node of the first number, from `index` of `level` on, that is at least `n`; `N::FAN` or more
    /// if there is none.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn first_from(&self, level: u32, index: u32, n: u32) -> u32 {
        self.look_at(level, index, N::FAN, |node| N::first_in(node, index & const { N::FAN - 1 }, n))
    }

    /// Returns the number of places, with those that fill the last node.
    #[cfg(target_pointer_width = "64")]
    pub(crate) fn room(&self) -> u32 {
        self.start(1)
    }

    /// Returns the number of a place, 0 if there is no such place.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn get(&self, place: u32) -> u32 {
        self.numbers.get(place as usize).get()
    }

    /// Returns the largest number of all.
    pub(crate) fn root(&self) -> u32 {
        self.look_at(self.top, 0, N::ZERO, N::largest).get()
    }

    /// Makes the number of a place at least `n`, or [`MOST`](Number::MOST) if that is less, and the maxima above, as far up as they are
    /// lower.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn raise(&mut self, place: u32, n: u32) {
        let Some(number) = self.numbers.get_mut(place as usize) else { return };
        // On a Cortex-M a branch costs less than the look at the second level.
        if cfg!(target_pointer_width = "32") && number.get() >= n {
            return;
        }
        let n = N::new(n.min(N::MOST));
        // Whether the number rises cannot be predicted, so it is no branch; that the second level has a larger one can.
        *number = n.max(*number);
        let above = self.start(1).wrapping_add(place >> const { N::FAN.trailing_zeros() });
        if self.numbers.get(above as usize) < n {
            self.raise_above(place, n);
        }
    }

    #[inline(never)]
    fn raise_above(&mut self, place: u32, n: N) {
        let (mut level, mut index) = (0u32, place);
        while level < self.top {
            (level, index) = (level.wrapping_add(1), parent::<N>(index));
            match self.numbers.get_mut(self.start(level).wrapping_add(index) as usize) {
                Some(number) if *number < n => *number = n,
                _ => return,
            }
        }
    }

    /// Lowers the number of a place to `n`, or [`MOST`](Number::MOST) if that is less, and recomputes the maxima above, as far up as they
    /// change. Returns what it was.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn lower(&mut self, place: u32, n: u32) -> u32 {
        let Some(number) = self.numbers.get_mut(place as usize) else { return 0 };
        let before = core::mem::replace(number, N::new(n.min(N::MOST)));
        let (mut level, mut index) = (0u32, place);
        while level < self.top {
            let above = self.start(level.wrapping_add(1)).wrapping_add(parent::<N>(index)) as usize;
            if self.numbers.get(above) != before {
                break;
            }
            let most = self.look_at(level, index, N::ZERO, N::largest);
            // Not reached: a maximum that is not there; it was just read.
            if let Some(number) = self.numbers.get_mut(above) {
                *number = most;
            }
            (level, index) = (level.wrapping_add(1), parent::<N>(index));
        }
        before.get()
    }

    /// Finds the first place from `from` on whose number is at least `n`, or [`NO_CHUNK`].
    #[inline(never)]
    pub(crate) fn first(&self, from: u32, n: u32) -> u32 {
        let (mut index, n) = (from, n.min(N::MOST));
        let mut level = 0u32;
        while level <= self.top {
            if self.start(level).wrapping_add(index) < self.start(level.wrapping_add(1)) {
                let place = self.first_from(level, index, n);
                if place < N::FAN {
                    return self.descend(level, index & !(const { N::FAN - 1 }) | place, n);
                }
            }
            (level, index) = (level.wrapping_add(1), parent::<N>(index).wrapping_add(1));
        }
        NO_CHUNK
    }

    /// Finds the first place of all whose number is at least `n`, or [`NO_CHUNK`].
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn first_of_all(&self, n: u32) -> u32 {
        let n = n.min(N::MOST);
        let place = self.first_from(self.top, 0, n);
        if place < N::FAN { self.descend(self.top, place, n) } else { NO_CHUNK }
    }

    /// Finds the last place before `before`, which is a place, whose number is at least `n`, or [`NO_CHUNK`].
    #[inline(never)]
    pub(crate) fn last(&self, before: u32, n: u32) -> u32 {
        let n = n.min(N::MOST);
        let (mut level, mut index) = (0u32, before);
        loop {
            let place = self.look_at(level, index, N::FAN, |node| N::last_in(node, index & const { N::FAN - 1 }, n));
            if place < N::FAN {
                index = index & !(const { N::FAN - 1 }) | place;
                break;
            }
            if level >= self.top {
                return NO_CHUNK;
            }
            (level, index) = (level.wrapping_add(1), parent::<N>(index));
        }
        while level > 0 {
            (level, index) = (level.wrapping_sub(1), index.wrapping_mul(N::FAN));
            index = index.wrapping_add(self.look_at(level, index, 0, |node| N::last_in(node, N::FAN, n)));
        }
        index
    }

    /// Descends from number `index` of `level` to the first place below it whose number is at least `n`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn descend(&self, level: u32, index: u32, n: u32) -> u32 {
        let (mut level, mut index) = (level, index);
        while level > 0 {
            level = level.wrapping_sub(1);
            index = index.wrapping_mul(N::FAN);
            index = index.wrapping_add(self.first_from(level, index, n));
        }
        index
    }

    /// Returns whether the invariants hold.
    pub(crate) fn is_whole(&self) -> bool {
        // No search finds a number above MOST.
        (0..self.numbers.len()).all(|place| self.numbers.get(place).get() <= N::MOST)
            && (0..self.top).all(|level| {
                let numbers = self.start(level.wrapping_add(1)).wrapping_sub(self.start(level));
                let above = level.wrapping_add(1);
                let room = self.start(above.wrapping_add(1)).wrapping_sub(self.start(above));
                (0..room).all(|index| {
                    let place = index.wrapping_mul(N::FAN);
                    let most = if place < numbers { self.look_at(level, place, N::ZERO, N::largest) } else { N::ZERO };
                    self.numbers.get(self.start(above).wrapping_add(index) as usize) == most
                })
            })
    }
}

/// Returns the number above number `index` of a level.
#[cfg_attr(target_pointer_width = "64", inline(always))]
const fn parent<N: Number>(index: u32) -> u32 {
    index >> const { N::FAN.trailing_zeros() }
}

/// What tests reach.
#[cfg(test)]
impl<N: Number> MaxTree<'_, N> {
    /// Returns the number of levels, that of the places' numbers included.
    pub(crate) fn levels(&self) -> u32 {
        self.top + 1
    }

    /// Returns where the numbers of a level stand, and what fills its last node.
    pub(crate) fn places(&self, level: u32) -> core::ops::Range<usize> {
        self.start(level) as usize..self.start(level + 1) as usize
    }

    pub(crate) fn number_mut(&mut self, place: usize) -> Option<&mut N> {
        self.numbers.get_mut(place)
    }
}
