//! The split: a quarter of the memory for the slab, the rest for next fit, and the bookkeeping apart from both.
#![deny(unsafe_code)]

use core::ptr::NonNull;

use static_assertions::const_assert;

use crate::block_map::BlockMap;
use crate::error::InitError;
use crate::next_fit::{NextFit, Placement};
use crate::region::Memory;
use crate::size::{GRANULE, Granules, MAX_HEAP};
use crate::slab::{self, Slab};
use crate::switch::wrong;

/// The fewest bytes of the two segments together: a slot of 16 bytes and a block of 48.
pub const MIN_HEAP: usize = 64;

/// The fewest bytes of a region that also holds the bookkeeping: any aligned region of this size or more makes a heap,
/// whatever the slab size, and none of fewer does.
pub const MIN_REGION: usize = MIN_HEAP + carved_size(MIN_HEAP, GRANULE);

/// Bytes between the bookkeeping and the slab segment of a region that holds both. Nothing is ever stored in them: a
/// write of up to so many bytes before the first slot hits nothing.
const GUARD: usize = if cfg!(slabfit_without = "guard") { 0 } else { 64 };

// A minimal region's bookkeeping is that of a minimal heap: the map of one chunk and one word for the slots.
const_assert!(carved_size(MIN_REGION, 1) == carved_size(MIN_HEAP, GRANULE));
const_assert!(MIN_REGION % GRANULE == 0);

/// What the parts of a heap are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of the requests that the slab serves, at least 1. A slot is this rounded up to 16; if it is larger than the
    /// slab segment there are none, and next fit serves everything.
    pub slab_size: usize,
    /// Where next fit starts its search.
    pub placement: Placement,
}

impl Config {
    /// Slots of `slab_size` bytes, and next fit.
    pub const fn new(slab_size: usize) -> Self {
        Self { slab_size, placement: Placement::NextFit }
    }

    /// The same with [`Placement::FirstFit`].
    pub const fn first_fit(self) -> Self {
        Self { placement: Placement::FirstFit, ..self }
    }
}

/// A part of the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The first quarter.
    Slab,
    /// The other three.
    NextFit,
}

/// The slab segment of a heap of `size` bytes, in bytes.
const fn slab_segment(size: usize) -> usize {
    (size / 4) & !(GRANULE - 1)
}

/// Bytes that a second piece of memory must have to hold the bookkeeping of a heap of `heap_size` bytes: about 2% of it,
/// of any alignment.
pub const fn bookkeeping_size(heap_size: usize, slab_size: usize) -> usize {
    let slab = slab_segment(heap_size);
    let next_fit = Granules::within(heap_size).minus(Granules::within(slab));
    // A word at least, so that the smallest region is the same for every slab size.
    let slots = slab::slots_of(slab, slab_size);
    BlockMap::footprint(next_fit).saturating_add(Slab::footprint(if slots == 0 { 1 } else { slots }))
}

/// Bytes that the bookkeeping takes of a region of `region_size` bytes, with the guard behind it.
const fn carved_size(region_size: usize, slab_size: usize) -> usize {
    bookkeeping_size(region_size, slab_size).saturating_add(GUARD).next_multiple_of(GRANULE)
}

/// The two halves of a heap that is ready, and where they lie.
pub(crate) struct Parts<'a> {
    pub(crate) base: NonNull<u8>,
    pub(crate) slab: Slab<'a>,
    pub(crate) next_fit: NextFit<'a>,
    /// Bytes of the slab segment, and of both.
    pub(crate) slab_segment: usize,
    pub(crate) size: usize,
}

/// Cuts the memory into bookkeeping and two segments, and sets each up.
pub(crate) fn split<'a>(memory: Memory<'a>, config: Config) -> Result<Parts<'a>, InitError> {
    let given = memory.size();
    let carved = match memory.bookkeeping_size() {
        None => carved_size(given, config.slab_size),
        Some(_) => 0,
    };
    if wrong!("slab-size", config.slab_size == 0) {
        return Err(InitError::SlabSizeZero);
    }
    let size = given.saturating_sub(carved) & !(GRANULE - 1);
    if wrong!("region-small", size < MIN_HEAP) {
        let minimum = if carved == 0 { MIN_HEAP } else { MIN_REGION };
        return Err(InitError::TooSmall { size: given, minimum });
    }
    if wrong!("region-aligned", memory.address() % GRANULE != 0) {
        return Err(InitError::Unaligned { address: memory.address() });
    }
    if wrong!("region-large", size > MAX_HEAP) {
        return Err(InitError::TooLarge { size: given });
    }
    let needed = bookkeeping_size(size, config.slab_size);
    let bookkeeping = memory.bookkeeping_size().unwrap_or(carved);
    let too_small = InitError::BookkeepingTooSmall { size: bookkeeping, needed };
    if wrong!("bookkeeping-small", bookkeeping < needed) {
        return Err(too_small);
    }
    let slab_segment = slab_segment(size);
    let (mut carver, slab, next_fit) =
        memory.cut(carved, slab_segment, size.wrapping_sub(slab_segment)).ok_or(too_small)?;
    let base = slab.base();
    let next_fit = NextFit::new(next_fit, config.placement, &mut carver).ok_or(too_small)?;
    let slab = Slab::new(slab, config.slab_size, &mut carver).ok_or(too_small)?;
    Ok(Parts { base, slab, next_fit, slab_segment, size })
}
