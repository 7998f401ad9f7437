use slabfit::{Config, GRANULE, MIN_HEAP, NextFit, Segment};
use slabfit_tests::arena::Arena;

use super::{heap_of, use_all_of};

#[test]
fn of_no_bytes_leaves_the_heap_to_blocks() {
    for (config, slab_size) in [(Config::without_slab(), 0), (Config::new(64).slab_bytes(0), 64)] {
        for arena in [Arena::carved(4096, 0), Arena::separate(4096, 0, 4096, 0), Arena::zeroed(4096, 0, 4096)] {
            let heap = heap_of(&arena, config).expect("a heap needs no slab");
            assert!(heap.segment(Segment::Slab).is_empty());
            assert_eq!(heap.segment(Segment::Blocks).len(), heap.size());
            assert_eq!(heap.slab_size(), slab_size);
            let object = heap.alloc(64).expect("room").addr().get();
            assert_eq!(object, heap.segment(Segment::Blocks).start + GRANULE);
            let stats = heap.stats().expect("nobody is in the heap");
            assert_eq!((stats.slab, stats.blocks.live_objects), (Default::default(), 1));
            assert!(heap.blocks().all(|block| block.segment == Segment::Blocks));
            assert_eq!(heap.check(), Ok(()));
        }
    }
}

#[test]
fn may_take_all_but_48_bytes() {
    for size in [MIN_HEAP, MIN_HEAP + GRANULE, 4096, 70_000 / GRANULE * GRANULE] {
        for bytes in [size, size - 47, usize::MAX] {
            let config = Config::new(16).slab_bytes(bytes);
            let needed = slabfit::bookkeeping_size::<NextFit>(size, config);
            let arena = Arena::separate(size, 0, needed, 0);
            let heap = heap_of(&arena, config).expect("a legal heap");
            assert_eq!(heap.segment(Segment::Blocks).len(), 48);
            use_all_of(&heap);
        }
    }
}

#[test]
fn of_any_other_number_of_bytes_is_rounded_down_to_granules() {
    for bytes in (0..400).chain([1000, 1001, 2047, 4000, 4047, 4048]) {
        for slab_size in [1, 16, 40, 1000] {
            let config = Config::new(slab_size).slab_bytes(bytes);
            let needed = slabfit::bookkeeping_size::<NextFit>(4096, config);
            let arena = Arena::separate(4096, 0, needed, 1);
            let heap = heap_of(&arena, config).expect("a legal heap");
            let (slab, slot) = (heap.segment(Segment::Slab), slab_size.next_multiple_of(GRANULE));
            assert_eq!(slab.len(), bytes / GRANULE * GRANULE);
            assert_eq!(slab.end, heap.segment(Segment::Blocks).start);
            let slots = heap.blocks().filter(|block| block.segment == Segment::Slab).count();
            assert_eq!(slots, slab.len() / slot);
            use_all_of(&heap);
        }
    }
}
