//! Threads with a cache each on one heap: what they allocate, stamp and pass on is nobody else's meanwhile; of two that free one object
//! at once exactly one is answered yes; wrong frees are refused whatever happens beside them; and threads that came and went leave
//! nothing behind.

mod player;
mod threads_that_come_and_go;
mod of_several_that_free_one_object_at_once;
mod wrong_frees;

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use player::{OPERATIONS, Object, Player};
use slabfit::{Config, GRANULE, General, Heap, RawLock, Segment, SpinLock, State};
use slabfit_linux::FutexLock;
use slabfit_tests::arena::{Arena, Setup};
use slabfit_tests::model::Placement;

const KIB: usize = 1 << 10;
/// Room for all that the threads have at once, and for a part of it.
const ROOMY: usize = 4 << 20;
const TIGHT: usize = 160 * KIB;

type CachedHeap<L> = Heap<'static, L, General>;

/// A heap with caches, and its memory, which is dropped after it.
struct Fixture<L: RawLock> {
    heap: CachedHeap<L>,
    _arena: Arena,
}

impl<L: RawLock> Fixture<L> {
    fn new(size: usize, caches: usize) -> Self {
        let config = Config::without_slab().caches(caches);
        let setup = Setup { placement: Placement::General, config, ..Setup::plain(size, 64) };
        let arena = setup.arena();
        // SAFETY: the heap is dropped before the arena, which nobody looks at.
        let memory = unsafe { arena.memory() };
        Self { heap: Heap::from_memory(memory, config).expect("a legal heap"), _arena: arena }
    }

    /// Nobody has an object or a cache any more, so nothing may be left but one gap.
    fn is_as_at_first(&self) {
        let heap = &self.heap;
        assert_eq!(heap.check(), Ok(()));
        assert!(heap.blocks().all(|block| block.state == State::Free));
        let stats = heap.stats().expect("this thread is not in the heap");
        assert!(stats.classes.iter().all(|class| class.allocs == class.frees && class.live_objects == 0));
        assert_eq!((stats.caches.attached, stats.caches.run_bytes), (0, 0));
        assert_eq!(heap.empty_magazines(), Ok(()));
        assert_eq!(heap.blocks_in(Segment::Blocks).count(), 1);
        let blocks = heap.stats().expect("this thread is not in the heap").blocks;
        assert_eq!((blocks.live_bytes, blocks.live_objects, blocks.allocs), (0, 0, blocks.frees));
        assert_eq!(blocks.corruptions, 0);
    }
}

/// Looks at the heap while the threads change it, and takes back what it can have. Whatever it finds must be a heap.
fn look_on<L: RawLock>(heap: &CachedHeap<L>, ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        let stats = heap.stats().expect("this thread is not in the heap");
        assert_eq!(stats.blocks.live_bytes + stats.blocks.free_bytes, stats.blocks.size);
        assert!(heap.blocks().count() <= heap.size() / GRANULE);
        assert_eq!(heap.empty_magazines(), Ok(()));
        assert_eq!(heap.check(), Ok(()));
        thread::yield_now();
    }
}

/// So many threads on a heap of so many bytes, and caches for all of them but a few.
fn threads_pass_objects_on<L: RawLock + Send + Sync>(threads: usize, size: usize) {
    let seed = fastrand::u64(..1 << 32);
    println!("seed {seed}");
    let fixture = Fixture::<L>::new(size, threads - threads / 4);
    let heap = &fixture.heap;
    let ended = AtomicBool::new(false);
    let served: usize = thread::scope(|scope| {
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::channel()).unzip();
        let play = |(nth, inbox): (usize, Receiver<Object>)| {
            let others = senders.clone();
            scope.spawn(move || Player::new(heap, seed, nth).play(&inbox, others))
        };
        let players: Vec<_> = inboxes.into_iter().enumerate().map(play).collect();
        drop(senders);
        let looker = scope.spawn(|| look_on(heap, &ended));
        let played: Vec<_> = players.into_iter().map(|player| player.join()).collect();
        ended.store(true, Ordering::Relaxed);
        looker.join().unwrap_or_else(|panic| resume_unwind(panic));
        played.into_iter().map(|played| played.unwrap_or_else(|panic| resume_unwind(panic))).sum()
    });
    assert!(served > threads * OPERATIONS / 100, "{served} objects");
    fixture.is_as_at_first();
}

macro_rules! threads_pass_objects_on {
    ($lock:ty) => {
        use super::*;

        #[test]
        fn two_threads_pass_objects_on_and_lose_none() {
            threads_pass_objects_on::<$lock>(2, ROOMY);
        }

        #[test]
        fn four_threads_pass_objects_on_and_lose_none() {
            threads_pass_objects_on::<$lock>(4, ROOMY);
        }

        #[test]
        fn four_threads_pass_objects_on_in_a_heap_too_small_for_all_of_them() {
            threads_pass_objects_on::<$lock>(4, TIGHT);
        }
    };
}

mod under_a_spin_lock {
    threads_pass_objects_on!(SpinLock);
}

mod under_a_futex {
    threads_pass_objects_on!(FutexLock);

    #[test]
    fn eight_threads_pass_objects_on_and_lose_none() {
        threads_pass_objects_on::<FutexLock>(8, ROOMY);
    }

    #[test]
    fn sixteen_threads_pass_objects_on_and_lose_none() {
        threads_pass_objects_on::<FutexLock>(16, ROOMY);
    }

    #[test]
    fn sixteen_threads_pass_objects_on_in_a_heap_too_small_for_all_of_them() {
        threads_pass_objects_on::<FutexLock>(16, TIGHT);
    }
}
