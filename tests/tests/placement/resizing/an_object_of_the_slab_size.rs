use slabfit::GRANULE;
use slabfit_tests::model::Placement;
use slabfit_tests::scene::Scene;

#[test]
fn stays_in_its_slot_as_long_as_it_fits() {
    let mut scene = Scene::fresh(24, 20, Placement::NextFit);
    let slot = scene.alloc(20);
    for size in [0, 1, 20, 21, 32] {
        assert_eq!(scene.pair.realloc(slot, size, GRANULE).unwrap(), Ok(slot));
    }
    scene.shows_slots("X O O O");
}

#[test]
fn leaves_its_slot_when_it_grows_out_of_it() {
    let mut scene = Scene::fresh(24, 20, Placement::NextFit);
    let slot = scene.alloc(20);
    scene.pair.realloc(slot, 33, GRANULE).unwrap().unwrap();
    scene.shows_slots("O O O O");
    assert_eq!(scene.live().len(), 1);
}

#[test]
fn is_what_a_block_becomes_that_grows_to_it_and_must_move() {
    let mut scene = Scene::fresh(24, 100, Placement::NextFit);
    let block = scene.alloc(16);
    scene.alloc(16);
    scene.pair.realloc(block, 100, GRANULE).unwrap().unwrap();
    scene.shows_slots("X");
    assert_eq!(scene.live().len(), 1);
}

#[test]
fn is_not_what_a_block_becomes_that_can_stay() {
    let mut scene = Scene::fresh(24, 100, Placement::NextFit);
    let block = scene.alloc(16);
    assert_eq!(scene.pair.realloc(block, 100, GRANULE).unwrap(), Ok(block));
    assert_eq!(scene.pair.realloc(block, 200, GRANULE).unwrap(), Ok(block));
    assert_eq!(scene.pair.realloc(block, 100, GRANULE).unwrap(), Ok(block));
    scene.shows_slots("O");
}
