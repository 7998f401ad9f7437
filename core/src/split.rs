//! The split: a quarter of the memory for the slab, the rest for next fit, and the bookkeeping apart from both.
#![deny(unsafe_code)]

use core::ptr::NonNull;

use static_assertions::const_assert;

use crate::block_map::BlockMap;
use crate::error::InitError;
use crate::next_fit::{BlockSegment, Placement};
use crate::policy::{NextFit, Policy};
use crate::region::Memory;
use crate::size::{GRANULE, Granules, MAX_HEAP};
use crate::slab::{self, Slab};
use crate::switch::wrong;

/// The fewest bytes of the two segments together: a slot of 16 bytes and a block of 48.
pub const MIN_HEAP: usize = 64;

/// The fewest bytes of a block segment: a block of 48.
const MIN_BLOCKS: usize = 48;

/// The fewest bytes of a region that also holds the bookkeeping: any aligned region of this size or more makes a heap,
/// whatever the slab size, and none of fewer does.
pub const MIN_REGION: usize = MIN_HEAP + carved_size::<NextFit>(MIN_HEAP, Config::new(GRANULE));

/// Bytes between the bookkeeping and the slab segment of a region that holds both. Nothing is ever stored in them: a
/// write of up to so many bytes before the first slot hits nothing.
const GUARD: usize = if cfg!(slabfit_without = "guard") { 0 } else { 64 };

// A minimal region's bookkeeping is that of a minimal heap: the map of one chunk and one word for the slots.
const_assert!(
    carved_size::<NextFit>(MIN_REGION, Config::new(1)) == carved_size::<NextFit>(MIN_HEAP, Config::new(GRANULE))
);
const_assert!(MIN_REGION % GRANULE == 0);

/// What the parts of a heap are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of the requests that the slab serves, at least 1. A slot is this rounded up to 16; if it is larger than the
    /// slab segment there are none, and next fit serves everything.
    pub slab_size: usize,
    /// Bytes of the slab segment, rounded down to granules; `None` stands for a quarter of the heap.
    pub slab_bytes: Option<usize>,
}

impl Config {
    /// Slots of `slab_size` bytes, and next fit.
    pub const fn new(slab_size: usize) -> Self {
        Self { slab_size, slab_bytes: None }
    }

    /// No slab segment: every request is served by a block.
    pub const fn without_slab() -> Self {
        Self { slab_size: 0, slab_bytes: Some(0) }
    }

    /// Sets the bytes of the slab segment, in place of a quarter of the heap. What is more than the heap leaves beside a
    /// minimal block segment is cut off; 0 makes a heap without a slab.
    pub const fn slab_bytes(self, bytes: usize) -> Self {
        Self { slab_bytes: Some(bytes), ..self }
    }

    /// Whether a heap can be made so: a slab has slots of some bytes.
    pub(crate) const fn is_valid(self) -> bool {
        self.slab_size > 0 || matches!(self.slab_bytes, Some(0))
    }

    /// Bytes of the slab segment of a heap of `size` bytes.
    const fn slab_segment(self, size: usize) -> usize {
        let bytes = match self.slab_bytes {
            None => size / 4,
            Some(bytes) => bytes,
        };
        let most = size.saturating_sub(MIN_BLOCKS);
        (if bytes < most { bytes } else { most }) & !(GRANULE - 1)
    }
}

/// A part of the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The first quarter.
    Slab,
    /// The other three.
    Blocks,
}

/// Bytes that a second piece of memory must have to hold the bookkeeping of a heap of `heap_size` bytes: about 2% of it,
/// of any alignment.
pub const fn bookkeeping_size<P: Policy>(heap_size: usize, config: Config) -> usize {
    let slab = config.slab_segment(heap_size);
    let next_fit = Granules::within(heap_size).minus(Granules::within(slab));
    // A word at least, so that the smallest region is the same for every slab size.
    let slots = slab::slots_of(slab, config.slab_size);
    BlockMap::footprint(next_fit).saturating_add(Slab::footprint(if slots == 0 { 1 } else { slots }))
}

/// Bytes that the bookkeeping takes of a region of `region_size` bytes, with the guard behind it.
const fn carved_size<P: Policy>(region_size: usize, config: Config) -> usize {
    bookkeeping_size::<P>(region_size, config).saturating_add(GUARD).next_multiple_of(GRANULE)
}

/// The two halves of a heap that is ready, and where they lie.
pub(crate) struct Parts<'a> {
    pub(crate) base: NonNull<u8>,
    pub(crate) slab: Slab<'a>,
    pub(crate) next_fit: BlockSegment<'a>,
    /// Bytes of the slab segment, and of both.
    pub(crate) slab_segment: usize,
    pub(crate) size: usize,
}

/// Cuts the memory into bookkeeping and two segments, and sets each up.
pub(crate) fn split<'a, P: Policy>(memory: Memory<'a>, config: Config) -> Result<Parts<'a>, InitError> {
    let given = memory.size();
    let carved = match memory.bookkeeping_size() {
        None => carved_size::<P>(given, config),
        Some(_) => 0,
    };
    if wrong!("slab-size", !config.is_valid()) {
        return Err(InitError::SlabSizeZero);
    }
    let size = given.saturating_sub(carved) & !(GRANULE - 1);
    if wrong!("region-small", size < MIN_HEAP) {
        let minimum = if carved == 0 { MIN_HEAP } else { MIN_REGION };
        return Err(InitError::TooSmall { size: given, minimum });
    }
    if wrong!("region-large", size > MAX_HEAP) {
        return Err(InitError::TooLarge { size: given });
    }
    let needed = bookkeeping_size::<P>(size, config);
    let bookkeeping = memory.bookkeeping_size().unwrap_or(carved);
    let too_small = InitError::BookkeepingTooSmall { size: bookkeeping, needed };
    if wrong!("bookkeeping-small", bookkeeping < needed) {
        return Err(too_small);
    }
    let slab_segment = config.slab_segment(size);
    let (mut carver, slab, next_fit) =
        memory.cut(carved, slab_segment, size.wrapping_sub(slab_segment)).ok_or(too_small)?;
    let base = slab.base();
    let next_fit =
        BlockSegment::new(next_fit, if P::ROVES { Placement::NextFit } else { Placement::FirstFit }, &mut carver)
            .ok_or(too_small)?;
    let slab = Slab::new(slab, config.slab_size, &mut carver).ok_or(too_small)?;
    Ok(Parts { base, slab, next_fit, slab_segment, size })
}
