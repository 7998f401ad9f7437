//! Several heaps as one allocator: which of them serves a request, where an object is freed, and when one moves.
#![allow(missing_docs)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr;

use slabfit::{AllocError, Bank, Banks, Config, DefaultLock, FirstFit, General, Heap, Hooks, InvalidFree, NextFit};
use slabfit::{Policy, ReallocError, Reason, RegionArray, StaticArray, StaticHeap};

const KIB: usize = 1 << 10;

/// A bank of 4 KiB, without a slab.
fn small<P: Policy>() -> &'static Heap<'static, DefaultLock, P> {
    leaked::<{ 4 * KIB }, P>()
}

fn leaked<const N: usize, P: Policy>() -> &'static Heap<'static, DefaultLock, P> {
    let region = Box::leak(Box::new(RegionArray::<N>::new()));
    Box::leak(Box::new(Heap::from_memory(region, Config::without_slab()).unwrap()))
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

fn alloc<const N: usize>(banks: &Banks<N>, size: usize) -> *mut u8 {
    banks.alloc_layout(layout(size)).unwrap().as_ptr()
}

fn free<const N: usize>(banks: &Banks<N>, object: *mut u8, size: usize) -> Result<(), Reason> {
    // SAFETY: nobody uses the objects of these tests.
    unsafe { banks.free_sized(object, layout(size)) }.map_err(|wrong| wrong.reason)
}

fn realloc<const N: usize>(banks: &Banks<N>, object: *mut u8, size: usize, new_size: usize) -> *mut u8 {
    // SAFETY: nobody uses the objects of these tests.
    unsafe { banks.realloc_layout(object, layout(size), new_size) }.unwrap().as_ptr()
}

fn live<P: Policy>(bank: &Heap<'_, DefaultLock, P>) -> usize {
    bank.stats().unwrap().blocks.live_objects
}

#[test]
fn the_first_bank_that_can_serves_a_request_and_gets_its_object_back() {
    let (first, second) = (small::<FirstFit>(), small::<NextFit>());
    let banks = Banks::new([first, second]);
    let objects = [2000, 2000, 1000, 1000, 100].map(|size| (alloc(&banks, size), size));
    let numbers = objects.map(|(object, _)| banks.bank_of(object));
    assert_eq!(numbers, [Some(0), Some(1), Some(0), Some(1), Some(0)]);
    assert_eq!((live(first), live(second)), (3, 2));
    assert_eq!(banks.alloc_layout(layout(3000)), Err(AllocError::Full));
    for (object, size) in objects {
        assert_eq!(free(&banks, object, size), Ok(()));
    }
    assert_eq!((live(first), live(second)), (0, 0));
    assert_eq!((first.check(), second.check()), (Ok(()), Ok(())));
}

#[test]
fn a_rule_names_the_banks_for_each_request_and_their_order() {
    fn by_size(request: Layout) -> &'static [usize] {
        match request.size() {
            0..100 => &[2, 7, 0],
            100..1000 => &[1],
            _ => &[],
        }
    }
    let banks = Banks::new([small::<FirstFit>(), small::<FirstFit>(), small::<FirstFit>()]).rule(by_size);
    assert_eq!(banks.bank_of(alloc(&banks, 50)), Some(2));
    assert_eq!(banks.bank_of(alloc(&banks, 500)), Some(1));
    assert_eq!(banks.alloc_layout(layout(1000)), Err(AllocError::Full), "no bank was asked");
    while banks.alloc_layout(layout(500)).is_ok() {}
    assert_eq!(banks.bank_of(alloc(&banks, 50)), Some(2), "the bank that is full is another");
    let in_the_last = (0..).map(|_| alloc(&banks, 90)).take_while(|object| banks.bank_of(*object) == Some(2)).count();
    assert!(in_the_last > 20, "7 is no bank, and the first serves what the last cannot");
}

#[test]
fn a_wrong_free_is_refused_by_the_bank_that_it_lies_in_or_by_the_first() {
    let (first, second) = (small::<FirstFit>(), small::<General>());
    let banks = Banks::new([first, second]).rule(|_| &[1]);
    let object = alloc(&banks, 100);
    assert_eq!(free(&banks, object, 500), Err(Reason::SizeMismatch));
    assert_eq!(free(&banks, object.wrapping_add(1), 100), Err(Reason::Misaligned));
    assert_eq!(free(&banks, object, 100), Ok(()));
    assert_eq!(free(&banks, object, 100), Err(Reason::DoubleFree));
    let mut nobodys = 0u64;
    assert_eq!(free(&banks, (&raw mut nobodys).cast(), 8), Err(Reason::OutsideHeap));
    assert_eq!(first.stats().unwrap().refused_outside, 1);
    assert_eq!(second.stats().unwrap().blocks.refused_frees, 3);
    let none = Banks::<0>::new([]);
    assert_eq!(free(&none, object, 100), Err(Reason::OutsideHeap));
    assert_eq!(none.alloc_layout(layout(1)), Err(AllocError::Full));
}

#[test]
fn an_object_grows_in_its_bank_and_moves_to_another_only_where_that_is_full() {
    let banks = Banks::new([small::<FirstFit>(), small::<FirstFit>()]);
    let object = alloc(&banks, 1000);
    // SAFETY: it has so many bytes, and nobody uses them.
    unsafe { object.write_bytes(0xa5, 1000) };
    let wall = alloc(&banks, 100);
    let grown = realloc(&banks, object, 1000, 1500);
    assert_eq!(banks.bank_of(grown), Some(0));
    let moved = realloc(&banks, grown, 1500, 3000);
    assert_eq!(banks.bank_of(moved), Some(1));
    // SAFETY: it has so many bytes, of which the first were written.
    assert!(unsafe { std::slice::from_raw_parts(moved, 1000) }.iter().all(|&byte| byte == 0xa5));
    assert_eq!(free(&banks, grown, 1500), Err(Reason::DoubleFree));
    // SAFETY: nobody uses the object.
    let refused = unsafe { banks.realloc_layout(moved, layout(3000), 4000) };
    assert_eq!(refused, Err(ReallocError::Alloc(AllocError::Full)));
    assert_eq!((free(&banks, moved, 3000), free(&banks, wall, 100)), (Ok(()), Ok(())));
}

#[test]
fn an_object_leaves_a_bank_that_the_rule_does_not_name_for_its_new_size() {
    let (first, second) = (small::<FirstFit>(), leaked::<{ 64 * KIB }, General>());
    let banks = Banks::new([first, second]).rule(|request| if request.size() < 200 { &[0] } else { &[1] });
    let object = alloc(&banks, 100);
    // SAFETY: it has so many bytes, and nobody uses them.
    unsafe { object.write_bytes(0xa5, 100) };
    let large = realloc(&banks, object, 100, 300);
    assert_eq!((banks.bank_of(large), live(first)), (Some(1), 0));
    let small = realloc(&banks, large, 300, 50);
    assert_eq!(banks.bank_of(small), Some(0));
    // SAFETY: it has so many bytes, all of which were written.
    assert!(unsafe { std::slice::from_raw_parts(small, 50) }.iter().all(|&byte| byte == 0xa5));
    for (address, reason) in [(large, Reason::DoubleFree), (small.wrapping_add(16), Reason::NotAStart)] {
        // SAFETY: nobody uses the objects.
        let refused = unsafe { banks.realloc_layout(address, layout(50), 5000) }.unwrap_err();
        assert_eq!(refused, InvalidFree { address: address.addr(), reason }.into(), "before a byte is read");
    }
    assert_eq!(free(&banks, small, 50), Ok(()));
}

#[test]
fn an_object_of_0_bytes_counts_as_one_of_1() {
    let banks = Banks::new([small::<FirstFit>()]);
    // With a granule more than it needs, which is all that is left.
    let gap = alloc(&banks, 32);
    let wall = alloc(&banks, 16);
    assert_eq!(free(&banks, gap, 32), Ok(()));
    let empty = alloc(&banks, 0);
    assert_eq!(empty, gap);
    assert_eq!(realloc(&banks, empty, 0, 0), empty);
    assert_eq!((free(&banks, empty, 0), free(&banks, wall, 16)), (Ok(()), Ok(())));
}

#[test]
fn a_bank_is_added_when_its_heap_gets_memory() {
    static LATER: Heap<'static, DefaultLock, FirstFit> = Heap::empty();
    let banks = Banks::new([small::<FirstFit>(), &LATER]);
    assert_eq!(banks.alloc_layout(layout(5000)), Err(AllocError::NotInitialised));
    LATER.init(Box::leak(Box::new(RegionArray::<8192>::new())), Config::without_slab()).unwrap();
    assert_eq!(banks.bank_of(alloc(&banks, 5000)), Some(1));
}

#[test]
fn banks_in_statics_are_set_up_by_their_first_use_and_can_be_a_bank() {
    static FAST_ARRAY: StaticArray<4096> = StaticArray::new();
    static FAST: StaticHeap = StaticHeap::new(&FAST_ARRAY, Config::new(64));
    static SLOW_ARRAY: StaticArray<8192, DefaultLock, General> = StaticArray::new();
    static SLOW: StaticHeap<DefaultLock, General> = StaticHeap::new(&SLOW_ARRAY, Config::without_slab());
    static LAST_ARRAY: StaticArray<16384> = StaticArray::new();
    static LAST: StaticHeap = StaticHeap::new(&LAST_ARRAY, Config::new(64));
    static BOTH: Banks<2> = Banks::new([&FAST, &SLOW]);
    static ALL: Banks<2> = Banks::new([&BOTH, &LAST]);
    let mut nobodys = 0u64;
    assert_eq!(free(&ALL, (&raw mut nobodys).cast(), 8), Err(Reason::OutsideHeap));
    let objects = [100, 5000, 9000].map(|size| (alloc(&ALL, size), size));
    assert!(FAST.owns(objects[0].0) && SLOW.owns(objects[1].0) && LAST.owns(objects[2].0));
    assert_eq!(objects.map(|(object, _)| ALL.bank_of(object)), [Some(0), Some(0), Some(1)]);
    for (object, size) in objects {
        assert_eq!(free(&ALL, object, size), Ok(()));
    }
    assert_eq!(format!("{ALL:?}"), "Banks { count: 2, .. }");
}

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
    static WRONG: Cell<Option<InvalidFree>> = const { Cell::new(None) };
}

static HOOKS: Hooks = Hooks::new()
    .out_of_memory(|request| {
        ASKED.set(ASKED.get() + request.size());
        false
    })
    .invalid_free(|wrong| WRONG.set(Some(wrong)));

#[test]
fn as_a_global_allocator_they_call_their_hooks_once_no_bank_can_serve() {
    let banks = Banks::new([small::<FirstFit>() as &(dyn Bank + Sync), small::<General>()]).hooks(&HOOKS);
    // SAFETY: of more than 0 bytes.
    let objects = [2000, 2000].map(|size| unsafe { GlobalAlloc::alloc(&banks, layout(size)) });
    assert!(objects.map(|object| banks.bank_of(object)) == [Some(0), Some(1)] && ASKED.get() == 0);
    // SAFETY: as above.
    assert!(unsafe { GlobalAlloc::alloc(&banks, layout(2000)) }.is_null() && ASKED.get() == 2000);
    // SAFETY: nobody uses the object.
    assert!(unsafe { GlobalAlloc::realloc(&banks, objects[0], layout(2000), 4000) }.is_null() && ASKED.get() == 6000);
    // SAFETY: as above.
    unsafe { GlobalAlloc::dealloc(&banks, objects[1], layout(2000)) };
    assert_eq!(WRONG.get(), None);
    // SAFETY: as above.
    unsafe { GlobalAlloc::dealloc(&banks, objects[1], layout(2000)) };
    assert_eq!(WRONG.take(), Some(InvalidFree { address: objects[1].addr(), reason: Reason::DoubleFree }));
    // SAFETY: it has so many bytes, and nobody uses them.
    unsafe { ptr::write_bytes(objects[0], 0xa5, 2000) };
    // SAFETY: as above.
    unsafe { GlobalAlloc::dealloc(&banks, objects[0], layout(2000)) };
    // SAFETY: of more than 0 bytes.
    let zeros = unsafe { GlobalAlloc::alloc_zeroed(&banks, layout(2000)) };
    assert_eq!(zeros, objects[0]);
    // SAFETY: it has so many bytes, all of which were written.
    assert!(unsafe { std::slice::from_raw_parts(zeros, 2000) }.iter().all(|&byte| byte == 0));
}
