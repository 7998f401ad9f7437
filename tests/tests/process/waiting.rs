//! A thread that waits for a heap sleeps, also while who is in it has been preempted; and it is no matter which of them the
//! scheduler prefers.

use std::io;
use std::mem;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use slabfit::{Config, RawLock, SpinLock};
use slabfit_linux::{FutexLock, MappedHeap};
use slabfit_tests::figure;

use crate::life::{Watchdog, cpu_time, skipped};

/// How long the holder is off its processor.
const OFF: Duration = Duration::from_millis(300);

/// Puts the calling thread in the class of those that run until they sleep. Not everybody may.
fn prefer_this_thread() -> io::Result<()> {
    let priority = libc::sched_param { sched_priority: 10 };
    // SAFETY: `priority` is there.
    let set = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The processors that this thread may run on.
fn processors() -> Vec<usize> {
    // SAFETY: all zero is an empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is there, and as large as said.
    assert_eq!(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) }, 0);
    // SAFETY: the number is below the set's size.
    (0..libc::CPU_SETSIZE as usize).filter(|&number| unsafe { libc::CPU_ISSET(number, &set) }).collect()
}

fn run_on(processor: usize) {
    // SAFETY: all zero is an empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the number is below the set's size.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: `set` is there, and as large as said.
    assert_eq!(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) }, 0);
}

/// Waits awake, on whatever processor it is.
fn burn(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// How long a thread waits for a lock whose holder is preempted meanwhile, and how much of that it is awake.
struct Waited {
    waited: Duration,
    awake: Duration,
}

/// The holder and a thread that is preferred share a processor; who waits has the other.
fn wait_for_a_preempted_holder<L: RawLock + Sync>(shared: usize, other: usize) -> io::Result<Waited> {
    let lock = L::INIT;
    let (held, released, go) = (Barrier::new(2), AtomicBool::new(false), Barrier::new(2));
    thread::scope(|scope| {
        let (lock, held, released, go) = (&lock, &held, &released, &go);
        let holder = scope.spawn(move || {
            run_on(shared);
            let token = lock.lock().expect("nobody holds it");
            held.wait();
            while !released.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
            // SAFETY: the token is of the `lock` above.
            unsafe { lock.unlock(token) };
        });
        held.wait();
        let preempting = scope.spawn(move || {
            run_on(shared);
            let preferred = prefer_this_thread();
            go.wait();
            if preferred.is_ok() {
                burn(OFF);
            }
            released.store(true, Ordering::Release);
            preferred
        });
        let waiter = scope.spawn(move || {
            run_on(other);
            go.wait();
            let (begin, awake) = (Instant::now(), cpu_time());
            let token = lock.lock().expect("another thread holds it");
            let waited = Waited { waited: begin.elapsed(), awake: cpu_time() - awake };
            // SAFETY: the token is of the `lock` above.
            unsafe { lock.unlock(token) };
            waited
        });
        holder.join().expect("it does not panic");
        preempting.join().expect("it does not panic")?;
        Ok(waiter.join().expect("it does not panic"))
    })
}

#[test]
fn a_waiter_sleeps_while_the_holder_is_preempted() {
    let _watchdog = Watchdog::new();
    let [shared, other, ..] = processors()[..] else {
        return skipped("there is one processor");
    };
    match wait_for_a_preempted_holder::<FutexLock>(shared, other) {
        Err(error) => skipped(&format!("no SCHED_FIFO: {error}")),
        Ok(Waited { waited, awake }) => {
            let spin = wait_for_a_preempted_holder::<SpinLock>(shared, other).expect("it was allowed before");
            figure::say(
                "a waiter while SCHED_FIFO preempts the holder",
                format_args!("waited {waited:.0?}, {awake:.1?} of it awake (a spin lock: {:.0?})", spin.awake),
            );
            assert!(waited > OFF / 2, "waited only {waited:?}");
            assert!(awake < Duration::from_millis(10), "was awake for {awake:?} of {waited:?}");
        }
    }
}

/// Without any privilege: the holder sleeps in the heap, as if it were preempted there.
#[test]
fn waiters_sleep_while_a_thread_is_in_the_heap() {
    let _watchdog = Watchdog::new();
    let heap = MappedHeap::new(1 << 20, Config::new(64)).expect("there is memory");
    let ready = Barrier::new(9);
    let held = heap.lock_all();
    let awake: Vec<_> = thread::scope(|scope| {
        let waiters: Vec<_> = (0..8)
            .map(|number| {
                let (heap, ready) = (&heap, &ready);
                scope.spawn(move || {
                    ready.wait();
                    let before = cpu_time();
                    let object = heap.alloc([64, 100][number % 2]).expect("room");
                    // SAFETY: nobody uses the object.
                    assert_eq!(unsafe { heap.free(object.as_ptr()) }, Ok(()));
                    cpu_time() - before
                })
            })
            .collect();
        ready.wait();
        thread::sleep(OFF);
        drop(held);
        waiters.into_iter().map(|waiter| waiter.join().expect("it does not panic")).collect()
    });
    let most = awake.iter().max().expect("there are eight");
    figure::say("eight waiters", format_args!("waited {OFF:.0?}, none more than {most:.1?} of it awake"));
    assert!(awake.iter().all(|&awake| awake < Duration::from_millis(10)), "{awake:?}");
}

/// In a child that the kernel ends if it calls for a lock: neither who takes one nor who gives it back does that alone.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn a_lock_that_nobody_waits_for_costs_no_system_call() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

    let _watchdog = Watchdog::new();
    let heap = MappedHeap::new(1 << 20, Config::new(64)).expect("there is memory");
    let arch = std::env::consts::ARCH.try_into().expect("it is one of two");
    let rules = [(libc::SYS_futex, Vec::new())].into_iter().collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::KillProcess, arch);
    let program: BpfProgram = filter.expect("two actions that differ").try_into().expect("it is short");
    // SAFETY: the child calls the kernel and the heap, in which no other thread is, and allocates nothing else.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let filtered = seccompiler::apply_filter(&program).is_ok();
        let served = (0..100).all(|turn| {
            let object = heap.alloc([64, 100][turn % 2]);
            // SAFETY: nobody uses the object.
            object.is_ok_and(|object| unsafe { heap.free(object.as_ptr()) }.is_ok())
        });
        // SAFETY: it ends the child.
        unsafe { libc::_exit(if filtered && served { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: `status` is there.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "as waitpid says it");
}

/// A preferred thread that spun for a lock would keep its holder from ever giving it back.
#[test]
fn preferred_and_other_threads_on_one_processor_all_go_on() {
    const TURNS: usize = 20_000;
    let _watchdog = Watchdog::new();
    let processor = *processors().last().expect("it runs somewhere");
    let heap = MappedHeap::new(1 << 20, Config::new(64)).expect("there is memory");
    let turns = |size: usize, pause: bool| {
        for turn in 0..TURNS {
            let object = heap.alloc(size).expect("room");
            // SAFETY: nobody uses the object.
            assert_eq!(unsafe { heap.free(object.as_ptr()) }, Ok(()));
            if pause && turn % 64 == 0 {
                // It comes back into the middle of what the others do.
                thread::sleep(Duration::from_micros(50));
            }
        }
    };
    let refused = thread::scope(|scope| {
        for size in [64, 100, 64, 100] {
            scope.spawn(move || {
                run_on(processor);
                turns(size, false);
            });
        }
        let preferred = [64, 100].map(|size| {
            scope.spawn(move || {
                run_on(processor);
                prefer_this_thread()?;
                turns(size, true);
                io::Result::Ok(())
            })
        });
        preferred.into_iter().find_map(|thread| thread.join().expect("it does not panic").err())
    });
    if let Some(error) = refused {
        skipped(&format!("no SCHED_FIFO: {error}"));
    }
    assert_eq!(heap.check(), Ok(()));
    let stats = heap.stats().expect("nobody is in the heap");
    assert_eq!((stats.slab.live_objects, stats.blocks.live_objects), (0, 0));
}
