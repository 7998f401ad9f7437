//! The checker is tested by breaking one thing at a time: each break is reported, by name, and once it is undone the
//! heap is whole again.

mod headers;
mod rover;
mod trees;

use std::boxed::Box;
use std::vec::Vec;

use super::fill;
use crate::bit_tree::BitTree;
use crate::blocks::Blocks;
use crate::boundaries::Boundaries;
use crate::error::Violation;
use crate::layout::{Config, Segment};
use crate::memory::RegionArray;
use crate::policy::{FirstFit, NextFit, Policy};
use crate::region::Region;
use crate::segments::Heap;
use crate::slab::Slab;
use crate::spin::SpinLock;
use crate::units::{BITS, GRANULE, Granules, Offset};
use crate::walk::State;

/// Bytes of a slot.
const SLOT: usize = 4 * GRANULE;

/// Bytes of a heap with two levels of maxima at least.
const BUSY: usize = 8_700 * GRANULE;

/// Fills a heap and frees every third object, so that there are gaps of several sizes, the rover's among them, and slots live,
/// returned and never used.
fn make_busy<P: Policy>(heap: &Heap<'_, SpinLock, P>) {
    let slots: Vec<_> = (0..200).map(|_| heap.alloc(SLOT).unwrap().as_ptr()).collect();
    let blocks: Vec<_> = (0..90).map(|n| heap.alloc(GRANULE + n * 7 % 300).unwrap().as_ptr()).collect();
    for (index, &object) in slots.iter().chain(&blocks).enumerate() {
        if index % 3 == 0 {
            // SAFETY: nobody uses the object.
            unsafe { heap.free(object) }.unwrap();
        }
    }
    heap.check().unwrap();
}

fn with_busy_heap<P: Policy>(test: impl FnOnce(&Heap<'_, SpinLock, P>)) {
    let mut array = Box::new(RegionArray::<BUSY>::new());
    // A break may lead the checker to bytes that nothing was written to.
    fill(&mut array, 0);
    let heap = Heap::from_memory(array.as_mut(), Config::new(SLOT)).unwrap();
    make_busy(&heap);
    test(&heap);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Overwritten,
    Boundary,
    Summary,
    Maximum,
    Rover,
    Count,
    HighWater,
    Returned,
    Run,
    Magazine,
}

fn kind(violation: Violation) -> Kind {
    match violation {
        Violation::Overwritten { .. } => Kind::Overwritten,
        Violation::Boundary { .. } => Kind::Boundary,
        Violation::Summary => Kind::Summary,
        Violation::Maximum => Kind::Maximum,
        Violation::Rover { .. } => Kind::Rover,
        Violation::Count => Kind::Count,
        Violation::HighWater => Kind::HighWater,
        Violation::Returned => Kind::Returned,
        Violation::Run { .. } => Kind::Run,
        Violation::Magazine { .. } => Kind::Magazine,
        // Of a hardened heap: see the tests of the ward.
        Violation::Damaged(_) | Violation::Ward { .. } | Violation::Reentered => unreachable!(),
    }
}

fn found<P: Policy>(heap: &Heap<'_, SpinLock, P>) -> Option<Kind> {
    heap.check().err().map(kind)
}

/// Turns something over in the blocks, which must be reported, and back.
fn blocks_report_turning<P: Policy>(
    heap: &Heap<'_, SpinLock, P>,
    what: &str,
    expected: Kind,
    turn: impl Fn(&mut Blocks<'_, P>),
) {
    turn(&mut heap.lock_blocks().unwrap());
    assert_eq!(found(heap), Some(expected), "{what}");
    turn(&mut heap.lock_blocks().unwrap());
}

/// Breaks a field of the blocks, which must be reported, and puts it right.
fn blocks_report<P: Policy>(
    heap: &Heap<'_, SpinLock, P>,
    what: &str,
    expected: Kind,
    break_it: impl Fn(&mut Blocks<'_, P>),
) {
    let mut blocks = heap.lock_blocks().unwrap();
    let before = (blocks.rover, blocks.gaps, blocks.high_water, blocks.counters);
    break_it(&mut blocks);
    drop(blocks);
    assert_eq!(found(heap), Some(expected), "{what}");
    let mut blocks = heap.lock_blocks().unwrap();
    (blocks.rover, blocks.gaps, blocks.high_water, blocks.counters) = before;
    drop(blocks);
    assert_eq!(heap.check(), Ok(()), "{what}, put right");
}

/// Breaks a field of the slab, which must be reported, and puts it right.
fn slab_reports<P: Policy>(
    heap: &Heap<'_, SpinLock, P>,
    what: &str,
    expected: Kind,
    break_it: impl Fn(&mut Slab<'_, P>),
) {
    let mut slab = heap.lock_slab().unwrap();
    let before = (slab.lowest, slab.used, slab.slots, slab.idle);
    let returned: Vec<u32> = (0..slab.slots).filter(|&slot| slab.returned.contains(slot)).collect();
    break_it(&mut slab);
    drop(slab);
    assert_eq!(found(heap), Some(expected), "{what}");
    let mut slab = heap.lock_slab().unwrap();
    (slab.lowest, slab.used, slab.slots, slab.idle) = before;
    let places = 0..slab.returned.places(slab.returned.levels() - 1).end;
    places.for_each(|place| *slab.returned.word_mut(place).unwrap() = 0);
    returned.into_iter().for_each(|slot| slab.returned.set(slot));
    drop(slab);
    assert_eq!(heap.check(), Ok(()), "{what}, put right");
}

fn every_bit_of_the_map_under<P: Policy>() {
    with_busy_heap::<P>(|heap| {
        let limit = heap.lock_blocks().unwrap().map.boundaries.chunks().count() as u32 * BITS;
        for at in (0..limit).map(Offset::new) {
            for is_start in [true, false] {
                blocks_report_turning(heap, "a bit", Kind::Boundary, |blocks| {
                    let boundaries = &mut blocks.map.boundaries;
                    let near = boundaries.place(at).unwrap().near();
                    if is_start {
                        boundaries.flip_start(near)
                    } else {
                        boundaries.flip_end(near)
                    };
                });
            }
        }
        heap.check().unwrap();
    });
}

#[test]
fn every_bit_of_the_map_that_is_flipped_is_reported() {
    every_bit_of_the_map_under::<NextFit>();
    every_bit_of_the_map_under::<FirstFit>();
}

fn what_is_too_small_is_reported_under<P: Policy>() {
    with_busy_heap::<P>(|heap| {
        let base = heap.segment(Segment::Blocks).start;
        let all: Vec<_> = heap.blocks_in(Segment::Blocks).collect();
        let mut turned = [0, 0];
        for pair in all.windows(2).filter(|pair| (pair[0].state, pair[1].state) == (State::Used, State::Free)) {
            let start = Offset::of_byte(pair[0].address - base);
            let (end, gap_end) = (start.plus(Granules::from_bytes_floor(pair[0].size)), pair[1].address + pair[1].size);
            let moved = [start.plus(Granules::HEADER), Offset::of_byte(gap_end - base).minus(Granules::HEADER)];
            for (which, to) in (0..).zip(moved) {
                turned[which] += 1;
                blocks_report_turning(heap, ["a block", "a gap"][which], Kind::Boundary, |blocks| {
                    let (from, to) = blocks.map.ends(end, to).unwrap();
                    blocks.map.boundaries.flip_end(from);
                    blocks.map.boundaries.flip_end(to);
                });
            }
        }
        assert!(turned.iter().all(|&count| count > 10), "{turned:?}");
        heap.check().unwrap();
    });
}

#[test]
fn a_block_or_gap_of_one_granule_is_reported() {
    what_is_too_small_is_reported_under::<NextFit>();
    what_is_too_small_is_reported_under::<FirstFit>();
}

#[test]
fn every_word_of_padding_that_is_not_clear_is_reported() {
    with_busy_heap::<NextFit>(|heap| {
        let chunks = heap.lock_blocks().unwrap().map.boundaries.chunks().count();
        let padding = (0..Boundaries::words(chunks as u32))
            .filter(|index| index % (chunks + Boundaries::PADDING) < Boundaries::PADDING);
        for index in padding {
            blocks_report_turning(heap, "padding", Kind::Boundary, |blocks| {
                *blocks.map.boundaries.word_mut(index).unwrap() ^= 1 << (index % BITS as usize);
            });
        }
        heap.check().unwrap();
    });
}

fn every_count_under<P: Policy>() {
    with_busy_heap::<P>(|heap| {
        let one = Granules::HEADER;
        blocks_report(heap, "a gap more", Kind::Count, |b| b.gaps += 1);
        blocks_report(heap, "a gap fewer", Kind::Count, |b| b.gaps -= 1);
        blocks_report(heap, "an object more", Kind::Count, |b| b.counters.allocated(Granules::ZERO));
        blocks_report(heap, "an object fewer", Kind::Count, |b| b.counters.freed(Granules::ZERO));
        blocks_report(heap, "a live granule more", Kind::Count, |b| b.counters.grown(one));
        blocks_report(heap, "a live granule fewer", Kind::Count, |b| b.counters.shrunk(one));
        let (objects, live) = {
            let counters = heap.lock_blocks().unwrap().counters;
            (counters.objects(), counters.live().count())
        };
        blocks_report(heap, "too low a peak", Kind::Count, |b| b.counters.set_peaks(objects, live - 1));
        blocks_report(heap, "too low a peak of objects", Kind::Count, |b| b.counters.set_peaks(objects - 1, live));
        blocks_report(heap, "no high water", Kind::HighWater, |b| b.high_water = Offset::ZERO);
        let last_end = heap.blocks_in(Segment::Blocks).filter(|block| block.state == State::Used).last().unwrap();
        let last_end = last_end.address + last_end.size - heap.segment(Segment::Blocks).start;
        blocks_report(heap, "too low a high water", Kind::HighWater, |b| {
            b.high_water = Offset::of_byte(last_end).minus(one);
        });
        let slab = heap.lock_slab().unwrap();
        assert!(slab.used < slab.slots);
        drop(slab);
        slab_reports(heap, "an idle slot more", Kind::Count, |s| s.idle += 1);
        slab_reports(heap, "an idle slot fewer", Kind::Count, |s| s.idle -= 1);
        slab_reports(heap, "more used than there are", Kind::Returned, |s| s.used = s.slots + 1);
        slab_reports(heap, "fewer slots than used", Kind::Returned, |s| s.slots = s.used - 1);
    });
}

#[test]
fn every_count_that_is_changed_is_reported() {
    every_count_under::<NextFit>();
    every_count_under::<FirstFit>();
}

/// Slots 0, 3, 6 up to 198 are returned of 200 used ones; slot 0 is the lowest.
fn every_wrong_bit_of_the_slab_under<P: Policy>() {
    with_busy_heap::<P>(|heap| {
        let reports =
            |what: &str, expected, break_it: fn(&mut Slab<'_, P>)| slab_reports(heap, what, expected, break_it);
        reports("a live slot in the tree", Kind::Count, |s| s.returned.set(67));
        reports("a returned slot not in the tree", Kind::Count, |s| s.returned.clear(66));
        reports("a slot never used in the tree", Kind::Returned, |s| s.returned.set(s.used));
        reports("the last slot in the tree", Kind::Returned, |s| s.returned.set(s.slots - 1));
        reports("the lowest in the tree", Kind::Returned, |s| s.returned.set(0));
        reports("the lowest after others", Kind::Returned, |s| s.lowest = 7);
        reports("a live lowest", Kind::Overwritten, |s| s.lowest = 1);
        reports("a returned lowest", Kind::Returned, |s| s.lowest = 3);
        reports("none returned but those in the tree", Kind::Returned, |s| s.lowest = s.used);
        reports("a lowest never used", Kind::Returned, |s| s.lowest = s.used + 1);
        reports("a lowest that is none", Kind::Returned, |s| s.lowest = u32::MAX);
        reports("an empty tree", Kind::Count, |s| (0..s.slots).for_each(|slot| s.returned.clear(slot)));
        reports("a lowest never used and an empty tree", Kind::Count, |s| {
            s.lowest = s.used;
            (0..s.slots).for_each(|slot| s.returned.clear(slot));
        });
        let levels = heap.lock_slab().unwrap().returned.levels();
        assert!(levels > 1);
        for place in (1..levels).flat_map(|level| heap.lock_slab().unwrap().returned.places(level)) {
            for bit in 0..BITS {
                let what = std::format!("summary bit {bit} of word {place}");
                slab_reports(heap, &what, Kind::Summary, |s| *s.returned.word_mut(place).unwrap() ^= 1 << bit);
            }
        }
    });
}

#[test]
fn every_wrong_bit_of_the_slab_is_reported() {
    every_wrong_bit_of_the_slab_under::<NextFit>();
    every_wrong_bit_of_the_slab_under::<FirstFit>();
}

#[test]
fn a_bit_for_no_slot_is_reported() {
    with_busy_heap::<NextFit>(|heap| {
        let slab = heap.lock_slab().unwrap();
        let (slots, words) = (slab.slots, slab.returned.places(0).len() as u32 - 1);
        assert!(slots < words * BITS, "the last word is full");
        drop(slab);
        for bit in slots..words * BITS {
            slab_reports(heap, &std::format!("slot {bit} of {slots}"), Kind::Returned, |s| s.returned.set(bit));
        }
    });
}

#[test]
fn a_slot_never_used_has_no_header_whatever_the_tree_says() {
    with_busy_heap::<NextFit>(|heap| {
        let mut slab = heap.lock_slab().unwrap();
        let used = slab.used;
        slab.returned.set(used);
        drop(slab);
        assert_eq!((heap.overwritten().next(), heap.repair()), (None, Ok(0)));
    });
}

#[test]
fn a_heap_without_memory_is_whole() {
    assert_eq!(Heap::<SpinLock, NextFit>::empty().check(), Ok(()));
    assert_eq!(Heap::<SpinLock, FirstFit>::empty().check(), Ok(()));
    assert_eq!(Heap::<SpinLock>::empty().repair(), Ok(0));
    assert!(Region::EMPTY.granules() == Granules::ZERO && BitTree::EMPTY.is_whole());
}
