//! Pages of free memory given back to the kernel.
//!
//! A free block's pages are zero pages again after that, and cost nothing until they are touched; the heap stays what it
//! was, byte for byte of its bookkeeping and header for header. It happens in steps, each a look at the next few free runs
//! and one `madvise` for at most 256 KiB, so that nobody waits long for the heap, and no free ever becomes as slow as the
//! heap is large. Memory that no object has ever reached is not looked at.
#![allow(unsafe_code)]

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use rustix::mm::{Advice, madvise};
use slabfit::{Heap, Policy, Reentered, Segment};

use crate::futex::FutexLock;

/// Bytes of one step, a multiple of every page size: the kernel takes some 20 microseconds for them.
const STEP: usize = 256 * 1024;

/// Runs of free bytes that one step looks at: of those that are hardly longer than a page, few hold a whole one.
const RUNS: usize = 8;

/// Gives back the pages of one piece at or behind address `from`. Answers with where to go on and how many bytes they are, or
/// with `None` behind the last.
fn step<P: Policy>(
    heap: &Heap<'_, FutexLock, P>,
    page: usize,
    from: usize,
) -> Result<Option<(usize, usize)>, Reentered> {
    let mut from = from;
    for _ in 0..RUNS {
        let Some((piece, bytes)) = heap.with_free_ranges(from, page, STEP, |free| give_back(free, page))? else {
            return Ok(None);
        };
        // A page that a step has cut goes with the next one.
        from = if piece.len() == STEP { piece.end & !(page - 1) } else { piece.end };
        if bytes > 0 {
            return Ok(Some((from, bytes)));
        }
    }
    Ok(Some((from, 0)))
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
/// It ends early if this thread is in the heap.
///
/// Complexity: O(free bytes), in steps between which other threads get the heap.
pub(crate) fn trim<P: Policy>(heap: &Heap<'_, FutexLock, P>, page: usize) -> usize {
    let (mut from, mut whole) = (heap.segment(Segment::Blocks).start, 0);
    while let Ok(Some((next, bytes))) = step(heap, page, from) {
        (from, whole) = (next, whole + bytes);
    }
    whole
}

/// Gives pages back by itself when much was freed: told of every free, it does one step in some of them.
///
/// A pass over the heap starts when the live bytes have fallen, since the last one began, by [`THRESHOLD`] and by a quarter
/// of what they were; it does a step in every [`STEPS`]th free.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Trimmer {
    /// How many frees there were, roughly: of two threads that count at once one may be lost.
    frees: AtomicUsize,
    /// The most live bytes that were seen since the last pass began.
    peak: AtomicUsize,
    /// Where the pass goes on; 0 when there is none, or while a thread does a step.
    next: AtomicUsize,
}

/// Frees for one look at the live bytes.
const LOOKS: usize = 64;
/// Frees for one step of a pass.
const STEPS: usize = 8;
/// Bytes that must have been freed for a pass.
const THRESHOLD: usize = 4 << 20;

impl Trimmer {
    pub(crate) const fn new() -> Self {
        Self { frees: AtomicUsize::new(0), peak: AtomicUsize::new(0), next: AtomicUsize::new(0) }
    }

    /// To be called after a free. O(log) in the heap's size, and a few system calls at most.
    #[inline]
    pub(crate) fn freed<P: Policy>(&self, heap: &Heap<'_, FutexLock, P>, page: usize) {
        let frees = self.frees.load(Ordering::Relaxed).wrapping_add(1);
        self.frees.store(frees, Ordering::Relaxed);
        if frees % STEPS == 0 {
            self.go_on(heap, page, frees % LOOKS == 0);
        }
    }

    #[cold]
    fn go_on<P: Policy>(&self, heap: &Heap<'_, FutexLock, P>, page: usize, look: bool) {
        let from = match self.next.swap(0, Ordering::Relaxed) {
            0 if look && self.much_was_freed(heap) => heap.segment(Segment::Blocks).start,
            0 => return,
            from => from,
        };
        let next = match step(heap, page, from) {
            Ok(Some((next, _))) => next,
            Ok(None) => return,
            // A signal handler that interrupted the heap: somebody else goes on.
            Err(Reentered) => from,
        };
        // If another thread has begun a pass meanwhile, that one counts.
        let _ = self.next.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn much_was_freed<P: Policy>(&self, heap: &Heap<'_, FutexLock, P>) -> bool {
        let Ok(stats) = heap.stats() else { return false };
        let live = stats.blocks.live_bytes;
        let peak = self.peak.fetch_max(live, Ordering::Relaxed).max(live);
        let much = peak - live >= THRESHOLD.max(peak / 4);
        if much {
            self.peak.store(live, Ordering::Relaxed);
        }
        much
    }
}
