//! A number for every chunk, and the first chunk at or after a place whose number is at least N, in a step up and a
//! step down per level.
//!
//! Above the numbers stand maxima, 16-ary: a node is sixteen numbers, one cache line, and each number above level 0 is
//! the largest of the node below it. (A segment tree with wide nodes.)
//!
//! Complexity of every operation: O(levels), that is O(log16 of the chunks).
#![deny(unsafe_code)]

use core::mem;

use crate::node::{FAN, Node, at_least, largest};
use crate::region::{CACHE_LINE, Carver};

/// 16^7 = 2^28 chunks: more than 64 GiB has.
const LEVELS: usize = 7;

/// Invariant: number i of level k+1 is the largest number of node i of level k.
#[derive(Debug)]
pub(crate) struct MaxTree<'a> {
    /// Level 0 holds the numbers. Levels above the first of a single node have no nodes.
    pub(crate) levels: [&'a mut [Node]; LEVELS],
    /// The level of a single node.
    top: usize,
}

impl<'a> MaxTree<'a> {
    /// A tree of no numbers.
    pub(crate) const fn empty() -> Self {
        Self { levels: [&mut [], &mut [], &mut [], &mut [], &mut [], &mut [], &mut []], top: 0 }
    }

    /// Bytes that the numbers of `chunks` chunks take.
    pub(crate) const fn footprint(chunks: usize) -> usize {
        let mut nodes = 0usize;
        let mut below = chunks;
        loop {
            below = below.div_ceil(FAN);
            nodes = nodes.saturating_add(below);
            if below <= 1 {
                return nodes.saturating_mul(CACHE_LINE);
            }
        }
    }

    /// A tree of `chunks` zeros, or `None` where the memory or the levels do not suffice.
    pub(crate) fn new(chunks: usize, memory: &mut Carver<'a>) -> Option<Self> {
        let mut tree = Self::empty();
        let mut below = chunks;
        for (level, nodes) in tree.levels.iter_mut().enumerate() {
            below = below.div_ceil(FAN);
            *nodes = memory.slice(below)?;
            tree.top = level;
            if below <= 1 {
                return Some(tree);
            }
        }
        // Not reached: more than 16^7 chunks, which no heap has.
        None
    }

    #[inline]
    fn number(&mut self, level: usize, index: usize) -> Option<&mut u32> {
        self.levels.get_mut(level)?.get_mut(index / FAN)?.get_mut(index % FAN)
    }

    /// The number of `chunk`, 0 where there is none.
    #[inline]
    pub(crate) fn get(&self, chunk: usize) -> u32 {
        let [numbers, ..] = &self.levels;
        numbers.get(chunk / FAN).and_then(|node| node.get(chunk % FAN)).copied().unwrap_or(0)
    }

    /// The largest number of all.
    pub(crate) fn root(&self) -> u32 {
        self.levels.get(self.top).and_then(|nodes| nodes.first()).map_or(0, largest)
    }

    /// Makes the number of `chunk` at least `number`. Whether it rises, and with it the largest of its node, is anybody's guess
    /// and no branch; whether the maximum above that does is one, as it mostly does not.
    #[inline]
    pub(crate) fn raise(&mut self, chunk: usize, number: u32) {
        for (level, index) in [(0, chunk), (1, chunk / FAN)] {
            let Some(place) = self.number(level, index) else { return };
            *place = number.max(*place);
        }
        let index = chunk / (FAN * FAN);
        if self.number(2, index).is_some_and(|above| *above < number) {
            self.raise_above(index, number);
        }
    }

    /// Raises number `index` of level 2 and those above, as far up as they are lower.
    #[inline(never)]
    fn raise_above(&mut self, index: usize, number: u32) {
        let mut index = index;
        for level in 2..LEVELS {
            let place = self.number(level, index);
            let Some(place) = place.filter(|place| **place < number) else { return };
            *place = number;
            index /= FAN;
        }
    }

    /// Makes the number of `chunk`, which is no less, `number`. A maximum is taken anew only where it was this number.
    #[inline(never)]
    pub(crate) fn lower(&mut self, chunk: usize, number: u32) {
        let mut index = chunk;
        let Some(place) = self.number(0, index) else { return };
        let before = mem::replace(place, number);
        for level in 1..LEVELS {
            index /= FAN;
            // Not reached: fewer than two; `level` is one of all, and not the first.
            let [below, above] = self.levels.get_mut(level.wrapping_sub(1)..=level).unwrap_or_default() else { return };
            let Some(place) = above.get_mut(index / FAN).and_then(|node| node.get_mut(index % FAN)) else { return };
            if *place != before {
                return;
            }
            *place = below.get(index).map_or(0, largest);
        }
    }

    /// The first chunk at or after `chunk` whose number is at least `number`.
    #[inline]
    pub(crate) fn first(&self, chunk: usize, number: u32) -> Option<usize> {
        let mut index = chunk;
        for (level, nodes) in self.levels.iter().enumerate() {
            let place = (index % FAN) as u32;
            let found = at_least(nodes.get(index / FAN)?, number) & u32::MAX.wrapping_shl(place);
            if found != 0 {
                let index = index & !(FAN - 1) | found.trailing_zeros() as usize;
                return self.descend(level, index, number);
            }
            index = (index / FAN).wrapping_add(1);
        }
        None
    }

    /// The first chunk whose number is at least `number`: from the top down, which takes the same steps every time.
    #[inline]
    pub(crate) fn first_of_all(&self, number: u32) -> Option<usize> {
        let top = self.levels.get(self.top)?.first()?;
        match at_least(top, number) {
            0 => None,
            found => self.descend(self.top, found.trailing_zeros() as usize, number),
        }
    }

    /// From number `index` of `level` down to the first chunk below it whose number is at least `number`.
    #[inline]
    fn descend(&self, level: usize, index: usize, number: u32) -> Option<usize> {
        let (mut level, mut index) = (level, index);
        while level > 0 {
            level = level.wrapping_sub(1);
            let found = at_least(self.levels.get(level)?.get(index)?, number);
            index = index.wrapping_mul(FAN).wrapping_add(found.trailing_zeros() as usize);
        }
        Some(index)
    }
}
