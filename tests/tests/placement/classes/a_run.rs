use slabfit::{GRANULE, Kind, State};
use slabfit_tests::scene::Scene;

use super::{KIB, RUNS};

#[test]
fn holds_as_many_slots_as_fit() {
    for (slot_size, run) in RUNS {
        let mut scene = Scene::with_classes(256 * KIB);
        let first = scene.alloc(slot_size);
        assert_eq!(first, scene.base());
        let slots: Vec<_> = scene.blocks().into_iter().filter(|block| block.kind == Kind::Slot).collect();
        assert_eq!(slots.len(), run / slot_size);
        assert!((16..=64).contains(&slots.len()));
        for (nth, slot) in slots.iter().enumerate() {
            assert_eq!((slot.address, slot.size), (first + nth * slot_size, slot_size));
            assert_eq!(slot.state == State::Used, nth == 0);
        }
        // What is behind the last slot is nobody's, and the run is one live block.
        let gap = scene.free_blocks().pop().expect("the rest is free");
        assert_eq!((gap.kind, gap.address, gap.size), (Kind::Block, first + run, 256 * KIB - run));
        let blocks = scene.stats().blocks;
        assert_eq!((blocks.live_objects, blocks.live_bytes, blocks.allocs), (1, run, 1));
    }
}

#[test]
fn lies_at_a_multiple_of_its_length() {
    let mut scene = Scene::with_classes(512 * KIB);
    for (slot_size, run) in RUNS {
        let first = scene.alloc(slot_size);
        assert_eq!(first % run, 0);
        scene.alloc_block(544);
    }
}

#[test]
fn leaves_a_free_block_before_it() {
    let mut scene = Scene::with_classes(32 * KIB);
    scene.alloc_block(992);
    assert_eq!(scene.alloc(16), scene.base() + KIB);
    assert_eq!(scene.free_blocks()[0].size, 32);
    assert_eq!(scene.free_blocks()[0].address, scene.base() + 992);
}

#[test]
fn leaves_no_free_block_of_one_granule_before_it() {
    let mut scene = Scene::with_classes(32 * KIB);
    scene.alloc_block(1008);
    assert_eq!(scene.alloc(16), scene.base() + 2 * KIB);
    assert_eq!(scene.free_blocks()[0].size, KIB + GRANULE);
}

#[test]
fn lies_in_the_first_gap_that_holds_it() {
    let mut scene = Scene::with_classes(32 * KIB);
    let blocks = [1024, 2048, 1024, 1024, 2048].map(|bytes| scene.alloc_block(bytes));
    for nth in [1, 3] {
        scene.free_all(&[blocks[nth]]);
    }
    assert_eq!(scene.alloc(16), scene.base() + KIB);
    assert_eq!(scene.alloc(32), scene.base() + 2 * KIB);
    assert_eq!(scene.alloc(48), scene.base() + 4 * KIB);
    assert_eq!(scene.alloc(64), scene.base() + 7 * KIB);
}

#[test]
fn keeps_a_remainder_of_one_granule_behind_it_and_gives_it_back() {
    let mut scene = Scene::with_classes(32 * KIB);
    let first = scene.alloc_block(KIB + GRANULE);
    let second = scene.alloc_block(KIB);
    scene.free_all(&[first]);
    let slot = scene.alloc(16);
    assert_eq!(slot, scene.base());
    assert_eq!(scene.stats().blocks.live_bytes, 2 * KIB + GRANULE);
    assert_eq!(scene.class(16).slots, 64);
    scene.free_all(&[slot]);
    scene.empty_magazines();
    assert_eq!(scene.stats().blocks.live_bytes, KIB);
    scene.free_all(&[second]);
    assert_eq!(scene.stats().blocks.free_blocks, 1);
}

/// So many gaps of 1 KiB that lie half a KiB beside a multiple of it, then one that does not, and the rest of the segment.
fn behind_crooked_gaps(gaps: usize) -> (Scene, usize) {
    let mut scene = Scene::with_classes(96 * KIB);
    let mut freed = Vec::new();
    scene.alloc_block(512);
    for _ in 0..gaps {
        freed.push(scene.alloc_block(KIB));
        scene.alloc_block(KIB);
    }
    scene.alloc_block(512);
    let straight = scene.alloc_block(KIB);
    scene.alloc_block(512);
    scene.free_all(&freed);
    scene.free_all(&[straight]);
    (scene, straight - GRANULE)
}

#[test]
fn is_looked_for_in_sixteen_gaps_and_then_where_it_always_fits() {
    for gaps in [0, 1, 15, 16, 17, 30] {
        let (mut scene, straight) = behind_crooked_gaps(gaps);
        let expected = if gaps < 16 { straight } else { straight + 2 * KIB };
        assert_eq!(scene.alloc(16), expected, "{gaps} gaps");
    }
}

#[test]
fn is_not_opened_where_the_seventeenth_gap_alone_would_hold_it() {
    for (gaps, served) in [(15, true), (16, false)] {
        let (mut scene, straight) = behind_crooked_gaps(gaps);
        let rest = scene.free_blocks().pop().expect("the rest is free");
        scene.alloc_block(rest.size);
        let address = scene.alloc(16);
        assert_eq!(scene.is_slot(address), served, "{gaps} gaps");
        assert_eq!(address == straight, served, "{gaps} gaps");
        assert_eq!(scene.stats().spilled, u64::from(!served));
    }
}

#[test]
fn that_lies_lowest_is_used_first() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slots: [usize; 192] = scene.alloc_many(16);
    scene.free_all(&[slots[150], slots[100], slots[70], slots[3], slots[130], slots[20]]);
    scene.empty_magazines();
    assert_eq!(scene.alloc_many(16), [3, 20, 70, 100, 130, 150].map(|nth| slots[nth]));
}

#[test]
fn without_a_live_slot_stays_until_a_slot_of_it_is_given_back() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slot = scene.alloc(16);
    scene.free_all(&[slot]);
    assert_eq!((scene.class(16).runs, scene.stats().blocks.live_objects), (1, 1));
    assert_eq!(scene.alloc(16), slot);
    scene.free_all(&[slot]);
    scene.empty_magazines();
    assert_eq!((scene.class(16).runs, scene.stats().blocks.frees), (0, 1));
    assert_eq!(scene.free_blocks().len(), 1);
    assert_eq!(scene.blocks().len(), 1);
}

#[test]
fn without_a_live_slot_is_given_back_whole_when_the_magazine_is_full() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slots: [usize; 128] = scene.alloc_many(16);
    let (first, second) = slots.split_at(64);
    scene.free_all(second);
    assert_eq!(scene.class(16).runs, 2, "the magazine holds 32 of the 64");
    scene.free_all(&first[..1]);
    assert_eq!(scene.class(16).runs, 1, "a slot of it was given back");
    // The others have left the magazine with it.
    assert_eq!(scene.alloc(16), first[0]);
    assert_eq!(scene.alloc(16), second[0], "a new run, at the same place");
    assert_eq!(scene.stats().blocks.allocs, 3);
}

#[test]
fn stays_while_the_slot_that_is_being_freed_is_its_last_live_one() {
    let mut scene = Scene::with_classes(32 * KIB);
    let slots: [usize; 49] = scene.alloc_many(16);
    scene.free_all(&slots[..48]);
    // The magazine is full: its older half is given back first.
    scene.free_all(&slots[48..]);
    assert_eq!((scene.class(16).runs, scene.class(16).live_objects), (1, 0));
    assert_eq!(scene.alloc(16), slots[48]);
}

#[test]
fn that_was_given_back_is_joined_with_the_free_blocks_beside_it() {
    let mut scene = Scene::with_classes(32 * KIB);
    let blocks = [KIB, KIB, KIB, KIB].map(|bytes| scene.alloc_block(bytes));
    scene.free_all(&[blocks[1]]);
    let slot = scene.alloc(16);
    scene.free_all(&[blocks[0], blocks[2], slot]);
    assert_eq!(scene.free_blocks().iter().filter(|block| block.kind == Kind::Block).count(), 3);
    scene.empty_magazines();
    assert_eq!(scene.free_blocks()[0].size, 3 * KIB);
}
