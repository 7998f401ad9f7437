//! The figures a heap keeps about itself, and the counters behind them.
#![deny(unsafe_code)]

use crate::error::Reason;
use crate::size::Granules;

/// Figures of one heap, each segment's taken under its own lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The slab segment's figures.
    pub slab: SegmentStats,
    /// The block segment's figures. A request that no segment could serve counts as failed here.
    pub blocks: SegmentStats,
    /// Requests of exactly `slab_size` bytes that next fit served because the slab was full.
    pub spilled: u64,
    /// Refused frees and reallocs of addresses that lie in neither segment.
    pub refused_outside: u64,
}

/// Figures of one segment. Sizes are in bytes and count whole slots, or whole blocks with their headers,
/// so that `live_bytes + free_bytes` is all that the segment can hand out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentStats {
    /// Bytes of the segment.
    pub size: usize,
    /// Bytes that are allocated now.
    pub live_bytes: usize,
    /// The most bytes that were ever allocated at once.
    pub peak_bytes: usize,
    /// Objects that are allocated now.
    pub live_objects: usize,
    /// The most objects that were ever allocated at once.
    pub peak_objects: usize,
    /// Bytes that are free now.
    pub free_bytes: usize,
    /// Bytes of the largest free block or slot.
    pub largest_free: usize,
    /// Count of free blocks or slots.
    pub free_blocks: usize,
    /// Requests that were served.
    pub allocs: u64,
    /// Frees that were accepted.
    pub frees: u64,
    /// Requests that failed because fewer bytes were free than they needed.
    pub failed_full: u64,
    /// Requests that failed although enough bytes were free.
    pub failed_fragmented: u64,
    /// Frees and reallocs of wrong addresses in this segment.
    pub refused_frees: u64,
    /// Those among them that found a live block's header overwritten.
    pub corruptions: u64,
}

/// What a segment counts as it works; everything else in [`SegmentStats`] is derived from it, from its [`Extent`] or from
/// the map.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    /// Objects that are allocated now.
    pub(crate) objects: u32,
    pub(crate) allocs: u64,
    pub(crate) failed_full: u64,
    pub(crate) failed_fragmented: u64,
    pub(crate) refused_frees: u64,
    pub(crate) corruptions: u64,
}

/// How much of a segment is allocated, and the most there ever was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extent {
    /// Granules that are allocated now, and the most at once.
    pub(crate) live: u32,
    pub(crate) peak: u32,
    /// The most objects at once.
    pub(crate) peak_objects: u32,
}

impl Counters {
    pub(crate) const ZERO: Self =
        Self { objects: 0, allocs: 0, failed_full: 0, failed_fragmented: 0, refused_frees: 0, corruptions: 0 };

    /// An object was handed out.
    #[inline]
    pub(crate) fn allocated(&mut self) {
        self.allocs = self.allocs.wrapping_add(1);
        self.objects = self.objects.wrapping_add(1);
    }

    /// An object was freed.
    #[inline]
    pub(crate) fn freed(&mut self) {
        self.objects = self.objects.wrapping_sub(1);
    }

    /// A free was refused for this reason, which it answers.
    #[cold]
    pub(crate) fn refused(&mut self, reason: Reason) -> Reason {
        self.refused_frees = self.refused_frees.wrapping_add(1);
        if reason == Reason::HeaderOverwritten {
            self.corruptions = self.corruptions.wrapping_add(1);
        }
        reason
    }

    /// The figures, with what only the segment's owner knows: its bytes, those it can hand out, how much of them is
    /// allocated, its largest free block or slot and how many there are.
    pub(crate) fn figures(
        &self,
        size: usize,
        usable: Granules,
        extent: Extent,
        largest: Granules,
        free_blocks: u32,
    ) -> SegmentStats {
        SegmentStats {
            size,
            live_bytes: Granules::new(extent.live).bytes(),
            peak_bytes: Granules::new(extent.peak).bytes(),
            live_objects: self.objects as usize,
            peak_objects: extent.peak_objects as usize,
            free_bytes: usable.minus(Granules::new(extent.live)).bytes(),
            largest_free: largest.bytes(),
            free_blocks: free_blocks as usize,
            allocs: self.allocs,
            frees: self.allocs.wrapping_sub(u64::from(self.objects)),
            failed_full: self.failed_full,
            failed_fragmented: self.failed_fragmented,
            refused_frees: self.refused_frees,
            corruptions: self.corruptions,
        }
    }
}

impl Extent {
    pub(crate) const ZERO: Self = Self { live: 0, peak: 0, peak_objects: 0 };

    /// An object of `granules` was handed out and is one of `objects` now.
    #[inline]
    pub(crate) fn allocated(&mut self, granules: Granules, objects: u32) {
        self.peak_objects = self.peak_objects.max(objects);
        self.resized(Granules::NONE, granules);
    }

    /// An object of `granules` was freed.
    #[inline]
    pub(crate) fn freed(&mut self, granules: Granules) {
        self.live = self.live.wrapping_sub(granules.count());
    }

    /// A live object's size has changed.
    #[inline]
    pub(crate) fn resized(&mut self, from: Granules, to: Granules) {
        self.live = self.live.wrapping_sub(from.count()).wrapping_add(to.count());
        self.peak = self.peak.max(self.live);
    }
}
