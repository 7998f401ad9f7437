//! A heap in one region of memory that the caller lends: slots for objects of one size or of a few, blocks for all others.
//!
//! It needs no operating system and no `std`, and never asks for more memory. What is allocated is known from a map of bits
//! outside the heap, so every wrong free is refused with its reason, and no byte that is overwritten in the heap leads the
//! allocator astray.
//!
//! # Quick start
//! ```
//! use slabfit::{Config, Heap, Reason, RegionArray};
//!
//! let mut array = RegionArray::<16384>::new(); // or a slice of `MaybeUninit<u8>`
//! let heap = Heap::new(&mut array, Config::new(64))?; // requests of exactly 64 bytes go to the slab
//!
//! let slot = heap.alloc(64)?.as_ptr();
//! let block = heap.alloc(100)?.as_ptr();
//! assert!(heap.usable_size(block)? >= 100);
//!
//! // SAFETY: nobody uses the slot afterwards. Any address may be passed.
//! unsafe { heap.free(slot) }?;
//! // SAFETY: as above.
//! let again = unsafe { heap.free(slot) };
//! assert_eq!(again.unwrap_err().reason, Reason::DoubleFree);
//! heap.check()?; // every invariant and every header
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! As a program's global allocator, in a static array, with no call that sets it up:
//!
//! ```
//! use slabfit::{Config, DefaultLock, General, StaticArray, StaticHeap};
//!
//! static ARRAY: StaticArray<{ 1 << 20 }, DefaultLock, General> = StaticArray::new();
//!
//! #[global_allocator]
//! static HEAP: StaticHeap<DefaultLock, General> = StaticHeap::new(&ARRAY, Config::without_slab());
//!
//! fn main() {
//!     let words = vec!["all", "of", "them", "in", "the", "array"];
//!     assert!(HEAP.owns(words.as_ptr().cast()));
//! }
//! ```
//!
//! For mapped memory on Linux and for C programs there are the crate `slabfit-linux` and the libraries beside it.
//!
//! # Region, blocks, map
//! ```text
//!               base                                                                  base + size
//! +-------------+------------------------+----------------------------------------------+
//! | bookkeeping | slab segment: 1/4      | block segment: 3/4                           |   the region
//! +-------------+------------------------+----------------------------------------------+
//!   ends in a     slots, side by side:     blocks, a header H before each payload:
//!   guard of 4    | used | free | used |   | H payload | H payload  | free    | H pay.. |
//!   granules                                                        ^ rover
//!
//! granules               | H  A  A | H  B | .  .  . | H  C  C  C |
//! a block starts here      1  0  0   1  0   0  0  0   1  0  0  0    the block map: two bits for each boundary
//! a block ended here       1  0  0   1  0   1  0  0   0  0  0  0    between granules, in the bookkeeping
//! ```
//! Between the end of a block and the next start lies a gap, a free block. To free `B` clears its two bits, and the gap is
//! two granules longer: coalescing is not an operation. The bookkeeping also has a bit for each slot, and a tree of the
//! largest gaps, which finds the first gap that is large enough. [INTERNALS] explains it step by step.
//!
//! Under [`General`] some blocks are *runs* of slots: they have no header, and the bookkeeping has a bit for each live slot.
//!
//! The headers in the heap ([`AllocatedHeader`], [`FreeHeader`]) are a copy, for C programs, debuggers and students. The
//! allocator writes them and reads only one: it compares a live block's header before it frees the block.
//!
//! # Words
//! | word | means |
//! |---|---|
//! | region | the caller's bytes |
//! | segment | the slab part or the block part of the region |
//! | slot | a unit of one fixed size, in the slab or in a run |
//! | block | a unit of next fit or first fit, header included |
//! | size class | the sizes that one slot size serves ([`General`]) |
//! | run | an aligned piece of the block segment, cut into slots of one class |
//! | magazine | a stack of free slots of one class, kept at hand |
//! | cache | an owner's magazines and runs ([`Cache`]) |
//! | payload | the caller's part of a block |
//! | object | what a request returns: a slot or a payload |
//! | granule | the unit of sizes and offsets: 16 bytes, and 8 on 32-bit bare metal ([`GRANULE`]) |
//! | chunk | the granules of one native word of bits: 64 or 32 |
//! | gap | a free block |
//! | rover | next fit's moving pointer, where the search begins |
//! | block map | the bits that say where allocated blocks start and end |
//! | policy | how blocks are placed, a type |
//! | invalid free | a free or realloc of an address that is no live object's start ([`InvalidFree`]) |
//! | double free | an invalid free of an object that was freed |
//! | header overwritten | a live block's header is not what the allocator wrote |
//! | `length` | the field of the C headers, in bytes |
//!
//! # Which policy
//! The type of a heap names its policy: `Heap<'_, L, P>`. A program holds the code of its own policy only.
//!
//! | policy | searches | in the heap | choose it for |
//! |---|---|---|---|
//! | [`NextFit`], the default | from the rover on, wrapping once | a list of gaps and of free slots, by address | memory to spare; `Mem_Alloc`; teaching |
//! | [`FirstFit`] | from the segment's first byte | no list: every `next` is null | small heaps, and programs that run long: it fragments less |
//! | [`General`] | nowhere for up to 512 bytes: a slot is at hand; then as first fit | as first fit; slots have no header | a program's global allocator, from 64 KiB on |
//!
//! ```
//! use slabfit::{Config, DefaultLock, FirstFit, Heap, RegionArray};
//!
//! let mut array = RegionArray::<16384>::new();
//! let heap: Heap<'_, DefaultLock, FirstFit> = Heap::from_memory(&mut array, Config::without_slab())?;
//! # assert!(heap.alloc(100).is_ok());
//! # Ok::<(), slabfit::InitError>(())
//! ```
//!
//! # What holds
//! - An object lies at a multiple of [`GRANULE`], or of the alignment asked for, and is nobody else's until it is freed.
//! - The address of each object is specified: the lowest free slot; the top of a class's magazine; else the first gap that fits, in
//!   the policy's order.
//! - A failed request is an error and changes nothing. The heap grows only where you [`extend`](Heap::extend) it.
//! - [`free`](Heap::free) and [`realloc`](Heap::realloc) refuse every address that is not a live object's start, and say
//!   why ([`Reason`]). An address that was freed and handed out again is live: no allocator can tell its two owners apart.
//! - [`free_sized`](Heap::free_sized) and a global allocator are told the object's layout, and refuse one that does not fit
//!   ([`Reason::SizeMismatch`]).
//! - A refusal that a global allocator cannot return is counted, and so that it is not silent, [`Hooks`] report it or stop the program.
//! - Whatever is written over the bytes of the two segments, no call leaves them, loops, panics, or hands memory out twice.
//!   [`check`](Heap::check) finds overwritten headers, and [`repair`](Heap::repair) rewrites them.
//! - In a region of one piece the bookkeeping lies below the segments, so a write past an object's end moves away from it.
//!   A wild write can still hit it: where that matters, lend it memory of its own ([`Memory::with_bookkeeping`]).
//! - While a lock is held nothing allocates, panics, prints or runs foreign code, except what is passed to
//!   [`with_free_ranges`](Heap::with_free_ranges) and [`with_free_slots`](Heap::with_free_slots).
//! - Gaps are coalesced at once: when everything is freed, in any order, one gap is left.
//!
//! # What it costs
//! | call | time |
//! |---|---|
//! | `alloc`, `alloc_layout` (any alignment), `free`, `free_sized`, `free_measured`, `usable_size` | O(log) in the region's size, worst case |
//! | `realloc` | O(log), and the copy if the object moves |
//! | `extend` | O(log) |
//! | `alloc_zeroed`, `alloc_layout_zeroed` | O(log), and the bytes that are cleared |
//! | `stats`, `rover` | O(1) |
//! | `with_free_ranges` | O(log), and the work that is passed in |
//! | `with_free_slots` | linear in the slots that it looks at, and the work that is passed in |
//! | a step of `blocks` or `overwritten` | O(log): a whole walk is linear in slots and blocks |
//! | `check`, `repair`, `dump` | linear in the region, with a lock held in `check` and `repair` |
//! | `new`, `init` | clears the bookkeeping, unless it is zeros already; touches no slot |
//!
//! Bookkeeping and guard take this share of a region of one piece (on 64-bit targets; [`bookkeeping_size`] is exact):
//!
//! | | 4 KiB | 16 KiB | 64 KiB | 1 MiB | 64 MiB |
//! |---|---|---|---|---|---|
//! | slots of 64 bytes in a quarter | 9.0% | 3.1% | 1.9% | 1.4% | 1.4% |
//! | no slab | 9.0% | 3.4% | 2.3% | 1.8% | 1.8% |
//! | no slab, `General` | 9.0% | 3.4% | 5.4% | 3.1% | 2.8% |
//!
//! On 32-bit bare metal, with granules of 8 bytes, it is 4.6% of 16 KiB. The [`Heap`] itself is 640 bytes on 64-bit targets
//! and 368 on 32-bit ones; a [`StaticArray`] has 704 bytes more than its array on the former and 384 on the latter. A block
//! takes a header of one granule and is two granules at least; a slot has no header. [`MIN_REGION`] is the smallest region
//! that makes a heap.
//!
//! The two segments have a lock each, and no call waits for one while it holds the other. Threads that allocate all the
//! time wait for each other, unless each has a [`Cache`] of a [`General`] heap.
//!
//! # Threads
//! A [`Cache`] serves small objects from runs of its own, without a lock: a thread's, a core's, an interrupt level's. A heap has as many
//! as its [`Config::caches`] says. Its objects are the heap's: any thread may free them, through its own cache or the heap, and each
//! free is as exact as without caches. `slabfit_linux::ProcessHeap::with_cache` gives each thread of a process its own. Caches need 64-bit
//! atomics.
//!
//! With caches the order in which an address is handed out is specified for each cache; between threads it is whatever the threads do.
//!
//! # Which lock
//! | where | lock |
//! |---|---|
//! | one thread | [`NoLock`]: the heap is not `Sync`, so the compiler checks it |
//! | threads with a core each, and no handler that allocates | [`SpinLock`], the default |
//! | interrupt handlers that allocate; kernels; one core without threads | `CriticalSectionLock` |
//! | threads of a Linux program | `slabfit_linux::FutexLock`: sleeps, and refuses a signal handler that would wait for itself |
//! | a system with a mutex of its own | `LockApi04`, `LockApi05`, or [`RawLock`] implemented for it |
//!
//! **A spin lock hangs under interrupts.** A handler runs on the core that it interrupts. If that code holds the lock, the
//! handler spins for a lock that is released only after it returns. The same holds for a signal handler and its thread, and
//! for a thread of higher priority that spins on the holder's core. That the heap holds a lock only briefly makes the hang
//! rare, not impossible. Where handlers allocate, the lock must mask them, or know its owner and refuse.
//!
//! # Memory that is not zeroed
//! A [`StaticArray`] relies on start-up code to zero it, as `.bss` is. For a section that is not zeroed (NOLOAD, CCM, external
//! RAM) use a [`RegionArray`] and give it to a `static` heap made by [`Heap::empty`]: [`RegionArray`] shows how. Set-up then
//! clears the bookkeeping itself.
//!
//! # Memory that is added later
//! [`Config::reserve`] sizes the bookkeeping for memory that [`Heap::extend`] adds at the heap's end: from a kernel's page allocator, or
//! from WebAssembly's `memory.grow`. Memory elsewhere is another heap, and [`Banks`] join the two.
//!
//! # RAM in several pieces
//! [`Banks`] make one allocator of several heaps: in the order of preference, or by a rule of yours, such as "buffers for the device in
//! the memory that it reaches".
//!
//! # Targets without compare-and-swap
//! On these (thumbv6m, for one) there is no [`SpinLock`], and the default lock is [`NoLock`], which cannot be in a
//! `static`. Name a lock in both types: `StaticArray<4096, CriticalSectionLock>` and `StaticHeap<CriticalSectionLock>`.
//!
//! # Features
//! All are off by default. Without them the crate depends on `static_assertions` only, which is compile-time code.
//!
//! | feature | gives |
//! |---|---|
//! | `allocator-api2-02`, `-03`, `-04` | `Allocator` of crate allocator-api2 0.2, 0.3, 0.4 for `&Heap`: a `Vec`, or a map of hashbrown (0.2), in a heap |
//! | `critical-section` | `CriticalSectionLock`, the critical section of crate critical-section 1 |
//! | `defmt` | `Format` of crate defmt 1 for errors and figures |
//! | `lock-api-04`, `lock-api-05` | `LockApi04`, `LockApi05`: any `RawMutex` of crate lock_api 0.4, 0.5 (which needs Rust 1.95) |
//!
//! On nightly compilers std's `Vec::new_in(&heap)` works too: enable `allocator-api2-02` here and feature `nightly` of crate
//! allocator-api2 0.2, whose `Allocator` is then std's.
//!
//! The oldest compiler is Rust 1.85.
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
mod messages;
mod hooks;
mod pages;
mod stats;
mod sync;
mod lent;
mod memory;
mod bytes;
mod region;
mod bits;
mod boundaries;
mod bit_tree;
mod max_tree;
mod maxima;
mod block_map;
mod size_class;
#[cfg(target_has_atomic = "64")]
mod owned;
mod claim;
mod classes;
mod ward;
mod policy;
mod blocks;
#[cfg(target_has_atomic = "64")]
mod caches;
mod runs;
mod slab;
mod layout;
mod lock;
mod spin;
mod segments;
mod hardened;
mod heap;
mod extend;
mod walk;
mod dump;
mod check_ward;
mod check;
#[cfg(target_has_atomic = "64")]
mod cache;
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
pub use adapter::{Bank, Banks, StaticArray, StaticHeap};
#[cfg(target_has_atomic = "64")]
pub use cache::Cache;
pub use error::{
    AllocError, CacheError, Damage, ExtendError, InitError, InvalidFree, ReallocError, Reason, Reentered, Trap,
    Violation,
};
pub use fork::HeapGuard;
pub use header::{AllocatedHeader, FreeHeader, MAGIC};
pub use hooks::Hooks;
pub use layout::{Config, MIN_HEAP, MIN_REGION, Segment, bookkeeping_size};
pub use lock::{NoLock, RawLock};
pub use memory::{Memory, RegionArray};
pub use pages::Pages;
pub use policy::{FirstFit, General, Hardened, NextFit, Policy};
pub use segments::{DefaultLock, Heap};
#[cfg(target_has_atomic = "8")]
pub use spin::SpinLock;
pub use stats::{CLASSES, CacheStats, ClassStats, QuarantineStats, SegmentStats, Stats};
pub use units::{GRANULE, MAX_HEAP};
pub use walk::{Block, Kind, Overwritten, State, Walk};

#[cfg(doc)]
#[doc = include_str!("../INTERNALS.md")]
pub mod internals {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
