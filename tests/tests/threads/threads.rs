//! Threads that allocate, fill, pass on, verify and free, on a heap too small for all of them: nothing is handed out
//! twice, nothing is lost, and it ends.

use std::alloc::Layout;
use std::io::{Write, stderr};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;
use std::{process, thread};

use fastrand::Rng;
use slabfit::{GRANULE, RawLock, Reason, Segment, SpinLock, State};
use slabfit_linux::FutexLock;
use slabfit_tests::any_heap::AnyHeap;
use slabfit_tests::arena::Setup;
use slabfit_tests::model::Placement;
use slabfit_tests::picture;

/// Bytes of the heap: a few hundred objects, where the threads would have thousands.
const HEAP: usize = 48 << 10;
const SLAB_SIZE: usize = 48;
const OPERATIONS: usize = 150_000;
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Ends the process when the test does not end: a deadlocked heap cannot be unwound.
struct Watchdog(Option<Sender<()>>);

impl Watchdog {
    fn new() -> Self {
        let (alive, end) = mpsc::channel();
        thread::spawn(move || {
            if end.recv_timeout(TIME_LIMIT) == Err(RecvTimeoutError::Timeout) {
                // Not captured with the test's output, which is lost when the process ends.
                let _ = writeln!(stderr(), "the threads have not ended after {TIME_LIMIT:?}");
                process::abort();
            }
        });
        Self(Some(alive))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

/// One flag for every granule of the heap: somebody owns it.
struct Ownership {
    base: usize,
    granules: Vec<AtomicBool>,
}

impl Ownership {
    fn of<L: RawLock>(heap: &AnyHeap<L>) -> Self {
        let granules = (0..heap.size() / GRANULE).map(|_| AtomicBool::new(false)).collect();
        Self { base: heap.base().expect("initialised").addr().get(), granules }
    }

    /// Sets the flags of an object's granules to `owned`; each must have been the opposite.
    fn change(&self, object: &Object, owned: bool) {
        let first = (object.address - self.base) / GRANULE;
        for granule in &self.granules[first..first + object.usable / GRANULE] {
            assert_ne!(granule.swap(owned, Ordering::Relaxed), owned, "{object:x?} was handed out twice");
        }
    }
}

/// An object on its way between threads, filled with its tag.
#[derive(Debug)]
struct Object {
    address: usize,
    size: usize,
    usable: usize,
    tag: u8,
}

/// What the threads share.
struct Stage<'a, L: RawLock> {
    heap: &'a AnyHeap<L>,
    ownership: Ownership,
    served: AtomicU64,
    failed: AtomicU64,
    freed: AtomicU64,
}

impl<L: RawLock> Stage<'_, L> {
    fn alloc(&self, rng: &mut Rng) -> Option<Object> {
        let size = match rng.u32(..8) {
            0..3 => SLAB_SIZE,
            3..6 => rng.usize(1..200),
            6 => rng.usize(1..1500),
            _ => rng.usize(1..64),
        };
        let align = if rng.u32(..8) == 0 { 1 << rng.u32(5..9) } else { 1 };
        let layout = Layout::from_size_align(size, align).expect("a legal layout");
        let Ok(pointer) = self.heap.alloc_layout(layout) else {
            self.failed.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        self.served.fetch_add(1, Ordering::Relaxed);
        let object = self.own(pointer.as_ptr(), size, rng.u8(..));
        assert_eq!(object.address % align, 0);
        Some(object)
    }

    /// Registers what was handed out, and fills it.
    fn own(&self, pointer: *mut u8, size: usize, tag: u8) -> Object {
        let usable = self.heap.usable_size(pointer).expect("just handed out");
        let object = Object { address: pointer.expose_provenance(), size, usable, tag };
        self.ownership.change(&object, true);
        // SAFETY: the object was handed out to this thread, with so many usable bytes.
        unsafe { pointer.write_bytes(tag, usable) };
        object
    }

    /// Reads the first bytes of an object back.
    fn verify(&self, object: &Object, bytes: usize) {
        let pointer = std::ptr::with_exposed_provenance::<u8>(object.address);
        // SAFETY: the object is this thread's, which nobody else writes; all its usable bytes were written.
        let bytes = unsafe { std::slice::from_raw_parts(pointer, bytes) };
        assert!(bytes.iter().all(|&byte| byte == object.tag), "{object:x?} was overwritten");
    }

    fn free(&self, object: &Object) {
        self.verify(object, object.usable);
        self.ownership.change(object, false);
        let pointer = std::ptr::with_exposed_provenance_mut(object.address);
        // SAFETY: the object is this thread's, which does not use it afterwards.
        assert_eq!(unsafe { self.heap.free(pointer) }, Ok(()), "{object:x?}");
        self.freed.fetch_add(1, Ordering::Relaxed);
    }

    /// Resizes an object, which is disowned meanwhile: another thread may get its memory before this one returns.
    fn realloc(&self, object: Object, rng: &mut Rng) -> Object {
        self.verify(&object, object.usable);
        self.ownership.change(&object, false);
        let size = rng.usize(1..400);
        let pointer = std::ptr::with_exposed_provenance_mut(object.address);
        // SAFETY: the object is this thread's, which does not use the old one if there is a new one.
        match unsafe { self.heap.realloc(pointer, size) } {
            Ok(moved) => {
                let kept = Object { address: moved.as_ptr().expose_provenance(), ..object };
                self.verify(&kept, object.size.min(size));
                self.own(moved.as_ptr(), size, object.tag)
            }
            Err(_) => {
                self.ownership.change(&object, true);
                object
            }
        }
    }

    /// Frees addresses inside an object of this thread, which must all be refused.
    fn free_wrongly(&self, object: &Object) {
        for (by, reason) in [(1, Reason::Misaligned), (8, Reason::Misaligned), (16, Reason::NotAStart)] {
            let pointer = std::ptr::without_provenance_mut(object.address + by);
            // SAFETY: the address is of no object's start.
            let refused = unsafe { self.heap.free(pointer) };
            assert_eq!(refused.map_err(|wrong| wrong.reason), Err(reason), "{object:x?} + {by}");
        }
    }

    /// One thread's work: what it allocates it passes on, what it is passed it frees.
    fn play(&self, seed: u64, inbox: &Receiver<Object>, others: Vec<Sender<Object>>) {
        let mut rng = Rng::with_seed(seed);
        for _ in 0..OPERATIONS {
            match self.alloc(&mut rng) {
                Some(object) if rng.u32(..8) == 0 => {
                    let object = self.realloc(object, &mut rng);
                    self.pass(object, &others, &mut rng);
                }
                Some(object) => self.pass(object, &others, &mut rng),
                None => match inbox.try_recv() {
                    Ok(object) => self.free(&object),
                    Err(_) => thread::yield_now(),
                },
            }
            if rng.u32(..3) == 0 {
                inbox.try_iter().take(2).for_each(|object| self.free(&object));
            }
        }
        drop(others);
        inbox.iter().for_each(|object| self.free(&object));
    }

    fn pass(&self, object: Object, others: &[Sender<Object>], rng: &mut Rng) {
        if object.usable > GRANULE && rng.u32(..16) == 0 {
            self.free_wrongly(&object);
        }
        others[rng.usize(..others.len())].send(object).expect("every thread reads its inbox to the end");
    }
}

/// Looks at the heap while the threads change it, and gives its magazines back now and then: whatever it finds must be a heap.
fn watch<L: RawLock>(heap: &AnyHeap<L>, ended: &AtomicBool) -> usize {
    let mut looks = 0;
    while !ended.load(Ordering::Relaxed) {
        assert_eq!(heap.check(), Ok(()));
        if looks % 4 == 0 {
            assert_eq!(heap.empty_magazines(), Ok(()));
        }
        let blocks = heap.stats().expect("this thread is not in the heap").blocks;
        assert_eq!(blocks.live_bytes + blocks.free_bytes, blocks.size);
        assert!(heap.blocks().count() <= heap.size() / GRANULE);
        looks += 1;
        thread::sleep(Duration::from_millis(1));
    }
    looks
}

/// Tells of a failure what the threads themselves cannot.
struct Report<'a, L: RawLock> {
    heap: &'a AnyHeap<L>,
    seed: u64,
}

impl<L: RawLock> Drop for Report<'_, L> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("seed {}\n{}", self.seed, picture::heap(self.heap.blocks(), self.heap.rover()));
        }
    }
}

/// Runs so many threads on one heap under this lock.
fn run<L: RawLock + Send + Sync>(threads: usize, placement: Placement) {
    let seed = fastrand::u64(..);
    let _watchdog = Watchdog::new();
    let setup = Setup { placement, ..Setup::plain(HEAP, SLAB_SIZE) };
    let arena = setup.arena();
    // SAFETY: the heap is dropped before the arena, and the arena is not looked at while the threads run.
    let memory = unsafe { arena.memory() };
    let heap: AnyHeap<L> = AnyHeap::from_memory(memory, setup.config, setup.placement).expect("a legal heap");
    let _report = Report { heap: &heap, seed };
    let (served, failed, freed) = Default::default();
    let stage = Stage { heap: &heap, ownership: Ownership::of(&heap), served, failed, freed };
    let ended = AtomicBool::new(false);
    let looks = thread::scope(|scope| {
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::channel()).unzip();
        let play = |(seed, inbox): (u64, Receiver<Object>)| {
            let (stage, others) = (&stage, senders.clone());
            scope.spawn(move || stage.play(seed, &inbox, others))
        };
        let players: Vec<_> = (seed..).zip(inboxes).map(play).collect();
        drop(senders);
        let watcher = scope.spawn(|| watch(&heap, &ended));
        let played: Vec<_> = players.into_iter().map(|player| player.join()).collect();
        ended.store(true, Ordering::Relaxed);
        let looks = watcher.join();
        played.into_iter().for_each(|played| played.unwrap_or_else(|panic| resume_unwind(panic)));
        looks.unwrap_or_else(|panic| resume_unwind(panic))
    });
    assert!(looks > 0);
    let (served, failed, freed) = (stage.served.into_inner(), stage.failed.into_inner(), stage.freed.into_inner());
    assert!(served > 0 && failed > 0, "{served} served, {failed} failed: not too small for all of them");
    assert_eq!(served, freed);
    assert!(stage.ownership.granules.iter().all(|owned| !owned.load(Ordering::Relaxed)));
    assert_eq!(heap.check(), Ok(()));
    assert!(heap.blocks().all(|block| block.state == State::Free));
    assert_eq!(heap.empty_magazines(), Ok(()));
    assert_eq!(heap.blocks().filter(|block| block.segment == Segment::Blocks).count(), 1);
    let stats = heap.stats().expect("this thread is not in the heap");
    assert_eq!(stats.slab.allocs + stats.blocks.allocs, stats.slab.frees + stats.blocks.frees);
    assert!(stats.classes.iter().all(|class| class.allocs == class.frees));
    assert_eq!(stats.classes.iter().any(|class| class.allocs > 0), placement == Placement::General);
    assert_eq!((stats.slab.corruptions, stats.blocks.corruptions), (0, 0));
}

macro_rules! threads_pass_objects_on {
    ($lock:ty) => {
        use super::*;

        #[test]
        fn two_threads_pass_objects_on_and_lose_none() {
            run::<$lock>(2, Placement::NextFit);
        }

        #[test]
        fn four_threads_pass_objects_on_and_lose_none() {
            run::<$lock>(4, Placement::FirstFit);
        }

        #[test]
        fn four_threads_pass_objects_of_size_classes_on_and_lose_none() {
            run::<$lock>(4, Placement::General);
        }

        #[test]
        fn eight_threads_pass_objects_on_and_lose_none() {
            run::<$lock>(8, Placement::NextFit);
        }
    };
}

mod under_a_spin_lock {
    threads_pass_objects_on!(SpinLock);
}

mod under_a_futex {
    threads_pass_objects_on!(FutexLock);

    /// Not under the spin lock: there, most of so many threads would wait awake for one that is not on a processor.
    #[test]
    fn sixteen_threads_pass_objects_on_and_lose_none() {
        run::<FutexLock>(16, Placement::FirstFit);
    }
}
