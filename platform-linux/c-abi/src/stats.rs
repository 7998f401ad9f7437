//! A heap's figures, as C is given them: what each means stands in `mem.h`, and with the types of core that these copy.
#![deny(unsafe_code)]

use core::ffi::{c_int, c_ulong};

/// `struct mem_segment_stats`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SegmentStats {
    size: usize,
    live_bytes: usize,
    peak_bytes: usize,
    live_objects: usize,
    peak_objects: usize,
    free_bytes: usize,
    largest_free: usize,
    free_blocks: usize,
    allocs: c_ulong,
    frees: c_ulong,
    failed_full: c_ulong,
    failed_fragmented: c_ulong,
    refused_frees: c_ulong,
    corruptions: c_ulong,
}

/// `struct mem_stats`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Stats {
    slab: SegmentStats,
    next_fit: SegmentStats,
    spilled: c_ulong,
    refused_outside: c_ulong,
}

/// `struct mem_class_stats`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ClassStats {
    slot_size: usize,
    runs: usize,
    peak_runs: usize,
    opened: c_ulong,
    slots: usize,
    live_objects: usize,
    allocs: c_ulong,
    frees: c_ulong,
}

/// `mem_heap_class_stats`: the classes that a heap has at most.
pub const MEM_CLASSES: c_int = 16;

const _: () = assert!(slabfit::CLASSES == MEM_CLASSES as usize);

impl From<slabfit::ClassStats> for ClassStats {
    fn from(figures: slabfit::ClassStats) -> Self {
        Self {
            slot_size: figures.slot_size,
            runs: figures.runs,
            peak_runs: figures.peak_runs,
            opened: counter(figures.opened),
            slots: figures.slots,
            live_objects: figures.live_objects,
            allocs: counter(figures.allocs),
            frees: counter(figures.frees),
        }
    }
}

impl From<slabfit::SegmentStats> for SegmentStats {
    fn from(figures: slabfit::SegmentStats) -> Self {
        Self {
            size: figures.size,
            live_bytes: figures.live_bytes,
            peak_bytes: figures.peak_bytes,
            live_objects: figures.live_objects,
            peak_objects: figures.peak_objects,
            free_bytes: figures.free_bytes,
            largest_free: figures.largest_free,
            free_blocks: figures.free_blocks,
            allocs: counter(figures.allocs),
            frees: counter(figures.frees),
            failed_full: counter(figures.failed_full),
            failed_fragmented: counter(figures.failed_fragmented),
            refused_frees: counter(figures.refused_frees),
            corruptions: counter(figures.corruptions),
        }
    }
}

impl From<slabfit::Stats> for Stats {
    fn from(figures: slabfit::Stats) -> Self {
        Self {
            slab: figures.slab.into(),
            next_fit: figures.blocks.into(),
            spilled: counter(figures.spilled),
            refused_outside: counter(figures.refused_outside),
        }
    }
}

/// The widest number that C89 has: 32 bits on 32-bit targets, where a counter starts again from 0 as C's own do.
fn counter(count: u64) -> c_ulong {
    count as c_ulong
}
