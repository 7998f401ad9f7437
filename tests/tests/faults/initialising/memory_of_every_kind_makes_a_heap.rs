use std::mem::MaybeUninit;

use slabfit::{AllocError, Config, DefaultLock, FirstFit, Heap, Memory, RegionArray};

use super::{bookkeeping_size, use_all_of};

#[test]
fn an_array_on_the_stack() {
    let mut array = RegionArray::<2048>::new();
    let heap = Heap::new(array.as_mut(), Config::new(32)).expect("enough");
    use_all_of(&heap);
}

#[test]
fn a_vector_that_starts_anywhere() {
    let mut bytes = vec![MaybeUninit::new(0xFFu8); 5000];
    for skip in 0..32 {
        use_all_of(&Heap::new(&mut bytes[skip..], Config::new(32)).expect("enough"));
    }
}

#[test]
fn bytes_that_are_given_up_for_ever() {
    let bytes: &'static mut [u8] = vec![0xFF; 5000].leak();
    use_all_of(&Heap::new(bytes, Config::new(32)).expect("enough"));
}

#[test]
fn a_region_and_a_second_piece() {
    let mut region = RegionArray::<4096>::new();
    let mut second = [MaybeUninit::uninit(); bookkeeping_size(4096, 64)];
    let memory = Memory::with_bookkeeping(region.as_mut(), &mut second);
    let heap = Heap::new(memory, Config::new(64)).expect("enough");
    assert_eq!(heap.size(), 4096);
    use_all_of(&heap);
}

#[test]
fn a_static() {
    static HEAP: Heap<'_, DefaultLock, FirstFit> = Heap::empty();
    let array = Box::leak(Box::new(RegionArray::<4096>::new()));
    assert_eq!(HEAP.alloc(1), Err(AllocError::NotInitialised));
    HEAP.init(array.as_mut(), Config::new(64)).expect("the first time");
    use_all_of(&HEAP);
}

#[test]
fn the_same_memory_again_once_the_first_heap_is_gone() {
    let mut array = RegionArray::<2048>::new();
    for _ in 0..3 {
        let heap = Heap::new(array.as_mut(), Config::new(32)).expect("enough");
        let fresh = heap.stats().expect("nobody is in the heap");
        assert_eq!((fresh.slab.live_objects, fresh.slab.allocs), (0, 0));
        assert_eq!((fresh.blocks.live_objects, fresh.blocks.allocs, fresh.blocks.free_blocks), (0, 0, 1));
        use_all_of(&heap);
    }
}
