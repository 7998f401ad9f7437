//! The figures at exit, for people or for machines.
//!
//! They go to the standard error that the process began with. Programs close theirs before they exit (all of coreutils
//! do), so it is kept open under another number, until the process executes another program.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::mem;

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::fs::fstat;
use rustix::io::{DupFlags, dup3, fcntl_getfd};
use rustix::process::getpid;
use slabfit::{SegmentStats, Stats};
use slabfit_linux::Output;
use slabfit_linux::text::Grouped;

use crate::heap::HEAP;
use crate::libc;
use crate::settings::Report;

/// What is to be reported, and where.
#[derive(Clone, Copy)]
struct Order {
    report: Report,
    /// The file at [`KEPT`]: the program may put another one in its place.
    kept: Option<Identity>,
}

/// Invariant: written while the heap has no memory, by the one thread that makes it, and never again.
struct Place(UnsafeCell<Option<Order>>);

// SAFETY: by the invariant nobody writes when there is a heap, and only then it is read.
unsafe impl Sync for Place {}

static ORDER: Place = Place(UnsafeCell::new(None));

/// Has a report made at exit.
///
/// # Safety
/// The heap has no memory yet, and no other thread is about to give it some.
pub(crate) unsafe fn order(report: Report) {
    let order = Order { report, kept: keep_stderr() };
    // SAFETY: nobody reads before there is a heap, and nobody else writes, by the terms of this function.
    unsafe { *ORDER.0.get() = Some(order) };
}

/// The program's standard error, whichever file it is at the time.
// SAFETY: only its number is ever used, in calls that take any.
const STDERR: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(2) };

/// Another number for standard error, above those that programs and shells use by themselves.
// SAFETY: as for `STDERR`.
const KEPT: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(300) };

/// A file's device and inode.
pub(crate) type Identity = (u64, u64);

fn identity(file: BorrowedFd<'_>) -> Option<Identity> {
    fstat(file).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

/// Opens standard error under the other number, if that is free or it is open there already, and says which file it is.
///
/// To be called when no other thread can open anything yet.
pub(crate) fn keep_stderr() -> Option<Identity> {
    if fcntl_getfd(KEPT).is_ok() {
        return identity(KEPT).filter(|kept| identity(STDERR).as_ref() == Some(kept));
    }
    // SAFETY: nothing is open under this number, and no other thread can open anything yet.
    let mut kept = unsafe { OwnedFd::from_raw_fd(KEPT.as_raw_fd()) };
    let copied = dup3(STDERR, &mut kept, DupFlags::CLOEXEC);
    // It stays open until the process ends; and if nothing was opened, nothing is to be closed.
    mem::forget(kept);
    copied.ok().and_then(|()| identity(KEPT))
}

/// Standard error as it was when it was kept, if it is still there, or else as it is now.
pub(crate) fn first_stderr(kept: Option<Identity>) -> Output {
    if kept.is_none() || identity(KEPT) != kept {
        return Output::stderr();
    }
    // SAFETY: the file is the one that was kept for this.
    unsafe { Output::to(KEPT.as_raw_fd()) }
}

/// The dynamic loader calls what stands in this section when the process exits, after the program's own exit handlers.
#[used]
// SAFETY: the section holds pointers to functions of this type, and this is one.
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = report;

extern "C" fn report() {
    // SAFETY: there is a heap, so nobody writes any more; and its size was read with what was written before it.
    let order = (HEAP.size() > 0).then(|| unsafe { *ORDER.0.get() });
    let Some(Some(order)) = order else { return };
    let mut out = first_stderr(order.kept);
    // A stream that takes no more is no reason of the heap, and there is nobody to tell.
    let _ = match HEAP.stats() {
        Ok(stats) if order.report == Report::Json => order.json(&stats, &mut out),
        Ok(stats) => order.text(&stats, &mut out),
        Err(error) => writeln!(out, "slabfit: {Program}[{}]: no report: {error}", process()),
    };
}

pub(crate) fn process() -> i32 {
    getpid().as_raw_nonzero().get()
}

impl Order {
    fn text(&self, stats: &Stats, out: &mut Output) -> fmt::Result {
        let (heap, slab_size) = (Grouped(HEAP.size() as u64), HEAP.slab_size());
        let (process, placement) = (process(), HEAP.placement().name());
        writeln!(out, "slabfit: {Program}[{process}]: heap of {heap} bytes, slab size {slab_size}, {placement}")?;
        writeln!(out, "{:24}{:>20}{:>20}", "", "slab", "blocks")?;
        for ((label, slab), (_, blocks)) in figures(&stats.slab).into_iter().zip(figures(&stats.blocks)) {
            writeln!(out, "  {label:22}{:>20}{:>20}", Grouped(slab), Grouped(blocks))?;
        }
        writeln!(out, "  {:22}{:>20}", "spilled from the slab", Grouped(stats.spilled))?;
        writeln!(out, "  {:22}{:>20}", "refused, outside heap", Grouped(stats.refused_outside))?;
        let (slab, blocks) = (&stats.slab, &stats.blocks);
        // The blocks have them all: what the slab cannot serve is asked of them.
        match blocks.failed_full + blocks.failed_fragmented {
            0 => write!(out, "  every request was served; ")?,
            failed => write!(out, "  {} requests got no memory; ", Grouped(failed))?,
        }
        match slab.refused_frees + blocks.refused_frees + stats.refused_outside {
            0 => writeln!(out, "no free was refused"),
            refused => writeln!(out, "{} frees were refused", Grouped(refused)),
        }
    }

    fn json(&self, stats: &Stats, out: &mut Output) -> fmt::Result {
        let (process, placement) = (process(), HEAP.placement().word());
        write!(out, r#"{{"slabfit":{{"program":"{Program}","pid":{process},"heap":{},"#, HEAP.size())?;
        write!(out, r#""slab_size":{},"placement":"{placement}","#, HEAP.slab_size())?;
        for (segment, stats) in [("slab", &stats.slab), ("blocks", &stats.blocks)] {
            write!(out, r#""{segment}":{{"#)?;
            for (index, (label, figure)) in figures(stats).into_iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                write!(out, r#"{comma}"{}":{figure}"#, Key(label))?;
            }
            out.write_str("},")?;
        }
        writeln!(out, r#""spilled":{},"refused_outside":{}}}}}"#, stats.spilled, stats.refused_outside)
    }
}

/// The program's name, without what JSON would not take between quotes.
pub(crate) struct Program;

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        libc::program_name().try_for_each(|byte| {
            let plain = (byte.is_ascii_graphic() || byte == b' ') && byte != b'"' && byte != b'\\';
            f.write_char(if plain { char::from(byte) } else { '?' })
        })
    }
}

/// A segment's figures and what they are called.
fn figures(stats: &SegmentStats) -> [(&'static str, u64); 14] {
    [
        ("size", stats.size as u64),
        ("live bytes", stats.live_bytes as u64),
        ("peak bytes", stats.peak_bytes as u64),
        ("live objects", stats.live_objects as u64),
        ("peak objects", stats.peak_objects as u64),
        ("free bytes", stats.free_bytes as u64),
        ("largest free", stats.largest_free as u64),
        ("free blocks", stats.free_blocks as u64),
        ("allocs", stats.allocs),
        ("frees", stats.frees),
        ("failed full", stats.failed_full),
        ("failed fragmented", stats.failed_fragmented),
        ("refused frees", stats.refused_frees),
        ("corruptions", stats.corruptions),
    ]
}

/// A label as a key: with `_` for blanks, it is the name that the figure has in Rust.
struct Key(&'static str);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| f.write_char(if letter == ' ' { '_' } else { letter }))
    }
}
