use slabfit::GRANULE;
use slabfit_tests::model::By;
use slabfit_tests::scene::Scene;

use super::KIB;

/// The bytes that runs of one class take, for a heap with room for more than the bound.
fn left_by(program: impl Fn(&mut Scene, By)) -> usize {
    let mut scene = Scene::with_caches(256 * KIB, 1);
    let cache = scene.attach();
    program(&mut scene, cache);
    assert_eq!(scene.class(64).live_objects, 0);
    let left = scene.class(64).runs;
    scene.empty_by(cache);
    assert_eq!(scene.blocks().len(), 1);
    left
}

fn alloc_runs(scene: &mut Scene, cache: By, runs: usize) -> Vec<usize> {
    (0..16 * runs).map(|_| scene.pair.alloc_by(cache, 64, GRANULE).unwrap().unwrap()).collect()
}

fn free(scene: &mut Scene, cache: By, slots: impl Iterator<Item = usize>) {
    slots.for_each(|slot| scene.pair.free_by(cache, slot).unwrap().unwrap());
    scene.compare();
}

#[test]
fn of_a_cache_is_a_run_for_each_slot_of_a_magazine_and_one_more_at_the_worst() {
    let worst = left_by(|scene, cache| {
        let slots = alloc_runs(scene, cache, 100);
        let is_last = |&(nth, _): &(usize, &usize)| nth % 16 == 15;
        free(scene, cache, slots.iter().enumerate().filter(|slot| !is_last(slot)).map(|(_, &slot)| slot));
        // The last slots of all runs, of which the magazine holds the newest.
        free(scene, cache, slots.iter().enumerate().filter(is_last).map(|(_, &slot)| slot));
    });
    assert!((18..=33).contains(&worst), "{worst} runs");
}

#[test]
fn of_a_cache_is_next_to_nothing_where_objects_are_freed_in_order() {
    let left = left_by(|scene, cache| {
        let slots = alloc_runs(scene, cache, 100);
        free(scene, cache, slots.into_iter());
    });
    assert!(left <= 4, "{left} runs");
}

#[test]
fn of_a_cache_never_exceeds_the_bound_whatever_is_freed_in_which_order() {
    let mut rng = fastrand::Rng::with_seed(14);
    for _ in 0..20 {
        let seed = rng.u64(..);
        let left = left_by(|scene, cache| {
            let mut rng = fastrand::Rng::with_seed(seed);
            for _ in 0..3 {
                let mut slots = alloc_runs(scene, cache, 60);
                rng.shuffle(&mut slots);
                free(scene, cache, slots.into_iter());
            }
        });
        assert!(left <= 33, "{left} runs, seed {seed}");
    }
}
