//! What the holder of the block segment's lock does for caches: it gives them out, opens and closes their runs, and settles those
//! that are detached.

use core::ops::Range;
use core::ptr::NonNull;

use crate::blocks::Blocks;
use crate::classes::{Classes, MayHave};
use crate::error::Reason;
use crate::memory::Bump;
use crate::owned::Owned;
use crate::policy::Policy;
use crate::size_class::run_granules;
use crate::stats::{CacheStats, ClassStats};
use crate::units::{Granules, Offset};

/// A cache opens a run only while at least this share of the segment is free: what lies idle in caches then makes no request fail that
/// would have been served early.
const FREE_SHARE: u64 = 8;

impl<'a> Classes<'a> {
    /// Attaches the detached cache of lowest number, or makes one.
    pub(crate) fn attach(&mut self) -> Option<u32> {
        let (owned, made, next) = (self.owned, self.roll.made, self.roll.next);
        let mut found = (next..made).find(|owner| owned.attach(*owner));
        if found.is_none() && made < owned.count() {
            self.roll.made = made.wrapping_add(1);
            found = Some(made);
        }
        let owner = found.or_else(|| (0..next.min(made)).find(|owner| owned.attach(*owner)))?;
        self.roll.next = owner.wrapping_add(1);
        Some(owner)
    }

    /// Makes a block that starts at `at` a run of a cache, all its slots idle.
    fn open_owned(&mut self, class: usize, at: Offset, owner: u32) -> Option<()> {
        let run = self.count_owned(at, class)?;
        self.roll.granules = self.roll.granules.plus(run_granules(class));
        self.owned.open(run, owner, class)
    }

    /// Makes a run of a cache one no more, and returns the block that it was.
    fn close_owned(&mut self, run: u32) -> Option<Offset> {
        let class = self.owned.close(run)?;
        self.roll.granules = self.roll.granules.minus(run_granules(class));
        self.uncount_run(run, class)?;
        Some(self.start(run))
    }

    /// Returns how many bytes the tables of `caches` caches take for a segment of `granules`.
    pub(crate) const fn footprint_of_caches(granules: Granules, caches: usize) -> usize {
        Owned::footprint(granules, caches)
    }

    /// Makes the tables of `caches` caches.
    pub(crate) fn set_up_caches(&mut self, granules: Granules, caches: usize, memory: &mut Bump<'a>) -> Option<()> {
        self.owned.set_up(self.origin, granules, caches, memory)
    }

    /// Returns whether a live slot starts at `at`, in a run that a cache owns.
    pub(crate) fn is_live_in_cache(&self, at: Offset) -> bool {
        self.owned.is_live(at)
    }

    /// Adds the caches' share to the figures of the classes.
    pub(crate) fn add_caches(&self, stats: &mut [ClassStats]) {
        let mut is_busy = false;
        for keep in (0..self.roll.made).filter_map(|owner| self.owned.keep(owner)) {
            is_busy |= !self.owned.is_detached(keep);
            for (class, figures) in stats.iter_mut().enumerate().take(self.owned.classes()) {
                let (live, allocs) = self.owned.figures(keep, class);
                figures.live_objects = (figures.live_objects as u32).wrapping_add(live) as usize;
                figures.allocs = figures.allocs.wrapping_add(allocs as u64);
            }
        }
        for (sent, figures) in self.roll.sent.iter().zip(stats) {
            let live = (figures.live_objects as u32).wrapping_sub(*sent) as usize;
            // Owners at work change their counts while they are read, so that the sum can be negative.
            figures.live_objects = if is_busy && live > figures.slots { 0 } else { live };
        }
    }

    /// Calls `work` with the pages of the tables that are about no run of a cache, but for those that are about nothing in the range.
    pub(crate) fn idle_tables(&self, range: Range<Offset>, page: usize, mut work: impl FnMut(NonNull<[u8]>)) {
        for (mut kibs, bytes) in self.owned.pages(range, page) {
            if !kibs.any(|kib| self.is_in_owned(kib)) {
                work(bytes);
            }
        }
    }

    /// Returns the figures of the caches.
    pub(crate) fn cache_stats(&self) -> CacheStats {
        let keeps = (0..self.roll.made).filter_map(|owner| self.owned.keep(owner));
        CacheStats {
            most: self.owned.count() as usize,
            made: self.roll.made as usize,
            attached: keeps.filter(|keep| !self.owned.is_detached(keep)).count(),
            run_bytes: self.roll.granules.bytes(),
        }
    }
}

impl<'a, P: Policy> Blocks<'a, P> {
    /// Returns the tables of the caches.
    pub(crate) fn owned(&self) -> Option<Owned<'a>> {
        self.classes.get().map(|classes| classes.owned)
    }

    /// Opens a run for a cache, if at least an eighth of the segment is free.
    pub(crate) fn open_owned(&mut self, owner: u32, class: usize) -> Option<()> {
        let all = self.region.granules();
        let free = all.minus(self.counters.live());
        if u64::from(free.count()).wrapping_mul(FREE_SHARE) < u64::from(all.count()) {
            return None;
        }
        let at = self.take_run(run_granules(class))?;
        self.classes.get_mut()?.open_owned(class, at, owner)
    }

    /// Closes a run of a cache: all its slots are idle, or all are returned.
    pub(crate) fn close_owned(&mut self, run: u32) {
        if let Some(block) = self.classes.get_mut().and_then(|classes| classes.close_owned(run)) {
            self.free_run(block);
        }
    }

    /// Frees the slot that starts at `at`, in a run that a cache owns: it returns to that.
    pub(crate) fn free_owned(&mut self, at: Offset) -> Result<(), Reason> {
        let taken = self.owned().and_then(|owned| Some((owned, owned.take(at.index() as usize)?)));
        let Some((owned, tag)) = taken else { return Err(self.counters.refused(Reason::DoubleFree)) };
        let is_detached = owned.give_back(None, at, tag);
        if let Some(classes) = self.classes.get_mut() {
            if let Some(sent) = classes.roll.sent.get_mut(tag.class()) {
                *sent = sent.wrapping_add(1);
            }
        }
        if is_detached {
            self.settle_detached(tag.owner());
        }
        Ok(())
    }

    /// Empties a cache: takes back what others have returned, makes its magazines' slots idle, and closes every run that has no live
    /// slot. The cache is detached, or its owner asks for it.
    pub(crate) fn settle(&mut self, owner: u32) -> Option<()> {
        let classes = self.classes.get_mut()?;
        classes.roll.next = classes.roll.next.min(owner);
        let owned = classes.owned;
        let keep = owned.keep(owner)?;
        for run in owned.take_returned(keep) {
            if owned.collect(run) {
                self.close_owned(run);
            }
        }
        for class in 0..owned.classes() {
            let held = owned.held(keep, class);
            for index in 0..held {
                if let Some(run) = owned.idle_oldest(keep, class, index) {
                    self.close_owned(run);
                }
            }
            owned.drop_oldest(keep, class, held);
            for run in owned.all_idle(keep, class) {
                self.close_owned(run);
            }
        }
        Some(())
    }

    /// [Settles](Self::settle) a cache that is detached.
    pub(crate) fn settle_detached(&mut self, owner: u32) -> Option<()> {
        let owned = self.owned()?;
        if owned.is_detached(owned.keep(owner)?) { self.settle(owner) } else { None }
    }

    /// Makes of every slot of a cache that is not live an idle one, and detaches all caches but `kept`: whatever their owners were about
    /// when they ceased to be.
    pub(crate) fn recover(&mut self, kept: Option<u32>) -> Option<()> {
        let high_water = self.high_water;
        let classes = self.classes.get()?;
        let (owned, made) = (classes.owned, classes.roll.made);
        for owner in 0..made {
            owned.reset(owner, kept != Some(owner));
        }
        let mut kib = 0;
        while kib <= owned.kib(high_water) {
            kib = kib.wrapping_add(owned.revive(kib));
        }
        for (class, sent) in classes.roll.sent.iter().enumerate() {
            owned.set_freed_elsewhere(class, *sent);
        }
        for owner in (0..made).filter(|owner| kept != Some(*owner)) {
            self.settle(owner);
        }
        Some(())
    }

    /// Takes back what can be had of caches without their owners: all that lies in detached ones, and of the others the runs of which all
    /// slots are returned.
    pub(crate) fn reclaim(&mut self) -> Option<()> {
        let (owned, made) = self.classes.get().map(|classes| (classes.owned, classes.roll.made))?;
        for owner in 0..made {
            let keep = owned.keep(owner)?;
            if self.settle_detached(owner).is_some() {
                continue;
            }
            for run in owned.take_returned(keep) {
                if owned.is_all_returned(run) {
                    self.close_owned(run);
                } else {
                    // If the cache is detached since, whoever did that settles it when this lock is free.
                    owned.push_returned(run, owner);
                }
            }
        }
        Some(())
    }
}
