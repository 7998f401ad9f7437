//! A broken rover.

use std::boxed::Box;

use super::super::fill;
use super::{Kind, blocks_report, with_busy_heap};
use crate::blocks::Blocks;
use crate::layout::Config;
use crate::memory::RegionArray;
use crate::policy::{FirstFit, NextFit};
use crate::segments::Heap;
use crate::spin::SpinLock;
use crate::units::{GRANULE, Granules, Offset};

#[test]
fn every_field_of_the_rover_that_is_changed_is_reported() {
    with_busy_heap::<NextFit>(|heap| {
        let one = Granules::HEADER;
        // The gap that the rover does not hold then is in no maximum, and shows there first.
        blocks_report(heap, "further", Kind::Maximum, |b| b.rover.at = b.rover.at.plus(one));
        blocks_report(heap, "nearer", Kind::Maximum, |b| b.rover.at = b.rover.at.minus(one));
        blocks_report(heap, "at the start", Kind::Maximum, |b| b.rover.at = Offset::ZERO);
        blocks_report(heap, "at no granule", Kind::Maximum, |b| b.rover.at = Offset::NIL);
        blocks_report(heap, "no gap", Kind::Maximum, |b| b.rover.gap = Granules::ZERO);
        blocks_report(heap, "a smaller gap", Kind::Rover, |b| b.rover.gap = b.rover.gap.minus(one));
        blocks_report(heap, "a larger gap", Kind::Rover, |b| b.rover.gap = b.rover.gap.plus(one));
        blocks_report(heap, "no previous", Kind::Rover, |b| b.rover.previous = Offset::NIL);
        blocks_report(heap, "another previous", Kind::Rover, |b| b.rover.previous = b.rover.previous.minus(one));
        blocks_report(heap, "another next", Kind::Rover, |b| b.rover.next = Offset::ZERO);
    });
}

/// Its gap is smaller than another one of its chunk, so that no maximum tells.
fn with_a_rover_that_no_maximum_tells_of(test: impl Fn(&Heap<'_, SpinLock>)) {
    let mut array = Box::new(RegionArray::<4096>::new());
    fill(&mut array, 0);
    let heap: Heap<'_> = Heap::new(array.as_mut(), Config::new(1)).unwrap();
    let [small, _, large, _] = [3, 1, 7, 1].map(|granules| heap.alloc(granules * GRANULE).unwrap().as_ptr());
    let rest = heap.stats().unwrap().blocks.largest_free - GRANULE;
    heap.alloc(rest).unwrap();
    for object in [small, large] {
        // SAFETY: nobody uses the object.
        unsafe { heap.free(object) }.unwrap();
    }
    assert_eq!(heap.alloc(GRANULE).unwrap().as_ptr(), small);
    heap.check().unwrap();
    test(&heap);
}

#[test]
fn a_rover_inside_of_its_gap_is_reported_though_every_maximum_is_right() {
    with_a_rover_that_no_maximum_tells_of(|heap| {
        let one = Granules::HEADER;
        blocks_report(heap, "inside of its gap", Kind::Rover, |b| b.rover.at = b.rover.at.plus(one));
        blocks_report(heap, "inside of a block", Kind::Rover, |b| b.rover.at = b.rover.at.minus(one));
        blocks_report(heap, "no gap", Kind::Rover, |b| b.rover.gap = Granules::ZERO);
        let shrunk = |b: &mut Blocks<'_, NextFit>| {
            (b.rover.at, b.rover.gap) = (b.rover.at.plus(one), b.rover.gap.minus(one));
        };
        blocks_report(heap, "the end of its gap", Kind::Rover, shrunk);
        blocks_report(heap, "the end of its gap, after another gap", Kind::Rover, |b| {
            b.rover.previous = b.rover.at;
            shrunk(b);
        });
    });
}

#[test]
fn a_rover_at_no_gap_that_stands_neither_at_a_start_nor_at_the_end_is_reported() {
    with_busy_heap::<NextFit>(|heap| {
        let rest = heap.lock_blocks().unwrap().rover.gap.payload();
        heap.alloc(rest).unwrap();
        let blocks = heap.lock_blocks().unwrap();
        assert_eq!((blocks.rover.gap, blocks.rover.at), (Granules::ZERO, blocks.map.end()));
        drop(blocks);
        heap.check().unwrap();
        blocks_report(heap, "inside of a block", Kind::Rover, |b| b.rover.at = b.rover.at.minus(Granules::HEADER));
        blocks_report(heap, "beyond the end", Kind::Rover, |b| b.rover.at = b.rover.at.plus(Granules::HEADER));
        blocks_report(heap, "at no granule", Kind::Rover, |b| b.rover.at = Offset::NIL);
    });
}

#[test]
fn a_gap_that_a_rover_holds_under_a_policy_that_does_not_rove_is_reported() {
    with_busy_heap::<FirstFit>(|heap| {
        blocks_report(heap, "a gap", Kind::Rover, |b| b.rover.gap = Granules::HEADER);
    });
}
