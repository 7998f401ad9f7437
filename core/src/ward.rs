//! What a hardened heap knows of its objects, outside the heap: the bytes that each was asked for with, which objects are in quarantine,
//! and the key.
//!
//! The quarantine delays the reuse of an address, as in Berger and Zorn, "DieHard: Probabilistic Memory Safety for Unsafe Languages"
//! (2006), and in hardened_malloc: a queue, then a pool, from which each free takes an object at random.
//!
//! Complexity: O(1).

use crate::classes::MayHave;
use crate::error::Damage;
use crate::lent::{Lent, Plain};
use crate::memory::{ALIGNMENT, Bump};
use crate::pages::Pages;
use crate::size_class::{classes_of, slot_size};
use crate::stats::QuarantineStats;
use crate::units::{GRANULE, Granules, Offset};

/// Bytes of the pattern between the end of what was asked for and the end of the slot or block, at least.
pub(crate) const CANARY: usize = 8;

/// How many objects of one class the queue holds, and the pool after it.
const QUEUE: usize = 64;
const POOL: usize = 16;

/// The share of the segment that blocks in quarantine may have together, and the most bytes.
const SHARE: u32 = 32;
const MOST: Granules = Granules::from_bytes_floor(1 << 20);

/// The share of the segment that fenced objects in quarantine may have together.
const FENCED_SHARE: u32 = 8;

/// The code of a granule where no object starts.
const NONE: u8 = 0;
/// The largest code that says how many bytes of a live object are left over, plus one.
const DIRECT: u8 = 0xdf;
/// A digit of a larger number of them: one in each granule from the object's second on, the lowest first.
const DIGIT: u8 = 0xe0;
/// Where a block starts that is fenced, or that holds addresses of objects of 0 bytes.
const FENCE: u8 = 0xf0;
/// A live object between fences: digits as for [`LONG`].
const FENCED: u8 = 0xf1;
/// A live object of which the digits say how many bytes are left over.
const LONG: u8 = 0xf2;
/// A live object of 0 bytes in inaccessible memory, and one that was freed.
const NOTHING: u8 = 0xf3;
const NOTHING_FREED: u8 = 0xf4;
/// An object that is being freed.
const BUSY: u8 = 0xfe;
/// An object in quarantine.
const FREED: u8 = 0xff;

/// Digits of a number of bytes, and bits of each.
const DIGITS: u32 = 9;
const DIGIT_BITS: u32 = 4;

/// What a code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// No object starts here.
    None,
    /// A live object, of which so many bytes at the end were not asked for.
    Live(usize),
    /// A live object between fences, of which so many bytes up to the end of its block were not asked for.
    Fenced(usize),
    /// The payload of a block that is fenced starts here, or of one that holds addresses of objects of 0 bytes.
    Fence,
    /// A live object of 0 bytes in inaccessible memory, and one that was freed.
    Nothing,
    NothingFreed,
    /// An object that is being allocated or freed.
    Busy,
    /// An object in quarantine.
    Freed,
}

/// The quarantine of one class, or of blocks. Invariants: the first `pooled` of `pool`, and `queued` of `queue` from `oldest` on, are
/// the starts of different objects with the code [`FREED`].
// Whole words, as for the codes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(8))]
pub(crate) struct Ring {
    queue: [u32; QUEUE],
    pool: [u32; POOL],
    oldest: u32,
    queued: u32,
    pooled: u32,
}

// SAFETY: integers.
#[expect(unsafe_code, reason = "that every bit pattern is a value")]
unsafe impl Plain for Ring {
    const ZERO: Self = Self { queue: [0; QUEUE], pool: [0; POOL], oldest: 0, queued: 0, pooled: 0 };
}

impl Ring {
    /// Puts an object in, and returns one that leaves, if it is full.
    fn push(&mut self, at: Offset, random: impl FnOnce(u32) -> u32) -> Option<Offset> {
        if let Some(place) = self.queue.get_mut(self.queued as usize) {
            // As long as the queue is not full its oldest is the first.
            *place = at.index();
            self.queued = self.queued.wrapping_add(1);
            return None;
        }
        let place = self.queue.get_mut(self.oldest as usize % QUEUE)?;
        let oldest = core::mem::replace(place, at.index());
        let next = self.oldest.wrapping_add(1);
        self.oldest = if next as usize == QUEUE { 0 } else { next };
        if let Some(place) = self.pool.get_mut(self.pooled as usize) {
            *place = oldest;
            self.pooled = self.pooled.wrapping_add(1);
            return None;
        }
        let place = self.pool.get_mut(random(const { POOL as u32 }) as usize)?;
        Some(Offset::new(core::mem::replace(place, oldest)))
    }

    /// Takes out an object: one of those that have been here longest.
    fn pop(&mut self) -> Option<Offset> {
        if let Some(top) = self.pooled.checked_sub(1) {
            self.pooled = top;
            return self.pool.get(top as usize).copied().map(Offset::new);
        }
        self.queued = self.queued.checked_sub(1)?;
        let taken = *self.queue.get(self.oldest as usize % QUEUE)?;
        // The queue starts at its first place again when it is not full.
        self.queue.rotate_left((self.oldest as usize % QUEUE).wrapping_add(1));
        self.oldest = 0;
        Some(Offset::new(taken))
    }

    fn count(&self) -> usize {
        (self.queued as usize).wrapping_add(self.pooled as usize)
    }

    fn objects(&self) -> impl Iterator<Item = Offset> {
        let pool = self.pool.iter().take(self.pooled as usize);
        let start = self.oldest as usize;
        let queue = (0..self.queued as usize).filter_map(move |at| self.queue.get(start.wrapping_add(at) % QUEUE));
        pool.chain(queue).map(|at| Offset::new(*at))
    }
}

/// What a hardened heap knows of its objects.
///
/// Invariants:
/// - `codes` has a code where an object starts, digits where one with a long rest goes on, and 0 elsewhere.
/// - `rings` has one for each class, and one for blocks after them: each object in it has the code [`FREED`], and no other has.
/// - `held` is the sum of the payloads of the blocks in quarantine.
#[derive(Debug)]
pub struct Ward<'a> {
    codes: Lent<'a, u8>,
    rings: Lent<'a, Ring>,
    key: [u64; 2],
    random: u64,
    held: Granules,
    most: Granules,
    /// Granules of the fenced objects in quarantine, and the most that they may have.
    fenced: Granules,
    most_fenced: Granules,
    pages: Option<&'static Pages>,
    /// Where objects of 0 bytes have their addresses, how many there are, and which is next.
    nothing: Offset,
    nothings: u32,
    next: u32,
    /// What was found last, until somebody is told.
    found: Option<Damage>,
}

impl<'a> MayHave<Ward<'a>> for Ward<'a> {
    const EMPTY: Self = Self::EMPTY;

    #[inline(always)]
    fn get(&self) -> Option<&Self> {
        Some(self)
    }

    #[inline(always)]
    fn get_mut(&mut self) -> Option<&mut Self> {
        Some(self)
    }
}

impl<'a> Ward<'a> {
    /// The most bytes of an object that need no digits.
    pub(crate) const MOST_REST: usize = DIRECT as usize - 1;

    /// Knows of nothing, all zeros.
    const EMPTY: Self = Self {
        codes: Lent::EMPTY,
        rings: Lent::EMPTY,
        key: [0; 2],
        random: 0,
        held: Granules::ZERO,
        most: Granules::ZERO,
        fenced: Granules::ZERO,
        most_fenced: Granules::ZERO,
        pages: None,
        nothing: Offset::ZERO,
        nothings: 0,
        next: 0,
        found: None,
    };

    /// Returns how many bytes this takes for a segment of `granules`, alignment included.
    pub(crate) const fn footprint(granules: Granules, has_classes: bool, has_pages: bool) -> usize {
        Self::rings(granules, has_classes, has_pages)
            .saturating_mul(size_of::<Ring>())
            .saturating_add(ALIGNMENT - 1)
            .saturating_add(Self::codes(granules))
    }

    /// Returns the number of codes: one for each granule, in whole words, as what comes after them is of words.
    const fn codes(granules: Granules) -> usize {
        (granules.count() as usize).next_multiple_of(size_of::<u64>())
    }

    /// Returns the number of rings: one for each class, one for blocks, and one for fenced objects where there are pages.
    const fn rings(granules: Granules, has_classes: bool, has_pages: bool) -> usize {
        let classes = if has_classes { classes_of(granules) } else { 0 };
        classes.saturating_add(1).saturating_add(has_pages as usize)
    }

    /// Makes an empty one that of a segment of `granules`.
    pub(crate) fn set_up(
        &mut self,
        granules: Granules,
        has_classes: bool,
        key: [u64; 2],
        pages: Option<&'static Pages>,
        memory: &mut Bump<'a>,
    ) -> Option<()> {
        memory.align();
        self.rings = memory.slice(Self::rings(granules, has_classes, pages.is_some()))?;
        self.codes = memory.slice(Self::codes(granules))?;
        self.most = Granules::new(granules.count() / SHARE).min(MOST);
        self.most_fenced = Granules::new(granules.count() / FENCED_SHARE);
        (self.key, self.random, self.pages) = (key, key[1], pages);
        Some(())
    }

    /// Returns what is known of the object that starts at `at`.
    #[inline(always)]
    pub(crate) fn code(&self, at: Offset) -> Code {
        match self.codes.get(at.index() as usize) {
            NONE => Code::None,
            code if code <= DIRECT => Code::Live(usize::from(code).wrapping_sub(1)),
            FREED => Code::Freed,
            BUSY => Code::Busy,
            LONG => Code::Live(self.digits(at)),
            FENCED => Code::Fenced(self.digits(at)),
            FENCE => Code::Fence,
            NOTHING => Code::Nothing,
            NOTHING_FREED => Code::NothingFreed,
            _ => Code::None,
        }
    }

    /// Returns how many bytes at the end of the slot that starts at `at` are no object's, and the pattern that they are, which is zeros in a
    /// free slot; `None` where that takes longer to say.
    #[inline(always)]
    pub(crate) fn short_rest(&self, at: Offset) -> Option<(usize, u64)> {
        let code = self.codes.get(at.index() as usize);
        let (is_live, is_free) = (code.wrapping_sub(1) < DIRECT, code.wrapping_sub(FREED) <= NONE.wrapping_sub(FREED));
        if !is_live & !is_free {
            return None;
        }
        // Masks, as whether a neighbour is live is what no processor can foresee.
        let live = 0u64.wrapping_sub(u64::from(is_live));
        let rest = u64::from(code).wrapping_sub(1) & live | GRANULE as u64 & !live;
        Some((rest as usize, self.canary(at) & live))
    }

    /// Reads the number that the digits after `at` are.
    #[cold]
    fn digits(&self, at: Offset) -> usize {
        let digits = (1..=DIGITS).map(|index| self.codes.get(at.plus(Granules::new(index)).index() as usize));
        let number =
            digits.rev().fold(0u64, |number, digit| number.wrapping_shl(DIGIT_BITS) | u64::from(digit & !DIGIT));
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    /// Notes that an object is live, and that `rest` of its `capacity` bytes were not asked for.
    #[inline(always)]
    pub(crate) fn set_live(&mut self, at: Offset, rest: usize) {
        if rest <= Self::MOST_REST {
            self.set(at, rest.wrapping_add(1) as u8);
        } else {
            self.set_digits(at, LONG, rest);
        }
    }

    /// Sets the code of an object whose rest is in digits.
    #[cold]
    fn set_digits(&mut self, at: Offset, code: u8, rest: usize) {
        self.set(at, code);
        let mut left = rest as u64;
        for index in 1..=DIGITS {
            let digit = (left % (1 << DIGIT_BITS)) as u8;
            self.set(at.plus(Granules::new(index)), DIGIT | digit);
            left = left.wrapping_shr(DIGIT_BITS);
        }
    }

    /// Notes that an object is no longer live, and is being freed.
    #[inline(always)]
    pub(crate) fn set_busy(&mut self, at: Offset) {
        self.replace(at, BUSY);
    }

    /// Notes that no object starts at `at`.
    #[inline(always)]
    pub(crate) fn forget(&mut self, at: Offset) {
        self.replace(at, NONE);
    }

    /// Sets the code of an object, and clears the digits of the one before.
    #[inline(always)]
    fn replace(&mut self, at: Offset, code: u8) {
        let Some(place) = self.codes.get_mut(at.index() as usize) else { return };
        let before = core::mem::replace(place, code);
        if matches!(before, LONG | FENCED) {
            self.clear_digits(at);
        }
    }

    #[cold]
    fn clear_digits(&mut self, at: Offset) {
        for index in 1..=DIGITS {
            self.set(at.plus(Granules::new(index)), NONE);
        }
    }

    #[inline(always)]
    fn set(&mut self, at: Offset, code: u8) {
        if let Some(place) = self.codes.get_mut(at.index() as usize) {
            *place = code;
        }
    }

    /// Notes that an object is in quarantine.
    #[inline(always)]
    pub(crate) fn set_freed(&mut self, at: Offset) {
        self.replace(at, FREED);
    }

    /// Puts an object that was live, or busy, into the quarantine of `class`, and returns one that leaves it.
    #[inline(always)]
    pub(crate) fn push(&mut self, class: usize, at: Offset) -> Option<Offset> {
        self.set_freed(at);
        let random = &mut self.random;
        let key = self.key[0];
        self.rings.get_mut(class)?.push(at, |below| next_random(random, key, below))
    }

    /// Puts a block of `size` into the quarantine of blocks, and returns one that leaves it.
    pub(crate) fn push_block(&mut self, at: Offset, size: Granules) -> Option<Offset> {
        self.held = self.held.plus(size);
        self.push(self.of_blocks(), at)
    }

    /// Notes that a block of `size` has left the quarantine.
    pub(crate) fn block_left(&mut self, size: Granules) {
        self.held = self.held.minus(size);
    }

    /// Takes a block out of the quarantine if the blocks there have too many bytes, unless it is the last that came.
    pub(crate) fn pop_surplus(&mut self) -> Option<Offset> {
        let blocks = self.of_blocks();
        let is_surplus = self.held > self.most && self.rings.get_ref(blocks).is_some_and(|ring| ring.count() > 1);
        if is_surplus { self.pop(blocks) } else { None }
    }

    /// Returns what is known of pages.
    pub(crate) fn pages(&self) -> Option<&'static Pages> {
        self.pages
    }

    /// Notes that the payload of a fenced block starts at `at`.
    pub(crate) fn set_fence(&mut self, at: Offset) {
        self.set(at, FENCE);
    }

    /// Notes that a fenced object is live, and that `rest` bytes up to the end of its block were not asked for.
    pub(crate) fn set_fenced(&mut self, at: Offset, rest: usize) {
        self.set_digits(at, FENCED, rest);
    }

    /// Puts a fenced object of `size` into quarantine, and returns one that leaves it.
    pub(crate) fn push_fenced(&mut self, at: Offset, size: Granules) -> Option<Offset> {
        self.fenced = self.fenced.plus(size);
        self.push(self.of_blocks().wrapping_add(1), at)
    }

    /// Notes that a fenced object of `size` has left the quarantine.
    pub(crate) fn fenced_left(&mut self, at: Offset, size: Granules) {
        self.fenced = self.fenced.minus(size);
        self.set_busy(at);
    }

    /// Takes a fenced object out of the quarantine; if `only_surplus`, only where they have too many bytes there.
    pub(crate) fn pop_fenced(&mut self, only_surplus: bool) -> Option<Offset> {
        self.pages?;
        if only_surplus && self.fenced <= self.most_fenced {
            return None;
        }
        self.pop(self.of_blocks().wrapping_add(1))
    }

    /// Notes that objects of 0 bytes have their addresses in `count` granules after `at`, where the block's payload starts.
    pub(crate) fn set_nothing(&mut self, at: Offset, count: Granules) {
        (self.nothing, self.nothings) = (at, count.count());
    }

    /// Returns whether objects of 0 bytes have addresses of their own.
    pub(crate) fn has_nothing(&self) -> bool {
        self.nothings > 0
    }

    /// Returns whether the block whose payload starts at `at` is where objects of 0 bytes have their addresses.
    pub(crate) fn is_nothing(&self, at: Offset) -> bool {
        self.has_nothing() && self.nothing == at
    }

    /// Takes an address that no object of 0 bytes has: the one that was free longest, if they are freed in order.
    pub(crate) fn take_nothing(&mut self) -> Option<Offset> {
        for _ in 0..self.nothings {
            self.next = if self.next < self.nothings { self.next.wrapping_add(1) } else { 1 };
            let at = self.nothing.plus(Granules::new(self.next));
            if self.code(at) != Code::Nothing {
                self.set(at, NOTHING);
                return Some(at);
            }
        }
        None
    }

    /// Notes that an object of 0 bytes was freed.
    pub(crate) fn free_nothing(&mut self, at: Offset) {
        self.set(at, NOTHING_FREED);
    }

    /// Takes an object out of the quarantine of `class`.
    pub(crate) fn pop(&mut self, class: usize) -> Option<Offset> {
        self.rings.get_mut(class)?.pop()
    }

    /// Returns the objects in the quarantine of `class`.
    pub(crate) fn objects(&self, class: usize) -> impl Iterator<Item = Offset> {
        self.rings.get_ref(class).into_iter().flat_map(Ring::objects)
    }

    /// Returns the figures of the quarantine.
    pub(crate) fn stats(&self) -> QuarantineStats {
        let blocks = self.of_blocks();
        let mut stats = QuarantineStats { objects: 0, bytes: self.held.bytes().wrapping_add(self.fenced.bytes()) };
        for ring in 0..self.rings.len() {
            let objects = self.rings.get_ref(ring).map_or(0, Ring::count);
            let bytes = if ring < blocks { slot_size(ring).wrapping_mul(objects) } else { 0 };
            stats.objects = stats.objects.wrapping_add(objects);
            stats.bytes = stats.bytes.wrapping_add(bytes);
        }
        stats
    }

    /// Returns the number of rings.
    pub(crate) fn ring_count(&self) -> usize {
        self.rings.len()
    }

    /// Returns the ring of blocks.
    pub(crate) fn of_blocks(&self) -> usize {
        self.rings.len().wrapping_sub(if self.pages.is_some() { 2 } else { 1 })
    }

    /// Returns how many codes are those of the object at `at`, digits included.
    pub(crate) fn codes_of(&self, at: Offset) -> usize {
        match self.codes.get(at.index() as usize) {
            NONE => 0,
            LONG | FENCED => const { DIGITS as usize + 1 },
            _ => 1,
        }
    }

    /// Returns how many codes there are from `from` up to `to`.
    pub(crate) fn codes_within(&self, from: Offset, to: Offset) -> usize {
        (from.index()..to.index()).filter(|at| self.codes.get(*at as usize) != NONE).count()
    }

    /// Returns how many codes there are.
    pub(crate) fn all_codes(&self) -> usize {
        self.codes_within(Offset::ZERO, Offset::new(self.codes.len() as u32))
    }

    /// Returns the bytes in quarantine of blocks, headers apart, and of fenced objects.
    pub(crate) fn held(&self) -> (Granules, Granules) {
        (self.held, self.fenced)
    }

    /// Returns the pattern of the object at `at`, its first byte lowest. Each byte has its highest bit set, so that no text and no zero
    /// passes for it.
    #[inline(always)]
    pub(crate) fn canary(&self, at: Offset) -> u64 {
        let mixed = mix(u64::from(at.index()) ^ self.key[0], self.key[1]);
        mixed | 0x8080_8080_8080_8080
    }

    /// Returns a random number below `below`.
    #[inline(always)]
    pub(crate) fn random(&mut self, below: u32) -> u32 {
        next_random(&mut self.random, self.key[0], below)
    }

    /// Notes what was found, if it is the first.
    #[cold]
    pub(crate) fn note(&mut self, damage: Damage) {
        self.found.get_or_insert(damage);
    }

    /// Returns whether something was found.
    #[inline(always)]
    pub(crate) fn has_found(&self) -> bool {
        self.found.is_some()
    }

    /// Takes what was found.
    pub(crate) fn take_found(&mut self) -> Option<Damage> {
        self.found.take()
    }
}

/// Mixes a number with a key: two rounds of a multiplication and a shift.
#[inline(always)]
const fn mix(number: u64, key: u64) -> u64 {
    let once = number.wrapping_mul(key | 1);
    let twice = (once ^ once.wrapping_shr(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    twice ^ twice.wrapping_shr(29)
}

/// Returns the next random number below `below`: a linear congruential generator with a secret increment, its upper half (Knuth, "The
/// Art of Computer Programming", vol. 2, 3.3.4).
#[inline(always)]
const fn next_random(state: &mut u64, key: u64, below: u32) -> u32 {
    *state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(key | 1);
    let upper = state.wrapping_shr(32);
    upper.wrapping_mul(below as u64).wrapping_shr(32) as u32
}

/// What tests reach.
#[cfg(test)]
impl Ward<'_> {
    pub(crate) fn ring_mut(&mut self, ring: usize) -> Option<&mut Ring> {
        self.rings.get_mut(ring)
    }
}
