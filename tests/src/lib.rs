//! What the tests of slabfit share: the reference model, a heap run beside it, memory for it, pictures of it; and the
//! tester.

pub mod abuse;
pub mod any_heap;
pub mod arena;
pub mod cached;
pub mod figure;
pub mod header;
pub mod model;
pub mod pair;
pub mod picture;
pub mod program;
pub mod scene;
pub mod tester;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../core/MIGRATING.md")]
struct Migrating;
