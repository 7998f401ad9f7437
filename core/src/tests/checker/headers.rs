//! Overwritten headers.

use core::mem::offset_of;
use std::vec::Vec;

use super::with_busy_heap;
use crate::error::Violation;
use crate::header::{AllocatedHeader, FreeHeader};
use crate::layout::Segment;
use crate::policy::{FirstFit, NextFit, Policy};
use crate::segments::Heap;
use crate::spin::SpinLock;
use crate::units::GRANULE;

/// The bytes of a header's fields; the rest is padding.
fn fields() -> impl Iterator<Item = usize> {
    assert_eq!(offset_of!(AllocatedHeader, length), offset_of!(FreeHeader, length));
    assert_eq!(offset_of!(AllocatedHeader, magic), offset_of!(FreeHeader, next));
    let length = offset_of!(FreeHeader, length);
    let next = offset_of!(FreeHeader, next);
    (length..length + size_of::<i32>()).chain(next..next + size_of::<usize>())
}

fn headers<P: Policy>(heap: &Heap<'_, SpinLock, P>) -> Vec<usize> {
    let slab = heap.lock_slab().unwrap();
    let slots =
        (0..slab.used).filter(|&slot| slab.is_returned(slot)).map(|slot| slab.region.address(slab.offset(slot)));
    let mut headers: Vec<usize> = slots.collect();
    drop(slab);
    headers.extend(heap.blocks_in(Segment::Blocks).map(|block| block.address));
    headers
}

fn every_byte_of_every_header_under<P: Policy>() {
    with_busy_heap::<P>(|heap| {
        let headers = headers(heap);
        assert!(headers.len() > 130, "only {} headers", headers.len());
        let base = heap.base().unwrap().as_ptr();
        for &header in &headers {
            for byte in fields() {
                let place = base.wrapping_add(header - base.addr() + byte);
                // SAFETY: a byte of the heap's region, which nobody else uses now.
                let before = unsafe { place.read() };
                // SAFETY: as above.
                unsafe { place.write(before ^ 0x10) };
                assert_eq!(heap.check(), Err(Violation::Overwritten { address: header }), "byte {byte}");
                assert!(heap.overwritten().eq([header]), "byte {byte}");
                assert_eq!(heap.repair(), Ok(1));
                // SAFETY: as above.
                assert_eq!(unsafe { place.read() }, before, "byte {byte} of {header:#x} after repair");
                heap.check().unwrap();
            }
        }
    });
}

#[test]
fn every_byte_of_every_header_that_counts_is_reported_and_repaired() {
    every_byte_of_every_header_under::<NextFit>();
    every_byte_of_every_header_under::<FirstFit>();
}

fn what_is_no_fields_byte_is_nobodys_under<P: Policy>() {
    with_busy_heap::<P>(|heap| {
        let base = heap.base().unwrap().as_ptr();
        for header in headers(heap) {
            for byte in (0..GRANULE).filter(|&byte| fields().all(|field| field != byte)) {
                // SAFETY: a byte of the heap's region, which nobody else uses now.
                unsafe { base.wrapping_add(header - base.addr() + byte).write(0xA5) };
            }
        }
        assert_eq!((heap.check(), heap.overwritten().next(), heap.repair()), (Ok(()), None, Ok(0)));
    });
}

#[test]
fn the_padding_of_a_header_may_hold_anything() {
    what_is_no_fields_byte_is_nobodys_under::<NextFit>();
    what_is_no_fields_byte_is_nobodys_under::<FirstFit>();
}

fn all_headers_at_once_under<P: Policy>() {
    with_busy_heap::<P>(|heap| {
        let (headers, base) = (headers(heap), heap.base().unwrap().as_ptr());
        for &header in &headers {
            let place = base.wrapping_add(header - base.addr());
            // SAFETY: a granule of the heap's region, which nobody else uses now.
            unsafe { place.write_bytes(0xA5, GRANULE) };
        }
        assert!(heap.overwritten().eq(headers.iter().copied()));
        assert_eq!(heap.repair(), Ok(headers.len()));
        assert_eq!((heap.check(), heap.repair()), (Ok(()), Ok(0)));
    });
}

#[test]
fn every_header_is_repaired_though_all_are_overwritten() {
    all_headers_at_once_under::<NextFit>();
    all_headers_at_once_under::<FirstFit>();
}
