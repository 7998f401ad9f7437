//! The caches of a heap under policy `General`, in one thread, as plainly as the rest of the model.
//!
//! A cache owns runs. A slot of such a run is live, or lies in its owner's magazine, or was returned by somebody else who freed it, or
//! else is *idle*: at hand for the owner. So which slots are idle is told by the list of runs, the magazines and the returned slots;
//! what a cache has beside its magazines is the order in which it comes back to its runs.

use std::mem;

use slabfit::State::{Free, Used};
use slabfit::{Block, CacheError, CacheStats};

use super::classes::{Classes, MAGAZINE, Run};
use super::{By, Model, is_free};

/// A cache opens a run where the free part of the block segment, times this, is no less than the whole.
const SHARE_FREE: usize = 8;

/// A cache, attached or not. Runs are named by their first byte; the top of a stack is the last one.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    attached: bool,
    /// Whether it ever was.
    made: bool,
    classes: Vec<OfClass>,
    /// A stack of its runs with returned slots.
    with_returned: Vec<usize>,
}

/// What a cache has of one class.
#[derive(Clone, Debug, Default)]
struct OfClass {
    /// Addresses of free slots.
    magazine: Vec<usize>,
    /// A stack of its runs with idle slots.
    with_idle: Vec<usize>,
}

impl Cache {
    /// A cache of a heap with these classes that was never attached.
    pub(super) fn of(classes: &Classes) -> Self {
        let classes = vec![OfClass::default(); classes.all.len()];
        Self { attached: false, made: false, classes, with_returned: Vec::new() }
    }
}

impl Model {
    /// Attaches the free cache of the lowest number, and answers with the number.
    ///
    /// # Errors
    /// `NoneFree`: all are attached, or the heap has none.
    pub fn attach(&mut self) -> Result<usize, CacheError> {
        let number = self.caches.iter().position(|cache| !cache.attached).ok_or(CacheError::NoneFree)?;
        self.caches[number].attached = true;
        self.caches[number].made = true;
        Ok(number)
    }

    /// Detaches a cache, as its owner drops it. It keeps its runs that have a live slot.
    pub fn detach(&mut self, cache: usize) {
        self.caches[cache].attached = false;
        self.settle(cache);
    }

    /// Takes back what lies in all caches but one, whose owners are no more: every slot of a cache that is not live becomes idle, also of
    /// the one that is kept.
    pub fn recover(&mut self, kept: Option<usize>) {
        for (number, cache) in self.caches.iter_mut().enumerate() {
            *cache = Cache { attached: kept == Some(number), made: cache.made, ..Cache::of(&self.classes) };
        }
        for run in self.classes.runs.iter().map(|run| run.bytes.start).collect::<Vec<_>>() {
            let Some(owner) = self.classes.owner_of(run) else { continue };
            self.owned_run(run).returned.clear();
            let class = self.class_of_run(run);
            if !self.idle(run).is_empty() {
                self.caches[owner].classes[class].with_idle.push(run);
            }
        }
        for number in (0..self.caches.len()).filter(|&number| kept != Some(number)) {
            self.settle(number);
        }
    }

    /// The numbers of the attached caches.
    pub fn attached(&self) -> Vec<usize> {
        (0..self.caches.len()).filter(|&cache| self.caches[cache].attached).collect()
    }

    /// [`Model::alloc`] as the one who is asked does it.
    ///
    /// # Errors
    /// As [`Model::alloc`].
    pub fn alloc_by(&mut self, by: By, size: usize, align: usize) -> Result<usize, slabfit::AllocError> {
        let By::Cache(cache) = by else { return self.alloc(size, align) };
        let for_slab = self.slab_size > 0 && size == self.slab_size && align <= self.granule;
        let class = self.class_of(size, align).filter(|_| !for_slab);
        match class.and_then(|class| self.alloc_in_cache(cache, class)) {
            Some(slot) => Ok(slot),
            None => self.alloc(size, align),
        }
    }

    /// What the one who is asked gives back when told to: the heap all magazines of its own and what it can have of the caches, a cache
    /// all that it has at hand.
    pub fn empty_by(&mut self, by: By) {
        match by {
            By::Heap => self.empty_magazines(),
            By::Cache(cache) => self.settle(cache),
        }
    }

    /// All of the caches' state that an answer can depend on, beside which slots are live.
    pub fn fingerprint_of_caches(&self) -> Vec<Vec<usize>> {
        let mut all = Vec::new();
        for cache in &self.caches {
            all.push(vec![usize::from(cache.attached), usize::from(cache.made)]);
            all.push(cache.with_returned.clone());
            all.extend(cache.classes.iter().flat_map(|class| [class.magazine.clone(), class.with_idle.clone()]));
        }
        for run in self.classes.runs.iter().filter(|run| run.owner.is_some()) {
            all.push([run.bytes.start].into_iter().chain(run.owner).chain(run.returned.iter().copied()).collect());
        }
        all
    }

    /// The figures of the caches.
    pub(super) fn cache_stats(&self) -> CacheStats {
        let count = |is: fn(&Cache) -> bool| self.caches.iter().filter(|&cache| is(cache)).count();
        let owned = self.classes.runs.iter().filter(|run| run.owner.is_some());
        CacheStats {
            most: self.caches.len(),
            made: count(|cache| cache.made),
            attached: count(|cache| cache.attached),
            run_bytes: owned.map(|run| run.bytes.len()).sum(),
        }
    }

    /// Serves a request by a slot of its class out of a cache. `None` where the cache has none and may or can open no run.
    fn alloc_in_cache(&mut self, cache: usize, class: usize) -> Option<usize> {
        if self.caches[cache].classes[class].magazine.is_empty() {
            self.refill(cache, class);
        }
        let address = self.caches[cache].classes[class].magazine.pop()?;
        self.classes.mark(address, Used);
        self.classes.all[class].counted.allocs += 1;
        Some(address)
    }

    /// Fills an empty magazine with the lowest idle slots of the run that came to have some last, the lowest on top.
    fn refill(&mut self, cache: usize, class: usize) {
        if self.caches[cache].classes[class].with_idle.is_empty() {
            self.drain(cache);
        }
        if self.caches[cache].classes[class].with_idle.is_empty() && self.may_open_run() {
            let opened = self.open_run(class, Some(cache));
            self.caches[cache].classes[class].with_idle.extend(opened);
        }
        let Some(&run) = self.caches[cache].classes[class].with_idle.last() else { return };
        let mut idle = self.idle(run);
        idle.truncate(MAGAZINE);
        idle.reverse();
        self.caches[cache].classes[class].magazine = idle;
        if self.idle(run).is_empty() {
            self.caches[cache].classes[class].with_idle.pop();
        }
    }

    /// Whether so much of the block segment is free that a cache may open a run.
    fn may_open_run(&self) -> bool {
        self.blocks.stats().free_bytes * SHARE_FREE >= self.blocks.bytes.len()
    }

    /// Frees a slot of a run that a cache owns.
    pub(super) fn release_to_owner(&mut self, by: By, owner: usize, slot: Block) {
        let Some(class) = self.class_of(slot.size, 1) else { return };
        self.classes.all[class].counted.frees += 1;
        if by == By::Cache(owner) {
            if self.caches[owner].classes[class].magazine.len() == MAGAZINE {
                self.make_oldest_idle(owner, class, MAGAZINE / 2);
            }
            self.caches[owner].classes[class].magazine.push(slot.address);
            self.classes.mark(slot.address, Free);
            return;
        }
        self.classes.mark(slot.address, Free);
        let run = self.owned_run(slot.address);
        if run.returned.is_empty() {
            let start = run.bytes.start;
            self.caches[owner].with_returned.push(start);
        }
        self.owned_run(slot.address).returned.insert(slot.address);
        if !self.caches[owner].attached {
            self.settle(owner);
        }
    }

    /// Makes the oldest slots of a magazine idle, one after the other.
    fn make_oldest_idle(&mut self, cache: usize, class: usize, count: usize) {
        for _ in 0..count {
            let oldest = self.caches[cache].classes[class].magazine[0];
            let run = self.classes.run_of(oldest).bytes.start;
            let had_idle = !self.idle(run).is_empty();
            self.caches[cache].classes[class].magazine.remove(0);
            self.has_more_idle(cache, class, run, had_idle);
        }
    }

    /// Takes the slots back that others freed, run by run, the one that came to have some last first.
    fn drain(&mut self, cache: usize) {
        for run in mem::take(&mut self.caches[cache].with_returned).into_iter().rev() {
            let had_idle = !self.idle(run).is_empty();
            self.owned_run(run).returned.clear();
            self.has_more_idle(cache, self.class_of_run(run), run, had_idle);
        }
    }

    /// Takes note of a run that has got idle slots. It is closed if all its slots are idle, unless no other run of the class has any.
    fn has_more_idle(&mut self, cache: usize, class: usize, run: usize, had_idle: bool) {
        let with_idle = &mut self.caches[cache].classes[class].with_idle;
        if !had_idle {
            with_idle.push(run);
        }
        let others = with_idle.len() > 1;
        if others && self.is_all_idle(run) {
            self.close_idle_run(cache, class, run);
        }
    }

    /// Gives back all that a cache has at hand: no run without a live slot is left.
    fn settle(&mut self, cache: usize) {
        self.drain(cache);
        for class in 0..self.classes.all.len() {
            self.make_oldest_idle(cache, class, self.caches[cache].classes[class].magazine.len());
        }
        for class in 0..self.classes.all.len() {
            for run in self.caches[cache].classes[class].with_idle.clone().into_iter().rev() {
                if self.is_all_idle(run) {
                    self.close_idle_run(cache, class, run);
                }
            }
        }
    }

    /// Takes from the caches what can be had without their owners: all that detached ones have at hand, and of the others the runs of
    /// which every slot was returned.
    pub(super) fn reclaim_from_caches(&mut self) {
        for cache in 0..self.caches.len() {
            if !self.caches[cache].attached {
                self.settle(cache);
                continue;
            }
            for run in mem::take(&mut self.caches[cache].with_returned).into_iter().rev() {
                let Run { slots, returned, .. } = self.classes.run_of(run);
                if returned.len() == slots.len() {
                    self.close_run(run);
                } else {
                    self.caches[cache].with_returned.push(run);
                }
            }
        }
    }

    fn close_idle_run(&mut self, cache: usize, class: usize, run: usize) {
        self.caches[cache].classes[class].with_idle.retain(|&other| other != run);
        self.close_run(run);
    }

    fn class_of_run(&self, run: usize) -> usize {
        self.class_of(self.classes.run_of(run).slots[0].size, 1).expect("a run has a class")
    }

    fn is_all_idle(&self, run: usize) -> bool {
        self.idle(run).len() == self.classes.run_of(run).slots.len()
    }

    /// The idle slots of the run that begins at an address, the lowest first.
    fn idle(&self, run: usize) -> Vec<usize> {
        let run = self.classes.run_of(run);
        let owner = &self.caches[run.owner.expect("a cache owns it")];
        let in_magazine = |slot: &Block| owner.classes.iter().any(|class| class.magazine.contains(&slot.address));
        let free = run.slots.iter().filter(|slot| is_free(slot));
        free.filter(|slot| !in_magazine(slot) && !run.returned.contains(&slot.address))
            .map(|slot| slot.address)
            .collect()
    }

    fn owned_run(&mut self, address: usize) -> &mut Run {
        let mut runs = self.classes.runs.iter_mut();
        runs.find(|run| run.bytes.contains(&address)).expect("it lies in a run")
    }
}
