use slabfit::GRANULE;
use slabfit_tests::model::By::{self, Heap as TheHeap};
use slabfit_tests::scene::Scene;

use super::{KIB, caches_of, kib, one, two};

#[test]
fn gives_back_all_runs_without_a_live_slot() {
    let (mut scene, first, second) = two();
    let slots: [usize; 100] = scene.alloc_many_by(first, 64);
    let others: [usize; 5] = scene.alloc_many_by(first, 128);
    scene.free_all_by(first, &slots[..50]);
    scene.free_all_by(second, &slots[50..]);
    scene.free_all(&others);
    scene.detach(first);
    assert_eq!(scene.blocks().len(), 1);
    assert_eq!(caches_of(&scene), (1, 2));
}

#[test]
fn keeps_runs_with_a_live_slot_for_the_next() {
    let (mut scene, first) = one();
    let slots: [usize; 40] = scene.alloc_many_by(first, 64);
    scene.free_all_by(first, &slots[..17]);
    scene.free_all_by(first, &slots[18..]);
    scene.detach(first);
    assert_eq!(scene.class(64).runs, 1);
    // The heap does not serve from it.
    let own = scene.alloc(64);
    assert_ne!(kib(&scene, own), kib(&scene, slots[17]));
    let next = scene.attach();
    assert_eq!(scene.alloc_many_by(next, 64), [slots[16], slots[18]]);
}

#[test]
fn lets_a_run_go_as_soon_as_its_last_object_is_freed() {
    for by in [0, 1] {
        let (mut scene, first, second) = two();
        let slots: [usize; 3] = scene.alloc_many_by(first, 64);
        scene.detach(first);
        let by = [second, TheHeap][by];
        scene.free_all_by(by, &slots[..2]);
        assert_eq!(scene.class(64).runs, 1);
        scene.free_all_by(by, &slots[2..]);
        assert_eq!(scene.class(64).runs, 0);
        assert_eq!(scene.blocks().len(), 1);
    }
}

#[test]
fn leaves_nothing_behind_when_a_thousand_have_lived() {
    let mut scene = Scene::with_caches(256 * KIB, 3);
    let mut kept = scene.alloc(200);
    for nth in 0..1_000 {
        let cache = By::Cache(scene.pair.attach().unwrap().unwrap());
        assert_eq!(cache, By::Cache(0));
        let objects: Vec<usize> =
            (0..20).map(|size| scene.pair.alloc_by(cache, size * 24, GRANULE).unwrap().unwrap()).collect();
        for (place, &object) in objects.iter().enumerate() {
            let by = if (place + nth) % 3 == 0 { TheHeap } else { cache };
            scene.pair.free_by(by, object).unwrap().unwrap();
        }
        // One object outlives the cache that served it.
        let next = scene.pair.alloc_by(cache, 200, GRANULE).unwrap().unwrap();
        scene.pair.detach(0);
        scene.pair.free(kept).unwrap().unwrap();
        kept = next;
    }
    scene.compare();
    assert_eq!(caches_of(&scene), (0, 1));
    scene.free_all(&[kept]);
    scene.empty_magazines();
    assert_eq!(scene.blocks().len(), 1);
}
