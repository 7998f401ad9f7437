//! The layout of a heap: how much of the memory is slab segment, block segment and bookkeeping.

use core::ptr::NonNull;

use static_assertions::const_assert;

use crate::block_map::BlockMap;
use crate::blocks::Blocks;
use crate::classes::{Classes, MayHave};
use crate::error::InitError;
use crate::hooks::Hooks;
use crate::memory::Memory;
use crate::pages::Pages;
use crate::policy::{NextFit, Policy};
use crate::size_class::MOST_CACHES;
use crate::slab::{self, Slab};
use crate::units::{GRANULE, Granules, MAX_HEAP};
use crate::ward::Ward;

/// The fewest bytes of the two segments together: a slot of one granule and a block of three.
pub const MIN_HEAP: usize = 4 * GRANULE;

/// The fewest bytes of a block segment.
const MIN_BLOCKS: usize = 3 * GRANULE;

/// The fewest bytes of an aligned region that also holds the bookkeeping: any region of this size or more makes a heap,
/// whatever the policy and the configuration, unless that has a [`reserve`](Config::reserve) or caches or is
/// [`Hardened`](crate::Hardened), and none of fewer does.
pub const MIN_REGION: usize = MIN_HEAP + own_bookkeeping::<NextFit>(MIN_HEAP, &Config::new(GRANULE));

/// Bytes between the bookkeeping and the slab segment of a region that holds both. Nothing is ever stored in them: a
/// write of up to so many bytes before the first slot hits nothing.
const GUARD: usize = 4 * GRANULE;

const_assert!(MIN_REGION % GRANULE == 0);
// From some chunks on the bookkeeping grows by less than a quarter of the region.
const_assert!(all_make_heaps(MIN_REGION, 64 * MIN_REGION));

/// Whether each aligned region of `from` to `to` bytes has room for a heap beside the bookkeeping, even if every granule could
/// be a slot and a part of a block. (Next fit keeps the most of so small ones: the size classes begin at 32 KiB, and take less than a
/// 16th of that.)
// Not reached: this runs in the compiler.
const fn all_make_heaps(from: usize, to: usize) -> bool {
    let mut size = from;
    while size <= to {
        let granules = Granules::from_bytes_floor(size);
        let most = BlockMap::footprint(granules).saturating_add(Slab::<NextFit>::footprint(granules.count()));
        if most.saturating_add(GUARD).next_multiple_of(GRANULE).saturating_add(MIN_HEAP) > size {
            return false;
        }
        size = size.saturating_add(GRANULE);
    }
    true
}

/// What a heap is to be like: the size of a slot, the share of the heap that is slab, and what it tells the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of the requests that the slab serves. A slot is this rounded up to granules; if that is more than the slab
    /// segment there are no slots, and blocks serve everything.
    pub slab_size: usize,
    /// Bytes of the slab segment, rounded down to granules; `None` stands for a quarter of the heap.
    pub slab_bytes: Option<usize>,
    /// Caches that the heap can have beside the one under its lock: see [`caches`](Self::caches).
    pub caches: usize,
    /// Bytes that may be added to the block segment later.
    pub reserve: usize,
    /// What the heap calls where it cannot return an error.
    pub hooks: Option<&'static Hooks>,
    /// What a [hardened](crate::Hardened) heap makes its patterns and its order of: see [`key`](Self::key).
    pub key: [u64; 2],
    /// How a hardened heap makes pages inaccessible: see [`pages`](Self::pages).
    pub pages: Option<&'static Pages>,
}

impl Config {
    /// Makes the first quarter of the heap a slab of slots of `slab_size` bytes, at least 1.
    pub const fn new(slab_size: usize) -> Self {
        Self { slab_size, slab_bytes: None, caches: 0, reserve: 0, hooks: None, key: [0; 2], pages: None }
    }

    /// Makes a heap without a slab segment: blocks serve every request.
    pub const fn without_slab() -> Self {
        Self { slab_size: 0, slab_bytes: Some(0), caches: 0, reserve: 0, hooks: None, key: [0; 2], pages: None }
    }

    /// Sets the bytes of the slab segment; 0 makes a heap without a slab. The block segment keeps three granules at least,
    /// whatever is asked for.
    pub const fn slab_bytes(self, bytes: usize) -> Self {
        Self { slab_bytes: Some(bytes), ..self }
    }

    /// Makes bookkeeping for `n` caches, at most 4,095: see [`Heap::cache`](crate::Heap::cache). Under a policy without size classes, in a
    /// segment too small for them, and on a target without 64-bit atomics there are none, whatever `n` is.
    ///
    /// It takes 3.1 KiB for each cache, and 9.6% of the block segment once, for a byte at each granule and what is known of each run.
    pub const fn caches(self, n: usize) -> Self {
        Self { caches: n, ..self }
    }

    /// Returns how many caches a heap can have.
    const fn most_caches(&self) -> usize {
        if self.caches > MOST_CACHES { MOST_CACHES } else { self.caches }
    }

    /// Sizes the bookkeeping so that [`Heap::extend`](crate::Heap::extend) can add `bytes` bytes. They count as bytes of the block segment
    /// in the bookkeeping's size, and decide which size classes there are; the slab segment's share is that of what is there at first.
    /// A region of one piece must be larger than [`MIN_REGION`] then.
    pub const fn reserve(self, bytes: usize) -> Self {
        Self { reserve: bytes, ..self }
    }

    /// Has the heap call these functions: see [`Hooks`].
    pub const fn hooks(self, hooks: &'static Hooks) -> Self {
        Self { hooks: Some(hooks), ..self }
    }

    /// Sets the key of a [hardened](crate::Hardened) heap: random numbers that nobody can guess. Without a key, patterns and
    /// addresses are the same in each run. Other heaps ignore it.
    pub const fn key(self, key: [u64; 2]) -> Self {
        Self { key, ..self }
    }

    /// Has a [hardened](crate::Hardened) heap put inaccessible pages round objects of 64 KiB and more, and give objects of 0 bytes
    /// addresses in such pages. Other heaps take no notice of it.
    pub const fn pages(self, pages: &'static Pages) -> Self {
        Self { pages: Some(pages), ..self }
    }

    /// Makes of this what a heap under policy `P` makes of it: a hardened one has neither slab nor caches. In place, as a copy is a call of
    /// memcpy.
    pub(crate) const fn restrict<P: Policy>(&mut self) {
        if P::HARDENED {
            (self.slab_size, self.slab_bytes, self.caches) = (0, Some(0), 0);
        }
    }

    /// Returns whether a heap can have this configuration: the slots of a slab are not empty.
    pub(crate) const fn is_valid(&self) -> bool {
        self.slab_size > 0 || matches!(self.slab_bytes, Some(0))
    }

    /// Returns the bytes of the slab segment of a heap of `size` bytes.
    const fn slab_segment(&self, size: usize) -> usize {
        let bytes = match self.slab_bytes {
            None => size / 4,
            Some(bytes) => bytes,
        };
        let most = size.saturating_sub(MIN_BLOCKS);
        (if bytes < most { bytes } else { most }) & !(GRANULE - 1)
    }

    /// Returns the whole granules of the reserve.
    const fn reserved(&self) -> Granules {
        Granules::from_bytes_floor(self.reserve)
    }
}

/// A part of the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The slab: a quarter of the heap, or what the configuration says.
    Slab,
    /// The blocks: the rest.
    Blocks,
}

/// Returns how many bytes a second piece of memory must have to hold the bookkeeping of a heap of `heap_size` bytes under policy
/// `P`: about 2% of a large heap, 3% under [`General`](crate::General), 13% there with caches, 10% where that is
/// [`Hardened`](crate::Hardened). They may have any alignment.
pub const fn bookkeeping_size<P: Policy>(heap_size: usize, config: Config) -> usize {
    let mut config = config;
    config.restrict::<P>();
    bookkeeping_of::<P>(heap_size, &config)
}

/// Returns the same for a configuration as `P` makes it. In line, so that what is the same in all of a program's configurations is known.
#[inline(always)]
const fn bookkeeping_of<P: Policy>(heap_size: usize, config: &Config) -> usize {
    let slab = config.slab_segment(heap_size);
    // As bytes: the largest heap has a granule more than fits into their type.
    let bytes = heap_size.saturating_sub(slab).saturating_add(config.reserved().bytes());
    let blocks = Granules::from_bytes_floor(bytes);
    let classes = if P::CLASSES { Classes::footprint(blocks, config.most_caches()) } else { 0 };
    let ward = if P::HARDENED { Ward::footprint(blocks, P::CLASSES, config.pages.is_some()) } else { 0 };
    let blocks = BlockMap::footprint(blocks).saturating_add(classes).saturating_add(ward);
    blocks.saturating_add(Slab::<P>::footprint(slab::slots_of(slab, config.slab_size)))
}

/// Returns how many bytes the bookkeeping takes of a region of `region_size` bytes, with the guard after it.
const fn own_bookkeeping<P: Policy>(region_size: usize, config: &Config) -> usize {
    bookkeeping_of::<P>(region_size, config).saturating_add(GUARD).next_multiple_of(GRANULE)
}

/// Where the segments of a heap lie.
pub(crate) struct Bounds {
    pub(crate) base: NonNull<u8>,
    /// Bytes of the slab segment, and of both.
    pub(crate) slab_segment: usize,
    pub(crate) size: usize,
}

/// Divides the memory into bookkeeping and two segments, and sets up both, which were empty. The configuration is as `P` makes it.
pub(crate) fn lay_out<'a, P: Policy>(
    memory: Memory<'a>,
    config: &Config,
    slab: &mut Slab<'a, P>,
    blocks: &mut Blocks<'a, P>,
) -> Result<Bounds, InitError> {
    let given = memory.size();
    let own = match memory.bookkeeping_size() {
        None => own_bookkeeping::<P>(given, config),
        Some(_) => 0,
    };
    if !config.is_valid() {
        return Err(InitError::SlabSizeZero);
    }
    // Only caches, a reserve and what a hardened heap knows take more than a small region has.
    let minimum = if own == 0 { MIN_HEAP } else { MIN_REGION.max(own.saturating_add(MIN_HEAP)) };
    if given < minimum {
        return Err(InitError::TooSmall { size: given, minimum });
    }
    let size = given.wrapping_sub(own) & !(GRANULE - 1);
    if size.saturating_add(config.reserved().bytes()) > MAX_HEAP {
        return Err(InitError::TooLarge { size: given.saturating_add(config.reserve) });
    }
    let needed = bookkeeping_of::<P>(size, config);
    let bookkeeping = memory.bookkeeping_size().unwrap_or(own);
    let too_small = InitError::BookkeepingTooSmall { size: bookkeeping, needed };
    if bookkeeping < needed {
        return Err(too_small);
    }
    let slab_segment = config.slab_segment(size);
    let (mut bump, first, second) =
        memory.divide(own, slab_segment, size.wrapping_sub(slab_segment)).ok_or(too_small)?;
    let base = first.start;
    // Not reached: failures, as the bookkeeping was compared with what is needed.
    if let Some(ward) = blocks.ward.get_mut() {
        let granules = Granules::from_bytes_floor(size).plus(config.reserved());
        ward.set_up(granules, P::CLASSES, config.key, config.pages, &mut bump).ok_or(too_small)?;
    }
    blocks.set_up(second, config.reserved(), config.most_caches(), &mut bump).ok_or(too_small)?;
    slab.set_up(first, config.slab_size, &mut bump).ok_or(too_small)?;
    Ok(Bounds { base, slab_segment, size })
}
