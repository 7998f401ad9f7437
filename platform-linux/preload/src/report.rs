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
use slabfit::{CacheStats, ClassStats, SegmentStats, Stats};
use slabfit_linux::text::Grouped;
use slabfit_linux::{Output, Placement, Slots};

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

/// Bytes of the longest report in one line.
const LONGEST: usize = 4096;

extern "C" fn report() {
    // SAFETY: there is a heap, so nobody writes any more; and its size was read with what was written before it.
    let order = (HEAP.size() > 0).then(|| unsafe { *ORDER.0.get() });
    let Some(Some(order)) = order else { return };
    // Processes that come to their exits at once have lines of their own.
    let mut out = first_stderr(order.kept).with_lines_of::<LONGEST>();
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
    fn text(&self, stats: &Stats, out: &mut impl Write) -> fmt::Result {
        let (process, heap, placement) = (process(), Grouped(HEAP.size() as u64), HEAP.placement().name());
        write!(out, "slabfit: {Program}[{process}]: heap of {heap} bytes, ")?;
        match HEAP.slab_size() {
            0 if HEAP.is_hardened() => writeln!(out, "{placement}, hardened")?,
            0 => writeln!(out, "{placement}")?,
            slab_size => writeln!(out, "slab size {slab_size}, {placement}")?,
        }
        writeln!(out, "{:24}{:>20}{:>20}", "", "slab", "blocks")?;
        for ((label, slab), (_, blocks)) in figures(&stats.slab).into_iter().zip(figures(&stats.blocks)) {
            writeln!(out, "  {label:22}{:>20}{:>20}", Grouped(slab), Grouped(blocks))?;
        }
        writeln!(out, "  {:22}{:>20}", "spilled to blocks", Grouped(stats.spilled))?;
        writeln!(out, "  {:22}{:>20}", "refused, outside heap", Grouped(stats.refused_outside))?;
        if HEAP.placement() == Placement::General {
            write_classes(stats, out)?;
            let [most, made, attached, run_bytes] = cache_figures(&stats.caches).map(|(_, figure)| Grouped(figure));
            writeln!(out, "  caches: {attached} of {most}, {made} at once at most, with runs of {run_bytes} bytes")?;
        }
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

    fn json(&self, stats: &Stats, out: &mut impl Write) -> fmt::Result {
        let (process, placement) = (process(), HEAP.placement().word());
        write!(out, r#"{{"slabfit":{{"program":"{Program}","pid":{process},"heap":{},"#, HEAP.size())?;
        write!(out, r#""slab_size":{},"placement":"{placement}","#, HEAP.slab_size())?;
        write!(out, r#""hardened":{},"#, HEAP.is_hardened())?;
        for (segment, stats) in [("slab", &stats.slab), ("blocks", &stats.blocks)] {
            write!(out, r#""{segment}":{},"#, Object(figures(stats)))?;
        }
        out.write_str(r#""classes":["#)?;
        for (index, class) in existing(stats).enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(out, "{comma}{}", Object(class_figures(class)))?;
        }
        write!(out, r#"],"caches":{},"#, Object(cache_figures(&stats.caches)))?;
        let (bytes, objects, requests) = totals(stats);
        write!(out, r#""live_bytes":{bytes},"live_objects":{objects},"requests":{requests},"#)?;
        writeln!(out, r#""spilled":{},"refused_outside":{}}}}}"#, stats.spilled, stats.refused_outside)
    }
}

/// The size classes that the heap has.
fn existing(stats: &Stats) -> impl Iterator<Item = &ClassStats> {
    stats.classes.iter().filter(|class| class.slot_size > 0)
}

/// Bytes in use, objects that are live, and requests that were served, whatever serves them: a slot, or a block that is no run.
fn totals(stats: &Stats) -> (u64, u64, u64) {
    let slots = Slots::of(stats);
    (slots.bytes_in_use(stats) as u64, slots.objects(stats) as u64, slots.requests(stats))
}

/// A line for each size class that has served something, and what all of the heap comes to: the blocks count a run as one block.
fn write_classes(stats: &Stats, out: &mut impl Write) -> fmt::Result {
    let [slot_size, runs, peak, slots, live, allocs, frees] =
        ["slots of", "runs", "at peak", "slots", "live", "allocs", "frees"];
    writeln!(out, "  {slot_size:>8}{runs:>9}{peak:>9}{slots:>11}{live:>11}{allocs:>14}{frees:>14}")?;
    for class in existing(stats).filter(|class| class.allocs > 0) {
        let [slot_size, runs, peak, _, slots, live, allocs, frees] =
            class_figures(class).map(|(_, figure)| Grouped(figure));
        writeln!(out, "  {slot_size:>8}{runs:>9}{peak:>9}{slots:>11}{live:>11}{allocs:>14}{frees:>14}")?;
    }
    let (bytes, objects, requests) = totals(stats);
    let (bytes, objects, requests) = (Grouped(bytes), Grouped(objects), Grouped(requests));
    writeln!(out, "  with slots: {bytes} bytes live in {objects} objects, {requests} requests served")
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

/// A size class's figures and what they are called.
fn class_figures(class: &ClassStats) -> [(&'static str, u64); 8] {
    [
        ("slot size", class.slot_size as u64),
        ("runs", class.runs as u64),
        ("peak runs", class.peak_runs as u64),
        ("opened", class.opened),
        ("slots", class.slots as u64),
        ("live objects", class.live_objects as u64),
        ("allocs", class.allocs),
        ("frees", class.frees),
    ]
}

/// The caches' figures and what they are called.
fn cache_figures(stats: &CacheStats) -> [(&'static str, u64); 4] {
    [
        ("most", stats.most as u64),
        ("made", stats.made as u64),
        ("attached", stats.attached as u64),
        ("run bytes", stats.run_bytes as u64),
    ]
}

/// Figures as JSON has them.
struct Object<const N: usize>([(&'static str, u64); N]);

impl<const N: usize> fmt::Display for Object<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, &(label, figure)) in self.0.iter().enumerate() {
            let comma = if index > 0 { ',' } else { '{' };
            write!(f, r#"{comma}"{}":{figure}"#, Key(label))?;
        }
        f.write_char('}')
    }
}

/// A label as a key: with `_` for blanks, it is the name that the figure has in Rust.
struct Key(&'static str);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| f.write_char(if letter == ' ' { '_' } else { letter }))
    }
}
