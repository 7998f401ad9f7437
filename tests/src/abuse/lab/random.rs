//! Random operations on a lab.

use fastrand::Rng;
use slabfit::{GRANULE, Segment, State};

use super::compare::Agreed;
use super::{Lab, payload_of};
use crate::model::By;

impl Lab {
    /// An attached cache, if there is one, or the heap.
    pub fn anybody(&self, rng: &mut Rng) -> By {
        let attached = self.model.attached();
        let nth = rng.usize(..=attached.len());
        attached.get(nth).map_or(By::Heap, |&cache| By::Cache(cache))
    }

    /// Runs one operation, right or wrong, of the heap or of one of its caches.
    ///
    /// # Errors
    /// A deviation.
    pub fn random_step(&mut self, rng: &mut Rng) -> Agreed<()> {
        let by = self.anybody(rng);
        let object = self.random_object(rng);
        match (rng.u32(..100), object) {
            (0..45, Some((address, _))) => self.free_by(by, address).map(drop),
            (45..58, Some((address, _))) => {
                let (size, align) = (random_size(rng, self.case.config.slab_size), random_align(rng));
                self.realloc_by(by, address, size, align).map(drop)
            }
            (58..62, Some((address, usable))) => {
                let wrong = address.wrapping_add(rng.usize(..usable + 64)).wrapping_sub(32);
                if wrong == address { Ok(()) } else { self.free_by(by, wrong).map(drop) }
            }
            (62..66, _) => {
                let wrong = self.base().wrapping_add(rng.usize(..self.heap.size() + 128)).wrapping_sub(64);
                match self.model.usable_size(wrong) {
                    Ok(_) => Ok(()),
                    Err(_) if rng.bool() => self.free_by(by, wrong).map(drop),
                    Err(_) => self.realloc_by(by, wrong, rng.usize(..200), GRANULE).map(drop),
                }
            }
            (66, _) => self.empty_by(by),
            (67, _) => self.attach().map(drop),
            (68, _) => match by {
                By::Cache(cache) if rng.u32(..8) > 0 => {
                    self.detach(cache);
                    Ok(())
                }
                By::Cache(cache) => self.recover(Some(cache)),
                By::Heap => Ok(()),
            },
            _ => self.alloc_by(by, random_size(rng, self.case.config.slab_size), random_align(rng)).map(drop),
        }
    }

    /// Frees every object that is left, in random order, drops the caches, empties the magazines, and requires one free block.
    ///
    /// # Errors
    /// A deviation.
    pub fn finish(&mut self, rng: &mut Rng) -> Agreed<()> {
        let mut objects = self.objects();
        rng.shuffle(&mut objects);
        for (address, _) in objects {
            let freed = self.free_by(self.anybody(rng), address)?;
            self.same("the last free", freed, Ok(()))?;
        }
        self.compare()?;
        self.detach_all();
        self.compare()?;
        self.empty_magazines()?;
        self.compare()?;
        let free = self.model.blocks().filter(|block| block.segment == Segment::Blocks).count();
        self.same("blocks that are left", free, 1)
    }

    fn random_object(&self, rng: &mut Rng) -> Option<(usize, usize)> {
        let live = || self.model.blocks().filter(|block| block.state == State::Used);
        let nth = rng.usize(..live().count().max(1));
        live().nth(nth).map(payload_of)
    }
}

/// Bytes of a request: the slab's, a few, or some more; now and then far too many.
pub fn random_size(rng: &mut Rng, slab_size: usize) -> usize {
    match rng.u32(..64) {
        0..20 => slab_size,
        20..50 => rng.usize(..100),
        50..62 => rng.usize(..500),
        62 => rng.usize(..1 << 20),
        _ => usize::MAX - rng.usize(..64),
    }
}

/// 16 for the most part, or any power of two up to 1024.
pub fn random_align(rng: &mut Rng) -> usize {
    if rng.u32(..6) > 0 { GRANULE } else { 1 << rng.u32(..11) }
}
