//! Where a heap places what it is asked for, beside the reference model: scenes drawn as blocks, and random programs.

mod alignment;
mod caches;
mod classes;
mod model;
mod placement;
mod random;
mod resizing;
mod scenarios;
