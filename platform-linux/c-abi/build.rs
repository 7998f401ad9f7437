//! Gives `libmem.so` its soname: programs record the name that stands in the library, not the path it was linked by.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libmem.so");
}
