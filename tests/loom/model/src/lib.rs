//! Stands in for the atomics, the cell and the futex of slabfit, so that loom sees all that they do.
//!
//! Loom's own cannot be made in a constant, and heaps and locks are: here they are made when they are touched first, which
//! must happen before the threads of a model start.

pub mod lent;

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic as real;

use loom::sync::{Condvar, Mutex, atomic};

pub use loom::hint::spin_loop;
pub use real::Ordering;

/// How often a waiter looks before it sleeps: every look is one more place where the model branches.
pub const LOOKS: u32 = 1;

/// What passes between two looks: another thread's turn.
pub fn pause() {
    spin_loop();
}

/// `core::sync::atomic::AtomicBool`.
#[derive(Debug)]
pub struct AtomicBool {
    initial: bool,
    made: OnceLock<atomic::AtomicBool>,
}

impl AtomicBool {
    /// See core.
    pub const fn new(initial: bool) -> Self {
        Self { initial, made: OnceLock::new() }
    }

    fn made(&self) -> &atomic::AtomicBool {
        self.made.get_or_init(|| atomic::AtomicBool::new(self.initial))
    }

    /// See core.
    pub fn load(&self, order: Ordering) -> bool {
        self.made().load(order)
    }

    /// See core.
    pub fn store(&self, value: bool, order: Ordering) {
        self.made().store(value, order);
    }

    /// See core. Where it would change nothing it writes nothing either: loom does not know that such a write comes before
    /// a store that it did not see, and would let a thread swap with its own one for ever.
    pub fn swap(&self, value: bool, order: Ordering) -> bool {
        let exchanged = self.made().compare_exchange(!value, value, order, Ordering::Relaxed);
        exchanged.unwrap_or(value)
    }
}

/// `core::sync::atomic::AtomicPtr`.
#[derive(Debug)]
pub struct AtomicPtr<T> {
    initial: real::AtomicPtr<T>,
    made: OnceLock<atomic::AtomicPtr<T>>,
}

impl<T> AtomicPtr<T> {
    /// See core.
    pub const fn new(initial: *mut T) -> Self {
        Self { initial: real::AtomicPtr::new(initial), made: OnceLock::new() }
    }

    fn made(&self) -> &atomic::AtomicPtr<T> {
        self.made.get_or_init(|| atomic::AtomicPtr::new(self.initial.load(Ordering::Relaxed)))
    }

    /// See core.
    pub fn load(&self, order: Ordering) -> *mut T {
        self.made().load(order)
    }

    /// See core.
    pub fn store(&self, value: *mut T, order: Ordering) {
        self.made().store(value, order);
    }
}

/// `core::sync::atomic::AtomicUsize`, and what the kernel keeps for threads that sleep on it.
#[derive(Debug)]
pub struct AtomicUsize {
    initial: usize,
    made: OnceLock<(atomic::AtomicUsize, Sleepers)>,
}

#[derive(Debug)]
struct Sleepers {
    /// The kernel's lock of the queue: looking at the word and going to sleep is one step for who wakes.
    queue: Mutex<()>,
    woken: Condvar,
}

impl AtomicUsize {
    /// See core.
    pub const fn new(initial: usize) -> Self {
        Self { initial, made: OnceLock::new() }
    }

    fn made(&self) -> &(atomic::AtomicUsize, Sleepers) {
        let make = || {
            let sleepers = Sleepers { queue: Mutex::new(()), woken: Condvar::new() };
            (atomic::AtomicUsize::new(self.initial), sleepers)
        };
        self.made.get_or_init(make)
    }

    /// See core.
    pub fn load(&self, order: Ordering) -> usize {
        self.made().0.load(order)
    }

    /// See core.
    pub fn store(&self, value: usize, order: Ordering) {
        self.made().0.store(value, order);
    }

    /// See core.
    pub fn swap(&self, value: usize, order: Ordering) -> usize {
        self.made().0.swap(value, order)
    }

    /// See core.
    pub fn compare_exchange(
        &self,
        seen: usize,
        new: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        self.made().0.compare_exchange(seen, new, success, failure)
    }
}

/// `FUTEX_WAIT`: sleeps if the low half of the word is that of `seen`.
pub fn sleep(word: &AtomicUsize, seen: usize) {
    let (value, sleepers) = word.made();
    let queue = sleepers.queue.lock().expect("nobody panics with it");
    if value.load(Ordering::Relaxed) as u32 == seen as u32 {
        drop(sleepers.woken.wait(queue).expect("nobody panics with it"));
    }
}

/// `FUTEX_WAKE` of one.
pub fn wake_one(word: &AtomicUsize) {
    let (_, sleepers) = word.made();
    let _queue = sleepers.queue.lock().expect("nobody panics with it");
    sleepers.woken.notify_one();
}

loom::thread_local! {
    static IDENTITY: Cell<usize> = Cell::new(0);
}

/// Gives the calling thread of a model its identity: even, not 0, and no other thread's.
pub fn identify(identity: usize) {
    IDENTITY.with(|own| own.set(identity));
}

/// The identity of the calling thread.
pub fn this_thread() -> usize {
    let identity = IDENTITY.with(Cell::get);
    assert_ne!(identity, 0, "a thread without an identity");
    identity
}

/// The cell behind a lock. Loom watches who reaches it, and when.
pub struct UnsafeCell<T> {
    value: std::cell::UnsafeCell<T>,
    watched: OnceLock<Watched>,
}

struct Watched(loom::cell::UnsafeCell<()>);

// SAFETY: the threads of a model take turns on one thread of the process, and loom ends the model when two of them reach the
// cell unordered.
unsafe impl Sync for Watched {}
// SAFETY: there is nothing in it.
unsafe impl Send for Watched {}

impl<T> UnsafeCell<T> {
    /// See core.
    pub const fn new(value: T) -> Self {
        Self { value: std::cell::UnsafeCell::new(value), watched: OnceLock::new() }
    }

    /// The way to the value. Loom sees that somebody is there for as long as it lives.
    pub fn get_mut(&self) -> MutPtr<T> {
        let watched = self.watched.get_or_init(|| Watched(loom::cell::UnsafeCell::new(())));
        MutPtr { value: self.value.get(), _watched: watched.0.get_mut() }
    }
}

/// What leads to the value of a cell, like loom's own.
pub struct MutPtr<T> {
    value: *mut T,
    _watched: loom::cell::MutPtr<()>,
}

impl<T> MutPtr<T> {
    /// The value.
    ///
    /// # Safety
    /// Nobody else reaches the value while the reference lives.
    #[expect(clippy::mut_from_ref, reason = "the holder of the lock is the only one who has it")]
    pub unsafe fn deref(&self) -> &mut T {
        // SAFETY: valid: it points into the cell, which outlives this; exclusive: as the caller promises.
        unsafe { &mut *self.value }
    }

    /// Calls `look` with a pointer to the value.
    pub fn with<R>(&self, look: impl FnOnce(*mut T) -> R) -> R {
        look(self.value)
    }
}
