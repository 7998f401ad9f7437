//! A heap in one region of memory that takes nothing on trust.
#![no_std]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used))]

#[cfg(test)]
extern crate std;

// In order of dependency: a file uses only what stands above it.
mod size;
mod header;
mod error;
mod stats;
mod region;
mod bit_tree;
mod max_tree;
mod block_map;
mod slab;
mod next_fit;
mod lock;
mod spin;
mod heap;
mod blocks;
mod dump;
mod check;
mod adapter;

#[cfg(feature = "critical-section")]
pub use adapter::CriticalSectionLock;
#[cfg(feature = "lock_api_04")]
pub use adapter::LockApi04;
#[cfg(feature = "lock_api_05")]
pub use adapter::LockApi05;
pub use adapter::{StaticArray, StaticHeap};
#[cfg(test)]
mod tests;

pub use blocks::{Block, Blocks, Overwritten, State};
pub use check::Violation;
pub use error::{AllocError, Fault, InitError, ReallocError, Reentered, WrongFree};
pub use header::{AllocatedHeader, FreeHeader, MAGIC};
pub use heap::{Config, DefaultLock, Heap, MIN_HEAP, MIN_REGION, Segment, bookkeeping_size};
pub use lock::{NoLock, RawLock};
pub use next_fit::Placement;
pub use region::{Memory, RegionArray, align_region};
pub use size::{GRANULE, MAX_HEAP};
#[cfg(target_has_atomic = "8")]
pub use spin::SpinLock;
pub use stats::{SegmentStats, Stats};
