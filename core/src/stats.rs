//! The figures that a heap keeps about itself, and the counters that they come from.

use crate::error::Reason;
use crate::units::Granules;

/// Figures of one heap, each segment's taken under its own lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Stats {
    /// The slab segment's figures.
    pub slab: SegmentStats,
    /// The block segment's figures. A request that no segment could serve counts as failed here.
    pub blocks: SegmentStats,
    /// The figures of each size class, by slot size; all 0 under a policy without classes.
    pub classes: [ClassStats; CLASSES],
    /// The figures of the caches; all 0 without them.
    pub caches: CacheStats,
    /// What a [hardened](crate::Hardened) heap has in quarantine; all 0 in others.
    pub quarantine: QuarantineStats,
    /// Requests for a slot that were passed on because none was free: by the slab, and by a size class to a block. A request may
    /// count twice.
    pub spilled: u64,
    /// Refused frees and reallocs of addresses that lie in neither segment.
    pub refused_outside: u64,
}

/// Figures of one segment. Sizes are in bytes and count whole slots, or whole blocks with their headers, so `live_bytes +
/// free_bytes` is all that the segment can hand out. Counts of events wrap where a `usize` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
    /// Frees and reallocs of addresses in this segment that were refused.
    pub refused_frees: u64,
    /// Those of them that found a live block's header overwritten.
    pub corruptions: u64,
}

/// The number of size classes.
pub const CLASSES: usize = 16;

/// Figures of one size class under [`General`](crate::General). A run counts as one live block in the block segment's figures; its
/// slots are counted here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ClassStats {
    /// Bytes of a slot; 0 if the heap is too small for the class.
    pub slot_size: usize,
    /// Runs that the class has now.
    pub runs: usize,
    /// The most runs that it ever had at once.
    pub peak_runs: usize,
    /// Runs that the class ever had. Each counts as a request in the block segment's `allocs`.
    pub opened: u64,
    /// Slots in these runs.
    pub slots: usize,
    /// Slots that are allocated now.
    pub live_objects: usize,
    /// Requests that were served.
    pub allocs: u64,
    /// Frees that were accepted.
    pub frees: u64,
}

/// Figures of a heap's [caches](crate::Heap::cache). Their objects and runs are counted among those of each size class; what lies idle
/// in the heap's magazines and in caches is the difference between [`slots`](ClassStats::slots) and
/// [`live_objects`](ClassStats::live_objects).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CacheStats {
    /// Caches that there can be at once.
    pub most: usize,
    /// The most caches that were ever attached at once.
    pub made: usize,
    /// Caches that are attached now.
    pub attached: usize,
    /// Bytes of the runs that caches own.
    pub run_bytes: usize,
}

/// What a [hardened](crate::Hardened) heap has in quarantine: objects that were freed, and whose memory is not handed out yet. The other
/// figures count them as live.
///
/// There are at most 80 of each size class, as many blocks, and as many objects between inaccessible pages. The blocks have at most a
/// 32nd of the block segment and at most 1 MiB together, unless one alone has more; what lies between inaccessible pages at most an
/// eighth of the segment, and holds no memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct QuarantineStats {
    /// Objects in quarantine.
    pub objects: usize,
    /// Bytes of their slots, and of their blocks without headers.
    pub bytes: usize,
}

/// What a segment counts as it works; everything else in [`SegmentStats`] is derived from it or from the map.
///
/// The peaks are kept with the distance from them, so that an alloc below both counts down twice and compares nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    /// The most objects and granules that were allocated at once.
    pub(crate) peak_objects: u32,
    pub(crate) peak: u32,
    /// How many fewer there are now.
    objects_below: u32,
    below: u32,
    /// Requests that were served.
    allocs: usize,
    pub(crate) failed_full: usize,
    pub(crate) failed_fragmented: usize,
    refused_frees: usize,
    corruptions: usize,
}

impl Counters {
    pub(crate) const ZERO: Self = Self {
        peak_objects: 0,
        peak: 0,
        objects_below: 0,
        below: 0,
        allocs: 0,
        failed_full: 0,
        failed_fragmented: 0,
        refused_frees: 0,
        corruptions: 0,
    };

    /// Objects that are allocated now.
    pub(crate) fn objects(&self) -> u32 {
        self.peak_objects.wrapping_sub(self.objects_below)
    }

    /// Granules that are allocated now.
    pub(crate) fn live(&self) -> Granules {
        Granules::new(self.peak.wrapping_sub(self.below))
    }

    /// Counts an object of `granules` that was handed out.
    #[inline(always)]
    pub(crate) fn allocated(&mut self, granules: Granules) {
        self.allocs = self.allocs.wrapping_add(1);
        let at_peak;
        (self.objects_below, at_peak) = self.objects_below.overflowing_sub(1);
        if at_peak {
            self.raise_peak_objects();
        }
        self.grown(granules);
    }

    /// Counts `granules` that were added to live objects.
    #[inline(always)]
    pub(crate) fn grown(&mut self, granules: Granules) {
        let above_peak;
        (self.below, above_peak) = self.below.overflowing_sub(granules.count());
        if above_peak {
            self.raise_peak();
        }
    }

    /// Makes the peak what there is now: the distances have wrapped below 0.
    #[cold]
    #[inline(never)]
    fn raise_peak(&mut self) {
        self.peak = self.peak.wrapping_sub(self.below);
        self.below = 0;
    }

    #[cold]
    #[inline(never)]
    fn raise_peak_objects(&mut self) {
        self.peak_objects = self.peak_objects.wrapping_sub(self.objects_below);
        self.objects_below = 0;
    }

    /// Counts an object of `granules` that was freed.
    #[inline(always)]
    pub(crate) fn freed(&mut self, granules: Granules) {
        self.objects_below = self.objects_below.wrapping_add(1);
        self.shrunk(granules);
    }

    /// Counts `granules` that were taken off live objects.
    #[inline(always)]
    pub(crate) fn shrunk(&mut self, granules: Granules) {
        self.below = self.below.wrapping_add(granules.count());
    }

    /// Counts a refused free, and returns its reason.
    #[cold]
    pub(crate) fn refused(&mut self, reason: Reason) -> Reason {
        self.refused_frees = self.refused_frees.wrapping_add(1);
        if reason == Reason::HeaderOverwritten {
            self.corruptions = self.corruptions.wrapping_add(1);
        }
        reason
    }

    /// Returns the figures, with what the counters do not know: the segment's bytes, the granules it can hand out, its
    /// largest free block or slot, and how many there are.
    pub(crate) fn figures(&self, size: usize, usable: Granules, largest: Granules, free_blocks: u32) -> SegmentStats {
        SegmentStats {
            size,
            live_bytes: self.live().bytes(),
            peak_bytes: Granules::new(self.peak).bytes(),
            live_objects: self.objects() as usize,
            peak_objects: self.peak_objects as usize,
            free_bytes: usable.minus(self.live()).bytes(),
            largest_free: largest.bytes(),
            free_blocks: free_blocks as usize,
            allocs: self.allocs as u64,
            frees: self.allocs.wrapping_sub(self.objects() as usize) as u64,
            failed_full: self.failed_full as u64,
            failed_fragmented: self.failed_fragmented as u64,
            refused_frees: self.refused_frees as u64,
            corruptions: self.corruptions as u64,
        }
    }
}

/// What tests reach.
#[cfg(test)]
impl Counters {
    /// Sets the peaks, and leaves what is allocated now.
    pub(crate) fn set_peaks(&mut self, objects: u32, granules: u32) {
        self.objects_below = objects.wrapping_sub(self.objects());
        self.below = granules.wrapping_sub(self.live().count());
        (self.peak_objects, self.peak) = (objects, granules);
    }
}
