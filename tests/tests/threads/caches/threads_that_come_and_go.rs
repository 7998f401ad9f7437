use std::sync::Mutex;
use std::thread;

use slabfit::{Cache, SpinLock};
use slabfit_linux::FutexLock;

use super::player::{Gate, Object, Player};
use super::{CachedHeap, Fixture, ROOMY};

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
    let fixture = Fixture::<FutexLock>::new(ROOMY, AT_ONCE);
    let heap = &fixture.heap;
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
    fixture.is_as_at_first();
}

#[test]
fn leave_nothing_behind_when_a_thousand_have_lived() {
    let fixture = Fixture::<SpinLock>::new(ROOMY, 4);
    let heap = &fixture.heap;
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
    fixture.is_as_at_first();
}
