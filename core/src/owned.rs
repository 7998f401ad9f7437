//! Runs that caches own, and what each cache keeps. All of it lies outside the heap, in atomics: it is read and written without the
//! heap's lock.
//!
//! A slot of an owned run is live, in its owner's magazine, *idle* (at hand for the owner) or *returned* (freed by another, and not
//! yet taken back by the owner). A byte for each slot says whether it is live: to free a slot is to exchange its 1 for a 0, so of
//! several frees at once one finds the 1. Who returns the first slot of a run puts the run onto a stack of its owner's, which is taken
//! as a whole: a stack of this kind has no ABA problem (Treiber, "Systems Programming: Coping with Parallelism", 1986).
//!
//! Who may do what:
//! - While a cache is attached, its magazines and its runs' idle slots are the owner's: one thread at a time.
//! - While it is detached they belong to the holder of the block segment's lock.
//! - Runs are opened and closed under that lock. Nobody but the owner, or the holder of the lock for a run of which all slots are
//!   returned, closes a run; a run with a live slot is never closed, so a slot's tag stands still from the exchange until the slot is
//!   idle or returned.
//!
//! What is ordered by what (tests/loom has a model that fails without each, but for the fourth, of which loom knows too little):
//! - The run's tag: stored, then 1 to the slot's byte (release); exchanged for 0 (acquire), then the tag is read.
//! - What a slot held: used, then returned (release); taken back by the owner, or found returned with all others of its run (acquire).
//! - The links of a stack: stored, then the run is pushed (release); all are taken (acquire), then read. To push keeps up the release of
//!   those who pushed before.
//! - That a link was read before it is stored again: read, then the run's returned slots are taken (release); one returns the first slot
//!   again (acquire), then pushes.
//! - What a cache keeps: detached (release); attached, or found detached under the lock (acquire).

use core::ops::{Range, RangeInclusive};
use core::ptr::NonNull;

use static_assertions::const_assert;

use crate::classes::{MAGAZINE, MOST_CACHES, all_of};
use crate::lent::{Shared, Zeroable};
use crate::memory::{ALIGNMENT, Bump};
use crate::size_class::{Origin, PER_KIB, TABLE, classes_of, kibs_of, stride};
use crate::stats::CLASSES;
use crate::sync::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, OwnersU32, OwnersU64, OwnersUsize};
use crate::units::{Granules, Offset};

/// In a cache's stack of runs: nobody has the cache.
const DETACHED: u32 = 1 << 31;

/// The owner and the class of a run; 0 outside owned runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(u16);

impl Tag {
    const NONE: Self = Self(0);

    const fn new(owner: u32, class: usize) -> Self {
        Self((owner.wrapping_add(1).wrapping_mul(const { CLASSES as u32 }) as u16) | class as u16)
    }

    /// The number of the cache that owns the run; `u32::MAX` for none.
    #[inline(always)]
    pub(crate) const fn owner(self) -> u32 {
        (self.0.wrapping_shr(const { CLASSES.trailing_zeros() }) as u32).wrapping_sub(1)
    }

    #[inline(always)]
    pub(crate) const fn class(self) -> usize {
        self.0 as usize % CLASSES
    }
}

const_assert!(MOST_CACHES <= u16::MAX as usize / CLASSES);

/// What is known of a run, at its first KiB.
///
/// Links to runs are the number of the first KiB plus one, and 0 for none.
///
/// Invariants:
/// - `idle` and `returned` have a bit for each slot that is, and no slot in both; none of these slots is live.
/// - The run is in its owner's list of its class iff `idle` is not 0, and in or on its way to the owner's stack iff `returned` is not 0.
#[derive(Debug)]
#[repr(C)]
struct Run {
    idle: OwnersU64,
    returned: AtomicU64,
    next_returned: AtomicU32,
    next: OwnersU32,
    previous: OwnersU32,
}

/// A cache's stack of free slots of one class, its runs, and what it counts.
///
/// Invariant: the first `count` of `slots` are different slots of the cache's runs of this class, and none is live, idle or returned.
#[derive(Debug)]
#[repr(C, align(64))]
struct Magazine {
    count: OwnersU32,
    /// Slots that went into the magazine, less those that went out of it without a request: made idle here, or freed through this
    /// cache for another owner. The sum of `out - count` of all caches is the number of live slots.
    out: OwnersU32,
    /// Requests that were served.
    allocs: OwnersUsize,
    /// The list of the runs that have idle slots.
    first: OwnersU32,
    /// Where the slots start, from the oldest to the newest.
    slots: [OwnersU32; MAGAZINE],
}

/// What a cache keeps.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Keep {
    magazines: [Magazine; CLASSES],
    returned: Stack,
}

/// The runs of a cache of which others have returned slots, and [`DETACHED`]: a line of its own, as others write to it.
#[derive(Debug)]
#[repr(C, align(64))]
struct Stack(AtomicU32);

// SAFETY: atomics, of which zeros are a value.
#[expect(unsafe_code, reason = "that zeros are a value")]
unsafe impl Zeroable for Run {}
// SAFETY: atomics, of which zeros are a value.
#[expect(unsafe_code, reason = "that zeros are a value")]
unsafe impl Zeroable for Keep {}

/// The tables that all caches of a heap share. A copy is another view of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owned<'a> {
    /// 1 for each granule, from the origin on, where a live slot of an owned run starts: the bytes of a KiB share their lines with no other.
    live: Shared<'a, AtomicU8>,
    /// The tag of each KiB.
    tags: Shared<'a, AtomicU16>,
    runs: Shared<'a, Run>,
    keeps: Shared<'a, Keep>,
    origin: Origin,
    /// The number of classes that exist.
    classes: usize,
}

/// Adds to a counter that one thread writes.
#[inline(always)]
fn add(counter: &OwnersU32, count: u32) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

const fn link_to(run: u32) -> u32 {
    run.wrapping_add(1)
}

impl<'a> Owned<'a> {
    /// No caches, all zeros.
    pub(crate) const EMPTY: Self = Self {
        live: Shared::EMPTY,
        tags: Shared::EMPTY,
        runs: Shared::EMPTY,
        keeps: Shared::EMPTY,
        origin: Origin::ZERO,
        classes: 0,
    };

    /// Returns how many bytes the tables of `caches` caches take for a segment of `granules`, alignment included.
    pub(crate) const fn footprint(granules: Granules, caches: usize) -> usize {
        let kibs = kibs_of(granules) as usize;
        if caches == 0 || kibs == 0 {
            return 0;
        }
        // Three tables start at a cache line.
        (3 * (ALIGNMENT - 1))
            .saturating_add(caches.saturating_mul(size_of::<Keep>()))
            .saturating_add(kibs.saturating_mul(const { size_of::<Run>() + size_of::<u16>() + PER_KIB }))
    }

    /// Makes empty tables those of a segment of `granules`.
    pub(crate) fn set_up(
        &mut self,
        origin: Origin,
        granules: Granules,
        caches: usize,
        memory: &mut Bump<'a>,
    ) -> Option<()> {
        let kibs = kibs_of(granules) as usize;
        if caches == 0 || kibs == 0 {
            return Some(());
        }
        memory.align();
        self.keeps = memory.shared(caches)?;
        self.runs = memory.shared(kibs)?;
        memory.align();
        self.live = memory.shared(kibs.wrapping_mul(PER_KIB))?;
        memory.align();
        self.tags = memory.shared(kibs)?;
        (self.origin, self.classes) = (origin, classes_of(granules));
        Some(())
    }

    /// Returns the number of caches.
    pub(crate) fn count(&self) -> u32 {
        self.keeps.len() as u32
    }

    /// Returns what cache `owner` keeps.
    pub(crate) fn keep(&self, owner: u32) -> Option<&'a Keep> {
        self.keeps.get(owner as usize)
    }

    /// Returns the number of classes that exist.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// Returns the tag of the KiB that `at` lies in.
    fn tag(&self, at: Offset) -> Tag {
        self.tags.get(self.origin.kib(at)).map_or(Tag::NONE, |tag| Tag(tag.load(Ordering::Relaxed)))
    }

    pub(crate) fn is_live(&self, at: Offset) -> bool {
        self.live
            .get(self.origin.granules_to(at.index() as usize))
            .is_some_and(|mark| mark.load(Ordering::Acquire) != 0)
    }

    /// Returns the tag of the live slot that starts at `at`, if one does.
    pub(crate) fn live_tag(&self, at: Offset) -> Option<Tag> {
        self.is_live(at).then(|| self.tag(at))
    }

    /// Returns the tag of the live slot that starts at granule `at`, if one does.
    #[inline(always)]
    pub(crate) fn find_live(&self, at: usize) -> Option<Tag> {
        let place = self.origin.granules_to(at);
        let mark = self.live.get(place)?;
        let tag = self.tags.get(place / PER_KIB)?;
        (mark.load(Ordering::Acquire) != 0).then(|| Tag(tag.load(Ordering::Relaxed)))
    }

    /// Makes the live slot that starts at granule `at` one that is not live and the caller's to put away, and returns its tag. `None`
    /// if no live slot starts there.
    #[inline(always)]
    pub(crate) fn take(&self, at: usize) -> Option<Tag> {
        let place = self.origin.granules_to(at);
        let mark = self.live.get(place)?;
        let tag = self.tags.get(place / PER_KIB)?;
        // The exchange decides. It pairs with the store in `pop`: who finds the 1 sees the tag that the run had then.
        if mark.load(Ordering::Relaxed) == 0 || mark.swap(0, Ordering::Acquire) == 0 {
            return None;
        }
        Some(Tag(tag.load(Ordering::Relaxed)))
    }

    /// Takes the top of a magazine, if it lies before `end`, and makes it live.
    #[inline(always)]
    pub(crate) fn pop(&self, keep: &Keep, class: usize, end: Offset) -> Option<Offset> {
        let magazine = keep.magazines.get(class)?;
        let top = magazine.count.load(Ordering::Relaxed).wrapping_sub(1);
        let at = Offset::new(magazine.slots.get(top as usize)?.load(Ordering::Relaxed));
        if at >= end {
            return None;
        }
        let mark = self.live.get(self.origin.granules_to(at.index() as usize))?;
        // First, so that wherever this ends, in a process that is forked, no more are live than were served.
        magazine.allocs.store(magazine.allocs.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        mark.store(1, Ordering::Release);
        magazine.count.store(top, Ordering::Relaxed);
        Some(at)
    }

    /// Puts a slot that was taken onto its owner's magazine. `None`, and nothing has changed, if that is full.
    #[inline(always)]
    pub(crate) fn push(&self, keep: &Keep, at: Offset, tag: Tag) -> Option<()> {
        let magazine = keep.magazines.get(tag.class())?;
        let count = magazine.count.load(Ordering::Relaxed);
        magazine.slots.get(count as usize)?.store(at.index(), Ordering::Relaxed);
        magazine.count.store(count.wrapping_add(1), Ordering::Relaxed);
        Some(())
    }

    /// Marks a slot that was taken as returned, for an owner other than the caller. `keep` is the caller's, if the caller is a cache.
    /// Returns whether the owner is detached: the caller settles it then.
    pub(crate) fn give_back(&self, keep: Option<&Keep>, at: Offset, tag: Tag) -> bool {
        if let Some(magazine) = keep.and_then(|keep| keep.magazines.get(tag.class())) {
            add(&magazine.out, 1u32.wrapping_neg());
        }
        let Some((run, bit)) = self.slot(at, tag.class()) else { return false };
        let is_first = self.runs.get(run as usize).is_some_and(|it| it.returned.fetch_or(bit, Ordering::AcqRel) == 0);
        is_first && self.push_returned(run, tag.owner())
    }

    /// Puts a run with returned slots onto its owner's stack, and returns whether the owner is detached.
    pub(crate) fn push_returned(&self, run: u32, owner: u32) -> bool {
        let (Some(it), Some(keep)) = (self.runs.get(run as usize), self.keep(owner)) else { return false };
        let stack = &keep.returned.0;
        let mut old = stack.load(Ordering::Relaxed);
        loop {
            it.next_returned.store(old & !DETACHED, Ordering::Relaxed);
            let new = link_to(run) | old & DETACHED;
            match stack.compare_exchange_weak(old, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return old & DETACHED != 0,
                Err(now) => old = now,
            }
        }
    }

    /// Takes all runs off a cache's stack, the one pushed last first.
    pub(crate) fn take_returned(&self, keep: &Keep) -> Returned<'a> {
        let link = keep.returned.0.fetch_and(DETACHED, Ordering::Acquire) & !DETACHED;
        Returned { owned: *self, link, left: self.runs.len() }
    }

    /// Makes the returned slots of a run idle. Returns whether the run is to be closed.
    pub(crate) fn collect(&self, run: u32) -> bool {
        let bits = self.runs.get(run as usize).map_or(0, |it| it.returned.swap(0, Ordering::AcqRel));
        self.make_idle(run, bits)
    }

    /// Makes slots of a run idle. Returns whether the run is to be closed: all its slots are idle, and its class has another run with
    /// idle slots.
    fn make_idle(&self, run: u32, bits: u64) -> bool {
        let tag = self.tag(self.origin.start(run));
        let (Some(it), Some(keep)) = (self.runs.get(run as usize), self.keep(tag.owner())) else { return false };
        let Some(magazine) = keep.magazines.get(tag.class()) else { return false };
        let idle = it.idle.load(Ordering::Relaxed);
        it.idle.store(idle | bits, Ordering::Relaxed);
        if idle == 0 && bits != 0 {
            self.link(magazine, run, it);
        }
        let is_only = magazine.first.load(Ordering::Relaxed) == link_to(run) && it.next.load(Ordering::Relaxed) == 0;
        idle | bits == all_slots(tag.class()) && !is_only
    }

    /// Puts a run onto the list of its class.
    fn link(&self, magazine: &Magazine, run: u32, it: &Run) {
        let first = magazine.first.load(Ordering::Relaxed);
        it.next.store(first, Ordering::Relaxed);
        it.previous.store(0, Ordering::Relaxed);
        if let Some(next) = self.linked(first) {
            next.previous.store(link_to(run), Ordering::Relaxed);
        }
        magazine.first.store(link_to(run), Ordering::Relaxed);
    }

    /// Takes a run off the list of its class.
    fn unlink(&self, magazine: &Magazine, it: &Run) {
        let (previous, next) = (it.previous.load(Ordering::Relaxed), it.next.load(Ordering::Relaxed));
        if let Some(next) = self.linked(next) {
            next.previous.store(previous, Ordering::Relaxed);
        }
        match self.linked(previous) {
            Some(previous) => previous.next.store(next, Ordering::Relaxed),
            None => magazine.first.store(next, Ordering::Relaxed),
        }
    }

    fn linked(&self, link: u32) -> Option<&'a Run> {
        self.runs.get((link as usize).wrapping_sub(1))
    }

    /// Returns the run that `at`, a slot's start, lies in, and the slot as a bit.
    fn slot(&self, at: Offset, class: usize) -> Option<(u32, u64)> {
        let class = TABLE.get(class)?;
        let run = self.origin.kib(at) as u32 & !class.mask;
        let slot = self.origin.start(run).up_to(at).count().checked_div(class.stride.count())?;
        Some((run, 1u64.wrapping_shl(slot)))
    }

    /// Returns whether a cache has idle slots of a class.
    pub(crate) fn has_idle(&self, keep: &Keep, class: usize) -> bool {
        keep.magazines.get(class).is_some_and(|magazine| magazine.first.load(Ordering::Relaxed) != 0)
    }

    /// Fills a magazine, which is empty, with the lowest idle slots of the run on top of its class's list, the lowest on top.
    pub(crate) fn fill(&self, keep: &Keep, class: usize) -> Option<()> {
        let magazine = keep.magazines.get(class)?;
        let first = magazine.first.load(Ordering::Relaxed);
        let it = self.linked(first)?;
        let (start, stride) = (self.origin.start(first.wrapping_sub(1)), stride(class));
        let mut idle = it.idle.load(Ordering::Relaxed);
        let count = (idle.count_ones() as usize).min(MAGAZINE);
        for place in magazine.slots.get(..count)?.iter().rev() {
            let at = start.plus(Granules::new(idle.trailing_zeros().wrapping_mul(stride.count())));
            place.store(at.index(), Ordering::Relaxed);
            idle &= idle.wrapping_sub(1);
        }
        magazine.count.store(count as u32, Ordering::Relaxed);
        add(&magazine.out, count as u32);
        it.idle.store(idle, Ordering::Relaxed);
        if idle == 0 {
            self.unlink(magazine, it);
        }
        Some(())
    }

    /// Makes slot `index` of a magazine idle, where it stays until [`drop_oldest`](Self::drop_oldest). Returns its run if that is to be
    /// closed.
    pub(crate) fn idle_oldest(&self, keep: &Keep, class: usize, index: usize) -> Option<u32> {
        let at = Offset::new(keep.magazines.get(class)?.slots.get(index)?.load(Ordering::Relaxed));
        let (run, bit) = self.slot(at, class)?;
        // Not reached: a live slot, which only a thread that a fork took away has left here.
        if self.is_live(at) {
            return None;
        }
        self.make_idle(run, bit).then_some(run)
    }

    /// Removes the `count` oldest slots from a magazine.
    pub(crate) fn drop_oldest(&self, keep: &Keep, class: usize, count: usize) -> Option<()> {
        let magazine = keep.magazines.get(class)?;
        let held = self.held(keep, class);
        for (to, from) in magazine.slots.iter().zip(magazine.slots.get(count..held)?) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        magazine.count.store(held.wrapping_sub(count) as u32, Ordering::Relaxed);
        add(&magazine.out, (count as u32).wrapping_neg());
        Some(())
    }

    /// Returns how many slots a magazine holds.
    pub(crate) fn held(&self, keep: &Keep, class: usize) -> usize {
        self.count_of(keep, class).min(MAGAZINE)
    }

    /// Makes the KiB from `run` on a run of `owner` with idle slots only.
    pub(crate) fn open(&self, run: u32, owner: u32, class: usize) -> Option<()> {
        self.set_tags(run, class, Tag::new(owner, class))?;
        self.make_idle(run, all_slots(class));
        Some(())
    }

    /// Makes a run that is to be closed one no more.
    pub(crate) fn close(&self, run: u32) -> Option<usize> {
        let tag = self.tag(self.origin.start(run));
        let magazine = self.keep(tag.owner())?.magazines.get(tag.class())?;
        let it = self.runs.get(run as usize)?;
        if it.idle.swap(0, Ordering::Relaxed) != 0 {
            self.unlink(magazine, it);
        }
        it.returned.store(0, Ordering::Relaxed);
        self.set_tags(run, tag.class(), Tag::NONE)?;
        Some(tag.class())
    }

    fn set_tags(&self, run: u32, class: usize, tag: Tag) -> Option<()> {
        for kib in run..=run | TABLE.get(class)?.mask {
            self.tags.get(kib as usize)?.store(tag.0, Ordering::Relaxed);
        }
        Some(())
    }

    /// Returns whether all slots of a run are returned.
    pub(crate) fn is_all_returned(&self, run: u32) -> bool {
        let tag = self.tag(self.origin.start(run));
        let returned = self.runs.get(run as usize).map(|it| it.returned.load(Ordering::Acquire));
        tag != Tag::NONE && returned == Some(all_slots(tag.class()))
    }

    /// Goes through the runs of a class's list that have idle slots only. The one that was found last may be closed meanwhile.
    pub(crate) fn all_idle(&self, keep: &Keep, class: usize) -> AllIdle<'a> {
        AllIdle { owned: *self, class, link: self.first_idle(keep, class), left: self.runs.len() }
    }

    /// Returns the link to the first run of a class that has idle slots.
    pub(crate) fn first_idle(&self, keep: &Keep, class: usize) -> u32 {
        keep.magazines.get(class).map_or(0, |magazine| magazine.first.load(Ordering::Relaxed))
    }

    /// Attaches a cache that is detached. Returns whether it was.
    pub(crate) fn attach(&self, owner: u32) -> bool {
        self.keep(owner).is_some_and(|keep| keep.returned.0.fetch_and(!DETACHED, Ordering::Acquire) & DETACHED != 0)
    }

    /// Detaches a cache: what it keeps is the lock holder's from here on.
    pub(crate) fn detach(&self, keep: &Keep) {
        keep.returned.0.fetch_or(DETACHED, Ordering::Release);
    }

    pub(crate) fn is_detached(&self, keep: &Keep) -> bool {
        keep.returned.0.load(Ordering::Acquire) & DETACHED != 0
    }

    /// Returns the whole pages of the tables that say something of a range of the segment, and which KiB they are about.
    pub(crate) fn pages(
        &self,
        range: Range<Offset>,
        page: usize,
    ) -> impl Iterator<Item = (RangeInclusive<u32>, NonNull<[u8]>)> {
        const RUN: usize = size_of::<Run>();
        let place = |at: Offset| self.origin.granules_to(at.index() as usize);
        let (start, end) = (place(range.start), place(range.end));
        let marks = self.live.pages(start..end, page);
        let kibs = |at: Range<usize>| (at.start / PER_KIB) as u32..=(at.end.wrapping_sub(1) / PER_KIB) as u32;
        let marks = marks.map(move |(at, bytes)| (kibs(at), bytes));
        let runs = (start / PER_KIB).wrapping_mul(RUN)..(end / PER_KIB).wrapping_add(1).wrapping_mul(RUN);
        let runs = self.runs.pages(runs, page);
        let runs = runs.map(|(at, bytes)| ((at.start / RUN) as u32..=(at.end.wrapping_sub(1) / RUN) as u32, bytes));
        marks.chain(runs)
    }

    /// Forgets what a cache keeps, its runs apart, and whether somebody has it.
    pub(crate) fn reset(&self, owner: u32, is_detached: bool) {
        let Some(keep) = self.keep(owner) else { return };
        for magazine in &keep.magazines {
            magazine.count.store(0, Ordering::Relaxed);
            magazine.out.store(0, Ordering::Relaxed);
            magazine.first.store(0, Ordering::Relaxed);
        }
        keep.returned.0.store(if is_detached { DETACHED } else { 0 }, Ordering::Release);
    }

    /// Makes every slot that is not live of the run at a KiB idle, counts those that are, and returns how many KiB on to go.
    pub(crate) fn revive(&self, kib: u32) -> u32 {
        let found = self.run_at(kib).and_then(|run| Some((self.runs.get(kib as usize)?, self.keep(run.owner)?, run)));
        let Some((it, keep, run)) = found else { return 1 };
        it.returned.store(0, Ordering::Relaxed);
        it.idle.store(0, Ordering::Relaxed);
        self.make_idle(kib, run.all & !run.live);
        if let Some(magazine) = keep.magazines.get(run.class) {
            add(&magazine.out, run.live.count_ones());
        }
        run.kibs
    }

    /// Counts, after [`reset`](Self::reset), what the heap has freed of the caches' slots: it counts that off.
    pub(crate) fn set_freed_elsewhere(&self, class: usize, count: u32) {
        if let Some(magazine) = self.keep(0).and_then(|keep| keep.magazines.get(class)) {
            add(&magazine.out, count);
        }
    }

    /// Returns the KiB that `at` lies in.
    pub(crate) fn kib(&self, at: Offset) -> u32 {
        self.origin.kib(at) as u32
    }

    /// Returns the live slots of a class, as far as `keep` counts them, and the requests that it served. The live ones wrap: slots that
    /// were freed through another cache are counted off there.
    pub(crate) fn figures(&self, keep: &Keep, class: usize) -> (u32, usize) {
        keep.magazines.get(class).map_or((0, 0), |magazine| {
            let out = magazine.out.load(Ordering::Relaxed);
            (out.wrapping_sub(magazine.count.load(Ordering::Relaxed)), magazine.allocs.load(Ordering::Relaxed))
        })
    }
}

/// What is known of an owned run, for the checker.
pub(crate) struct OwnedRun {
    pub(crate) owner: u32,
    pub(crate) class: usize,
    pub(crate) kibs: u32,
    /// Whether it begins here and each of its KiB has its tag.
    pub(crate) is_whole: bool,
    /// Its slots, a bit each.
    pub(crate) all: u64,
    pub(crate) idle: u64,
    pub(crate) returned: u64,
    pub(crate) live: u64,
}

impl Owned<'_> {
    /// Returns the run of which a KiB is the first.
    pub(crate) fn run_at(&self, kib: u32) -> Option<OwnedRun> {
        let tag = self.tag(self.origin.start(kib));
        let class = TABLE.get(tag.class()).filter(|_| tag != Tag::NONE)?;
        let has_tag = |kib: u32| self.tag(self.origin.start(kib)) == tag;
        let it = self.runs.get(kib as usize)?;
        // Before the marks: of a slot that somebody frees meanwhile the mark is cleared first.
        let returned = it.returned.load(Ordering::Acquire);
        let start = |slot: u32| self.origin.start(kib).plus(Granules::new(slot.wrapping_mul(class.stride.count())));
        let live = (0..class.slots).filter(|slot| self.is_live(start(*slot)));
        Some(OwnedRun {
            owner: tag.owner(),
            class: tag.class(),
            kibs: class.mask.wrapping_add(1),
            is_whole: kib & class.mask == 0 && (kib..=kib | class.mask).all(has_tag),
            all: all_of(class.slots),
            live: live.fold(0, |live, slot| live | 1u64.wrapping_shl(slot)),
            idle: it.idle.load(Ordering::Relaxed),
            returned,
        })
    }

    /// Returns where live slots start.
    pub(crate) fn marks(&self) -> impl Iterator<Item = Offset> {
        (0..self.live.len() as u32).map(Offset::new).filter(|at| self.is_live(*at))
    }

    /// Returns how many slots a magazine claims to hold.
    pub(crate) fn count_of(&self, keep: &Keep, class: usize) -> usize {
        keep.magazines.get(class).map_or(0, |magazine| magazine.count.load(Ordering::Relaxed) as usize)
    }

    /// Returns the slots of a run that lie in a magazine, a bit each, and how many places of the magazine they take.
    pub(crate) fn held_in(&self, keep: &Keep, class: usize, run: u32) -> (u64, usize) {
        let slots = keep.magazines.get(class).map_or(&[][..], |magazine| &magazine.slots);
        let held = slots.iter().take(self.held(keep, class)).map(|at| Offset::new(at.load(Ordering::Relaxed)));
        let in_run = held.filter_map(|at| self.slot(at, class)).filter(|(of, _)| *of == run);
        in_run.fold((0, 0), |(bits, places), (_, bit)| (bits | bit, places.wrapping_add(1)))
    }

    /// Returns how many runs a class's list has, whose links lead forth and back; `None` if they do not.
    pub(crate) fn listed(&self, keep: &Keep, class: usize) -> Option<usize> {
        let (mut link, mut previous) = (self.first_idle(keep, class), 0);
        for count in 0..=self.runs.len() {
            if link == 0 {
                return Some(count);
            }
            let it = self.linked(link)?;
            let is_back = it.previous.load(Ordering::Relaxed) == previous;
            (previous, link) = (link, it.next.load(Ordering::Relaxed));
            if !is_back || it.idle.load(Ordering::Relaxed) == 0 {
                return None;
            }
        }
        None
    }
}

/// Runs with returned slots, off a cache's stack.
///
/// Ends also where destroyed links make a circle.
pub(crate) struct Returned<'a> {
    owned: Owned<'a>,
    link: u32,
    left: usize,
}

impl Iterator for Returned<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let run = self.link.wrapping_sub(1);
        // Before the run is the caller's to put back onto a stack.
        self.link = self.owned.runs.get(run as usize)?.next_returned.load(Ordering::Relaxed);
        Some(run)
    }
}

/// Runs of a class that have idle slots only.
///
/// Ends also where destroyed links make a circle.
pub(crate) struct AllIdle<'a> {
    owned: Owned<'a>,
    class: usize,
    link: u32,
    left: usize,
}

impl Iterator for AllIdle<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            self.left = self.left.checked_sub(1)?;
            let it = self.owned.linked(self.link)?;
            let run = self.link.wrapping_sub(1);
            self.link = it.next.load(Ordering::Relaxed);
            if it.idle.load(Ordering::Relaxed) == all_slots(self.class) {
                return Some(run);
            }
        }
    }
}

/// Returns all slots of a class's run, a bit each.
fn all_slots(class: usize) -> u64 {
    TABLE.get(class).map_or(0, |class| all_of(class.slots))
}

/// What tests reach.
#[cfg(test)]
impl Owned<'_> {
    /// Makes a circle of two runs of a class's list, which have idle slots only and belong to nobody.
    pub(crate) fn destroy(&self, owner: u32, class: usize, runs: [u32; 2]) -> Option<()> {
        for (run, next) in [(runs[0], runs[1]), (runs[1], runs[0])] {
            let it = self.runs.get(run as usize)?;
            it.idle.store(all_slots(class), Ordering::Relaxed);
            it.next.store(link_to(next), Ordering::Relaxed);
            self.set_tags(run, class, Tag::NONE)?;
        }
        self.keep(owner)?.magazines.get(class)?.first.store(link_to(runs[0]), Ordering::Relaxed);
        Some(())
    }

    /// Makes a magazine claim to hold one slot, which starts at `at`.
    pub(crate) fn claim(&self, owner: u32, class: usize, at: Offset) -> Option<()> {
        let magazine = self.keep(owner)?.magazines.get(class)?;
        magazine.slots.first()?.store(at.index(), Ordering::Relaxed);
        magazine.count.store(1, Ordering::Relaxed);
        Some(())
    }
}
