//! Collections that name their allocator live in a borrowed heap, whichever version of allocator-api2 they know.
//! (On a nightly compiler, that of 0.2 may be std's: ci/quick/15-features has it so.)
#![allow(missing_docs)]
#![cfg_attr(slabfit_allocator_api, allow(unknown_lints, unused_features), feature(allocator_api))]

use std::alloc::Layout;
use std::cell::Cell;
use std::mem::MaybeUninit;

use slabfit::{Config, Heap, Hooks, InvalidFree, Reason, RegionArray};

fn nothing_is_left_in(heap: &Heap<'_>) {
    assert_eq!(heap.check(), Ok(()));
    let stats = heap.stats().unwrap();
    assert_eq!((stats.slab.live_objects, stats.blocks.live_objects), (0, 0));
    assert_eq!((stats.slab.refused_frees, stats.blocks.refused_frees, stats.refused_outside), (0, 0, 0));
}

macro_rules! in_a_borrowed_heap {
    ($version:ident, $api:ident) => {
        mod $version {
            use super::*;
            use $api::alloc::Allocator;
            use $api::boxed::Box;
            use $api::vec::Vec;

            #[test]
            fn a_vec_lives_there_and_leaves_nothing() {
                let mut array = RegionArray::<{ 128 << 10 }>::new();
                let heap = Heap::new(&mut array, Config::new(64)).unwrap();
                let mut numbers = Vec::new_in(&heap);
                numbers.extend((0..5_000u64).rev());
                assert!(heap.owns(numbers.as_ptr().cast()));
                numbers.sort_unstable();
                assert!(numbers.iter().copied().eq(0..5_000));
                numbers.truncate(8);
                numbers.shrink_to_fit();
                assert!(numbers.iter().copied().eq(0..8));
                drop(numbers);
                nothing_is_left_in(&heap);
            }

            #[test]
            fn an_object_of_another_layout_is_refused_and_reported() {
                thread_local!(static REPORTED: Cell<Option<InvalidFree>> = const { Cell::new(None) });
                static HOOKS: Hooks = Hooks::new().invalid_free(|wrong| REPORTED.set(Some(wrong)));
                let mut array = RegionArray::<4096>::new();
                let heap = Heap::new(&mut array, Config::without_slab().hooks(&HOOKS)).unwrap();
                let (own, wrong) = (Layout::new::<[u64; 10]>(), Layout::new::<[u64; 20]>());
                let object = (&heap).allocate(own).unwrap().cast::<u8>();
                let report = InvalidFree { address: object.addr().get(), reason: Reason::SizeMismatch };
                // SAFETY: it is refused.
                unsafe { (&heap).deallocate(object, wrong) };
                assert_eq!(REPORTED.take(), Some(report));
                // SAFETY: as above.
                assert!(unsafe { (&heap).grow(object, wrong, Layout::new::<[u64; 30]>()) }.is_err());
                assert_eq!(REPORTED.take(), Some(report));
                // SAFETY: nobody uses the object afterwards.
                unsafe { (&heap).deallocate(object, own) };
                assert_eq!(REPORTED.take(), None);
                assert_eq!(heap.stats().unwrap().blocks.live_objects, 0);
            }

            #[test]
            fn a_vec_grows_where_it_stands() {
                let mut array = RegionArray::<{ 64 << 10 }>::new();
                let heap = Heap::new(&mut array, Config::new(64)).unwrap();
                let mut bytes: Vec<u8, _> = Vec::with_capacity_in(100, &heap);
                let before = bytes.as_ptr();
                bytes.reserve_exact(40_000);
                assert_eq!(bytes.as_ptr(), before);
            }

            #[test]
            fn a_request_too_large_is_refused_and_changes_nothing() {
                let mut array = RegionArray::<4096>::new();
                let heap = Heap::new(&mut array, Config::new(64)).unwrap();
                let mut bytes: Vec<u8, _> = Vec::new_in(&heap);
                bytes.extend_from_slice(b"as it was");
                assert!(bytes.try_reserve(4096).is_err());
                assert_eq!(bytes.as_slice(), b"as it was");
            }

            #[test]
            fn boxes_of_any_alignment_live_there() {
                #[repr(align(1024))]
                struct Wide(u32);

                let mut array = RegionArray::<{ 32 << 10 }>::new();
                let heap = Heap::new(&mut array, Config::new(64)).unwrap();
                let boxes = [1, 2, 3].map(|number| Box::new_in(Wide(number), &heap));
                for (number, wide) in (1..).zip(&boxes) {
                    assert_eq!((&raw const **wide).addr() % 1024, 0);
                    assert_eq!(wide.0, number);
                }
                drop(boxes);
                drop(Box::new_in((), &heap));
                nothing_is_left_in(&heap);
            }

            #[test]
            fn zeros_are_zeros_in_memory_that_was_used() {
                let mut array = RegionArray::<8192>::new();
                let heap = Heap::new(&mut array, Config::new(64)).unwrap();
                let (small, large) = (Layout::new::<[u8; 100]>(), Layout::new::<[u8; 2000]>());
                let mut dirt = Vec::new_in(&heap);
                dirt.resize(4000, 0xFFu8);
                drop(dirt);

                let object = (&heap).allocate_zeroed(small).unwrap().cast::<u8>();
                // SAFETY: 100 bytes, all written.
                assert_eq!(unsafe { object.cast::<[u8; 100]>().read() }, [0; 100]);
                // SAFETY: 100 bytes.
                unsafe { object.write_bytes(0xFF, 100) };
                // SAFETY: the object has the old layout, and nobody uses it afterwards.
                let object = unsafe { (&heap).grow_zeroed(object, small, large) }.unwrap().cast::<u8>();
                // SAFETY: 2000 bytes, all written.
                let bytes = unsafe { object.cast::<[u8; 2000]>().read() };
                assert!(bytes[..100].iter().all(|&byte| byte == 0xFF) && bytes[100..].iter().all(|&byte| byte == 0));
                // SAFETY: the object has the old layout, and the same one afterwards.
                let same = unsafe { (&heap).grow_zeroed(object, large, large) }.unwrap().cast::<u8>();
                // SAFETY: as above.
                assert_eq!((same, unsafe { same.cast::<[u8; 2000]>().read() }), (object, bytes));
                // SAFETY: nobody uses the object afterwards.
                unsafe { (&heap).deallocate(object, large) };
                nothing_is_left_in(&heap);
            }

            /// It would cost the more the larger the object is.
            #[test]
            fn what_need_not_be_zeros_is_not_written() {
                let mut array = RegionArray::<8192>::new();
                array.as_mut().fill(MaybeUninit::new(0xA5));
                let heap = Heap::new(&mut array, Config::new(64)).unwrap();
                for size in [64, 100, 2000] {
                    let layout = Layout::from_size_align(size, 8).unwrap();
                    let object = (&heap).allocate(layout).unwrap();
                    let first = object.cast::<u8>().as_ptr();
                    for at in 0..size {
                        // SAFETY: inside the object; the array was initialised, and nobody else uses these bytes.
                        let byte = unsafe { first.wrapping_add(at).read() };
                        assert_eq!(byte, 0xA5, "byte {at} of {size}");
                    }
                }
            }

            #[test]
            fn an_object_of_no_bytes_takes_no_memory_until_it_grows() {
                let mut array = RegionArray::<4096>::new();
                let heap = Heap::new(&mut array, Config::new(64)).unwrap();
                let nothing = Layout::from_size_align(0, 64).unwrap();
                let something = Layout::from_size_align(40, 64).unwrap();
                let object = (&heap).allocate(nothing).unwrap();
                assert_eq!((object.len(), object.addr().get() % 64), (0, 0));
                nothing_is_left_in(&heap);
                // SAFETY: the object has the old layout, and nobody uses it afterwards.
                let object = unsafe { (&heap).grow(object.cast(), nothing, something) }.unwrap();
                assert_eq!((object.len(), object.addr().get() % 64), (40, 0));
                // SAFETY: as above.
                let object = unsafe { (&heap).shrink(object.cast(), something, nothing) }.unwrap();
                nothing_is_left_in(&heap);
                // SAFETY: nobody uses the object afterwards.
                unsafe { (&heap).deallocate(object.cast(), nothing) };
                nothing_is_left_in(&heap);
            }
        }
    };
}

in_a_borrowed_heap!(v02, allocator_api2_02);
in_a_borrowed_heap!(v03, allocator_api2_03);
in_a_borrowed_heap!(v04, allocator_api2_04);

#[test]
fn a_map_of_hashbrown_lives_there_and_leaves_nothing() {
    let mut array = RegionArray::<{ 256 << 10 }>::new();
    let heap = Heap::new(&mut array, Config::new(64)).unwrap();
    let mut squares = hashbrown::HashMap::with_hasher_in(std::hash::RandomState::new(), &heap);
    squares.extend((0..2_000u64).map(|number| (number, number * number)));
    squares.retain(|number, _| number % 3 == 0);
    squares.shrink_to_fit();
    assert!((0..2_000).all(|number| squares.get(&number).copied() == (number % 3 == 0).then_some(number * number)));
    assert!(heap.stats().unwrap().blocks.live_bytes > 667 * 16);
    drop(squares);
    nothing_is_left_in(&heap);
}
