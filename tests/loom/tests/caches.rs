//! Caches between threads: an object is freed once, whichever way, what others free comes back to its owner, and a run that is closed
//! and opened again is never taken for the one that it was.
//!
//! Slots have 64 bytes where nothing else is said, and a run has 16 of them. A model sets its scene alone, and touches there every byte
//! that its threads will touch.

use std::alloc::{self, Layout};
use std::ptr::{self, NonNull};

use loom::cell::UnsafeCell;
use loom::thread::JoinHandle;
use slabfit::{
    Cache, CacheError, Config, General, Heap, InvalidFree, Memory, Reason, SpinLock, Stats, bookkeeping_size,
};
use slabfit_loom::lent::{alone, share};
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

/// Exactly one of two frees of one object is told that it was the one.
fn assert_freed_once(object: Object, answers: [Result<(), InvalidFree>; 2]) {
    let refused = Err(InvalidFree { address: object, reason: Reason::DoubleFree });
    assert!(answers == [Ok(()), refused] || answers == [refused, Ok(())], "{answers:?}");
}

#[test]
fn of_two_frees_through_two_caches_one_is_refused() {
    play("freed twice, by owner and other", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let object = alloc(&ours, SLOT);
        let sharing = share();
        let second = spawn_second(move || (free(&others, object), others));
        let mine = free(&ours, object);
        let (answer, others) = second.join().expect("it does not panic");
        drop(sharing);
        assert_freed_once(object, [mine, answer]);
        assert_eq!(ours.check(), Ok(()));
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

#[test]
fn of_two_frees_by_others_than_the_owner_one_is_refused() {
    play("freed twice, by cache and heap", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let object = alloc(&ours, SLOT);
        let sharing = share();
        let second = spawn_second(move || (free(&others, object), others));
        let mine = stage.free(object);
        let (answer, others) = second.join().expect("it does not panic");
        drop(sharing);
        assert_freed_once(object, [mine, answer]);
        assert_eq!(ours.check(), Ok(()));
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

/// The run is closed and opened again for slots of `size` bytes, whose first lies where `object` was. What is freed there at any time is
/// the one or the other object, or nothing.
fn a_wrong_free_beside_a_run_that_is_opened_again(name: &str, index: usize, size: usize) {
    play(name, 5, move |stage| {
        let (ours, others) = two_caches(stage);
        let other = alloc(&ours, size);
        free_all(&others, &[other]);
        ours.empty().expect("it is not in the heap");
        let objects = alloc_all::<IN_RUN>(&ours);
        let object = objects[index];
        assert_eq!(other, objects[0], "the run lies where the other was");
        free_all(&others, &objects[..index]);
        free_all(&others, &objects[index + 1..]);
        let sharing = share();
        let second = spawn_second(move || (free(&others, object), others));
        let first = free(&ours, object);
        ours.empty().expect("it is not in the heap");
        let again = alloc(&ours, size);
        let next = free(&ours, again);
        let (answer, others) = second.join().expect("it does not panic");
        drop(sharing);
        let freed = [first, next, answer];
        assert_eq!(freed.iter().filter(|freed| freed.is_ok()).count(), 2, "{object:#x}, {again:#x}: {freed:x?}");
        assert!(object == again || next.is_ok(), "{again:#x} is not {object:#x}");
        assert_eq!(ours.check(), Ok(()));
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

#[test]
fn a_wrong_free_of_what_is_another_object_by_then_frees_that() {
    a_wrong_free_beside_a_run_that_is_opened_again("wrong free, the same place", 0, 48);
}

#[test]
fn a_wrong_free_of_what_is_no_object_by_then_is_refused() {
    a_wrong_free_beside_a_run_that_is_opened_again("wrong free, no place any more", 1, 48);
}

/// The other uses an object before it frees it, and the owner when it is handed out again: in this order, or loom's cell would say so.
#[test]
fn an_owner_takes_back_what_another_frees_meanwhile_and_what_it_wrote() {
    play("alloc beside free", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<IN_RUN>(&ours);
        let contents = [0, 1].map(|_| loom::sync::Arc::new(UnsafeCell::new(())));
        let written = contents.clone();
        let freed = [objects[0], objects[1]];
        let sharing = share();
        let second = spawn_second(move || {
            for (object, contents) in freed.into_iter().zip(written) {
                contents.with_mut(|_| ());
                assert_eq!(free(&others, object), Ok(()));
            }
            others
        });
        let served = [(); 2].map(|()| alloc(&ours, SLOT));
        for (object, contents) in freed.iter().zip(&contents) {
            if served.contains(object) {
                contents.with_mut(|_| ());
            }
        }
        let others = second.join().expect("it does not panic");
        drop(sharing);
        assert_eq!(ours.check(), Ok(()));
        free_all(&ours, &served);
        free_all(&others, &objects[2..IN_RUN]);
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

/// The owner's magazine is full, and it gives half of it back: a run is closed. Of another one a slot is returned meanwhile, which the
/// owner takes when it has none left.
#[test]
fn an_owner_gives_slots_back_beside_a_free_by_another() {
    play("give back beside free", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<{ 3 * IN_RUN + 2 }>(&ours);
        // The first run is idle then, and the second and the third fill the magazine.
        free_all(&ours, &objects[..3 * IN_RUN]);
        let [mine, theirs] = [objects[3 * IN_RUN], objects[3 * IN_RUN + 1]];
        let sharing = share();
        let second = spawn_second(move || (stage.free(theirs), stage.heap.empty_magazines()));
        assert_eq!(free(&ours, mine), Ok(()));
        let served = alloc_all::<{ 3 * IN_RUN }>(&ours);
        assert_eq!(second.join().expect("it does not panic"), (Ok(()), Ok(())));
        drop(sharing);
        assert_eq!(ours.check(), Ok(()));
        free_all(&ours, &served);
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

/// Whoever is the last one out closes the run: nobody has to ask for it.
#[test]
fn a_cache_is_dropped_beside_a_free_by_another() {
    play("drop beside free", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let object = alloc(&ours, SLOT);
        let sharing = share();
        let second = spawn_second(move || (free(&others, object), others));
        drop(ours);
        let (answer, others) = second.join().expect("it does not panic");
        drop(sharing);
        assert_eq!(answer, Ok(()));
        let stats = stage.stats().caches;
        assert_eq!((stats.attached, stats.run_bytes), (1, 0));
        drop(others);
        stage.assert_nothing_is_lost();
    });
}

/// Two return slots of one run, whose owner takes them back meanwhile.
#[test]
fn two_return_slots_of_a_run_while_the_owner_takes_them_back() {
    play("two returners and the owner", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<IN_RUN>(&ours);
        let [one, two] = [objects[0], objects[1]];
        let third = stage.cache();
        let sharing = share();
        let frees = [(DIFFERENT[1], others, one), (DIFFERENT[2], third, two)]
            .map(|(identity, cache, object)| spawn(identity, move || (free(&cache, object), cache)));
        let served = alloc(&ours, SLOT);
        let caches = frees.map(|thread| {
            let (answer, cache) = thread.join().expect("it does not panic");
            assert_eq!(answer, Ok(()));
            cache
        });
        drop(sharing);
        assert_eq!(ours.check(), Ok(()));
        free_all(&ours, &[served]);
        free_all(&ours, &objects[2..]);
        drop((ours, caches));
        stage.assert_nothing_is_lost();
    });
}

/// The owner's stack has two runs, pushed by two.
#[test]
fn two_return_slots_of_different_runs_of_one_owner() {
    play("two runs on a stack", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<{ 2 * IN_RUN }>(&ours);
        let [one, two] = [objects[0], objects[IN_RUN]];
        let sharing = share();
        let second = spawn_second(move || (free(&others, one), others));
        assert_eq!(stage.free(two), Ok(()));
        let (answer, others) = second.join().expect("it does not panic");
        drop(sharing);
        assert_eq!((answer, ours.check()), (Ok(()), Ok(())));
        let served = alloc_all::<2>(&ours);
        assert!(served == [one, two] || served == [two, one], "{served:x?} of {one:#x} and {two:#x}");
        free_all(&ours, &objects);
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

/// The links of the stack are seen as they were stored. The order is another than that of the setting of the scene.
#[test]
fn an_owner_takes_back_two_runs_that_another_pushes_meanwhile() {
    play("two runs on a stack beside the owner", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<{ 2 * IN_RUN }>(&ours);
        let freed = [objects[IN_RUN], objects[0]];
        let sharing = share();
        let second = spawn_second(move || {
            free_all(&others, &freed);
            others
        });
        let served = alloc_all::<2>(&ours);
        let others = second.join().expect("it does not panic");
        drop(sharing);
        assert_eq!(ours.check(), Ok(()));
        free_all(&ours, &served);
        let left = objects.iter().filter(|object| !freed.contains(object));
        left.for_each(|object| assert_eq!(free(&others, *object), Ok(())));
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

/// The next owner of a cache goes on with what others have returned to it, and with what the last one left.
#[test]
fn a_cache_is_attached_beside_a_free_by_another() {
    play("attach beside free", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let object = alloc(&ours, SLOT);
        drop(ours);
        let sharing = share();
        let second = spawn_second(move || (free(&others, object), others));
        let ours = stage.cache();
        let served = alloc(&ours, SLOT);
        let (answer, others) = second.join().expect("it does not panic");
        drop(sharing);
        assert_eq!((answer, ours.check()), (Ok(()), Ok(())));
        free_all(&ours, &[served]);
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

/// One drops a cache and another wants one: it gets what was dropped, whole, or is told that there is none.
#[test]
fn a_cache_is_dropped_beside_who_wants_one() {
    play("drop beside attach", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let rest = (others, stage.cache());
        let objects = alloc_all::<IN_RUN>(&ours);
        let sharing = share();
        let second = spawn_second(move || {
            let cache = stage.heap.cache();
            let served = cache.as_ref().ok().map(|cache| alloc(cache, SLOT));
            (cache, served)
        });
        free_all(&ours, &objects[..1]);
        drop(ours);
        let (cache, served) = second.join().expect("it does not panic");
        drop(sharing);
        match (&cache, served) {
            (Ok(cache), Some(object)) => {
                assert_eq!(cache.check(), Ok(()));
                free_all(cache, &[object]);
            }
            (refused, _) => assert_eq!(refused.as_ref().err(), Some(&CacheError::NoneFree)),
        }
        objects[1..].iter().for_each(|object| assert_eq!(stage.free(*object), Ok(())));
        drop((cache, rest));
        stage.assert_nothing_is_lost();
    });
}

/// What the heap does before a request fails, beside the last one who returns a slot of a run. Where the run was closed, a block comes to
/// lie in it, after all uses of that slot.
#[test]
fn runs_are_reclaimed_beside_a_free_by_another() {
    play("reclaim beside free", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<IN_RUN>(&ours);
        free_all(&others, &objects[1..]);
        let object = objects[0];
        let contents = loom::sync::Arc::new(UnsafeCell::new(()));
        let written = contents.clone();
        let sharing = share();
        let second = spawn_second(move || {
            written.with_mut(|_| ());
            (free(&others, object), others)
        });
        stage.heap.empty_magazines().expect("nobody is in the heap");
        let block = stage.heap.alloc(600).expect("there is room").addr().get();
        if (block..block + 600).contains(&(object + SLOT / 2)) {
            contents.with_mut(|_| ());
        }
        let (answer, others) = second.join().expect("it does not panic");
        drop(sharing);
        assert_eq!((answer, stage.free(block), ours.check()), (Ok(()), Ok(()), Ok(())));
        // The owner need not do anything.
        stage.assert_nothing_is_lost();
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

/// The same beside the owner, who takes them back itself; `last` of the slots is live still.
fn runs_are_reclaimed_beside_the_owner(name: &str, live: usize) {
    play(name, 5, move |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<IN_RUN>(&ours);
        free_all(&others, &objects[live..]);
        let sharing = share();
        let second = spawn_second(move || stage.heap.empty_magazines());
        let served = alloc(&ours, SLOT);
        assert_eq!(second.join().expect("it does not panic"), Ok(()));
        drop(sharing);
        assert_eq!(ours.check(), Ok(()));
        free_all(&ours, &[served]);
        free_all(&ours, &objects[..live]);
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

#[test]
fn runs_without_a_live_slot_are_reclaimed_or_taken_back_by_the_owner() {
    runs_are_reclaimed_beside_the_owner("reclaim beside the owner, none live", 0);
}

#[test]
fn runs_with_a_live_slot_are_taken_back_by_the_owner_alone() {
    runs_are_reclaimed_beside_the_owner("reclaim beside the owner, one live", 1);
}

/// The owner and two others, who return slots and have the heap reclaim, all at once.
#[test]
fn an_owner_two_returners_and_the_heap_lose_nothing() {
    play("all at once", 3, |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<{ IN_RUN + 1 }>(&ours);
        free_all(&others, &objects[3..IN_RUN]);
        let [one, two, three, other] = [objects[0], objects[1], objects[2], objects[IN_RUN]];
        let sharing = share();
        let second = spawn_second(move || {
            free_all(&others, &[one, other]);
            others
        });
        let third = spawn(DIFFERENT[2], move || {
            assert_eq!(stage.free(two), Ok(()));
            assert_eq!(stage.heap.empty_magazines(), Ok(()));
        });
        free_all(&ours, &[three]);
        let served = alloc_all::<2>(&ours);
        third.join().expect("it does not panic");
        let others = second.join().expect("it does not panic");
        drop(sharing);
        assert_eq!(ours.check(), Ok(()));
        free_all(&others, &served);
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

/// Alone, as in the child of a fork: the owners are gone in the midst of whatever they were about.
#[test]
fn what_lies_in_caches_whose_owners_are_gone_is_recovered() {
    play("owners gone", 5, |stage| {
        let (kept, gone) = two_caches(stage);
        let (mine, theirs) = (alloc_all::<IN_RUN>(&kept), alloc_all::<IN_RUN>(&gone));
        free_all(&gone, &mine[1..]);
        free_all(&kept, &theirs[1..]);
        std::mem::forget(gone);
        // SAFETY: there is one thread, and the cache that is gone is never used again.
        assert_eq!(unsafe { stage.heap.recover_caches(Some(&kept)) }, Ok(()));
        assert_eq!((kept.check(), stage.heap.check()), (Ok(()), Ok(())));
        assert_eq!(stage.stats().caches.attached, 1);
        free_all(&kept, &[mine[0], theirs[0]]);
        drop(kept);
        stage.assert_nothing_is_lost();
    });
}
