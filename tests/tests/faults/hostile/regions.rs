//! Regions: of every small length, at every offset, prefilled, at the ends of the address space.

use std::mem::MaybeUninit;
use std::ptr;
use std::ptr::without_provenance_mut;

use slabfit::{
    Config, GRANULE, Heap, InitError, InvalidFree, MIN_HEAP, MIN_REGION, Memory, NextFit, Reason, RegionArray, Segment,
    bookkeeping_size,
};
use slabfit_tests::abuse::fenced::{Case, Edge, Fenced};
use slabfit_tests::abuse::lab::{Lab, raw_alloc, raw_free};
use slabfit_tests::any_heap::AnyHeap;

use super::{Matrix, case, heap_in, is_usable, with_classes};

/// What a heap in these bytes answers. Both edges are inaccessible as far as the length allows it.
fn made_of(memory: &Fenced, skip: usize, len: usize, slab_size: usize) -> Result<AnyHeap, InitError> {
    let start = without_provenance_mut::<u8>(memory.base() + skip);
    let first = memory.bytes().as_ptr().cast_mut();
    let start = first.with_addr(start.addr());
    // SAFETY: the bytes are readable and writable for as long as the memory lives, which outlives every heap below, and
    // no other heap has them.
    let pieces = unsafe { Memory::from_raw(start, len) };
    heap_in(pieces, Config::new(slab_size))
}

pub(super) fn cases() -> Matrix {
    let mut rows = Matrix::default();
    too_small(&mut rows);
    just_large_enough(&mut rows);
    at_every_offset(&mut rows);
    with_anything_in_them(&mut rows);
    rows.add("the last page that a program can have", last_user_page);
    rows.add("a region at null", || {
        // SAFETY: null is allowed and means no bytes.
        let made = heap_in(unsafe { Memory::from_raw(ptr::null_mut(), 4096) }, Config::new(64));
        assert_eq!(made.err(), Some(InitError::TooSmall { size: 0, minimum: MIN_REGION }));
    });
    rows
}

fn too_small(rows: &mut Matrix) {
    for len in 0..=64 {
        rows.add(format!("a region of {len} bytes"), move || {
            for edge in [Edge::Low, Edge::High] {
                let memory = Fenced::new(len, None, edge);
                let made = made_of(&memory, 0, len, 16).map(drop);
                // At the high edge a length that is no multiple of 16 also loses what is left of its first granule.
                assert!(
                    matches!(made, Err(InitError::TooSmall { size, minimum: MIN_REGION }) if size <= len),
                    "{made:?}"
                );
                assert!(memory.bytes().iter().all(|&byte| byte == 0xA5) && memory.is_clean_outside());
            }
        });
        rows.add(format!("a region of {len} bytes with bookkeeping elsewhere"), move || {
            let mut region = RegionArray::<64>::new();
            let mut second = [MaybeUninit::<u8>::uninit(); bookkeeping_size::<NextFit>(64, Config::new(16))];
            let memory = Memory::with_bookkeeping(&mut region.as_mut()[..len], &mut second);
            let made = Heap::new(memory, Config::new(16));
            let expected =
                if len < MIN_HEAP { Err(InitError::TooSmall { size: len, minimum: MIN_HEAP }) } else { Ok(()) };
            assert_eq!(made.map(drop), expected);
        });
    }
}

fn just_large_enough(rows: &mut Matrix) {
    for len in [MIN_REGION - 1, MIN_REGION, MIN_REGION + 1, MIN_REGION + 15, MIN_REGION + 16, 4095, 4096] {
        rows.add(format!("a carved region of {len} bytes"), move || {
            let memory = Fenced::new(len, None, Edge::Low);
            match made_of(&memory, 0, len, 16) {
                Ok(heap) => is_usable(&heap),
                Err(error) => {
                    assert_eq!((len, error), (MIN_REGION - 1, InitError::TooSmall { size: len, minimum: MIN_REGION }));
                }
            }
            assert!(memory.is_clean_outside());
        });
    }
    for (name, less) in [("the smallest with a size class", 0), ("one granule too small for a size class", GRANULE)] {
        rows.add(format!("a region of {name}"), move || {
            let case = with_classes();
            let mut lab = Lab::new(Case { size: case.size - less, ..case });
            let object = lab.alloc(1, 1).unwrap().expect("it fits");
            lab.compare().unwrap();
            assert_eq!(lab.model.stats().classes[0].live_objects, usize::from(less == 0));
            assert_eq!(lab.free(object).unwrap(), Ok(()));
            lab.empty_magazines().unwrap();
            is_usable(lab.heap());
        });
    }
}

fn at_every_offset(rows: &mut Matrix) {
    for offset in 0..32 {
        rows.add(format!("a region {offset} bytes behind a page's start"), move || {
            let memory = Fenced::new(4096, None, Edge::Low);
            let heap = made_of(&memory, offset, 4096 - offset, 64).expect("enough");
            assert_eq!(heap.base().map(|base| base.addr().get() % GRANULE), Some(0));
            assert_eq!(heap.segment(Segment::Blocks).end, memory.base() + 4096);
            is_usable(&heap);
            assert!(memory.bytes()[..offset].iter().all(|&byte| byte == 0xA5));
        });
        rows.add(format!("bookkeeping {offset} bytes behind a granule, flush with an inaccessible page"), move || {
            // The heap needs no alignment of it, and no byte more than it asks for.
            let needed = bookkeeping_size::<NextFit>(4096, Config::new(16));
            let memory = Fenced::new(4096, Some(needed + offset), Edge::High);
            // SAFETY: the memory outlives the heap, its only one.
            let heap = heap_in(unsafe { memory.memory() }, Config::new(16)).expect("enough");
            is_usable(&heap);
            assert!(memory.is_clean_outside());
        });
    }
}

fn with_anything_in_them(rows: &mut Matrix) {
    for seed in 0..16 {
        rows.add(format!("a region prefilled with random bytes from seed {seed}"), move || {
            prefilled(seed, case(4096, 48))
        });
        rows.add(format!("a region for size classes prefilled with random bytes from seed {seed}"), move || {
            prefilled(seed, with_classes());
        });
    }
    for byte in [0, 0xFF, 0x5A] {
        rows.add(format!("a region prefilled with {byte:#x}"), move || {
            let mut memory = Fenced::new(4096, Some(bookkeeping_size::<NextFit>(4096, Config::new(64))), Edge::High);
            memory.bytes_mut().fill(byte);
            memory.bookkeeping_mut().fill(byte);
            // SAFETY: the memory outlives the heap, its only one.
            let heap = heap_in(unsafe { memory.memory() }, Config::new(64)).expect("enough");
            assert_eq!((heap.check(), heap.overwritten().count()), (Ok(()), 0));
            is_usable(&heap);
        });
    }
}

/// Nothing of what lies in the memory before is taken for the heap's.
fn prefilled(seed: u64, case: Case) {
    let mut rng = fastrand::Rng::with_seed(seed);
    for carved in [false, true] {
        let case = Case { carved, ..case };
        let mut memory = case.memory();
        rng.fill(memory.bytes_mut());
        rng.fill(memory.bookkeeping_mut());
        // SAFETY: the memory outlives the heap, its only one.
        let pieces = unsafe { memory.memory() };
        let heap: AnyHeap = AnyHeap::from_memory(pieces, case.config, case.placement).expect("enough");
        assert_eq!((heap.check(), heap.overwritten().count()), (Ok(()), 0));
        for address in heap.segment(Segment::Slab).start..heap.segment(Segment::Blocks).end {
            let reason = raw_free(&heap, address).map_err(|wrong| wrong.reason);
            let tail = heap.segment(Segment::Slab).end - heap.segment(Segment::Slab).len() % 48;
            let expected = match address {
                _ if address % GRANULE != 0 => Reason::Misaligned,
                _ if (tail..heap.segment(Segment::Slab).end).contains(&address) => Reason::NotAStart,
                _ => Reason::NeverAllocated,
            };
            assert_eq!(reason, Err(expected), "{address:#x}");
        }
        is_usable(&heap);
    }
}

/// Pages at an address, if the system gives them there.
fn map_at(address: usize, len: usize) -> Option<*mut u8> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: nothing that is mapped is replaced.
    let start = unsafe { libc::mmap(without_provenance_mut(address), len, access, flags, -1, 0) };
    (start != libc::MAP_FAILED).then_some(start.cast())
}

fn unmap(start: *mut u8, len: usize) {
    // SAFETY: the pages were mapped by `map_at` and nobody uses them any more.
    assert_eq!(unsafe { libc::munmap(start.cast(), len) }, 0);
}

fn last_user_page() {
    // 47 bits of addresses, less the page that the kernel keeps.
    let last = (1usize << 47) - 2 * 4096;
    let Some(start) = map_at(last, 4096) else {
        return eprintln!("SKIPPED the last user page: it is not to be had");
    };
    {
        // SAFETY: the page is this test's alone, and the heap ends before it is unmapped.
        let heap = heap_in(unsafe { Memory::from_raw(start, 4096) }, Config::new(64)).expect("enough");
        is_usable(&heap);
        assert_eq!(heap.segment(Segment::Blocks).end, last + 4096);
        // No sum of an address and a size may pass the end.
        for size in [4096, 8192, 1 << 47, usize::MAX - last, usize::MAX - 4096, usize::MAX] {
            for align in [1, 32, 4096, 1 << 46, 1 << 62] {
                assert!(raw_alloc(&heap, size, align).is_err(), "{size} at {align}");
            }
        }
        for beyond in [last + 4096, last + 8192, 1 << 47, usize::MAX] {
            assert_eq!(raw_free(&heap, beyond), Err(InvalidFree { address: beyond, reason: Reason::OutsideHeap }));
        }
        assert_eq!(heap.check(), Ok(()));
    }
    unmap(start, 4096);
}
