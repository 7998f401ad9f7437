//! The two locks: mutual exclusion, what one holder wrote the next one sees, no wake-up is lost, and no thread waits for
//! itself. Loom fails a model whose threads all wait.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use slabfit::{RawLock, Reentered, SpinLock};
use slabfit_linux::FutexLock;
use slabfit_loom::identify;
use slabfit_loom_tests::{ALIKE, DIFFERENT, LIKE_UNLOCKED, explore, spawn};

/// A number that only the lock makes safe to count with: loom fails when two threads reach it unordered.
struct Counted<L> {
    lock: L,
    count: UnsafeCell<usize>,
}

impl<L: RawLock<Token = ()>> Counted<L> {
    /// Takes the lock, counts, and gives it back.
    fn turn(&self) {
        self.lock.lock().expect("this thread does not hold it");
        self.count();
        self.unlock();
    }

    /// Under the lock.
    fn count(&self) {
        // SAFETY: under the lock, or loom says so.
        self.count.with_mut(|count| unsafe { *count += 1 });
    }

    /// By who holds the lock.
    fn unlock(&self) {
        // SAFETY: this thread has locked it.
        unsafe { self.lock.unlock(()) };
    }

    /// An unlocked lock, which this thread has used once.
    fn new() -> Self {
        let counted = Self { lock: L::INIT, count: UnsafeCell::new(0) };
        counted.lock.lock().expect("nobody holds it");
        counted.unlock();
        counted
    }
}

/// As many threads as there are identities, the main one among them, take so many turns each.
fn take_turns<L: RawLock<Token = ()> + 'static>(
    name: &str,
    preemptions: usize,
    turns: usize,
    threads: &'static [usize],
) {
    explore(name, preemptions, move || {
        let (&main, others) = threads.split_first().expect("at least one thread");
        identify(main);
        let counted = Arc::new(Counted::<L>::new());
        let play = |counted: Arc<Counted<L>>| move || (0..turns).for_each(|_| counted.turn());
        let others: Vec<_> = others.iter().map(|&other| spawn(other, play(Arc::clone(&counted)))).collect();
        play(Arc::clone(&counted))();
        others.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
        // SAFETY: the other threads have ended.
        counted.count.with(|count| assert_eq!(unsafe { *count }, threads.len() * turns));
    });
}

#[test]
fn two_threads_are_never_inside_a_spin_lock_at_once() {
    take_turns::<SpinLock>("spin lock, 2 threads", 5, 2, &DIFFERENT[..2]);
}

// With one preemption: with two, loom lets two waiters take turns in spinning and never sees the end.
#[test]
fn three_threads_are_never_inside_a_spin_lock_at_once() {
    take_turns::<SpinLock>("spin lock, 3 threads", 1, 1, &DIFFERENT);
}

#[test]
fn two_threads_are_never_inside_a_futex_lock_at_once_and_none_sleeps_for_ever() {
    take_turns::<FutexLock>("futex lock, 2 threads", 5, 2, &DIFFERENT[..2]);
    take_turns::<FutexLock>("futex lock, 2 threads whose low halves are alike", 5, 2, &ALIKE[..2]);
}

#[test]
fn three_threads_are_never_inside_a_futex_lock_at_once_and_none_sleeps_for_ever() {
    take_turns::<FutexLock>("futex lock, 3 threads", 3, 1, &DIFFERENT);
}

#[test]
fn three_threads_whose_low_halves_are_alike_are_never_inside_at_once_and_none_sleeps_for_ever() {
    take_turns::<FutexLock>("futex lock, 3 threads whose low halves are alike", 3, 1, &ALIKE);
}

#[test]
fn three_threads_whose_low_halves_are_zero_are_never_inside_at_once_and_none_sleeps_for_ever() {
    take_turns::<FutexLock>("futex lock, 3 threads whose low halves are 0", 3, 1, &LIKE_UNLOCKED);
}

#[test]
fn a_thread_that_holds_a_futex_lock_is_refused_whoever_waits() {
    explore("reentry", 5, || {
        identify(ALIKE[0]);
        let counted = Arc::new(Counted::<FutexLock>::new());
        let play = |counted: Arc<Counted<FutexLock>>| {
            move || {
                counted.lock.lock().expect("this thread does not hold it");
                assert_eq!(counted.lock.lock(), Err(Reentered));
                assert_eq!(counted.lock.lock_unless_holding(&counted.lock), Err(Reentered));
                counted.unlock();
            }
        };
        let other = spawn(ALIKE[1], play(Arc::clone(&counted)));
        play(counted)();
        other.join().expect("it does not panic");
    });
}

/// A signal handler is a call in the middle of another one of the same thread.
#[test]
fn two_threads_that_want_the_others_lock_beside_their_own_both_go_on() {
    explore("crosswise", 5, || {
        identify(DIFFERENT[0]);
        let locks = Arc::new([Counted::<FutexLock>::new(), Counted::new()]);
        let play = |own: usize, locks: Arc<[Counted<FutexLock>; 2]>| {
            move || {
                let (own, other) = (&locks[own], &locks[1 - own]);
                own.lock.lock_unless_holding(&other.lock).expect("this thread holds neither");
                own.count();
                let served = other.lock.lock_unless_holding(&own.lock).is_ok();
                if served {
                    other.count();
                    other.unlock();
                }
                own.unlock();
                usize::from(served)
            }
        };
        let thread = spawn(DIFFERENT[1], play(1, Arc::clone(&locks)));
        let served = play(0, Arc::clone(&locks))() + thread.join().expect("it does not panic");
        // SAFETY: the other thread has ended.
        let counted = locks.each_ref().map(|counted| counted.count.with(|count| unsafe { *count }));
        assert_eq!(counted.iter().sum::<usize>(), 2 + served);
    });
}
