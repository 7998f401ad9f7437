use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;

use Through::{Another, Owner, TheHeap};
use fastrand::Rng;
use slabfit::{RawLock, Reason, SpinLock};
use slabfit_linux::FutexLock;

use super::player::Gate;
use super::{Fixture, KIB, ROOMY};

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
    let fixture = Fixture::<L>::new(ROOMY, racers.len() + 1);
    let heap = &fixture.heap;
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
    fixture.is_as_at_first();
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
