//! Sets the cfg `slabfit_allocator_api` where the compiler lets this crate name std's unstable `Allocator`.
//!
//! Where any crate of a build enables `allocator-api2/nightly`, the trait of allocator-api2 0.2 is std's, and whoever names it
//! must say `feature(allocator_api)`. Cargo tells nobody which features another crate has, so we say it wherever we may. On
//! stable compilers, where nobody may, nothing is set.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_BOOTSTRAP");
    println!("cargo::rustc-check-cfg=cfg(slabfit_allocator_api)");
    if env::var_os("CARGO_FEATURE_ALLOCATOR_API2_02").is_some() && may_name_allocator() == Some(true) {
        println!("cargo::rustc-cfg=slabfit_allocator_api");
    }
}

/// Whether the compiler takes a crate that asks for the feature. `None` if it cannot be asked.
fn may_name_allocator() -> Option<bool> {
    let out = env::var_os("OUT_DIR")?;
    let probe = Path::new(&out).join("probe.rs");
    fs::write(&probe, "#![no_std]\n#![feature(allocator_api)]\npub use core::alloc::Allocator;\n").ok()?;
    let mut compiler = Command::new(env::var_os("RUSTC")?);
    compiler.args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--out-dir"]).arg(&out).arg(&probe);
    // It says so if it does not; nobody need read that.
    Some(compiler.stderr(Stdio::null()).status().ok()?.success())
}
