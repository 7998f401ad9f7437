//! `libmem_preload.so` in service: programs run with it in place of libc's malloc, each as a process of its own with a time
//! limit.
//!
//! The library is the one that cargo built for these tests, or the one that `SLABFIT_PRELOAD` names. A program that is not
//! installed is skipped in a line that nobody overlooks; `SLABFIT_PROGRAMS` names a folder with more of them, laid out as
//! `/` is.
#![cfg(target_os = "linux")]

mod contract;
mod family;
mod files;
mod footprint;
mod forks;
mod killed;
mod larger;
mod library;
mod pictures;
mod preloaded;
mod programs;
mod recording;
mod server;
mod settings;
mod statistics;
mod stepping;
mod tracing;
mod traces_lost;
