//! A hardened heap in mapped memory: inaccessible pages round large objects, and under objects of 0 bytes.
#![allow(unsafe_code)]

use std::io::Write;
use std::os::unix::net::UnixStream;

use slabfit::{Config, Damage, General, Hardened, Reason, Trap, Violation};
use slabfit_linux::MappedHeap;

type HardenedHeap = MappedHeap<Hardened<General>>;

fn heap() -> HardenedHeap {
    MappedHeap::with_policy(64 << 20, Config::without_slab().key([7, 11])).expect("there is memory")
}

/// Asks the kernel to read a byte.
fn is_accessible(at: *const u8) -> bool {
    let (mut to, _from) = UnixStream::pair().expect("there are descriptors");
    // SAFETY: the byte is read by the kernel alone, which says so if it cannot.
    let byte = unsafe { std::slice::from_raw_parts(at, 1) };
    to.write(byte).is_ok()
}

fn free(heap: &HardenedHeap, object: *mut u8) -> Result<(), Reason> {
    // SAFETY: nobody uses the object afterwards.
    unsafe { heap.free(object) }.map_err(|wrong| wrong.reason)
}

#[test]
fn a_large_object_stands_between_inaccessible_pages() {
    let heap = heap();
    for size in [64 << 10, (64 << 10) + 1, 100_000, 1 << 20] {
        let object = heap.alloc(size).expect("there is room").as_ptr();
        let end = size.next_multiple_of(4096);
        assert!(is_accessible(object) && is_accessible(object.wrapping_add(size - 1)), "{size} bytes");
        assert!(!is_accessible(object.wrapping_sub(1)) && !is_accessible(object.wrapping_add(end)), "{size} bytes");
        let (before, after) = (object.addr() - 1, object.addr() + end);
        assert_eq!(heap.trap(before), Some(Trap::BeforeStart { address: before, object: object.addr(), size }));
        assert_eq!(heap.trap(after), Some(Trap::PastEnd { address: after, object: object.addr(), size }));
        assert_eq!((heap.usable_size(object), heap.check()), (Ok(size), Ok(())));
        assert_eq!(free(&heap, object), Ok(()));
        assert!(!is_accessible(object) && !is_accessible(object.wrapping_add(size - 1)), "{size} bytes");
        let inside = object.addr() + 5;
        assert_eq!(heap.trap(inside), Some(Trap::AfterFree { address: inside, object: object.addr() }));
        assert_eq!((free(&heap, object), heap.check()), (Err(Reason::DoubleFree), Ok(())));
    }
}

#[test]
fn a_write_in_the_last_page_of_a_large_object_is_found() {
    let heap = heap();
    let object = heap.alloc(100_000).expect("there is room").as_ptr();
    let after = object.wrapping_add(100_000);
    for bytes in [1, 8, 1000] {
        // SAFETY: in the last page of the object: the mistake that is to be found.
        unsafe { after.wrapping_add(bytes - 1).write(b'!') };
        let damage = Damage::PastEnd { address: object.addr(), size: 100_000, bytes };
        assert_eq!(heap.check(), Err(Violation::Damaged(damage)));
        assert_eq!(free(&heap, object), Err(Reason::WrittenPastEnd));
        assert_eq!((heap.repair(), heap.check()), (Ok(1), Ok(())));
    }
    assert_eq!(free(&heap, object), Ok(()));
}

#[test]
fn an_object_of_0_bytes_has_an_address_of_its_own_without_access() {
    let heap = heap();
    let mut objects: Vec<_> = (0..5000).map(|_| heap.alloc(0).expect("there is room").as_ptr()).collect();
    let with_address = objects.iter().filter(|object| heap.trap(object.addr()).is_some()).count();
    assert_eq!(with_address, (64 << 10) / 16, "the others are slots");
    let first = objects[0];
    assert!(!is_accessible(first) && heap.usable_size(first) == Ok(0));
    assert_eq!(heap.trap(first.addr()), Some(Trap::NoBytes { address: first.addr(), object: first.addr() }));
    objects.sort_unstable();
    objects.dedup();
    assert_eq!((objects.len(), heap.check()), (5000, Ok(())));
    // SAFETY: nobody uses it afterwards.
    let grown = unsafe { heap.realloc(first, 100) }.expect("there is room").as_ptr();
    assert_eq!((heap.usable_size(grown), free(&heap, first)), (Ok(100), Err(Reason::DoubleFree)));
    for object in objects.into_iter().filter(|object| *object != first) {
        assert_eq!(free(&heap, object), Ok(()));
        assert_eq!(free(&heap, object), Err(Reason::DoubleFree));
    }
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn large_objects_of_changing_sizes_keep_their_bytes() {
    let heap = heap();
    let mut object = heap.alloc(70_000).expect("there is room").as_ptr();
    // SAFETY: the object has so many bytes.
    unsafe { object.write_bytes(b'x', 70_000) };
    for size in [70_001, 69_000, 80_000, 300_000, 70_000, 2000, 70_000, 65_536] {
        // SAFETY: nobody uses the old object.
        object = unsafe { heap.realloc(object, size) }.expect("there is room").as_ptr();
        // SAFETY: the object has so many bytes.
        let bytes = unsafe { std::slice::from_raw_parts_mut(object, size) };
        assert!(bytes[..2000].iter().all(|byte| *byte == b'x'), "{size} bytes");
        bytes.fill(b'x');
        assert_eq!((heap.usable_size(object), heap.check()), (Ok(size), Ok(())));
    }
    assert_eq!(free(&heap, object), Ok(()));
}

#[test]
fn all_memory_can_be_had_though_it_is_in_quarantine() {
    let heap = heap();
    for round in 0..3 {
        for size in [20 << 20, 1 << 20, 100_000] {
            let objects: Vec<_> = std::iter::from_fn(|| heap.alloc(size).ok()).collect();
            assert!(objects.len() * size > 36 << 20, "round {round}: {} objects of {size} bytes", objects.len());
            for object in objects {
                assert_eq!(free(&heap, object.as_ptr()), Ok(()));
            }
            assert_eq!(heap.check(), Ok(()));
        }
        assert!(heap.stats().expect("free to enter").quarantine.objects > 0);
    }
    let quarantine = heap.stats().expect("free to enter").quarantine;
    assert!(quarantine.bytes <= (64 << 20) / 8 + (1 << 20), "{quarantine:?}");
}
