//! The tables of caches, broken: nothing beyond the segment is handed out, and what goes through a stack or a list of runs comes to its end, also where the links make a circle.

use std::boxed::Box;

use crate::layout::{Config, Segment};
use crate::lock::NoLock;
use crate::memory::RegionArray;
use crate::owned::{Keep, Owned};
use crate::policy::General;
use crate::segments::Heap;
use crate::units::{GRANULE, Granules, Offset};

/// Bytes of the region, and so more KiB than there are runs.
const SIZE: usize = 64 << 10;

/// Runs `test` on the tables of a heap whose first cache has a run of 16-byte slots, the first of which is live.
fn with_a_run(test: impl FnOnce(&Owned<'_>, &Keep)) {
    let mut array = Box::new(RegionArray::<SIZE>::new());
    let config = Config::without_slab().caches(1);
    let heap: Heap<'_, NoLock, General> = Heap::from_memory(&mut *array, config).unwrap();
    let cache = heap.cache().unwrap();
    cache.alloc(16).unwrap();
    let owned = heap.lock_blocks().unwrap().owned().unwrap();
    test(&owned, owned.keep(0).unwrap());
    // It could not be settled.
    core::mem::forget(cache);
}

/// The KiB of the only run.
fn first_run(owned: &Owned<'_>) -> u32 {
    (0..(SIZE / 1024) as u32).find(|kib| owned.run_at(*kib).is_some()).unwrap()
}

#[test]
fn nothing_beyond_the_end_of_a_table_is_reached() {
    with_a_run(|owned, _| {
        assert!(owned.keep(1).is_none());
        assert_eq!(owned.take(SIZE / GRANULE), None);
    });
}

#[test]
fn a_slot_that_may_end_beyond_the_segment_stays_in_its_magazine() {
    with_a_run(|owned, keep| {
        let (start, last) = (Offset::ZERO, Offset::new(1000));
        let live = (0..1000).map(|at| start.plus(Granules::new(at))).find(|at| owned.is_live(*at)).unwrap();
        owned.push(keep, last, owned.live_tag(live).unwrap()).unwrap();
        assert_eq!(owned.pop(keep, 0, last), None);
        assert!(!owned.is_live(last));
        assert_eq!(owned.pop(keep, 0, last.plus(Granules::new(1))), Some(last));
    });
}

#[test]
fn a_stack_of_runs_ends_also_where_its_links_make_a_circle() {
    with_a_run(|owned, keep| {
        let run = first_run(owned);
        for _ in 0..2 {
            owned.push_returned(run, 0);
        }
        assert!(owned.take_returned(keep).count() <= SIZE / 1024);
    });
}

#[test]
fn a_list_of_runs_ends_also_where_its_links_make_a_circle() {
    with_a_run(|owned, keep| {
        let run = first_run(owned);
        for _ in 0..2 {
            owned.revive(run);
        }
        assert_eq!(owned.all_idle(keep, 0).next(), None);
        assert_eq!(owned.listed(keep, 0), None);
    });
}

#[test]
fn a_slot_that_reaches_beyond_the_segment_is_not_handed_out() {
    let mut array = Box::new(RegionArray::<SIZE>::new());
    let config = Config::without_slab().caches(1);
    let heap: Heap<'_, NoLock, General> = Heap::from_memory(&mut *array, config).unwrap();
    let cache = heap.cache().unwrap();
    let segment = heap.segment(Segment::Blocks);
    let last = Offset::of_byte(segment.len() - GRANULE);
    heap.lock_blocks().unwrap().owned().unwrap().claim(0, 3, last).unwrap();
    assert_eq!(cache.alloc_slot(64), None);
    let object = cache.alloc(64).unwrap().addr().get();
    assert!(segment.contains(&object) && object + 64 <= segment.end, "{object:#x} in {segment:x?}");
    core::mem::forget(cache);
}
