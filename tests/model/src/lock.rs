//! Whether a lock keeps threads apart, which a random program by one thread cannot tell.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use slabfit::RawLock;

struct Guarded<L> {
    lock: L,
    count: AtomicUsize,
}

/// Has so many threads take a lock so many times each, and requires that never two held it at once.
///
/// A lock that does not keep threads apart fails this soon, but not certainly. One that does never fails it.
///
/// # Panics
/// If two threads held the lock at once, or if the lock was refused to a thread that did not hold it.
pub fn excludes<L: RawLock + Sync>(threads: usize, times: usize) {
    let guarded = Guarded { lock: L::INIT, count: AtomicUsize::new(0) };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..times).for_each(|_| guarded.count_one()));
        }
    });
    let counted = guarded.count.into_inner();
    assert_eq!(counted, threads * times, "two threads held the lock at once");
}

impl<L: RawLock> Guarded<L> {
    /// Counts in two steps, with a chance for the other threads in between, so that who comes in meanwhile is not counted.
    fn count_one(&self) {
        let token = self.lock.lock().expect("this thread does not hold the lock");
        let count = self.count.load(Ordering::Relaxed);
        thread::yield_now();
        self.count.store(count + 1, Ordering::Relaxed);
        // SAFETY: the token is from the `lock` above, by this thread.
        unsafe { self.lock.unlock(token) };
    }
}

#[cfg(test)]
mod tests {
    use slabfit::{Reentered, SpinLock};

    use super::*;

    #[test]
    fn a_lock_that_keeps_threads_apart_passes() {
        excludes::<SpinLock>(3, 300);
    }

    /// A lock that lets everybody in.
    struct Open;

    // SAFETY: it is used to guard nothing but atomics.
    unsafe impl RawLock for Open {
        const INIT: Self = Self;
        type Token = ();

        fn lock(&self) -> Result<(), Reentered> {
            Ok(())
        }

        unsafe fn unlock(&self, (): ()) {}
    }

    #[test]
    #[should_panic(expected = "two threads held the lock at once")]
    fn a_lock_that_lets_everybody_in_fails() {
        // As often as it takes: the system decides which thread runs.
        (0..1_000).for_each(|_| excludes::<Open>(4, 100));
    }
}
