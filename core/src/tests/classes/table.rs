//! The table of classes, and the bookkeeping that they take.

use std::boxed::Box;

use super::super::{Random, fill, with_bookkeeping};
use super::{GeneralHeap, SIZES, classes};
use crate::bookkeeping_size;
use crate::classes::Classes;
use crate::error::InitError;
use crate::layout::Config;
use crate::memory::{ALIGNMENT, Memory, RegionArray};
use crate::policy::General;
use crate::size_class::{class_for, run_granules, slot_size};
use crate::stats::CLASSES;
use crate::units::{GRANULE, Granules};

#[test]
fn a_class_serves_what_no_smaller_one_can_hold() {
    for (class, size) in SIZES.into_iter().enumerate() {
        assert_eq!(slot_size(class), size);
    }
    for size in 0..=512 {
        assert_eq!(class_for(size), SIZES.iter().position(|slot| *slot >= size), "{size} bytes");
    }
    for size in [513, 1 << 20, usize::MAX - 15, usize::MAX - 14, usize::MAX] {
        assert_eq!(class_for(size), None, "{size} bytes");
    }
    assert_eq!(slot_size(CLASSES), 0);
}

#[test]
fn a_run_is_the_smallest_power_of_two_of_kib_with_16_slots() {
    for (class, size) in SIZES.into_iter().enumerate() {
        let smallest = (0..).map(|doubling| 1024 << doubling).find(|run| run / size >= 16);
        assert_eq!(Some(run_granules(class).bytes()), smallest, "slots of {size} bytes");
    }
}

#[test]
fn a_class_exists_where_its_run_is_at_most_a_32nd_of_the_segment() {
    for (kib, classes) in [(31, 0), (32, 4), (63, 4), (64, 8), (127, 8), (128, 12), (255, 12), (256, 16), (900, 16)] {
        for fewer in [0, GRANULE] {
            let mut region = Box::new(RegionArray::<1_000_000>::new());
            let size = kib * 1024 - fewer;
            let mut own =
                std::vec![core::mem::MaybeUninit::uninit(); bookkeeping_size::<General>(size, Config::without_slab())];
            let memory = Memory::with_bookkeeping((*region).as_mut().split_at_mut(size).0, &mut own);
            let heap = GeneralHeap::from_memory(memory, Config::without_slab()).unwrap();
            let exist = heap.stats().unwrap().classes.iter().filter(|class| class.slot_size > 0).count();
            let fewer = if fewer > 0 && kib.is_power_of_two() { 4 } else { 0 };
            assert_eq!(exist, classes - fewer.min(classes), "{size} bytes");
            assert_eq!(self::classes(&heap, |classes| classes.count()), exist, "{size} bytes");
        }
    }
}

#[test]
fn the_bookkeeping_that_is_asked_for_suffices_wherever_it_lies_and_no_less_does() {
    let mut random = Random(7);
    for kib in [4, 31, 32, 33, 64, 65, 127, 128, 200, 256, 700] {
        let mut region = Box::new(RegionArray::<1_000_000>::new());
        fill(&mut region, 0);
        for _ in 0..20 {
            let (size, skip) = (kib * 1024 + random.below(70) * GRANULE, random.below(600) * GRANULE);
            let config = if random.below(2) == 0 { Config::without_slab() } else { Config::new(64) };
            let needed = bookkeeping_size::<General>(size, config);
            let mut own = std::vec![0xA5; needed + 64];
            let (start, at) = ((*region).as_mut().as_mut_ptr().cast::<u8>().wrapping_add(skip), random.below(64));
            for given in [needed - 1, needed] {
                // SAFETY: both are lent to one heap at a time.
                let memory = unsafe { Memory::from_raw_parts(start, size, own.as_mut_ptr().wrapping_add(at), given) };
                let made = GeneralHeap::from_memory(memory, config);
                if given < needed {
                    assert_eq!(made.err(), Some(InitError::BookkeepingTooSmall { size: given, needed }));
                } else {
                    assert_eq!(made.unwrap().check(), Ok(()));
                }
            }
        }
    }
}

#[test]
fn the_classes_take_what_they_say_and_no_less() {
    for kib in [32, 33, 64, 130, 256, 700] {
        let size = Granules::from_bytes_floor(kib * 1024);
        // The footprint holds what aligning takes, which here is nothing.
        let bytes = Classes::footprint(size, 0) - (ALIGNMENT - 1);
        let made = |bytes| {
            with_bookkeeping(bytes, |memory| {
                let mut new = Classes::EMPTY;
                new.set_up(0, size, 0, memory).is_some()
            })
        };
        assert_eq!([made(bytes), made(bytes - 1)], [true, false], "{kib} KiB");
    }
    assert_eq!(Classes::footprint(Granules::from_bytes_floor(31 * 1024), 0), 0);
}

#[test]
fn the_classes_know_each_kib_that_the_segment_may_lie_in_and_few_more() {
    for kib in [32, 33, 64, 130, 256, 700] {
        for more in [0, GRANULE, 1024 - GRANULE] {
            let size = kib * 1024 + more;
            with_bookkeeping(Classes::footprint(Granules::from_bytes_floor(size), 0), |memory| {
                let mut classes = Classes::EMPTY;
                classes.set_up(0, Granules::from_bytes_floor(size), 0, memory).unwrap();
                let longest = run_granules(classes.count() - 1).bytes();
                // It starts a granule before a multiple of the longest run at worst.
                let touched = (longest - GRANULE + size).div_ceil(1024);
                let known = classes.kibs() as usize;
                assert!((touched..touched + 9).contains(&known), "{known} KiB for {size} bytes");
            });
        }
    }
}
