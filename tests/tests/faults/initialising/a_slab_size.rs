use slabfit::{GRANULE, InitError, Segment};
use slabfit_tests::arena::Arena;

use super::{error_in, heap_in, use_all_of};

#[test]
fn of_0_is_refused() {
    for arena in [Arena::carved(4096, 0), Arena::separate(4096, 0, 4096, 0)] {
        assert_eq!(error_in(&arena, 0), Some(InitError::SlabSizeZero));
    }
}

#[test]
fn of_any_other_number_is_accepted() {
    for slab_size in (1..=4096).chain([65_536, 1 << 30, usize::MAX / 2, usize::MAX - 1, usize::MAX]) {
        let arena = Arena::carved(4096, 0);
        let heap = heap_in(&arena, slab_size).expect("any size of a slot");
        // Nobody can ask for so many, so nothing goes to the slab.
        assert_eq!(heap.slab_size(), if slab_size == usize::MAX { 0 } else { slab_size });
        let slots = heap.blocks().filter(|block| block.segment == Segment::Slab).count();
        let slot = slab_size.checked_next_multiple_of(GRANULE).unwrap_or(usize::MAX);
        assert_eq!(slots, heap.segment(Segment::Slab).len() / slot);
        use_all_of(&heap);
    }
}
