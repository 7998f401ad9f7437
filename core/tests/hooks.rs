//! The functions that a heap calls where it cannot return an error: when, with what, and that they may use the heap.
#![allow(missing_docs)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::{Cell, RefCell};
use std::ptr;

use slabfit::{Config, DefaultLock, FirstFit, Heap, Hooks, InvalidFree, NoLock, Reason, RegionArray, Violation};

/// A lock that a call from within the heap finds held.
type TestHeap = Heap<'static, NoLock, FirstFit>;

thread_local! {
    static HEAP: Cell<Option<&'static TestHeap>> = const { Cell::new(None) };
    /// What the hook frees, and whether it asks for another try.
    static RESERVE: Cell<*mut u8> = const { Cell::new(ptr::null_mut()) };
    static AGAIN: Cell<bool> = const { Cell::new(false) };
    static ASKED: RefCell<Vec<Layout>> = const { RefCell::new(Vec::new()) };
    static WRONG: RefCell<Vec<InvalidFree>> = const { RefCell::new(Vec::new()) };
    static FOUND: RefCell<Vec<Violation>> = const { RefCell::new(Vec::new()) };
}

static HOOKS: Hooks = Hooks::new().out_of_memory(give_way).invalid_free(note_wrong).violation(note_found);

fn give_way(request: Layout) -> bool {
    ASKED.with_borrow_mut(|asked| asked.push(request));
    let reserve = RESERVE.replace(ptr::null_mut());
    if !reserve.is_null() {
        let heap = HEAP.get().expect("the test has made it");
        // SAFETY: nobody uses the reserve afterwards.
        unsafe { heap.free(reserve) }.expect("no lock is held while a hook runs");
    }
    AGAIN.get()
}

fn note_wrong(wrong: InvalidFree) {
    let heap = HEAP.get().expect("the test has made it");
    assert_eq!(heap.check(), Ok(()), "no lock is held while a hook runs");
    WRONG.with_borrow_mut(|all| all.push(wrong));
}

fn note_found(violation: Violation) {
    let heap = HEAP.get().expect("the test has made it");
    assert!(heap.stats().is_ok(), "no lock is held while a hook runs");
    FOUND.with_borrow_mut(|all| all.push(violation));
}

/// A heap of 4 KiB with the hooks, of this thread.
fn heap() -> &'static TestHeap {
    let region = Box::leak(Box::new(RegionArray::<4096>::new()));
    let heap = Heap::from_memory(region, Config::without_slab().hooks(&HOOKS)).unwrap();
    let heap = Box::leak(Box::new(heap));
    HEAP.set(Some(heap));
    heap
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

fn alloc(heap: &TestHeap, size: usize) -> *mut u8 {
    // SAFETY: of more than 0 bytes.
    unsafe { GlobalAlloc::alloc(heap, layout(size)) }
}

fn asked() -> Vec<Layout> {
    ASKED.take()
}

fn wrong() -> Vec<InvalidFree> {
    WRONG.take()
}

#[test]
fn a_request_that_fails_is_tried_once_more_if_the_hook_asks_for_it() {
    let heap = heap();
    RESERVE.set(alloc(heap, 2000));
    let rest = alloc(heap, 1000);
    assert!(!rest.is_null() && asked().is_empty(), "there was memory");
    AGAIN.set(true);
    let object = alloc(heap, 1800);
    assert!(!object.is_null(), "the hook has made room");
    assert_eq!(asked(), [layout(1800)]);
    assert!(alloc(heap, 1800).is_null());
    assert_eq!(asked(), [layout(1800)], "one more try, and no third");
}

#[test]
fn a_request_that_fails_is_not_tried_again_if_the_hook_does_not_ask() {
    let heap = heap();
    RESERVE.set(alloc(heap, 2000));
    alloc(heap, 1000);
    assert!(alloc(heap, 1800).is_null(), "although there is room now");
    assert_eq!(asked(), [layout(1800)]);
    assert!(!alloc(heap, 1800).is_null());
}

#[test]
fn a_request_for_zeros_gets_them_from_the_second_try_too() {
    let heap = heap();
    let reserve = alloc(heap, 2000);
    alloc(heap, 1000);
    // SAFETY: it has so many bytes, and nobody uses them.
    unsafe { reserve.write_bytes(0xa5, 2000) };
    RESERVE.set(reserve);
    AGAIN.set(true);
    // SAFETY: of more than 0 bytes.
    let object = unsafe { GlobalAlloc::alloc_zeroed(heap, layout(1800)) };
    assert_eq!(object, reserve);
    // SAFETY: it has so many bytes, all of which were written.
    assert!(unsafe { std::slice::from_raw_parts(object, 1800) }.iter().all(|&byte| byte == 0));
    assert_eq!(asked(), [layout(1800)]);
}

#[test]
fn an_object_that_cannot_grow_is_tried_once_more_and_keeps_its_bytes() {
    let heap = heap();
    let object = alloc(heap, 100);
    // SAFETY: it has so many bytes, and nobody uses them.
    unsafe { object.write_bytes(0xa5, 100) };
    RESERVE.set(alloc(heap, 2500));
    alloc(heap, 300);
    // SAFETY: nobody uses the object.
    let grown = unsafe { GlobalAlloc::realloc(heap, object, layout(100), 1800) };
    assert!(grown.is_null(), "the hook does not ask for another try");
    assert_eq!(asked(), [layout(1800)]);
    let next = alloc(heap, 2500);
    RESERVE.set(next);
    AGAIN.set(true);
    // SAFETY: nobody uses the object afterwards but through what is returned.
    let grown = unsafe { GlobalAlloc::realloc(heap, object, layout(100), 1800) };
    assert!(!grown.is_null(), "the hook has made room");
    assert_eq!(asked(), [layout(1800)]);
    // SAFETY: it has so many bytes, all of which were written.
    assert!(unsafe { std::slice::from_raw_parts(grown, 100) }.iter().all(|&byte| byte == 0xa5));
}

#[test]
fn a_wrong_free_is_reported_with_its_address_and_its_reason() {
    let heap = heap();
    let object = alloc(heap, 100);
    let report = |reason| vec![InvalidFree { address: object.addr(), reason }];
    // SAFETY: the first is refused; nobody uses the object after the second.
    unsafe { GlobalAlloc::dealloc(heap, object, layout(500)) };
    assert_eq!(wrong(), report(Reason::SizeMismatch));
    // SAFETY: as above.
    unsafe { GlobalAlloc::dealloc(heap, object, layout(100)) };
    assert!(wrong().is_empty());
    // SAFETY: nobody uses the object.
    unsafe { GlobalAlloc::dealloc(heap, object, layout(100)) };
    assert_eq!(wrong(), report(Reason::DoubleFree));
    // SAFETY: as above.
    assert!(unsafe { GlobalAlloc::realloc(heap, object, layout(100), 50) }.is_null());
    assert_eq!(wrong(), report(Reason::DoubleFree));
    assert!(asked().is_empty(), "a refusal is no lack of memory");
}

#[test]
fn a_call_that_returns_its_error_calls_no_hook() {
    let heap = heap();
    let object = heap.alloc(100).unwrap().as_ptr();
    assert!(heap.alloc(5000).is_err());
    // SAFETY: nobody uses the object.
    unsafe { heap.free(object) }.unwrap();
    // SAFETY: as above.
    assert!(unsafe { heap.free(object) }.is_err());
    // SAFETY: as above.
    assert!(unsafe { heap.realloc(object, 10) }.is_err());
    assert!(asked().is_empty() && wrong().is_empty());
}

#[test]
fn a_check_that_fails_reports_what_it_returns() {
    let heap = heap();
    let object = alloc(heap, 100);
    assert_eq!(heap.check(), Ok(()));
    assert!(FOUND.take().is_empty());
    // SAFETY: the object's header stands there, and the heap expects anything of it.
    unsafe { object.wrapping_sub(slabfit::GRANULE).write_bytes(0xff, 4) };
    let violation = heap.check().unwrap_err();
    assert_eq!(violation, Violation::Overwritten { address: object.addr() - slabfit::GRANULE });
    assert_eq!(FOUND.take(), [violation]);
}

#[test]
fn without_a_hook_a_wrong_free_is_counted_and_nothing_else_happens() {
    let region = Box::leak(Box::new(RegionArray::<4096>::new()));
    let heap = Heap::<DefaultLock, FirstFit>::from_memory(region, Config::without_slab().hooks(&NO_HOOKS)).unwrap();
    static NO_HOOKS: Hooks = Hooks::new();
    // SAFETY: of more than 0 bytes.
    let object = unsafe { GlobalAlloc::alloc(&heap, layout(100)) };
    for refused in 0..2 {
        // SAFETY: nobody uses the object.
        unsafe { GlobalAlloc::dealloc(&heap, object, layout(100)) };
        assert_eq!(heap.stats().unwrap().blocks.refused_frees, refused);
    }
    // SAFETY: of more than 0 bytes.
    assert!(unsafe { GlobalAlloc::alloc(&heap, layout(5000)) }.is_null());
    // SAFETY: as above.
    assert!(unsafe { GlobalAlloc::alloc_zeroed(&heap, layout(5000)) }.is_null());
    assert_eq!(heap.check(), Ok(()));
}

#[cfg(unix)]
#[test]
fn a_hook_that_panics_ends_the_program() {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    const PANICS: &str = "SLABFIT_HOOK_PANICS";
    if std::env::var_os(PANICS).is_some() {
        static STOP: Hooks = Hooks::new().invalid_free(|wrong| panic!("stopped by {:?}", wrong.reason));
        let region = Box::leak(Box::new(RegionArray::<4096>::new()));
        let heap = TestHeap::from_memory(region, Config::without_slab().hooks(&STOP)).unwrap();
        // SAFETY: nothing is there.
        unsafe { GlobalAlloc::dealloc(&heap, ptr::without_provenance_mut(16), layout(8)) };
        return;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "a_hook_that_panics_ends_the_program", "--nocapture"]).env(PANICS, "1");
    let ended = again.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("stopped by OutsideHeap"), "{said}");
    assert_eq!(ended.status.signal(), Some(6), "aborted: {:?}", ended.status);
}
