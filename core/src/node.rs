//! Sixteen numbers looked at as one: a node of the max tree, which is a cache line.
//!
//! A search by first fit asks a node on every level which of its numbers suffice, and each answer is waited for. Compilers
//! make some sixty instructions of that; x86-64 has it in twenty, which is why they are named here.

use static_assertions::const_assert_eq;

use crate::region::CACHE_LINE;

/// The numbers of a node.
pub(crate) const FAN: usize = 16;

pub(crate) type Node = [u32; FAN];

const_assert_eq!(size_of::<Node>(), CACHE_LINE);

/// The largest number of a node.
pub(crate) fn largest(node: &Node) -> u32 {
    node.iter().fold(0, |most, &number| most.max(number))
}

/// A bit for every number of the node that is at least `number`.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
#[inline]
pub(crate) fn at_least(node: &Node, number: u32) -> u32 {
    let mut bits = 0u32;
    for (place, &value) in (0u32..).zip(node) {
        bits |= u32::from(value >= number).wrapping_shl(place);
    }
    bits
}

/// A bit for every number of the node that is at least `number`.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline(always)]
pub(crate) fn at_least(node: &Node, number: u32) -> u32 {
    use core::arch::x86_64::{
        __m128i, _mm_cmpgt_epi32, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi32, _mm_xor_si128,
    };
    // SAFETY: of one size (or this would not compile), and every bit pattern is a value of both.
    let [a, b, c, d] = unsafe { core::mem::transmute::<Node, [__m128i; 4]>(*node) };
    #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one obligation, the same for each")]
    // SAFETY: they ask for SSE2, which this is compiled for, and touch no memory.
    let too_small = unsafe {
        // The comparison is of signed numbers: with their highest bits turned over, unsigned ones compare alike.
        let turn = _mm_set1_epi32(i32::MIN);
        let number = _mm_xor_si128(_mm_set1_epi32(number as i32), turn);
        let [a, b, c, d] = [a, b, c, d].map(|four| _mm_cmpgt_epi32(number, _mm_xor_si128(four, turn)));
        // All bits of each number are now alike, so half of them, and half again, say the same.
        _mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d)))
    };
    !(too_small as u32) & u32::from(u16::MAX)
}
