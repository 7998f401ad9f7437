//! A number for each chunk, and the first chunk from a place on whose number is at least `n`: one step up and one down for each
//! level.
//!
//! Above the numbers stand maxima: each is the largest number of a node below, of 16 numbers on a 64-bit core (a cache line)
//! and of 8 on others. (A segment tree with wide nodes.)
//!
//! Complexity of every operation: O(levels), that is O(log of the chunks).
#![allow(unsafe_code)]

use static_assertions::const_assert_eq;

use crate::memory::{ALIGNMENT, Bump, Lent};

/// The numbers of a node.
const FAN: u32 = if usize::BITS == 64 { 16 } else { 8 };

type Node = [u32; FAN as usize];

const_assert_eq!(size_of::<Node>() % ALIGNMENT, 0);

/// 16^7 or 8^9 chunks: more than the largest heap has.
const LEVELS: usize = if usize::BITS == 64 { 7 } else { 9 };

/// What a search returns if no chunk has such a number.
pub(crate) const NO_CHUNK: u32 = u32::MAX;

/// Invariants: number `i` of level `k + 1` is the largest of node `i` of level `k`. What fills a level's last node is 0.
#[derive(Debug)]
pub(crate) struct MaxTree<'a> {
    /// All levels, the chunks' numbers first.
    numbers: Lent<'a, u32>,
    /// Where each level begins, and where the last one ends.
    starts: [u32; LEVELS + 1],
    /// The level of one node.
    top: u32,
}

/// The numbers of a node that are at least `n`, a bit each.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
#[inline(always)]
fn at_least(node: &Node, n: u32) -> u32 {
    let mut bits = 0u32;
    for (place, &number) in (0u32..).zip(node) {
        bits |= u32::from(number >= n).wrapping_shl(place);
    }
    bits
}

/// The numbers of a node that are at least `n`, a bit each. Compilers make sixty instructions of the loop; x86-64 needs twenty.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline(always)]
fn at_least(node: &Node, n: u32) -> u32 {
    use core::arch::x86_64::{
        __m128i, _mm_cmpgt_epi32, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi32, _mm_xor_si128,
    };
    // SAFETY: of one size (or this would not compile), and every bit pattern is a value of both.
    let [a, b, c, d] = unsafe { core::mem::transmute::<Node, [__m128i; 4]>(*node) };
    #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one obligation, the same for each")]
    // SAFETY: they ask for SSE2, which this is compiled for, and touch no memory.
    let too_small = unsafe {
        // The comparison is signed: with the highest bits turned over, unsigned numbers compare alike.
        let turn = _mm_set1_epi32(i32::MIN);
        let n = _mm_xor_si128(_mm_set1_epi32(n as i32), turn);
        let [a, b, c, d] = [a, b, c, d].map(|four| _mm_cmpgt_epi32(n, _mm_xor_si128(four, turn)));
        // All bits of each number are alike now, so half of them, and half again, say the same.
        _mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d)))
    };
    !(too_small as u32) & u32::from(u16::MAX)
}

fn largest(node: &Node) -> u32 {
    node.iter().fold(0, |most, &number| most.max(number))
}

impl<'a> MaxTree<'a> {
    /// A tree of no numbers, all zeros.
    pub(crate) const EMPTY: Self = Self { numbers: Lent::EMPTY, starts: [0; LEVELS + 1], top: 0 };

    /// Numbers that a tree of `chunks` chunks takes.
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

    /// A tree of `chunks` zeros, or `None` if the memory or the levels do not suffice.
    pub(crate) fn new(chunks: u32, memory: &mut Bump<'a>) -> Option<Self> {
        let mut tree = Self { numbers: memory.slice(Self::numbers(chunks))?, ..Self::EMPTY };
        let (mut below, mut next) = (chunks, 0u32);
        for (level, end) in (0u32..).zip(tree.starts.iter_mut().skip(1)) {
            let nodes = below.div_ceil(FAN);
            next = next.wrapping_add(nodes.wrapping_mul(FAN));
            *end = next;
            if nodes <= 1 {
                tree.top = level;
                return Some(tree);
            }
            below = nodes;
        }
        // Not reached: more chunks than the levels hold, which no heap has.
        None
    }

    #[inline(always)]
    fn start(&self, level: u32) -> u32 {
        self.starts.get(level as usize).copied().unwrap_or(u32::MAX)
    }

    #[inline(always)]
    fn number(&mut self, level: u32, index: u32) -> Option<&mut u32> {
        let place = self.start(level).wrapping_add(index);
        self.numbers.get_mut(place as usize)
    }

    /// The node of `level` that holds number `index`, if there is one.
    #[inline(always)]
    fn node(&self, level: u32, index: u32) -> Option<&Node> {
        let place = self.start(level).wrapping_add(index & !(FAN - 1));
        if level < self.top && place >= self.start(level.wrapping_add(1)) {
            return None;
        }
        self.numbers.array(place as usize)
    }

    /// The number of `chunk`, 0 if there is no such chunk.
    #[inline(always)]
    pub(crate) fn get(&self, chunk: u32) -> u32 {
        self.numbers.get(chunk as usize)
    }

    /// The largest number of all.
    pub(crate) fn root(&self) -> u32 {
        self.node(self.top, 0).map_or(0, largest)
    }

    /// Makes the number of `chunk` at least `n`, and the maxima above, as far up as they are lower.
    #[inline(always)]
    pub(crate) fn raise(&mut self, chunk: u32, n: u32) {
        let Some(number) = self.numbers.get_mut(chunk as usize) else { return };
        if *number < n {
            *number = n;
            self.raise_above(chunk, n);
        }
    }

    #[inline(never)]
    fn raise_above(&mut self, chunk: u32, n: u32) {
        let mut index = chunk;
        for level in 1..=self.top {
            index /= FAN;
            match self.number(level, index) {
                Some(number) if *number < n => *number = n,
                _ => return,
            }
        }
    }

    /// Makes the number of `chunk`, which is no less, `n`, and takes the maxima above anew, as far up as they change.
    #[inline(never)]
    pub(crate) fn lower(&mut self, chunk: u32, n: u32) {
        let Some(number) = self.numbers.get_mut(chunk as usize) else { return };
        let before = core::mem::replace(number, n);
        let mut index = chunk;
        for level in 1..=self.top {
            let below = self.node(level.wrapping_sub(1), index).map_or(0, largest);
            index /= FAN;
            match self.number(level, index) {
                Some(number) if *number == before && below < before => *number = below,
                _ => return,
            }
        }
    }

    /// The first chunk from `from` on whose number is at least `n`, or [`NO_CHUNK`].
    #[inline(never)]
    pub(crate) fn first(&self, from: u32, n: u32) -> u32 {
        let mut index = from;
        for level in 0..=self.top {
            let node = self.node(level, index);
            let found = node.map_or(0, |node| at_least(node, n)) & u32::MAX.wrapping_shl(index % FAN);
            if found != 0 {
                index = index & !(FAN - 1) | found.trailing_zeros();
                return self.descend(level, index, n, u32::trailing_zeros);
            }
            index = (index / FAN).wrapping_add(1);
        }
        NO_CHUNK
    }

    /// The first chunk of all whose number is at least `n`, or [`NO_CHUNK`]: from the top down, so that every search of a
    /// heap takes the same steps.
    #[inline(never)]
    pub(crate) fn first_of_all(&self, n: u32) -> u32 {
        match self.node(self.top, 0).map_or(0, |node| at_least(node, n)) {
            0 => NO_CHUNK,
            found => self.descend(self.top, found.trailing_zeros(), n, u32::trailing_zeros),
        }
    }

    /// The last chunk before `before` whose number is at least `n`, or [`NO_CHUNK`].
    #[inline(never)]
    pub(crate) fn last(&self, before: u32, n: u32) -> u32 {
        let mut index = before;
        for level in 0..=self.top {
            let node = self.node(level, index);
            let below = (1u32.wrapping_shl(index % FAN)).wrapping_sub(1);
            let found = node.map_or(0, |node| at_least(node, n)) & below;
            if found != 0 {
                index = index & !(FAN - 1) | highest(found);
                return self.descend(level, index, n, highest);
            }
            index /= FAN;
        }
        NO_CHUNK
    }

    /// From number `index` of `level` down to the chunk that `choose` chooses, on each level, of the numbers that are at least `n`.
    #[inline(always)]
    fn descend(&self, level: u32, index: u32, n: u32, choose: impl Fn(u32) -> u32) -> u32 {
        let (mut level, mut index) = (level, index);
        while level > 0 {
            level = level.wrapping_sub(1);
            index = index.wrapping_mul(FAN);
            let found = self.node(level, index).map_or(0, |node| at_least(node, n));
            index = index.wrapping_add(choose(found));
        }
        index
    }

    /// Whether the invariants hold.
    pub(crate) fn is_whole(&self) -> bool {
        (0..self.top).all(|level| {
            let numbers = self.start(level.wrapping_add(1)).wrapping_sub(self.start(level));
            let above = level.wrapping_add(1);
            let room = self.start(above.wrapping_add(1)).wrapping_sub(self.start(above));
            (0..room).all(|index| {
                let place = index.wrapping_mul(FAN);
                let most = if place < numbers { self.node(level, place).map_or(0, largest) } else { 0 };
                self.numbers.get(self.start(above).wrapping_add(index) as usize) == most
            })
        })
    }
}

/// The highest set bit of a number that is not zero.
fn highest(bits: u32) -> u32 {
    31u32.wrapping_sub(bits.leading_zeros())
}
