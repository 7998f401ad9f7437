//! The program `tester`, as its users meet it, and the pictures that it draws.

mod tester_common;
mod pictures;
mod seeing;
mod tester;
mod tester_traces;
