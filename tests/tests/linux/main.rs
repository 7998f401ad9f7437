//! What the crate `slabfit-linux` has beside the heap: mappings, its lock, output, trimming.

#[allow(dead_code, reason = "the programs of the library itself are run elsewhere")]
#[path = "../c_common/mod.rs"]
mod c_common;
mod linux;
mod lock;
mod output;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))] // what there are seccomp filters for
mod refused_memory;
mod system;
mod trimming;
