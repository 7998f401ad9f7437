//! What a child process and its parent share: a page that says how far the child is, so that the parent can tell where
//! one died and whether one that lives still moves, and after the page the child's report.
//!
//! A pipe would cost a system call for every call to the library; this costs three stores. And no stream that the
//! library prints to can get into the report.

use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::tester::session::Place;
use crate::tester::sys;

/// Threads that can be told apart; further ones share.
const LANES: usize = 63;

/// What is in the page.
#[repr(C, align(64))]
struct Page {
    /// How many operations of the suite are done.
    position: AtomicU64,
    /// The heap's first byte.
    base: AtomicU64,
    /// The report stands after the page.
    reported: AtomicU64,
    lanes: [Lane; LANES],
}

/// What one thread is doing; a cache line, so that the threads do not slow each other down.
#[derive(Default)]
#[repr(C, align(64))]
struct Lane {
    calls: AtomicU64,
    function: AtomicU64,
    argument: AtomicU64,
}

/// Bytes of the page.
const PAGE: usize = 4096;

static_assertions::assert_eq_size!(Page, [u8; PAGE]);

/// The functions of the library, as a lane names them; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Function {
    /// `Mem_Init`, with the size.
    Init = 1,
    /// `Mem_Alloc`, with the size.
    Alloc,
    /// `Mem_Free`, with the address.
    Free,
}

/// The shared page.
pub struct Beacon {
    page: NonNull<Page>,
    file: File,
}

// SAFETY: all that is reached through the pointer are atomics, and the mapping lives until `drop`.
unsafe impl Send for Beacon {}
// SAFETY: as for `Send`.
unsafe impl Sync for Beacon {}

impl Beacon {
    /// Makes what is shared. The child gets the file, as its standard input.
    ///
    /// # Errors
    /// The kernel's.
    pub fn create() -> io::Result<(Self, File)> {
        let file = sys::memory_file(PAGE)?;
        Ok((Self::open(file.try_clone()?)?, file))
    }

    /// Opens what another process has made.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(file: File) -> io::Result<Self> {
        let page = sys::map_shared(&file, PAGE)?.cast();
        Ok(Self { page, file })
    }

    /// Leaves the report for the parent. The child has nothing more to say.
    ///
    /// # Errors
    /// The kernel's.
    pub fn report(&self, text: &str) -> io::Result<()> {
        self.file.write_all_at(text.as_bytes(), PAGE as u64)?;
        self.page().reported.store(1, Release);
        Ok(())
    }

    /// The child's report, once there is one.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read_report(&self) -> io::Result<Option<String>> {
        if self.page().reported.load(Acquire) == 0 {
            return Ok(None);
        }
        let mut text = vec![0; usize::try_from(self.file.metadata()?.len()).unwrap_or(PAGE).saturating_sub(PAGE)];
        self.file.read_exact_at(&mut text, PAGE as u64)?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    /// Tells how many operations of the suite are done.
    pub fn set_position(&self, done: u64) {
        self.page().position.store(done, Relaxed);
    }

    /// What [`set_position`](Self::set_position) told last.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.page().position.load(Relaxed)
    }

    /// Tells where the heap begins, so that addresses can be shown as distances.
    pub fn set_base(&self, base: usize) {
        self.page().base.store(base as u64, Relaxed);
    }

    /// Calls the library, and lets the parent see that it is inside.
    pub fn during<T>(&self, function: Function, argument: u64, call: impl FnOnce() -> T) -> T {
        let lane = &self.page().lanes[lane_of_this_thread()];
        lane.argument.store(argument, Relaxed);
        lane.function.store(function as u64, Relaxed);
        lane.calls.fetch_add(1, Relaxed);
        let result = call();
        lane.function.store(0, Relaxed);
        result
    }

    /// A number that changes whenever the child gets anywhere.
    #[must_use]
    pub fn progress(&self) -> u64 {
        let calls = self.page().lanes.iter().map(|lane| lane.calls.load(Relaxed));
        calls.fold(self.position(), u64::wrapping_add)
    }

    /// The calls that have not returned, each as C writes it.
    #[must_use]
    pub fn calls_in_flight(&self) -> Vec<String> {
        self.page().lanes.iter().filter_map(|lane| self.describe(lane)).collect()
    }

    fn describe(&self, lane: &Lane) -> Option<String> {
        let (function, argument) = (lane.function.load(Relaxed), lane.argument.load(Relaxed));
        let base = self.page().base.load(Relaxed);
        let call = match function {
            f if f == Function::Init as u64 => format!("Mem_Init({}, ..)", argument as i64),
            f if f == Function::Alloc as u64 => format!("Mem_Alloc({})", argument as i64),
            f if f == Function::Free as u64 => match argument {
                0 => "Mem_Free(NULL)".to_owned(),
                _ => format!("Mem_Free({})", Place(argument.wrapping_sub(base) as isize)),
            },
            _ => return None,
        };
        Some(format!("{call}, call {}", lane.calls.load(Relaxed)))
    }

    fn page(&self) -> &Page {
        // SAFETY: the mapping is as large as a `Page`, page-aligned and unmapped by `drop` only; it holds atomic integers
        // only, which other processes may change under a shared reference, and for which every bit pattern is valid.
        unsafe { self.page.as_ref() }
    }
}

impl Drop for Beacon {
    fn drop(&mut self) {
        // SAFETY: `page` is the start of a mapping of this size, made by `open`, and no reference outlives `self`.
        unsafe { sys::unmap(self.page.cast(), PAGE) };
    }
}

fn lane_of_this_thread() -> usize {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    thread_local!(static LANE: Cell<usize> = const { Cell::new(usize::MAX) });
    LANE.with(|lane| {
        if lane.get() == usize::MAX {
            lane.set(NEXT.fetch_add(1, Relaxed) as usize % LANES);
        }
        lane.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_side_sees_the_call_that_does_not_return() {
        let (parent, file) = Beacon::create().unwrap();
        let child = Beacon::open(file).unwrap();
        child.set_base(0x1000);
        child.set_position(7);
        assert_eq!(parent.position(), 7);
        assert_eq!(parent.calls_in_flight(), Vec::<String>::new());
        let before = parent.progress();
        child.during(Function::Alloc, 32, || {
            assert_eq!(parent.calls_in_flight(), ["Mem_Alloc(32), call 1"]);
            assert_ne!(parent.progress(), before);
        });
        child.during(Function::Free, 0xff0, || {
            assert_eq!(parent.calls_in_flight(), ["Mem_Free(base - 16), call 2"]);
        });
        assert_eq!(parent.calls_in_flight(), Vec::<String>::new());
    }

    #[test]
    fn a_report_is_whole_or_not_there() {
        let (parent, file) = Beacon::create().unwrap();
        let child = Beacon::open(file).unwrap();
        assert_eq!(parent.read_report().unwrap(), None);
        let report = "word ".repeat(10_000);
        child.report(&report).unwrap();
        assert_eq!(parent.read_report().unwrap(), Some(report));
    }
}
