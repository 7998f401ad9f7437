//! Granules: the unit of every size and offset, as types that cannot be mistaken for bytes or for each other.
//!
//! Arithmetic here wraps instead of panicking. What a caller controls enters through [`Granules::of_block`], which is
//! checked, and through those that saturate or that the heap's size bounds; what comes out of the map is checked against
//! the region by [`Region`](crate::region::Region) before a pointer is made of it, so a wrapped offset is refused there
//! and never used.
#![deny(unsafe_code)]

use static_assertions::const_assert;

use crate::switch::wrong;

/// Bytes in a granule: the unit of every size and offset, and the alignment of every payload.
pub const GRANULE: usize = 16;

/// The largest heap, in bytes: 64 GiB, the 2^32 granules that an offset can name, or less where addresses are shorter.
pub const MAX_HEAP: usize = if usize::BITS > 36 { 1usize.wrapping_shl(36) } else { usize::MAX & !(GRANULE - 1) };

/// The alignment of every payload fits what C promises of `max_align_t`.
const _: () = assert!(GRANULE.is_power_of_two() && MAX_HEAP % GRANULE == 0);
const_assert!(size_of::<usize>() >= size_of::<u32>());

/// The position of a granule in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Offset(u32);

/// A count of granules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Granules(u32);

impl Offset {
    pub(crate) const ZERO: Self = Self(0);
    /// No granule of any segment: a region refuses it as it refuses every offset beyond its end, so that "no next block"
    /// needs no test of its own.
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(crate) const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The granule that a byte of a segment, which has no more than [`MAX_HEAP`], falls into.
    pub(crate) const fn of_byte(byte: usize) -> Self {
        Self((byte / GRANULE) as u32)
    }

    pub(crate) const fn index(self) -> u32 {
        self.0
    }

    pub(crate) const fn bytes(self) -> usize {
        (self.0 as usize).wrapping_mul(GRANULE)
    }

    pub(crate) const fn plus(self, count: Granules) -> Self {
        Self(self.0.wrapping_add(count.0))
    }

    pub(crate) const fn minus(self, count: Granules) -> Self {
        Self(self.0.wrapping_sub(count.0))
    }

    /// The granules from here up to `end`, which lies at or behind this offset.
    pub(crate) const fn up_to(self, end: Self) -> Granules {
        Granules(end.0.wrapping_sub(self.0))
    }

    /// The chunk of 64 granules that this one lies in.
    pub(crate) const fn chunk(self) -> usize {
        (self.0 / u64::BITS) as usize
    }

    /// The place in its chunk, 0 to 63.
    pub(crate) const fn bit(self) -> u32 {
        self.0 % u64::BITS
    }

    /// The granule at place `bit` of `chunk`.
    pub(crate) const fn in_chunk(chunk: usize, bit: u32) -> Self {
        Self((chunk as u32).wrapping_mul(u64::BITS).wrapping_add(bit))
    }
}

impl Granules {
    pub(crate) const NONE: Self = Self(0);
    /// A block's header.
    pub(crate) const HEADER: Self = Self(1);
    /// The smallest slot.
    pub(crate) const MIN_SLOT: Self = Self(1);
    /// The smallest block: a header and one granule of payload.
    pub(crate) const MIN_BLOCK: Self = Self(2);

    pub(crate) const fn new(count: u32) -> Self {
        Self(count)
    }

    /// The block that serves a request of `size` bytes: header and payload, at least [`Self::MIN_BLOCK`].
    /// `None` where that is more than any segment has.
    #[inline]
    pub(crate) fn of_block(size: usize) -> Option<Self> {
        let payload = size.div_ceil(GRANULE).max(1);
        // One more for the header.
        if wrong!("request-size", payload >= u32::MAX as usize) {
            return None;
        }
        Some(Self((payload as u32).wrapping_add(1)))
    }

    /// The granules that hold `bytes`, rounded up; saturates.
    pub(crate) const fn holding(bytes: usize) -> Self {
        let count = bytes.div_ceil(GRANULE);
        if count > u32::MAX as usize { Self(u32::MAX) } else { Self(count as u32) }
    }

    /// The whole granules in `bytes`; saturates.
    pub(crate) const fn within(bytes: usize) -> Self {
        let count = bytes / GRANULE;
        if count > u32::MAX as usize { Self(u32::MAX) } else { Self(count as u32) }
    }

    pub(crate) const fn count(self) -> u32 {
        self.0
    }

    pub(crate) const fn bytes(self) -> usize {
        (self.0 as usize).wrapping_mul(GRANULE)
    }

    /// Bytes of payload in a block of this size.
    pub(crate) const fn payload(self) -> usize {
        Self(self.0.saturating_sub(Self::HEADER.0)).bytes()
    }

    /// What the C header's `length` says of this many granules: bytes, and `INT_MAX` where an `int` cannot say it.
    pub(crate) const fn length(self) -> i32 {
        let bytes = (self.0 as u64).wrapping_mul(GRANULE as u64);
        if bytes > i32::MAX as u64 { i32::MAX } else { bytes as i32 }
    }

    pub(crate) const fn plus(self, count: Self) -> Self {
        Self(self.0.wrapping_add(count.0))
    }

    pub(crate) const fn minus(self, count: Self) -> Self {
        Self(self.0.wrapping_sub(count.0))
    }
}

/// How a live object can be given another size.
pub(crate) enum Resize {
    /// It stays where it is, and has the new size already.
    InPlace,
    /// It must move; it has this many bytes.
    Move(usize),
}

/// Division by a number that is known at set-up, as a multiplication: a slot's index is wanted at every free of a slot,
/// and a hardware division costs more than the rest of it.
///
/// With m = floor((2^64 - 1) / d), floor(n / d) = floor((n + 1) * m / 2^64) for all n < 2^32 and 0 < d < 2^32: with
/// 2^64 - 1 = m * d + r and n + 1 = q * d + t, the product over 2^64 is q + t/d - e with
/// 0 < e = (n + 1)(1 + r) / (d * 2^64) < 1/d, so its floor is q where t > 0 and q - 1 where t = 0. (After Robison,
/// "N-bit unsigned division via N-bit multiply-add", 2005.)
#[derive(Clone, Copy, Debug)]
pub(crate) struct Divisor {
    reciprocal: u64,
}

impl Divisor {
    /// Divides by `divisor`; 0 counts as 1.
    pub(crate) const fn new(divisor: Granules) -> Self {
        match u64::MAX.checked_div(divisor.0 as u64) {
            Some(reciprocal) => Self { reciprocal },
            None => Self { reciprocal: u64::MAX },
        }
    }

    pub(crate) const fn divide(self, offset: Offset) -> u32 {
        let product = (offset.0 as u128).wrapping_add(1).wrapping_mul(self.reciprocal as u128);
        product.wrapping_shr(u64::BITS) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_its_header_and_at_least_one_granule() {
        for (size, granules) in [(0, 2), (1, 2), (16, 2), (17, 3), (32, 3), (33, 4), (4096, 257)] {
            assert_eq!(Granules::of_block(size), Some(Granules(granules)), "{size} bytes");
        }
        assert_eq!(Granules::of_block(usize::MAX).is_none(), usize::BITS > 32);
    }

    #[test]
    fn a_number_of_granules_saturates_where_its_type_ends() {
        for (bytes, holding, within) in [(0, 0, 0), (1, 1, 0), (16, 1, 1), (17, 2, 1), (4096, 256, 256)] {
            assert_eq!((Granules::holding(bytes), Granules::within(bytes)), (Granules(holding), Granules(within)));
        }
        let whole = (u32::MAX as usize).saturating_mul(GRANULE);
        for bytes in [whole, whole.saturating_add(16), whole.saturating_add(32), usize::MAX] {
            let most = u32::try_from(bytes / GRANULE).unwrap_or(u32::MAX);
            assert_eq!(Granules::within(bytes), Granules(most));
            assert!(Granules::holding(bytes) >= Granules(most));
        }
    }

    #[test]
    fn the_largest_heap_has_as_many_granules_as_an_offset_can_name() {
        assert_eq!(MAX_HEAP as u64, (1u64 << 36).min(usize::MAX as u64 / 16 * 16));
    }

    #[test]
    fn an_offset_is_a_place_in_a_chunk() {
        for (index, chunk, bit) in [(0, 0, 0), (5, 0, 5), (63, 0, 63), (64, 1, 0), (u32::MAX, 0x3ff_ffff, 63)] {
            let offset = Offset(index);
            assert_eq!((offset.chunk(), offset.bit()), (chunk, bit), "granule {index}");
            assert_eq!(Offset::in_chunk(chunk, bit), offset);
        }
    }

    #[test]
    fn a_blocks_payload_is_all_of_it_but_the_header() {
        for (granules, payload) in [(0, 0), (1, 0), (2, 16), (257, 4096)] {
            assert_eq!(Granules(granules).payload(), payload, "{granules} granules");
        }
    }

    #[test]
    fn length_saturates_where_an_int_ends() {
        assert_eq!(Granules(134_217_727).length(), 2_147_483_632);
        assert_eq!(Granules(134_217_728).length(), i32::MAX);
        assert_eq!(Granules(u32::MAX).length(), i32::MAX);
    }

    #[test]
    fn the_reciprocal_divides_exactly() {
        let divisors = (1..200).chain([255, 256, 257, 65_535, 65_536, u32::MAX / 2, u32::MAX - 1, u32::MAX]);
        for divisor in divisors {
            let by = Divisor::new(Granules(divisor));
            let near = (0..2000u32).map(|k| k.wrapping_mul(divisor));
            let edges = near.flat_map(|n| [n.wrapping_sub(1), n, n.wrapping_add(1)]).chain([u32::MAX - 1, u32::MAX]);
            for n in edges {
                assert_eq!(by.divide(Offset(n)), n / divisor, "{n} / {divisor}");
            }
        }
        assert_eq!(Divisor::new(Granules::NONE).divide(Offset(7)), 7, "0 counts as 1");
    }
}
