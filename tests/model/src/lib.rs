#![doc = include_str!("../README.md")]

pub mod any_heap;
pub mod arena;
pub mod cached;
pub mod header;
pub mod lock;
pub mod model;
pub mod pair;
pub mod picture;
pub mod program;
#[cfg(feature = "proptest")]
pub mod strategy;
