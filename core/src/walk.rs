//! Walks over the heap: every slot and every block, as the map has them. No lock is held between two steps.

use crate::blocks::Blocks;
use crate::classes::{InRun, MayHave};
use crate::layout::Segment;
use crate::lock::RawLock;
use crate::policy::{NextFit, Policy};
use crate::segments::Heap;
use crate::slab::Slab;
use crate::units::{Granules, Offset};

/// Whether a slot or block is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Allocated.
    Used,
    /// Free, or never used.
    Free,
}

/// Whether there is a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A slot of the slab or of a run: no header while it is in use.
    Slot,
    /// A block, free or not, that starts with a header.
    Block,
}

/// A slot, or a block with its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Address of its first byte: a slot's payload, a block's header.
    pub address: usize,
    /// Its bytes, the header included.
    pub size: usize,
    /// Whether it is in use.
    pub state: State,
    /// The segment it lies in. Runs of slots lie in the block segment.
    pub segment: Segment,
    /// Whether it is a slot or a block.
    pub kind: Kind,
}

/// A block on the way, and whether the header that lies in it is as it was written.
pub(crate) struct Found {
    pub(crate) block: Block,
    pub(crate) intact: bool,
    pub(crate) start: Offset,
    /// Where the next one starts.
    pub(crate) next: Offset,
}

/// Iterator over every slot and block of a heap in address order; see [`Heap::blocks`].
#[derive(Debug)]
pub struct Walk<'h, 'a, L: RawLock, P: Policy = NextFit> {
    heap: &'h Heap<'a, L, P>,
    segment: Segment,
    /// Whether the walk ends with this segment.
    only: bool,
    at: Offset,
}

/// Iterator over the overwritten headers of a heap; see [`Heap::overwritten`].
#[derive(Debug)]
pub struct Overwritten<'h, 'a, L: RawLock, P: Policy = NextFit> {
    walk: Walk<'h, 'a, L, P>,
}

impl<P: Policy> Slab<'_, P> {
    /// Returns the slot that starts at `at`.
    pub(crate) fn found(&self, at: Offset) -> Option<Found> {
        let slot = self.slot_at(at);
        if slot >= self.slots {
            return None;
        }
        let returned = slot < self.used && self.is_returned(slot);
        let state = if slot < self.used && !returned { State::Used } else { State::Free };
        let intact = !returned || self.is_intact(at, slot);
        let (address, size) = (self.region.address(at), self.stride().bytes());
        let block = Block { address, size, state, segment: Segment::Slab, kind: Kind::Slot };
        Some(Found { block, intact, start: at, next: at.plus(self.stride()) })
    }
}

impl<P: Policy> Blocks<'_, P> {
    /// Returns what the `next` of the gap at `start` is: the next gap under a policy that keeps the list.
    pub(crate) fn link_of(&self, start: Offset) -> Offset {
        if P::ROVES { self.next_gap(start) } else { Offset::NIL }
    }

    /// Returns the block, free or not, that starts at `at`, or the next one if others have come to lie over it.
    pub(crate) fn found(&self, at: Offset) -> Option<Found> {
        let mut at = at;
        while let Some(found) = self.classes.get().and_then(|classes| classes.find(at)) {
            let (run, slot) = self.first_slot(found)?;
            if slot.is_some() {
                return slot;
            }
            // After the last slot. A destroyed map may say anything; the walk goes forward all the same.
            at = self.map.block_end(run).max(at.plus(Granules::HEADER));
        }
        let start = self.boundary_from(at);
        if start >= self.map.end() {
            return None;
        }
        let state = if self.map.is_start(start) { State::Used } else { State::Free };
        let (end, intact) = match state {
            State::Used => {
                let end = self.map.block_end(start);
                (end, self.region.allocated_is_intact(start, start.up_to(end)))
            }
            State::Free => {
                let end = self.map.gap_end(start);
                let length = start.up_to(end).minus(Granules::HEADER);
                (end, self.region.free_is_intact(start, length, self.link_of(start)))
            }
        };
        // A destroyed map may say anything; the walk goes forward all the same.
        let next = end.max(start.plus(Granules::HEADER));
        let (address, size) = (self.region.address(start), start.up_to(end).bytes());
        let state = if self.is_freed(start.plus(Granules::HEADER)) { State::Free } else { state };
        let block = Block { address, size, state, segment: Segment::Blocks, kind: Kind::Block };
        Some(Found { block, intact, start, next })
    }

    /// Returns where a run starts, and the first of its slots from `found` on.
    fn first_slot(&self, found: InRun) -> Option<(Offset, Option<Found>)> {
        let classes = self.classes.get()?;
        let run = classes.start(found.run);
        let found = found.or_next();
        let slot = classes.place(&found).map(|(start, stride)| {
            let is_used = classes.is_live(&found) && !self.is_freed(start);
            let state = if is_used { State::Used } else { State::Free };
            let (address, size) = (self.region.address(start), stride.bytes());
            let block = Block { address, size, state, segment: Segment::Blocks, kind: Kind::Slot };
            Found { block, intact: true, start, next: start.plus(stride) }
        });
        Some((run, slot))
    }

    /// Returns the first place from `at` on where a block, free or not, starts.
    fn boundary_from(&self, at: Offset) -> Offset {
        if self.map.is_start(at) || self.map.gap_start(at) == at {
            at
        } else if self.map.is_allocated(at) {
            self.map.block_end(at)
        } else {
            self.map.gap_end(at)
        }
    }
}

impl<L: RawLock, P: Policy> Walk<'_, '_, L, P> {
    fn step(&mut self) -> Option<Found> {
        if self.segment == Segment::Slab {
            let found = self.heap.lock_slab().ok()?.found(self.at);
            if let Some(found) = found {
                self.at = found.next;
                return Some(found);
            }
            if self.only {
                return None;
            }
            self.segment = Segment::Blocks;
            self.at = Offset::ZERO;
        }
        let found = self.heap.lock_blocks().ok()?.found(self.at)?;
        self.at = found.next;
        Some(found)
    }
}

impl<L: RawLock, P: Policy> Iterator for Walk<'_, '_, L, P> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        self.step().map(|found| found.block)
    }
}

impl<L: RawLock, P: Policy> Iterator for Overwritten<'_, '_, L, P> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            let found = self.walk.step()?;
            if !found.intact {
                return Some(found.block.address);
            }
        }
    }
}

impl<'a, L: RawLock, P: Policy> Heap<'a, L, P> {
    /// Walks over every slot and every block in address order, the slab's first.
    ///
    /// The lock is taken for each step and not held between them, so that the caller may do anything meanwhile; where
    /// other threads do, the walk shows each block as it was when the walk came by. It ends early if this thread is in
    /// the heap. Complexity: O(log) a step.
    pub fn blocks(&self) -> Walk<'_, 'a, L, P> {
        Walk { heap: self, segment: Segment::Slab, only: false, at: Offset::ZERO }
    }

    /// Walks over one segment alone: otherwise as [`blocks`](Self::blocks).
    pub fn blocks_in(&self, segment: Segment) -> Walk<'_, 'a, L, P> {
        Walk { heap: self, segment, only: true, at: Offset::ZERO }
    }

    /// Walks over the addresses of all overwritten headers, of live and of free blocks, as [`blocks`](Self::blocks) does.
    /// [`repair`](Self::repair) rewrites them.
    pub fn overwritten(&self) -> Overwritten<'_, 'a, L, P> {
        Overwritten { walk: self.blocks() }
    }
}
