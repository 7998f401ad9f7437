use slabfit::{GRANULE, MAGIC, Reason, Violation};
use slabfit_tests::header::LINK;
use slabfit_tests::model::Placement;
use slabfit_tests::scene::Scene;

use super::{header, refuses};

#[test]
fn is_noticed_whichever_byte_of_length_or_magic_it_is() {
    for at in (0..4).chain(LINK..LINK + size_of::<usize>()) {
        let mut scene = Scene::drawn("XX XXXX XX|");
        let header = header(&scene, 1);
        let payload = scene.payload(1);
        let byte = match at.checked_sub(LINK) {
            Some(nth) => MAGIC.to_ne_bytes()[nth],
            None => header.length.to_ne_bytes()[at],
        };
        scene.pair.overwrite(header, at, byte ^ 1);
        refuses(&mut scene, payload, Reason::HeaderOverwritten);
        assert!(scene.pair.realloc(payload, 1, GRANULE).unwrap().is_err());
        let stats = scene.pair.heap().stats().unwrap().blocks;
        assert_eq!((stats.refused_frees, stats.corruptions), (2, 2));
        assert_eq!(scene.pair.heap().check(), Err(Violation::Overwritten { address: header.address }));
        assert_eq!(scene.pair.heap().overwritten().collect::<Vec<_>>(), [header.address]);
        scene.pair.repair().unwrap();
        scene.pair.free(payload).unwrap().unwrap();
        scene.shows("XX OOOO XX|");
    }
}

#[test]
fn is_not_one_whose_padding_alone_was_overwritten() {
    for at in (4..GRANULE).filter(|at| !(LINK..LINK + size_of::<usize>()).contains(at)) {
        let mut scene = Scene::drawn("XX XXXX XX|");
        scene.pair.overwrite(header(&scene, 1), at, 0x5C);
        scene.free(1);
        scene.shows("XX OOOO XX|");
    }
}

#[test]
fn does_not_keep_its_neighbours_from_being_freed() {
    let mut scene = Scene::drawn("XX XX XX XX XX|");
    let middle = scene.payload(2);
    scene.pair.overwrite(header(&scene, 2), 0, 0xFF);
    scene.free(3);
    scene.free(1);
    refuses(&mut scene, middle, Reason::HeaderOverwritten);
    scene.pair.repair().unwrap();
    scene.pair.free(middle).unwrap().unwrap();
    scene.shows("XX OOOOOO XX|");
}

#[test]
fn of_a_free_block_changes_no_answer() {
    let mut scene = Scene::drawn("XX OOOO XX OO XX |OOO XX");
    for nth in [1, 3, 5] {
        for at in 0..16 {
            scene.pair.overwrite(header(&scene, nth), at, 0xEE);
        }
    }
    let overwritten: Vec<usize> = scene.pair.heap().overwritten().collect();
    assert_eq!(overwritten, [1, 3, 5].map(|nth| scene.blocks()[nth].address));
    scene.alloc(32);
    scene.free(2);
    scene.alloc(96);
    assert_eq!(scene.pair.heap().repair(), Ok(0), "every header has been written anew by now");
}

#[test]
fn of_a_free_slot_changes_no_answer() {
    let mut scene = Scene::fresh(48, 32, Placement::NextFit);
    let slots: Vec<usize> = (0..6).map(|_| scene.alloc(32)).collect();
    for nth in [1, 3] {
        scene.pair.free(slots[nth]).unwrap().unwrap();
    }
    for header in scene.pair.model().headers().into_iter().take(2) {
        scene.pair.overwrite(header, LINK, 0x77);
    }
    assert_eq!(scene.pair.heap().overwritten().count(), 2);
    scene.compare();
    assert_eq!(scene.alloc(32), slots[1]);
    assert_eq!(scene.alloc(32), slots[3]);
    assert_eq!(scene.pair.heap().check(), Ok(()));
}

#[test]
fn of_every_block_at_once_is_repaired() {
    let mut scene = Scene::drawn("XX OOO XXXX XX |OOOO XXX OO");
    scene.pair.scribble(7);
    assert_eq!(scene.pair.heap().overwritten().count(), 7);
    for nth in [0, 2, 3, 5] {
        let payload = scene.payload(nth);
        refuses(&mut scene, payload, Reason::HeaderOverwritten);
    }
    scene.pair.repair().unwrap();
    scene.compare();
    scene.shows("XX OOO XXXX XX |OOOO XXX OO");
}
