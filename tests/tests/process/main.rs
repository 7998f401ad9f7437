//! A process with a heap: signals, waiting, forks, libraries that come and go, its end.

#[allow(dead_code, reason = "the programs of the library itself are run elsewhere")]
#[path = "../c_common/mod.rs"]
mod c_common;
mod every_instruction;
mod life;
mod process_life;
mod signals;
mod waiting;
