//! The worst case: a heap whose free memory is many gaps, all too small but one, and that one the last to be found.

use crate::clock;
use crate::drive::measured;
use crate::subject::{ALIGN, Setup, Subject};
use std::alloc::Layout;
use std::time::{Duration, Instant};

/// What the heap looks like and what is asked of it.
#[derive(Clone, Copy)]
pub struct Scene {
    /// Gaps that are too small.
    pub gaps: usize,
    /// Whether there is one that is large enough, after all of them in every search order.
    pub fits: bool,
}

/// The request: 4 KiB, among gaps of one small object each.
const REQUEST: usize = 4096;
/// The small objects: the least that any subject hands out without wasting the region.
const SMALL: usize = 16;
/// What fills the rest of the region, so that nothing but the gaps is free.
const FILLERS: [usize; 7] = [1 << 20, 1 << 16, 4096, 1024, 256, 64, SMALL];
/// A subject that walks its list is stopped after this long.
const PATIENCE: Duration = Duration::from_millis(400);

/// Bytes of a heap whose block segment holds the scene in blocks with headers, with room to spare.
pub fn heap(gaps: usize) -> usize {
    let segment = gaps * 2 * (16 + SMALL) + 4 * REQUEST;
    (segment.div_ceil(3) * 4).next_multiple_of(1 << 16)
}

/// Bytes of a peer's arena that holds the scene, whatever peer it is: the most that one takes for a small object is 64
/// (picoalloc). What others have left is filled.
pub fn arena(gaps: usize) -> usize {
    heap(gaps).max((gaps * 2 * 64 + 4 * REQUEST).next_multiple_of(1 << 16))
}

/// Ticks of single operations: of the pairs, the allocs and the frees.
#[derive(Default)]
pub struct Ticks {
    /// One for each alloc.
    pub allocs: Vec<u32>,
    /// One for each free, if anything was allocated.
    pub frees: Vec<u32>,
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).expect("a small size")
}

/// The layout of an object that leaves a gap.
fn small<S: Subject>() -> Layout {
    Layout::from_size_align(SMALL, S::GAP_ALIGN).expect("a small size")
}

/// Sets the scene, with `fitting` bytes where the request fits. The rover of a next fit comes to stand at the end, so the
/// search passes every gap.
fn set<S: Subject>(subject: &S, scene: Scene, fitting: usize) {
    let small = small::<S>();
    let mut gaps = Vec::with_capacity(scene.gaps);
    for _ in 0..scene.gaps {
        gaps.push(subject.alloc(small));
        subject.alloc(small); // stays, so that no two gaps are neighbours
    }
    let large = subject.alloc(layout(fitting));
    assert!(!large.is_null(), "{}: no room for the scene", S::NAME);
    for size in FILLERS {
        while !subject.alloc(layout(size)).is_null() {}
    }
    // From the last to the first: a list in address order is then entered at its head each time.
    for ptr in gaps.into_iter().rev() {
        // SAFETY: the object is live and was served for this layout.
        unsafe { subject.dealloc(ptr, small) };
    }
    if scene.fits {
        // SAFETY: the object is live and was served for this layout.
        unsafe { subject.dealloc(large, layout(fitting)) };
    }
}

/// A subject with the scene set.
///
/// What fits has exactly the request's size, so that a rover does not stay behind in its rest, unless the subject cannot
/// find that again: one that looks only where every block is certain to fit (a segregated fit) is given twice the size.
fn stage<S: Subject>(setup: &Setup<'_>, scene: Scene) -> Box<S> {
    for fitting in [REQUEST, 2 * REQUEST] {
        // SAFETY: the rows run one subject at a time.
        let subject = unsafe { S::over(setup) };
        set(&*subject, scene, fitting);
        let probe = subject.alloc(layout(REQUEST));
        if !probe.is_null() {
            // SAFETY: the object is live and was served for this layout.
            unsafe { subject.dealloc(probe, layout(REQUEST)) };
        }
        if probe.is_null() != scene.fits {
            return subject;
        }
    }
    panic!("{}: the scene cannot be set", S::NAME);
}

/// Asks for the request and, where it was served, frees it, `count` times or until patience ends.
pub fn pairs<S: Subject>(setup: &Setup<'_>, scene: Scene, count: usize) -> Ticks {
    let subject = stage::<S>(setup, scene);
    let request = layout(REQUEST);
    let mut ticks = Ticks { allocs: Vec::with_capacity(count), frees: Vec::with_capacity(count) };
    let start = Instant::now();
    for round in 0..count {
        let mut ptr = std::ptr::null_mut();
        ticks.allocs.push(timed(|| ptr = subject.alloc(request)));
        assert!(ptr.is_null() != scene.fits, "{}: the scene is not what it should be", S::NAME);
        if scene.fits {
            // SAFETY: the object is live and was served for this layout.
            ticks.frees.push(timed(|| unsafe { subject.dealloc(ptr, request) }));
        }
        if round > 3 && start.elapsed() > PATIENCE {
            break;
        }
    }
    ticks
}

/// The ticks that `work` took, counted by callgrind as well where it watches.
pub fn timed(mut work: impl FnMut()) -> u32 {
    let mut spent = 0;
    measured(|| {
        let start = clock::ticks();
        work();
        spent = clock::ticks() - start;
    });
    u32::try_from(spent).unwrap_or(u32::MAX)
}
