//! What the tests of slabfit share, most of it from `slabfit-model`: the reference model, a heap run beside it, memory for it,
//! pictures of it; and the tester.

pub mod abuse;
pub mod any_heap;
pub mod figure;
pub mod scene;
pub mod tester;

pub use slabfit_model::{arena, cached, header, model, pair, picture, program};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../core/MIGRATING.md")]
struct Migrating;
