//! Two clocks: the thread's own processor time for whole repetitions, the time-stamp counter for single operations.

use std::time::{Duration, Instant};

/// Nanoseconds of processor time this thread has used.
///
/// Not wall time: what other processes take from this one on a busy machine is no cost of an allocator.
pub fn thread_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// The time-stamp counter, read after all earlier instructions and before all later ones.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn ticks() -> u64 {
    use std::arch::x86_64::{_mm_lfence, _rdtsc};
    // SAFETY: SSE2 is part of x86-64.
    unsafe { _mm_lfence() };
    // SAFETY: the counter may be read by any Linux process.
    let now = unsafe { _rdtsc() };
    // SAFETY: SSE2 is part of x86-64.
    unsafe { _mm_lfence() };
    now
}

/// Nanoseconds since an arbitrary moment, where there is no counter to read directly.
#[cfg(not(target_arch = "x86_64"))]
pub fn ticks() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// How long one tick of [`ticks`] is, found by counting them for a moment.
pub fn ns_per_tick() -> f64 {
    let (start, first) = (Instant::now(), ticks());
    while start.elapsed() < Duration::from_millis(30) {}
    let (elapsed, last) = (start.elapsed(), ticks());
    elapsed.as_nanos() as f64 / (last - first) as f64
}
