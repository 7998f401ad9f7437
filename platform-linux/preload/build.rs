//! Gives `libmem_preload.so` its soname, and keeps it loaded after `dlclose`: the heap is the process's, and the fork handlers,
//! a signal's handler and all who have objects know nothing of who loaded it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libmem_preload.so");
}
