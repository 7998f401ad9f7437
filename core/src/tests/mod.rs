//! Tests of what only the crate itself can reach: the bounds of its memory; windows, trees and the map against plain arrays;
//! the checker against broken heaps.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;
use std::vec;

use crate::memory::{ALIGNMENT, Bump, Memory, RegionArray};

mod bounds;
mod checker;
mod classes;
mod lend;
mod lend_slots;
mod locks;
mod map;
#[cfg(target_has_atomic = "64")]
mod owned;
mod statics;
mod steps;
mod trees;
mod ward;
mod window;

/// A small generator for tests, replayable from its seed, which is not 0 (xorshift64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Runs `test` with `bytes` of bookkeeping. The system has zeroed them, so that those that the test does not touch cost nothing.
fn with_bookkeeping<R>(bytes: usize, test: impl FnOnce(&mut Bump<'_>) -> R) -> R {
    let mut zeros = vec![0u8; bytes + ALIGNMENT];
    let skip = zeros.as_ptr().align_offset(ALIGNMENT);
    // SAFETY: the bytes are lent to the bookkeeping alone, for as long as `test` runs.
    let memory = unsafe { Memory::from_raw_parts(zeros.as_mut_ptr(), 0, zeros.as_mut_ptr().wrapping_add(skip), bytes) };
    // SAFETY: every byte is 0.
    let (mut bump, ..) = unsafe { memory.assume_zeroed() }.divide(0, 0, 0).unwrap();
    test(&mut bump)
}

/// Fills an array, so that a test may read whatever byte it likes.
fn fill<const N: usize>(array: &mut RegionArray<N>, byte: u8) {
    array.as_mut().fill(MaybeUninit::new(byte));
}
