//! Threads with a cache each on one heap: what they allocate, stamp and pass on is nobody else's meanwhile; of two that free one object
//! at once exactly one is answered yes; wrong frees are refused whatever happens beside them; and threads that came and went leave
//! nothing behind.

use std::alloc::Layout;
use std::panic::resume_unwind;
use std::ptr::without_provenance_mut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Barrier, Mutex};
use std::{slice, thread};

use fastrand::Rng;
use slabfit::{Cache, Config, GRANULE, General, Heap, InvalidFree, RawLock, Reason, Segment, SpinLock, State};
use slabfit_linux::FutexLock;
use slabfit_tests::arena::{Arena, Setup};
use slabfit_tests::model::Placement;

const KIB: usize = 1 << 10;
/// Room for all that the threads have at once, and for a part of it.
const ROOMY: usize = 4 << 20;
const TIGHT: usize = 160 * KIB;
/// Operations of a thread.
const OPERATIONS: usize = 30_000;

type CachedHeap<L> = Heap<'static, L, General>;

/// A heap with caches, and its memory, which is dropped after it.
struct Place<L: RawLock> {
    heap: CachedHeap<L>,
    _arena: Arena,
}

impl<L: RawLock> Place<L> {
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

/// The heap, and a cache where the thread could get one.
struct Gate<'h, L: RawLock> {
    heap: &'h CachedHeap<L>,
    cache: Option<Cache<'h, 'static, L>>,
}

impl<'h, L: RawLock> Gate<'h, L> {
    fn with_cache(heap: &'h CachedHeap<L>) -> Self {
        Self { heap, cache: heap.cache().ok() }
    }

    fn alloc(&self, size: usize, align: usize) -> Option<*mut u8> {
        let layout = Layout::from_size_align(size, align).expect("a legal layout");
        let served = match &self.cache {
            Some(cache) => cache.alloc_layout(layout),
            None => self.heap.alloc_layout(layout),
        };
        served.ok().map(|object| object.as_ptr())
    }

    /// Frees an object that nobody uses any more, or what is none.
    fn free(&self, pointer: *mut u8) -> Result<(), InvalidFree> {
        match &self.cache {
            // SAFETY: as the caller says.
            Some(cache) => unsafe { cache.free(pointer) },
            // SAFETY: as above.
            None => unsafe { self.heap.free(pointer) },
        }
    }

    /// Resizes an object that nobody else uses.
    fn realloc(&self, pointer: *mut u8, size: usize) -> Option<*mut u8> {
        let moved = match &self.cache {
            // SAFETY: as the caller says.
            Some(cache) => unsafe { cache.realloc(pointer, size) },
            // SAFETY: as above.
            None => unsafe { self.heap.realloc(pointer, size) },
        };
        moved.ok().map(|object| object.as_ptr())
    }
}

/// An object, all of whose usable words hold its stamp. No two objects of a test have the same.
#[derive(Debug)]
struct Object {
    address: usize,
    usable: usize,
    stamp: u64,
}

impl Object {
    fn stamped<L: RawLock>(heap: &CachedHeap<L>, pointer: *mut u8, stamp: u64) -> Self {
        let usable = heap.usable_size(pointer).expect("just handed out");
        let object = Self { address: pointer.expose_provenance(), usable, stamp };
        // SAFETY: the object's usable words, aligned; it is this thread's, and the arena has initialised all memory.
        let words = unsafe { slice::from_raw_parts_mut(pointer.cast::<u64>(), usable / 8) };
        for (word, nth) in words.iter_mut().zip(0..) {
            *word = stamp ^ nth;
        }
        object
    }

    fn pointer(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.address)
    }

    /// Reads the first words back.
    fn verify(&self, bytes: usize) {
        // SAFETY: some of the object's usable words, aligned and written to; it is this thread's.
        let words = unsafe { slice::from_raw_parts(self.pointer().cast::<u64>(), bytes / 8) };
        for (&word, nth) in words.iter().zip(0..) {
            assert_eq!(word, self.stamp ^ nth, "{self:x?} was overwritten");
        }
    }

    fn free<L: RawLock>(self, gate: &Gate<'_, L>) {
        self.verify(self.usable);
        assert_eq!(gate.free(self.pointer()), Ok(()), "{self:x?}");
    }
}

/// What one thread does: it allocates, keeps and passes on, resizes, frees what it kept and what it was passed.
struct Player<'h, L: RawLock> {
    gate: Gate<'h, L>,
    rng: Rng,
    kept: Vec<Object>,
    stamps: u64,
    served: usize,
}

impl<'h, L: RawLock> Player<'h, L> {
    fn new(heap: &'h CachedHeap<L>, seed: u64, nth: usize) -> Self {
        let gate = Gate::with_cache(heap);
        Self { gate, rng: Rng::with_seed(seed + nth as u64), kept: Vec::new(), stamps: (nth as u64) << 40, served: 0 }
    }

    fn alloc(&mut self) -> Option<Object> {
        let rng = &mut self.rng;
        let size = match rng.u32(..16) {
            0..10 => rng.usize(1..=128),
            10..15 => rng.usize(1..=512),
            _ => rng.usize(500..3000),
        };
        let align = if rng.u32(..8) == 0 { 1 << rng.u32(..8) } else { GRANULE };
        let pointer = self.gate.alloc(size, align)?;
        assert_eq!(pointer.addr() % align, 0);
        Some(self.own(pointer))
    }

    fn own(&mut self, pointer: *mut u8) -> Object {
        self.stamps += 1 << 8;
        self.served += 1;
        Object::stamped(self.gate.heap, pointer, self.stamps)
    }

    /// Frees something else than an object in an object of this thread's.
    fn free_wrongly(&self, object: &Object) {
        for (by, reason) in [(1, Reason::Misaligned), (8, Reason::Misaligned), (16, Reason::NotAStart)] {
            if by < object.usable {
                let freed = self.gate.free(without_provenance_mut(object.address + by));
                assert_eq!(freed.map_err(|wrong| wrong.reason), Err(reason), "{object:x?} + {by}");
            }
        }
    }

    fn resize(&mut self, object: Object) -> Object {
        object.verify(object.usable);
        let size = self.rng.usize(1..700);
        let Some(moved) = self.gate.realloc(object.pointer(), size) else { return object };
        let old = Object { address: moved.expose_provenance(), ..object };
        old.verify(old.usable.min(size));
        self.own(moved)
    }

    fn take_kept(&mut self) -> Option<Object> {
        let nth = self.rng.usize(..self.kept.len().max(1));
        (nth < self.kept.len()).then(|| self.kept.swap_remove(nth))
    }

    /// One operation. What is passed on goes to any of `others`.
    fn step(&mut self, inbox: &Receiver<Object>, others: &[Sender<Object>]) {
        match self.rng.u32(..100) {
            0..46 => match self.alloc() {
                Some(object) if self.rng.bool() => self.kept.push(object),
                Some(object) => {
                    let other = &others[self.rng.usize(..others.len())];
                    other.send(object).expect("every thread reads its inbox to the end");
                }
                None => self.give_up(inbox),
            },
            46..66 => {
                if let Some(object) = self.take_kept() {
                    object.free(&self.gate);
                }
            }
            66..76 => {
                if let Some(object) = self.take_kept() {
                    let object = self.resize(object);
                    self.kept.push(object);
                }
            }
            76..80 => {
                if let Some(object) = self.kept.last() {
                    self.free_wrongly(object);
                }
            }
            80..82 => {
                // Past the cache.
                if let Some(object) = self.take_kept() {
                    object.free(&Gate { heap: self.gate.heap, cache: None });
                }
            }
            82 if self.rng.u32(..20) == 0 => {
                // Another may have taken the place before.
                self.gate.cache = None;
                self.gate.cache = self.gate.heap.cache().ok();
            }
            83 if self.rng.u32(..20) == 0 => {
                let emptied = self.gate.cache.as_ref().map_or(Ok(()), Cache::empty);
                assert_eq!(emptied, Ok(()));
            }
            _ => inbox.try_iter().take(3).for_each(|object| object.free(&self.gate)),
        }
    }

    /// Frees something, as there is no memory.
    fn give_up(&mut self, inbox: &Receiver<Object>) {
        match inbox.try_recv().ok().or_else(|| self.take_kept()) {
            Some(object) => object.free(&self.gate),
            None => thread::yield_now(),
        }
    }

    fn play(mut self, inbox: &Receiver<Object>, others: Vec<Sender<Object>>) -> usize {
        for _ in 0..OPERATIONS {
            self.step(inbox, &others);
        }
        drop(others);
        for object in self.kept.drain(..) {
            object.free(&self.gate);
        }
        inbox.iter().for_each(|object| object.free(&self.gate));
        self.served
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
    let place = Place::<L>::new(size, threads - threads / 4);
    let heap = &place.heap;
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
    place.is_as_at_first();
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

mod threads_that_come_and_go {
    use super::*;

    const WAVES: usize = 60;
    const AT_ONCE: usize = 5;

    /// What those who went have left to those who come.
    #[derive(Default)]
    struct Left<'h> {
        objects: Vec<Object>,
        caches: Vec<Cache<'h, 'static, FutexLock>>,
    }

    fn live<'h>(heap: &'h CachedHeap<FutexLock>, left: &Mutex<Left<'h>>, nth: usize) {
        let mut player = Player::new(heap, 0, nth);
        if player.gate.cache.is_none() || nth % 3 == 0 {
            // It goes on with the cache of one who went, if one was left.
            let heir = left.lock().expect("nobody panics with it").caches.pop();
            player.gate.cache = heir.or(player.gate.cache.take());
        }
        let mut objects: Vec<Object> = (0..300).filter_map(|_| player.alloc()).collect();
        player.rng.shuffle(&mut objects);
        for object in objects.drain(..200) {
            object.free(&player.gate);
        }
        let mut left = left.lock().expect("nobody panics with it");
        let inherited = left.objects.len() * 3 / 4;
        let inherited: Vec<Object> = left.objects.drain(..inherited).collect();
        left.objects.append(&mut objects);
        if nth % 4 == 0 {
            left.caches.extend(player.gate.cache.take());
        }
        drop(left);
        inherited.into_iter().for_each(|object| object.free(&player.gate));
    }

    #[test]
    fn leave_their_objects_and_their_caches_to_others_and_nothing_else() {
        let place = Place::<FutexLock>::new(ROOMY, AT_ONCE);
        let heap = &place.heap;
        let left = Mutex::default();
        for wave in 0..WAVES {
            thread::scope(|scope| {
                for nth in 0..AT_ONCE {
                    let left = &left;
                    scope.spawn(move || live(heap, left, wave * AT_ONCE + nth));
                }
            });
        }
        let Left { objects, caches } = left.into_inner().expect("nobody panicked with it");
        assert!(!objects.is_empty());
        assert!(heap.stats().expect("this thread is not in the heap").caches.made <= AT_ONCE);
        drop(caches);
        let gate = Gate { heap, cache: None };
        objects.into_iter().for_each(|object| object.free(&gate));
        place.is_as_at_first();
    }

    #[test]
    fn leave_nothing_behind_when_a_thousand_have_lived() {
        let place = Place::<SpinLock>::new(ROOMY, 4);
        let heap = &place.heap;
        for wave in 0..250 {
            thread::scope(|scope| {
                for nth in 0..4 {
                    scope.spawn(move || {
                        let mut player = Player::new(heap, wave, nth);
                        assert!(player.gate.cache.is_some());
                        let objects: Vec<Object> = (0..50).filter_map(|_| player.alloc()).collect();
                        objects.into_iter().for_each(|object| object.free(&player.gate));
                    });
                }
            });
        }
        assert!(heap.stats().expect("this thread is not in the heap").caches.made <= 4);
        place.is_as_at_first();
    }
}

mod of_several_that_free_one_object_at_once {
    use super::*;

    const ROUNDS: usize = 1_500;
    const OBJECTS: usize = 80;

    /// Through what a racer goes.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Through {
        /// The cache that has allocated the objects.
        Owner,
        /// A cache of its own.
        Another,
        TheHeap,
    }

    use Through::{Another, Owner, TheHeap};

    /// What they race for, how often each was had, and what went wrong. (Who panics leaves the others waiting.)
    struct Race {
        objects: Mutex<Vec<usize>>,
        had: Vec<AtomicUsize>,
        wrong: Mutex<Vec<String>>,
        start: Barrier,
    }

    impl Race {
        fn new(racers: usize) -> Self {
            let had = (0..OBJECTS).map(|_| AtomicUsize::new(0)).collect();
            Self { objects: Mutex::default(), had, wrong: Mutex::default(), start: Barrier::new(racers) }
        }

        fn demand(&self, is_right: bool, what: impl FnOnce() -> String) {
            if !is_right {
                self.wrong.lock().expect("nobody panics with it").push(what());
            }
        }

        /// Allocates the objects of a round. Where they are to be moved, one of each run is kept out of the race: no run is closed
        /// then, so that nothing else comes to lie where they were.
        fn prepare<L: RawLock>(&self, owner: &Gate<'_, L>, round: usize, moves: bool) -> Vec<*mut u8> {
            let (size, run) = [(16, KIB), (64, KIB), (100, 2 * KIB), (30, KIB)][round % 4];
            let mut served: Vec<*mut u8> = (0..OBJECTS).filter_map(|_| owner.alloc(size, 1)).collect();
            self.demand(served.len() == OBJECTS, || format!("{} objects", served.len()));
            served.sort();
            let (mut objects, mut kept) = (Vec::new(), Vec::new());
            for object in served {
                let of_run = |other: &*mut u8| other.addr() / run == object.addr() / run;
                if !moves || kept.last().is_some_and(of_run) {
                    objects.push(object.expose_provenance());
                } else {
                    kept.push(object);
                }
            }
            *self.objects.lock().expect("nobody panics with it") = objects;
            kept
        }

        /// Frees all objects of a round, or moves every other one.
        fn run<L: RawLock>(&self, gate: &Gate<'_, L>, rng: &mut Rng, moves: bool) {
            self.start.wait();
            let objects = self.objects.lock().expect("nobody panics with it").clone();
            let (mut moved, first) = (Vec::new(), rng.usize(..8));
            self.start.wait();
            for nth in (0..objects.len()).cycle().skip(first).take(objects.len()) {
                let pointer = std::ptr::with_exposed_provenance_mut(objects[nth]);
                let freed = if moves && nth % 2 == 0 {
                    gate.realloc(pointer, 700).map(|new| moved.push(new)).ok_or(Reason::DoubleFree)
                } else {
                    gate.free(pointer).map_err(|wrong| wrong.reason)
                };
                match freed {
                    Ok(()) => drop(self.had[nth].fetch_add(1, Ordering::Relaxed)),
                    Err(reason) => self.demand(reason == Reason::DoubleFree, || format!("{reason}")),
                }
            }
            self.start.wait();
            for object in moved {
                self.demand(gate.free(object) == Ok(()), || format!("{object:?} was moved and is not live"));
            }
        }
    }

    /// The first racer allocates before each round. Where nobody goes through its cache, that is gone before every third race.
    fn race<L: RawLock + Send + Sync>(racers: &[Through], moves: bool) {
        let place = Place::<L>::new(ROOMY, racers.len() + 1);
        let heap = &place.heap;
        let race = &Race::new(racers.len());
        thread::scope(|scope| {
            for (nth, &through) in racers.iter().enumerate() {
                scope.spawn(move || {
                    let mut rng = Rng::with_seed(nth as u64);
                    let mut owner = Gate { heap, cache: None };
                    let own = Gate { heap, cache: (through == Another).then(|| heap.cache().ok()).flatten() };
                    for round in 0..ROUNDS {
                        let mut kept = Vec::new();
                        if nth == 0 {
                            owner.cache = owner.cache.or_else(|| heap.cache().ok());
                            kept = race.prepare(&owner, round, moves);
                        }
                        if !racers.contains(&Owner) && round % 3 == 0 {
                            owner.cache = None;
                        }
                        race.run(if through == Owner { &owner } else { &own }, &mut rng, moves);
                        for object in kept {
                            race.demand(own.free(object) == Ok(()), || format!("{object:?} is not live"));
                        }
                        if nth == 0 {
                            let objects = race.objects.lock().expect("nobody panics with it").len();
                            let had: Vec<usize> = race.had.iter().map(|had| had.swap(0, Ordering::Relaxed)).collect();
                            let once = had.iter().take(objects).all(|&had| had == 1);
                            race.demand(once && objects > OBJECTS / 2, || format!("had in round {round}: {had:?}"));
                        }
                    }
                });
            }
        });
        let wrong = race.wrong.lock().expect("nobody panics with it");
        assert!(wrong.is_empty(), "{} went wrong, first: {:?}", wrong.len(), wrong[0]);
        place.is_as_at_first();
    }

    #[test]
    fn one_is_answered_yes_of_two_caches() {
        race::<SpinLock>(&[Another, Another], false);
    }

    #[test]
    fn one_is_answered_yes_of_its_owner_and_another_cache() {
        race::<SpinLock>(&[Owner, Another], false);
    }

    #[test]
    fn one_is_answered_yes_of_its_owner_and_the_heap() {
        race::<FutexLock>(&[Owner, TheHeap], false);
    }

    #[test]
    fn one_is_answered_yes_of_another_cache_and_the_heap() {
        race::<FutexLock>(&[Another, TheHeap], false);
    }

    #[test]
    fn one_is_answered_yes_of_all_four() {
        race::<FutexLock>(&[Owner, Another, TheHeap, Another], false);
    }

    #[test]
    fn one_is_answered_yes_where_some_move_it() {
        race::<SpinLock>(&[Owner, Another], true);
        race::<FutexLock>(&[Another, TheHeap, Another], true);
    }
}

mod wrong_frees {
    use super::*;

    /// Slots of these sizes, and so all objects, start at multiples of 32 bytes.
    const SIZES: [usize; 4] = [32, 64, 96, 128];
    const ROUNDS: usize = 1_500;

    /// Allocates and frees so that runs of each class come and go.
    fn churn<L: RawLock>(heap: &CachedHeap<L>, nth: usize) {
        let mut player = Player::new(heap, 7, nth);
        for round in 0..ROUNDS {
            let size = SIZES[(round + nth) % SIZES.len()];
            for _ in 0..player.rng.usize(1..100) {
                let pointer = player.gate.alloc(size, GRANULE).expect("there is room");
                let object = player.own(pointer);
                player.kept.push(object);
            }
            player.kept.drain(..).for_each(|object| object.free(&player.gate));
            if round % 8 == 0 {
                assert_eq!(player.gate.cache.as_ref().map(Cache::empty), Some(Ok(())));
            }
        }
    }

    #[test]
    fn are_refused_beside_runs_that_come_and_go() {
        let place = Place::<FutexLock>::new(256 * KIB, 3);
        let heap = &place.heap;
        let ended = AtomicBool::new(false);
        let (tried, refused) = thread::scope(|scope| {
            let churners: Vec<_> = (0..2).map(|nth| scope.spawn(move || churn(heap, nth))).collect();
            let wrong = scope.spawn(|| {
                let gates = [Gate::with_cache(heap), Gate { heap, cache: None }];
                let (mut tried, mut refused) = (0, 0);
                let segment = heap.segment(Segment::Blocks);
                assert_eq!(segment.start % 32, 0);
                loop {
                    for address in segment.clone().skip(GRANULE).step_by(32).take(512) {
                        let freed = gates[tried % 2].free(without_provenance_mut(address));
                        tried += 1;
                        refused += usize::from(freed.is_err());
                    }
                    if ended.load(Ordering::Relaxed) {
                        break (tried, refused);
                    }
                }
            });
            let churned: Vec<_> = churners.into_iter().map(|churner| churner.join()).collect();
            ended.store(true, Ordering::Relaxed);
            churned.into_iter().for_each(|churned| churned.unwrap_or_else(|panic| resume_unwind(panic)));
            wrong.join().unwrap_or_else(|panic| resume_unwind(panic))
        });
        assert_eq!(tried, refused);
        place.is_as_at_first();
    }
}
