//! Pages go back when the heap is told to trim.

use slabfit::{Config, FirstFit, General, NextFit, Policy, Segment};
use slabfit_linux::MappedHeap;

use super::{MIB, fill, free, resident, thin_out_the_slab};

fn trims_what_is_free<P: Policy>() {
    const SIZE: usize = 10_000;
    let heap = MappedHeap::<P>::with_policy(64 * MIB, Config::new(64)).expect("there is memory");
    let segment = heap.segment(Segment::Blocks);
    let objects = fill(&heap, SIZE, 40 * MIB);
    // Every 100th stays.
    for (number, &object) in objects.iter().enumerate() {
        if number % 100 != 0 {
            // SAFETY: freed once, and not used any more.
            unsafe { free(&heap, object) };
        }
    }
    let before = resident(segment.clone());
    assert!(before >= 40 * MIB, "only {before} bytes were resident");
    let blocks: Vec<_> = heap.blocks().collect();
    let given = heap.trim();
    // Each of 42 objects has its two or three pages and perhaps those that its neighbours' headers are in.
    let after = resident(segment.clone());
    assert!(after <= 42 * 5 * 4096 + 42 * 4096, "{after} bytes are still resident");
    assert!(given >= before - after, "{given} bytes are said to be given, {} were", before - after);
    assert_eq!(heap.check(), Ok(()));
    assert_eq!(heap.blocks().collect::<Vec<_>>(), blocks);
    for (number, &object) in objects.iter().enumerate().step_by(100) {
        // SAFETY: live, of `SIZE` bytes.
        let bytes = unsafe { std::slice::from_raw_parts(object, SIZE) };
        assert!(bytes.iter().all(|&byte| byte == number as u8), "object {number} has changed");
    }
    // What was given back serves again.
    fill(&heap, SIZE, 20 * MIB);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn a_trim_leaves_live_objects_and_headers_and_little_else_resident() {
    trims_what_is_free::<NextFit>();
    trims_what_is_free::<FirstFit>();
}

fn trims_the_slab<P: Policy>() {
    let heap = MappedHeap::<P>::with_policy(64 * MIB, Config::new(64)).expect("there is memory");
    let slab = heap.segment(Segment::Slab);
    let live = thin_out_the_slab(&heap, |_| ());
    let given = heap.trim();
    // Each of 263 slots has its page, and the last page ends with the segment.
    assert_eq!(resident(slab.clone()), live.len() * 4096);
    assert_eq!(given, 16 * MIB - live.len() * 4096);
    assert_eq!(heap.check(), Ok(()));
    for &(number, slot) in &live {
        // SAFETY: live, of 64 bytes.
        let bytes = unsafe { std::slice::from_raw_parts(slot, 64) };
        assert!(bytes.iter().all(|&byte| byte == number as u8), "slot {number} has changed");
    }
    // They are free slots as before, the lowest first, and their headers come and go again.
    let again = fill(&heap, 64, MIB);
    assert_eq!(again[0].addr(), slab.start + 64);
    for &slot in again.iter().rev() {
        // SAFETY: freed once, and not used any more.
        unsafe { free(&heap, slot) };
    }
    assert_eq!(heap.check(), Ok(()));
    assert!(heap.trim() >= MIB - 20 * 4096);
    for (_, slot) in live {
        // SAFETY: freed once, and not used any more.
        unsafe { free(&heap, slot) };
    }
    heap.trim();
    assert_eq!((resident(slab), heap.check()), (0, Ok(())));
}

#[test]
fn an_empty_stretch_of_the_slab_gives_its_pages_back() {
    trims_the_slab::<NextFit>();
    trims_the_slab::<FirstFit>();
    trims_the_slab::<General>();
}

#[test]
fn a_page_of_slots_larger_than_pages_or_across_two_steps_goes_back_too() {
    const STEP: usize = 256 * 1024;
    // A slot of three pages and a granule: none starts where the last one did in its page; and one of more than a step.
    for size in [3 * 4096 + 16, STEP + 4096, 2 * MIB] {
        let heap = MappedHeap::<FirstFit>::with_policy(64 * MIB, Config::new(size)).expect("there is memory");
        let slab = heap.segment(Segment::Slab);
        let slots = fill(&heap, size, 16 * MIB);
        for &slot in &slots[1..slots.len() - 1] {
            // SAFETY: freed once, and not used any more.
            unsafe { free(&heap, slot) };
        }
        let end = slab.start + (slots.len() - 1) * size;
        let whole = (slab.start + size).next_multiple_of(4096)..end / 4096 * 4096;
        assert_eq!((heap.trim(), resident(whole.clone())), (whole.len(), 0), "slots of {size}");
        assert_eq!(heap.check(), Ok(()));
    }
}

#[test]
fn every_page_of_a_large_free_block_is_given_back_over_the_ends_of_the_steps() {
    let heap = MappedHeap::new(16 * MIB, Config::new(64)).expect("there is memory");
    let segment = heap.segment(Segment::Blocks);
    let objects = fill(&heap, 12 * MIB - 16, 12 * MIB - 16);
    // SAFETY: the only object, and not used any more.
    unsafe { free(&heap, objects[0]) };
    assert_eq!(resident(segment.clone()), 12 * MIB);
    // All but the page with the header.
    assert_eq!(heap.trim(), 12 * MIB - 4096);
    assert_eq!(resident(segment), 4096);
}

#[test]
fn no_whole_page_of_a_free_block_is_forgotten_however_it_lies() {
    const PAGE: usize = 4096;
    for (before, size) in [
        // One page, and the header before it.
        (PAGE - 32, PAGE),
        // One page short of a granule, and so none.
        (PAGE - 32, PAGE - 16),
        (PAGE, 2 * PAGE - 32),
        // A page's bytes, but of two pages.
        (PAGE, PAGE),
        // A step, and one page more than that.
        (PAGE - 32, 256 * 1024 + PAGE),
        (PAGE - 32, 256 * 1024 + 2 * PAGE),
        (1000, 3 * 256 * 1024 + 5000),
    ] {
        let heap = MappedHeap::new(16 * MIB, Config::new(64)).expect("there is memory");
        let [first, object, last] = [before, size, 100].map(|size| heap.alloc(size).expect("there is memory").as_ptr());
        // SAFETY: of `size` bytes.
        unsafe { object.write_bytes(1, size) };
        let (start, end) = (object.addr().next_multiple_of(PAGE), (object.addr() + size) & !(PAGE - 1));
        let whole = end.saturating_sub(start);
        // SAFETY: freed once, and not used any more.
        unsafe { free(&heap, object) };
        assert_eq!(heap.trim(), whole, "{size} bytes behind {before}");
        assert!(whole == 0 || resident(start..end) == 0, "{size} bytes behind {before}");
        for object in [first, last] {
            // SAFETY: live, and of 100 bytes at least.
            unsafe { object.write_bytes(2, 100) };
        }
        assert_eq!(heap.check(), Ok(()));
    }
}

#[test]
fn many_free_blocks_without_a_whole_page_hide_none_that_has_one() {
    const PAGE: usize = 4096;
    let heap = MappedHeap::new(16 * MIB, Config::new(64)).expect("there is memory");
    // Blocks of a page and a granule: each lies a granule further behind the start of a page than the one before it.
    let objects = fill(&heap, PAGE, 100 * PAGE);
    let last = fill(&heap, 10 * PAGE, 10 * PAGE);
    for &object in objects.iter().step_by(2).chain(&last) {
        // SAFETY: freed once, and not used any more.
        unsafe { free(&heap, object) };
    }
    assert_eq!(heap.trim(), 9 * PAGE);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn what_was_never_touched_is_not_given_back() {
    let heap = MappedHeap::new(1 << 30, Config::new(64)).expect("there is memory");
    assert_eq!(heap.trim(), 0);
    let objects = fill(&heap, MIB, MIB);
    // SAFETY: freed once, and not used any more.
    unsafe { free(&heap, objects[0]) };
    // All but the page with the header.
    assert_eq!(heap.trim(), MIB - 4096);
}

#[test]
fn a_page_that_the_kernel_does_not_take_stays_and_is_not_counted() {
    let heap = MappedHeap::new(MIB, Config::new(64)).expect("there is memory");
    let objects = fill(&heap, 100_000, 100_000);
    let page = objects[0].addr().next_multiple_of(4096);
    let locked = std::ptr::with_exposed_provenance_mut(page);
    // SAFETY: a page of the heap's; it only becomes one that must stay resident.
    let refused = unsafe { libc::mlock(locked, 4096) };
    assert_eq!(refused, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: freed once, and not used any more.
    unsafe { free(&heap, objects[0]) };
    assert_eq!(heap.trim(), 0);
    assert_eq!(resident(page..page + 23 * 4096), 23 * 4096);
    // SAFETY: as for `mlock`.
    assert_eq!(unsafe { libc::munlock(locked, 4096) }, 0);
    assert_eq!(heap.trim(), 23 * 4096);
    assert_eq!(resident(page..page + 23 * 4096), 0);
    assert_eq!(heap.check(), Ok(()));
}
