//! Size classes: the table as the contract has it, what is handed out beside a plain record of what is live, and the checker against one
//! break at a time.

mod checker;
mod table;

use core::alloc::Layout;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec::Vec;

use super::{Random, fill};
use crate::claim::AnySize;
use crate::classes::{Classes, MayHave};
use crate::error::{InvalidFree, ReallocError, Reason};
use crate::layout::{Config, Segment};
use crate::lock::NoLock;
use crate::memory::RegionArray;
use crate::policy::General;
use crate::segments::Heap;
use crate::size_class::{class_for, run_granules, slot_size};
use crate::stats::CLASSES;
use crate::units::{GRANULE, Offset};
use crate::walk::{Kind, State};

type GeneralHeap<'a> = Heap<'a, NoLock, General>;

/// The sizes of slots, in bytes.
const SIZES: [usize; CLASSES] = [16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512];

/// Leaks nothing: the heap goes before its memory does.
fn with_heap(size: usize, config: Config, test: impl FnOnce(&GeneralHeap<'_>)) {
    let mut region = Box::new(RegionArray::<1_000_000>::new());
    fill(&mut region, 0xA5);
    let heap = GeneralHeap::from_memory((*region).as_mut().split_at_mut(size).0, config).unwrap();
    test(&heap);
}

/// Fills a heap and frees every third object: runs full and not full, and magazines with some slots.
fn with_busy_heap(test: impl FnOnce(&GeneralHeap<'_>)) {
    with_heap(300_000, Config::without_slab(), |heap| {
        let objects: Vec<_> = (0..900).map(|n| heap.alloc(1 + n * 7 % 300).unwrap().addr().get()).collect();
        objects.into_iter().step_by(3).for_each(|object| freed(heap, object).unwrap());
        heap.check().unwrap();
        test(heap);
    });
}

/// Live objects: the start of each, and its bytes.
#[derive(Default)]
struct Record(BTreeMap<usize, usize>);

impl Record {
    fn add(&mut self, start: usize, size: usize) {
        if let Some((before, bytes)) = self.0.range(..start).next_back() {
            assert!(before + bytes <= start, "{start:#x} lies in {before:#x}");
        }
        if let Some((after, _)) = self.0.range(start..).next() {
            assert!(start + size <= *after, "{start:#x} reaches into {after:#x}");
        }
        self.0.insert(start, size);
    }

    fn any(&self, random: &mut Random) -> Option<usize> {
        let count = self.0.len().max(1);
        self.0.keys().nth(random.below(count)).copied()
    }
}

fn pointer(heap: &GeneralHeap<'_>, address: usize) -> *mut u8 {
    heap.base().unwrap().as_ptr().with_addr(address)
}

fn freed(heap: &GeneralHeap<'_>, address: usize) -> Result<(), Reason> {
    // SAFETY: nobody uses what lies there.
    unsafe { heap.free(pointer(heap, address)) }.map_err(|invalid| invalid.reason)
}

fn step(heap: &GeneralHeap<'_>, record: &mut Record, random: &mut Random, growing: usize) {
    let size = if random.below(10) == 0 { random.below(3000) } else { random.below(560) };
    let align = if random.below(4) == 0 { 1 << random.below(10) } else { 1 };
    let usable = |object: *mut u8| heap.usable_size(object).unwrap();
    match random.below(100) {
        0..4 => {
            let address = heap.base().unwrap().addr().get() + random.below(heap.size());
            if !record.0.contains_key(&address) {
                freed(heap, address).unwrap_err();
            }
        }
        4..20 => {
            let Some(old) = record.any(random) else { return };
            // SAFETY: nobody uses the object.
            match unsafe { heap.realloc(pointer(heap, old), size) } {
                Ok(new) => {
                    record.0.remove(&old);
                    assert!(usable(new.as_ptr()) >= size);
                    record.add(new.addr().get(), usable(new.as_ptr()));
                }
                Err(error) => assert!(matches!(error, ReallocError::Alloc(_)), "{old:#x} is live: {error}"),
            }
        }
        at if at < 20 + growing => {
            let layout = Layout::from_size_align(size, align).unwrap();
            if let Ok(new) = heap.alloc_layout(layout) {
                assert_eq!(new.addr().get() % align, 0);
                record.add(new.addr().get(), usable(new.as_ptr()));
            }
        }
        _ => {
            let Some(old) = record.any(random) else { return };
            record.0.remove(&old);
            freed(heap, old).unwrap();
            assert!(freed(heap, old).is_err());
        }
    }
}

fn one_gap_is_left(heap: &GeneralHeap<'_>) {
    heap.empty_magazines().unwrap();
    heap.check().unwrap();
    assert_eq!(heap.blocks_in(Segment::Blocks).count(), 1);
    assert_eq!(heap.stats().unwrap().blocks.live_objects, 0);
}

#[test]
fn objects_never_overlap_and_every_invariant_holds_after_each_of_many_requests() {
    for (seed, size) in [(1, 24_000), (2, 34_000), (3, 70_000), (4, 140_000), (5, 300_000), (6, 1_000_000)] {
        let config = if seed % 2 == 0 { Config::without_slab() } else { Config::new(48) };
        with_heap(size, config, |heap| {
            let (mut random, mut record) = (Random(seed), Record::default());
            for round in 0..8 {
                let growing = [60, 30, 79, 20][round % 4];
                for _ in 0..500 {
                    step(heap, &mut record, &mut random, growing);
                    if size < 100_000 || random.below(20) == 0 {
                        heap.check().unwrap();
                    }
                }
                let live = heap.blocks().filter(|block| block.state == State::Used).count();
                assert_eq!(live, record.0.len());
            }
            let slots: u64 = heap.stats().unwrap().classes.iter().map(|class| class.allocs).sum();
            assert!(size < 100_000 || slots > 500, "only {slots} slots were served");
            for start in record.0.keys() {
                freed(heap, *start).unwrap();
            }
            one_gap_is_left(heap);
        });
    }
}

#[test]
fn a_slot_has_the_alignment_of_its_size() {
    with_heap(1_000_000, Config::without_slab(), |heap| {
        for size in SIZES {
            let own = 1 << size.trailing_zeros();
            for _ in 0..70 {
                let slot = heap.alloc_layout(Layout::from_size_align(size, own).unwrap()).unwrap();
                assert_eq!((slot.addr().get() % own, heap.usable_size(slot.as_ptr())), (0, Ok(size)));
            }
            let block = heap.alloc_layout(Layout::from_size_align(size, 2 * own).unwrap()).unwrap();
            let found = heap.blocks().find(|it| it.address + GRANULE == block.addr().get()).map(|it| it.kind);
            assert_eq!(found, if own == GRANULE / 2 { None } else { Some(Kind::Block) }, "twice {own}");
        }
        heap.check().unwrap();
    });
}

#[test]
fn a_wrong_address_in_a_run_is_refused_with_its_reason_and_counted() {
    with_heap(1_000_000, Config::without_slab(), |heap| {
        for (class, size) in SIZES.into_iter().enumerate() {
            let objects: Vec<_> = (0..3).map(|_| heap.alloc(size).unwrap().addr().get()).collect();
            freed(heap, objects[1]).unwrap();
            let run = run_granules(class).bytes();
            let end = objects[0] / run * run + run;
            let behind_slots = (end - run + run / size * size..end).step_by(GRANULE);
            let inside = |slot: usize| (slot + GRANULE..slot + size).step_by(GRANULE);
            let wrong = (inside(objects[0]).chain(behind_slots).map(|at| (at, Reason::NotAStart)))
                .chain(inside(objects[1]).chain([objects[1]]).map(|at| (at, Reason::DoubleFree)));
            for (address, reason) in wrong {
                let before = heap.stats().unwrap().blocks.refused_frees;
                let refused = InvalidFree { address, reason };
                assert_eq!(heap.usable_size(pointer(heap, address)), Err(refused), "{size} bytes");
                assert_eq!(freed(heap, address), Err(reason), "{size} bytes");
                // SAFETY: nobody uses what lies there.
                let moved = unsafe { heap.realloc(pointer(heap, address), size) };
                assert_eq!(moved, Err(ReallocError::InvalidFree(refused)), "{size} bytes");
                assert_eq!(heap.stats().unwrap().blocks.refused_frees, before + 2);
            }
            heap.check().unwrap();
        }
    });
}

#[test]
fn a_slot_stays_where_it_is_if_the_same_class_serves_its_new_size_and_keeps_its_bytes_if_not() {
    with_heap(1_000_000, Config::without_slab(), |heap| {
        let sizes = [0, 1, 15, 17, 40, 513, 600, 3000];
        let sizes: Vec<usize> = SIZES.into_iter().chain(SIZES.map(|size| size + 1)).chain(sizes).collect();
        for &old_size in &sizes {
            for &size in &sizes {
                let old = heap.alloc(old_size).unwrap();
                let usable = heap.usable_size(old.as_ptr()).unwrap();
                // SAFETY: the object has so many bytes, and nobody else uses it.
                unsafe { old.as_ptr().write_bytes(0x5A, usable) };
                // SAFETY: nobody uses the old object afterwards.
                let new = unsafe { heap.realloc(old.as_ptr(), size) }.unwrap();
                if class_for(old_size).is_some() {
                    let stays = class_for(old_size) == class_for(size);
                    assert_eq!(new == old, stays, "{old_size} bytes to {size}");
                }
                let in_class = class_for(size).map(|class| Ok(SIZES[class]));
                assert!(
                    in_class.is_none_or(|slot| heap.usable_size(new.as_ptr()) == slot),
                    "{old_size} bytes to {size}"
                );
                // SAFETY: so many bytes of it were written, before it moved or since.
                let kept = unsafe { core::slice::from_raw_parts(new.as_ptr(), usable.min(size)) };
                assert!(kept.iter().all(|byte| *byte == 0x5A), "{old_size} bytes to {size}");
                freed(heap, new.addr().get()).unwrap();
            }
        }
        one_gap_is_left(heap);
    });
}

#[test]
fn a_slot_that_is_given_the_size_of_the_slabs_slots_moves_there_while_the_slab_has_one() {
    with_heap(300_000, Config::new(64).slab_bytes(64), |heap| {
        let [first, second] = [(); 2].map(|()| heap.alloc(32).unwrap());
        for (object, segment) in [(first, Segment::Slab), (second, Segment::Blocks)] {
            // SAFETY: nobody uses the old object afterwards.
            let moved = unsafe { heap.realloc(object.as_ptr(), 64) }.unwrap();
            assert!(heap.segment(segment).contains(&moved.addr().get()), "{segment:?}");
            assert_eq!(heap.usable_size(moved.as_ptr()), Ok(64));
        }
        heap.check().unwrap();
    });
}

#[test]
fn the_lowest_run_with_a_free_slot_is_used_before_a_new_one_is_opened() {
    with_heap(300_000, Config::without_slab(), |heap| {
        for size in SIZES {
            let objects: Vec<_> = (0..150).map(|_| heap.alloc(size).unwrap().addr().get()).collect();
            let opened = heap.stats().unwrap().blocks.allocs;
            let gone = [140, 3, 70, 100, 20].map(|nth| objects[nth]);
            gone.into_iter().for_each(|object| freed(heap, object).unwrap());
            heap.empty_magazines().unwrap();
            let again: Vec<_> = (0..5).map(|_| heap.alloc(size).unwrap().addr().get()).collect();
            assert_eq!(again, [3, 20, 70, 100, 140].map(|nth| objects[nth]), "{size} bytes");
            assert_eq!(heap.stats().unwrap().blocks.allocs, opened, "{size} bytes");
            objects.into_iter().for_each(|object| freed(heap, object).unwrap());
            one_gap_is_left(heap);
        }
    });
}

/// Another thread may have taken slots out of the magazine since it was found full.
#[test]
fn a_magazine_that_has_room_again_when_a_slot_is_freed_gives_nothing_back() {
    with_heap(300_000, Config::without_slab(), |heap| {
        let object = heap.alloc(16).unwrap().addr().get();
        let held = classes(heap, |classes| classes.held(0));
        let offset = Offset::of_byte(object - heap.base().unwrap().addr().get());
        heap.lock_blocks().unwrap().free_object(offset, AnySize).unwrap();
        assert_eq!(classes(heap, |classes| classes.held(0)), held + 1);
        assert_eq!(heap.alloc(16).unwrap().addr().get(), object);
    });
}

#[test]
fn the_slot_after_the_middle_of_another_is_found_from_its_start_on() {
    with_heap(300_000, Config::without_slab(), |heap| {
        let [first, second] = [(); 2].map(|()| heap.alloc(48).unwrap().addr().get());
        let base = heap.base().unwrap().addr().get();
        for (at, expected) in [(first, first), (first + GRANULE, second), (first + 2 * GRANULE, second)] {
            let found = classes(heap, |classes| {
                let slot = classes.find(Offset::of_byte(at - base)).unwrap().or_next();
                (classes.live(&slot), classes.place(&slot).unwrap().0)
            });
            assert_eq!(found, (Ok(()), Offset::of_byte(expected - base)));
        }
    });
}

/// Whoever walks over a heap lets go of it between two steps.
#[test]
fn a_walk_goes_on_with_the_next_slot_where_a_run_of_larger_slots_has_come_to_lie() {
    with_heap(300_000, Config::without_slab(), |heap| {
        let small = heap.alloc(16).unwrap().addr().get();
        let mut walk = heap.blocks_in(Segment::Blocks).map(|block| (block.address, block.size));
        assert!(walk.by_ref().any(|(address, _)| address == small + 16));
        freed(heap, small).unwrap();
        heap.empty_magazines().unwrap();
        let large = heap.alloc(48).unwrap().addr().get();
        assert_eq!(large, small, "the new run lies where the old one did");
        // The walk was to go on at 32 bytes, which is inside the first slot.
        assert_eq!(walk.next(), Some((large + 48, 48)));
    });
}

fn classes<R>(heap: &GeneralHeap<'_>, look: impl FnOnce(&mut Classes<'_>) -> R) -> R {
    look(heap.lock_blocks().unwrap().classes.get_mut().unwrap())
}

/// Only destroyed bookkeeping names such a slot.
#[test]
fn a_slot_that_reaches_beyond_the_segment_is_not_handed_out() {
    with_busy_heap(|heap| {
        let end = heap.segment(Segment::Blocks).end;
        let last = ((end - heap.segment(Segment::Blocks).start) / GRANULE) as u32 - 1;
        for class in (0..CLASSES).filter(|class| classes(heap, |classes| classes.held(*class)) > 1) {
            let newest = 3 + classes(heap, |classes| classes.held(class));
            for wrong in [last, last + 1, u32::MAX] {
                classes(heap, |classes| *classes.magazine_mut(class).unwrap().field_mut(newest).unwrap() = wrong);
                let object = heap.alloc(slot_size(class)).unwrap().addr().get();
                assert!(object + slot_size(class) <= end, "{object:#x} of {} bytes", slot_size(class));
                // What was taken off is put there again.
                classes(heap, |classes| {
                    *classes.magazine_mut(class).unwrap().field_mut(0).unwrap() = newest as u32 - 3
                });
            }
        }
    });
}

/// As if another thread had taken slots off it since it was found full.
/// Only destroyed bookkeeping has such links.
#[cfg(target_has_atomic = "64")]
#[test]
fn runs_whose_links_make_a_circle_end_no_call_late() {
    let size = 64 << 10;
    with_heap(size, Config::without_slab().caches(1), |heap| {
        let cache = heap.cache().unwrap();
        let objects: Vec<_> = (0..32).map(|_| cache.alloc(64).unwrap()).collect();
        let runs = classes(heap, |classes| {
            [0, 16].map(|object| {
                classes
                    .find(Offset::of_byte(objects[object].addr().get() - heap.base().unwrap().addr().get()))
                    .unwrap()
                    .run
            })
        });
        assert_ne!(runs[0], runs[1]);
        classes(heap, |classes| classes.owned.destroy(0, 3, runs)).unwrap();
        cache.empty().unwrap();
        assert!(heap.check().is_err());
    });
}

#[test]
fn a_magazine_that_has_room_again_gives_nothing_back() {
    with_heap(300_000, Config::without_slab(), |heap| {
        let slots: Vec<_> = (0..20).map(|_| heap.alloc(64).unwrap().addr().get()).collect();
        let base = heap.segment(Segment::Blocks).start;
        for slot in slots {
            let held = classes(heap, |classes| classes.held(3));
            heap.lock_blocks().unwrap().free_object(Offset::of_byte(slot - base), AnySize).unwrap();
            assert_eq!(classes(heap, |classes| classes.held(3)), held + 1);
            heap.check().unwrap();
        }
    });
}
