//! Pages of free memory go back to the kernel, when asked or by themselves, and nothing else changes.

use std::ops::Range;

use slabfit::{Config, FirstFit, General, Heap, NextFit, Policy, Segment, State};
use slabfit_linux::{FutexLock, MappedHeap, ProcessHeap};

const MIB: usize = 1 << 20;

/// Bytes of the pages in `addresses` that are resident.
fn resident(addresses: Range<usize>) -> usize {
    // SAFETY: it reads a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("there are pages");
    let mut pages = vec![0u8; addresses.len().div_ceil(page)];
    let start = std::ptr::with_exposed_provenance_mut(addresses.start / page * page);
    // SAFETY: it writes a byte for every page asked about, and reads nothing.
    let asked = unsafe { libc::mincore(start, addresses.len(), pages.as_mut_ptr()) };
    assert_eq!(asked, 0, "{}", std::io::Error::last_os_error());
    pages.iter().filter(|&page| page & 1 != 0).count() * page
}

/// Objects of `size` bytes until `bytes` are live, every byte of each its number.
fn fill<P: Policy>(heap: &Heap<'_, FutexLock, P>, size: usize, bytes: usize) -> Vec<*mut u8> {
    let object = |number: usize| {
        let object = heap.alloc(size).expect("there is memory").as_ptr();
        // SAFETY: of `size` bytes, and nobody else's.
        unsafe { object.write_bytes(number as u8, size) };
        object
    };
    (0..bytes / size).map(object).collect()
}

/// # Safety
/// The object is live, and not used after this.
unsafe fn free<P: Policy>(heap: &Heap<'_, FutexLock, P>, object: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe { heap.free(object) }.expect("the object is live");
}

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

/// Fills the slab of a heap of 64 MiB with slots of 64 bytes, and frees all but every 1000th. Answers with those.
fn thin_out_the_slab<P: Policy>(heap: &Heap<'_, FutexLock, P>, freed: impl Fn(*mut u8)) -> Vec<(usize, *mut u8)> {
    let slots = fill(heap, 64, 16 * MIB);
    assert_eq!(resident(heap.segment(Segment::Slab)), 16 * MIB);
    for (_, &slot) in slots.iter().enumerate().filter(|(number, _)| number % 1000 != 0) {
        // SAFETY: freed once, and not used any more.
        unsafe { free(heap, slot) };
        freed(slot);
    }
    slots.into_iter().enumerate().step_by(1000).collect()
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
fn it_gives_them_back_by_itself_when_much_was_freed() {
    static HEAP: ProcessHeap<FirstFit> = ProcessHeap::empty();
    HEAP.init(64 * MIB, Config::new(64)).expect("there is memory");
    let slab = HEAP.segment(Segment::Slab);
    let live = thin_out_the_slab(&HEAP, |_| HEAP.trim_after_free());
    let after = resident(slab.clone());
    assert!(after < 16 * MIB / 3, "{after} bytes are still resident, {} slots are live", live.len());
    assert_eq!(HEAP.check(), Ok(()));
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
fn pages_go_back_by_themselves_when_much_was_freed() {
    static HEAP: ProcessHeap<FirstFit> = ProcessHeap::empty();
    assert_eq!(HEAP.trim(), 0);
    HEAP.trim_after_free();
    HEAP.init(64 * MIB, Config::new(64)).expect("there is memory");
    let segment = HEAP.segment(Segment::Blocks);
    let objects = fill(&HEAP, 1000, 40 * MIB);
    let (few, many) = objects.split_at(1000);
    for &object in many {
        // SAFETY: freed once, and not used any more.
        unsafe { free(&HEAP, object) };
        HEAP.trim_after_free();
    }
    let live = few.len() * 1024;
    let after = resident(segment.clone());
    assert!(after < 40 * MIB / 3, "{after} bytes are still resident, {live} are live");
    assert!(HEAP.trim() > 0);
    let after = resident(segment);
    assert!(after <= live + 2 * 4096, "{after} bytes are still resident, {live} are live");
    assert_eq!(HEAP.check(), Ok(()));
}

/// Frees so much of so much, and tells of every free.
fn keeps_its_pages(heap: &'static ProcessHeap<FirstFit>, live: usize, freed: usize) {
    heap.init(64 * MIB, Config::new(64)).expect("there is memory");
    let segment = heap.segment(Segment::Blocks);
    let objects = fill(heap, 1000, live);
    // The live bytes are seen.
    (0..64).for_each(|_| heap.trim_after_free());
    let before = resident(segment.clone());
    for &object in &objects[..freed / 1000] {
        // SAFETY: freed once, and not used any more.
        unsafe { free(heap, object) };
        heap.trim_after_free();
    }
    assert_eq!(resident(segment), before);
    assert!(heap.trim() > freed / 2);
}

#[test]
fn who_frees_less_than_4_mib_or_a_quarter_keeps_its_pages() {
    static SMALL: ProcessHeap<FirstFit> = ProcessHeap::empty();
    static LARGE: ProcessHeap<FirstFit> = ProcessHeap::empty();
    keeps_its_pages(&SMALL, 3 * MIB, 3 * MIB);
    keeps_its_pages(&LARGE, 32 * MIB, 6 * MIB);
}

#[test]
fn a_pass_begins_with_the_64th_free_and_goes_on_with_every_8th() {
    static HEAP: ProcessHeap<FirstFit> = ProcessHeap::empty();
    HEAP.init(16 * MIB, Config::new(64)).expect("there is memory");
    let segment = HEAP.segment(Segment::Blocks);
    let object = fill(&HEAP, 8 * MIB, 8 * MIB)[0];
    let frees = |count: usize| {
        (0..count).for_each(|_| HEAP.trim_after_free());
        resident(segment.clone())
    };
    // The live bytes are seen.
    let before = frees(64);
    // SAFETY: freed once, and not used any more.
    unsafe { free(&HEAP, object) };
    assert_eq!(frees(63), before);
    // The page with the header stays.
    assert_eq!(frees(1), before - (256 * 1024 - 4096));
    assert_eq!(frees(7), before - (256 * 1024 - 4096));
    assert_eq!(frees(1), before - (2 * 256 * 1024 - 4096));
}

#[test]
fn a_step_passes_several_free_blocks_without_a_whole_page() {
    const PAGE: usize = 4096;
    static HEAP: ProcessHeap<FirstFit> = ProcessHeap::empty();
    HEAP.init(64 * MIB, Config::new(64)).expect("there is memory");
    // 1000 to be freed, of which hardly any holds a whole page, and 8 MiB behind them.
    let objects = fill(&HEAP, PAGE, 2000 * PAGE);
    let last = fill(&HEAP, 8 * MIB, 8 * MIB)[0];
    let behind = last.addr().next_multiple_of(PAGE)..last.addr() + 8 * MIB - PAGE;
    // The most live bytes are seen.
    (0..64).for_each(|_| HEAP.trim_after_free());
    for &object in objects.iter().step_by(2).chain([&last]) {
        // SAFETY: freed once, and not used any more.
        unsafe { free(&HEAP, object) };
    }
    assert!(resident(behind.clone()) > 7 * MIB);
    // Of 2000 frees every 8th does a step: one for 8 blocks, and 32 and one for the last.
    (0..2000).for_each(|_| HEAP.trim_after_free());
    assert_eq!(resident(behind), 0);
    assert_eq!(HEAP.check(), Ok(()));
}

#[test]
fn a_program_that_frees_as_much_as_it_allocates_keeps_its_pages() {
    static HEAP: ProcessHeap<FirstFit> = ProcessHeap::empty();
    HEAP.init(64 * MIB, Config::new(64)).expect("there is memory");
    let segment = HEAP.segment(Segment::Blocks);
    let objects = fill(&HEAP, 1000, 30 * MIB);
    let before = resident(segment.clone());
    for _ in 0..3 {
        for &object in &objects {
            // SAFETY: freed once each round, and allocated again by the same address below.
            unsafe { free(&HEAP, object) };
            HEAP.trim_after_free();
            assert_eq!(HEAP.alloc(1000).map(|object| object.as_ptr()), Ok(object));
        }
    }
    assert_eq!(resident(segment), before);
    assert!(HEAP.blocks().any(|block| block.state == State::Used));
}

/// A heap of which 10 MiB were in use, all resident, and then free; and the heap has not been told of the frees.
fn freed_much(heap: &ProcessHeap<FirstFit>) -> Range<usize> {
    heap.init(16 * MIB, Config::new(64)).expect("there is memory");
    // The header behind it ends where they do.
    let objects = fill(heap, 10 * MIB - 32, 10 * MIB - 32);
    // It sees what is live.
    for _ in 0..64 {
        heap.trim_after_free();
    }
    // SAFETY: freed once, and not used any more.
    unsafe { free(heap, objects[0]) };
    let segment = heap.segment(Segment::Blocks);
    assert_eq!(resident(segment.clone()), 10 * MIB);
    segment
}

#[test]
fn in_the_heap_no_page_goes_back_and_a_pass_that_has_begun_goes_on_afterwards() {
    static HEAP: ProcessHeap<FirstFit> = ProcessHeap::empty();
    const STEP: usize = 256 * 1024;
    let segment = freed_much(&HEAP);
    let told = |frees: usize| {
        (0..frees).for_each(|_| HEAP.trim_after_free());
        resident(segment.clone())
    };
    let held = HEAP.lock_all();
    assert_eq!(told(640), 10 * MIB, "a pass has begun without a look at the heap");
    drop(held);
    // The 64th free begins it, and every 8th goes on. The first page, which has the free block's header, stays.
    let left = |steps: usize| 10 * MIB - steps * STEP + 4096;
    assert_eq!(told(128), left(9));
    let held = HEAP.lock_all();
    assert_eq!(told(640), left(9));
    drop(held);
    assert_eq!(told(8), left(10));
    assert_eq!(HEAP.check(), Ok(()));
}

#[test]
fn a_pass_ends_behind_the_last_free_block_and_begins_again_only_when_much_was_freed() {
    static HEAP: ProcessHeap<FirstFit> = ProcessHeap::empty();
    let segment = freed_much(&HEAP);
    let told = |frees: usize| {
        (0..frees).for_each(|_| HEAP.trim_after_free());
        resident(segment.clone())
    };
    assert_eq!(told(1000), 4096);
    // Less than 4 MiB, and as much.
    for (bytes, left) in [(3 * MIB, 3 * MIB), (5 * MIB, 4096)] {
        let objects = fill(&HEAP, bytes - 32, bytes - 32);
        told(64);
        // SAFETY: freed once, and not used any more.
        unsafe { free(&HEAP, objects[0]) };
        assert_eq!(told(1000), left, "after {bytes} bytes");
    }
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
