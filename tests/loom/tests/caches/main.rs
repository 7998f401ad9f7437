//! Caches between threads: an object is freed once, whichever way, what others free comes back to its owner, and a run that is closed
//! and opened again is never taken for the one that it was.
//!
//! Slots have 64 bytes where nothing else is said, and a run has 16 of them. A model sets its scene alone, and touches there every byte
//! that its threads will touch.

mod owners;
mod reclaiming;
mod returned_slots;
mod wrong_frees;

use std::alloc::{self, Layout};
use std::ptr::{self, NonNull};

use loom::thread::JoinHandle;
use slabfit::{Cache, Config, General, Heap, InvalidFree, Memory, Reason, SpinLock, Stats, bookkeeping_size};
use slabfit_loom::lent::alone;
use slabfit_loom_tests::{DIFFERENT, explore, spawn};

/// Bytes of the heap: the smallest that has size classes, four.
const SIZE: usize = 32 << 10;
const CONFIG: Config = Config::without_slab().caches(3);
const BYTES: usize = SIZE + bookkeeping_size::<General>(SIZE, CONFIG);
const SLOT: usize = 64;
const IN_RUN: usize = 16;

type Owner = Cache<'static, 'static, SpinLock>;

/// A heap and its memory.
struct Stage {
    heap: Heap<'static, SpinLock, General>,
    memory: NonNull<u8>,
}

/// An object's address.
type Object = usize;

impl Stage {
    /// Runs begin at multiples of their length, so each execution finds the same.
    const LAYOUT: Layout = match Layout::from_size_align(BYTES, 4096) {
        Ok(layout) => layout,
        Err(_) => panic!("4096 is a power of two"),
    };

    fn new() -> Self {
        // SAFETY: the layout is not of no bytes.
        let memory = NonNull::new(unsafe { alloc::alloc_zeroed(Self::LAYOUT) }).expect("a few KiB");
        // SAFETY: in bounds.
        let bookkeeping = unsafe { memory.add(SIZE) };
        // SAFETY: both are parts of one allocation that is this heap's, and is given back after it.
        let lent = unsafe { Memory::from_raw_parts(memory.as_ptr(), SIZE, bookkeeping.as_ptr(), BYTES - SIZE) };
        // SAFETY: it was allocated as zeros.
        let heap = Heap::from_memory(unsafe { lent.assume_zeroed() }, CONFIG).expect("room for it");
        Self { heap, memory }
    }

    fn cache(&'static self) -> Owner {
        self.heap.cache().expect("not all are attached")
    }

    fn free(&self, object: Object) -> Result<(), InvalidFree> {
        // SAFETY: nobody uses the object.
        unsafe { self.heap.free(ptr::without_provenance_mut(object)) }
    }

    fn stats(&self) -> Stats {
        self.heap.stats().expect("nobody is in the heap")
    }

    /// All that was served was freed, and no cache keeps memory that can be had without its owner.
    fn assert_nothing_is_lost(&self) {
        assert_eq!(self.heap.check(), Ok(()));
        self.heap.empty_magazines().expect("nobody is in the heap");
        let stats = self.stats();
        assert_eq!((stats.caches.run_bytes, stats.blocks.live_bytes), (0, 0), "{stats:?}");
        for class in stats.classes {
            assert_eq!((class.live_objects, class.allocs), (0, class.frees), "{class:?}");
        }
        assert_eq!(self.heap.check(), Ok(()));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // SAFETY: from this allocator and with this layout; the heap that has it is not used any more.
        unsafe { alloc::dealloc(self.memory.as_ptr(), Self::LAYOUT) };
    }
}

/// Plays `model` in every interleaving with at most so many preemptions.
fn play(name: &str, preemptions: usize, model: impl Fn(&'static Stage) + Send + Sync + 'static) {
    explore(name, preemptions, move || {
        alone();
        slabfit_loom::identify(DIFFERENT[0]);
        let stage = Box::into_raw(Box::new(Stage::new()));
        // SAFETY: it lives until the model has ended.
        model(unsafe { &*stage });
        // SAFETY: from `into_raw`, and the model, whose threads it has joined, has ended.
        drop(unsafe { Box::from_raw(stage) });
    });
}

fn alloc(cache: &Owner, size: usize) -> Object {
    cache.alloc(size).expect("there is room").addr().get()
}

fn alloc_all<const N: usize>(cache: &Owner) -> [Object; N] {
    [(); N].map(|()| alloc(cache, SLOT))
}

fn free(cache: &Owner, object: Object) -> Result<(), InvalidFree> {
    // SAFETY: nobody uses the object.
    unsafe { cache.free(ptr::without_provenance_mut(object)) }
}

fn free_all(cache: &Owner, objects: &[Object]) {
    objects.iter().for_each(|object| assert_eq!(free(cache, *object), Ok(())));
}

fn alloc_and_free(cache: &Owner) -> Object {
    let object = alloc(cache, SLOT);
    assert_eq!(free(cache, object), Ok(()));
    object
}

fn spawn_second<R: 'static>(work: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    spawn(DIFFERENT[1], work)
}

/// Makes two caches, and touches every byte of them, of a third, and of three runs of the first one that threads may touch later. Nothing is left of it.
fn two_caches(stage: &'static Stage) -> (Owner, Owner) {
    let (ours, others) = (stage.cache(), stage.cache());
    free_all(&others, &alloc_all::<{ 3 * IN_RUN + 1 }>(&ours));
    ours.empty().expect("it is not in the heap");
    assert_eq!(free(&others, alloc_and_free(&ours)).map_err(|wrong| wrong.reason), Err(Reason::DoubleFree));
    ours.empty().expect("it is not in the heap");
    stage.heap.empty_magazines().expect("nobody is in the heap");
    drop(stage.cache());
    (ours, others)
}
