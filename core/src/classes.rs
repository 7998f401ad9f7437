//! Size classes: slots of sixteen sizes, in runs that lie in the block segment. All that is known of them is here, outside the heap:
//! no byte of a run is read or written.
//!
//! A *run* is 1, 2, 4 or 8 KiB at an address that is a multiple of its length, cut into slots of one size. Each slot has a mark that
//! says whether it is live. A *magazine* for each class is a stack of free slots at hand, as in Bonwick and Adams, "Magazines and Vmem"
//! (2001): without one, a run would become full and not full at every second operation.
//!
//! Runs are named by their first KiB, counted from the segment's origin: its first byte, rounded down to the longest run.
//!
//! Complexity: O(1) while the magazine has slots, or room; O(log) in the segment's size otherwise.

use core::fmt::Debug;
#[cfg(not(target_has_atomic = "64"))]
use core::{ops::Range, ptr::NonNull};

// In order of dependency, as in lib.rs: each uses this file and what stands above it.
mod find;
mod refill;
mod check;

use crate::bit_tree::BitTree;
use crate::claim::Claim;
use crate::lent::{Lent, Plain};
use crate::memory::{ALIGNMENT, Bump};
#[cfg(target_has_atomic = "64")]
use crate::owned::Owned;
use crate::size_class::{
    GROUP, LARGEST, MAGAZINE, Origin, TABLE, classes_of, kibs_of, run_granules, serves, slot_size,
};
#[cfg(not(target_has_atomic = "64"))]
use crate::stats::CacheStats;
use crate::stats::{CLASSES, ClassStats};
use crate::units::{BITS, Granules, Offset, Word};

pub(crate) use check::RunSlots;
pub(crate) use find::InRun;

/// Which caches there are.
#[cfg(target_has_atomic = "64")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Roll {
    /// How many there ever were. Each is attached or detached.
    pub(crate) made: u32,
    /// No cache of a lower number is detached, unless its owner could not say so.
    pub(crate) next: u32,
    /// Granules of their runs.
    pub(crate) granules: Granules,
    /// Slots of each class of theirs that the heap has freed.
    pub(crate) sent: [u32; CLASSES],
}

#[cfg(target_has_atomic = "64")]
impl Roll {
    const EMPTY: Self = Self { made: 0, next: 0, granules: Granules::ZERO, sent: [0; CLASSES] };
}

/// In what is known of a KiB: a cache owns the run. Nothing where there are no caches.
const OWNED: u8 = if cfg!(target_has_atomic = "64") { 0x80 } else { 0 };

/// A stack of free slots of one class, and what the class counts.
///
/// Invariants: the first `count` of `slots` are different slots of runs of the class, none live; `count <= MAGAZINE`. The other slots
/// of the runs are live, or free and not in the magazine; the live ones are `out - count`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub(crate) struct Magazine {
    count: u32,
    /// Slots that are live or in the magazine.
    out: u32,
    /// Requests that were served.
    allocs: usize,
    /// Runs of the class, the most at once, and those that there ever were.
    runs: u32,
    peak_runs: u32,
    opened: usize,
    /// Where the slots start, from the oldest to the newest.
    slots: [u32; MAGAZINE],
}

// SAFETY: integers.
#[expect(unsafe_code, reason = "that every bit pattern is a value")]
unsafe impl Plain for Magazine {
    const ZERO: Self = Self { count: 0, out: 0, allocs: 0, runs: 0, peak_runs: 0, opened: 0, slots: [0; MAGAZINE] };
}

/// The size classes of a heap.
///
/// A mark stands at the granule where a live slot starts, and nowhere else. So an address is a live slot's start iff it has a mark:
/// that takes no division by the slot's size.
///
/// Invariants:
/// - `class_of` has the class, plus one, of each KiB that lies in a run, and 0 for the others; with [`OWNED`] if a cache owns the run.
///   What follows is of the heap's own runs: of the others [`owned`](crate::owned) knows more.
/// - Each run is a block of the block map; the block is the run, or one granule longer.
/// - A mark is set iff a live slot starts at its granule.
/// - A run is in `open` iff it has a slot that is neither live nor in the magazine.
/// - A run without a live slot has a slot in the magazine.
#[derive(Debug)]
pub struct Classes<'a> {
    class_of: Lent<'a, u8>,
    /// A bit for each granule of the segment.
    marks: Lent<'a, Word>,
    /// One for each class that exists.
    magazines: Lent<'a, Magazine>,
    /// A bit for each class and run. Those of the classes lie one after the other.
    pub(crate) open: BitTree<'a>,
    pub(crate) origin: Origin,
    /// The runs that caches own.
    #[cfg(target_has_atomic = "64")]
    pub(crate) owned: Owned<'a>,
    #[cfg(target_has_atomic = "64")]
    pub(crate) roll: Roll,
    /// Where the segment's last 512 bytes start.
    tail: Offset,
}

/// What a policy with size classes has, and others do not.
pub trait MayHave<T>: Debug + Send + Sync {
    const EMPTY: Self;
    fn get(&self) -> Option<&T>;
    fn get_mut(&mut self) -> Option<&mut T>;
}

impl<'a> MayHave<Classes<'a>> for Classes<'a> {
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

impl<T> MayHave<T> for () {
    const EMPTY: Self = ();

    #[inline(always)]
    fn get(&self) -> Option<&T> {
        None
    }

    #[inline(always)]
    fn get_mut(&mut self) -> Option<&mut T> {
        None
    }
}

/// Returns how many words of marks a segment of `granules` has.
const fn words_of(granules: Granules) -> usize {
    granules.count().div_ceil(BITS) as usize
}

/// Returns the first bit in `open` of the classes from `class` on, where there are so many KiB, a multiple of 8.
const fn first_bit(class: usize, kibs: u32) -> u32 {
    let (group, in_group) = ((class / GROUP) as u32, (class % GROUP) as u32);
    // A class of group g has kibs / 2^g bits, and those of the groups before have 4 * (1 + 1/2 + .. ) * kibs.
    let all = kibs.wrapping_mul(const { 2 * GROUP as u32 });
    let before = all.wrapping_sub(all.wrapping_shr(group));
    before.wrapping_add(kibs.wrapping_shr(group).wrapping_mul(in_group))
}

impl<'a> Classes<'a> {
    /// No classes, all zeros.
    pub(crate) const EMPTY: Self = Self {
        class_of: Lent::EMPTY,
        marks: Lent::EMPTY,
        magazines: Lent::EMPTY,
        open: BitTree::EMPTY,
        origin: Origin::ZERO,
        #[cfg(target_has_atomic = "64")]
        owned: Owned::EMPTY,
        #[cfg(target_has_atomic = "64")]
        roll: Roll::EMPTY,
        tail: Offset::ZERO,
    };

    /// Returns how many bytes the classes of a segment of `granules`, and `caches` caches, take, alignment included.
    pub(crate) const fn footprint(granules: Granules, caches: usize) -> usize {
        let (classes, kibs) = (classes_of(granules), kibs_of(granules) as usize);
        if classes == 0 {
            return 0;
        }
        let words = words_of(granules).saturating_add(BitTree::words(first_bit(classes, kibs as u32)));
        Self::footprint_of_caches(granules, caches)
            .saturating_add(ALIGNMENT - 1)
            .saturating_add(classes.saturating_mul(size_of::<Magazine>()))
            .saturating_add(words.saturating_mul(size_of::<Word>()))
            .saturating_add(kibs)
    }

    /// Makes empty classes those of a segment of `granules` at `address`, with `caches` caches.
    pub(crate) fn set_up(
        &mut self,
        address: usize,
        granules: Granules,
        caches: usize,
        memory: &mut Bump<'a>,
    ) -> Option<()> {
        let (classes, kibs) = (classes_of(granules), kibs_of(granules));
        if classes == 0 {
            return Some(());
        }
        self.origin = Origin::new(address, classes);
        memory.align();
        self.magazines = memory.slice(classes)?;
        self.marks = memory.slice(words_of(granules))?;
        self.open.set_up(first_bit(classes, kibs), memory)?;
        self.class_of = memory.slice(kibs as usize)?;
        self.set_up_caches(granules, caches, memory)
    }

    /// Notes where the segment ends.
    pub(crate) fn set_end(&mut self, end: Offset) {
        self.tail = end.minus(const { Granules::from_bytes_ceil(LARGEST) });
    }

    /// Returns the class that serves requests of `size` bytes at multiples of `alignment`, a power of two.
    #[inline(always)]
    pub(crate) fn serving(&self, size: usize, alignment: usize) -> Option<usize> {
        serves(size, alignment, self.magazines.len())
    }

    /// Takes a slot from the top of a class's magazine, and returns where it starts.
    pub(crate) fn pop(&mut self, class: usize) -> Option<Offset> {
        self.pop_below(class, Offset::NIL)
    }

    /// Takes a slot from the top of a class's magazine if, whatever its size, it is all in the segment. `None` otherwise, and nothing has
    /// changed: so destroyed bookkeeping hands out nothing beyond the segment, and the size is not looked up.
    #[inline(always)]
    pub(crate) fn pop_near(&mut self, class: usize) -> Option<Offset> {
        self.pop_below(class, self.tail)
    }

    #[inline(always)]
    fn pop_below(&mut self, class: usize, end: Offset) -> Option<Offset> {
        let magazine = self.magazines.get_mut(class)?;
        let top = magazine.count.wrapping_sub(1);
        let at = Offset::new(*magazine.slots.get(top as usize)?);
        if at >= end {
            return None;
        }
        *self.marks.get_mut(at.chunk() as usize)? |= bit_of(at);
        magazine.count = top;
        magazine.allocs = magazine.allocs.wrapping_add(1);
        Some(at)
    }

    /// Frees the live slot that starts at `at`, if there is one, as the caller claims, and its magazine has room. `None` otherwise, and
    /// nothing has changed.
    #[inline(always)]
    pub(crate) fn push(&mut self, at: Offset, claim: impl Claim) -> Option<()> {
        let class = self.class_at(at);
        if !claim.is_slot_of(class, false) {
            return None;
        }
        let mark = self.marks.get_mut(at.chunk() as usize)?;
        let magazine = self.magazines.get_mut(class)?;
        let free = magazine.slots.get_mut(magazine.count as usize)?;
        if *mark & bit_of(at) == 0 {
            return None;
        }
        *mark ^= bit_of(at);
        *free = at.index();
        magazine.count = magazine.count.wrapping_add(1);
        Some(())
    }

    /// Returns the class of the heap's run that `at` lies in, or a number that no class has.
    #[inline(always)]
    fn class_at(&self, at: Offset) -> usize {
        usize::from(self.class_of.get(self.origin.kib(at))).wrapping_sub(1)
    }

    /// Returns the class of the heap's run that `at` lies in, if it lies in one.
    #[inline(always)]
    pub(crate) fn class_of(&self, at: Offset) -> Option<usize> {
        let class = self.class_at(at);
        (class < self.magazines.len()).then_some(class)
    }

    /// Returns whether `at` is where its run of `class` starts.
    #[inline(always)]
    pub(crate) fn is_first(&self, at: Offset, class: usize) -> bool {
        let granules = self.origin.granules_to(at.index() as usize);
        granules & (run_granules(class).count() as usize).wrapping_sub(1) == 0
    }

    /// Takes the slot of a class's magazine that `choose` chooses of so many, as [`pop_near`](Self::pop_near) takes the top.
    #[inline(always)]
    pub(crate) fn take(&mut self, class: usize, choose: impl FnOnce(u32) -> u32) -> Option<Offset> {
        let magazine = self.magazines.get_mut(class)?;
        let top = magazine.count.wrapping_sub(1);
        let last = *magazine.slots.get(top as usize)?;
        let place = magazine.slots.get_mut(choose(magazine.count) as usize)?;
        let at = Offset::new(*place);
        if at >= self.tail {
            return None;
        }
        *self.marks.get_mut(at.chunk() as usize)? |= bit_of(at);
        *place = last;
        magazine.count = top;
        magazine.allocs = magazine.allocs.wrapping_add(1);
        Some(at)
    }

    fn is_marked(&self, at: Offset) -> bool {
        self.marks.get(at.chunk() as usize) & bit_of(at) != 0
    }

    /// Returns the class of the live slot of the heap's own that starts at `at`.
    pub(crate) fn live_class(&self, at: Offset) -> Option<usize> {
        self.is_marked(at).then(|| self.class_at(at))
    }

    /// Returns whether a live slot starts at `at`, in a run that a cache owns or in one of the heap's own.
    fn is_slot(&self, at: Offset, is_owned: bool) -> bool {
        if is_owned { self.is_live_in_cache(at) } else { self.is_marked(at) }
    }

    /// Returns where a KiB starts.
    pub(crate) fn start(&self, kib: u32) -> Offset {
        self.origin.start(kib)
    }

    fn bit_in_open(&self, class: usize, run: u32) -> u32 {
        first_bit(class, self.class_of.len() as u32).wrapping_add(run.wrapping_shr((class / GROUP) as u32))
    }

    /// Returns how many slots a class's magazine holds.
    pub(crate) fn held(&self, class: usize) -> usize {
        self.magazines.get_ref(class).map_or(0, |magazine| magazine.count as usize).min(MAGAZINE)
    }

    /// Returns whether a class's magazine has no room for another slot.
    pub(crate) fn is_full(&self, class: usize) -> bool {
        self.held(class) == MAGAZINE
    }

    /// Returns whether a KiB lies in a run that a cache owns.
    #[cfg(target_has_atomic = "64")]
    pub(crate) fn is_in_owned(&self, kib: u32) -> bool {
        self.class_of.get(kib as usize) & OWNED != 0
    }

    /// Returns the number of classes that exist.
    pub(crate) fn count(&self) -> usize {
        self.magazines.len()
    }

    /// Sets the figures of each class. In place, as they take more than some stacks have to spare for copies.
    pub(crate) fn set_stats(&self, stats: &mut [ClassStats; CLASSES]) {
        for (class, figures) in stats.iter_mut().enumerate() {
            let Some(magazine) = self.magazines.get_ref(class) else { break };
            let live = magazine.out.wrapping_sub(magazine.count) as usize;
            let slots = TABLE.get(class).map_or(0, |class| class.slots);
            *figures = ClassStats {
                slot_size: slot_size(class),
                runs: magazine.runs as usize,
                peak_runs: magazine.peak_runs as usize,
                opened: magazine.opened as u64,
                slots: magazine.runs.wrapping_mul(slots) as usize,
                live_objects: live,
                allocs: magazine.allocs as u64,
                frees: 0,
            };
        }
        self.add_caches(stats);
        for figures in stats {
            figures.frees = (figures.allocs as usize).wrapping_sub(figures.live_objects) as u64;
        }
    }
}

/// Where there are no 64-bit atomics, there are no caches.
#[cfg(not(target_has_atomic = "64"))]
#[expect(clippy::unused_self, reason = "they take what they do elsewhere")]
impl<'a> Classes<'a> {
    const fn footprint_of_caches(_: Granules, _: usize) -> usize {
        0
    }

    fn set_up_caches(&mut self, _: Granules, _: usize, _: &mut Bump<'a>) -> Option<()> {
        Some(())
    }

    fn is_live_in_cache(&self, _: Offset) -> bool {
        false
    }

    fn add_caches(&self, _: &mut [ClassStats]) {}

    pub(crate) fn idle_tables(&self, _: Range<Offset>, _: usize, _: impl FnMut(NonNull<[u8]>)) {}

    pub(crate) fn cache_stats(&self) -> CacheStats {
        CacheStats::default()
    }
}

/// Returns the mark of a granule, in its chunk's word.
#[inline(always)]
const fn bit_of(at: Offset) -> Word {
    (1 as Word).wrapping_shl(at.bit())
}

/// What tests reach.
#[cfg(test)]
impl<'a> Classes<'a> {
    /// Returns what says of each KiB which class it has.
    pub(crate) fn class_of_mut(&mut self) -> &mut Lent<'a, u8> {
        &mut self.class_of
    }

    /// Returns the words of marks.
    pub(crate) fn marks_mut(&mut self) -> &mut Lent<'a, Word> {
        &mut self.marks
    }

    pub(crate) fn magazine_mut(&mut self, class: usize) -> Option<&mut Magazine> {
        self.magazines.get_mut(class)
    }
}

#[cfg(test)]
impl Magazine {
    pub(crate) const SLOTS: usize = MAGAZINE;

    /// Returns a field by its number: the count, the figures, then the slots.
    pub(crate) fn field_mut(&mut self, field: usize) -> Option<&mut u32> {
        let figures = [&mut self.count, &mut self.out, &mut self.runs, &mut self.peak_runs];
        figures.into_iter().chain(&mut self.slots).nth(field)
    }
}
