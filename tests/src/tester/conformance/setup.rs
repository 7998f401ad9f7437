//! Making a heap, and what its sizes are.

use super::Scenario;
use super::bench::Bench;
use crate::tester::session::{Failure, fail};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::always("before Mem_Init every request is NULL and every free is refused", before_init),
    Scenario::always("a size or slab size of zero or less makes no heap, nor keeps a later call from it", bad_init),
    Scenario::always("a second Mem_Init is NULL and changes nothing", second_init),
    Scenario::always("requests of zero or less are NULL", nothing_asked),
    Scenario::always("requests larger than the heap are NULL", too_much_asked),
    Scenario::always("a size of one byte is a heap of a page", one_page),
    Scenario::always("a size is rounded up to whole pages, and all of them are used", whole_pages),
    Scenario::always("of 1 MiB the slab has 262,144 bytes and next fit has 786,432", one_mebibyte),
    Scenario::always("the largest request takes all of next fit, and a byte more is NULL", largest_request),
    Scenario::without_classes("objects of the slab size fill both segments to the end", filled_with_slab_objects),
];

fn before_init(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let allocator = bench.allocator();
    for size in [1, 64, 4096] {
        if allocator.alloc(size).is_ok() {
            fail!("Mem_Alloc({size}) before Mem_Init must return NULL");
        }
    }
    // SAFETY: null is no object.
    if unsafe { allocator.free(core::ptr::null_mut()) }.is_err() {
        fail!("Mem_Free(NULL) before Mem_Init must return 0");
    }
    let mut bytes = [0_u8; 64];
    // SAFETY: a local array is no object of any heap.
    if unsafe { allocator.free(bytes.as_mut_ptr().wrapping_add(32)) }.is_ok() {
        fail!("Mem_Free of an address on the stack, before Mem_Init, must return -1");
    }
    Ok(())
}

fn bad_init(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let allocator = bench.allocator();
    let least = isize::try_from(i32::MIN).unwrap_or(isize::MIN);
    for (size, slab_size) in [(0, 64), (-1, 64), (least, 64), (4096, 0), (4096, -64), (4096, least), (0, 0)] {
        if allocator.init(size, slab_size).is_ok() {
            fail!("Mem_Init({size}, {slab_size}) must return NULL");
        }
    }
    if allocator.alloc(32).is_ok() {
        fail!("Mem_Alloc(32) after nothing but failed Mem_Inits must return NULL");
    }
    bench.init(4096, 64)?;
    bench.serve_at(0, 64)?;
    bench.serve_at(1040, 32)?;
    Ok(())
}

fn second_init(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    let slot = bench.serve_at(0, 64)?;
    let block = bench.serve_at(1040, 32)?;
    for (size, slab_size) in [(4096, 64), (8192, 32), (0, 0)] {
        if bench.allocator().init(size, slab_size).is_ok() {
            fail!("Mem_Init({size}, {slab_size}) must return NULL the second time");
        }
    }
    bench.serve_at(64, 64)?;
    bench.serve_at(1088, 32)?;
    bench.free_all([slot, block])
}

fn nothing_asked(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    for size in [0, -1, -64, isize::try_from(i32::MIN).unwrap_or(isize::MIN)] {
        if bench.allocator().alloc(size).is_ok() {
            fail!("Mem_Alloc({size}) must return NULL");
        }
    }
    bench.serve_at(0, 64)?;
    bench.serve_at(1040, 1)?;
    Ok(())
}

fn too_much_asked(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    let greatest = usize::try_from(i32::MAX).unwrap_or(usize::MAX);
    for size in [3057, 3072, 4096, 4097, 1 << 20, greatest - 31, greatest - 16, greatest - 15, greatest] {
        bench.refuse(size)?;
    }
    bench.serve_at(1040, 3056)?;
    Ok(())
}

fn one_page(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(1, 16)?;
    bench.serve_row(64, 16, 0, 16)?;
    bench.serve_at(1040, 3056)?;
    bench.refuse(16)
}

fn whole_pages(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(5000, 64)?;
    bench.serve_row(32, 64, 0, 64)?;
    bench.serve_at(2064, 6128)?;
    bench.refuse(64)
}

fn one_mebibyte(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(1 << 20, 64)?;
    bench.serve_row(4096, 64, 0, 64)?;
    bench.serve_at(262_160, 786_416)?;
    bench.refuse(64)
}

fn largest_request(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(bench.given().size, bench.given().slab_size)?;
    let (largest, first) = (bench.session()?.largest_request(), bench.session()?.next_fit_start() + 16);
    for _ in 0..2 {
        bench.refuse(largest + 1)?;
        let all = bench.serve_at(first, largest)?;
        bench.refuse(if bench.given().slab_size == 1 { 2 } else { 1 })?;
        bench.free(all)?;
    }
    Ok(())
}

fn filled_with_slab_objects(bench: &mut Bench<'_>) -> Result<(), Failure> {
    // Of a larger heap the same could be said, but a library that searches a list would take too long to say it.
    const LARGEST: usize = 1 << 20;
    let slab_size = bench.given().slab_size;
    bench.init(bench.given().size.min(LARGEST), slab_size)?;
    let (size, next_fit) = (bench.session()?.size(), bench.session()?.next_fit_start());
    let slot = slab_size.next_multiple_of(16);
    let block = slot + 16;
    bench.serve_row(next_fit / slot, slab_size, 0, slot)?;
    bench.serve_row((size - next_fit) / block, slab_size, next_fit + 16, block)?;
    bench.refuse(slab_size)
}
