//! The tester: what runs against slabfit's own heap, and against any `libmem.so`. From the bottom to the top, each file
//! using only what stands before it:
//! - `size_arg`, `trace_args`, `picture_args`, `args`: the command line; `sys`: the operating system, where `std` ends;
//! - `extension`, `trace_error`, `trace`, `recordings`: what programs did, read from bytes that nobody trusts;
//! - `window`: the heap's memory; `allocator`, `own`: the three functions, and slabfit's heap behind them;
//! - `drawing`: the heap as characters; `session`: an allocator with its heap, every answer doubted; `conformance`, `replay`,
//!   `stress`: the suites;
//! - `runner`: a step of a suite in this process; `beacon`, `library`, `supervisor`: one in a child process, on a library;
//! - `report`, `run`: all steps, and what came of them;
//! - `replay_heap`, `replay_exact`: the calls of a trace made again, without a session's doubts; `sites`: who made them; `replay_command`, `leaks`, `advise`:
//!   what the subcommands of these names (the first is `replay`) say of a trace; `replay_malloc`, `footprint`: what one takes,
//!   beside other allocators;
//! - `replay_steps`: a trace on slabfit's own heap, step by step, to be looked at: `map` and `film` draw it, `plot` has its
//!   figures over time, `screen` and `watch` show it live.

pub mod advise;
pub mod allocator;
pub mod args;
pub mod beacon;
pub mod conformance;
pub mod drawing;
pub mod extension;
pub mod film;
pub mod footprint;
pub mod leaks;
pub mod library;
pub mod map;
pub mod own;
pub mod picture_args;
pub mod replay_malloc;
pub mod replay_steps;
pub mod replay_heap;
pub mod plot;
pub mod recordings;
pub mod replay_exact;
pub mod replay;
pub mod report;
pub mod replay_command;
pub mod run;
pub mod runner;
pub mod screen;
pub mod session;
pub mod sites;
pub mod size_arg;
pub mod stress;
pub mod supervisor;
pub mod sys;
pub mod trace;
pub mod trace_args;
pub mod trace_error;
pub mod watch;
pub mod window;
