//! The heap as others' traits, and others' locks for the heap.
//!
//! Each file meets a contract and does nothing more: what an allocator does is in `Heap` alone. Everything that needs another crate
//! is a feature of its own, off by default.

#[cfg(any(feature = "allocator-api2-02", feature = "allocator-api2-03", feature = "allocator-api2-04"))]
mod allocator;
mod banks;
#[cfg(feature = "critical-section")]
mod critical_section;
mod global_alloc;
#[cfg(any(feature = "lock-api-04", feature = "lock-api-05"))]
mod lock_api;
mod static_heap;

pub use self::banks::{Bank, Banks};
#[cfg(feature = "critical-section")]
pub use self::critical_section::CriticalSectionLock;
#[cfg(feature = "lock-api-04")]
pub use self::lock_api::LockApi04;
#[cfg(feature = "lock-api-05")]
pub use self::lock_api::LockApi05;
pub use self::static_heap::{StaticArray, StaticHeap};
