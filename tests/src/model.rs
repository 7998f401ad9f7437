//! The reference model: what a heap must answer, written as plainly as it can be.
//!
//! A heap is two lists of blocks in address order: the slots of the slab segment, and the blocks that tile the
//! next-fit segment. An operation looks through a list from one end to the other and replaces the blocks it changes;
//! nothing is remembered that a look at the lists can tell, so that the whole can be read beside section 3 of the
//! contract and seen to be the same. It owns no memory: an address is a number, and what must stand in memory there
//! is told by [`Model::headers`].

use std::collections::BTreeSet;
use std::mem;
use std::ops::Range;

use slabfit::Segment::{self, NextFit, Slab};
use slabfit::State::{self, Free, Used};
use slabfit::{AllocError, Block, Config, Reason, GRANULE, MAGIC, Placement, ReallocError};
use slabfit::{SegmentStats, Stats, InvalidFree};

/// What a heap of one base address, size and configuration must look like.
#[derive(Clone, Debug)]
pub struct Model {
    config: Config,
    /// Its blocks are all the slots. They need not reach the segment's end.
    slab: Part,
    /// Its blocks tile the segment, and no two free ones are neighbours.
    next_fit: Part,
    /// Where the next search begins: the start of a block, or the segment's end.
    rover: usize,
    /// Live blocks whose header somebody overwrote: the test tells.
    pub overwritten: BTreeSet<usize>,
    spilled: u64,
    refused_outside: u64,
}

/// One segment.
#[derive(Clone, Debug)]
struct Part {
    bytes: Range<usize>,
    /// Its slots or blocks, in address order.
    blocks: Vec<Block>,
    /// The end of the highest of them that was ever allocated: nothing has reached the memory behind it.
    reached: usize,
    /// Counters and peaks. The other figures are counted from the list when somebody asks.
    counted: SegmentStats,
}

/// What a header in the heap's memory must hold: an `int` at offset 0 and a pointer at offset 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where it stands: the start of a block, or of a free slot that was handed out before.
    pub address: usize,
    /// Bytes of the payload (or of the slot), or `i32::MAX` when they are more than that.
    pub length: i32,
    /// [`MAGIC`] if the block is live, else the address of the next free block or slot, or 0.
    pub link: usize,
    /// Whether it belongs to a live block.
    pub live: bool,
}

impl Model {
    /// A heap of `size` bytes at `base` from which nothing was ever allocated.
    pub fn new(base: usize, size: usize, config: Config) -> Self {
        let (start, end) = (base + size / 4 / GRANULE * GRANULE, base + size);
        let slot_bytes = round_up(config.slab_size);
        let slots = (0..(start - base) / slot_bytes).map(|index| base + index * slot_bytes);
        let slots = slots.map(|slot| block(Slab, Free, slot..slot + slot_bytes));
        Self {
            config,
            slab: Part::new(base..start, slots.collect()),
            next_fit: Part::new(start..end, vec![block(NextFit, Free, start..end)]),
            rover: start,
            overwritten: BTreeSet::new(),
            spilled: 0,
            refused_outside: 0,
        }
    }

    /// Serves a request with the address of its first byte.
    ///
    /// # Errors
    /// `Full` or `Fragmented`; nothing has changed then but the count of failures.
    pub fn alloc(&mut self, size: usize, align: usize) -> Result<usize, AllocError> {
        if size != self.config.slab_size || align > GRANULE {
            return self.alloc_block(size, align);
        }
        if let Some(slot) = self.alloc_slot() {
            return Ok(slot);
        }
        let address = self.alloc_block(size, align)?;
        self.spilled += 1;
        Ok(address)
    }

    /// Takes back the object that begins at `address`.
    ///
    /// # Errors
    /// What is wrong with the address, if no object begins there or its header was overwritten.
    pub fn free(&mut self, address: usize) -> Result<(), InvalidFree> {
        let object = self.find_or_refuse(address)?;
        self.release(object);
        Ok(())
    }

    /// Resizes the object `at` an address, in place if it can be, and tells where it is then.
    ///
    /// # Errors
    /// What is wrong with the address, or why there is no memory. The object is as it was.
    pub fn realloc(&mut self, at: usize, size: usize, align: usize) -> Result<usize, ReallocError> {
        let object = self.find_or_refuse(at)?;
        if at % align == 0 && self.resize(object, size) {
            return Ok(at);
        }
        let moved = self.alloc(size, align)?;
        self.release(object);
        Ok(moved)
    }

    /// How many bytes may be written at `address`.
    ///
    /// # Errors
    /// What is wrong with the address. An overwritten header is not looked at, and nothing is counted.
    pub fn usable_size(&self, address: usize) -> Result<usize, Reason> {
        self.find(address).map(|object| range(object).end - address)
    }

    /// Whether the address lies in one of the segments.
    pub fn owns(&self, address: usize) -> bool {
        (self.slab.bytes.start..self.next_fit.bytes.end).contains(&address)
    }

    /// Where the next search begins.
    pub fn rover(&self) -> usize {
        self.rover
    }

    /// Every slot and then every block, in address order.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        self.slab.blocks.iter().chain(&self.next_fit.blocks).copied()
    }

    /// What must stand in memory, in address order: at the start of every block, and of every free slot that was
    /// handed out before.
    pub fn headers(&self) -> Vec<Header> {
        let mut headers = self.slab.headers(0);
        headers.retain(|header| !header.live && header.address < self.slab.reached);
        headers.extend(self.next_fit.headers(GRANULE));
        headers
    }

    /// The figures of both segments.
    pub fn stats(&self) -> Stats {
        Stats {
            slab: self.slab.stats(),
            next_fit: self.next_fit.stats(),
            spilled: self.spilled,
            refused_outside: self.refused_outside,
        }
    }

    /// The lowest free slot.
    fn alloc_slot(&mut self) -> Option<usize> {
        let index = self.slab.blocks.iter().position(is_free)?;
        let slot = block(Slab, Used, range(self.slab.blocks[index]));
        self.slab.replace(index..index + 1, &[slot]);
        self.slab.counted.allocs += 1;
        Some(slot.address)
    }

    /// The first free block that can hold the request, carved from its front.
    fn alloc_block(&mut self, size: usize, align: usize) -> Result<usize, AllocError> {
        let need = bytes_needed(size);
        let Some((index, start)) = self.first_fitting(need, align) else {
            return Err(self.fail(need));
        };
        let old = range(self.next_fit.blocks[index]);
        let end = end_of_taken(start + need, old.end);
        let gap = block(NextFit, Free, old.start..start);
        let taken = block(NextFit, Used, start..end);
        let rest = block(NextFit, Free, end..old.end);
        self.next_fit.replace(index..index + 1, &[gap, taken, rest]);
        self.next_fit.counted.allocs += 1;
        self.rover = end;
        Ok(start + GRANULE)
    }

    /// The free block that serves a request of `need` bytes in all: its index, and where in it the header will stand.
    fn first_fitting(&self, need: usize, align: usize) -> Option<(usize, usize)> {
        let blocks = &self.next_fit.blocks;
        let first = match self.config.placement {
            Placement::FirstFit => 0,
            Placement::NextFit => blocks.partition_point(|block| block.address < self.rover),
        };
        (first..blocks.len()).chain(0..first).find_map(|index| Some((index, start_within(blocks[index], need, align)?)))
    }

    /// The count and the name of a failure.
    fn fail(&mut self, need: usize) -> AllocError {
        if self.next_fit.stats().free_bytes >= need {
            self.next_fit.counted.failed_fragmented += 1;
            AllocError::Fragmented
        } else {
            self.next_fit.counted.failed_full += 1;
            AllocError::Full
        }
    }

    /// The slot or block whose payload begins at `address`, or what is wrong with the address.
    fn find(&self, address: usize) -> Result<Block, Reason> {
        if !self.owns(address) {
            return Err(Reason::OutsideHeap);
        }
        if address % GRANULE != 0 {
            return Err(Reason::Misaligned);
        }
        let (part, header_bytes) = match self.slab.bytes.contains(&address) {
            true => (&self.slab, 0),
            false => (&self.next_fit, GRANULE),
        };
        let mut blocks = part.blocks.iter().copied();
        let Some(block) = blocks.find(|&block| range(block).contains(&address)) else {
            return Err(Reason::NotAStart); // Behind the last slot.
        };
        if block.state == Free && address >= part.reached {
            Err(Reason::NeverAllocated)
        } else if block.state == Free {
            Err(Reason::DoubleFree)
        } else if address != block.address + header_bytes {
            Err(Reason::NotAStart)
        } else {
            Ok(block)
        }
    }

    /// [`Model::find`] for an operation that gives the object up: its header must be as it was, and a wrong address is
    /// counted as a refused free.
    fn find_or_refuse(&mut self, address: usize) -> Result<Block, InvalidFree> {
        let reason = match self.find(address) {
            Ok(object) if !self.overwritten.contains(&object.address) => return Ok(object),
            Ok(_) => Reason::HeaderOverwritten,
            Err(reason) => reason,
        };
        if reason == Reason::OutsideHeap {
            self.refused_outside += 1;
        } else if self.slab.bytes.contains(&address) {
            self.slab.counted.refused_frees += 1;
        } else {
            self.next_fit.counted.refused_frees += 1;
            self.next_fit.counted.corruptions += u64::from(reason == Reason::HeaderOverwritten);
        }
        Err(InvalidFree { address, reason })
    }

    fn release(&mut self, object: Block) {
        if object.segment == Slab {
            let (index, slot) = (self.slab.index_of(object), block(Slab, Free, range(object)));
            self.slab.replace(index..index + 1, &[slot]);
            self.slab.counted.frees += 1;
        } else {
            self.merge(object);
            self.next_fit.counted.frees += 1;
        }
    }

    /// Makes one free block of the block and of the free ones on both sides.
    fn merge(&mut self, object: Block) {
        let index = self.next_fit.index_of(object);
        let first = index - usize::from(index > 0 && is_free(&self.next_fit.blocks[index - 1]));
        let last = index + usize::from(self.next_fit.blocks.get(index + 1).is_some_and(is_free));
        let start = self.next_fit.blocks[first].address;
        let merged = block(NextFit, Free, start..range(self.next_fit.blocks[last]).end);
        self.next_fit.replace(first..last + 1, &[merged]);
        if range(merged).contains(&self.rover) {
            self.rover = start;
        }
    }

    /// Resizes the object where it is, if it can be. A block that must grow takes what it lacks from the free block
    /// behind it, and what it does not need is freed.
    fn resize(&mut self, object: Block, size: usize) -> bool {
        if object.segment == Slab {
            return size <= object.size;
        }
        let (old, need) = (range(object), bytes_needed(size));
        let index = self.next_fit.index_of(object);
        let behind = self.next_fit.blocks.get(index + 1);
        let consumed = behind.filter(|block| is_free(block) && need > object.size);
        let room = old.start..consumed.map_or(old.end, |&block| range(block).end);
        if need > room.len() {
            return false;
        }
        let end = end_of_taken(old.start + need, room.end);
        let kept = block(NextFit, Used, old.start..end);
        let rest = block(NextFit, Free, end..room.end);
        let last = index + usize::from(consumed.is_some());
        self.next_fit.replace(index..last + 1, &[kept, rest]);
        if rest.size > 0 {
            self.merge(rest);
        }
        if (old.end..end).contains(&self.rover) {
            self.rover = end;
        }
        true
    }
}

impl Part {
    fn new(bytes: Range<usize>, blocks: Vec<Block>) -> Self {
        let (reached, counted) = (bytes.start, SegmentStats::default());
        Self { bytes, blocks, reached, counted }
    }

    fn index_of(&self, block: Block) -> usize {
        self.blocks.partition_point(|other| other.address < block.address)
    }

    /// Puts `new` in the place of the blocks at `indices`, without those that are empty.
    fn replace(&mut self, indices: Range<usize>, new: &[Block]) {
        let new = new.iter().copied().filter(|block| block.size > 0);
        self.blocks.splice(indices, new.clone());
        let live = new.filter(|block| !is_free(block));
        let ends = live.map(|block| range(block).end);
        self.reached = ends.fold(self.reached, usize::max);
        let now = self.stats();
        self.counted.peak_bytes = now.peak_bytes.max(now.live_bytes);
        self.counted.peak_objects = now.peak_objects.max(now.live_objects);
    }

    fn headers(&self, header_bytes: usize) -> Vec<Header> {
        let mut next = 0;
        let mut headers: Vec<Header> = (self.blocks.iter().rev())
            .map(|block| Header {
                address: block.address,
                length: i32::try_from(block.size - header_bytes).unwrap_or(i32::MAX),
                live: !is_free(block),
                link: match block.state {
                    Used => MAGIC,
                    Free => mem::replace(&mut next, block.address),
                },
            })
            .collect();
        headers.reverse();
        headers
    }

    fn stats(&self) -> SegmentStats {
        let mut now = self.counted;
        now.size = self.bytes.len();
        for block in &self.blocks {
            if is_free(block) {
                now.free_blocks += 1;
                now.free_bytes += block.size;
                now.largest_free = now.largest_free.max(block.size);
            } else {
                now.live_objects += 1;
                now.live_bytes += block.size;
            }
        }
        now
    }
}

/// `size` rounded up to whole granules.
fn round_up(size: usize) -> usize {
    size.checked_next_multiple_of(GRANULE).unwrap_or(usize::MAX)
}

/// Bytes of the block that a request takes, its header included.
fn bytes_needed(size: usize) -> usize {
    round_up(size.max(GRANULE)).saturating_add(GRANULE)
}

/// Where a block that needs the bytes up to `needed` ends, in memory that is free up to `free`: a remainder of one
/// granule could not be a block of its own, so it stays with the allocation.
fn end_of_taken(needed: usize, free: usize) -> usize {
    if free - needed == GRANULE { free } else { needed }
}

/// Where the header of a block of `need` bytes would stand in `block`, if that is free and can hold it: as low as the
/// payload's alignment allows, and either at the very start or behind a gap that is a free block of its own.
fn start_within(block: Block, need: usize, align: usize) -> Option<usize> {
    let mut payload = (block.address + GRANULE).checked_next_multiple_of(align.max(GRANULE))?;
    if payload - GRANULE - block.address == GRANULE {
        payload = payload.checked_add(align)?;
    }
    let start = payload - GRANULE;
    let room = range(block).end.checked_sub(start)?;
    (is_free(&block) && need <= room).then_some(start)
}

fn block(segment: Segment, state: State, bytes: Range<usize>) -> Block {
    let (address, size) = (bytes.start, bytes.len());
    Block { address, size, state, segment }
}

fn is_free(block: &Block) -> bool {
    block.state == Free
}

fn range(block: Block) -> Range<usize> {
    block.address..block.address + block.size
}
