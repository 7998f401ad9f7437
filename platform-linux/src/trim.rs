//! Pages of free memory given back to the kernel.
//!
//! A free block's pages are zero pages again after that, and cost nothing until they are touched; the heap stays what it
//! was, byte for byte of its bookkeeping and header for header. It happens in steps, each a look at the next few free runs
//! and one `madvise` for at most 256 KiB, so that nobody waits long for the heap, and no free ever becomes as slow as the
//! heap is large. Memory that no object has ever reached is not looked at. So it is with free slots of the slab, whose headers
//! become zeros.
//!
//! Free slots at hand in the magazines of size classes keep whole runs from being free blocks. So before a pass over the heap
//! they are given back.
#![allow(unsafe_code)]

use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::mm::{Advice, madvise};
use slabfit::{Heap, Policy, Reentered, Segment, SegmentStats};

use crate::futex::FutexLock;

/// Bytes of one step, a multiple of every page size: the kernel takes some 20 microseconds for them.
const STEP: usize = 256 * 1024;

/// Runs of free bytes that one step looks at: of those that are hardly longer than a page, few hold a whole one.
const RUNS: usize = 8;

/// Gives back the pages of one piece at or after address `from`. Answers with where to go on and how many bytes they are, or
/// with `None` after the last.
fn step<P: Policy>(
    heap: &Heap<'_, FutexLock, P>,
    page: usize,
    from: usize,
) -> Result<Option<(usize, usize)>, Reentered> {
    let (slab, mut from) = (heap.segment(Segment::Slab), from);
    if slab.contains(&from) {
        let bytes;
        (from, bytes) = step_in_slab(heap, page, from, &slab)?;
        if from < slab.end || bytes > 0 {
            return Ok(Some((from, bytes)));
        }
    }
    for _ in 0..RUNS {
        let Some((piece, bytes)) = heap.with_free_ranges(from, page, STEP, |free| give_back(free, page))? else {
            give_tables_back(heap, page, from..heap.segment(Segment::Blocks).end)?;
            return Ok(None);
        };
        give_tables_back(heap, page, from..piece.end)?;
        // A page that a step has cut goes with the next one.
        from = if piece.len() == STEP { piece.end & !(page - 1) } else { piece.end };
        if bytes > 0 {
            return Ok(Some((from, bytes)));
        }
    }
    Ok(Some((from, 0)))
}

/// Gives back the pages of the caches' tables that are about these addresses, and about no run of a cache.
fn give_tables_back<P: Policy>(
    heap: &Heap<'_, FutexLock, P>,
    page: usize,
    addresses: Range<usize>,
) -> Result<(), Reentered> {
    heap.with_idle_tables(addresses, page, |tables| {
        give_back(tables, page);
    })
}

/// Gives back the pages of the free slots in the next [`STEP`] bytes of the slab, and answers as [`step`]. After the last slot that
/// was ever used the blocks follow.
fn step_in_slab<P: Policy>(
    heap: &Heap<'_, FutexLock, P>,
    page: usize,
    from: usize,
    slab: &Range<usize>,
) -> Result<(usize, usize), Reentered> {
    let used = slab.start + heap.segment_stats(Segment::Slab)?.peak_bytes;
    let (mut at, end, mut bytes) = (from, used.min(from.saturating_add(STEP)), 0);
    while let Some((piece, given)) = heap.with_free_slots(at..end, page, |free| give_back(free, page))? {
        (at, bytes) = (piece.end, bytes + given);
    }
    Ok((if end < used { end } else { slab.end }, bytes))
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
    // SAFETY: whole pages of a private anonymous mapping whose bytes are nobody's while they are lent, or tables that are zeros; that
    // they become zeros is nothing to anybody.
    let given = unsafe { madvise(first.as_ptr().cast(), bytes, Advice::LinuxDontNeed) };
    // A kernel that refuses, as for locked pages, keeps them, and nothing is lost.
    if given.is_ok() { bytes } else { 0 }
}

/// Gives all pages back that lie whole in free blocks. Answers how many bytes were, some of which may not have been resident.
/// It ends early if this thread is in the heap. `empty` empties the magazines.
///
/// Complexity: O(free bytes), in steps between which other threads get the heap.
pub(crate) fn trim<P: Policy>(heap: &Heap<'_, FutexLock, P>, page: usize, empty: impl FnOnce()) -> usize {
    empty();
    let (mut from, mut whole) = (heap.segment(Segment::Slab).start, 0);
    while let Ok(Some((next, bytes))) = step(heap, page, from) {
        (from, whole) = (next, whole + bytes);
    }
    whole
}

/// Gives pages back by itself when much was freed: told of every free, it does one step in some of them.
///
/// A pass over the heap starts when the live bytes have fallen, since the last one began, by [`THRESHOLD`] and by a quarter
/// of what they were at most; it does a step in every [`STEPS`]th free. A free of a [`LARGE`] object is looked at at once, and does
/// steps for its own bytes and for as many again: a program that frees a few large objects and no other has no other frees to
/// wait for.
///
/// What they were at most is the truth, but for what came and went between two looks and was neither the most there ever was
/// nor a large object: less than [`LOOKS`] objects below [`LARGE`], the threshold at most. (Of the slab and of the blocks each the
/// most is known: if both rose between two looks, their sum may never have been live at once, and a pass begins early.)
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Trimmer {
    /// How many frees there were, roughly: of two threads that count at once one may be lost.
    frees: AtomicUsize,
    /// The most live bytes since the last pass began, as far as is known.
    peak: AtomicUsize,
    /// The most live bytes that there ever were in the slab and in the blocks, at the last look.
    most: [AtomicUsize; 2],
    /// Where the pass goes on; 0 when there is none, or while a thread does a step.
    next: AtomicUsize,
    /// Whether another pass is to follow, as more was freed after this one.
    again: AtomicBool,
}

/// Frees for one look at the live bytes.
const LOOKS: usize = 64;
/// Frees for one step of a pass.
const STEPS: usize = 8;
/// Bytes that must have been freed for a pass.
const THRESHOLD: usize = 4 << 20;
/// Bytes of an object whose free is looked at by itself.
pub(crate) const LARGE: usize = THRESHOLD / LOOKS;

impl Trimmer {
    pub(crate) const fn new() -> Self {
        Self {
            frees: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            most: [const { AtomicUsize::new(0) }; 2],
            next: AtomicUsize::new(0),
            again: AtomicBool::new(false),
        }
    }

    /// To be called after a free of `size` bytes at an address; what is said of small ones does not matter. O(log) in the heap's
    /// size, and a few system calls at most; O(size) for a large one. `empty` empties the magazines.
    #[inline]
    pub(crate) fn freed<P: Policy>(
        &self,
        heap: &Heap<'_, FutexLock, P>,
        page: usize,
        (at, size): (usize, usize),
        empty: impl FnOnce(),
    ) {
        if size >= LARGE {
            return self.freed_large(heap, page, (at, size), empty);
        }
        let frees = self.count(1);
        if frees % STEPS == 0 {
            self.go_on(heap, page, frees % LOOKS == 0, empty);
        }
    }

    /// To be called after some frees of small objects that were not told of one by one: does a step of the pass, and returns whether it
    /// goes on.
    #[cfg(not(slabfit_loom))]
    #[cold]
    pub(crate) fn freed_some<P: Policy>(
        &self,
        heap: &Heap<'_, FutexLock, P>,
        page: usize,
        empty: impl FnOnce(),
    ) -> bool {
        let frees = self.count(STEPS);
        self.go_on(heap, page, frees % LOOKS < STEPS, empty);
        self.next.load(Ordering::Relaxed) != 0
    }

    #[inline]
    fn count(&self, frees: usize) -> usize {
        let frees = self.frees.load(Ordering::Relaxed).wrapping_add(frees);
        self.frees.store(frees, Ordering::Relaxed);
        frees
    }

    #[cold]
    fn freed_large<P: Policy>(
        &self,
        heap: &Heap<'_, FutexLock, P>,
        page: usize,
        (at, size): (usize, usize),
        empty: impl FnOnce(),
    ) {
        let steps = size / STEP + 2;
        if self.look(heap, size, empty) {
            // The pass may come by late, or when another object lies there.
            let (mut from, end) = (at, at.saturating_add(size));
            for _ in 0..steps {
                match step(heap, page, from) {
                    Ok(Some((next, _))) if next < end => from = next,
                    _ => break,
                }
            }
        }
        let _ = (0..steps).all(|_| self.step(heap, page));
    }

    #[cold]
    fn go_on<P: Policy>(&self, heap: &Heap<'_, FutexLock, P>, page: usize, look: bool, empty: impl FnOnce()) {
        if look {
            self.look(heap, 0, empty);
        }
        self.step(heap, page);
    }

    /// Begins a pass if much was freed, with these bytes just now; whether it was.
    fn look<P: Policy>(&self, heap: &Heap<'_, FutexLock, P>, freed: usize, empty: impl FnOnce()) -> bool {
        if !self.much_was_freed(heap, freed) {
            return false;
        }
        empty();
        let start = heap.segment(Segment::Slab).start;
        if self.next.compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            self.again.store(true, Ordering::Relaxed);
        }
        true
    }

    /// Does a step of the pass, if there is one; whether another one may follow.
    fn step<P: Policy>(&self, heap: &Heap<'_, FutexLock, P>, page: usize) -> bool {
        let from = self.next.swap(0, Ordering::Relaxed);
        if from == 0 {
            return false;
        }
        let (next, done) = match step(heap, page, from) {
            Ok(Some((next, _))) => (next, true),
            Ok(None) if self.again.swap(false, Ordering::Relaxed) => (heap.segment(Segment::Slab).start, true),
            Ok(None) => return false,
            // A signal handler that interrupted the heap: somebody else goes on.
            Err(Reentered) => (from, false),
        };
        // If another thread has begun a pass meanwhile, that one counts.
        let _ = self.next.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed);
        done
    }

    fn much_was_freed<P: Policy>(&self, heap: &Heap<'_, FutexLock, P>, freed: usize) -> bool {
        let figures = (heap.segment_stats(Segment::Slab), heap.segment_stats(Segment::Blocks));
        let (Ok(slab), Ok(blocks)) = figures else { return false };
        let live = slab.live_bytes + blocks.live_bytes;
        let known: usize = self.most.iter().zip([slab, blocks]).map(known_most).sum();
        let known = known.max(live.saturating_add(freed));
        let peak = self.peak.fetch_max(known, Ordering::Relaxed).max(known);
        let much = peak.saturating_sub(live) >= THRESHOLD.max(peak / 4);
        if much {
            self.peak.store(live, Ordering::Relaxed);
        }
        much
    }
}

/// The most bytes of a segment that were live at once since the last look, as far as its figures tell. `most` is what they told then.
fn known_most((most, stats): (&AtomicUsize, SegmentStats)) -> usize {
    let risen = most.swap(stats.peak_bytes, Ordering::Relaxed) < stats.peak_bytes;
    if risen { stats.peak_bytes } else { stats.live_bytes }
}
