use slabfit::{InitError, MIN_HEAP};
use slabfit_tests::arena::Arena;

use super::{bookkeeping_size, error_in, heap_in, use_all_of};

#[test]
fn may_be_aligned_as_it_likes_and_dirty() {
    for offset in 0..64 {
        for size in [MIN_HEAP, 1024, 4096, 70_000] {
            let arena = Arena::separate(size, 16, bookkeeping_size(size, 16), offset);
            use_all_of(&heap_in(&arena, 16).expect("as much as is needed"));
        }
    }
}

#[test]
fn of_zeros_serves_as_well() {
    for size in [MIN_HEAP, 1024, 4096, 70_000, 1 << 20] {
        let arena = Arena::zeroed(size, 16, bookkeeping_size(size, 16));
        use_all_of(&heap_in(&arena, 16).expect("as much as is needed"));
    }
}

#[test]
fn of_one_byte_too_few_is_refused() {
    for size in [MIN_HEAP, 1024, 70_000] {
        for slab_size in [1, 64, 4096] {
            let needed = bookkeeping_size(size, slab_size);
            for given in [0, 1, needed - 1] {
                let arena = Arena::separate(size, 0, given, 0);
                let error = InitError::BookkeepingTooSmall { size: given, needed };
                assert_eq!(error_in(&arena, slab_size), Some(error));
            }
        }
    }
}

#[test]
fn is_about_two_percent_of_the_heap() {
    for size in [1 << 20, 64 << 20, 1 << 30] {
        let share = bookkeeping_size(size, 64) as f64 / size as f64;
        assert!((0.01..0.025).contains(&share), "{share} of {size} bytes");
    }
}
