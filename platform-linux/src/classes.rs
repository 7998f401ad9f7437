//! The size classes of a heap together, for whoever reports them.

use slabfit::{ClassStats, Stats};

/// The slots of all size classes. All is 0 under a policy without classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Runs that there are now. Each is one live block in the figures of the block segment.
    pub runs: usize,
    /// Slots in these runs.
    pub slots: usize,
    /// Slots that are allocated now.
    pub live_objects: usize,
    /// Bytes of the other slots. They are free, although the figures of the block segment count the runs as live.
    pub free_bytes: usize,
    /// Runs that there ever were. Each is one request in the figures of the block segment.
    pub opened: u64,
    /// Requests that slots have served.
    pub allocs: u64,
}

impl Slots {
    /// Adds the classes up.
    #[must_use]
    pub fn of(stats: &Stats) -> Self {
        stats.classes.iter().fold(Self::default(), Self::and)
    }

    fn and(self, class: &ClassStats) -> Self {
        let free = class.slots.saturating_sub(class.live_objects);
        Self {
            runs: self.runs.saturating_add(class.runs),
            slots: self.slots.saturating_add(class.slots),
            live_objects: self.live_objects.saturating_add(class.live_objects),
            free_bytes: self.free_bytes.saturating_add(free.saturating_mul(class.slot_size)),
            opened: self.opened.wrapping_add(class.opened),
            allocs: self.allocs.wrapping_add(class.allocs),
        }
    }

    /// Slots that are not allocated now.
    #[must_use]
    pub fn free(&self) -> usize {
        self.slots.saturating_sub(self.live_objects)
    }

    /// Bytes that a heap of these figures has in use: its live slots, and its live blocks with their headers; of a run that is
    /// all but its free slots.
    #[must_use]
    pub fn bytes_in_use(&self, stats: &Stats) -> usize {
        let live = stats.slab.live_bytes.saturating_add(stats.blocks.live_bytes);
        live.saturating_sub(self.free_bytes)
    }

    /// Objects that a heap of these figures has: slots, and blocks that are no runs.
    #[must_use]
    pub fn objects(&self, stats: &Stats) -> usize {
        let blocks = stats.blocks.live_objects.saturating_sub(self.runs);
        stats.slab.live_objects.saturating_add(blocks).saturating_add(self.live_objects)
    }

    /// Requests that a heap of these figures has served: by slots, and by blocks that are no runs.
    #[must_use]
    pub fn requests(&self, stats: &Stats) -> u64 {
        let blocks = stats.blocks.allocs.wrapping_sub(self.opened);
        stats.slab.allocs.wrapping_add(blocks).wrapping_add(self.allocs)
    }
}
