//! The lock excludes, sleeps, and knows its own thread, in a signal handler too.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};
use std::{mem, ptr, thread};

use slabfit::{AllocError, Config, RawLock, Reentered};
use slabfit_linux::{FutexLock, MappedHeap};

use crate::system::in_own_process;

/// A number that only the lock makes safe to count with.
struct Counted {
    lock: FutexLock,
    count: UnsafeCell<u64>,
}

// SAFETY: `count` is touched under `lock` only.
unsafe impl Sync for Counted {}

#[test]
fn eight_threads_are_never_inside_at_once() {
    let counted = Counted { lock: FutexLock::INIT, count: UnsafeCell::new(0) };
    let each = 50_000;
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let counted = &counted;
                for turn in 0..each {
                    counted.lock.lock().expect("this thread does not hold it");
                    // SAFETY: under the lock.
                    let before = unsafe { counted.count.get().read_volatile() };
                    if turn % 1024 == 0 {
                        // Long enough for the others to fall asleep.
                        thread::sleep(Duration::from_micros(50));
                    }
                    // SAFETY: under the lock.
                    unsafe { counted.count.get().write_volatile(before + 1) };
                    // SAFETY: it was locked above, by this thread.
                    unsafe { counted.lock.unlock(()) };
                }
            });
        }
    });
    assert_eq!(counted.count.into_inner(), 8 * each);
}

#[test]
fn a_waiter_sleeps() {
    let lock = FutexLock::INIT;
    lock.lock().expect("nobody holds it");
    let held = Duration::from_millis(400);
    let (waited, ran) = thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let (begin, ran) = (Instant::now(), cpu_time_of_this_thread());
            lock.lock().expect("another thread holds it");
            // SAFETY: it was locked above, by this thread.
            unsafe { lock.unlock(()) };
            (begin.elapsed(), cpu_time_of_this_thread() - ran)
        });
        thread::sleep(held);
        // SAFETY: it was locked above, by this thread.
        unsafe { lock.unlock(()) };
        waiter.join().expect("nothing panics")
    });
    println!("waited {waited:?}, of which {ran:?} awake");
    assert!(waited > held / 2, "waited only {waited:?}");
    assert!(ran < Duration::from_millis(10), "was awake for {ran:?} of {waited:?}");
}

#[test]
fn a_signal_does_not_let_a_waiter_in() {
    extern "C" fn nothing(_: libc::c_int) {}
    on_signal(libc::SIGUSR2, nothing);
    let lock = FutexLock::INIT;
    let entered = AtomicBool::new(false);
    lock.lock().expect("nobody holds it");
    thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        let (lock, entered) = (&lock, &entered);
        scope.spawn(move || {
            send.send(this_thread()).expect("it is received");
            lock.lock().expect("another thread holds it");
            entered.store(true, Ordering::SeqCst);
            // SAFETY: it was locked above, by this thread.
            unsafe { lock.unlock(()) };
        });
        let waiter = receive.recv().expect("it is sent");
        for _ in 0..100 {
            interrupt(waiter, libc::SIGUSR2);
            thread::sleep(Duration::from_millis(1));
            assert!(!entered.load(Ordering::SeqCst), "the lock was held");
        }
        // SAFETY: it was locked above, by this thread.
        unsafe { lock.unlock(()) };
    });
    assert!(entered.load(Ordering::SeqCst));
}

#[test]
fn a_thread_that_holds_the_lock_is_refused_whether_others_wait_or_not() {
    let lock = FutexLock::INIT;
    lock.lock().expect("nobody holds it");
    assert_eq!(lock.lock(), Err(Reentered));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            lock.lock().expect("another thread holds it");
            assert_eq!(lock.lock(), Err(Reentered));
            // SAFETY: it was locked above, by this thread.
            unsafe { lock.unlock(()) };
        });
        thread::sleep(Duration::from_millis(50));
        assert_eq!(lock.lock(), Err(Reentered), "while another thread waits");
        // SAFETY: it was locked above, by this thread.
        unsafe { lock.unlock(()) };
        waiter.join().expect("it was let in");
    });
    lock.lock().expect("all have left");
}

static SIGNALLED: OnceLock<MappedHeap> = OnceLock::new();

static SERVED: AtomicUsize = AtomicUsize::new(0);

static REFUSED: AtomicUsize = AtomicUsize::new(0);

static WRONG: AtomicUsize = AtomicUsize::new(0);

/// Allocates and frees in the middle of whatever its thread was doing.
extern "C" fn use_the_heap(_: libc::c_int) {
    let Some(heap) = SIGNALLED.get() else { return };
    let outcome = match heap.alloc(48) {
        // SAFETY: nobody else knows the object.
        Ok(object) if unsafe { heap.free(object.as_ptr()) }.is_ok() => &SERVED,
        Err(AllocError::Reentered) => &REFUSED,
        _ => &WRONG,
    };
    outcome.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn a_signal_handler_inside_the_heap_is_refused_and_outside_served() {
    in_own_process("lock::a_signal_handler_inside_the_heap_is_refused_and_outside_served", || {
        let heap = SIGNALLED.get_or_init(|| MappedHeap::new(1 << 20, Config::new(64)).expect("there is memory"));
        on_signal(libc::SIGUSR1, use_the_heap);
        let end = Instant::now() + Duration::from_secs(30);
        let done = AtomicBool::new(false);
        let working = this_thread();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    interrupt(working, libc::SIGUSR1);
                    thread::sleep(Duration::from_micros(20));
                }
            });
            while REFUSED.load(Ordering::Relaxed) < 100 && Instant::now() < end {
                let object = heap.alloc(32).expect("the heap has room");
                // SAFETY: nobody uses it.
                assert_eq!(unsafe { heap.free(object.as_ptr()) }, Ok(()));
            }
            done.store(true, Ordering::Relaxed);
        });
        let [served, refused, wrong] = [&SERVED, &REFUSED, &WRONG].map(|count| count.load(Ordering::Relaxed));
        println!("of {} signals {served} were served and {refused} refused", served + refused + wrong);
        assert!(served > 0 && refused >= 100 && wrong == 0, "{served} served, {refused} refused, {wrong} wrong");
        assert_eq!(heap.check(), Ok(()));
    });
}

fn cpu_time_of_this_thread() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is there.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn this_thread() -> libc::pthread_t {
    // SAFETY: it reads a number.
    unsafe { libc::pthread_self() }
}

/// The thread must not have been joined.
fn interrupt(thread: libc::pthread_t, signal: libc::c_int) {
    // SAFETY: the thread is not joined before its scope ends, so it is still known.
    assert_eq!(unsafe { libc::pthread_kill(thread, signal) }, 0);
}

fn on_signal(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: all zero is a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: the handlers here do what a handler may: numbers, atomics, and the heap, whose promise that is.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) }, 0);
}
