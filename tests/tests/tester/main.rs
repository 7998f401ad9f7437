//! The program `tester`, as its users meet it, and the pictures that it draws.

mod libraries;
mod pictures;
mod seeing;
mod tester;
mod tester_common;
mod tester_traces;
mod watching;
