//! The allocator that the firmware is built with, as its global allocator: the one that the feature names.
#![no_std]

#[cfg(not(any(
    feature = "slabfit-next",
    feature = "slabfit-first",
    feature = "slabfit-general",
    feature = "embedded-alloc"
)))]
mod locked;
#[cfg_attr(feature = "bump", path = "bump.rs")]
#[cfg_attr(any(feature = "slabfit-next", feature = "slabfit-first", feature = "slabfit-general"), path = "slabfit.rs")]
#[cfg_attr(feature = "talc", path = "peers/talc.rs")]
#[cfg_attr(feature = "rlsf", path = "peers/rlsf.rs")]
#[cfg_attr(feature = "linked-list", path = "peers/linked_list.rs")]
#[cfg_attr(feature = "embedded-alloc", path = "peers/embedded_alloc.rs")]
mod allocator;

/// Gives the allocator its memory, if it does not take it when it is first used. Called once, before everything.
pub use allocator::start;

/// Bytes that every allocator is given.
pub const HEAP: usize = if cfg!(feature = "large") { 64 << 10 } else { 16 << 10 };
