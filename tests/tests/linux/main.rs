//! What the crate `slabfit-linux` has beside the heap: mappings, its lock, output, trimming.

mod linux;
mod lock;
mod output;
mod system;
mod trimming;
