//! `libmem_preload.so`: malloc and its family on one heap of a fixed size, in place of libc's, for any program.
//!
//! ```text
//! SLABFIT_HEAP=256M LD_PRELOAD=/path/to/libmem_preload.so program
//! ```
//! The heap is mapped at the first call, as large as it will ever be. When it is full a request gets null and `ENOMEM`, and
//! no other memory is mapped for it.
//!
//! Not served is what does not ask libc's malloc: memory that a program maps itself, by `mmap`; a program that is linked
//! statically or brings a malloc of its own, as rustc does; one with more rights than its user, for which the loader ignores
//! such libraries. The README has the whole list.
//!
//! # Settings
//! All from the environment that the process began with. A wrong one ends the process with a line on standard error and
//! status 127, as a shell does for a program that it cannot start; so does a folder that is not there. A name that begins with
//! `SLABFIT_` and is none of these is said in a line, and the program runs. A program with more rights than its user (one with
//! the set-user-ID bit, or with capabilities) obeys none of them: all are as if absent.
//!
//! Sizes have a unit, `K`, `M` or `G` (also as `KiB` and so on), all of them powers of 1024. A number alone is bytes; for a heap
//! it is 65536 at least, as a smaller one has lost its unit.
//!
//! | variable | is | if absent |
//! |---|---|---|
//! | `SLABFIT_HEAP` | the heap, as `256M` or `2GiB`; rounded up to whole pages, at most 64 GiB | 256M |
//! | `SLABFIT_SLAB` | bytes of the requests that a slab serves, in the first quarter of the heap; `0` for no slab | 0 |
//! | `SLABFIT_PLACEMENT` | `general`, `first` or `next`: see below | `general` |
//! | `SLABFIT_CACHE` | how many threads at once may have a cache of their own, at most 4095; `0` for none: see below | 1024 |
//! | `SLABFIT_HARDEN` | `1`: the program's own mistakes are found: see below | `0` |
//! | `SLABFIT_ABORT` | `1`: a wrong `free` aborts the process, and so does what `SLABFIT_HARDEN` finds; `0`: it is refused | `0`; `1` beside `SLABFIT_HARDEN=1` |
//! | `SLABFIT_STATS` | `1`: a report at exit, on standard error; `json`: the same in one line for machines; `0`: none | `0` |
//! | `SLABFIT_MAP` | a file's name: the heap is drawn to it at exit, as SVG; see below | no picture |
//! | `SLABFIT_MAP_SIGNAL` | `USR1`, `USR2`, `HUP`, `QUIT`, `URG` or `WINCH`: it is drawn whenever this signal comes, and not at exit | at exit |
//! | `SLABFIT_TRACE` | a file in which every call is recorded, as `trace` says (in `trace/mod.rs`); a zstd file if its name ends in `.zst` | none |
//! | `SLABFIT_TRACE_STACK` | so many return addresses of each call are recorded, at most 16, with `SLABFIT_TRACE` | 0 |
//! | `SLABFIT_DATA` | the most memory of its own that the process may have, see below | no limit |
//! | `SLABFIT_HELP` | `1`: these settings are printed, and the program does not run | `0` |
//!
//! # Placements
//! - `general`: a request of up to 512 bytes gets a slot of its size class, others get blocks by first fit. Slots lie in runs, pieces
//!   of 1 to 8 KiB, without headers; a run without a live slot is free memory again. Small objects cost no search.
//! - `first`: every request gets a block, the first one that is large enough.
//! - `next`: the same from where the last search ended, as the C library's `Mem_*` do it.
//!
//! # Caches
//! Under `general` each thread has a cache: runs of slots of its own, from which it serves its requests of up to 512 bytes without
//! waiting for another thread. Whoever frees an object, its slot returns to the thread that owns the run. All is given back when the
//! thread ends. What waits in caches beside live objects is, for each thread and size class, up to 32 slots at hand and one run without
//! a live slot; and what others have freed of a thread's objects, until it runs out of slots of its own, or until memory is short and all
//! slots of a run were freed. A thread opens a run only while an eighth of the heap is free; then the heap serves it.
//!
//! There is one cache for each 64 KiB of heap at most. On other processors than x86-64 and AArch64 there are none, and while calls are
//! recorded (`SLABFIT_TRACE`): there calls come one after the other, in the order of the record.
//!
//! With a slab (`SLABFIT_SLAB`) requests of exactly that size get a slot of it first, under each of them.
//!
//! # Hardened
//! With `SLABFIT_HARDEN=1` the heap is one of [`Hardened`](slabfit::Hardened) `general` or `first`, with a key of the kernel's random
//! numbers. It finds writes past an object's end and before its start, writes after the free, double frees that come late, and in
//! `free_sized`, `free_aligned_sized` and C++'s sized `operator delete` each size that is not the object's, to the byte. What it finds it
//! says in a line, and the process aborts. Objects of 64 KiB and more stand between inaccessible pages, and objects of 0 bytes have
//! addresses in such: an access there ends the process by SIGSEGV, after a line if it has no handler of its own:
//! ```text
//! slabfit: 0x7f0123456780: 1 byte written past the end of an object of 24 bytes
//! slabfit: 0x7f0123456780: 4 bytes written after the free, at offset 8
//! slabfit: 0x7f0123456000: access 1 bytes before the start of an object of 100000 bytes
//! slabfit: operator delete(0x7f0123456780): not an object of 16 bytes, it was asked for with 24
//! ```
//! With `SLABFIT_ABORT=0` the process goes on: the object stays live, and memory that was written to after its free is cleared.
//!
//! There is no slab and there are no caches, whatever `SLABFIT_SLAB` and `SLABFIT_CACHE` say. `SLABFIT_PLACEMENT=next` is refused beside
//! it, and so is `SLABFIT_TRACE`: no replay could repeat addresses that are random. `malloc_usable_size` is what was asked for.
//!
//! # What the cap caps
//! The heap is what malloc and its family hand out, and no more of that is ever mapped. It is no cap of the process: what a program
//! maps itself (`mmap`, as runtimes with an allocator of their own do for large objects), its stacks, its code and the pages of
//! files are beside it, and so is the library's bookkeeping: address space of some 13% of the heap and 3 KiB
//! for each cache, of which what is used becomes resident. With `SLABFIT_DATA` the kernel refuses what would
//! make all memory of the process's own more than that, the heap and its bookkeeping included: it is the limit `RLIMIT_DATA`,
//! which is for private memory that can be written to, resident or not (so a thread's stack counts in full), and which the
//! programs inherit that this one starts. What is shared, as by `MAP_SHARED`, no such limit counts: for that, a memory cgroup.
//!
//! # What C programs are promised
//! - Every object is aligned to 16, two live ones never overlap, and `malloc(0)` is an object like any other.
//! - `free` of an address that is no live object's is refused, with one line on standard error: `slabfit: free(0x..): ` and
//!   what is wrong. So it is in `realloc`, which answers null and `EINVAL`. `free` leaves `errno` alone.
//! - `realloc(p, 0)` is `free(p)` and answers null, as glibc's does. A realloc that fails leaves the object as it was.
//! - `calloc` answers zeros, unless the program has written past an object's end into memory that none has reached yet.
//! - `posix_memalign` and `aligned_alloc` refuse an alignment that is no power of two (`EINVAL`; the former also one below
//!   the size of a pointer); `memalign` takes the next power of two, as glibc's does.
//! - `mallinfo`, `mallinfo2`, `malloc_info` and `malloc_stats` tell the heap's true figures; `mallopt` changes nothing and
//!   answers 0. `free_sized` and `free_aligned_sized` (C23) refuse an object that was none of that size, as a wrong free, as far
//!   as can be known: a slot may hold an object that has shrunk.
//! - All of it works in every thread, and on both sides of a fork. A fork takes libc's locks before the heap, as with libc's own
//!   malloc. A child made by `clone` or `_Fork` may be refused memory, if another thread was in the heap; it never waits for it.
//! - In a signal handler that interrupted the heap itself a request gets null and `ENOMEM`, and a free is refused: no thread ever
//!   waits for itself. One that interrupted its thread's cache is served, by the heap.
//!
//! # Pages given back
//! Free memory does not stay resident for good. When a program has freed 4 MiB and a quarter of what it had at most, the frees
//! that follow give the pages of free blocks back to the kernel, one in 8 of them a piece of at most 256 KiB, so that none takes
//! long; a free of 64 KiB or more gives back its own pages at once, and as many others; `malloc_trim` gives all back. They are the
//! heap's as before, and their first use costs what it did at first. Pages of the slab go back where all slots that they hold are
//! free. A run of a size class keeps its pages while a slot of it is live or at hand; those at hand are given back first.
//!
//! # Names of files
//! In the name of a picture or a trace `%p` stands for the number of the process and `%%` for `%`; in a picture's also `%n` for how
//! many pictures the process has drawn, this one included. No other `%` is allowed. A name that does not begin with `/` is one in
//! the directory that the program began in. With all that put in, it has at most 1000 bytes.
//!
//! # Pictures
//! - Without `%n` in its name a picture takes the place of the one before.
//! - A process that was forked draws only where the name has `%p`, so that it never draws over its parent's picture. A program
//!   that was executed is another program and draws for itself: with one name for several, the last one to draw is seen.
//! - It is drawn at `exit`, or when `main` returns, after the program's exit handlers; not by `_exit` or a signal.
//! - A signal is answered at once, by its handler, which allocates nothing. If it has interrupted its thread in the heap, or a
//!   picture is being drawn already, the next request for memory by any thread draws it instead: no thread waits for itself.
//!   A program that has its own handler for the signal, or blocks it, gets no picture: choose another one.
//! - A picture that cannot be written is said in one line on standard error, and the program goes on: where files may not be so
//!   large (`ulimit -f`), the disk is full, or nobody reads the FIFO. (One that somebody has open is written to as fast as it is
//!   read.) That its folder is there is looked at when the program begins.
//!
//! # How it is made
//! No `std` (with `panic = "abort"`, as the release profile has it): the first call comes from the dynamic loader, when
//! nothing of a Rust program's or of libc's own start has happened, and whatever allocates would come back here. Of libc
//! only what `libc.rs` lists is used. A file may use only those before it:
//! - `libc`: libc's own things: `errno`, the environment, `abort`, fork handlers;
//! - `name`: the name of a file to be made;
//! - `settings`: what the environment says;
//! - `heap`: the heap of the process, and what becomes of wrong frees;
//! - `trace`: records every call;
//! - `fork`: keeps the heap whole over a fork;
//! - `report`: the figures at exit;
//! - `map`: the pictures;
//! - `fault`: what an access was beside that ends the program;
//! - `start`: makes the heap at its first use;
//! - `malloc`: the functions that C finds by name, `cxx`: those that C++ does, and `figures`: those among them that tell how the heap is.
#![cfg_attr(panic = "abort", no_std)]
#![cfg(target_os = "linux")]
#![deny(unsafe_code)]

mod libc;
mod name;
mod settings;
mod heap;
mod trace;
mod fork;
mod report;
mod map;
mod fault;
mod start;
mod malloc;
#[cfg(target_pointer_width = "64")]
mod cxx;
mod figures;

/// The compiler asks for one, and the linker leaves it out again: nothing in here panics.
#[cfg(panic = "abort")]
#[panic_handler]
fn unreachable(_: &core::panic::PanicInfo<'_>) -> ! {
    libc::abort()
}
