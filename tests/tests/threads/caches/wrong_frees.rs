use std::panic::resume_unwind;
use std::ptr::without_provenance_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use slabfit::{Cache, GRANULE, RawLock, Segment};
use slabfit_linux::FutexLock;

use super::player::{Gate, Player};
use super::{CachedHeap, Fixture, KIB};

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
    let fixture = Fixture::<FutexLock>::new(256 * KIB, 3);
    let heap = &fixture.heap;
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
    fixture.is_as_at_first();
}
