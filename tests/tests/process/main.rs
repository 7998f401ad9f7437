//! A process with a heap: programs in C against `libmem.so`, signals, waiting, forks, libraries that come and go, its end.

mod c_heaps;
mod c_programs;
#[path = "../c_common/mod.rs"]
mod c_common;
mod every_instruction;
mod life;
mod process_life;
mod signals;
mod waiting;
