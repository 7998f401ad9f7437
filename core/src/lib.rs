//! A heap in one region of memory that the caller lends: a slab for objects of one size, blocks for all others.
//!
//! It needs no operating system and no `std`, never asks anybody for more memory, and takes nothing on trust: what is
//! allocated is known from a bitmap outside the heap's segments, so that an address that is wrong to free is refused,
//! whatever it is, and no byte that is written over in a segment can lead the allocator astray.
//!
//! ```
//! use slabfit::{Config, Heap, RegionArray};
//!
//! let mut array = RegionArray::<16384>::new();
//! let heap: Heap = Heap::new(&mut array, Config::new(64))?; // requests of 64 bytes go to the slab
//! let object = heap.alloc(100)?;
//! // SAFETY: nobody uses the object afterwards.
//! unsafe { heap.free(object.as_ptr()) }?;
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! As a program's allocator, in a static array, with nothing to call first: [`StaticHeap`]. For memory that is mapped,
//! on Linux, and for C programs: the crate `slabfit-linux` and the libraries beside it.
//!
//! # A region, a block, the map
//! ```text
//!               base                                                                  base + size
//! +-------------+------------------------+----------------------------------------------+
//! | bookkeeping | slab segment: 1/4      | block segment: 3/4                           |   the region
//! +-------------+------------------------+----------------------------------------------+
//!   a guard of    slots, side by side:     blocks, header H (16 bytes) before payload:
//!   64 bytes at   | used | free | used |   | H payload | H payload  | free    | H pay.. |
//!   its end                                                         ^ rover
//!
//! granules of 16 bytes  | H  A  A | H  B | .  .  . | H  C  C  C |
//! a block starts here     1  0  0   1  0   0  0  0   1  0  0  0     the block map: two bits for a granule,
//! a block ended before    1  0  0   1  0   1  0  0   0  0  0  0     in the bookkeeping
//! ```
//! What lies between the end of a block and the next start is a free block, a gap. To free `B` is to clear its two bits,
//! and the gap is then two granules longer: coalescing is not an operation. The bookkeeping also holds one bit for every
//! slot, and the sizes of the largest gaps in a tree, which finds the first gap that is large enough.
//! How all this works, with an example step by step, is told in [INTERNALS].
//!
//! Headers in the heap say the same in the form of a C struct ([`AllocatedHeader`], [`FreeHeader`]), for C programs,
//! debuggers and students who walk it. The allocator writes them, and reads one only to compare it: a live block whose
//! header is not what was written is not freed, but reported.
//!
//! # Words
//! | word | is |
//! |---|---|
//! | region | the caller's bytes |
//! | segment | the slab part or the block part of the region |
//! | slot | a unit of the slab |
//! | block | a unit of next fit or first fit, its header included |
//! | payload | the caller's part of a block |
//! | granule | the unit of every size and offset: 16 bytes, and 8 on 32-bit targets without an operating system |
//! | `length` | the field of the C headers, in bytes |
//! | size | a `usize`, in bytes |
//! | rover | next fit's moving pointer, at which the search for a free block begins |
//! | block map | the bits that say where allocated blocks start and end |
//! | gap | what lies between two blocks: a free block |
//!
//! # What holds
//! - An object is at a multiple of a granule, or of the alignment asked for, and nobody else's until it is freed.
//! - A request that cannot be served is an error, and nothing has changed. The heap never grows.
//! - [`free`](Heap::free) and [`realloc`](Heap::realloc) refuse every address that is not the first byte of a live
//!   object, and say what is wrong with it ([`Reason`]): outside the heap, misaligned, inside a block, never allocated,
//!   already free. An address that was freed and handed out again is live: no allocator can tell it from its new owner's.
//! - No byte of the two segments, however it was overwritten, makes a call read or write outside them, loop, panic, or
//!   hand memory out twice. [`check`](Heap::check) finds what was overwritten and [`repair`](Heap::repair) restores it.
//! - Where the region is one piece, the bookkeeping lies below the segments, so that a write past an object's end moves
//!   away from it. A wild write can still hit it: lend it a piece of its own where that matters
//!   ([`Memory::with_bookkeeping`]), between guard pages where there are any.
//! - Nothing allocates, panics, prints or calls out while a lock is held, but for [`with_free_ranges`](Heap::with_free_ranges), which
//!   is there to.
//! - Free blocks are always coalesced. When everything is freed, in any order, one block is left.
//! - Which address a request gets is specified and reproducible: the lowest free slot; the first gap that fits, from the
//!   rover on, or from the first byte ([`Policy`]).
//!
//! # What it costs
//! | operation | steps |
//! |---|---|
//! | `alloc`, `free`, `realloc` (beside its copying), `usable_size` | O(log) in the region's size, whatever the alignment and however many blocks |
//! | `stats`; `with_free_ranges` (beside what it calls); a step of `blocks` or `overwritten` | O(log) |
//! | `check`, `repair`, `dump` | linear |
//! | set-up | the bookkeeping is cleared, if it is not zero already; no slot is touched |
//!
//! A region of one piece loses to the bookkeeping, with its guard (64-bit targets; [`bookkeeping_size`] is exact):
//!
//! | | 4 KiB | 16 KiB | 64 KiB | 1 MiB | 64 MiB |
//! |---|---|---|---|---|---|
//! | slots of 64 bytes in a quarter | 9.0% | 3.1% | 2.1% | 1.6% | 1.5% |
//! | no slab | 9.0% | 4.2% | 2.5% | 2.0% | 2.0% |
//!
//! On 32-bit targets without an operating system, whose granules are of 8 bytes, 4.6% of 16 KiB go there. The [`Heap`] itself
//! is 576 bytes on 64-bit targets and 360 on 32-bit ones; a [`StaticArray`] has 640 bytes more than its array on the former
//! and 384 on the latter. A block costs its header, a granule, and is two granules at least; a slot costs nothing.
//! [`MIN_REGION`] is the least that makes a heap.
//!
//! The two segments have a lock each, which are never held together. There are no caches per thread: threads that
//! allocate all the time wait for each other.
//!
//! # Which lock
//! The type of a heap names its lock: `Heap<'_, L>`.
//!
//! | where | lock |
//! |---|---|
//! | one thread | [`NoLock`]: the heap is not `Sync`, so that the compiler knows |
//! | threads that have a core each and are not interrupted by handlers that allocate | [`SpinLock`] |
//! | interrupt handlers that allocate; kernels; a single core without threads | `CriticalSectionLock` |
//! | threads of a Linux program | `slabfit_linux::FutexLock`: sleeps, and refuses a signal handler |
//! | a system that has a mutex of its own | `LockApi04`, `LockApi05`, or [`RawLock`] for it |
//!
//! **A spin lock is wrong under interrupts.** A handler runs on the core that it interrupts. If the code it interrupts
//! holds the lock, the handler spins until that code gives it back, and that code runs on when the handler is done:
//! never. It is the same for a signal handler and its thread, and for a thread of higher priority that spins on the one
//! core that the holder needs. Nor does it help that the heap holds its lock for nanoseconds only: that makes the hang
//! rare, not impossible. Where handlers allocate, the lock must keep them out (mask interrupts) or know its owner and
//! refuse.
//!
//! # Features
//! All off by default; without them the crate needs nothing but `core`.
//!
//! | feature | gives |
//! |---|---|
//! | `allocator-api2-02`, `-03`, `-04` | `Allocator` of crate allocator-api2 0.2, 0.3, 0.4 for `&Heap`: a `Vec`, or a map of hashbrown (0.2), in a heap |
//! | `critical-section` | `CriticalSectionLock`, the critical section of crate critical-section 1 |
//! | `lock-api-04`, `lock-api-05` | `LockApi04`, `LockApi05`: any `RawMutex` of crate lock_api 0.4, 0.5 (which needs Rust 1.95) |
//!
//! On nightly compilers std's `Vec::new_in(&heap)` works too: enable `allocator-api2-02` here and feature `nightly` of crate
//! allocator-api2 0.2, whose `Allocator` is then std's.
//!
//! Rust 1.85 and later. On targets that have no atomic swap (thumbv6m) there is no [`SpinLock`]; name another lock.
//!
//! [INTERNALS]: internals
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
// See build.rs.
#![cfg_attr(slabfit_allocator_api, allow(unknown_lints, unused_features), feature(allocator_api))]
#![deny(unsafe_code)]
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
mod units;
mod header;
mod error;
mod stats;
mod policy;
mod memory;
mod region;
mod bits;
mod max_tree;
mod block_map;
mod blocks;
mod slab;
mod layout;
mod sync;
mod lock;
mod spin;
mod heap;
mod walk;
mod dump;
mod check;
mod fork;
mod lend;
mod adapter;

#[cfg(test)]
mod tests;

#[cfg(feature = "critical-section")]
pub use adapter::CriticalSectionLock;
#[cfg(feature = "lock-api-04")]
pub use adapter::LockApi04;
#[cfg(feature = "lock-api-05")]
pub use adapter::LockApi05;
pub use adapter::{StaticArray, StaticHeap};
pub use check::Violation;
pub use error::{AllocError, InitError, InvalidFree, ReallocError, Reason, Reentered};
pub use fork::HeapGuard;
pub use header::{AllocatedHeader, FreeHeader, MAGIC};
pub use heap::{DefaultLock, Heap};
pub use layout::{Config, MIN_HEAP, MIN_REGION, Segment, bookkeeping_size};
pub use lock::{NoLock, RawLock};
pub use memory::{Memory, RegionArray};
pub use policy::{FirstFit, NextFit, Policy};
#[cfg(target_has_atomic = "8")]
pub use spin::SpinLock;
pub use stats::{SegmentStats, Stats};
pub use units::{GRANULE, MAX_HEAP};
pub use walk::{Block, Overwritten, State, Walk};

#[cfg(doc)]
#[doc = include_str!("../INTERNALS.md")]
pub mod internals {}
