//! What `slabfit-linux` promises beyond the heap itself: guard pages, little resident memory, errors instead of deaths,
//! and a lock that excludes, sleeps, and knows its own thread.

use std::cell::UnsafeCell;
use std::env;
use std::fs;
use std::mem;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use slabfit::{AllocError, Config, InitError, MAX_HEAP, RawLock, Reentered, Segment};
use slabfit_linux::{FutexLock, MapError, MappedHeap, ProcessHeap, SystemError};

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

// ---- Memory ----

#[test]
fn a_heap_is_whole_pages_and_split_one_to_three() {
    let page = page_size();
    for (asked, pages) in [(1, 1), (page - 1, 1), (page, 1), (page + 1, 2), (10 * page, 10)] {
        let heap = MappedHeap::new(asked, Config::new(64)).expect("there is memory");
        assert_eq!(heap.size(), pages * page, "asked for {asked}");
        let (slab, blocks) = (heap.segment(Segment::Slab), heap.segment(Segment::Blocks));
        assert_eq!(heap.base().map(|base| base.addr().get()), Some(slab.start));
        assert_eq!((slab.len(), blocks.len()), (heap.size() / 4, heap.size() / 4 * 3));
        assert_eq!(slab.end, blocks.start);
    }
}

#[test]
fn heap_and_bookkeeping_stand_between_guards() {
    let page = page_size();
    let heap = MappedHeap::new(100 * page, Config::new(64)).expect("there is memory");
    let areas = areas_in(heap.mapping().addresses());
    let access: Vec<_> = areas.iter().map(|area| area.access.as_str()).collect();
    assert_eq!(access, ["---p", "rw-p", "---p", "rw-p", "---p"]);
    let lengths: Vec<_> = areas.iter().map(|area| area.len()).collect();
    assert_eq!(lengths[1..4], [100 * page, page, heap.mapping().bookkeeping().len()]);
    // What the heap's alignment takes of the two pages that are there for it is at its front, the rest behind.
    assert!(lengths[0] >= page && lengths[4] >= page, "{lengths:?}");
    assert_eq!(lengths[0] + lengths[4], 2 * page + 8192);
}

#[test]
fn a_heap_starts_at_a_multiple_of_8_kib_wherever_the_kernel_maps_it() {
    let heaps: Vec<_> = (0..20).map(|_| MappedHeap::new(12_288, Config::new(64)).expect("there is memory")).collect();
    assert!(heaps.iter().all(|heap| heap.mapping().heap().addr().get() % 8192 == 0));
}

#[test]
fn touching_a_guard_is_the_end_of_a_process() {
    let heap = MappedHeap::new(MIB, Config::new(64)).expect("there is memory");
    let mapping = heap.mapping();
    for part in [mapping.heap(), mapping.bookkeeping()] {
        let (first, end) = (part.cast::<u8>().as_ptr(), part.cast::<u8>().as_ptr().wrapping_add(part.len()));
        for inside in [first, end.wrapping_sub(1)] {
            assert_eq!(status_of_a_write_to(inside).code(), Some(0), "{inside:p} in {mapping:?}");
        }
        for guard in [first.wrapping_sub(1), first.wrapping_sub(page_size()), end, end.wrapping_add(page_size() - 1)] {
            assert_eq!(status_of_a_write_to(guard).signal(), Some(libc::SIGSEGV), "{guard:p} in {mapping:?}");
        }
    }
}

#[test]
fn a_gibibyte_costs_a_few_pages_before_the_first_allocation() {
    let heap = MappedHeap::new(GIB, Config::new(64)).expect("there are addresses");
    let areas = areas_in(heap.mapping().addresses());
    let resident: usize = areas.iter().map(|area| area.resident).sum();
    // Where the kernel hands out huge pages unasked (transparent_hugepage=always), a page is as large as that.
    let huge: usize = areas.iter().map(|area| area.huge).sum();
    let pages = (resident - huge) / page_size() + huge.div_ceil(2 * MIB);
    println!("a heap of 1 GiB: {resident} bytes resident, in {pages} pages");
    assert!(pages <= 8, "{pages} pages, {resident} bytes are resident");
}

#[test]
fn a_dropped_heap_leaves_nothing_mapped() {
    let odd = 1049 * page_size();
    let heap = MappedHeap::new(odd, Config::new(64)).expect("there is memory");
    assert_eq!(open_areas_of(odd), 1);
    drop(heap);
    assert_eq!(open_areas_of(odd), 0);
}

#[test]
fn what_no_heap_can_be_made_of_is_refused_by_name() {
    let refused = |size, slab_size| MappedHeap::new(size, Config::new(slab_size)).expect_err("no such heap");
    assert!(matches!(refused(0, 64), MapError::Init(InitError::TooSmall { size: 0, .. })));
    assert_eq!(refused(MIB, 0), MapError::Init(InitError::SlabSizeZero));
    for size in [MAX_HEAP + 1, usize::MAX] {
        assert_eq!(refused(size, 64), MapError::Init(InitError::TooLarge { size }));
    }
    // The largest is a heap, if the kernel has as much.
    let largest = MappedHeap::new(MAX_HEAP, Config::new(64)).map(|heap| heap.size());
    assert!(matches!(largest, Ok(MAX_HEAP) | Err(MapError::System(_))), "{largest:?}");
}

#[test]
fn a_refusal_of_memory_is_an_error_at_every_step_and_leaves_nothing_mapped() {
    in_own_process("linux::a_refusal_of_memory_is_an_error_at_every_step_and_leaves_nothing_mapped", || {
        let odd = 4099 * page_size();
        let out_of_memory = MapError::System(SystemError::OutOfMemory);
        let attempt = || MappedHeap::new(odd, Config::new(64)).map(|_| ()).expect_err("memory is limited");
        // Addresses: the reservation fails. Data: it succeeds, and opening the heap, then the bookkeeping, fails.
        let used = status_bytes("VmSize:");
        with_limit(libc::RLIMIT_AS, used + odd / 2, || assert_eq!(attempt(), out_of_memory));
        let data = status_bytes("VmData:");
        with_limit(libc::RLIMIT_DATA, data + odd / 2, || assert_eq!(attempt(), out_of_memory));
        with_limit(libc::RLIMIT_DATA, data + odd + 4 * page_size(), || assert_eq!(attempt(), out_of_memory));
        // What was only reserved is no open area, but it counts as size.
        assert_eq!(open_areas_of(odd), 0);
        assert!(status_bytes("VmSize:") < used + odd / 2, "a reservation is left");
        MappedHeap::new(odd, Config::new(64)).expect("memory is not limited any more");
    });
}

// ---- The process's heap ----

#[test]
fn a_process_heap_is_initialised_once_and_a_failure_does_not_count() {
    static HEAP: ProcessHeap = ProcessHeap::empty();
    let odd = 1051 * page_size();
    assert_eq!(HEAP.alloc(64), Err(AllocError::NotInitialised));
    assert!(matches!(HEAP.init(0, Config::new(64)), Err(MapError::Init(InitError::TooSmall { .. }))));
    assert_eq!(HEAP.init(odd, Config::new(0)), Err(MapError::Init(InitError::SlabSizeZero)));
    assert_eq!(HEAP.base(), None);
    assert_eq!(HEAP.alloc(64), Err(AllocError::NotInitialised));

    let first = HEAP.init(odd, Config::new(64)).expect("there is memory");
    assert_eq!(HEAP.base(), Some(first));
    assert_eq!(HEAP.alloc(64), Ok(first));
    assert_eq!(HEAP.init(odd, Config::new(64)), Err(MapError::Init(InitError::AlreadyInitialised)));
    assert_eq!(open_areas_of(odd), 1);
    assert_eq!(HEAP.base(), Some(first));
    assert_eq!(HEAP.check(), Ok(()));
}

#[test]
fn of_sixteen_threads_that_initialise_a_heap_one_does() {
    let odd = 1061 * page_size();
    for round in 1..=100 {
        let heap: ProcessHeap = ProcessHeap::empty();
        let start = Barrier::new(16);
        let results: Vec<_> = thread::scope(|scope| {
            let init = || {
                start.wait();
                heap.init(odd, Config::new(64)).map(NonNull::addr)
            };
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(init)).collect();
            threads.into_iter().map(|thread| thread.join().expect("nothing panics")).collect()
        });
        let winners: Vec<_> = results.iter().filter_map(|result| result.ok()).collect();
        let base = heap.base().expect("one of them did");
        assert_eq!(winners, [base.addr()], "round {round}");
        let lost = results.iter().filter_map(|result| result.err());
        assert!(lost.into_iter().all(|error| error == MapError::Init(InitError::AlreadyInitialised)), "round {round}");
        assert_eq!(heap.alloc(64), Ok(base));
        // The heaps of processes are never unmapped, those of losers are.
        assert_eq!(open_areas_of(odd), round);
    }
}

// ---- The lock ----

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
    in_own_process("linux::a_signal_handler_inside_the_heap_is_refused_and_outside_served", || {
        let heap = SIGNALLED.get_or_init(|| MappedHeap::new(MIB, Config::new(64)).expect("there is memory"));
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

// ---- What the tests use ----

/// A line of /proc/self/smaps and what follows it.
#[derive(Debug)]
struct Area {
    addresses: Range<usize>,
    access: String,
    resident: usize,
    huge: usize,
}

impl Area {
    fn len(&self) -> usize {
        self.addresses.len()
    }
}

/// The areas of this process's memory, as far as they lie inside `addresses`: the kernel joins neighbours that are alike,
/// such as the guards of two heaps.
fn areas_in(addresses: Range<usize>) -> Vec<Area> {
    let mut areas: Vec<Area> = Vec::new();
    for line in fs::read_to_string("/proc/self/smaps").expect("/proc is there").lines() {
        let mut words = line.split_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
        if let Some((start, end)) = first.split_once('-') {
            let [start, end] = [start, end].map(|hex| usize::from_str_radix(hex, 16).expect("an address"));
            areas.push(Area { addresses: start..end, access: second.to_owned(), resident: 0, huge: 0 });
        } else if let Some(area) = areas.last_mut() {
            let bytes = second.parse::<usize>().map_or(0, |kib| kib * 1024);
            match first {
                "Rss:" => area.resident = bytes,
                "AnonHugePages:" => area.huge = bytes,
                _ => {}
            }
        }
    }
    for area in &mut areas {
        let (start, end) = (area.addresses.start.max(addresses.start), area.addresses.end.min(addresses.end));
        area.addresses = start..end;
    }
    areas.retain(|area| !area.addresses.is_empty());
    areas
}

/// How many readable and writable areas have exactly this size: a size that nothing else has finds a heap.
fn open_areas_of(size: usize) -> usize {
    areas_in(0..usize::MAX).iter().filter(|area| area.len() == size && area.access == "rw-p").count()
}

/// A figure of /proc/self/status that is given in kB.
fn status_bytes(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is there");
    let line = status.lines().find(|line| line.starts_with(name)).expect("the kernel counts it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") * 1024
}

fn page_size() -> usize {
    // SAFETY: it reads a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("there are pages")
}

/// How a process ends that writes one byte and does nothing else.
fn status_of_a_write_to(byte: *mut u8) -> ExitStatus {
    // SAFETY: the child calls nothing but `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork fails");
    if child == 0 {
        // SAFETY: none: that this may be the process's end is what is asked.
        unsafe { byte.write_volatile(1) };
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: the child is this process's own, and `status` is there.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    ExitStatus::from_raw(status)
}

/// Runs a test in a process that has no other threads: this same program, asked for this one test.
fn in_own_process(test: &str, work: impl FnOnce()) {
    const CHILD: &str = "SLABFIT_TEST_CHILD";
    if env::var_os(CHILD).is_some() {
        return work();
    }
    let mut child = Command::new(env::current_exe().expect("a test has an executable"));
    child.args([test, "--exact", "--nocapture"]).env(CHILD, test);
    let output = child.output().expect("it starts again");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{}\n{stdout}\n{stderr}", output.status);
    print!("{stdout}");
}

fn with_limit(resource: libc::__rlimit_resource_t, bytes: usize, work: impl FnOnce()) {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `before` is there.
    assert_eq!(unsafe { libc::getrlimit(resource, &raw mut before) }, 0);
    let limited = libc::rlimit { rlim_cur: bytes as libc::rlim_t, ..before };
    // SAFETY: `limited` is there.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const limited) }, 0);
    work();
    // SAFETY: `before` is there.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const before) }, 0);
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
