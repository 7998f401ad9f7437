//! Granules: the unit of every size and offset, as types that cannot be mistaken for bytes or for each other.
//!
//! Arithmetic here wraps instead of panicking. What a caller controls enters through [`Granules::of_block`], which is
//! checked, and through conversions that saturate; what comes out of the map is compared with the bounds of the segment by
//! [`Region`](crate::region::Region) before a pointer is made of it, so a wrapped offset is refused there.

use core::ptr::NonNull;

use static_assertions::{const_assert, const_assert_eq};

/// Bytes in a granule: the unit of every size and offset, and the alignment of every payload. 16, and 8 on 32-bit targets
/// without an operating system, where the C headers have 8 bytes and nothing asks for more.
pub const GRANULE: usize = if cfg!(all(target_pointer_width = "32", target_os = "none")) { 8 } else { 16 };

/// The largest heap, in bytes: 64 GiB, the 2^32 granules that an offset can name, or less where addresses are shorter.
pub const MAX_HEAP: usize = if usize::BITS > 36 { 1usize.wrapping_shl(36) } else { usize::MAX & !(GRANULE - 1) };

const_assert!(GRANULE.is_power_of_two() && MAX_HEAP % GRANULE == 0);
const_assert!(size_of::<usize>() >= size_of::<u32>());

/// A native word of bits.
pub(crate) type Word = usize;

/// Bits of a word, and so granules of a chunk.
pub(crate) const BITS: u32 = Word::BITS;

/// The position of a granule in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Offset(u32);

/// A count of granules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Granules(u32);

impl Offset {
    pub(crate) const ZERO: Self = Self(0);
    /// No granule: a region refuses it, as it does every offset beyond its end, so that "no next block" needs no test.
    pub(crate) const NIL: Self = Self(u32::MAX);

    pub(crate) const fn new(index: u32) -> Self {
        Self(index)
    }

    /// Returns the granule that holds byte `byte` of a segment, which has no more than [`MAX_HEAP`].
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

    /// Returns the granules from here up to `end`, which is not before this offset.
    pub(crate) const fn up_to(self, end: Self) -> Granules {
        Granules(end.0.wrapping_sub(self.0))
    }

    /// Returns the chunk that holds this granule.
    pub(crate) const fn chunk(self) -> u32 {
        self.0 / BITS
    }

    /// Returns the granule's bit in its chunk.
    pub(crate) const fn bit(self) -> u32 {
        self.0 % BITS
    }

    /// Returns the granule of bit `bit` of `chunk`.
    pub(crate) const fn in_chunk(chunk: u32, bit: u32) -> Self {
        Self(chunk.wrapping_mul(BITS).wrapping_add(bit))
    }
}

impl Granules {
    pub(crate) const ZERO: Self = Self(0);
    /// A block's header.
    pub(crate) const HEADER: Self = Self(1);
    /// The smallest block: a header and one granule of payload.
    pub(crate) const MIN_BLOCK: Self = Self(2);

    pub(crate) const fn new(count: u32) -> Self {
        Self(count)
    }

    /// Returns the size of the block that serves a request of `size` bytes: a header and `size` rounded up, at least
    /// [`Self::MIN_BLOCK`].
    /// `None` if no segment can have as many.
    #[inline(always)]
    pub(crate) fn of_block(size: usize) -> Option<Self> {
        if size > MAX_HEAP - 2 * GRANULE {
            return None;
        }
        // At most MAX_HEAP / GRANULE - 3, so that the sum fits: the header, and the granule that rounding down leaves out.
        let payload = (size.max(1).wrapping_sub(1) / GRANULE) as u32;
        Some(Self(payload.wrapping_add(2)))
    }

    /// Returns the fewest granules that hold `bytes`; saturates.
    pub(crate) const fn from_bytes_ceil(bytes: usize) -> Self {
        let count = bytes.div_ceil(GRANULE);
        if count > u32::MAX as usize { Self(u32::MAX) } else { Self(count as u32) }
    }

    /// Returns the whole granules in `bytes`; saturates.
    pub(crate) const fn from_bytes_floor(bytes: usize) -> Self {
        let count = bytes / GRANULE;
        if count > u32::MAX as usize { Self(u32::MAX) } else { Self(count as u32) }
    }

    pub(crate) const fn count(self) -> u32 {
        self.0
    }

    pub(crate) const fn bytes(self) -> usize {
        (self.0 as usize).wrapping_mul(GRANULE)
    }

    /// Returns the size of the payload of a block of this size.
    pub(crate) const fn payload(self) -> usize {
        Self(self.0.saturating_sub(Self::HEADER.0)).bytes()
    }

    /// Returns what the C header's `length` says of this many granules: bytes, or `INT_MAX` if an `int` cannot hold them.
    pub(crate) const fn length(self) -> i32 {
        const MOST: u32 = i32::MAX as u32 / GRANULE as u32;
        if self.0 > MOST { i32::MAX } else { (self.0 as i32).wrapping_mul(GRANULE as i32) }
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
    /// It has moved here.
    To(NonNull<u8>),
}

/// Divides by a number that is known at set-up, with a multiplication: a division instruction takes longer than the rest of a
/// free.
///
/// With `m = floor(2^32 / d) + 1 = 2^32 / d + f`, `0 < f <= 1`, a multiple `n = q * d` below 2^32 has
/// `n * m / 2^32 = q + n * f / 2^32`, whose floor is `q`. What is not a multiple has a quotient that does not multiply back.
/// (Granlund and Montgomery, "Division by Invariant Integers using Multiplication", 1994.)
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reciprocal {
    divisor: u32,
    multiplier: u64,
}

impl Reciprocal {
    /// All zeros: divides nothing.
    pub(crate) const ZERO: Self = Self { divisor: 0, multiplier: 0 };

    /// Divides by `divisor`; 0 counts as 1.
    pub(crate) const fn new(divisor: u32) -> Self {
        let divisor = if divisor == 0 { 1 } else { divisor };
        // 2^32 / d is (2^32 - 1) / d, or one more where d divides 2^32: in 32 bits, as 64 have no division instruction on
        // a 32-bit core.
        let quotient = match u32::MAX.checked_div(divisor) {
            Some(quotient) => quotient,
            // Not reached: a divisor of 0.
            None => 0,
        };
        let exact = divisor.is_power_of_two() as u64;
        Self { divisor, multiplier: (quotient as u64).wrapping_add(exact).wrapping_add(1) }
    }

    pub(crate) const fn divisor(self) -> u32 {
        self.divisor
    }

    /// Returns `n / divisor`, or `None` if that is not a whole number.
    #[inline(always)]
    pub(crate) const fn divide(self, n: u32) -> Option<u32> {
        let quotient = (n as u64).wrapping_mul(self.multiplier).wrapping_shr(32) as u32;
        if quotient.wrapping_mul(self.divisor) == n { Some(quotient) } else { None }
    }
}

const_assert_eq!(size_of::<Offset>(), size_of::<u32>());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_its_header_and_at_least_one_granule() {
        let g = GRANULE;
        for (size, granules) in [(0, 2), (1, 2), (g, 2), (g + 1, 3), (2 * g, 3), (2 * g + 1, 4), (256 * g, 257)] {
            assert_eq!(Granules::of_block(size), Some(Granules(granules)), "{size} bytes");
        }
        assert_eq!(Granules::of_block(usize::MAX), None);
        let largest = MAX_HEAP - 2 * GRANULE;
        assert_eq!(Granules::of_block(largest), Some(Granules((largest / GRANULE + 1) as u32)));
        assert_eq!(Granules::of_block(largest + 1), None);
    }

    #[test]
    fn a_number_of_granules_saturates_where_its_type_ends() {
        let g = GRANULE;
        for (bytes, ceil, floor) in [(0, 0, 0), (1, 1, 0), (g, 1, 1), (g + 1, 2, 1), (256 * g, 256, 256)] {
            let found = (Granules::from_bytes_ceil(bytes), Granules::from_bytes_floor(bytes));
            assert_eq!(found, (Granules(ceil), Granules(floor)));
        }
        let whole = (u32::MAX as usize).saturating_mul(GRANULE);
        for bytes in [whole, whole.saturating_add(16), whole.saturating_add(32), usize::MAX] {
            let most = u32::try_from(bytes / GRANULE).unwrap_or(u32::MAX);
            assert_eq!(Granules::from_bytes_floor(bytes), Granules(most));
            assert!(Granules::from_bytes_ceil(bytes) >= Granules(most));
        }
    }

    #[test]
    fn the_largest_heap_has_as_many_granules_as_an_offset_can_name() {
        assert_eq!(MAX_HEAP as u64, (1u64 << 36).min((usize::MAX / GRANULE * GRANULE) as u64));
    }

    #[test]
    fn an_offset_is_a_bit_of_a_chunk() {
        for index in [0, 5, BITS - 1, BITS, u32::MAX] {
            let offset = Offset(index);
            assert_eq!((offset.chunk(), offset.bit()), (index / BITS, index % BITS), "granule {index}");
            assert_eq!(Offset::in_chunk(offset.chunk(), offset.bit()), offset);
        }
    }

    #[test]
    fn a_blocks_payload_is_all_of_it_but_the_header() {
        for (granules, payload) in [(0, 0), (1, 0), (2, GRANULE), (257, 256 * GRANULE)] {
            assert_eq!(Granules(granules).payload(), payload, "{granules} granules");
        }
    }

    #[test]
    fn length_saturates_where_an_int_ends() {
        let most = i32::MAX as u32 / GRANULE as u32;
        assert_eq!(Granules(most).length(), (most * GRANULE as u32) as i32);
        assert_eq!(Granules(most + 1).length(), i32::MAX);
        assert_eq!(Granules(u32::MAX).length(), i32::MAX);
    }

    #[test]
    fn the_reciprocal_divides_exactly_and_refuses_what_is_no_multiple() {
        let divisors = (1..200).chain([255, 256, 257, 65_535, 65_536, u32::MAX / 2, u32::MAX - 1, u32::MAX]);
        for divisor in divisors {
            let by = Reciprocal::new(divisor);
            assert_eq!(by.divisor(), divisor);
            let near = (0..2000u32).map(|k| k.wrapping_mul(divisor)).chain([u32::MAX - u32::MAX % divisor]);
            let edges = near.flat_map(|n| [n.wrapping_sub(1), n, n.wrapping_add(1)]).chain([u32::MAX - 1, u32::MAX]);
            for n in edges {
                assert_eq!(by.divide(n), (n % divisor == 0).then_some(n / divisor), "{n} / {divisor}");
            }
        }
        assert_eq!(Reciprocal::new(0).divide(7), Some(7), "0 counts as 1");
    }
}
