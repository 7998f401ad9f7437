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

use crate::bit_tree::{BitTree, NO_BIT};
use crate::bits::{below_bit, from_bit};
use crate::claim::Claim;
use crate::error::Reason;
use crate::lent::{Lent, Plain};
use crate::memory::{ALIGNMENT, Bump};
#[cfg(target_has_atomic = "64")]
use crate::owned::Owned;
use crate::size_class::{
    Class, GROUP, LARGEST, MOST_SLOTS, Origin, TABLE, classes_of, kibs_of, run_granules, serves, slot_size,
};
#[cfg(not(target_has_atomic = "64"))]
use crate::stats::CacheStats;
use crate::stats::{CLASSES, ClassStats};
use crate::units::{BITS, Granules, Offset, Word};

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

/// Slots that a magazine holds, and those that it gives back when it is full.
pub(crate) const MAGAZINE: usize = 32;
pub(crate) const HALF: usize = MAGAZINE / 2;

/// The most caches of a heap: what the tag of a run that one owns can name.
pub(crate) const MOST_CACHES: usize = 4095;

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

/// An address in a run.
pub(crate) struct InRun {
    pub(crate) class: usize,
    /// The run's first KiB.
    pub(crate) run: u32,
    /// The slot that it lies in, or one after the last.
    pub(crate) slot: u32,
    /// Whether it is the slot's first byte.
    is_start: bool,
    /// Whether a cache owns the run.
    pub(crate) is_owned: bool,
}

impl InRun {
    /// Returns the slot that starts here, or the next one.
    pub(crate) fn or_next(self) -> Self {
        let slot = self.slot.wrapping_add(u32::from(!self.is_start));
        Self { slot, is_start: true, ..self }
    }

    /// Returns the slot as a bit.
    const fn bit(&self) -> u64 {
        1u64.wrapping_shl(self.slot)
    }
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

    /// Puts slot `index` of a class's magazine on top.
    #[inline(always)]
    pub(crate) fn swap_to_top(&mut self, class: usize, index: usize) {
        let Some(magazine) = self.magazines.get_mut(class) else { return };
        let top = magazine.count.wrapping_sub(1) as usize;
        if index < MAGAZINE && top < MAGAZINE {
            magazine.slots.swap(index, top);
        }
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

    /// Returns what lies at `at`, if that is in a run.
    pub(crate) fn find(&self, at: Offset) -> Option<InRun> {
        let kib = self.origin.kib(at);
        let tag = self.class_of.get(kib);
        let (class, is_owned) = (usize::from(tag & !OWNED).wrapping_sub(1), tag & OWNED != 0);
        let Class { stride, mask, .. } = TABLE.get(class)?;
        let run = kib as u32 & !mask;
        let within = self.start(run).up_to(at).count();
        let slot = within.checked_div(stride.count())?;
        Some(InRun { class, run, slot, is_start: slot.wrapping_mul(stride.count()) == within, is_owned })
    }

    /// Returns why no live slot starts at `found`, as an error.
    pub(crate) fn live(&self, found: &InRun) -> Result<(), Reason> {
        match self.place(found) {
            None => Err(Reason::NotAStart),
            Some((start, _)) if !self.is_slot(start, found.is_owned) => Err(Reason::DoubleFree),
            Some(_) if !found.is_start => Err(Reason::NotAStart),
            Some(_) => Ok(()),
        }
    }

    /// Returns whether a slot is live.
    pub(crate) fn is_live(&self, found: &InRun) -> bool {
        self.place(found).is_some_and(|(start, _)| self.is_slot(start, found.is_owned))
    }

    /// Returns where a slot starts, and its granules; `None` if the run has no such slot.
    pub(crate) fn place(&self, found: &InRun) -> Option<(Offset, Granules)> {
        let class = TABLE.get(found.class).filter(|class| found.slot < class.slots)?;
        Some((self.slot(found.run, found.slot, class), class.stride))
    }

    /// Returns where a slot of a run starts.
    fn slot(&self, run: u32, slot: u32, class: &Class) -> Offset {
        self.start(run).plus(Granules::new(slot.wrapping_mul(class.stride.count())))
    }

    /// Returns where a KiB starts.
    pub(crate) fn start(&self, kib: u32) -> Offset {
        self.origin.start(kib)
    }

    /// Finds the run of lowest address that has a slot neither live nor in the magazine, and fills the class's magazine, which is
    /// empty, from it.
    pub(crate) fn refill(&mut self, class: usize) -> Option<()> {
        let kibs = self.class_of.len() as u32;
        let first = first_bit(class, kibs);
        let bit = self.open.next(first);
        if bit == NO_BIT || bit >= first_bit(class.wrapping_add(1), kibs) {
            return None;
        }
        self.fill(class, bit.wrapping_sub(first).wrapping_shl((class / GROUP) as u32))
    }

    /// Fills a class's magazine, which is empty, with the lowest slots of a run that are not live, the lowest on top.
    fn fill(&mut self, class: usize, run: u32) -> Option<()> {
        let Class { stride, slots, .. } = *TABLE.get(class)?;
        let mut free = [0; MAGAZINE];
        let (mut at, mut count, mut left) = (self.start(run), 0, false);
        for _ in 0..slots {
            if !self.is_marked(at) {
                let Some(place) = free.get_mut(count) else {
                    left = true;
                    break;
                };
                *place = at.index();
                count = count.wrapping_add(1);
            }
            at = at.plus(stride);
        }
        free.get_mut(..count)?.reverse();
        let magazine = self.magazines.get_mut(class)?;
        (magazine.slots, magazine.count) = (free, count as u32);
        magazine.out = magazine.out.wrapping_add(count as u32);
        let bit = self.bit_in_open(class, run);
        if left {
            self.open.set(bit);
        } else if self.open.contains(bit) {
            // Not without the question: a write would make a page of the tree resident.
            self.open.clear(bit);
        }
        Some(())
    }

    /// Returns whether a run has a live slot.
    fn has_live(&self, class: usize, run: u32) -> bool {
        let start = self.start(run);
        let end = start.plus(run_granules(class));
        (start.chunk()..=end.chunk()).any(|chunk| {
            let below = if chunk == start.chunk() { below_bit(start.bit()) } else { 0 };
            let above = if chunk == end.chunk() { from_bit(end.bit()) } else { 0 };
            self.marks.get(chunk as usize) & !below & !above != 0
        })
    }

    fn bit_in_open(&self, class: usize, run: u32) -> u32 {
        first_bit(class, self.class_of.len() as u32).wrapping_add(run.wrapping_shr((class / GROUP) as u32))
    }

    /// Makes a block that starts at `at` a run of a class whose magazine is empty, and fills that.
    pub(crate) fn open(&mut self, class: usize, at: Offset) -> Option<()> {
        let run = self.origin.kib(at) as u32;
        self.count_run(run, class, class.wrapping_add(1) as u8)?;
        self.fill(class, run)
    }

    /// Sets and counts the class of a run that is opened.
    fn count_run(&mut self, run: u32, class: usize, tag: u8) -> Option<()> {
        self.set_class(run, class, tag)?;
        let magazine = self.magazines.get_mut(class)?;
        magazine.runs = magazine.runs.wrapping_add(1);
        magazine.peak_runs = magazine.peak_runs.max(magazine.runs);
        magazine.opened = magazine.opened.wrapping_add(1);
        Some(())
    }

    /// Sets the class of each KiB of a run, which is one of `class`.
    fn set_class(&mut self, run: u32, class: usize, to: u8) -> Option<()> {
        for kib in run..=run | TABLE.get(class)?.mask {
            *self.class_of.get_mut(kib as usize)? = to;
        }
        Some(())
    }

    /// Returns how many slots a class's magazine holds.
    pub(crate) fn held(&self, class: usize) -> usize {
        self.magazines.get_ref(class).map_or(0, |magazine| magazine.count as usize).min(MAGAZINE)
    }

    /// Returns whether a class's magazine has no room for another slot.
    pub(crate) fn is_full(&self, class: usize) -> bool {
        self.held(class) == MAGAZINE
    }

    /// Gives slot `index` of a class's magazine back to its run, where it stays until [`drop_oldest`](Self::drop_oldest). Returns the
    /// run's start if no slot of it is live: it is no run any more, and its block is to be freed.
    pub(crate) fn give_back(&mut self, class: usize, index: usize) -> Option<Offset> {
        let at = Offset::new(*self.magazines.get_ref(class)?.slots.get(index)?);
        let run = self.run(at, class)?;
        let bit = self.bit_in_open(class, run);
        if self.has_live(class, run) {
            self.open.set(bit);
            return None;
        }
        self.open.clear(bit);
        self.uncount_run(run, class)?;
        Some(self.start(run))
    }

    /// Sets and counts the class of a run that is opened for a cache, and returns the run.
    #[cfg(target_has_atomic = "64")]
    pub(crate) fn count_owned(&mut self, at: Offset, class: usize) -> Option<u32> {
        let run = self.origin.kib(at) as u32;
        self.count_run(run, class, OWNED | class.wrapping_add(1) as u8)?;
        Some(run)
    }

    /// Makes a run one no more.
    pub(crate) fn uncount_run(&mut self, run: u32, class: usize) -> Option<()> {
        self.set_class(run, class, 0)?;
        let magazine = self.magazines.get_mut(class)?;
        magazine.runs = magazine.runs.wrapping_sub(1);
        Some(())
    }

    /// Returns the run of `class` that `at` lies in.
    fn run(&self, at: Offset, class: usize) -> Option<u32> {
        let mask = TABLE.get(class)?.mask;
        (self.class_at(at) == class).then_some(self.origin.kib(at) as u32 & !mask)
    }

    /// Removes the `count` oldest slots from a class's magazine, and every slot whose run was closed.
    pub(crate) fn drop_oldest(&mut self, class: usize, count: usize) -> Option<()> {
        let (slots, held) = (self.magazines.get_ref(class)?.slots, self.held(class));
        let mut kept = 0u32;
        for slot in slots.get(count..held)? {
            if self.class_at(Offset::new(*slot)) == class {
                *self.magazines.get_mut(class)?.slots.get_mut(kept as usize)? = *slot;
                kept = kept.wrapping_add(1);
            }
        }
        let magazine = self.magazines.get_mut(class)?;
        magazine.count = kept;
        magazine.out = magazine.out.wrapping_sub(held as u32).wrapping_add(kept);
        Some(())
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

/// What is known of a run, for the checker.
pub(crate) struct Run {
    pub(crate) class: usize,
    pub(crate) kibs: u32,
    /// Whether it begins here, and each of its KiB has its class.
    pub(crate) is_whole: bool,
    pub(crate) is_open: bool,
    pub(crate) slots: RunSlots,
}

/// The slots of a run, a bit each.
pub(crate) struct RunSlots {
    pub(crate) all: u64,
    pub(crate) live: u64,
    /// Those in the magazine.
    pub(crate) held: u64,
}

impl Classes<'_> {
    /// Returns the number of KiB from the origin on.
    pub(crate) fn kibs(&self) -> u32 {
        self.class_of.len() as u32
    }

    /// Returns whether a KiB lies in a run that a cache owns.
    #[cfg(target_has_atomic = "64")]
    pub(crate) fn is_in_owned(&self, kib: u32) -> bool {
        self.class_of.get(kib as usize) & OWNED != 0
    }

    /// Returns whether `at` lies in a run that a cache owns.
    #[cfg(target_has_atomic = "64")]
    pub(crate) fn is_at_owned(&self, at: Offset) -> bool {
        self.is_in_owned(self.origin.kib(at) as u32)
    }

    /// Returns whether no cache is attached, so that what all count stands still.
    pub(crate) fn is_quiet(&self) -> bool {
        self.cache_stats().attached == 0
    }

    /// Returns whether each KiB of a run has the class of a run that a cache owns.
    #[cfg(target_has_atomic = "64")]
    pub(crate) fn is_all_owned(&self, run: u32, kibs: u32, class: usize) -> bool {
        let tag = OWNED | class.wrapping_add(1) as u8;
        (run..run.wrapping_add(kibs)).all(|kib| self.class_of.get(kib as usize) == tag)
    }

    /// Returns the number of marks that are set.
    pub(crate) fn marked(&self) -> usize {
        (0..self.marks.len()).map(|word| self.marks.get(word).count_ones() as usize).sum()
    }

    /// Returns whether a KiB lies in a run.
    pub(crate) fn is_in_run(&self, kib: u32) -> bool {
        self.class_of.get(kib as usize) != 0
    }

    /// Returns the run of which a KiB is the first.
    pub(crate) fn run_at(&self, kib: u32) -> Option<Run> {
        let class = usize::from(self.class_of.get(kib as usize)).checked_sub(1)?;
        let Class { mask, slots, .. } = TABLE.get(class)?;
        let has_class = |kib: u32| usize::from(self.class_of.get(kib as usize)) == class.wrapping_add(1);
        let is_whole = kib & mask == 0 && (kib..=kib | mask).all(has_class);
        let each = (0..*slots).map(|slot| InRun { class, run: kib, slot, is_start: true, is_owned: false });
        let live = each.filter(|slot| self.is_live(slot)).fold(0, |live, slot| live | slot.bit());
        let magazine = self.magazines.get_ref(class)?;
        let in_magazine = magazine.slots.iter().take(self.held(class)).filter_map(|at| self.find(Offset::new(*at)));
        let in_run = in_magazine.filter(|slot| slot.run == kib && slot.is_start);
        let held = in_run.fold(0, |held, slot| held | slot.bit());
        let slots = RunSlots { all: all_of(*slots), live, held };
        let is_open = self.open.contains(self.bit_in_open(class, kib));
        Some(Run { class, kibs: mask.wrapping_add(1), is_whole, is_open, slots })
    }

    /// Returns how many slots a class's magazine claims to hold.
    pub(crate) fn count_of(&self, class: usize) -> usize {
        self.magazines.get_ref(class).map_or(0, |magazine| magazine.count as usize)
    }
}

/// Returns `slots` slots, a bit each.
pub(crate) const fn all_of(slots: u32) -> u64 {
    u64::MAX.wrapping_shr(MOST_SLOTS.wrapping_sub(slots))
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
