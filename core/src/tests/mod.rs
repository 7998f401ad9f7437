//! Tests of what only the crate itself can reach: the bounds of its memory, trees and windows against plain arrays, the checker
//! against broken heaps.

mod bounds;
mod checker;
mod lend;
mod steps;
mod trees;
mod window;

/// A small generator for tests, replayable from its seed (xorshift64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
