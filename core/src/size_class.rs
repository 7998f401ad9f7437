//! The sixteen size classes: the sizes of their slots, the lengths of their runs, and the limits of magazines and caches.

use crate::stats::CLASSES;
use crate::units::{GRANULE, Granules, Offset};

/// Bytes in a KiB, and granules.
const KIB: usize = 1024;
pub(crate) const PER_KIB: usize = KIB / GRANULE;

/// Classes with runs of one length. There are four lengths.
pub(crate) const GROUP: usize = 4;

/// Slots of a run, at most.
const MOST_SLOTS: u32 = 64;

/// Slots that a magazine holds, and those that it gives back when it is full.
pub(crate) const MAGAZINE: usize = 32;
pub(crate) const HALF: usize = MAGAZINE / 2;

/// The most caches of a heap: what the tag of a run that one owns can name.
pub(crate) const MOST_CACHES: usize = 4095;

/// A class exists where its run is at most this share of the segment.
const SHARE: usize = 32;

/// What is the same for all slots of a class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class {
    /// The size of a slot.
    pub(crate) stride: Granules,
    /// Slots of a run.
    pub(crate) slots: u32,
    /// KiB of a run, less one.
    pub(crate) mask: u32,
}

impl Class {
    /// The class of slots of `size` bytes, with runs of `run` bytes.
    const fn new(size: usize, run: usize) -> Self {
        assert!(size % GRANULE == 0 && run % KIB == 0 && run.is_power_of_two());
        let slots = match run.checked_div(size) {
            Some(slots) => slots as u32,
            None => 0,
        };
        // A power of two of fewer KiB would hold fewer than 16.
        assert!(slots >= 16 && slots <= MOST_SLOTS && (run == KIB || run < size.wrapping_mul(32)));
        Self { stride: Granules::from_bytes_floor(size), slots, mask: (run / KIB).wrapping_sub(1) as u32 }
    }
}

/// The classes: a size for each 16 bytes up to 128, then four to a doubling.
pub(crate) static TABLE: [Class; CLASSES] = [
    Class::new(16, KIB),
    Class::new(32, KIB),
    Class::new(48, KIB),
    Class::new(64, KIB),
    Class::new(80, 2 * KIB),
    Class::new(96, 2 * KIB),
    Class::new(112, 2 * KIB),
    Class::new(128, 2 * KIB),
    Class::new(160, 4 * KIB),
    Class::new(192, 4 * KIB),
    Class::new(224, 4 * KIB),
    Class::new(256, 4 * KIB),
    Class::new(320, 8 * KIB),
    Class::new(384, 8 * KIB),
    Class::new(448, 8 * KIB),
    Class::new(512, 8 * KIB),
];

/// Returns `slots` slots, a bit each.
pub(crate) const fn all_of(slots: u32) -> u64 {
    u64::MAX.wrapping_shr(MOST_SLOTS.wrapping_sub(slots))
}

/// The largest request that a class serves, in bytes.
pub(crate) const LARGEST: usize = 512;

/// The class for a request of each number of 16 bytes.
static CLASS_OF_SIZE: [u8; LARGEST / 16 + 1] = [
    0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15,
    15,
];

/// Returns the size of a class's slot; none if there is no such class.
#[inline(always)]
pub(crate) fn stride(class: usize) -> Granules {
    TABLE.get(class).map_or(Granules::ZERO, |class| class.stride)
}

/// Returns the bytes of a class's slot; 0 if there is no such class.
pub(crate) fn slot_size(class: usize) -> usize {
    stride(class).bytes()
}

/// Returns the length of a class's run; none if there is no such class.
#[inline(always)]
pub(crate) fn run_granules(class: usize) -> Granules {
    Granules::new(TABLE.get(class).map_or(0, |class| class.mask.wrapping_add(1).wrapping_mul(PER_KIB as u32)))
}

/// Returns the class for requests of `size` bytes, where 0 counts as 1, whether it exists or not.
#[inline(always)]
pub(crate) fn class_for(size: usize) -> Option<usize> {
    if size > LARGEST {
        return None;
    }
    CLASS_OF_SIZE.get(size.wrapping_add(15) / 16).map(|class| usize::from(*class))
}

/// Returns which of the first `classes` classes serves requests of `size` bytes at multiples of `alignment`, a power of two.
#[inline(always)]
pub(crate) fn serves(size: usize, alignment: usize, classes: usize) -> Option<usize> {
    let class = class_for(size)?;
    let aligned = alignment <= GRANULE || slot_size(class) & alignment.wrapping_sub(1) == 0;
    (aligned && class < classes).then_some(class)
}

/// Returns how many classes a segment of `granules` has: those whose run is at most a 32nd of it.
pub(crate) const fn classes_of(granules: Granules) -> usize {
    let (mut classes, mut least) = (0, KIB * SHARE);
    while classes < CLASSES && least <= granules.bytes() {
        classes = classes.wrapping_add(GROUP);
        least = least.wrapping_mul(2);
    }
    classes
}

/// Granules from the origin, where the KiBs of a segment are counted from, to the segment's first byte. The origin is that byte,
/// rounded down to the longest run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin(Granules);

impl Origin {
    pub(crate) const ZERO: Self = Self(Granules::ZERO);

    /// The origin of a segment at `address` that has so many classes.
    pub(crate) fn new(address: usize, classes: usize) -> Self {
        let longest = (longest_run(classes) as usize).wrapping_mul(KIB);
        Self(Granules::from_bytes_floor(address & longest.wrapping_sub(1)))
    }

    /// Returns the KiB that `at` lies in. As a `usize`: the sum may not fit an offset.
    #[inline(always)]
    pub(crate) fn kib(self, at: Offset) -> usize {
        self.granules_to(at.index() as usize) / PER_KIB
    }

    /// Returns the granules from the origin to granule `at` of the segment.
    #[inline(always)]
    pub(crate) fn granules_to(self, at: usize) -> usize {
        at.wrapping_add(self.0.count() as usize)
    }

    /// Returns where a KiB starts.
    #[inline(always)]
    pub(crate) fn start(self, kib: u32) -> Offset {
        Offset::new(kib.wrapping_mul(PER_KIB as u32)).minus(self.0)
    }
}

/// Returns how many KiB, from the origin on, a segment of `granules` may lie in, wherever it starts; a multiple of 8.
pub(crate) const fn kibs_of(granules: Granules) -> u32 {
    match longest_run(classes_of(granules)) {
        0 => 0,
        longest => ((granules.bytes() / KIB) as u32).wrapping_add(longest).wrapping_add(1).next_multiple_of(8),
    }
}

/// Returns how many KiB the longest run of `classes` classes has; 0 if there are none.
const fn longest_run(classes: usize) -> u32 {
    1u32.wrapping_shl((classes / GROUP) as u32) / 2
}
