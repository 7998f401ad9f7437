//! What the abuse tests share: how long they run, who watches them, memory between inaccessible pages, a heap that can
//! be put back to an earlier state in nanoseconds, and every layout that a segment can have.
//!
//! They are quick unless `SLABFIT_ABUSE` says `ci` or `soak`. `SLABFIT_SEED=n` runs the one case of that seed again.

pub mod fenced;
pub mod lab;
pub mod layouts;
pub mod level;
pub mod watch;
