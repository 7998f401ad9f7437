use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use slabfit::{AllocError, Config, Heap, InitError, InvalidFree, MIN_REGION, Reason, RegionArray, Segment};
use slabfit_tests::arena::Arena;

use super::{bookkeeping_size, heap_in, use_all_of};

#[test]
fn serves_nothing_and_owns_nothing() {
    let heap: Heap = Heap::empty();
    for size in [0, 1, 64, usize::MAX] {
        assert_eq!(heap.alloc(size), Err(AllocError::NotInitialised));
        assert_eq!(heap.alloc_zeroed(size), Err(AllocError::NotInitialised));
    }
    let local = 0u8;
    let refused = InvalidFree { address: (&raw const local).addr(), reason: Reason::OutsideHeap };
    // SAFETY: the address is of no object of the heap, which has none.
    assert_eq!(unsafe { heap.free((&raw const local).cast_mut()) }, Err(refused));
    // SAFETY: as above.
    assert_eq!(unsafe { heap.realloc((&raw const local).cast_mut(), 1) }, Err(refused.into()));
    assert_eq!(heap.usable_size(&raw const local), Err(refused));
    assert!(!heap.owns(&raw const local));
    assert!(!heap.owns(std::ptr::null()));
    assert_eq!((heap.base(), heap.rover(), heap.size(), heap.slab_size()), (None, Ok(None), 0, 0));
    assert!(heap.segment(Segment::Slab).is_empty() && heap.segment(Segment::Blocks).is_empty());
    assert_eq!(heap.blocks().count() + heap.overwritten().count(), 0);
    assert_eq!((heap.check(), heap.repair()), (Ok(()), Ok(0)));
    let stats = heap.stats().expect("nobody is in the heap");
    assert_eq!((stats.slab.size, stats.blocks.size), (0, 0));
}

#[test]
fn is_still_without_after_a_failed_set_up_and_can_then_be_given_some() {
    let arena = Arena::carved(4096, 0);
    let heap: Heap = Heap::empty();
    let mut few = RegionArray::<{ MIN_REGION - 1 }>::new();
    assert!(matches!(heap.init(few.as_mut(), Config::new(64)), Err(InitError::TooSmall { .. })));
    // SAFETY: the arena outlives the heap, and no other heap has it.
    assert_eq!(heap.init(unsafe { arena.memory() }, Config::new(0)), Err(InitError::SlabSizeZero));
    let needed = bookkeeping_size(4096, 64);
    let apart = Arena::separate(4096, 0, needed / 2, 0);
    let too_small = InitError::BookkeepingTooSmall { size: needed / 2, needed };
    // SAFETY: as above.
    assert_eq!(heap.init(unsafe { apart.memory() }, Config::new(64)), Err(too_small));
    assert_eq!(heap.alloc(1), Err(AllocError::NotInitialised));
    // SAFETY: as above.
    assert_eq!(heap.init(unsafe { arena.memory() }, Config::new(64)), Ok(()));
    use_all_of(&heap);
}

#[test]
fn is_given_some_only_once() {
    let first = Arena::carved(4096, 0);
    let second = Arena::carved(8192, 0);
    let heap = heap_in(&first, 64).expect("a legal heap");
    let object = heap.alloc(100).expect("room");
    // SAFETY: the second arena outlives the heap, and no other heap has it.
    let again = heap.init(unsafe { second.memory() }, Config::new(32));
    assert_eq!(again, Err(InitError::AlreadyInitialised));
    assert_eq!(heap.slab_size(), 64);
    assert!(heap.base().expect("initialised").addr().get() < first.base() + first.size());
    // SAFETY: nobody uses the object.
    assert_eq!(unsafe { heap.free(object.as_ptr()) }, Ok(()));
}

#[test]
fn is_given_some_by_one_of_several_threads() {
    for _ in 0..200 {
        let heap: Heap = Heap::empty();
        let succeeded = AtomicUsize::new(0);
        let mut arrays: Vec<_> = (0..4).map(|_| RegionArray::<2048>::new()).collect();
        thread::scope(|scope| {
            for array in &mut arrays {
                scope.spawn(|| match heap.init(array.as_mut(), Config::new(64)) {
                    Ok(()) => drop(succeeded.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => assert_eq!(error, InitError::AlreadyInitialised),
                });
            }
        });
        assert_eq!(succeeded.into_inner(), 1);
        assert_eq!(heap.check(), Ok(()));
    }
}
