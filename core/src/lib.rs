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

mod bit_tree;
mod block_map;
mod blocks;
mod check;
mod dump;
mod error;
mod header;
mod heap;
mod lock;
mod max_tree;
mod next_fit;
mod region;
mod size;
mod slab;
mod spin;
mod stats;

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
