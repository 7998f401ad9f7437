use slabfit_tests::model::By;
use slabfit_tests::scene::Scene;

use super::{KIB, caches_of, two};

#[test]
fn is_given_back_as_if_it_had_been_dropped() {
    let mut scene = Scene::with_caches(64 * KIB, 3);
    let [first, second, third] = [(); 3].map(|()| scene.attach());
    let slots: [usize; 20] = scene.alloc_many_by(first, 64);
    scene.alloc_by(third, 16);
    let kept = scene.alloc_by(second, 48);
    scene.free_all_by(first, &slots[..10]);
    scene.free_all_by(second, &slots[10..]);
    scene.pair.recover(Some(1)).unwrap();
    scene.compare();
    assert_eq!(caches_of(&scene), (1, 3));
    assert_eq!((scene.class(64).runs, scene.class(16).runs, scene.class(48).runs), (0, 1, 1));
    // The one that is kept goes on, with its lowest slots.
    assert_eq!(scene.alloc_by(second, 48), kept + 48);
    assert_eq!(scene.attach(), By::Cache(0));
}

#[test]
fn leaves_its_live_objects_as_they_are() {
    let (mut scene, first, second) = two();
    let slots: [usize; 5] = scene.alloc_many_by(first, 64);
    scene.pair.recover(None).unwrap();
    scene.compare();
    assert_eq!((caches_of(&scene), scene.class(64).live_objects), ((0, 2), 5));
    scene.free_all(&slots);
    assert_eq!(scene.blocks().len(), 1);
    assert_eq!([scene.attach(), scene.attach()], [first, second]);
}
