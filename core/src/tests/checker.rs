//! The checker is tested by breaking one thing at a time: each break is reported, by name, and once it is undone the
//! heap is whole again.

use core::mem::offset_of;
use std::boxed::Box;
use std::vec::Vec;

use super::fill;
use crate::bits::{BitTree, Boundaries};
use crate::blocks::Blocks;
use crate::error::Violation;
use crate::header::{AllocatedHeader, FreeHeader};
use crate::layout::{Config, Segment};
use crate::max_tree::{MaxTree, Number};
use crate::maxima::Maxima;
use crate::memory::{Memory, RegionArray};
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

/// Makes a heap without slab whose map has `chunks` chunks, and some blocks in it.
fn with_heap_of_chunks<P: Policy>(chunks: usize, test: impl FnOnce(&Heap<'_, SpinLock, P>)) {
    // A boundary more than granules.
    let size = (chunks * BITS as usize - 1) * GRANULE;
    let mut region = std::vec![0u8; size + GRANULE];
    let mut bookkeeping = std::vec![0u8; crate::bookkeeping_size::<P>(size, Config::without_slab())];
    let skip = region.as_ptr().align_offset(GRANULE);
    let (start, own, length) = (region.as_mut_ptr().wrapping_add(skip), bookkeeping.as_mut_ptr(), bookkeeping.len());
    // SAFETY: both are lent to the heap alone, for as long as it lives.
    let memory = unsafe { Memory::from_raw_parts(start, size, own, length) };
    let heap: Heap<'_, SpinLock, P> = Heap::from_memory(memory, Config::without_slab()).unwrap();
    let granules = chunks * BITS as usize - 1;
    let mut objects = Vec::new();
    // Blocks here and there, with chunks between them in which nothing starts.
    let sizes = [1, 2, 2, 5, granules / 17, 3, 3, granules / 5, 2, 4, granules / 3, 2];
    objects.extend(sizes.iter().map_while(|&granules| heap.alloc(granules * GRANULE).ok()));
    for object in objects.iter().step_by(2) {
        // SAFETY: nobody uses the object.
        unsafe { heap.free(object.as_ptr()) }.unwrap();
    }
    assert_eq!(heap.lock_blocks().unwrap().map.boundaries.chunks().count(), chunks);
    heap.check().unwrap();
    test(&heap);
}

fn every_summary_bit_under<P: Policy>(chunks: usize) {
    with_heap_of_chunks::<P>(chunks, |heap| {
        let levels = heap.lock_blocks().unwrap().map.summary.levels();
        assert_eq!(levels, 2 + u32::from(chunks > BITS.pow(2) as usize));
        for level in 0..levels {
            let places = heap.lock_blocks().unwrap().map.summary.places(level);
            for place in places {
                for bit in 0..BITS {
                    let what = std::format!("bit {bit} of word {place} in level {level}, {chunks} chunks");
                    blocks_report_turning(heap, &what, Kind::Summary, |blocks| {
                        *blocks.map.summary.word_mut(place).unwrap() ^= 1 << bit;
                    });
                }
            }
        }
        heap.check().unwrap();
    });
}

#[test]
fn every_summary_bit_that_is_flipped_is_reported() {
    let word = BITS as usize;
    for chunks in [1, 2, word - 1, word, word + 1, 2 * word, 3 * word + 7] {
        every_summary_bit_under::<NextFit>(chunks);
        every_summary_bit_under::<FirstFit>(chunks);
    }
}

/// The tree of the chunks' maxima.
fn near<'m, 'a>(maxima: &'m mut Maxima<'a>) -> &'m mut MaxTree<'a, Near> {
    #[cfg(target_pointer_width = "64")]
    return maxima.near();
    #[cfg(target_pointer_width = "32")]
    return maxima;
}

/// A maximum of a chunk: what its tree is made of.
#[cfg(target_pointer_width = "64")]
type Near = u16;
#[cfg(target_pointer_width = "32")]
type Near = u32;

/// What fills the last node of each level included. Negative numbers, as vector code sees them, are the most hidden.
fn every_maximum_in<P: Policy, N: Number>(
    heap: &Heap<'_, SpinLock, P>,
    what: &str,
    tree: impl for<'m, 'a> Fn(&'m mut Maxima<'a>) -> &'m mut MaxTree<'a, N>,
) {
    let levels = tree(&mut heap.lock_blocks().unwrap().map.maxima).levels();
    for level in 0..levels {
        let places = tree(&mut heap.lock_blocks().unwrap().map.maxima).places(level);
        let (start, end) = (places.start, places.end);
        for place in places.filter(|&place| place < start + 80 || end - place < 40 || place % 53 == 0) {
            for change in [1, 2, u32::MAX] {
                let what = std::format!("{what}: number {place} in level {level} of {levels}, changed by {change}");
                let set =
                    |number| *tree(&mut heap.lock_blocks().unwrap().map.maxima).number_mut(place).unwrap() = number;
                let before = *tree(&mut heap.lock_blocks().unwrap().map.maxima).number_mut(place).unwrap();
                set(N::new(before.get().wrapping_add(change)));
                assert_eq!(found(heap), Some(Kind::Maximum), "{what}");
                set(before);
            }
        }
    }
    heap.check().unwrap();
}

fn every_maximum_under<P: Policy>(chunks: usize, levels: u32) {
    with_heap_of_chunks::<P>(chunks, |heap| {
        assert_eq!(near(&mut heap.lock_blocks().unwrap().map.maxima).levels(), levels);
        every_maximum_in(heap, "near", near);
        #[cfg(target_pointer_width = "64")]
        every_maximum_in(heap, "far", |maxima| maxima.far());
    });
}

#[test]
fn every_maximum_that_is_changed_is_reported_on_every_level() {
    let fan = Near::FAN as usize;
    for (chunks, levels) in
        [(1, 1), (fan - 1, 1), (fan, 1), (fan + 1, 2), (fan * fan, 2), (fan * fan + 1, 3), (fan * fan * fan + 1, 4)]
    {
        every_maximum_under::<NextFit>(chunks, levels);
        every_maximum_under::<FirstFit>(chunks, levels);
    }
}

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

/// The bytes of a header's fields; the rest is padding.
fn fields() -> impl Iterator<Item = usize> {
    assert_eq!(offset_of!(AllocatedHeader, length), offset_of!(FreeHeader, length));
    assert_eq!(offset_of!(AllocatedHeader, magic), offset_of!(FreeHeader, next));
    let length = offset_of!(FreeHeader, length);
    let next = offset_of!(FreeHeader, next);
    (length..length + size_of::<i32>()).chain(next..next + size_of::<usize>())
}

fn headers<P: Policy>(heap: &Heap<'_, SpinLock, P>) -> Vec<usize> {
    let slab = heap.lock_slab().unwrap();
    let slots =
        (0..slab.used).filter(|&slot| slab.is_returned(slot)).map(|slot| slab.region.address(slab.offset(slot)));
    let mut headers: Vec<usize> = slots.collect();
    drop(slab);
    headers.extend(heap.blocks_in(Segment::Blocks).map(|block| block.address));
    headers
}

fn every_byte_of_every_header_under<P: Policy>() {
    with_busy_heap::<P>(|heap| {
        let headers = headers(heap);
        assert!(headers.len() > 130, "only {} headers", headers.len());
        let base = heap.base().unwrap().as_ptr();
        for &header in &headers {
            for byte in fields() {
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
    });
}

#[test]
fn every_byte_of_every_header_that_counts_is_reported_and_repaired() {
    every_byte_of_every_header_under::<NextFit>();
    every_byte_of_every_header_under::<FirstFit>();
}

fn what_is_no_fields_byte_is_nobodys_under<P: Policy>() {
    with_busy_heap::<P>(|heap| {
        let base = heap.base().unwrap().as_ptr();
        for header in headers(heap) {
            for byte in (0..GRANULE).filter(|&byte| fields().all(|field| field != byte)) {
                // SAFETY: a byte of the heap's region, which nobody else uses now.
                unsafe { base.wrapping_add(header - base.addr() + byte).write(0xA5) };
            }
        }
        assert_eq!((heap.check(), heap.overwritten().next(), heap.repair()), (Ok(()), None, Ok(0)));
    });
}

#[test]
fn the_padding_of_a_header_may_hold_anything() {
    what_is_no_fields_byte_is_nobodys_under::<NextFit>();
    what_is_no_fields_byte_is_nobodys_under::<FirstFit>();
}

fn all_headers_at_once_under<P: Policy>() {
    with_busy_heap::<P>(|heap| {
        let (headers, base) = (headers(heap), heap.base().unwrap().as_ptr());
        for &header in &headers {
            let place = base.wrapping_add(header - base.addr());
            // SAFETY: a granule of the heap's region, which nobody else uses now.
            unsafe { place.write_bytes(0xA5, GRANULE) };
        }
        assert!(heap.overwritten().eq(headers.iter().copied()));
        assert_eq!(heap.repair(), Ok(headers.len()));
        assert_eq!((heap.check(), heap.repair()), (Ok(()), Ok(0)));
    });
}

#[test]
fn every_header_is_repaired_though_all_are_overwritten() {
    all_headers_at_once_under::<NextFit>();
    all_headers_at_once_under::<FirstFit>();
}

#[test]
fn a_heap_without_memory_is_whole() {
    assert_eq!(Heap::<SpinLock, NextFit>::empty().check(), Ok(()));
    assert_eq!(Heap::<SpinLock, FirstFit>::empty().check(), Ok(()));
    assert_eq!(Heap::<SpinLock>::empty().repair(), Ok(0));
    assert!(Region::EMPTY.granules() == Granules::ZERO && BitTree::EMPTY.is_whole());
}
