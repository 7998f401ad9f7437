//! Where a heap places what it is asked for, drawn as blocks: see each module.

mod alignment;
mod caches;
mod classes;
mod placement;
mod resizing;
mod scenarios;
