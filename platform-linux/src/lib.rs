//! [`slabfit`] heaps for Linux programs: memory mapped between guard pages, and a lock that sleeps instead of spinning.
//!
//! Needs neither `std` nor libc: the kernel is asked directly, through rustix. Each of its files may use only the ones before
//! it:
//! - `waiting`: what that lock asks of the machine and of the kernel;
//! - `lineage`: whether a process is a child that was made without a word;
//! - `futex`: [`FutexLock`], the lock of a heap that several threads share;
//! - `fork`: what a process's heap needs done around a fork;
//! - `mapping`: [`Mapping`], a heap's pages and its bookkeeping's, apart from each other and from everything else;
//! - `trim`: pages of free memory given back to the kernel;
//! - `heap`: [`MappedHeap`], which gives its memory back when it is dropped, and [`ProcessHeap`], which lives in a
//!   `static` for as long as the process does;
//! - `thread_cache`: [`ThreadCache`], the calling thread's cache of a process's heap;
//! - `placement`: [`Placement`], which policy a heap has, told at run time;
//! - `classes`: [`Slots`], the size classes of a heap together;
//! - `text`: numbers as people read them; `output`: [`Output`], text to a file; `cells`: a segment in equal shares; [`picture`]:
//!   a heap as SVG. These allocate nothing, so that a program's own malloc can complain and be drawn, at its exit or in a
//!   signal handler. They stand here, beside what needs them (`libmem.so`, `libmem_preload.so` and the tester), as a heap on a
//!   microcontroller has nowhere to write and to draw. The heaps here write nothing by themselves.
//!
//! ```
//! use slabfit::Config;
//! use slabfit_linux::{MapError, MappedHeap};
//!
//! let heap = MappedHeap::new(1 << 20, Config::new(64))?;
//! let object = heap.alloc(100).expect("the heap is empty");
//! // SAFETY: `object` is not used after this.
//! assert_eq!(unsafe { heap.free(object.as_ptr()) }, Ok(()));
//! # Ok::<(), MapError>(())
//! ```
#![no_std]
#![cfg(target_os = "linux")]
#![deny(unsafe_code)]

#[cfg(not(slabfit_loom))]
mod waiting;
mod lineage;
mod futex;
mod fork;
mod mapping;
mod fences;
mod trim;
mod heap;
#[cfg(not(slabfit_loom))]
mod thread_cache;
mod placement;
mod classes;
pub mod text;
mod output;
mod cells;
pub mod picture;

pub use cells::{Cell, Cells, slots};
pub use classes::Slots;
pub use futex::FutexLock;
pub use heap::{MapError, MappedHeap, ProcessHeap};
pub use lineage::is_orphan;
pub use mapping::{Mapping, SystemError};
pub use output::Output;
pub use placement::{Placed, Placement};
#[cfg(not(slabfit_loom))]
pub use thread_cache::ThreadCache;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
