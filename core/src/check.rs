//! Consistency check and repair.
//!
//! `check` tests each invariant that its type states, in the plainest way: it walks over the bits from front to back.

use crate::bit_tree::NO_BIT;
use crate::block_map::{BlockMap, Gap};
use crate::blocks::Blocks;
use crate::boundaries::Window;
use crate::classes::{Classes, MayHave, RunSlots};
use crate::error::{Reentered, Violation};
use crate::lock::RawLock;
use crate::max_tree::{NO_CHUNK, Number};
#[cfg(target_has_atomic = "64")]
use crate::owned::OwnedRun;
use crate::policy::Policy;
use crate::segments::Heap;
use crate::size_class::run_granules;
#[cfg(target_has_atomic = "64")]
use crate::size_class::slot_size;
use crate::slab::Slab;
use crate::stats::{CLASSES, ClassStats};
use crate::units::{Granules, Offset};

fn demand(holds: bool, otherwise: Violation) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// What the runs of a class have.
#[derive(Clone, Copy, Default)]
struct Counted {
    runs: usize,
    /// Live slots in the heap's own runs, and in those of caches.
    live: usize,
    owned: usize,
    /// Slots in the heap's magazine.
    held: usize,
}

/// What a walk over the map has counted.
struct Census {
    gaps: u32,
    objects: u32,
    live: Granules,
    last_end: Offset,
}

impl BlockMap<'_> {
    /// Walks over all bits in order. `fail` makes the violation for a boundary.
    fn census(&self, fail: impl Fn(Offset) -> Violation) -> Result<Census, Violation> {
        let mut census = Census { gaps: 0, objects: 0, live: Granules::ZERO, last_end: Offset::ZERO };
        demand(self.boundaries.padding_is_clear(), fail(Offset::ZERO))?;
        let (mut gap_start, mut block_start) = (None, Some(Offset::ZERO));
        for (chunk, Window { starts, ends }) in (0u32..).zip(self.boundaries.chunks()) {
            let mut left = starts | ends;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                let at = Offset::in_chunk(chunk, bit);
                if ends.wrapping_shr(bit) & 1 != 0 {
                    let start = block_start.take().ok_or(fail(at))?;
                    if at > Offset::ZERO {
                        demand(start.up_to(at) >= Granules::MIN_BLOCK, fail(at))?;
                        census.objects = census.objects.wrapping_add(1);
                        census.live = census.live.plus(start.up_to(at));
                        census.last_end = at;
                    }
                    gap_start = Some(at);
                }
                if starts.wrapping_shr(bit) & 1 != 0 {
                    let gap = Gap { start: gap_start.take().ok_or(fail(at))?, end: at };
                    demand(gap.size() != Granules::HEADER, fail(at))?;
                    census.gaps = census.gaps.wrapping_add(u32::from(gap.size() > Granules::ZERO));
                    block_start = Some(at);
                }
            }
        }
        demand(block_start == Some(self.end()), fail(self.end()))?;
        Ok(census)
    }

    /// Compares each summary and each maximum with what it summarises. `held` is the gap that no maximum counts.
    fn check_summaries(&self, held: Offset) -> Result<(), Violation> {
        demand(self.summary.is_whole(), Violation::Summary)?;
        demand(self.maxima.is_whole(), Violation::Maximum)?;
        let chunks = self.end().chunk().wrapping_add(1);
        for chunk in 0..chunks {
            let window = self.boundaries.chunk(chunk);
            let is_empty = window.starts | window.ends == 0;
            demand(self.summary.contains(chunk) != is_empty, Violation::Summary)?;
        }
        demand(self.summary.next(chunks) == NO_BIT, Violation::Summary)?;
        // A gap's end is found by the summary, so that is checked first.
        for chunk in 0..chunks {
            let largest = self.largest_in(chunk, held).count().min(u32::MOST);
            demand(self.maxima.exact(chunk) == largest, Violation::Maximum)?;
        }
        // What fills the last node is 0.
        demand(self.maxima.first(chunks, 1) == NO_CHUNK, Violation::Maximum)
    }
}

impl<P: Policy> Blocks<'_, P> {
    fn check(&self) -> Result<(), Violation> {
        if self.region.granules() == Granules::ZERO {
            return Ok(());
        }
        let census = self.map.census(|at| Violation::Boundary { address: self.region.address(at) })?;
        self.map.check_summaries(self.held())?;
        self.check_rover()?;
        let counters = &self.counters;
        let counts = (census.gaps, census.objects, census.live);
        demand(counts == (self.gaps, counters.objects(), counters.live()), Violation::Count)?;
        let is_below = counters.peak >= census.live.count() && counters.peak_objects >= census.objects;
        demand(is_below, Violation::Count)?;
        demand(census.last_end <= self.high_water, Violation::HighWater)?;
        self.classes.get().map_or(Ok(()), |classes| self.check_classes(classes))?;
        if P::HARDENED { self.check_ward() } else { self.first_overwritten() }
    }

    /// Compares what is known of each run and each magazine with the marks and with the map.
    fn check_classes(&self, classes: &Classes<'_>) -> Result<(), Violation> {
        demand(classes.open.is_whole(), Violation::Summary)?;
        let mut counts = [Counted::default(); CLASSES];
        let (mut kib, mut open) = (0, 0u32);
        while kib < classes.kibs() {
            if !classes.is_in_run(kib) {
                kib = kib.wrapping_add(1);
                continue;
            }
            let wrong = Violation::Run { address: self.region.address(classes.start(kib)) };
            #[cfg(target_has_atomic = "64")]
            if classes.is_in_owned(kib) {
                let run = self.check_owned(classes, kib).ok_or(wrong)?;
                if let Some(counted) = counts.get_mut(run.class) {
                    counted.runs = counted.runs.wrapping_add(1);
                    counted.owned = counted.owned.wrapping_add(run.live.count_ones() as usize);
                }
                kib = kib.wrapping_add(run.kibs);
                continue;
            }
            let run = classes.run_at(kib).ok_or(wrong)?;
            demand(run.is_whole && self.is_run_block(classes.start(kib), run.class), wrong)?;
            let RunSlots { all, live, held } = run.slots;
            let is_open = all & !live & !held != 0;
            demand(held & !all == 0 && live & held == 0, wrong)?;
            demand(run.is_open == is_open && live | held != 0, wrong)?;
            open = open.wrapping_add(u32::from(is_open));
            if let Some(counted) = counts.get_mut(run.class) {
                counted.runs = counted.runs.wrapping_add(1);
                counted.live = counted.live.wrapping_add(live.count_ones() as usize);
                counted.held = counted.held.wrapping_add(held.count_ones() as usize);
            }
            kib = kib.wrapping_add(run.kibs);
        }
        demand(classes.open.iter().count() as u32 == open, Violation::Summary)?;
        // Nothing but the live slots is marked.
        let live = counts.iter().map(|counted| counted.live).sum();
        demand(classes.marked() == live, Violation::Count)?;
        let is_quiet = classes.is_quiet();
        let mut stats = [ClassStats::default(); CLASSES];
        classes.set_stats(&mut stats);
        for (class, (counted, told)) in counts.iter().zip(stats).enumerate() {
            // What attached caches count changes meanwhile.
            let is_told = !is_quiet || counted.live.wrapping_add(counted.owned) == told.live_objects;
            demand(is_told && counted.runs == told.runs && told.peak_runs >= told.runs, Violation::Count)?;
            // Each slot in the magazine is a different one of a run.
            let magazine = Violation::Magazine { slot_size: told.slot_size };
            demand(classes.count_of(class) == counted.held, magazine)?;
        }
        self.check_caches(classes)
    }

    /// Returns whether the map has a block that is a run of `class` from `start` on.
    fn is_run_block(&self, start: Offset, class: usize) -> bool {
        let length = start.up_to(self.map.block_end(start));
        let longer = length.count().wrapping_sub(run_granules(class).count());
        self.map.is_start(start) && longer <= Granules::HEADER.count()
    }

    fn check_rover(&self) -> Result<(), Violation> {
        let (rover, end) = (&self.rover, self.map.end());
        let wrong = Violation::Rover { address: self.region.address(rover.at) };
        let holds = if rover.gap == Granules::ZERO {
            let is_at_end = rover.at == end && (P::ROVES || self.map.gap_start(end) == end);
            is_at_end || P::ROVES && self.map.is_start(rover.at)
        } else {
            let gap = self.map.gap_at(rover.at);
            let is_told =
                !P::ROVES || (self.previous_gap(rover.at), self.next_gap(rover.at)) == (rover.previous, rover.next);
            self.map.gap_start(rover.at) == rover.at
                && gap.size() == rover.gap
                && is_told
                && (P::ROVES || gap.end == end)
        };
        demand(holds, wrong)
    }

    fn first_overwritten(&self) -> Result<(), Violation> {
        let mut at = Offset::ZERO;
        while let Some(found) = self.found(at) {
            demand(found.intact, Violation::Overwritten { address: found.block.address })?;
            at = found.next;
        }
        Ok(())
    }

    /// Writes every header that is not what the map says, and returns how many there were.
    fn repair(&mut self) -> usize {
        if P::HARDENED {
            return self.repair_ward();
        }
        let (mut at, mut repaired) = (Offset::ZERO, 0usize);
        while let Some(found) = self.found(at) {
            if !found.intact {
                self.rewrite(found.start, Granules::from_bytes_floor(found.block.size));
                repaired = repaired.wrapping_add(1);
            }
            at = found.next;
        }
        repaired
    }

    pub(crate) fn rewrite(&mut self, start: Offset, size: Granules) {
        if self.map.is_start(start) {
            self.region.write_allocated(start, size);
        } else {
            self.region.write_free(start, size.minus(Granules::HEADER), self.link_of(start));
        }
    }
}

#[cfg(not(target_has_atomic = "64"))]
impl<P: Policy> Blocks<'_, P> {
    /// There are no caches.
    fn check_caches(&self, _: &Classes<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

#[cfg(target_has_atomic = "64")]
impl<P: Policy> Blocks<'_, P> {
    /// Tests what stands still of a run that a cache owns, whatever the owner does meanwhile.
    fn check_owned(&self, classes: &Classes<'_>, kib: u32) -> Option<OwnedRun> {
        let run = classes.owned.run_at(kib)?;
        let start = classes.start(kib);
        let is_block = run.is_whole && self.is_run_block(start, run.class);
        let is_known = run.owner < classes.roll.made && classes.is_all_owned(kib, run.kibs, run.class);
        // No mark but at a slot's start.
        let granules = (0..run_granules(run.class).count()).map(|granule| start.plus(Granules::new(granule)));
        let mut marked = granules.filter(|at| classes.owned.is_live(*at));
        let is_at_slots = marked.all(|at| classes.find(at).is_some_and(|found| classes.is_live(&found)));
        (is_block && is_known && is_at_slots).then_some(run)
    }

    /// Tests the caches that are detached, and that nothing outside owned runs is marked as a live slot of one.
    fn check_caches(&self, classes: &Classes<'_>) -> Result<(), Violation> {
        if let Some(at) = classes.owned.marks().find(|at| !classes.is_at_owned(*at)) {
            return Err(Violation::Run { address: self.region.address(at) });
        }
        (0..classes.roll.made).try_for_each(|owner| match classes.owned.keep(owner) {
            Some(keep) if classes.owned.is_detached(keep) => self.check_keep(classes, owner),
            _ => Ok(()),
        })
    }

    /// Tests what a cache keeps, and its runs: for its owner, or where it is detached.
    pub(crate) fn check_keep(&self, classes: &Classes<'_>, owner: u32) -> Result<(), Violation> {
        let owned = &classes.owned;
        let Some(keep) = owned.keep(owner) else { return Ok(()) };
        let (mut with_idle, mut held) = ([0usize; CLASSES], [0usize; CLASSES]);
        let mut kib = 0;
        while kib < classes.kibs() {
            let found = owned.run_at(kib);
            let at = kib;
            kib = kib.wrapping_add(found.as_ref().map_or(1, |run| run.kibs));
            let Some(run) = found.filter(|run| run.owner == owner) else { continue };
            let wrong = Violation::Run { address: self.region.address(classes.start(at)) };
            let (in_magazine, places) = owned.held_in(keep, run.class, at);
            demand(in_magazine.count_ones() as usize == places, wrong)?;
            // Each slot is one of these at most.
            let (mut seen, mut twice) = (0, 0);
            for set in [run.idle, run.returned, run.live, in_magazine] {
                (seen, twice) = (seen | set, twice | seen & set);
            }
            demand(twice == 0 && seen & !run.all == 0, wrong)?;
            if let (Some(with_idle), Some(held)) = (with_idle.get_mut(run.class), held.get_mut(run.class)) {
                *with_idle = with_idle.wrapping_add(usize::from(run.idle != 0));
                *held = held.wrapping_add(places);
            }
        }
        for (class, (with_idle, held)) in with_idle.into_iter().zip(held).enumerate() {
            let magazine = Violation::Magazine { slot_size: slot_size(class) };
            demand(owned.count_of(keep, class) == held, magazine)?;
            demand(owned.listed(keep, class) == Some(with_idle), magazine)?;
        }
        Ok(())
    }
}

impl<P: Policy> Slab<'_, P> {
    pub(crate) fn check(&self) -> Result<(), Violation> {
        demand(self.returned.is_whole(), Violation::Summary)?;
        demand(self.lowest <= self.used && self.used <= self.slots, Violation::Returned)?;
        let is_lowest_returned = self.lowest < self.used;
        let mut returned = u32::from(is_lowest_returned);
        for slot in 0..self.slots {
            if self.returned.contains(slot) {
                demand(is_lowest_returned && slot > self.lowest && slot < self.used, Violation::Returned)?;
                returned = returned.wrapping_add(1);
            }
        }
        demand(self.returned.next(self.slots) == NO_BIT, Violation::Returned)?;
        demand(self.idle == returned, Violation::Count)?;
        let mut at = Offset::ZERO;
        while let Some(found) = self.found(at) {
            demand(found.intact, Violation::Overwritten { address: found.block.address })?;
            at = found.next;
        }
        Ok(())
    }

    /// Writes every header of a returned slot that is not what the tree says, and returns how many there were.
    fn repair(&mut self) -> usize {
        let (mut at, mut repaired) = (Offset::ZERO, 0usize);
        while let Some(found) = self.found(at) {
            if !found.intact {
                let next = self.next_free(self.slot_at(at));
                self.region.write_free(at, self.stride(), next);
                repaired = repaired.wrapping_add(1);
            }
            at = found.next;
        }
        repaired
    }
}

impl<L: RawLock, P: Policy> Heap<'_, L, P> {
    /// Tests every invariant. Linear in the region's size, with one lock held after the other. A violation is told to the heap's
    /// [`Hooks`](crate::Hooks) too.
    ///
    /// # Errors
    /// The first violation found.
    pub fn check(&self) -> Result<(), Violation> {
        let checked = self.check_segments();
        if let (Err(violation), Some(hooks)) = (checked, self.hooks()) {
            hooks.report_violation(violation);
        }
        checked
    }

    fn check_segments(&self) -> Result<(), Violation> {
        self.lock_slab()?.check()?;
        self.lock_blocks()?.check()
    }

    /// Rewrites every header in the heap that was overwritten, from the map, and returns how many there were. Linear in
    /// slots and blocks, with one lock held after the other.
    ///
    /// # Errors
    /// [`Reentered`] if this thread is in the heap.
    pub fn repair(&self) -> Result<usize, Reentered> {
        let slots = self.lock_slab()?.repair();
        let blocks = self.lock_blocks()?.repair();
        Ok(slots.wrapping_add(blocks))
    }
}
