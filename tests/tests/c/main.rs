//! The programs in `tests/c`, against `libmem.so`.

#[path = "../c_common/mod.rs"]
mod c_common;
mod c_heaps;
mod c_programs;
