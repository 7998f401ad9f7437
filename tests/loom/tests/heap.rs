//! The heap itself between threads: of several inits one wins, what is handed out meanwhile can be freed, and a slab that is
//! full spills.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicPtr, Ordering};
use slabfit::{Config, Heap, InitError, MIN_REGION, Memory, NextFit, RawLock, Segment, SpinLock, bookkeeping_size};
use slabfit_linux::{FutexLock, MapError, ProcessHeap};
use slabfit_loom::identify;
use slabfit_loom_tests::{ALIKE, explore, spawn};

const SLAB_SIZE: usize = 16;
/// One slot and three granules of blocks: one block of the smallest size.
const SIZE: usize = 64;

/// Memory for a heap of one slot and one block.
#[repr(align(64))]
struct Region(UnsafeCell<[MaybeUninit<u8>; MIN_REGION]>);

impl Region {
    fn new() -> Self {
        Self(UnsafeCell::new([MaybeUninit::uninit(); MIN_REGION]))
    }

    fn memory(&self) -> Memory<'static> {
        // SAFETY: each region is one heap's, and is kept for as long as that.
        unsafe { Memory::from_raw(self.0.get().cast(), MIN_REGION) }
    }

    fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.0.get().addr()) < MIN_REGION
    }
}

/// A heap and, for two heaps at most, its memory.
struct Stage<L: RawLock> {
    heap: Heap<'static, L>,
    regions: [Region; 2],
    passed: AtomicPtr<u8>,
}

// SAFETY: the regions are reached through the heap alone.
unsafe impl<L: RawLock + Sync> Sync for Stage<L> {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl<L: RawLock + Send> Send for Stage<L> {}

impl<L: RawLock + 'static> Stage<L> {
    /// An empty heap, all of whose atomics this thread has touched.
    fn new() -> Arc<Self> {
        assert!(bookkeeping_size::<NextFit>(SIZE, Config::new(SLAB_SIZE)) + SIZE <= MIN_REGION);
        let stage = Self {
            heap: Heap::empty(),
            regions: [Region::new(), Region::new()],
            passed: AtomicPtr::new(ptr::null_mut()),
        };
        assert_eq!(stage.heap.stats().map(|stats| stats.slab.size), Ok(0));
        assert_eq!(stage.heap.segment(Segment::Slab), 0..0);
        assert_eq!((stage.heap.slab_size(), stage.heap.base()), (0, None));
        Arc::new(stage)
    }

    fn init(&self, region: usize) -> Result<(), InitError> {
        self.heap.init(self.regions[region].memory(), Config::new(SLAB_SIZE))
    }

    fn alloc(&self) -> Option<*mut u8> {
        self.heap.alloc(SLAB_SIZE).ok().map(ptr::NonNull::as_ptr)
    }

    fn free(&self, object: *mut u8) {
        // SAFETY: the object is freed once, by who has it.
        assert_eq!(unsafe { self.heap.free(object) }, Ok(()));
    }

    /// All is free again, and the heap is as it must be.
    fn assert_nothing_is_lost(&self) {
        assert_eq!(self.heap.check(), Ok(()));
        let stats = self.heap.stats().expect("nobody is in the heap");
        assert_eq!((stats.slab.live_objects, stats.blocks.live_objects), (0, 0));
        assert_eq!(stats.slab.allocs + stats.blocks.allocs, stats.slab.frees + stats.blocks.frees);
    }
}

/// Two threads initialise one heap with memory of their own each; the winner's becomes the heap's, for both.
fn one_init_wins<L: RawLock + Send + Sync + 'static>(name: &str) {
    explore(name, 3, || {
        identify(ALIKE[0]);
        let stage = Stage::<L>::new();
        let play = |mine: usize, stage: Arc<Stage<L>>| {
            move || {
                let won = stage.init(mine);
                let base = stage.heap.base().expect("one of the two has won").addr().get();
                let wins = [&stage.regions[mine], &stage.regions[1 - mine]].map(|region| region.contains(base));
                assert_eq!(wins, [won.is_ok(), won.is_err()]);
                assert!(won.is_ok() || won == Err(InitError::AlreadyInitialised));
                let object = stage.alloc().expect("one slot and one block are enough for two threads");
                stage.free(object);
            }
        };
        let other = spawn(ALIKE[1], play(1, Arc::clone(&stage)));
        play(0, Arc::clone(&stage))();
        other.join().expect("it does not panic");
        stage.assert_nothing_is_lost();
    });
}

#[test]
fn of_two_inits_at_once_one_wins_under_a_spin_lock() {
    one_init_wins::<SpinLock>("init raced, spin lock");
}

#[test]
fn of_two_inits_at_once_one_wins_under_a_futex_lock() {
    one_init_wins::<FutexLock>("init raced, futex lock");
}

/// While one thread initialises, another sees no heap, or a heap; and what it is served it can free.
fn init_is_seen_whole<L: RawLock + Send + Sync + 'static>(name: &str) {
    explore(name, 4, || {
        identify(ALIKE[0]);
        let stage = Stage::<L>::new();
        let other = Arc::clone(&stage);
        let other = spawn(ALIKE[1], move || {
            if other.heap.size() > 0 {
                let base = other.heap.base().expect("it has a size").addr().get();
                assert!(other.regions[0].contains(base) && other.heap.owns(ptr::without_provenance(base)));
                assert_eq!((other.heap.slab_size(), other.heap.segment(Segment::Slab).len()), (SLAB_SIZE, SLAB_SIZE));
            }
            if let Some(object) = other.alloc() {
                other.free(object);
            }
        });
        assert_eq!(stage.init(0), Ok(()));
        other.join().expect("it does not panic");
        stage.assert_nothing_is_lost();
        let objects = [stage.alloc(), stage.alloc(), stage.alloc()].map(|object| object.is_some());
        assert_eq!(objects, [true, true, false]);
        // Nothing but slots was asked for; but who asked before the slab size was known was served as anybody. And the
        // request that failed has not spilled.
        let stats = stage.heap.stats().expect("nobody is in the heap");
        assert!(stats.spilled <= stats.blocks.allocs, "{stats:?}");
    });
}

#[test]
fn a_heap_in_the_making_is_none_or_whole_under_a_spin_lock() {
    init_is_seen_whole::<SpinLock>("init seen, spin lock");
}

#[test]
fn a_heap_in_the_making_is_none_or_whole_under_a_futex_lock() {
    init_is_seen_whole::<FutexLock>("init seen, futex lock");
}

/// Two threads want the one slot: one gets it, or each in turn; the other gets a block. Neither goes away empty-handed, and
/// neither gets the other's.
fn a_full_slab_spills<L: RawLock + Send + Sync + 'static>(name: &str) {
    explore(name, 3, || {
        identify(ALIKE[0]);
        let stage = Stage::<L>::new();
        assert_eq!(stage.init(0), Ok(()));
        let play = |stamp: u8, stage: Arc<Stage<L>>| {
            move || {
                let object = stage.alloc().expect("a slot and a block for two threads");
                // SAFETY: the object is this thread's and has 16 bytes.
                unsafe { object.write_bytes(stamp, SLAB_SIZE) };
                loom::thread::yield_now();
                // SAFETY: as above, and they were written.
                assert_eq!(unsafe { object.cast::<[u8; SLAB_SIZE]>().read() }, [stamp; SLAB_SIZE]);
                stage.free(object);
            }
        };
        let other = spawn(ALIKE[1], play(2, Arc::clone(&stage)));
        play(1, Arc::clone(&stage))();
        other.join().expect("it does not panic");
        stage.assert_nothing_is_lost();
        let stats = stage.heap.stats().expect("nobody is in the heap");
        assert_eq!((stats.slab.allocs + stats.blocks.allocs, stats.spilled), (2, stats.blocks.allocs));
        assert!(stats.spilled <= 1, "{stats:?}");
    });
}

#[test]
fn a_full_slab_spills_to_next_fit_under_a_spin_lock() {
    a_full_slab_spills::<SpinLock>("spill, spin lock");
}

#[test]
fn a_full_slab_spills_to_next_fit_under_a_futex_lock() {
    a_full_slab_spills::<FutexLock>("spill, futex lock");
}

/// The object goes from one thread to another through a pointer that is stored as released and loaded as acquired: what its
/// bytes were is seen, and it can be freed there. Its slot serves the first thread again, or next fit does.
fn an_object_is_freed_elsewhere<L: RawLock + Send + Sync + 'static>(name: &str) {
    explore(name, 3, || {
        identify(ALIKE[0]);
        let stage = Stage::<L>::new();
        assert_eq!(stage.init(0), Ok(()));
        let other = Arc::clone(&stage);
        let other = spawn(ALIKE[1], move || {
            let object = other.passed.load(Ordering::Acquire);
            if object.is_null() {
                return false;
            }
            // SAFETY: the object was filled before it was passed on.
            assert_eq!(unsafe { object.read() }, 7);
            other.free(object);
            true
        });
        let object = stage.alloc().expect("the heap is empty");
        // SAFETY: the object is this thread's.
        unsafe { object.write(7) };
        stage.passed.store(object, Ordering::Release);
        let second = stage.alloc().expect("a slot, or a block");
        stage.free(second);
        if !other.join().expect("it does not panic") {
            stage.free(object);
        }
        stage.assert_nothing_is_lost();
    });
}

#[test]
fn an_object_is_freed_by_another_thread_under_a_spin_lock() {
    an_object_is_freed_elsewhere::<SpinLock>("freed elsewhere, spin lock");
}

#[test]
fn an_object_is_freed_by_another_thread_under_a_futex_lock() {
    an_object_is_freed_elsewhere::<FutexLock>("freed elsewhere, futex lock");
}

/// Two threads free one object: one is told that it is free already.
#[test]
fn of_two_frees_at_once_one_is_refused() {
    explore("freed twice", 4, || {
        identify(ALIKE[0]);
        let stage = Stage::<FutexLock>::new();
        assert_eq!(stage.init(0), Ok(()));
        let (slot, block) = (stage.alloc().expect("a slot"), stage.alloc().expect("a block"));
        let play = |stage: Arc<Stage<FutexLock>>| {
            let objects = [slot, block].map(|object| object.addr());
            // SAFETY: nobody uses the objects.
            move || objects.map(|object| unsafe { stage.heap.free(ptr::without_provenance_mut(object)) }.is_ok())
        };
        let other = spawn(ALIKE[1], play(Arc::clone(&stage)));
        let mine = play(Arc::clone(&stage))();
        let others = other.join().expect("it does not panic");
        assert!(mine[0] != others[0] && mine[1] != others[1], "{mine:?} {others:?}");
        stage.assert_nothing_is_lost();
        let stats = stage.heap.stats().expect("nobody is in the heap");
        assert_eq!((stats.slab.refused_frees, stats.blocks.refused_frees), (1, 1));
    });
}

/// The heap of a process, whose memory is mapped for real.
#[test]
fn of_two_inits_of_a_process_heap_one_wins() {
    explore("process heap", 2, || {
        identify(ALIKE[0]);
        let heap = Arc::new(<ProcessHeap>::empty());
        assert_eq!(heap.stats().map(|stats| stats.slab.size), Ok(0));
        assert_eq!((heap.segment(Segment::Slab), heap.slab_size()), (0..0, 0));
        let init = |heap: Arc<ProcessHeap>| move || heap.init(1, Config::new(64)).map(|first| first.addr());
        let other = spawn(ALIKE[1], init(Arc::clone(&heap)));
        let results = [init(Arc::clone(&heap))(), other.join().expect("it does not panic")];
        let refused = Err(MapError::Init(InitError::AlreadyInitialised));
        let base = heap.base().expect("one of them has won").addr();
        assert!(results == [Ok(base), refused] || results == [refused, Ok(base)], "{results:?}");
    });
}
