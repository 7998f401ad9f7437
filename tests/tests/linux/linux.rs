//! What `slabfit-linux` promises of a mapped heap beyond the heap itself: guard pages, little resident memory, errors instead of deaths,
//! and one initialisation.

use std::os::unix::process::ExitStatusExt;
use std::ptr::NonNull;
use std::sync::Barrier;
use std::thread;

use slabfit::{AllocError, Config, InitError, MAX_HEAP, Segment};
use slabfit_linux::{MapError, MappedHeap, ProcessHeap, SystemError};

use crate::system::{
    areas_in, in_own_process, open_areas_of, page_size, status_bytes, status_of_a_write_to, with_limit,
};

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

#[test]
fn a_heap_is_whole_pages_and_split_one_to_three() {
    let page = page_size();
    for (asked, pages) in [(1, 1), (page - 1, 1), (page, 1), (page + 1, 2), (10 * page, 10)] {
        let heap = MappedHeap::new(asked, Config::new(64)).expect("there is memory");
        assert_eq!(heap.size(), pages * page, "asked for {asked}");
        let (slab, blocks) = (heap.segment(Segment::Slab), heap.segment(Segment::Blocks));
        assert_eq!(heap.base().map(|base| base.addr().get()), Some(slab.start));
        assert_eq!((slab.len(), blocks.len()), (heap.size() / 4, heap.size() / 4 * 3));
        assert_eq!(slab.end, blocks.start);
    }
}

#[test]
fn heap_and_bookkeeping_stand_between_guards() {
    let page = page_size();
    let heap = MappedHeap::new(100 * page, Config::new(64)).expect("there is memory");
    let areas = areas_in(heap.mapping().addresses());
    let access: Vec<_> = areas.iter().map(|area| area.access.as_str()).collect();
    assert_eq!(access, ["---p", "rw-p", "---p", "rw-p", "---p"]);
    let lengths: Vec<_> = areas.iter().map(|area| area.len()).collect();
    assert_eq!(lengths[1..4], [100 * page, page, heap.mapping().bookkeeping().len()]);
    // What the heap's alignment takes of the two pages that are there for it is at its front, the rest behind.
    assert!(lengths[0] >= page && lengths[4] >= page, "{lengths:?}");
    assert_eq!(lengths[0] + lengths[4], 2 * page + 8192);
}

#[test]
fn a_heap_starts_at_a_multiple_of_8_kib_wherever_the_kernel_maps_it() {
    let heaps: Vec<_> = (0..20).map(|_| MappedHeap::new(12_288, Config::new(64)).expect("there is memory")).collect();
    assert!(heaps.iter().all(|heap| heap.mapping().heap().addr().get() % 8192 == 0));
}

#[test]
fn touching_a_guard_is_the_end_of_a_process() {
    let heap = MappedHeap::new(MIB, Config::new(64)).expect("there is memory");
    let mapping = heap.mapping();
    for part in [mapping.heap(), mapping.bookkeeping()] {
        let (first, end) = (part.cast::<u8>().as_ptr(), part.cast::<u8>().as_ptr().wrapping_add(part.len()));
        for inside in [first, end.wrapping_sub(1)] {
            assert_eq!(status_of_a_write_to(inside).code(), Some(0), "{inside:p} in {mapping:?}");
        }
        for guard in [first.wrapping_sub(1), first.wrapping_sub(page_size()), end, end.wrapping_add(page_size() - 1)] {
            assert_eq!(status_of_a_write_to(guard).signal(), Some(libc::SIGSEGV), "{guard:p} in {mapping:?}");
        }
    }
}

#[test]
fn a_gibibyte_costs_a_few_pages_before_the_first_allocation() {
    let heap = MappedHeap::new(GIB, Config::new(64)).expect("there are addresses");
    let areas = areas_in(heap.mapping().addresses());
    let resident: usize = areas.iter().map(|area| area.resident).sum();
    // Where the kernel hands out huge pages unasked (transparent_hugepage=always), a page is as large as that.
    let huge: usize = areas.iter().map(|area| area.huge).sum();
    let pages = (resident - huge) / page_size() + huge.div_ceil(2 * MIB);
    println!("a heap of 1 GiB: {resident} bytes resident, in {pages} pages");
    assert!(pages <= 8, "{pages} pages, {resident} bytes are resident");
}

#[test]
fn a_dropped_heap_leaves_nothing_mapped() {
    let odd = 1049 * page_size();
    let heap = MappedHeap::new(odd, Config::new(64)).expect("there is memory");
    assert_eq!(open_areas_of(odd), 1);
    drop(heap);
    assert_eq!(open_areas_of(odd), 0);
}

#[test]
fn what_no_heap_can_be_made_of_is_refused_by_name() {
    let refused = |size, slab_size| MappedHeap::new(size, Config::new(slab_size)).expect_err("no such heap");
    assert!(matches!(refused(0, 64), MapError::Init(InitError::TooSmall { size: 0, .. })));
    assert_eq!(refused(MIB, 0), MapError::Init(InitError::SlabSizeZero));
    for size in [MAX_HEAP + 1, usize::MAX] {
        assert_eq!(refused(size, 64), MapError::Init(InitError::TooLarge { size }));
    }
    // The largest is a heap, if the kernel has as much.
    let largest = MappedHeap::new(MAX_HEAP, Config::new(64)).map(|heap| heap.size());
    assert!(matches!(largest, Ok(MAX_HEAP) | Err(MapError::System(_))), "{largest:?}");
}

#[test]
fn a_refusal_of_memory_is_an_error_at_every_step_and_leaves_nothing_mapped() {
    in_own_process("linux::a_refusal_of_memory_is_an_error_at_every_step_and_leaves_nothing_mapped", || {
        let odd = 4099 * page_size();
        let out_of_memory = MapError::System(SystemError::OutOfMemory);
        let attempt = || MappedHeap::new(odd, Config::new(64)).map(|_| ()).expect_err("memory is limited");
        // Addresses: the reservation fails. Data: it succeeds, and opening the heap, then the bookkeeping, fails.
        let used = status_bytes("VmSize:");
        with_limit(libc::RLIMIT_AS, used + odd / 2, || assert_eq!(attempt(), out_of_memory));
        let data = status_bytes("VmData:");
        with_limit(libc::RLIMIT_DATA, data + odd / 2, || assert_eq!(attempt(), out_of_memory));
        with_limit(libc::RLIMIT_DATA, data + odd + 4 * page_size(), || assert_eq!(attempt(), out_of_memory));
        // What was only reserved is no open area, but it counts as size.
        assert_eq!(open_areas_of(odd), 0);
        assert!(status_bytes("VmSize:") < used + odd / 2, "a reservation is left");
        MappedHeap::new(odd, Config::new(64)).expect("memory is not limited any more");
    });
}

#[test]
fn a_process_heap_is_initialised_once_and_a_failure_does_not_count() {
    static HEAP: ProcessHeap = ProcessHeap::empty();
    let odd = 1051 * page_size();
    assert_eq!(HEAP.alloc(64), Err(AllocError::NotInitialised));
    assert!(matches!(HEAP.init(0, Config::new(64)), Err(MapError::Init(InitError::TooSmall { .. }))));
    assert_eq!(HEAP.init(odd, Config::new(0)), Err(MapError::Init(InitError::SlabSizeZero)));
    assert_eq!(HEAP.base(), None);
    assert_eq!(HEAP.alloc(64), Err(AllocError::NotInitialised));

    let first = HEAP.init(odd, Config::new(64)).expect("there is memory");
    assert_eq!(HEAP.base(), Some(first));
    assert_eq!(HEAP.alloc(64), Ok(first));
    assert_eq!(HEAP.init(odd, Config::new(64)), Err(MapError::Init(InitError::AlreadyInitialised)));
    assert_eq!(open_areas_of(odd), 1);
    assert_eq!(HEAP.base(), Some(first));
    assert_eq!(HEAP.check(), Ok(()));
}

#[test]
fn of_sixteen_threads_that_initialise_a_heap_one_does() {
    let odd = 1061 * page_size();
    for round in 1..=100 {
        let heap: ProcessHeap = ProcessHeap::empty();
        let start = Barrier::new(16);
        let results: Vec<_> = thread::scope(|scope| {
            let init = || {
                start.wait();
                heap.init(odd, Config::new(64)).map(NonNull::addr)
            };
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(init)).collect();
            threads.into_iter().map(|thread| thread.join().expect("nothing panics")).collect()
        });
        let winners: Vec<_> = results.iter().filter_map(|result| result.ok()).collect();
        let base = heap.base().expect("one of them did");
        assert_eq!(winners, [base.addr()], "round {round}");
        let lost = results.iter().filter_map(|result| result.err());
        assert!(lost.into_iter().all(|error| error == MapError::Init(InitError::AlreadyInitialised)), "round {round}");
        assert_eq!(heap.alloc(64), Ok(base));
        // The heaps of processes are never unmapped, those of losers are.
        assert_eq!(open_areas_of(odd), round);
    }
}
