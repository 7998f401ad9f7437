//! Signal handlers that use a heap: in the middle of their own thread's call they are refused at once, and nobody waits for
//! ever, whatever halves of the heap the threads were interrupted in.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use slabfit::{AllocError, Config, Heap, InitError, InvalidFree, RawLock, ReallocError, Reason, Reentered, Violation};
use slabfit_linux::{FutexLock, MappedHeap};
use slabfit_tests::figure;

use crate::life::{Watchdog, cpu_time, interrupt_myself, on_signal};

const SLAB_SIZE: usize = 64;

// ---- In its own thread's call ----

/// What the handler uses: the heap, and an object in each half.
struct Interrupted {
    heap: MappedHeap,
    slot: usize,
    block: usize,
}

static INTERRUPTED: AtomicPtr<Interrupted> = AtomicPtr::new(ptr::null_mut());
static REFUSED: AtomicUsize = AtomicUsize::new(0);

/// Every call there is. All of them must be refused.
extern "C" fn try_everything(_: libc::c_int) {
    // SAFETY: the test keeps it until the handler has run.
    let Some(Interrupted { heap, slot, block }) = (unsafe { INTERRUPTED.load(Ordering::Acquire).as_ref() }) else {
        return;
    };
    let mut refused = 0;
    for size in [SLAB_SIZE, 1, 1000] {
        refused += usize::from(heap.alloc(size) == Err(AllocError::Reentered));
        refused += usize::from(heap.alloc_zeroed(size) == Err(AllocError::Reentered));
    }
    for &address in [slot, block] {
        let object = ptr::with_exposed_provenance_mut(address);
        let wrong = InvalidFree { address, reason: Reason::Reentered };
        // SAFETY: nobody uses the object, should it be freed.
        refused += usize::from(unsafe { heap.free(object) } == Err(wrong));
        // SAFETY: as above.
        refused += usize::from(unsafe { heap.realloc(object, 2000) } == Err(ReallocError::InvalidFree(wrong)));
        refused += usize::from(heap.usable_size(object) == Err(wrong));
    }
    refused += usize::from(heap.stats() == Err(Reentered));
    refused += usize::from(heap.check() == Err(Violation::Reentered));
    refused += usize::from(heap.repair() == Err(Reentered));
    REFUSED.store(refused, Ordering::Release);
}

#[test]
fn every_call_of_a_handler_inside_the_heap_is_refused_at_once() {
    let _watchdog = Watchdog::new();
    let heap = MappedHeap::new(1 << 20, Config::new(SLAB_SIZE)).expect("there is memory");
    let [slot, block] = [SLAB_SIZE, 100].map(|size| heap.alloc(size).expect("room").as_ptr().expose_provenance());
    let interrupted = Interrupted { heap, slot, block };
    INTERRUPTED.store((&raw const interrupted).cast_mut(), Ordering::Release);
    on_signal(libc::SIGUSR1, try_everything);
    let before = interrupted.heap.stats();
    // As if it were in the middle of a call of each half.
    let held = interrupted.heap.lock_all();
    let began = cpu_time();
    interrupt_myself(libc::SIGUSR1);
    let took = cpu_time() - began;
    drop(held);
    assert_eq!(REFUSED.load(Ordering::Acquire), 15);
    assert_eq!(interrupted.heap.stats(), before);
    assert_eq!(interrupted.heap.check(), Ok(()));
    figure::say("calls of a handler in its own thread's call", format_args!("15, refused in {took:.0?}"));
    // Not one of them slept, which the watchdog would tell, or spun.
    assert!(took.as_millis() < 20, "{took:?}");
    INTERRUPTED.store(ptr::null_mut(), Ordering::Release);
}

// ---- Crosswise ----

static LOCKS: [FutexLock; 2] = [FutexLock::INIT, FutexLock::INIT];
static CROSSED: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];

/// In the thread that holds the first lock.
extern "C" fn want_the_second(_: libc::c_int) {
    CROSSED[0].store(LOCKS[1].lock_unless_holding(&LOCKS[0]) == Err(Reentered), Ordering::Release);
}

/// In the thread that holds the second.
extern "C" fn want_the_first(_: libc::c_int) {
    CROSSED[1].store(LOCKS[0].lock_unless_holding(&LOCKS[1]) == Err(Reentered), Ordering::Release);
}

#[test]
fn two_handlers_that_want_the_other_threads_lock_are_both_refused() {
    let _watchdog = Watchdog::new();
    on_signal(libc::SIGALRM, want_the_second);
    on_signal(libc::SIGVTALRM, want_the_first);
    let both = Barrier::new(2);
    thread::scope(|scope| {
        for (lock, signal) in LOCKS.iter().zip([libc::SIGALRM, libc::SIGVTALRM]) {
            let both = &both;
            scope.spawn(move || {
                lock.lock().expect("nobody holds it");
                both.wait();
                interrupt_myself(signal);
                both.wait();
                // SAFETY: this thread has locked it.
                unsafe { lock.unlock(()) };
            });
        }
    });
    assert!(CROSSED.iter().all(|crossed| crossed.load(Ordering::Acquire)));
    assert_eq!(LOCKS.each_ref().map(|lock| lock.lock()), [Ok(()), Ok(())]);
}

#[test]
fn handlers_in_one_half_of_the_heap_that_want_the_other_never_wait_for_each_other() {
    let Some(printed) = crate::life::printed("life_cross.c", &[]) else { return };
    figure::say("handlers crosswise in the two halves", printed.trim_end());
}

// ---- During init ----

const REGION: usize = 8192;
/// How many handlers are to run, and how long they may take: on a machine whose processors are all busy a signal comes with a
/// change of threads, and that is all.
const HANDLERS: usize = 3000;
const MOST: Duration = Duration::from_secs(20);

/// A heap in the making, and memory for the thread that makes it and for its handler, should that be faster.
struct Making {
    heap: Heap<'static, FutexLock>,
    regions: [Box<[MaybeUninit<u8>]>; 2],
    winners: AtomicU32,
}

static MAKING: AtomicPtr<Making> = AtomicPtr::new(ptr::null_mut());
static SEEN: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];
static WRONG: AtomicUsize = AtomicUsize::new(0);

impl Making {
    fn init(&self, region: usize) -> Result<(), InitError> {
        let memory = self.regions[region].as_ptr().cast_mut().cast();
        // SAFETY: each region is lent once, and the heap is dropped with the regions.
        let memory = unsafe { slabfit::Memory::from_raw(memory, REGION) };
        let made = self.heap.init(memory, Config::new(SLAB_SIZE));
        self.winners.fetch_add(u32::from(made.is_ok()), Ordering::Relaxed);
        made
    }
}

/// Allocates from a heap that is perhaps being made, and in its first turn makes it itself.
extern "C" fn use_what_is_there(_: libc::c_int) {
    // SAFETY: it is taken away before it is dropped.
    let Some(making) = (unsafe { MAKING.load(Ordering::Acquire).as_ref() }) else { return };
    let outcome = match making.heap.alloc(SLAB_SIZE) {
        // SAFETY: nobody else knows the object.
        Ok(object) if unsafe { making.heap.free(object.as_ptr()) } == Ok(()) => &SEEN[0],
        Err(AllocError::NotInitialised) => &SEEN[1],
        Err(AllocError::Reentered) => &SEEN[2],
        _ => &WRONG,
    };
    outcome.fetch_add(1, Ordering::Relaxed);
    let outcome = match making.init(1) {
        Ok(()) => &SEEN[3],
        Err(InitError::AlreadyInitialised | InitError::Reentered) => return,
        Err(_) => &WRONG,
    };
    outcome.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn a_handler_during_init_finds_no_heap_or_a_whole_one_or_is_refused() {
    let _watchdog = Watchdog::new();
    on_signal(libc::SIGUSR2, use_what_is_there);
    // SAFETY: it reads a number.
    let maker = unsafe { libc::pthread_self() };
    let (done, end) = (AtomicBool::new(false), Instant::now() + MOST);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // SAFETY: the maker is in this scope, and has a handler.
                assert_eq!(unsafe { libc::pthread_kill(maker, libc::SIGUSR2) }, 0);
                thread::yield_now();
            }
        });
        let enough = || {
            let [served, nothing, ..] = SEEN.each_ref().map(|count| count.load(Ordering::Relaxed));
            served + nothing >= HANDLERS || Instant::now() > end
        };
        while !enough() {
            let region = || vec![MaybeUninit::uninit(); REGION].into_boxed_slice();
            let making = Making { heap: Heap::empty(), regions: [region(), region()], winners: AtomicU32::new(0) };
            MAKING.store((&raw const making).cast_mut(), Ordering::Release);
            let made = making.init(0);
            MAKING.store(ptr::null_mut(), Ordering::Release);
            assert!(made.is_ok() || made == Err(InitError::AlreadyInitialised), "{made:?}");
            assert_eq!(making.winners.load(Ordering::Relaxed), 1);
            assert_eq!(making.heap.check(), Ok(()));
            let base = making.heap.base().expect("somebody has made it").addr().get();
            let place = making.regions[usize::from(made.is_err())].as_ptr().addr();
            assert!((place..place + REGION).contains(&base), "{base:#x} is not the winner's, {place:#x}");
        }
        done.store(true, Ordering::Relaxed);
    });
    let [served, nothing, refused, made] = SEEN.each_ref().map(|count| count.load(Ordering::Relaxed));
    figure::say(
        "handlers during init",
        format_args!("{served} served, {nothing} found no heap, {refused} refused, {made} made the heap"),
    );
    assert_eq!(WRONG.load(Ordering::Relaxed), 0);
    assert!(served + nothing > 0, "no handler ran in {MOST:?}");
}
