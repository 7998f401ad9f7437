//! Threads on one heap, and every lock under it. Nothing here needs libc: other targets run it as well.

mod caches;
mod locks;
mod threads;
