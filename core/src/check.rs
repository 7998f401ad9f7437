//! Consistency check and repair.
//!
//! `check` tests each invariant that its type states, in the plainest way: it walks over the bits from front to back.

use crate::bits::{NO_BIT, Window};
use crate::block_map::{BlockMap, Gap};
use crate::blocks::Blocks;
use crate::classes::{Classes, MayHave, RunSlots};
use crate::error::{Reentered, Violation};
use crate::heap::Heap;
use crate::lock::RawLock;
use crate::max_tree::{NO_CHUNK, Number};
use crate::policy::Policy;
use crate::slab::Slab;
use crate::stats::{CLASSES, ClassStats};
use crate::units::{Granules, Offset};

fn demand(holds: bool, otherwise: Violation) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(otherwise) }
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
        self.first_overwritten()
    }

    /// Compares what is known of each run and each magazine with the marks and with the map.
    fn check_classes(&self, classes: &Classes<'_>) -> Result<(), Violation> {
        demand(classes.open.is_whole(), Violation::Summary)?;
        let mut census = [ClassStats::default(); CLASSES];
        let (mut kib, mut open) = (0, 0u32);
        while kib < classes.kibs() {
            if !classes.is_in_run(kib) {
                kib = kib.wrapping_add(1);
                continue;
            }
            let wrong = Violation::Run { address: self.region.address(classes.start(kib)) };
            let run = classes.run_at(kib).ok_or(wrong)?;
            demand(run.is_whole && self.is_run_block(classes.start(kib), run.class), wrong)?;
            let RunSlots { all, live, held } = run.slots;
            let is_open = all & !live & !held != 0;
            demand(held & !all == 0 && live & held == 0, wrong)?;
            demand(run.is_open == is_open && live | held != 0, wrong)?;
            open = open.wrapping_add(u32::from(is_open));
            if let Some(counted) = census.get_mut(run.class) {
                counted.runs = counted.runs.wrapping_add(1);
                counted.live_objects = counted.live_objects.wrapping_add(live.count_ones() as usize);
                counted.slots = counted.slots.wrapping_add(held.count_ones() as usize);
            }
            kib = kib.wrapping_add(run.kibs);
        }
        demand(classes.open.iter().count() as u32 == open, Violation::Summary)?;
        // Nothing but the live slots is marked.
        let live = census.iter().map(|counted| counted.live_objects).sum();
        demand(classes.marked() == live, Violation::Count)?;
        for (class, (counted, told)) in census.iter().zip(classes.stats()).enumerate() {
            let is_told = (counted.runs, counted.live_objects) == (told.runs, told.live_objects);
            demand(is_told && told.peak_runs >= told.runs, Violation::Count)?;
            // Each slot in the magazine is a different one of a run.
            let magazine = Violation::Magazine { slot_size: told.slot_size };
            demand(classes.count_of(class) == counted.slots, magazine)?;
        }
        Ok(())
    }

    /// Returns whether the map has a block that is a run of `class` from `start` on.
    fn is_run_block(&self, start: Offset, class: usize) -> bool {
        let length = start.up_to(self.map.block_end(start));
        let longer = length.count().wrapping_sub(Classes::run_length(class).count());
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

    fn rewrite(&mut self, start: Offset, size: Granules) {
        if self.map.is_start(start) {
            self.region.write_allocated(start, size);
        } else {
            self.region.write_free(start, size.minus(Granules::HEADER), self.link_of(start));
        }
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
