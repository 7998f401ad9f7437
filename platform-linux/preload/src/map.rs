//! The heap as a picture, at exit or when a signal asks for it.
//!
//! The handler of the signal draws by itself: it asks only the kernel, allocates nothing, and the heap's locks tell it when its
//! own thread is inside, in which case it leaves the picture to a later call. That it may wait for a lock which another thread
//! holds is no danger: who holds one does not wait for anything.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use rustix::fd::AsRawFd;
use rustix::fs::{FlockOperation, OFlags, fcntl_setfl, flock, ftruncate};
use rustix::io::Errno;
use rustix::process::Signal;
use slabfit_linux::Output;
use slabfit_linux::text::Bytes;

use crate::heap::HEAP;
use crate::libc;
use crate::name::{Name, Path};
use crate::report::{Identity, Program, first_stderr, keep_stderr, process};

/// What is to be drawn, and where.
struct Order {
    name: Name,
    signal: Option<Signal>,
    /// Where complaints go: programs close their standard error before they exit.
    kept: Option<Identity>,
    /// Who began with the setting. Its children have it as well.
    process: i32,
}

/// Invariant: written while the heap has no memory, by the one thread that makes it, and never again.
struct Place(UnsafeCell<Option<Order>>);

// SAFETY: by the invariant nobody writes when there is a heap, and only then it is read.
unsafe impl Sync for Place {}

static ORDER: Place = Place(UnsafeCell::new(None));

/// Whether a picture was asked for and is not drawn yet. (Requests that come while one is drawn are one.)
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// How many were drawn.
static DRAWN: AtomicU32 = AtomicU32::new(0);

/// The process that has a thread drawing; 0 for none. A forked child may find its parent's in it, which has no thread here.
static DRAWING: AtomicI32 = AtomicI32::new(0);

/// A picture that is to be drawn later: by a thread that is not in the heap, when no other one draws.
pub(crate) struct Later;

/// Why there is no picture.
enum Reason {
    /// With its numbers, the name is.
    TooLong,
    /// Another process draws to the same file.
    Taken,
    Open(Errno),
    Write,
}

/// Has pictures made.
///
/// # Safety
/// The heap has no memory yet, and no other thread is about to give it some.
pub(crate) unsafe fn order(name: Name, signal: Option<Signal>) {
    let order = Order { name, signal, kept: keep_stderr(), process: process() };
    // SAFETY: nobody reads before there is a heap, and nobody else writes, by the terms of this function.
    unsafe { *ORDER.0.get() = Some(order) };
}

/// The order, if there is one and it is this process's to carry out.
fn ordered() -> Option<&'static Order> {
    (HEAP.size() > 0).then_some(())?;
    // SAFETY: there is a heap, so nobody writes any more; and its size was read with what was written before it.
    let order = unsafe { &*ORDER.0.get() }.as_ref()?;
    (order.process == process() || order.name.tells_processes()).then_some(order)
}

/// The signal that asks for a picture.
pub(crate) fn signal() -> Option<c_int> {
    ordered()?.signal.map(Signal::as_raw)
}

/// Asks for a picture.
pub(crate) fn request() {
    REQUESTED.store(true, Ordering::Release);
}

/// Draws the picture that was asked for, if one was.
pub(crate) fn draw_requested() -> Result<(), Later> {
    if !REQUESTED.swap(false, Ordering::AcqRel) {
        return Ok(());
    }
    let Some(order) = ordered() else { return Ok(()) };
    let drawn = order.draw("on request");
    if drawn.is_err() {
        request();
    }
    drawn
}

/// The dynamic loader calls what stands in this section when the process exits, after the program's own exit handlers.
#[used]
// SAFETY: the section holds pointers to functions of this type, and this is one.
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;

extern "C" fn at_exit() {
    if let Some(order) = ordered().filter(|order| order.signal.is_none()) {
        // No other thread draws, as no signal asks for it; and this one is not in the heap.
        let _ = order.draw("at exit");
    }
}

impl Order {
    fn draw(&self, when: &str) -> Result<(), Later> {
        let process = process();
        let drawing = DRAWING.load(Ordering::Relaxed);
        let alone = |drawing| DRAWING.compare_exchange(drawing, process, Ordering::Acquire, Ordering::Relaxed).is_ok();
        // Not reached: another thread that begins between the two looks, but by chance.
        if drawing == process || !alone(drawing) {
            return Err(Later);
        }
        // What this answers stays true: nobody but this thread can bring it into the heap.
        let ready = HEAP.is_free_to_enter().is_ok();
        if ready {
            self.draw_alone(when, process);
        }
        DRAWING.store(0, Ordering::Release);
        if ready { Ok(()) } else { Err(Later) }
    }

    fn draw_alone(&self, when: &str, process: i32) {
        let number = DRAWN.load(Ordering::Relaxed).wrapping_add(1);
        let path = self.name.path(&process, number);
        match path.as_ref().ok_or(Reason::TooLong).and_then(|path| self.draw_to(path, when, process)) {
            Ok(()) => DRAWN.store(number, Ordering::Relaxed),
            Err(reason) => self.complain(path.as_ref(), reason),
        }
    }

    fn draw_to(&self, path: &Path, when: &str, process: i32) -> Result<(), Reason> {
        // A FIFO that nobody reads is refused, not waited for; one that is read is written to as anything else.
        let how = OFlags::WRONLY | OFlags::CREATE | OFlags::NONBLOCK;
        let file = libc::open(path.as_c_str(), how).map_err(Reason::Open)?;
        fcntl_setfl(&file, OFlags::empty()).map_err(Reason::Open)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Err(Reason::Taken);
        }
        // What is no file on a disk, as /dev/stderr may be, has nothing to be cut off.
        let _ = ftruncate(&file, 0);
        // SAFETY: it is open for this, and closed after `out` is gone.
        let mut out = unsafe { Output::to(file.as_raw_fd()) };
        let drawn = self.write(when, process, &mut out);
        // A child that was forked meanwhile has the file, too, and would keep the lock.
        let _ = flock(&file, FlockOperation::Unlock);
        drawn
    }

    fn write(&self, when: &str, process: i32, out: &mut Output) -> Result<(), Reason> {
        let size = Bytes(HEAP.size() as u64);
        let placement = HEAP.placement().name();
        let title = format_args!("{Program}[{process}] in {size}");
        let drawn = HEAP.draw(&title, &format_args!("{when} · {placement}"), out);
        drawn.and_then(|()| Ok(out.flush()?)).map_err(|_| Reason::Write)
    }

    /// One line.
    #[cold]
    fn complain(&self, path: Option<&Path>, reason: Reason) {
        let mut out = first_stderr(self.kept);
        // A stream that takes no more is no reason of the heap, and there is nobody to tell.
        let _ = match (reason, path) {
            (Reason::Taken, Some(path)) => writeln!(out, "slabfit: no picture: another process draws to {path}"),
            (Reason::Open(why), Some(path)) => {
                writeln!(out, "slabfit: no picture: cannot open {path}: os error {}", why.raw_os_error())
            }
            (Reason::Write, Some(path)) => writeln!(out, "slabfit: no picture: cannot write {path}"),
            (_, _) => writeln!(out, "slabfit: no picture: the name is too long"),
        };
    }
}
