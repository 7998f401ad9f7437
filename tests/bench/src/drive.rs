//! The loops around the allocators, one copy compiled for each subject.

use crate::clock;
use crate::ops::{Kind, Op, Stream};
use crate::subject::{ALIGN, Kind as Whose, Setup, Subject, resized};
use std::alloc::Layout;
use std::hint::black_box;
use std::ptr;

/// An object: where it is and what was asked for. Null: none, or its request failed.
#[derive(Clone, Copy, Debug)]
struct Slot {
    ptr: *mut u8,
    size: usize,
}

const VACANT: Slot = Slot { ptr: ptr::null_mut(), size: 0 };

/// A call, as a program makes it through the global allocator's symbols: never inlined into the loop.
#[inline(never)]
fn alloc<S: Subject>(subject: &S, layout: Layout) -> *mut u8 {
    subject.alloc(layout)
}

/// See [`alloc`].
#[inline(never)]
unsafe fn dealloc<S: Subject>(subject: &S, ptr: *mut u8, layout: Layout) {
    // SAFETY: the caller's promise, passed on.
    unsafe { subject.dealloc(ptr, layout) };
}

/// See [`alloc`].
#[inline(never)]
unsafe fn realloc<S: Subject>(subject: &S, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    // SAFETY: the caller's promise, passed on.
    unsafe { subject.realloc(ptr, layout, size) }
}

/// A layout of `size` bytes whose alignment the compiler does not know, so that no subject is specialised for it.
fn layout() -> Layout {
    Layout::from_size_align(1, black_box(ALIGN)).expect("the alignment is a power of two")
}

/// One operation; false when it failed.
#[inline(always)]
fn step<S: Subject>(subject: &S, op: Op, slots: &mut [Slot], layout: Layout) -> bool {
    let slot = &mut slots[op.slot()];
    match op.kind() {
        Kind::Alloc => {
            let ptr = alloc(subject, resized(layout, op.size as usize));
            *slot = Slot { ptr, size: op.size as usize };
            if ptr.is_null() {
                return false;
            }
            // SAFETY: the memory is ours and not empty. A program writes into what it asked for; so does the harness.
            unsafe { ptr.write(op.size as u8) };
        }
        Kind::Free => {
            let Slot { ptr, size } = *slot;
            *slot = VACANT;
            if !ptr.is_null() {
                // SAFETY: the slot's object is live and was served for that size.
                unsafe { dealloc(subject, ptr, resized(layout, size)) };
            }
        }
        Kind::Realloc => {
            let Slot { ptr, size } = *slot;
            if ptr.is_null() {
                return false;
            }
            // SAFETY: the slot's object is live and was served for that size.
            let new = unsafe { realloc(subject, ptr, resized(layout, size), op.size as usize) };
            if new.is_null() {
                return false;
            }
            *slot = Slot { ptr: new, size: op.size as usize };
        }
    }
    true
}

/// All operations in order; returns how many failed.
fn run<S: Subject>(subject: &S, ops: &[Op], slots: &mut [Slot]) -> u64 {
    let layout = layout();
    ops.iter().map(|&op| u64::from(!step(subject, op, slots, layout))).sum()
}

/// Frees what is left in a system allocator, so that it is as it was before. Of a region nothing is used again.
fn drain<S: Subject>(subject: &S, slots: &mut [Slot]) {
    let layout = layout();
    let left = slots.iter_mut().filter(|slot| S::KIND == Whose::System && !slot.ptr.is_null());
    for slot in left {
        // SAFETY: the slot's object is live and was served for that size.
        unsafe { dealloc(subject, slot.ptr, resized(layout, slot.size)) };
        *slot = VACANT;
    }
}

/// What callgrind is told to count: everything inside this call, by this name.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn slabfit_bench_measured(work: &mut Work<'_>) {
    (work.0)();
}

/// The work of one [`slabfit_bench_measured`].
pub struct Work<'a>(&'a mut dyn FnMut());

/// Runs `work` where callgrind counts.
pub fn measured(mut work: impl FnMut()) {
    slabfit_bench_measured(&mut Work(&mut work));
}

/// Time and failures of one repetition.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lap {
    /// Nanoseconds of processor time for all measured operations.
    pub ns: u64,
    /// Requests that were answered with null.
    pub failures: u64,
}

/// A fresh subject, the warm-up, the measured operations, and all objects freed.
pub fn lap<S: Subject>(setup: &Setup<'_>, stream: &Stream) -> Lap {
    // SAFETY: the rows run one subject at a time.
    let subject = unsafe { S::over(setup) };
    let mut slots = vec![VACANT; stream.slots];
    let mut lap = Lap { ns: 0, failures: run(&*subject, &stream.warm, &mut slots) };
    measured(|| {
        let start = clock::thread_ns();
        lap.failures += run(&*subject, &stream.ops, &mut slots);
        lap.ns = clock::thread_ns() - start;
    });
    drain(&*subject, &mut slots);
    lap
}

/// One thread's part of a common work on `subject`: `start` and `end` are called around the measured operations.
pub fn part<S: Subject>(subject: &S, stream: &Stream, start: impl FnOnce(), end: impl FnOnce()) {
    let mut slots = vec![VACANT; stream.slots];
    subject.enter();
    run(subject, &stream.warm, &mut slots);
    start();
    run(subject, &stream.ops, &mut slots);
    end();
    drain(subject, &mut slots);
    subject.leave();
}

/// An object that one thread hands to another: its address, and the bytes that were asked for.
pub type Passed = (usize, u32);

/// Allocates an object, as a thread that will not free it; nothing if there is no memory.
pub fn make<S: Subject>(subject: &S, size: u32) -> Option<Passed> {
    let ptr = alloc(subject, resized(layout(), size as usize));
    if ptr.is_null() {
        return None;
    }
    // SAFETY: the memory is ours and not empty.
    unsafe { ptr.write(size as u8) };
    Some((ptr.expose_provenance(), size))
}

/// Frees an object that was [made](make) of the same subject, by whatever thread, and that nobody else frees.
///
/// # Safety
/// So it is.
pub unsafe fn unmake<S: Subject>(subject: &S, (address, size): Passed) {
    let layout = resized(layout(), size as usize);
    // SAFETY: live, of that layout: as the caller promises.
    unsafe { dealloc(subject, ptr::with_exposed_provenance_mut(address), layout) };
}

/// The ticks of one operation in all laps: their sum and the two longest.
///
/// The sequence and the heap are the same in each lap, so an operation's work is too. What an interrupt or a neighbour
/// adds is not: the longest two are left out. The rest is averaged, because the counter moves in steps of 10 ns on some
/// machines, whose beginning the operation meets at random.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    sum: u32,
    longest: [u32; 2],
    laps: u32,
}

impl Timing {
    fn add(&mut self, ticks: u64) {
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
        self.sum = self.sum.saturating_add(ticks);
        self.laps += 1;
        let [first, second] = self.longest;
        self.longest = [first.max(ticks), second.max(first.min(ticks))];
    }

    /// The mean of all laps but the longest two; of the one lap there was, for a subject too slow for more.
    pub fn mean(self) -> f64 {
        if self.laps <= 2 {
            return f64::from(self.sum) / f64::from(self.laps);
        }
        let [first, second] = self.longest;
        f64::from(self.sum.saturating_sub(first).saturating_sub(second)) / f64::from(self.laps - 2)
    }
}

/// Like [`lap`], with each operation's ticks.
pub fn latencies<S: Subject>(setup: &Setup<'_>, stream: &Stream, timings: &mut [Timing]) {
    // SAFETY: the rows run one subject at a time.
    let subject = unsafe { S::over(setup) };
    let mut slots = vec![VACANT; stream.slots];
    run(&*subject, &stream.warm, &mut slots);
    let layout = layout();
    for (&op, timing) in stream.ops.iter().zip(timings) {
        let start = clock::ticks();
        step(&*subject, op, &mut slots, layout);
        timing.add(clock::ticks() - start);
    }
    drain(&*subject, &mut slots);
}

/// Bytes asked for and live when the first request failed, or nothing when none did.
pub fn first_failure<S: Subject>(setup: &Setup<'_>, stream: &Stream) -> Option<usize> {
    // SAFETY: the rows run one subject at a time.
    let subject = unsafe { S::over(setup) };
    let mut slots = vec![VACANT; stream.slots];
    let layout = layout();
    for &op in stream.warm.iter().chain(&stream.ops) {
        if !step(&*subject, op, &mut slots, layout) {
            let live = slots.iter().filter(|slot| !slot.ptr.is_null());
            return Some(live.map(|slot| slot.size).sum());
        }
    }
    None
}

/// Runs `stream` once, leaves its objects live, and hands `then` the moment.
pub fn hold<S: Subject>(setup: &Setup<'_>, stream: &Stream, then: &mut dyn FnMut()) {
    // SAFETY: the rows run one subject at a time.
    let subject = unsafe { S::over(setup) };
    let mut slots = vec![VACANT; stream.slots];
    run(&*subject, &stream.warm, &mut slots);
    run(&*subject, &stream.ops, &mut slots);
    then();
    drain(&*subject, &mut slots);
}

/// Runs `stream` with every object filled and read back; the first object that lost its contents is an error.
///
/// It is also the warm-up of the measurement: all of the subject's code and memory has been used once.
pub fn verify<S: Subject>(setup: &Setup<'_>, stream: &Stream) -> Result<u64, String> {
    // SAFETY: the rows run one subject at a time.
    let subject = unsafe { S::over(setup) };
    let mut slots = vec![VACANT; stream.slots];
    let layout = layout();
    let mut failures = 0;
    for (index, &op) in stream.warm.iter().chain(&stream.ops).enumerate() {
        let number = op.slot();
        let mark = (number as u8) ^ 0xA5;
        let old = slots[number];
        let intact = !S::KIND.is_allocator() || holds(old, old.size, mark);
        failures += u64::from(!step(&*subject, op, &mut slots, layout));
        let new = slots[number];
        let moved = op.kind() != Kind::Realloc || holds(new, old.size.min(new.size), mark);
        if S::KIND.is_allocator() && !(intact && moved && new.ptr.addr().is_multiple_of(ALIGN)) {
            return Err(format!("{}: operation {index}, {op:?}, on {old:?} gave {new:?}: contents lost", S::NAME));
        }
        if S::KIND.is_allocator() && !new.ptr.is_null() {
            // SAFETY: the object is live and has that many bytes.
            unsafe { new.ptr.write_bytes(mark, new.size) };
        }
    }
    drain(&*subject, &mut slots);
    Ok(failures)
}

/// Whether the object in `slot`, if any, holds `mark` in the first and the last 64 of its first `size` bytes.
///
/// Not in all of them: large objects would make a verification last longer than the measurement.
fn holds(slot: Slot, size: usize, mark: u8) -> bool {
    if slot.ptr.is_null() {
        return true;
    }
    // SAFETY: the object is live and has that many bytes, all of them written.
    let bytes = unsafe { std::slice::from_raw_parts(slot.ptr, size) };
    let edge = size.min(64);
    bytes[..edge].iter().chain(&bytes[size - edge..]).all(|&byte| byte == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timing_leaves_the_two_longest_laps_out() {
        let mut timing = Timing::default();
        [9, 90, 11, 900, 10].into_iter().for_each(|ticks| timing.add(ticks));
        assert!((timing.mean() - 10.0).abs() < 1e-9);
    }
}
