//! Gives `libmem.so` its soname: programs record the name that stands in the library, not the path it was linked by.
//!
//! And keeps it loaded after `dlclose`: the heap is the process's, whose objects, fork handlers and thread destructors know
//! nothing of who loaded the library. A library that is loaded again finds the heap where it was.

use std::env;

/// Set where cargo-c builds: it installs the library under a name with its version, and gives it that as its soname.
const CARGO_C: &str = "CARGO_C_CARGO";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={CARGO_C}");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    if env::var_os(CARGO_C).is_none() {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libmem.so");
    }
}
