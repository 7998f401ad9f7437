//! Every lock keeps the threads of a heap apart.
#![allow(missing_docs)]

mod common;

use common::threads_share_a_heap;
use slabfit::{Heap, NoLock, RawLock, Reentered, SpinLock, StaticArray, StaticHeap};
use static_assertions::{assert_impl_all, assert_not_impl_any};

// Threads share what is safe to share, and a heap without a lock is one thread's by its type.
assert_impl_all!(Heap<'static, SpinLock>: Send, Sync);
assert_impl_all!(StaticHeap<SpinLock>: Send, Sync);
assert_impl_all!(StaticArray<64, SpinLock>: Send, Sync);
assert_impl_all!(Heap<'static, NoLock>: Send);
assert_not_impl_any!(Heap<'static, NoLock>: Sync);
assert_not_impl_any!(StaticHeap<NoLock>: Sync);
assert_not_impl_any!(StaticArray<64, NoLock>: Sync);

#[test]
fn where_there_is_one_thread_the_lock_refuses_it_a_second_time() {
    let lock = NoLock::INIT;
    assert_eq!(lock.lock(), Ok(()));
    assert_eq!(lock.lock(), Err(Reentered));
    // SAFETY: it was locked above, once.
    unsafe { lock.unlock(()) };
    assert_eq!(lock.lock(), Ok(()));
}

#[test]
fn threads_share_a_heap_under_a_spin_lock() {
    threads_share_a_heap::<SpinLock>();
}

#[cfg(feature = "critical-section")]
mod critical_section {
    use slabfit::{AllocError, Config, CriticalSectionLock, Heap, RawLock, Reentered, RegionArray};
    use slabfit::{StaticArray, StaticHeap};

    #[test]
    fn threads_share_a_heap_under_a_critical_section() {
        super::threads_share_a_heap::<CriticalSectionLock>();
    }

    #[test]
    fn a_heap_may_be_used_inside_a_critical_section_of_the_callers() {
        let mut array = RegionArray::<4096>::new();
        let heap: Heap<'_, CriticalSectionLock> = Heap::from_memory(&mut array, Config::new(64)).unwrap();
        assert_eq!(critical_section::with(|_| heap.alloc(64).map(drop)), Ok::<(), AllocError>(()));
    }

    #[test]
    fn a_static_heap_sets_itself_up_inside_a_critical_section() {
        static ARRAY: StaticArray<4096, CriticalSectionLock> = StaticArray::new();
        static HEAP: StaticHeap<CriticalSectionLock> = StaticHeap::new(&ARRAY, Config::new(64));

        assert!(HEAP.alloc(100).is_ok());
        assert_eq!(HEAP.check(), Ok(()));
        assert!(ARRAY.take().is_none());
    }

    #[test]
    fn a_lock_is_not_taken_twice_although_critical_sections_nest() {
        let lock = CriticalSectionLock::INIT;
        let token = lock.lock().unwrap();
        assert_eq!(lock.lock().map(drop), Err(Reentered));
        // SAFETY: the token is from the lock above.
        unsafe { lock.unlock(token) };
        assert!(lock.lock().is_ok_and(|token| {
            // SAFETY: as above.
            unsafe { lock.unlock(token) };
            true
        }));
    }
}

/// A mutex as a program might have one of its own: those who wait are served in the order in which they came.
#[cfg(any(feature = "lock-api-04", feature = "lock-api-05"))]
mod tickets {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    pub struct Tickets {
        next: AtomicUsize,
        served: AtomicUsize,
    }

    impl Tickets {
        pub const fn new() -> Self {
            Self { next: AtomicUsize::new(0), served: AtomicUsize::new(0) }
        }

        pub fn acquire(&self) {
            let ticket = self.next.fetch_add(1, Ordering::Relaxed);
            while self.served.load(Ordering::Acquire) != ticket {
                thread::yield_now();
            }
        }

        pub fn release(&self) {
            self.served.fetch_add(1, Ordering::Release);
        }
    }
}

#[cfg(feature = "lock-api-04")]
mod lock_api_04 {
    use super::tickets::Tickets;
    use lock_api_04::{GuardNoSend, RawMutex};

    // SAFETY: exclusive: a ticket is served once, after the one before it was given back.
    unsafe impl RawMutex for Tickets {
        const INIT: Self = Self::new();
        type GuardMarker = GuardNoSend;

        fn lock(&self) {
            self.acquire();
        }

        fn try_lock(&self) -> bool {
            unreachable!("a heap waits for its lock")
        }

        unsafe fn unlock(&self) {
            self.release();
        }
    }

    #[test]
    fn threads_share_a_heap_under_a_mutex_of_lock_api_04() {
        super::threads_share_a_heap::<slabfit::LockApi04<Tickets>>();
    }
}

#[cfg(feature = "lock-api-05")]
mod lock_api_05 {
    use super::tickets::Tickets;
    use lock_api_05::RawMutex;

    /// Not `Copy`, so that whoever unlocks must have locked.
    pub struct Ticket(());

    // SAFETY: exclusive, acquiring and releasing: a ticket is served once, after the one before it was given back.
    unsafe impl RawMutex for Tickets {
        const INIT: Self = Self::new();
        type Guard = Ticket;

        fn lock(&self) -> Ticket {
            self.acquire();
            Ticket(())
        }

        fn try_lock(&self) -> Option<Ticket> {
            unreachable!("a heap waits for its lock")
        }

        unsafe fn unlock(&self, Ticket(()): Ticket) {
            self.release();
        }

        fn is_locked(&self) -> bool {
            unreachable!("a heap does not ask")
        }
    }

    #[test]
    fn threads_share_a_heap_under_a_mutex_of_lock_api_05() {
        super::threads_share_a_heap::<slabfit::LockApi05<Tickets>>();
    }
}
