//! What the malloc family of glibc says of itself, as glibc's manual pages have it: true figures of the heap.
//!
//! What those call the arena is the heap, all of it from the start; nothing is mapped beside it. Fast bins are the slots: those
//! of the slab, and those of the size classes.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_void};
use core::fmt::{self, Write};

use rustix::io::Errno;
use slabfit::Stats;
use slabfit_linux::{Output, Slots};

use crate::heap::HEAP;
use crate::libc::{self, set_errno};
use crate::start::heap;

/// `struct mallinfo2` and `struct mallinfo`, but for the width of their numbers.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Info<N> {
    /// Bytes of the heap.
    arena: N,
    /// Free blocks, and free slots.
    ordblks: N,
    smblks: N,
    /// Pieces mapped by themselves, and their bytes: there are none.
    hblks: N,
    hblkhd: N,
    /// Always 0.
    usmblks: N,
    /// Bytes of the free slots.
    fsmblks: N,
    /// Bytes in use, and all that are free.
    uordblks: N,
    fordblks: N,
    /// Bytes that `malloc_trim` looks at.
    keepcost: N,
}

/// The figures of the heap, which is made for that if need be; none in a signal handler that has interrupted it.
fn figures() -> Option<Stats> {
    heap().ok()?.stats().ok()
}

/// The free slots of the slab and of the size classes.
struct FreeSlots {
    count: usize,
    bytes: usize,
}

impl FreeSlots {
    fn of(stats: &Stats) -> Self {
        let slots = Slots::of(stats);
        Self { count: stats.slab.free_blocks + slots.free(), bytes: stats.slab.free_bytes + slots.free_bytes }
    }
}

fn info<N>(number: fn(usize) -> N) -> Info<N> {
    let stats = figures().unwrap_or_default();
    let (slots, Stats { slab, blocks, .. }) = (FreeSlots::of(&stats), &stats);
    Info {
        arena: number(slab.size + blocks.size),
        ordblks: number(blocks.free_blocks),
        smblks: number(slots.count),
        hblks: number(0),
        hblkhd: number(0),
        usmblks: number(0),
        fsmblks: number(slots.bytes),
        uordblks: number(Slots::of(&stats).bytes_in_use(&stats)),
        fordblks: number(slots.bytes + blocks.free_bytes),
        keepcost: number(blocks.free_bytes),
    }
}

/// The heap's figures.
// SAFETY: the name is libc's, whose function this stands in for, with the same signature; so below.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo2() -> Info<usize> {
    info(|number| number)
}

/// The heap's figures; what is too large for the type is its largest number.
// SAFETY: as for `mallinfo2`.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo() -> Info<c_int> {
    info(|number| c_int::try_from(number).unwrap_or(c_int::MAX))
}

/// Changes nothing, and says so: 0. None of libc's parameters has a meaning here.
// SAFETY: as for `mallinfo2`.
#[unsafe(no_mangle)]
pub extern "C" fn mallopt(parameter: c_int, value: c_int) -> c_int {
    let _ = (parameter, value);
    0
}

/// Prints the heap's size and the bytes in use to standard error.
// SAFETY: as for `mallinfo2`.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_stats() {
    let Info { arena, uordblks, .. } = mallinfo2();
    let mut out = Output::stderr();
    // A stream that takes no more is no reason of the heap, and there is nobody to tell.
    let _ = ["Arena 0:", "Total (incl. mmap):"].into_iter().try_for_each(|title| {
        writeln!(out, "{title}\nsystem bytes     = {arena:>10}\nin use bytes     = {uordblks:>10}")
    });
    let _ = writeln!(out, "max mmap regions = {0:>10}\nmax mmap bytes   = {0:>10}", 0);
}

/// Writes the heap's figures as XML to a stream: 0. -1 and `EINVAL` for options, of which there are none; -1 where the stream
/// takes no more.
///
/// # Safety
/// `stream` is a stream of libc that is open.
// SAFETY: as for `mallinfo2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_info(options: c_int, stream: *mut c_void) -> c_int {
    if options != 0 || stream.is_null() {
        set_errno(Errno::INVAL);
        return -1;
    }
    // SAFETY: as the caller promises.
    let mut out = unsafe { libc::Stream::new(stream) };
    match write_xml(&figures().unwrap_or_default(), &mut out) {
        Ok(()) => 0,
        Err(fmt::Error) => -1,
    }
}

/// In glibc's form. What is written is not looked at again: the figures may change, as the stream may ask for memory.
fn write_xml(stats: &Stats, out: &mut impl Write) -> fmt::Result {
    let (slots, blocks, size) = (FreeSlots::of(stats), &stats.blocks, HEAP.size());
    out.write_str("<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n</sizes>\n")?;
    for part in ["</heap>\n", "</malloc>\n"] {
        writeln!(out, "<total type=\"fast\" count=\"{}\" size=\"{}\"/>", slots.count, slots.bytes)?;
        writeln!(out, "<total type=\"rest\" count=\"{}\" size=\"{}\"/>", blocks.free_blocks, blocks.free_bytes)?;
        if part.starts_with("</malloc") {
            out.write_str("<total type=\"mmap\" count=\"0\" size=\"0\"/>\n")?;
        }
        for what in
            ["system type=\"current\"", "system type=\"max\"", "aspace type=\"total\"", "aspace type=\"mprotect\""]
        {
            writeln!(out, "<{what} size=\"{size}\"/>")?;
        }
        out.write_str(part)?;
    }
    Ok(())
}
