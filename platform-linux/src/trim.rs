//! Pages of free memory given back to the kernel.
//!
//! A free block's pages are zero pages again after that, and cost nothing until they are touched; the heap stays what it
//! was, byte for byte of its bookkeeping and header for header. It happens in steps, each a look for the next free run and
//! one `madvise` for at most 256 KiB of it, so that nobody waits long for the heap, and no free ever becomes as slow as the
//! heap is large.
#![allow(unsafe_code)]

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use rustix::mm::{Advice, madvise};
use slabfit::{Heap, Segment};

use crate::futex::FutexLock;

/// Bytes of one step: the kernel takes some 20 microseconds to take them.
const STEP: usize = 256 * 1024;

/// Gives back one piece at or behind address `from`. Answers with where to go on and the bytes, or `None` behind the last.
fn step(heap: &Heap<'_, FutexLock>, page: usize, from: usize) -> Option<(usize, usize)> {
    // The first whole page of a run may start a page less a granule behind it.
    let piece = heap.lend_free(from, page * 2, STEP + page, |free| give_back(free, page)).ok()?;
    piece.map(|(addresses, bytes)| {
        // A page that the step has cut goes with the next one.
        let next = addresses.end & !(page - 1);
        (if next > addresses.start && addresses.len() == STEP + page { next } else { addresses.end }, bytes)
    })
}

/// Gives the whole pages among free bytes back; answers how many bytes they are.
fn give_back(free: NonNull<[u8]>, page: usize) -> usize {
    let skip = free.addr().get().wrapping_neg() & (page - 1);
    let bytes = free.len().saturating_sub(skip) & !(page - 1);
    if bytes == 0 {
        return 0;
    }
    // SAFETY: in bounds: `skip + bytes` are no more than the free ones.
    let first = unsafe { free.cast::<u8>().add(skip) };
    // SAFETY: whole pages of a private anonymous mapping whose bytes are nobody's while they are lent; that they
    // become zeros is nothing to anybody.
    let given = unsafe { madvise(first.as_ptr().cast(), bytes, Advice::LinuxDontNeed) };
    // A kernel that refuses, as for locked pages, keeps them, and nothing is lost.
    if given.is_ok() { bytes } else { 0 }
}

/// Gives all pages back that lie whole in free blocks. Answers how many bytes were, some of which may not have been resident.
///
/// Complexity: O(free bytes), in steps between which other threads get the heap.
pub(crate) fn trim(heap: &Heap<'_, FutexLock>, page: usize) -> usize {
    let (mut from, mut whole) = (heap.segment(Segment::NextFit).start, 0);
    while let Some((next, bytes)) = step(heap, page, from) {
        (from, whole) = (next, whole + bytes);
    }
    whole
}

/// Gives pages back by itself when much was freed: told of every free, it does one step in some of them.
///
/// A pass over the heap starts when the live bytes have fallen, since the last one, by `THRESHOLD` and by a quarter;
/// it takes as many frees as it has steps, times `EVERY`.
#[derive(Debug)]
pub(crate) struct Trimmer {
    frees: AtomicUsize,
    /// The most live bytes that were seen since the last pass.
    peak: AtomicUsize,
    /// Where the pass goes on; 0 when there is none, or while a thread does a step.
    next: AtomicUsize,
}

/// Frees for one look.
const EVERY: usize = 64;
/// Bytes that must have been freed for a pass.
const THRESHOLD: usize = 4 << 20;

impl Trimmer {
    pub(crate) const fn new() -> Self {
        Self { frees: AtomicUsize::new(0), peak: AtomicUsize::new(0), next: AtomicUsize::new(0) }
    }

    /// To be called after a free. O(log) in the heap's size, and one `madvise` at most.
    #[inline]
    pub(crate) fn freed(&self, heap: &Heap<'_, FutexLock>, page: usize) {
        if self.frees.fetch_add(1, Ordering::Relaxed) % EVERY == 0 {
            self.look(heap, page);
        }
    }

    #[cold]
    fn look(&self, heap: &Heap<'_, FutexLock>, page: usize) {
        match self.next.swap(0, Ordering::Relaxed) {
            0 => {
                let Ok(stats) = heap.stats() else { return };
                let live = stats.next_fit.live_bytes;
                let peak = self.peak.fetch_max(live, Ordering::Relaxed).max(live);
                if peak - live >= THRESHOLD.max(peak / 4) {
                    self.peak.store(live, Ordering::Relaxed);
                    self.next.store(heap.segment(Segment::NextFit).start, Ordering::Relaxed);
                }
            }
            from => {
                if let Some((next, _)) = step(heap, page, from) {
                    self.next.store(next, Ordering::Relaxed);
                }
            }
        }
    }
}
