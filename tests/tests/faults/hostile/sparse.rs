//! Sparse regions: gaps and blocks whose bytes need 24, 31, 32 and 33 bits.

use std::ptr::without_provenance_mut;

use slabfit::{AllocError, Config, GRANULE, InvalidFree, Memory, NextFit, Reason, Segment, bookkeeping_size};
use slabfit_tests::abuse::lab::{raw_alloc, raw_free};
use slabfit_tests::any_heap::AnyHeap;
use slabfit_tests::tester::sys;

use super::{Matrix, heap_in};

pub(super) fn cases() -> Matrix {
    let mut rows = Matrix::default();
    for (name, bits) in [("16 MiB", 24u32), ("2 GiB", 31), ("4 GiB", 32)] {
        for (off, by) in [("16 fewer", -16isize), ("exactly", 0), ("16 more", 16)] {
            rows.add(format!("a gap and a block of {name}, {off}"), move || {
                across((1usize << bits).wrapping_add_signed(by));
            });
        }
    }
    rows
}

/// A heap of 8 GiB.
const SIZE: usize = 8 << 30;

fn across(bytes: usize) {
    let needed = bookkeeping_size::<NextFit>(SIZE, Config::new(64));
    let (Ok(region), Ok(second)) = (sys::map_private(SIZE), sys::map_private(needed)) else {
        return eprintln!("SKIPPED a gap of {bytes}: the system has no 8 GiB of addresses");
    };
    {
        // SAFETY: both are this test's alone and outlive the heap.
        let pieces = unsafe { Memory::from_raw_parts(region.as_ptr(), SIZE, second.as_ptr(), needed) };
        // SAFETY: zeroed by the system.
        let pieces = unsafe { pieces.assume_zeroed() };
        let heap = heap_in(pieces, Config::new(64)).expect("a legal heap");
        a_block_and_its_gap(&heap, region.as_ptr(), bytes);
    }
    for (start, size) in [(region, SIZE), (second, needed)] {
        // SAFETY: mapped above, and the heap is gone.
        unsafe { sys::unmap(start, size) };
    }
}

/// A block of so many bytes, and the gap that it leaves, between two other blocks.
fn a_block_and_its_gap(heap: &AnyHeap, region: *mut u8, bytes: usize) {
    let start = heap.segment(Segment::Blocks).start;
    let length_at = |at: usize| {
        // SAFETY: a header lies there, in the region, at a multiple of 16.
        unsafe { region.with_addr(at).cast::<i32>().read_volatile() }
    };
    let saturated = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
    let payload = bytes - GRANULE;
    let alloc = |size, expected| assert_eq!(raw_alloc(heap, size, GRANULE), Ok(expected));
    alloc(48, start + 16);
    alloc(payload, start + 80);
    alloc(48, start + 64 + bytes + 16);
    let (block, last) = (start + 64, start + 64 + bytes);
    assert_eq!(length_at(block), saturated(payload));
    assert_eq!(heap.usable_size(without_provenance_mut(block + 16)), Ok(payload));
    // The granules inside of it are no starts, wherever a bit might be lost.
    for inside in [GRANULE, 1 << 20, (payload / 2) & !15, payload - GRANULE] {
        let address = block + 16 + inside;
        assert_eq!(raw_free(heap, address), Err(InvalidFree { address, reason: Reason::NotAStart }));
    }
    assert_eq!(raw_free(heap, block + 16), Ok(()));
    assert_eq!(length_at(block), saturated(payload));
    // The gap is found, by exactly its size, from the rover after it; one granule more goes elsewhere.
    let rest = heap.segment(Segment::Blocks).end - last - 64;
    alloc(rest - GRANULE, last + 64 + 16);
    assert_eq!(raw_alloc(heap, payload + 1, GRANULE), Err(AllocError::Full));
    alloc(payload, block + 16);
    assert_eq!(raw_alloc(heap, 1, GRANULE), Err(AllocError::Full));
    for address in [block + 16, start + 16, last + 16, last + 80] {
        assert_eq!(raw_free(heap, address), Ok(()));
    }
    let stats = heap.stats().expect("nobody is in the heap");
    assert_eq!((stats.blocks.free_blocks, stats.blocks.largest_free), (1, SIZE / 4 * 3));
    assert_eq!(length_at(start), i32::MAX);
}
