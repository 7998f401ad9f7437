//! Size classes: what is handed out, by the rules and by a plain record of what is live.

use core::alloc::Layout;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec::Vec;

use super::{Random, fill};
use crate::classes::{Classes, slot_size};
use crate::error::{AllocError, Reason};
use crate::heap::Heap;
use crate::layout::{Config, Segment};
use crate::lock::NoLock;
use crate::memory::RegionArray;
use crate::policy::General;
use crate::stats::CLASSES;
use crate::units::{GRANULE, Granules};
use crate::walk::{Kind, State};

type Heap1<'a> = Heap<'a, NoLock, General>;

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

fn object(heap: &Heap1<'_>, address: usize) -> *mut u8 {
    heap.base().unwrap().as_ptr().with_addr(address)
}

fn step(heap: &Heap1<'_>, record: &mut Record, random: &mut Random, growing: usize) {
    let size = if random.below(10) == 0 { random.below(3000) } else { random.below(560) };
    let align = if random.below(4) == 0 { 1 << random.below(10) } else { 1 };
    match random.below(100) {
        0..4 => {
            let address = heap.base().unwrap().addr().get() + random.below(heap.size());
            if !record.0.contains_key(&address) {
                // SAFETY: it is no object's start.
                assert!(unsafe { heap.free(object(heap, address)) }.is_err(), "{address:#x}");
            }
        }
        4..20 => {
            let Some(old) = record.any(random) else { return };
            // SAFETY: nobody uses the object.
            if let Ok(new) = unsafe { heap.realloc(object(heap, old), size) } {
                record.0.remove(&old);
                record.add(new.addr().get(), heap.usable_size(new.as_ptr()).unwrap());
                assert!(heap.usable_size(new.as_ptr()).unwrap() >= size);
            }
        }
        at if at < 20 + growing => {
            let layout = Layout::from_size_align(size, align).unwrap();
            if let Ok(new) = heap.alloc_layout(layout) {
                assert_eq!(new.addr().get() % align, 0);
                record.add(new.addr().get(), heap.usable_size(new.as_ptr()).unwrap());
            }
        }
        _ => {
            let Some(old) = record.any(random) else { return };
            record.0.remove(&old);
            // SAFETY: nobody uses the object.
            unsafe { heap.free(object(heap, old)) }.unwrap();
            // SAFETY: as above.
            assert!(unsafe { heap.free(object(heap, old)) }.is_err());
        }
    }
}

fn live_objects(heap: &Heap1<'_>) -> usize {
    heap.blocks().filter(|block| block.state == State::Used).count()
}

fn one_gap_is_left(heap: &Heap1<'_>) {
    heap.empty_magazines().unwrap();
    heap.check().unwrap();
    assert_eq!(heap.blocks_in(Segment::Blocks).count(), 1);
    assert_eq!(heap.stats().unwrap().blocks.live_objects, 0);
}

#[test]
fn objects_never_overlap_and_every_invariant_holds_after_each_of_many_requests() {
    for (seed, size) in [(1, 24_000), (2, 34_000), (3, 70_000), (4, 140_000), (5, 300_000), (6, 1_000_000)] {
        let mut region = Box::new(RegionArray::<1_000_000>::new());
        fill(&mut region, 0xA5);
        let mut random = Random(seed);
        let config = if seed % 2 == 0 { Config::without_slab() } else { Config::new(48) };
        let heap = Heap1::from_memory((*region).as_mut().split_at_mut(size).0, config).unwrap();
        let mut record = Record::default();
        for round in 0..8 {
            let growing = [60, 30, 79, 20][round % 4];
            for _ in 0..500 {
                step(&heap, &mut record, &mut random, growing);
                if size < 100_000 || random.below(20) == 0 {
                    heap.check().unwrap();
                }
            }
            assert_eq!(live_objects(&heap), record.0.len());
        }
        let starts: Vec<usize> = record.0.keys().copied().collect();
        for start in starts {
            // SAFETY: nobody uses the object.
            unsafe { heap.free(object(&heap, start)) }.unwrap();
        }
        one_gap_is_left(&heap);
    }
}
