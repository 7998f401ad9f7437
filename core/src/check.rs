//! Whether everything is as it must be, and putting right what can be put right.
//!
//! `check` tests each invariant that is written at its type, in the plainest way that there is: by walking the bits
//! from front to back.
#![deny(unsafe_code)]

use core::error::Error;
use core::fmt;

use crate::bit_tree::{self, BitTree};
use crate::block_map::BlockMap;
use crate::error::Reentered;
use crate::heap::Heap;
use crate::lock::RawLock;
use crate::max_tree::MaxTree;
use crate::next_fit::BlockSegment;
use crate::policy::Policy;
use crate::size::{Granules, Offset};
use crate::slab::{Front, NONE, Slab};
use crate::window::Gap;

/// An invariant of the heap that does not hold.
///
/// Only [`Overwritten`](Self::Overwritten) can come about from inside the region; every other one says that the
/// bookkeeping was written over, or that this crate is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The header at this address is not what the allocator wrote. [`Heap::repair`] puts it right.
    Overwritten {
        /// Address of the header.
        address: usize,
    },
    /// Starts and ends of blocks do not alternate here, or leave the segment, or are too close.
    Boundary {
        /// Address of the granule.
        address: usize,
    },
    /// A summary bit does not say what is below it.
    Summary,
    /// A maximum does not say what is below it.
    Maximum,
    /// The rover's free block or neighbours are not those that the map has.
    Rover {
        /// Address of the rover.
        address: usize,
    },
    /// A count of objects, bytes or free blocks is wrong.
    Count,
    /// A block lies where none was ever allocated.
    HighWater,
    /// A slot was returned that was never used.
    Returned,
    /// The call came while this thread was inside the heap.
    Reentered,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overwritten { address } => write!(f, "{address:#x}: header overwritten"),
            Self::Boundary { address } => write!(f, "{address:#x}: block boundaries do not alternate"),
            Self::Summary => f.write_str("a summary bit is wrong"),
            Self::Maximum => f.write_str("a maximum is wrong"),
            Self::Rover { address } => write!(f, "{address:#x}: the rover's free block is not the map's"),
            Self::Count => f.write_str("a count is wrong"),
            Self::HighWater => f.write_str("a block lies above the high-water mark"),
            Self::Returned => f.write_str("a slot was returned that was never used"),
            Self::Reentered => Reentered.fmt(f),
        }
    }
}

impl Error for Violation {}

impl From<Reentered> for Violation {
    fn from(_: Reentered) -> Self {
        Self::Reentered
    }
}

fn demand(holds: bool, otherwise: Violation) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(otherwise) }
}

impl BitTree<'_> {
    fn check(&self) -> Result<(), Violation> {
        for (below, above) in self.levels.iter().zip(self.levels.iter().skip(1)) {
            for (index, &word) in above.iter().enumerate() {
                for bit in 0..64u32 {
                    let under = index.wrapping_mul(64).wrapping_add(bit as usize);
                    let is_set = word.wrapping_shr(bit) & 1 != 0;
                    demand(is_set == below.get(under).is_some_and(|&word| word != 0), Violation::Summary)?;
                }
            }
        }
        Ok(())
    }
}

impl MaxTree<'_> {
    fn check(&self) -> Result<(), Violation> {
        for (below, above) in self.levels.iter().zip(self.levels.iter().skip(1)) {
            for (index, &number) in above.iter().flatten().enumerate() {
                let largest = below.get(index).and_then(|node| node.iter().max()).copied().unwrap_or(0);
                demand(number == largest, Violation::Maximum)?;
            }
        }
        Ok(())
    }
}

/// What a walk over the map has counted.
#[derive(Default)]
struct Census {
    gaps: u32,
    objects: u32,
    live: u32,
    last_end: u32,
}

impl BlockMap<'_> {
    /// Walks all bits in order. `fail` makes the violation for a place.
    fn census(&self, fail: impl Fn(Offset) -> Violation) -> Result<Census, Violation> {
        let mut census = Census::default();
        demand(self.chunks.first() == Some(&[0, 0]), fail(Offset::ZERO))?;
        let (mut gap_start, mut block_start) = (None, Some(Offset::ZERO));
        for (chunk, &[starts, ends]) in self.chunks.iter().skip(1).enumerate() {
            let mut left = starts | ends;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                let at = Offset::in_chunk(chunk, bit);
                let is_set = |word: u64| word.wrapping_shr(bit) & 1 != 0;
                if is_set(ends) {
                    let start = block_start.take().ok_or(fail(at))?;
                    if at > Offset::ZERO {
                        demand(start.up_to(at) >= Granules::MIN_BLOCK, fail(at))?;
                        census.objects = census.objects.wrapping_add(1);
                        census.live = census.live.wrapping_add(start.up_to(at).count());
                        census.last_end = at.index();
                    }
                    gap_start = Some(at);
                }
                if is_set(starts) {
                    let gap = Gap { start: gap_start.take().ok_or(fail(at))?, end: at };
                    demand(gap.size() != Granules::HEADER, fail(at))?;
                    census.gaps = census.gaps.wrapping_add(u32::from(gap.size() > Granules::NONE));
                    block_start = Some(at);
                }
            }
        }
        demand(block_start == Some(self.end()), fail(self.end()))?;
        Ok(census)
    }

    fn check_summaries(&self, rover: Offset) -> Result<(), Violation> {
        self.boundaries.check()?;
        self.gaps.check()?;
        self.maxima.check()?;
        // Behind the last chunk, what fills the last word or node must be empty.
        let chunks = self.chunks.len().next_multiple_of(64);
        for chunk in 0..chunks {
            let [starts, ends] = self.chunk(chunk);
            demand(self.boundaries.contains(chunk) == (starts | ends != 0), Violation::Summary)?;
            demand(self.gaps.contains(chunk) == (ends & !starts != 0), Violation::Summary)?;
        }
        for chunk in 0..chunks {
            demand(self.maxima.get(chunk) == self.largest_in(chunk, rover).count(), Violation::Maximum)?;
        }
        Ok(())
    }
}

impl BlockSegment<'_> {
    fn check(&self) -> Result<(), Violation> {
        if self.region.granules() == Granules::NONE {
            return Ok(());
        }
        let census = self.map.census(|at| Violation::Boundary { address: self.region.address(at) })?;
        self.map.check_summaries(self.rover.at)?;
        self.check_rover()?;
        let (objects, extent) = (self.counters.objects, &self.extent);
        let counts = [census.gaps, census.objects, census.live];
        demand(counts == [self.gaps, objects, extent.live], Violation::Count)?;
        demand(extent.peak >= extent.live && extent.peak_objects >= objects, Violation::Count)?;
        demand(census.last_end <= self.high_water.index(), Violation::HighWater)?;
        self.first_overwritten()
    }

    fn check_rover(&self) -> Result<(), Violation> {
        let rover = &self.rover;
        let gap = self.map.gap_at(rover.at);
        let neighbours = (self.map.previous_gap(rover.at), self.map.next_gap(rover.at));
        let holds = if rover.gap > Granules::NONE {
            self.map.gap_start(rover.at) == rover.at
                && gap.size() == rover.gap
                && neighbours == (rover.previous, rover.next)
        } else {
            rover.at == self.map.end() || self.map.is_start(rover.at)
        };
        demand(holds, Violation::Rover { address: self.region.address(rover.at) })
    }

    fn first_overwritten(&self) -> Result<(), Violation> {
        let mut at = Offset::ZERO;
        while let Some(found) = self.found(at) {
            demand(found.intact, Violation::Overwritten { address: found.block.address })?;
            at = found.next;
        }
        Ok(())
    }

    /// Writes every header that is not what the map says; answers how many.
    fn repair(&mut self) -> usize {
        let (mut at, mut repaired) = (Offset::ZERO, 0usize);
        while let Some(found) = self.found(at) {
            if !found.intact {
                self.rewrite(found.start, Granules::within(found.block.size));
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
            self.region.write_free(start, size.minus(Granules::HEADER), self.map.next_gap(start));
        }
    }
}

impl Slab<'_> {
    fn check(&self) -> Result<(), Violation> {
        self.returned.check()?;
        let Front { word, bits } = self.front;
        demand((bits == 0) == (word == NONE), Violation::Returned)?;
        let first = self.returned.next(0).map_or(usize::MAX, |slot| slot / 64);
        demand((word as usize) < first || self.returned.next(0).is_none(), Violation::Returned)?;
        demand(bits == 0 || self.front.slot(bit_tree::highest(bits)) < self.used, Violation::Returned)?;
        let mut returned = bits.count_ones();
        let mut bit = 0usize;
        while let Some(slot) = self.returned.next(bit) {
            demand(slot < self.used as usize, Violation::Returned)?;
            returned = returned.wrapping_add(1);
            bit = slot.wrapping_add(1);
        }
        let live = self.used.wrapping_sub(returned);
        demand(self.used <= self.slots && self.counters.objects == live, Violation::Count)?;
        let mut at = Offset::ZERO;
        while let Some(found) = self.found(at) {
            demand(found.intact, Violation::Overwritten { address: found.block.address })?;
            at = found.next;
        }
        Ok(())
    }

    /// Writes every header of a returned slot that is not what the tree says; answers how many.
    fn repair(&mut self) -> usize {
        let (mut at, mut repaired) = (Offset::ZERO, 0usize);
        while let Some(found) = self.found(at) {
            if !found.intact {
                let next = self.next_free(self.index(at));
                self.region.write_free(at, self.stride, next);
                repaired = repaired.wrapping_add(1);
            }
            at = found.next;
        }
        repaired
    }
}

impl<L: RawLock, P: Policy> Heap<'_, L, P> {
    /// Whether every invariant holds. Linear in the region's size, with one lock held after the other.
    ///
    /// # Errors
    /// The first violation found.
    pub fn check(&self) -> Result<(), Violation> {
        self.with_slab(|slab| slab.check())??;
        self.with_next_fit(|next_fit| next_fit.check())?
    }

    /// Rewrites every header in the heap that was overwritten, from the map, and answers how many there were. Linear in
    /// slots and blocks, with one lock held after the other.
    ///
    /// # Errors
    /// [`Reentered`] if this thread is in the heap.
    pub fn repair(&self) -> Result<usize, Reentered> {
        let slots = self.with_slab(Slab::repair)?;
        let blocks = self.with_next_fit(BlockSegment::repair)?;
        Ok(slots.wrapping_add(blocks))
    }
}
