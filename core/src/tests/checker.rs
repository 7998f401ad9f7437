//! The checker is tested by breaking one thing at a time: each break is reported, by name, and once it is undone the
//! heap is whole again.

use std::boxed::Box;
use std::vec::Vec;

use crate::bit_tree::BitTree;
use crate::check::Violation;
use crate::heap::Heap;
use crate::next_fit::NextFit;
use crate::region::RegionArray;
use crate::size::{Granules, Offset};
use crate::slab::{Front, NONE, Slab};
use crate::spin::SpinLock;
use crate::split::Config;

type Region = RegionArray<140_000>;

/// A heap with gaps of several sizes, the rover's among them, and slots live, returned and never used.
fn busy_heap(region: &mut Region) -> Heap<'_, SpinLock> {
    let heap: Heap<'_, SpinLock> = Heap::new(region.as_mut(), Config::new(64)).unwrap();
    let slots: Vec<_> = (0..200).map(|_| heap.alloc(64).unwrap().as_ptr()).collect();
    let blocks: Vec<_> = (0..90).map(|n| heap.alloc(16 + n * 7 % 300).unwrap().as_ptr()).collect();
    for (index, &object) in slots.iter().chain(&blocks).enumerate() {
        if index % 3 == 0 {
            // SAFETY: nobody uses the object.
            unsafe { heap.free(object) }.unwrap();
        }
    }
    heap.check().unwrap();
    heap
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Boundary,
    Summary,
    Maximum,
    Rover,
    Count,
    HighWater,
    Returned,
}

fn kind(violation: Violation) -> Option<Kind> {
    Some(match violation {
        Violation::Boundary { .. } => Kind::Boundary,
        Violation::Summary => Kind::Summary,
        Violation::Maximum => Kind::Maximum,
        Violation::Rover { .. } => Kind::Rover,
        Violation::Count => Kind::Count,
        Violation::HighWater => Kind::HighWater,
        Violation::Returned => Kind::Returned,
        _ => return None,
    })
}

fn next_fit_reports(what: &str, expected: &[Kind], break_it: impl FnOnce(&mut NextFit<'_>)) {
    let mut region = Box::new(Region::new());
    let heap = busy_heap(&mut region);
    heap.with_next_fit(break_it).unwrap();
    let found = heap.check().err().and_then(kind);
    assert!(found.is_some_and(|found| expected.contains(&found)), "{what}: {found:?}, not one of {expected:?}");
}

fn slab_reports(what: &str, expected: &[Kind], break_it: impl FnOnce(&mut Slab<'_>)) {
    let mut region = Box::new(Region::new());
    let heap = busy_heap(&mut region);
    heap.with_slab(break_it).unwrap();
    let found = heap.check().err().and_then(kind);
    assert!(found.is_some_and(|found| expected.contains(&found)), "{what}: {found:?}, not one of {expected:?}");
}

#[test]
fn every_bit_of_the_map_that_is_flipped_is_reported() {
    let mut region = Box::new(Region::new());
    let heap = busy_heap(&mut region);
    let chunks = heap.with_next_fit(|next_fit| next_fit.map.chunks.len()).unwrap();
    for chunk in 0..chunks {
        for bit in 0..64u32 {
            for word in 0..2 {
                let flip = |next_fit: &mut NextFit<'_>| next_fit.map.chunks[chunk][word] ^= 1 << bit;
                heap.with_next_fit(flip).unwrap();
                assert!(heap.check().is_err(), "bit {bit} of word {word} of chunk {chunk}");
                heap.with_next_fit(flip).unwrap();
            }
        }
    }
    heap.check().unwrap();
}

#[test]
fn every_summary_bit_that_is_flipped_is_reported() {
    for level in 0..2 {
        for bit in 0..64u32 {
            next_fit_reports("boundaries", &[Kind::Summary], |n| {
                n.map.boundaries.levels[level][0] ^= 1 << bit;
            });
            next_fit_reports("gaps", &[Kind::Summary], |n| {
                n.map.gaps.levels[level][0] ^= 1 << bit;
            });
        }
    }
}

#[test]
fn every_maximum_that_is_changed_is_reported() {
    for level in 0..2 {
        for number in 0..16 {
            for change in [1, u32::MAX] {
                next_fit_reports("a maximum", &[Kind::Maximum], |next_fit| {
                    let number = &mut next_fit.map.maxima.levels[level][0][number];
                    *number = number.wrapping_add(change);
                });
            }
        }
    }
}

#[test]
fn every_field_of_the_rover_that_is_changed_is_reported() {
    next_fit_reports("at", &[Kind::Rover, Kind::Maximum], |n| n.rover.at = n.rover.at.plus(Granules::HEADER));
    next_fit_reports("gap", &[Kind::Rover], |n| n.rover.gap = n.rover.gap.minus(Granules::HEADER));
    next_fit_reports("no gap", &[Kind::Rover], |n| n.rover.gap = Granules::NONE);
    next_fit_reports("previous", &[Kind::Rover], |n| n.rover.previous = Offset::NONE);
    next_fit_reports("next", &[Kind::Rover], |n| n.rover.next = Offset::ZERO);
}

/// Its gap is smaller than another one of its chunk, so that no maximum tells.
#[test]
fn a_rover_inside_of_its_gap_is_reported_though_every_maximum_is_right() {
    let mut region = RegionArray::<4096>::new();
    let heap: Heap<'_, SpinLock> = Heap::new(&mut region, Config::new(1)).unwrap();
    let [small, _, large, _] = [48, 16, 100, 16].map(|size| heap.alloc(size).unwrap().as_ptr());
    let rest = heap.stats().unwrap().next_fit.largest_free - 16;
    heap.alloc(rest).unwrap();
    for object in [small, large] {
        // SAFETY: nobody uses the object.
        unsafe { heap.free(object) }.unwrap();
    }
    assert_eq!(heap.alloc(16).unwrap().as_ptr(), small);
    heap.check().unwrap();
    heap.with_next_fit(|n| n.rover.at = n.rover.at.plus(Granules::HEADER)).unwrap();
    assert_eq!(heap.check().err().and_then(kind), Some(Kind::Rover));
}

#[test]
fn every_count_that_is_changed_is_reported() {
    next_fit_reports("free blocks", &[Kind::Count], |n| n.gaps += 1);
    next_fit_reports("objects", &[Kind::Count], |n| n.counters.objects += 1);
    next_fit_reports("live", &[Kind::Count], |n| n.extent.live -= 1);
    next_fit_reports("peak", &[Kind::Count], |n| n.extent.peak = 0);
    next_fit_reports("peak of objects", &[Kind::Count], |n| n.extent.peak_objects = 0);
    next_fit_reports("high-water mark", &[Kind::HighWater], |n| n.high_water = Offset::ZERO);
    slab_reports("objects", &[Kind::Count], |s| s.counters.objects += 1);
    slab_reports("used", &[Kind::Count], |s| s.used += 1);
    slab_reports("more used than there are", &[Kind::Count], |s| s.used = s.slots + 1);
}

#[test]
fn every_wrong_bit_of_the_slab_is_reported() {
    slab_reports("a live slot in the tree", &[Kind::Count], |s| s.returned.assign(67, true));
    slab_reports("a returned slot not in the tree", &[Kind::Count], |s| s.returned.assign(66, false));
    slab_reports("a slot never used in the tree", &[Kind::Returned], |s| s.returned.assign(s.used as usize, true));
    slab_reports("a live slot in front", &[Kind::Count], |s| s.front.bits |= 2);
    slab_reports("a returned slot not in front", &[Kind::Count], |s| s.front.bits ^= 8);
    slab_reports("the front in the tree", &[Kind::Returned], |s| s.returned.assign(3, true));
    slab_reports("the front behind others", &[Kind::Returned], |s| s.front.word = 2);
    slab_reports("the front never used", &[Kind::Returned], |s| {
        (s.front.word, s.returned) = (100, BitTree::empty());
    });
    slab_reports("the front at the first slot never used", &[Kind::Returned], |s| {
        (s.front, s.returned) = (Front { word: s.used / 64, bits: 1 << (s.used % 64) }, BitTree::empty());
    });
    slab_reports("no front", &[Kind::Returned], |s| s.front = Front { word: NONE, bits: 0 });
    slab_reports("a front of no word", &[Kind::Returned], |s| s.front.word = NONE);
    slab_reports("a front of no bits", &[Kind::Returned], |s| s.front.bits = 0);
    slab_reports("a summary bit too many", &[Kind::Summary], |s| s.returned.levels[1][0] ^= 2);
    slab_reports("a summary bit too few", &[Kind::Summary], |s| s.returned.levels[1][0] = 0);
}

#[test]
fn a_slot_never_used_has_no_header_whatever_the_tree_says() {
    let mut region = Box::new(Region::new());
    let heap = busy_heap(&mut region);
    heap.with_slab(|s| s.returned.assign(s.used as usize, true)).unwrap();
    assert_eq!((heap.overwritten().next(), heap.repair()), (None, Ok(0)));
}

#[test]
fn every_byte_of_every_header_that_counts_is_reported_and_repaired() {
    let mut region = Box::new(Region::new());
    let heap = busy_heap(&mut region);
    let headers: Vec<usize> = {
        let returned = |block: &crate::Block| {
            let at = block.address - heap.segment(crate::Segment::Slab).start;
            let slot = at / block.size;
            heap.with_slab(|slab| slab.is_returned(slot as u32)).unwrap()
        };
        heap.blocks().filter(|b| b.segment == crate::Segment::Blocks || returned(b)).map(|b| b.address).collect()
    };
    assert!(headers.len() > 60, "only {} headers", headers.len());
    let base = heap.base().unwrap().as_ptr();
    for &header in &headers {
        // `length`, and `magic` or `next`; the rest is padding.
        for byte in (0..4).chain(8..8 + size_of::<usize>()) {
            let place = base.wrapping_add(header - base.addr() + byte);
            // SAFETY: a byte of the heap's region, which nobody else uses now.
            let before = unsafe { place.read() };
            // SAFETY: as above.
            unsafe { place.write(before ^ 0x10) };
            assert_eq!(heap.check(), Err(Violation::Overwritten { address: header }), "byte {byte}");
            assert!(heap.overwritten().eq([header]), "byte {byte}");
            assert_eq!(heap.repair(), Ok(1));
            // SAFETY: as above.
            assert_eq!(unsafe { place.read() }, before, "byte {byte} of {header:#x} after repair");
            heap.check().unwrap();
        }
    }
}
