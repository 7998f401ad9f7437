//! Has a crate of the product built with loom's atomics.

fn main() {
    println!("cargo::rustc-cfg=slabfit_loom");
    println!("cargo::rerun-if-changed=../cfg.rs");
}
