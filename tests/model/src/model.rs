//! The reference model: what a heap must answer, written as plainly as it can be.
//!
//! A heap is two lists in address order: the slots of the slab segment, and the blocks that tile the block segment. An
//! operation looks through a list from one end to the other and replaces what it changes; nothing is remembered that a
//! look at the lists can tell, so that the whole can be read beside section 3 of the contract and seen to be the same.
//! It owns no memory: an address is a number, and what must stand in memory there is told by [`Model::headers`].
//!
//! The size classes of policy `General`, a third list, are in a file of their own, and so are the caches that own some of its runs.

use std::collections::BTreeSet;
use std::ops::Range;
use std::{mem, slice};

use slabfit::Segment::{self, Blocks, Slab};
use slabfit::State::{self, Free, Used};
use slabfit::{
    AllocError, Block, Config, ExtendError, GRANULE, InvalidFree, Kind, MAGIC, ReallocError, Reason, SegmentStats,
    Stats,
};

use self::caches::Cache;
use self::classes::Classes;

mod caches;
mod classes;

/// How many gaps that are large enough are tried for an aligned payload.
const CANDIDATES: usize = 16;
/// The most caches that a heap can have.
const MOST_CACHES: usize = 4_095;
/// The slab segment leaves so many granules to the block segment.
const MIN_BLOCKS: usize = 3;

/// Where the search for a gap begins: the heap's policy, as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// At the rover, and around once. The free headers form lists.
    NextFit,
    /// At the segment's first byte. There is no rover, and the free headers link to nothing.
    FirstFit,
    /// In the magazine of the request's size class, and for all that no class serves as under first fit.
    General,
}

impl Placement {
    /// Its word in settings, traces and reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NextFit => "next",
            Self::FirstFit => "first",
            Self::General => "general",
        }
    }
}

/// Who is asked: the heap, or one of its caches, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The heap's own functions.
    Heap,
    /// Those of an attached cache.
    Cache(usize),
}

/// What a heap of one base address, size and configuration must look like.
#[derive(Clone, Debug)]
pub struct Model {
    /// Bytes of the requests that go to the slab; none do where it is 0.
    slab_size: usize,
    placement: Placement,
    /// Bytes of a granule, which are those of a header too.
    granule: usize,
    /// The slots. They need not reach the segment's end.
    slab: Part,
    /// The blocks. They tile the segment, and no two free ones are neighbours. A run is one of them.
    blocks: Part,
    /// What the runs hold; nothing but under policy `General`.
    classes: Classes,
    /// Those that can be attached, by number.
    caches: Vec<Cache>,
    /// Where the next search begins under next fit: the start of a block, or the segment's end.
    rover: usize,
    /// Live blocks whose header somebody overwrote: the test tells.
    pub overwritten: BTreeSet<usize>,
    spilled: u64,
    refused_outside: u64,
    /// Whether an object that was to shrink and could not move ever kept a slot that is larger than its class's.
    kept_slot: bool,
    /// Bytes that the block segment can be extended by.
    reserve: usize,
}

/// One segment.
#[derive(Clone, Debug)]
struct Part {
    bytes: Range<usize>,
    /// Its slots or blocks, in address order.
    units: Vec<Block>,
    /// The end of the highest of them that was ever allocated: nothing has reached the memory behind it.
    reached: usize,
    /// Counters and peaks. The other figures are counted from the list when somebody asks.
    counted: SegmentStats,
}

/// What a header in the heap's memory must hold: an `int` and a pointer, as the C structs have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where it stands: the start of a block, or of a free slot that was handed out before.
    pub address: usize,
    /// Bytes of the payload (or of the slot), or `i32::MAX` when they are more than that.
    pub length: i32,
    /// [`MAGIC`] if the block is live, else the address of the next free block or slot under next fit, or 0.
    pub link: usize,
    /// Whether it belongs to a live block.
    pub live: bool,
}

impl Model {
    /// A heap of `size` bytes at `base` from which nothing was ever allocated.
    pub fn new(base: usize, size: usize, config: Config, placement: Placement) -> Self {
        Self::with_granule(GRANULE, base, size, config, placement)
    }

    /// [`Model::new`] for a target whose granule has another size than this one's.
    pub fn with_granule(granule: usize, base: usize, size: usize, config: Config, placement: Placement) -> Self {
        let slab_bytes = config.slab_bytes.unwrap_or(size / 4).min(size - MIN_BLOCKS * granule) / granule * granule;
        let (start, end) = (base + slab_bytes, base + size);
        let reserve = config.reserve / granule * granule;
        let slot_bytes = round_up(config.slab_size.max(1), granule);
        let slots = (0..slab_bytes / slot_bytes).map(|index| base + index * slot_bytes);
        let slots = slots.map(|at| slot(Slab, Free, at..at + slot_bytes));
        let classes =
            if placement == Placement::General { Classes::of(end - start + reserve) } else { Classes::default() };
        let caches = vec![Cache::of(&classes); if classes.exist() { config.caches.min(MOST_CACHES) } else { 0 }];
        Self {
            slab_size: config.slab_size,
            placement,
            granule,
            slab: Part::new(base..start, slots.collect()),
            blocks: Part::new(start..end, vec![block(Free, start..end)]),
            classes,
            caches,
            rover: start,
            overwritten: BTreeSet::new(),
            spilled: 0,
            refused_outside: 0,
            kept_slot: false,
            reserve,
        }
    }

    /// Serves a request with the address of its first byte.
    ///
    /// # Errors
    /// `Full` or `Fragmented`; nothing has changed then but the count of failures, and all magazines are empty.
    pub fn alloc(&mut self, size: usize, align: usize) -> Result<usize, AllocError> {
        if self.slab_size == 0 || size != self.slab_size || align > self.granule {
            return self.alloc_beside_slab(size, align);
        }
        if let Some(slot) = self.alloc_slot() {
            return Ok(slot);
        }
        let address = self.alloc_beside_slab(size, align)?;
        self.spilled += 1;
        Ok(address)
    }

    /// Takes back the object that begins at `address`.
    ///
    /// # Errors
    /// What is wrong with the address, if no object begins there or its header was overwritten.
    pub fn free(&mut self, address: usize) -> Result<(), InvalidFree> {
        self.free_by(By::Heap, address)
    }

    /// [`Model::free`] as the one who is asked does it.
    ///
    /// # Errors
    /// As [`Model::free`].
    pub fn free_by(&mut self, by: By, address: usize) -> Result<(), InvalidFree> {
        let object = self.find_or_refuse(address)?;
        self.release(by, object);
        Ok(())
    }

    /// Takes back the object that begins at `address`, if it could have been handed out for such a request.
    ///
    /// # Errors
    /// As [`Model::free`], and `SizeMismatch`.
    pub fn free_sized_by(&mut self, by: By, address: usize, size: usize, align: usize) -> Result<(), InvalidFree> {
        self.require(address, size, align)?;
        self.free_by(by, address)
    }

    /// Resizes the object `at` an address, in place if it can be, and tells where it is then.
    ///
    /// # Errors
    /// What is wrong with the address, or why there is no memory. The object is as it was.
    pub fn realloc(&mut self, at: usize, size: usize, align: usize) -> Result<usize, ReallocError> {
        self.realloc_by(By::Heap, at, size, align)
    }

    /// [`Model::realloc`] as the one who is asked does it: a cache asks the heap to, unless the object lies in a cache's run.
    ///
    /// # Errors
    /// As [`Model::realloc`].
    pub fn realloc_by(&mut self, by: By, at: usize, size: usize, align: usize) -> Result<usize, ReallocError> {
        let object = self.find_or_refuse(at)?;
        let by = if self.classes.owner_of(at).is_some() { by } else { By::Heap };
        let stays = at % align == 0;
        let moved = match (object.segment, object.kind) {
            (Blocks, Kind::Slot) if stays && self.class_of(size, align) == self.class_of(object.size, 1) => {
                return Ok(at);
            }
            (Blocks, Kind::Slot) => match self.alloc_by(by, size, align) {
                Err(_) if stays && size <= object.size => {
                    self.kept_slot = true;
                    return Ok(at);
                }
                moved => moved?,
            },
            (Blocks, Kind::Block) => match self.alloc_in_class(size, align) {
                Some(slot) => slot,
                None if stays && self.resize(object, size) => return Ok(at),
                None => self.alloc(size, align)?,
            },
            (Slab, _) if stays && size <= object.size => return Ok(at),
            (Slab, _) => self.alloc(size, align)?,
        };
        self.release(by, object);
        Ok(moved)
    }

    /// Resizes the object `at` an address, if it could have been handed out for a request of `old_size` bytes.
    ///
    /// # Errors
    /// As [`Model::realloc`], and `SizeMismatch`.
    pub fn realloc_sized_by(
        &mut self,
        by: By,
        at: usize,
        old_size: usize,
        size: usize,
        align: usize,
    ) -> Result<usize, ReallocError> {
        self.require(at, old_size, 1)?;
        self.realloc_by(by, at, size, align)
    }

    /// Adds whole granules of so many bytes to the end of the block segment, as a free block.
    ///
    /// # Errors
    /// What is wrong with the number.
    pub fn extend(&mut self, bytes: usize) -> Result<(), ExtendError> {
        let added = bytes / self.granule * self.granule;
        if added < 2 * self.granule {
            return Err(ExtendError::TooSmall { size: bytes, minimum: 2 * self.granule });
        }
        if added > self.reserve {
            return Err(ExtendError::BeyondReserve { size: bytes, reserve: self.reserve });
        }
        self.reserve -= added;
        let end = self.blocks.bytes.end;
        self.blocks.bytes.end += added;
        let new = block(Free, end..end + added);
        self.blocks.units.push(new);
        self.merge(new);
        Ok(())
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
        (self.slab.bytes.start..self.blocks.bytes.end).contains(&address)
    }

    /// Where the next search begins; `None` under a policy without a rover.
    pub fn rover(&self) -> Option<usize> {
        (self.placement == Placement::NextFit).then_some(self.rover)
    }

    /// Every slot of the slab and then every block, in address order; its slots in the place of a run.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        let blocks = self.blocks.units.iter().flat_map(|unit| self.slots_of_run(unit).unwrap_or(slice::from_ref(unit)));
        self.slab.units.iter().chain(blocks).copied()
    }

    /// What must stand in memory, in address order: at the start of every block, and of every free slot of the slab that was
    /// handed out before. Nothing must in a run.
    pub fn headers(&self) -> Vec<Header> {
        let linked = self.placement == Placement::NextFit;
        let mut headers = self.slab.headers(0, linked);
        headers.retain(|header| !header.live && header.address < self.slab.reached);
        headers.extend(self.blocks.headers(self.granule, linked));
        headers.retain(|header| !self.classes.is_run(header.address));
        headers
    }

    /// The figures of both segments.
    pub fn stats(&self) -> Stats {
        Stats {
            quarantine: Default::default(),
            slab: self.slab.stats(),
            blocks: self.blocks.stats(),
            classes: self.classes.stats(),
            caches: self.cache_stats(),
            spilled: self.spilled,
            refused_outside: self.refused_outside,
        }
    }

    /// The lowest free slot.
    fn alloc_slot(&mut self) -> Option<usize> {
        let index = self.slab.units.iter().position(is_free)?;
        let taken = slot(Slab, Used, range(self.slab.units[index]));
        self.slab.replace(index..index + 1, &[taken]);
        self.slab.counted.allocs += 1;
        Some(taken.address)
    }

    /// A slot of the request's size class, or a block.
    fn alloc_beside_slab(&mut self, size: usize, align: usize) -> Result<usize, AllocError> {
        if let Some(slot) = self.alloc_in_class(size, align) {
            return Ok(slot);
        }
        let address = self.alloc_block(size, align)?;
        self.spilled += u64::from(self.class_of(size, align).is_some());
        Ok(address)
    }

    /// A block. If there is none, all magazines are given back first, and it is tried once more.
    fn alloc_block(&mut self, size: usize, align: usize) -> Result<usize, AllocError> {
        let need = self.bytes_needed(size);
        let mut start = self.take(need, align, self.granule);
        if start.is_none() {
            self.empty_magazines();
            start = self.take(need, align, self.granule);
        }
        start.map(|start| start + self.granule).ok_or_else(|| self.fail(need))
    }

    /// Takes `need` bytes out of a gap, as low in it as the alignment of what lies `header` bytes behind their start allows.
    fn take(&mut self, need: usize, align: usize, header: usize) -> Option<usize> {
        let (index, start) = self.find_gap(need, align, header)?;
        let old = range(self.blocks.units[index]);
        let end = self.end_of_taken(start + need, old.end);
        let (gap, taken, rest) = (block(Free, old.start..start), block(Used, start..end), block(Free, end..old.end));
        self.blocks.replace(index..index + 1, &[gap, taken, rest]);
        self.blocks.counted.allocs += 1;
        self.rover = end;
        Some(start)
    }

    /// The gap that serves a request of `need` bytes in all: its index, and where in it they will start.
    ///
    /// It is the first one of `need` bytes that holds an aligned payload, if that is among the first sixteen of `need`
    /// bytes, or else the first one of so many bytes that it holds one wherever it begins.
    fn find_gap(&self, need: usize, align: usize, header: usize) -> Option<(usize, usize)> {
        let always = need.saturating_add(align).saturating_add(2 * self.granule);
        let aligned = |index: usize| Some((index, self.start_within(self.blocks.units[index], need, align, header)?));
        let mut candidates = self.gaps_of(need).take(CANDIDATES);
        candidates.find_map(aligned).or_else(|| self.gaps_of(always).find_map(aligned))
    }

    /// The indices of the gaps of at least `bytes`, in the policy's order.
    fn gaps_of(&self, bytes: usize) -> impl Iterator<Item = usize> + '_ {
        let blocks = &self.blocks.units;
        let first = match self.placement {
            Placement::FirstFit | Placement::General => 0,
            Placement::NextFit => blocks.partition_point(|block| block.address < self.rover),
        };
        let in_order = (first..blocks.len()).chain(0..first);
        in_order.filter(move |&index| is_free(&blocks[index]) && blocks[index].size >= bytes)
    }

    /// Where a block of `need` bytes would start in a gap, if that can hold it: as low as the payload's alignment allows,
    /// and either at the very start or behind a rest that is a gap of its own.
    fn start_within(&self, gap: Block, need: usize, align: usize, header: usize) -> Option<usize> {
        let mut payload = (gap.address + header).checked_next_multiple_of(align.max(self.granule))?;
        if payload - header - gap.address == self.granule {
            payload = payload.checked_add(align)?;
        }
        let start = payload - header;
        let room = range(gap).end.checked_sub(start)?;
        (need <= room).then_some(start)
    }

    /// Bytes of the block that a request takes, its header included.
    fn bytes_needed(&self, size: usize) -> usize {
        round_up(size.max(self.granule), self.granule).saturating_add(self.granule)
    }

    /// Where a block that needs the bytes up to `needed` ends, in memory that is free up to `free`: a remainder of one
    /// granule could not be a block of its own, so it stays with the allocation.
    fn end_of_taken(&self, needed: usize, free: usize) -> usize {
        if free - needed == self.granule { free } else { needed }
    }

    /// The count and the name of a failure.
    fn fail(&mut self, need: usize) -> AllocError {
        if self.blocks.stats().free_bytes >= need {
            self.blocks.counted.failed_fragmented += 1;
            AllocError::Fragmented
        } else {
            self.blocks.counted.failed_full += 1;
            AllocError::Full
        }
    }

    /// The slot or block whose payload begins at `address`, or what is wrong with the address.
    fn find(&self, address: usize) -> Result<Block, Reason> {
        if !self.owns(address) {
            return Err(Reason::OutsideHeap);
        }
        if address % self.granule != 0 {
            return Err(Reason::Misaligned);
        }
        if let Some(slot) = self.find_in_run(address) {
            return slot;
        }
        let (part, header_bytes) = match self.slab.bytes.contains(&address) {
            true => (&self.slab, 0),
            false => (&self.blocks, self.granule),
        };
        let mut units = part.units.iter().copied();
        let Some(block) = units.find(|&block| range(block).contains(&address)) else {
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
        self.refuse(address, reason)
    }

    /// Counts a refused free or realloc.
    fn refuse<T>(&mut self, address: usize, reason: Reason) -> Result<T, InvalidFree> {
        if reason == Reason::OutsideHeap {
            self.refused_outside += 1;
        } else if self.slab.bytes.contains(&address) {
            self.slab.counted.refused_frees += 1;
        } else {
            self.blocks.counted.refused_frees += 1;
            self.blocks.counted.corruptions += u64::from(reason == Reason::HeaderOverwritten);
        }
        Err(InvalidFree { address, reason })
    }

    /// Refuses a live object that no such request is served with.
    fn require(&mut self, address: usize, size: usize, align: usize) -> Result<(), InvalidFree> {
        match self.find(address) {
            Ok(object) if address % align != 0 || !self.fits(object, size) => {
                self.refuse(address, Reason::SizeMismatch)
            }
            _ => Ok(()),
        }
    }

    /// Whether a request of `size` bytes could have been served with this object: with a block of its size, or one that a granule
    /// stayed with; with a slot of its class. A slot of the slab may have kept an object that became smaller, and so may a slot of a
    /// class, once one has.
    fn fits(&self, object: Block, size: usize) -> bool {
        match (object.segment, object.kind) {
            (Slab, _) => size <= object.size,
            (Blocks, Kind::Block) => [0, self.granule].contains(&object.size.wrapping_sub(self.bytes_needed(size))),
            (Blocks, Kind::Slot) => {
                let (claimed, own) = (self.class_of(size, 1), self.class_of(object.size, 1));
                claimed == own || self.kept_slot && size <= object.size
            }
        }
    }

    fn release(&mut self, by: By, object: Block) {
        match (object.segment, object.kind) {
            (Slab, _) => {
                let index = self.slab.index_of(object);
                self.slab.replace(index..index + 1, &[slot(Slab, Free, range(object))]);
                self.slab.counted.frees += 1;
            }
            (Blocks, Kind::Slot) => match self.classes.owner_of(object.address) {
                Some(owner) => self.release_to_owner(by, owner, object),
                None => self.release_into_magazine(object),
            },
            (Blocks, Kind::Block) => self.release_block(object),
        }
    }

    fn release_block(&mut self, object: Block) {
        self.merge(object);
        self.blocks.counted.frees += 1;
    }

    /// Makes one free block of the block and of the free ones on both sides.
    fn merge(&mut self, object: Block) {
        let index = self.blocks.index_of(object);
        let first = index - usize::from(index > 0 && is_free(&self.blocks.units[index - 1]));
        let last = index + usize::from(self.blocks.units.get(index + 1).is_some_and(is_free));
        let start = self.blocks.units[first].address;
        let merged = block(Free, start..range(self.blocks.units[last]).end);
        self.blocks.replace(first..last + 1, &[merged]);
        if range(merged).contains(&self.rover) {
            self.rover = start;
        }
    }

    /// Resizes the block where it is, if it can be. If it must grow, it takes what it lacks from the free block behind it,
    /// and what it does not need is freed.
    fn resize(&mut self, object: Block, size: usize) -> bool {
        let (old, need) = (range(object), self.bytes_needed(size));
        let index = self.blocks.index_of(object);
        let behind = self.blocks.units.get(index + 1);
        let consumed = behind.filter(|block| is_free(block) && need > object.size);
        let room = old.start..consumed.map_or(old.end, |&block| range(block).end);
        if need > room.len() {
            return false;
        }
        let end = self.end_of_taken(old.start + need, room.end);
        let kept = block(Used, old.start..end);
        let rest = block(Free, end..room.end);
        let last = index + usize::from(consumed.is_some());
        self.blocks.replace(index..last + 1, &[kept, rest]);
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
    fn new(bytes: Range<usize>, units: Vec<Block>) -> Self {
        let (reached, counted) = (bytes.start, SegmentStats::default());
        Self { bytes, units, reached, counted }
    }

    fn index_of(&self, block: Block) -> usize {
        self.units.partition_point(|other| other.address < block.address)
    }

    /// Puts `new` in the place of the units at `indices`, without those that are empty.
    fn replace(&mut self, indices: Range<usize>, new: &[Block]) {
        let new = new.iter().copied().filter(|block| block.size > 0);
        self.units.splice(indices, new.clone());
        let live = new.filter(|block| !is_free(block));
        let ends = live.map(|block| range(block).end);
        self.reached = ends.fold(self.reached, usize::max);
        let now = self.stats();
        self.counted.peak_bytes = now.peak_bytes.max(now.live_bytes);
        self.counted.peak_objects = now.peak_objects.max(now.live_objects);
    }

    /// The header of each, with `length` without the header's own bytes; a free one's is `linked` to the next free one's.
    fn headers(&self, header_bytes: usize, linked: bool) -> Vec<Header> {
        let mut next = 0;
        let mut headers: Vec<Header> = (self.units.iter().rev())
            .map(|block| Header {
                address: block.address,
                length: i32::try_from(block.size - header_bytes).unwrap_or(i32::MAX),
                live: !is_free(block),
                link: match block.state {
                    Used => MAGIC,
                    Free if linked => mem::replace(&mut next, block.address),
                    Free => 0,
                },
            })
            .collect();
        headers.reverse();
        headers
    }

    fn stats(&self) -> SegmentStats {
        let mut now = self.counted;
        now.size = self.bytes.len();
        for block in &self.units {
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
fn round_up(size: usize, granule: usize) -> usize {
    size.checked_next_multiple_of(granule).unwrap_or(usize::MAX)
}

fn block(state: State, bytes: Range<usize>) -> Block {
    Block { address: bytes.start, size: bytes.len(), state, segment: Blocks, kind: Kind::Block }
}

fn slot(segment: Segment, state: State, bytes: Range<usize>) -> Block {
    Block { address: bytes.start, size: bytes.len(), state, segment, kind: Kind::Slot }
}

fn is_free(block: &Block) -> bool {
    block.state == Free
}

fn range(block: Block) -> Range<usize> {
    block.address..block.address + block.size
}
