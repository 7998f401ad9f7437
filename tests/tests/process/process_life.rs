//! A process's life with a heap: forks, libraries that come and go, threads that end in the middle, the end of it all.

use std::cell::RefCell;
use std::env;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use slabfit::{AllocError, Config};
use slabfit_linux::ProcessHeap;
use slabfit_tests::figure;

use crate::life::{Watchdog, printed, seed};

/// `SLABFIT_FORKS` says how many; ci/slow/64-process does.
fn forks() -> String {
    env::var("SLABFIT_FORKS").unwrap_or_else(|_| "1000".to_owned())
}

// ---- Forks ----

#[test]
fn a_child_can_use_the_heap_whatever_other_threads_were_doing() {
    let forks = forks();
    let Some(printed) = printed("life_fork.c", &[OsStr::new(&forks)]) else { return };
    assert!(printed.starts_with(&format!("{forks} forks, ")), "{printed}");
    figure::say("forks while other threads allocate", format_args!("{}, every child served", printed.trim_end()));
}

#[test]
fn a_child_never_waits_for_who_writes_or_flushes_files() {
    assert_eq!(printed("life_fork_files.c", &[OsStr::new(&forks())]).unwrap_or_default(), "");
}

#[test]
fn a_child_of_a_process_that_makes_its_heap_has_one_or_can_make_one() {
    let Some(printed) = printed("life_fork_init.c", &[OsStr::new("200")]) else { return };
    assert!(printed.starts_with("1200 children, "), "{printed}");
    figure::say("forks during init", format_args!("{}, all with a heap or able to make one", printed.trim_end()));
}

#[test]
fn a_heap_that_is_held_for_forks_twice_is_let_go_with_the_second() {
    static HEAP: ProcessHeap = ProcessHeap::empty();
    static SERVED: AtomicBool = AtomicBool::new(false);
    let _watchdog = Watchdog::new();
    HEAP.init(1 << 16, Config::new(64)).expect("there is memory");
    HEAP.hold_for_fork();
    HEAP.hold_for_fork();
    assert_eq!(HEAP.alloc(64), Err(AllocError::Reentered));
    assert_eq!(HEAP.alloc(65), Err(AllocError::Reentered));
    let other = thread::spawn(|| {
        let served = HEAP.alloc(64).is_ok() && HEAP.alloc(65).is_ok();
        SERVED.store(served, Ordering::Release);
    });
    // SAFETY: the first of two.
    unsafe { HEAP.let_go_after_fork() };
    thread::sleep(Duration::from_millis(100));
    assert!(!SERVED.load(Ordering::Acquire), "it is still held");
    assert_eq!(HEAP.alloc(64), Err(AllocError::Reentered));
    // SAFETY: the second of two.
    unsafe { HEAP.let_go_after_fork() };
    other.join().expect("it does not panic");
    assert!(SERVED.load(Ordering::Acquire));
    assert!(HEAP.alloc(64).is_ok() && HEAP.alloc(65).is_ok());
    // And again, from another thread.
    let again = thread::spawn(|| {
        HEAP.hold_for_fork();
        // SAFETY: held just above.
        unsafe { HEAP.let_go_after_fork() };
    });
    again.join().expect("it does not panic");
    assert!(HEAP.alloc(64).is_ok());
}

// ---- Libraries ----

#[test]
fn a_library_that_is_loaded_a_thousand_times_maps_its_heap_once() {
    let library = crate::c_common::library();
    let Some(printed) = printed("life_dlopen.c", &[library.as_os_str()]) else { return };
    assert!(printed.starts_with("1000 rounds, "), "{printed}");
    figure::say("dlopen and dlclose", printed.trim_end());
}

// ---- Threads ----

#[test]
fn threads_that_exit_or_are_cancelled_lose_nothing() {
    let seed = seed().to_string();
    let Some(printed) = printed("life_cancel.c", &[OsStr::new(&seed)]) else { return };
    figure::say("threads that exit or are cancelled", printed.lines().last().unwrap_or_default());
}

#[test]
fn of_two_threads_that_free_an_object_at_once_one_is_refused() {
    assert_eq!(printed("life_double_free.c", &[]).unwrap_or_default(), "");
}

// ---- Ends ----

#[test]
fn handlers_at_exit_and_destructors_in_c_use_the_heap() {
    let Some(printed) = printed("life_exit.c", &[]) else { return };
    assert_eq!(printed, "late handler\nearly handler\ndestructor\n");
}

#[test]
fn static_and_thread_local_objects_in_cxx_use_the_heap_as_they_end() {
    let Some(printed) = printed("life_destructors.cpp", &[]) else { return };
    assert_eq!(printed, "thread\nstatic in main\nstatic\n");
}

#[test]
fn thread_locals_in_rust_use_the_heap_as_they_end() {
    static HEAP: ProcessHeap = ProcessHeap::empty();
    static ENDED: AtomicUsize = AtomicUsize::new(0);

    /// An object of the heap, as an address: a pointer could not be in a thread-local that is dropped.
    struct Owner(usize);

    impl Drop for Owner {
        fn drop(&mut self) {
            let other = HEAP.alloc(64).expect("room").as_ptr();
            for object in [other, std::ptr::with_exposed_provenance_mut(self.0)] {
                // SAFETY: nobody uses the object any more.
                assert_eq!(unsafe { HEAP.free(object) }, Ok(()));
            }
            ENDED.fetch_add(1, Ordering::Relaxed);
        }
    }

    thread_local! {
        static OWNED: RefCell<Vec<Owner>> = const { RefCell::new(Vec::new()) };
    }

    let _watchdog = Watchdog::new();
    HEAP.init(1 << 16, Config::new(64)).expect("there is memory");
    let own = |size| {
        let object = HEAP.alloc(size).expect("room").as_ptr().expose_provenance();
        OWNED.with_borrow_mut(|owned| owned.push(Owner(object)));
    };
    for _ in 0..20 {
        let threads: Vec<_> = (0..16).map(|_| thread::spawn(move || [64, 100, 64].into_iter().for_each(own))).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
    }
    assert_eq!(ENDED.load(Ordering::Relaxed), 20 * 16 * 3);
    let stats = HEAP.stats().expect("nobody is in the heap");
    assert_eq!((stats.slab.live_objects, stats.blocks.live_objects), (0, 0));
    assert_eq!(HEAP.check(), Ok(()));
}

// ---- A broken heap ----

#[test]
fn a_dump_of_a_broken_heap_ends_and_asks_nobody_for_memory() {
    let seed = seed().to_string();
    let Some(output) = crate::life::run("life_dump.c", &[OsStr::new(&seed)]) else { return };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{}", String::from_utf8_lossy(&output.stdout));
    let shown = String::from_utf8(output.stdout).expect("it is text");
    assert_eq!(shown.lines().filter(|line| line.starts_with("slab segment: 16384 bytes at 0x")).count(), 50);
    assert_eq!(shown.lines().filter(|line| line.starts_with("block segment: 49152 bytes at 0x")).count(), 50);
}
