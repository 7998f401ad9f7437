//! A thread that runs one instruction at a time in its cache: between any two of them a signal handler uses the heap, or the process
//! is forked.
//!
//! The processor's trap flag makes every instruction end in a SIGTRAP, in whose handler it is off. One test at a time, as there is one
//! handler.
#![cfg(target_arch = "x86_64")]

use std::arch::asm;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use slabfit::{Cache, Config, General, Stats};
use slabfit_linux::{FutexLock, ProcessHeap};
use slabfit_tests::figure;

use crate::life::{Watchdog, on_signal};

type ThreadCache = Cache<'static, 'static, FutexLock>;

const SIZE: usize = 512;
/// Slots of a run of that size.
const IN_RUN: usize = 16;
const CONFIG: Config = Config::without_slab().caches(4);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Nothing has to be called at a thread's end: the threads here end their caches themselves.
fn at_end() -> bool {
    true
}

/// Runs `work` one instruction at a time.
fn step(work: impl FnOnce()) {
    // SAFETY: only the trap flag changes, and SIGTRAP has a handler.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
    work();
    // SAFETY: as above.
    unsafe { asm!("pushfq", "and qword ptr [rsp], ~0x100", "popfq") };
}

/// Allocates through the calling thread's cache, or the heap.
fn alloc(heap: &'static ProcessHeap<General>) -> Option<NonNull<u8>> {
    match heap.with_cache(at_end, |cache: &ThreadCache| cache.alloc(SIZE)) {
        Some(answer) => answer.ok(),
        None => heap.alloc(SIZE).ok(),
    }
}

/// Frees what was allocated, likewise; whether it was the one to do so.
fn free(heap: &'static ProcessHeap<General>, object: *mut u8) -> bool {
    // SAFETY: nobody uses the object.
    let freed = heap.with_cache(at_end, |cache| unsafe { cache.free(object) });
    // SAFETY: as above.
    freed.unwrap_or_else(|| unsafe { heap.free(object) }).is_ok()
}

/// The objects of the thread that runs step by step. One that is being allocated or freed may be missing, or here.
struct Record([AtomicPtr<u8>; 3 * IN_RUN]);

impl Record {
    const fn new() -> Self {
        Self([const { AtomicPtr::new(ptr::null_mut()) }; 3 * IN_RUN])
    }

    fn all(&self) -> impl Iterator<Item = *mut u8> {
        self.0.iter().map(|object| object.load(Ordering::SeqCst)).filter(|object| !object.is_null())
    }

    fn alloc(&self, heap: &'static ProcessHeap<General>, objects: std::ops::Range<usize>) {
        for place in &self.0[objects] {
            // The heap refuses who interrupts it, and here nobody does so.
            let object = alloc(heap).expect("there is room");
            place.store(object.as_ptr(), Ordering::SeqCst);
        }
    }

    fn free(&self, heap: &'static ProcessHeap<General>, objects: std::ops::Range<usize>) {
        for place in &self.0[objects] {
            assert!(free(heap, place.load(Ordering::SeqCst)));
            place.store(ptr::null_mut(), Ordering::SeqCst);
        }
    }

    /// Everything that a cache does: it is made, fills its magazine, gives half of it back, and takes back what was freed by others, of
    /// whom the heap is one; then it ends.
    fn play(&self, heap: &'static ProcessHeap<General>) {
        step(|| self.alloc(heap, 0..2));
        self.alloc(heap, 2..3 * IN_RUN);
        self.free(heap, 1..2 * IN_RUN);
        step(|| self.free(heap, 2 * IN_RUN..2 * IN_RUN + 3));
        self.free(heap, 2 * IN_RUN + 3..3 * IN_RUN);
        self.alloc(heap, 1..3 * IN_RUN);
        for place in &self.0[..2] {
            // SAFETY: nobody uses the object.
            assert_eq!(unsafe { heap.free(place.load(Ordering::SeqCst)) }, Ok(()));
            place.store(ptr::null_mut(), Ordering::SeqCst);
        }
        step(|| self.alloc(heap, 0..2));
        self.free(heap, 1..3 * IN_RUN);
        step(|| {
            heap.end_thread();
            self.free(heap, 0..1);
        });
    }
}

/// Nothing is live, and no cache has or is anything.
fn assert_nothing_is_lost(heap: &ProcessHeap<General>) {
    assert_eq!(heap.check(), Ok(()));
    heap.empty_magazines().expect("nobody is in the heap");
    let Stats { caches, blocks, classes, .. } = heap.stats().expect("nobody is in the heap");
    assert_eq!((caches.attached, caches.run_bytes, blocks.live_bytes), (0, 0, 0), "{caches:?}");
    assert!(classes.iter().all(|class| class.live_objects == 0 && class.allocs == class.frees), "{classes:?}");
}

static HANDLED: ProcessHeap<General> = ProcessHeap::empty();
/// Steps, and those at which the handler was served.
static STEPS: AtomicUsize = AtomicUsize::new(0);
static SERVED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn use_the_heap(_: libc::c_int) {
    STEPS.fetch_add(1, Ordering::Relaxed);
    let Some(object) = alloc(&HANDLED) else { return };
    SERVED.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the object is the handler's, and has so many bytes.
    unsafe { object.write_bytes(0xA5, SIZE) };
    assert!(free(&HANDLED, object.as_ptr()), "what was served is freed");
}

#[test]
fn a_handler_that_interrupts_its_thread_anywhere_in_its_cache_is_served_or_refused() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let _watchdog = Watchdog::new();
    HANDLED.init(1 << 20, CONFIG).expect("there is memory");
    on_signal(libc::SIGTRAP, use_the_heap);
    thread::spawn(|| Record::new().play(&HANDLED)).join().expect("it does not panic");
    assert_nothing_is_lost(&HANDLED);
    let (steps, served) = (STEPS.load(Ordering::Relaxed), SERVED.load(Ordering::Relaxed));
    assert!(served > steps / 10 && served < steps, "{served} of {steps}");
    figure::say("a handler between any two instructions of a thread's cache", format!("{served} of {steps} served"));
}

static BEGUN: ProcessHeap<General> = ProcessHeap::empty();
/// Instructions to go until the handler uses the heap, once.
static LEFT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn use_the_heap_once(_: libc::c_int) {
    if LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
        let object = alloc(&BEGUN).map(NonNull::as_ptr);
        assert!(object.is_none_or(|object| free(&BEGUN, object)), "what was served is freed");
    }
}

/// The handler is the first to ask for the thread's cache, or nearly so.
#[test]
fn a_thread_has_one_cache_whatever_its_handler_makes_while_it_begins_or_ends() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let _watchdog = Watchdog::new();
    BEGUN.init(1 << 20, CONFIG).expect("there is memory");
    on_signal(libc::SIGTRAP, use_the_heap_once);
    let begin = || assert!(alloc(&BEGUN).is_none_or(|object| free(&BEGUN, object.as_ptr())));
    let end = || BEGUN.end_thread();
    let calls: [&(dyn Fn() + Sync); 2] = [&begin, &end];
    for call in calls {
        for left in 1..300 {
            LEFT.store(left, Ordering::Relaxed);
            thread::scope(|scope| {
                scope.spawn(|| {
                    step(call);
                    BEGUN.end_thread();
                });
            });
            let attached = BEGUN.stats().expect("nobody is in the heap").caches.attached;
            assert_eq!(attached, 0, "after a handler {left} instructions on");
        }
    }
    assert_nothing_is_lost(&BEGUN);
}

static FORKED: ProcessHeap<General> = ProcessHeap::empty();
static RECORD: Record = Record::new();
/// Forks that the stepping thread has asked for, and those that were made.
static ASKED: AtomicUsize = AtomicUsize::new(0);
static MADE: AtomicUsize = AtomicUsize::new(0);
/// Says that no more will be asked for.
const ENOUGH: usize = usize::MAX;

/// Has the other thread fork, unless this one is in the heap, where a fork waits for it.
extern "C" fn ask_for_a_fork(_: libc::c_int) {
    if FORKED.stats().is_err() {
        return;
    }
    let number = ASKED.fetch_add(1, Ordering::SeqCst) + 1;
    while MADE.load(Ordering::SeqCst) != number {
        thread::yield_now();
    }
}

/// What a child finds, whose parent's other thread was anywhere in its cache. Returns what is wrong, as a number.
fn recover(kept: *mut u8) -> i32 {
    // SAFETY: the child of a fork before which the heap was held.
    unsafe { FORKED.let_go_after_fork() };
    // SAFETY: the child was just forked.
    if unsafe { FORKED.recover_after_fork() }.is_err() {
        return 1;
    }
    let Ok(Stats { caches, classes, .. }) = FORKED.stats() else { return 2 };
    let known = RECORD.all().count() + 1;
    let live: usize = classes.iter().map(|class| class.live_objects).sum();
    // The own cache is left. One object may be live that is not known yet, or known that is not live any more.
    if FORKED.check().is_err() || caches.attached != 1 || live.abs_diff(known) > 1 {
        return 3;
    }
    // As many were freed as were not live any more; none less than none.
    if classes.iter().any(|class| class.frees > class.allocs) {
        return 4;
    }
    let freed = RECORD.all().filter(|object| free(&FORKED, *object)).count() + usize::from(free(&FORKED, kept));
    let lost = live - freed;
    FORKED.end_thread();
    let Ok(Stats { caches, .. }) = FORKED.stats() else { return 5 };
    let is_empty = (caches.attached, caches.run_bytes == 0) == (0, lost == 0);
    if FORKED.check().is_err() || lost > 1 || !is_empty { 6 } else { 0 }
}

#[test]
fn a_fork_while_another_thread_is_anywhere_in_its_cache_loses_at_most_what_that_was_about() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let _watchdog = Watchdog::new();
    FORKED.init(1 << 18, CONFIG).expect("there is memory");
    on_signal(libc::SIGTRAP, ask_for_a_fork);
    let kept = alloc(&FORKED).expect("there is room").as_ptr();
    let stepping = thread::spawn(|| {
        RECORD.play(&FORKED);
        ASKED.store(ENOUGH, Ordering::SeqCst);
    });
    let mut forks = 0;
    loop {
        match ASKED.load(Ordering::SeqCst) {
            ENOUGH => break,
            asked if asked == MADE.load(Ordering::SeqCst) => thread::yield_now(),
            asked => {
                FORKED.hold_for_fork();
                // SAFETY: the child makes no call that another thread's lock could stop.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    let wrong = recover(kept);
                    // SAFETY: nothing of this process is to be cleaned up.
                    unsafe { libc::_exit(wrong) };
                }
                // SAFETY: held above.
                unsafe { FORKED.let_go_after_fork() };
                let mut status = -1;
                // SAFETY: the status outlives the call.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                assert_eq!(status, 0, "{:#x} at fork {asked}", status);
                forks += 1;
                MADE.store(asked, Ordering::SeqCst);
            }
        }
    }
    stepping.join().expect("it does not panic");
    assert!(free(&FORKED, kept));
    FORKED.end_thread();
    assert_nothing_is_lost(&FORKED);
    figure::say("forks between any two instructions of a thread's cache", forks);
}
