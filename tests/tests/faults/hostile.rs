//! The hostile matrix: whatever a caller can pass, each case with a name and an exact answer. Sizes, alignments, regions,
//! frees and set-ups; every heap between inaccessible pages and beside the reference model where one fits.
//!
//! `SLABFIT_CASE=text` runs the cases whose names contain the text; `SLABFIT_SEED=n` the n-th of each part.

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::{NonNull, without_provenance_mut};
use std::sync::Barrier;
use std::{env, ptr, thread};

use slabfit::{
    AllocError, Config, GRANULE, Heap, InitError, InvalidFree, MAGIC, MIN_HEAP, MIN_REGION, Memory, NextFit, Reason,
    RegionArray, Segment, bookkeeping_size,
};
use slabfit_tests::abuse::fenced::{Case, Edge, Fenced};
use slabfit_tests::abuse::lab::{Lab, raw_alloc, raw_free, raw_realloc};
use slabfit_tests::abuse::level::replayed;
use slabfit_tests::abuse::watch::Watch;
use slabfit_tests::any_heap::AnyHeap;
use slabfit_tests::figure;
use slabfit_tests::header::LINK;
use slabfit_tests::model::Placement;

/// What the issue asks for at least.
const FEWEST_CASES: usize = 300;

/// A name and what must hold.
struct Row {
    name: String,
    check: Box<dyn Fn()>,
}

#[derive(Default)]
struct Matrix(Vec<Row>);

impl Matrix {
    fn add(&mut self, name: impl Into<String>, check: impl Fn() + 'static) {
        self.0.push(Row { name: name.into(), check: Box::new(check) });
    }
}

fn case(size: usize, slab_size: usize) -> Case {
    Case { size, config: Config::new(slab_size), placement: Placement::NextFit, carved: false, edge: Edge::High }
}

/// The smallest heap with size classes, those of up to 64 bytes.
fn with_classes() -> Case {
    let (size, config, placement) = (32 << 10, Config::without_slab(), Placement::General);
    Case { size, config, placement, carved: false, edge: Edge::High }
}

fn heap_in(memory: Memory<'static>, config: Config) -> Result<AnyHeap, InitError> {
    AnyHeap::from_memory(memory, config, Placement::NextFit)
}

fn lab() -> Lab {
    Lab::new(case(4096, 64))
}

/// Runs the rows and says which ones failed, all of them, by name.
fn run(name: &'static str, matrix: Matrix) -> usize {
    let wanted = env::var("SLABFIT_CASE").unwrap_or_default();
    let mut failed = Vec::new();
    let mut names: Vec<&str> = matrix.0.iter().map(|row| row.name.as_str()).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two cases of {name} have the same name");
    let watch = Watch::over(name);
    for (nth, row) in matrix.0.iter().enumerate().filter(|(_, row)| row.name.contains(&wanted)) {
        if replayed().is_some_and(|only| only != nth as u64) {
            continue;
        }
        watch.case(nth as u64);
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(&row.check)).is_err() {
            failed.push(&row.name);
        }
    }
    assert!(failed.is_empty(), "these cases failed: {failed:#?}");
    println!("{name}: {} cases", matrix.0.len());
    matrix.0.len()
}

/// All in one test, so that their count can be asserted.
#[test]
fn every_case_of_the_hostile_matrix_has_its_exact_answer() {
    let mut count = 0;
    count += run("sizes", sizes());
    count += run("alignments", alignments());
    count += run("regions", regions());
    count += run("sparse regions", sparse());
    count += run("frees", frees());
    count += run("set-up", set_up());
    figure::say("the hostile matrix", format_args!("{count} named cases, each with its exact answer"));
    assert!(count >= FEWEST_CASES, "{count} cases");
}

// ---- sizes ---------------------------------------------------------------------------------------------------------

fn sizes() -> Matrix {
    let mut rows = Matrix::default();
    for less in 0..=64 {
        rows.add(format!("a request of usize::MAX - {less}"), move || refuses_all_of(usize::MAX - less));
    }
    for (name, size) in [
        ("isize::MAX", isize::MAX as usize),
        ("isize::MAX + 1", isize::MAX as usize + 1),
        ("u32::MAX", u32::MAX as usize),
        ("u32::MAX + 1", 1 << 32),
        ("i32::MAX", i32::MAX as usize),
        ("the granules of 2^32", (1 << 32) * GRANULE),
        ("the granules of 2^32, less 16", ((1 << 32) - 1) * GRANULE),
        ("64 GiB", 64 << 30),
    ] {
        rows.add(format!("a request of {name}"), move || refuses_all_of(size));
    }
    // The block segment has 3072 bytes.
    for size in [3055, 3056] {
        rows.add(format!("a request of the whole segment, {size} bytes"), move || {
            let mut lab = lab();
            let address = lab.alloc(size, GRANULE).unwrap().expect("it fits");
            assert_eq!(lab.alloc(1, GRANULE).unwrap(), Err(AllocError::Full));
            assert_eq!(lab.free(address).unwrap(), Ok(()));
            lab.compare().unwrap();
        });
    }
    for size in [3057, 3058, 3072, 4096, 4097] {
        rows.add(format!("a request of more than the segment, {size} bytes"), move || refuses_all_of(size));
    }
    for size in [0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 62, 63, 64, 65, 66, 80, 96, 127, 128, 129] {
        rows.add(format!("requests of {size} bytes until nothing is left"), move || fills_up(size));
    }
    for size in [0, 1, 15, 16, 17, 32, 33, 48, 49, 63, 64, 65, 80, 512, 513] {
        rows.add(format!("requests of {size} bytes until nothing is left, with size classes"), move || {
            fills_up_with_classes(size);
        });
    }
    for slab_size in [1, 15, 16, 17, 48, 63, 64, 65, 1024, 1025, 3056, 3057, usize::MAX - 15, usize::MAX] {
        rows.add(format!("a slab size of {slab_size}, and one more and one fewer"), move || {
            let mut lab = Lab::new(case(4096, slab_size));
            for size in [slab_size, slab_size.saturating_sub(1), slab_size.saturating_add(1)] {
                let served = lab.alloc(size, GRANULE).unwrap();
                lab.compare().unwrap();
                if let Ok(address) = served {
                    assert_eq!(lab.free(address).unwrap(), Ok(()));
                }
            }
        });
    }
    rows.add("every size from 0 to 4096, served, zeroed, resized and freed", || {
        let mut lab = Lab::new(case(32 << 10, 64));
        for size in 0..=4096 {
            let address = lab.alloc(size, GRANULE).unwrap().expect("it fits");
            let moved = lab.realloc(address, 4096 - size, GRANULE).unwrap().expect("it fits");
            assert_eq!(lab.free(moved).unwrap(), Ok(()));
            assert_eq!(lab.free(moved).unwrap().map_err(|wrong| wrong.reason), Err(Reason::DoubleFree));
            let zeroed = lab.heap().alloc_zeroed(size).expect("it fits").addr().get();
            assert_eq!(lab.model.alloc(size, GRANULE), Ok(zeroed));
            assert!(lab.read(zeroed, size).iter().all(|&byte| byte == 0), "{size} bytes");
            assert_eq!(raw_free(lab.heap(), zeroed), lab.model.free(zeroed));
        }
        lab.compare().unwrap();
    });
    for size in [0, 1, 16, 17, 64, 65, 3056, 3057, 1 << 40, usize::MAX - 16, usize::MAX] {
        rows.add(format!("a resize to {size} of a slot, a block, and what is neither"), move || {
            for align in [1, GRANULE, 64, 4096] {
                let mut lab = lab();
                let (slot, block) = (lab.alloc(64, 1).unwrap(), lab.alloc(100, 1).unwrap());
                for address in [slot.expect("room"), block.expect("room"), lab.base() + 3000, 0, usize::MAX] {
                    let _ = lab.realloc(address, size, align).unwrap();
                    lab.compare().unwrap();
                }
            }
        });
    }
    rows
}

/// No call serves so much, and nothing changes but the count of failures.
fn refuses_all_of(size: usize) {
    let mut lab = lab();
    let object = lab.alloc(100, GRANULE).unwrap().expect("it fits");
    for align in [1, GRANULE, 32, 4096] {
        assert_eq!(lab.alloc(size, align).unwrap(), Err(AllocError::Full));
        let kept = lab.realloc(object, size, align).unwrap();
        assert_eq!(kept, Err(AllocError::Full.into()));
    }
    assert_eq!(lab.heap().alloc_zeroed(size), Err(AllocError::Full));
    assert_eq!(lab.model.alloc(size, GRANULE), Err(AllocError::Full));
    lab.compare().unwrap();
    assert_eq!(lab.free(object).unwrap(), Ok(()));
}

fn fills_up(size: usize) {
    let mut lab = lab();
    let mut objects = Vec::new();
    while let Ok(address) = lab.alloc(size, GRANULE).unwrap() {
        objects.push(address);
    }
    let bytes = GRANULE + size.max(1).next_multiple_of(GRANULE);
    // Sixteen slots of 64 before next fit has its turn; a rest that is too small for a block stays with the last.
    let slots = if size == 64 { 16 } else { 0 };
    assert_eq!(objects.len(), slots + 3072 / bytes);
    lab.compare().unwrap();
    for address in objects {
        assert_eq!(lab.free(address).unwrap(), Ok(()));
    }
    lab.compare().unwrap();
    assert_eq!(lab.heap().stats().map(|stats| stats.blocks.free_blocks), Ok(1));
}

fn fills_up_with_classes(size: usize) {
    let mut lab = Lab::new(with_classes());
    let mut objects = Vec::new();
    while let Ok(address) = lab.alloc(size, GRANULE).unwrap() {
        objects.push(address);
    }
    let bytes = size.max(1).next_multiple_of(GRANULE);
    // 32 runs of 1 KiB, or blocks.
    let expected = if size <= 64 { 32 * (1024 / bytes) } else { (32 << 10) / (GRANULE + bytes) };
    assert_eq!(objects.len(), expected);
    lab.compare().unwrap();
    for address in objects {
        assert_eq!(lab.free(address).unwrap(), Ok(()));
    }
    lab.empty_magazines().unwrap();
    lab.compare().unwrap();
    assert_eq!(lab.heap().stats().map(|stats| stats.blocks.free_blocks), Ok(1));
}

// ---- alignments ----------------------------------------------------------------------------------------------------

fn alignments() -> Matrix {
    let mut rows = Matrix::default();
    for shift in 0..usize::BITS {
        rows.add(format!("an alignment of 2^{shift}"), move || {
            let align = 1usize << shift;
            let mut lab = lab();
            // Past 2^62 only a layout of no bytes is one at all.
            for size in [0, 1, 16, 64, 100].into_iter().filter(|&size| Layout::from_size_align(size, align).is_ok()) {
                let served = lab.alloc(size, align).unwrap();
                lab.compare().unwrap();
                match served {
                    Ok(address) => {
                        assert_eq!(address % align, 0);
                        assert_eq!(lab.free(address).unwrap(), Ok(()));
                    }
                    Err(error) => assert!(align > 2048 && error == AllocError::Fragmented, "{error}"),
                }
            }
        });
    }
    for align in [0, 3, 6, 24, 48, 100, usize::MAX] {
        rows.add(format!("an alignment of {align}, which no layout has"), move || {
            assert!(Layout::from_size_align(16, align).is_err());
        });
    }
    rows
}

// ---- regions -------------------------------------------------------------------------------------------------------

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

fn is_usable(heap: &AnyHeap) {
    let largest = heap.segment(Segment::Blocks).len() - GRANULE;
    let object = heap.alloc(largest).expect("the largest request");
    // SAFETY: just served, with so many bytes.
    unsafe { object.write_bytes(0x11, largest) };
    assert_eq!(raw_free(heap, object.addr().get()), Ok(()));
    assert_eq!(heap.check(), Ok(()));
}

fn regions() -> Matrix {
    let mut rows = Matrix::default();
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
    for seed in 0..16 {
        rows.add(format!("a region prefilled with random bytes from seed {seed}"), move || {
            prefilled(seed, case(4096, 48))
        });
        rows.add(format!("a region for size classes prefilled with random bytes from seed {seed}"), move || {
            prefilled(seed, with_classes());
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
    rows.add("the last page that a program can have", last_user_page);
    rows.add("a region at null", || {
        // SAFETY: null is allowed and means no bytes.
        let made = heap_in(unsafe { Memory::from_raw(ptr::null_mut(), 4096) }, Config::new(64));
        assert_eq!(made.err(), Some(InitError::TooSmall { size: 0, minimum: MIN_REGION }));
    });
    rows
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
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let fixed = if address == 0 { 0 } else { libc::MAP_FIXED_NOREPLACE };
    let flags = kind | libc::MAP_NORESERVE | fixed;
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

// ---- sparse regions: gaps and blocks whose bytes need 24, 31, 32 and 33 bits ------------------------------------------

fn sparse() -> Matrix {
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

/// A block of so many bytes, and the gap that it leaves, between two others in a heap of 8 GiB.
fn across(bytes: usize) {
    const SIZE: usize = 8 << 30;
    let needed = bookkeeping_size::<NextFit>(SIZE, Config::new(64));
    let (Some(region), Some(second)) = (map_at(0, SIZE), map_at(0, needed)) else {
        return eprintln!("SKIPPED a gap of {bytes}: the system has no 8 GiB of addresses");
    };
    {
        // SAFETY: both are this test's alone and outlive the heap.
        let pieces = unsafe { Memory::from_raw_parts(region, SIZE, second, needed) };
        // SAFETY: zeroed by the system.
        let pieces = unsafe { pieces.assume_zeroed() };
        let heap = heap_in(pieces, Config::new(64)).expect("a legal heap");
        let start = heap.segment(Segment::Blocks).start;
        let length_at = |at: usize| {
            // SAFETY: a header lies there, in the region, at a multiple of 16.
            unsafe { region.with_addr(at).cast::<i32>().read_volatile() }
        };
        let saturated = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
        let payload = bytes - GRANULE;
        let alloc = |size, expected| assert_eq!(raw_alloc(&heap, size, GRANULE), Ok(expected));
        alloc(48, start + 16);
        alloc(payload, start + 80);
        alloc(48, start + 64 + bytes + 16);
        let (block, last) = (start + 64, start + 64 + bytes);
        assert_eq!(length_at(block), saturated(payload));
        assert_eq!(heap.usable_size(without_provenance_mut(block + 16)), Ok(payload));
        // The granules inside of it are no starts, wherever a bit might be lost.
        for inside in [GRANULE, 1 << 20, (payload / 2) & !15, payload - GRANULE] {
            let address = block + 16 + inside;
            assert_eq!(raw_free(&heap, address), Err(InvalidFree { address, reason: Reason::NotAStart }));
        }
        assert_eq!(raw_free(&heap, block + 16), Ok(()));
        assert_eq!(length_at(block), saturated(payload));
        // The gap is found, by exactly its size, from behind; one granule more goes elsewhere.
        let rest = heap.segment(Segment::Blocks).end - last - 64;
        alloc(rest - GRANULE, last + 64 + 16);
        assert_eq!(raw_alloc(&heap, payload + 1, GRANULE), Err(AllocError::Full));
        alloc(payload, block + 16);
        assert_eq!(raw_alloc(&heap, 1, GRANULE), Err(AllocError::Full));
        for address in [block + 16, start + 16, last + 16, last + 80] {
            assert_eq!(raw_free(&heap, address), Ok(()));
        }
        let stats = heap.stats().expect("nobody is in the heap");
        assert_eq!((stats.blocks.free_blocks, stats.blocks.largest_free), (1, SIZE / 4 * 3));
        assert_eq!(length_at(start), i32::MAX);
    }
    unmap(region, SIZE);
    unmap(second, needed);
}

// ---- frees ---------------------------------------------------------------------------------------------------------

/// A heap in some state.
type State = fn() -> Lab;

/// An address that is no heap's.
type Address = fn() -> usize;

/// Five blocks side by side, with payloads of 48 bytes; the heap is otherwise as it was made.
fn five() -> (Lab, [usize; 5]) {
    let mut lab = Lab::new(case(1024, 32));
    let blocks = [(); 5].map(|()| lab.alloc(48, GRANULE).unwrap().expect("it fits"));
    (lab, blocks)
}

fn five_without(freed: &[usize]) -> Lab {
    let (mut lab, blocks) = five();
    for &nth in freed {
        assert_eq!(lab.free(blocks[nth]).unwrap(), Ok(()));
    }
    lab
}

fn slots(live: usize, returned: &[usize]) -> Lab {
    let mut lab = Lab::new(case(1040, 40));
    let slots: Vec<usize> = (0..live).map(|_| lab.alloc(40, GRANULE).unwrap().expect("it fits")).collect();
    for &nth in returned {
        assert_eq!(lab.free(slots[nth]).unwrap(), Ok(()));
    }
    lab
}

/// A heap with size classes: so many live slots for `size` bytes side by side, of which some were freed.
fn run_of(size: usize, live: usize, freed: &[usize]) -> Lab {
    let mut lab = Lab::new(with_classes());
    let slots: Vec<usize> = (0..live).map(|_| lab.alloc(size, GRANULE).unwrap().expect("it fits")).collect();
    for &nth in freed {
        assert_eq!(lab.free(slots[nth]).unwrap(), Ok(()));
    }
    lab
}

const STATES: &[(&str, State)] = &[
    ("fresh", || Lab::new(case(1024, 32))),
    ("five blocks live", || five_without(&[])),
    ("the first block freed", || five_without(&[0])),
    ("a block freed between live ones", || five_without(&[2])),
    ("the last block freed into the rest", || five_without(&[4])),
    ("coalesced to the left", || five_without(&[1, 2])),
    ("coalesced to the right", || five_without(&[2, 1])),
    ("coalesced on both sides", || five_without(&[1, 3, 2])),
    ("every other block freed", || five_without(&[0, 2, 4])),
    ("all blocks freed, in order", || five_without(&[0, 1, 2, 3, 4])),
    ("all blocks freed, backwards", || five_without(&[4, 3, 2, 1, 0])),
    ("one slot live", || slots(1, &[])),
    ("two slots live and one returned between", || slots(3, &[1])),
    ("all slots live, with a tail behind the last", || slots(5, &[])),
    ("all slots returned", || slots(5, &[0, 4, 2, 1, 3])),
    ("a slot spilled", || slots(6, &[])),
    ("the segment full", || {
        let mut lab = Lab::new(case(1024, 32));
        lab.alloc(752, GRANULE).unwrap().expect("it fits");
        lab
    }),
    ("a remainder of 16 bytes with the last block", || {
        let mut lab = Lab::new(case(1024, 32));
        lab.alloc(736, GRANULE).unwrap().expect("it fits");
        lab
    }),
    ("an aligned block behind a gap", || {
        let mut lab = Lab::new(case(1024, 32));
        lab.alloc(1, GRANULE).unwrap().expect("it fits");
        lab.alloc(64, 128).unwrap().expect("it fits");
        lab
    }),
    ("shrunk in place", || {
        let (mut lab, blocks) = five();
        assert_eq!(lab.realloc(blocks[2], 1, GRANULE).unwrap(), Ok(blocks[2]));
        lab
    }),
    ("grown in place", || {
        let (mut lab, blocks) = five();
        assert_eq!(lab.realloc(blocks[4], 100, GRANULE).unwrap(), Ok(blocks[4]));
        lab
    }),
    ("with size classes, fresh", || Lab::new(with_classes())),
    ("a run with its first slot live", || run_of(48, 1, &[])),
    ("a run with slots in the magazine", || run_of(48, 5, &[1, 3])),
    ("a run with all slots live", || run_of(64, 16, &[])),
    ("a run whose slots were given back to it", || {
        let mut lab = run_of(16, 40, &[3, 5]);
        lab.empty_magazines().unwrap();
        lab
    }),
    ("a run without a live slot", || run_of(64, 3, &[0, 1, 2])),
    ("a run given back", || {
        let mut lab = run_of(64, 3, &[0, 1, 2]);
        lab.empty_magazines().unwrap();
        lab
    }),
    ("a run and a granule behind it", || {
        let mut lab = Lab::new(with_classes());
        let first = lab.alloc(1024, GRANULE).unwrap().expect("it fits");
        lab.alloc(1024, GRANULE).unwrap().expect("it fits");
        assert_eq!(lab.free(first).unwrap(), Ok(()));
        lab.alloc(16, GRANULE).unwrap().expect("it fits");
        lab
    }),
    ("a block where no run could be opened", || {
        let mut lab = Lab::new(with_classes());
        lab.alloc(31 << 10, GRANULE).unwrap().expect("it fits");
        lab.alloc(16, GRANULE).unwrap().expect("it fits");
        lab
    }),
    ("carved, with its bookkeeping below", || {
        let mut lab = Lab::new(Case { carved: true, ..case(1024, 32) });
        lab.alloc(32, GRANULE).unwrap().expect("it fits");
        lab.alloc(100, GRANULE).unwrap().expect("it fits");
        lab
    }),
];

/// Every byte address from a page before the heap to a page behind it: refused by the model's name for it and counted,
/// with nothing changed; or live, and then freed, from the same state each time.
fn every_byte_address(state: State, resize: bool) {
    let mut lab = state();
    let saved = lab.save();
    let addresses: Range<usize> = lab.base() - 4096..lab.base() + lab.heap().size() + 4096;
    for address in addresses {
        let live = lab.model.usable_size(address).is_ok();
        if resize {
            assert_eq!(lab.realloc(address, 16, GRANULE).unwrap().is_ok(), live, "{address:#x}");
        } else {
            assert_eq!(lab.free(address).unwrap().is_ok(), live, "{address:#x}");
        }
        if live {
            lab.compare().unwrap();
            lab.restore(&saved);
        }
    }
    lab.compare().unwrap();
    let mut fresh = state();
    fresh.compare().unwrap();
}

fn frees() -> Matrix {
    let mut rows = Matrix::default();
    for &(name, state) in STATES {
        rows.add(format!("a free of every byte address: {name}"), move || every_byte_address(state, false));
        rows.add(format!("a resize of every byte address: {name}"), move || every_byte_address(state, true));
    }
    let foreign: [(&str, Address); 8] = [
        ("null", || 0),
        ("one", || 1),
        ("the highest address", || usize::MAX),
        ("the highest granule", || usize::MAX & !15),
        ("the middle of the addresses", || 1 << 63),
        ("the stack", || stack_address()),
        ("a static", || (&raw const FOREIGN).addr()),
        ("a function", || stack_address as fn() -> usize as usize),
    ];
    for (name, address) in foreign {
        rows.add(format!("a free of {name}"), move || refused_outside(&mut five().0, address()));
    }
    rows.add("a free of what the system's allocator gave", || {
        let object = Box::new(FOREIGN);
        refused_outside(&mut five().0, (&raw const *object).addr());
    });
    rows.add("a free of another heap's object", || {
        let (mut other, blocks) = five();
        refused_outside(&mut five().0, blocks[1]);
        assert_eq!(other.free(blocks[1]).unwrap(), Ok(()));
    });
    rows.add("a free of the inaccessible page behind the heap, and before its bookkeeping", || {
        let mut lab = five().0;
        let end = lab.base() + lab.heap().size();
        (end..end + 4096).for_each(|address| refused_outside(&mut lab, address));
    });
    for nth in 0..3 {
        rows.add(format!("a free of a header copied into user data, granule {nth}"), move || forged(nth));
    }
    rows.add("a free of a start that was handed out again frees it: no allocator can tell", || {
        let (mut lab, blocks) = five();
        assert_eq!(lab.free(blocks[2]).unwrap(), Ok(()));
        assert_eq!(raw_alloc(lab.heap(), 700, GRANULE), lab.model.alloc(700, GRANULE));
        let mut again = lab.alloc(48, GRANULE).unwrap();
        while again != Ok(blocks[2]) {
            again = lab.alloc(48, GRANULE).unwrap();
        }
        assert_eq!(lab.free(blocks[2]).unwrap(), Ok(()));
        assert_eq!(lab.free(blocks[2]).unwrap().map_err(|wrong| wrong.reason), Err(Reason::DoubleFree));
    });
    let next_fit = (Placement::NextFit, 2048);
    rows.add("a slot freed by two threads at once: one is served", move || freed_by_two(next_fit, 32));
    rows.add("a block freed by two threads at once: one is served", move || freed_by_two(next_fit, 100));
    let general = (Placement::General, 48 << 10);
    rows.add("a slot of a run freed by two threads at once: one is served", move || freed_by_two(general, 16));
    rows
}

static FOREIGN: [u64; 4] = [7; 4];

fn stack_address() -> usize {
    let local = 7u64;
    (&raw const local).addr()
}

fn refused_outside(lab: &mut Lab, address: usize) {
    let refused = InvalidFree { address, reason: Reason::OutsideHeap };
    assert_eq!(lab.free(address).unwrap(), Err(refused));
    assert_eq!(lab.realloc(address, 100, GRANULE).unwrap(), Err(refused.into()));
    lab.compare().unwrap();
}

fn forged(nth: usize) {
    let (mut lab, blocks) = five();
    for length in [16i32, 32, 48, 0, -1, i32::MAX] {
        let header = blocks[1] + nth * GRANULE;
        lab.write(header, &length.to_ne_bytes());
        lab.write(header + LINK, &MAGIC.to_ne_bytes());
        lab.note();
        // Behind the last granule of the payload the next block's header begins, which is no start of a payload either.
        for address in [header, header + GRANULE].into_iter().filter(|&address| address != blocks[1]) {
            let refused = Err(InvalidFree { address, reason: Reason::NotAStart });
            assert_eq!(lab.free(address).unwrap(), refused);
        }
    }
    lab.compare().unwrap();
}

fn freed_by_two((placement, heap_size): (Placement, usize), size: usize) {
    let memory = Case { size: heap_size, placement, carved: true, ..case(heap_size, 32) }.memory();
    for _ in 0..300 {
        // SAFETY: the memory outlives the heap, the only one of its time. Nobody looks at the memory.
        let pieces = unsafe { memory.memory() };
        let heap: AnyHeap = AnyHeap::from_memory(pieces, Config::new(32), placement).expect("enough");
        let object = heap.alloc(size).expect("it fits").addr().get();
        let classes = heap.stats().expect("nobody is in the heap").classes;
        assert_eq!(classes.iter().any(|class| class.live_objects > 0), placement == Placement::General);
        let together = Barrier::new(2);
        let free = || {
            together.wait();
            // SAFETY: nobody uses the object.
            unsafe { heap.free(without_provenance_mut(object)) }
        };
        let answers = thread::scope(|scope| {
            let both = [scope.spawn(free), scope.spawn(free)];
            both.map(|thread| thread.join().expect("no panic"))
        });
        let refused = Err(InvalidFree { address: object, reason: Reason::DoubleFree });
        assert!(answers == [Ok(()), refused] || answers == [refused, Ok(())], "{answers:?}");
        assert_eq!(heap.check(), Ok(()));
    }
}

// ---- set-up --------------------------------------------------------------------------------------------------------

fn before_a_request(placement: Placement, size: usize) {
    let heap: AnyHeap = AnyHeap::empty(placement);
    for align in [1, 16, 32, 1 << 62] {
        assert_eq!(raw_alloc(&heap, size, align), Err(AllocError::NotInitialised));
    }
    assert_eq!(heap.alloc_zeroed(size), Err(AllocError::NotInitialised));
}

fn before_a_free(placement: Placement, address: usize) {
    let heap: AnyHeap = AnyHeap::empty(placement);
    let refused = InvalidFree { address, reason: Reason::OutsideHeap };
    assert_eq!(raw_free(&heap, address), Err(refused));
    assert_eq!(raw_realloc(&heap, address, 16, 16), Err(refused.into()));
    assert!(!heap.owns(without_provenance_mut(address)));
}

fn set_up() -> Matrix {
    let mut rows = Matrix::default();
    for (name, size) in [("0", 0), ("1", 1), ("64", 64), ("usize::MAX", usize::MAX)] {
        for placement in [Placement::NextFit, Placement::General] {
            rows.add(format!("before: a request of {name}, {placement:?}"), move || before_a_request(placement, size));
        }
    }
    for (name, address) in [("null", 0), ("16", 16), ("any", 0x1234_5670), ("the highest", usize::MAX)] {
        for placement in [Placement::NextFit, Placement::General] {
            rows.add(format!("before: a free and a resize of {name}, {placement:?}"), move || {
                before_a_free(placement, address);
            });
        }
    }
    for placement in [Placement::NextFit, Placement::General] {
        rows.add(
            format!("before: check, repair, walks, figures, a dump and empty magazines, {placement:?}"),
            move || {
                let heap: AnyHeap = AnyHeap::empty(placement);
                let mut text = String::new();
                assert_eq!((heap.check(), heap.repair(), heap.dump(&mut text)), (Ok(()), Ok(0), Ok(())));
                assert_eq!((heap.blocks().count(), heap.overwritten().count(), heap.rover()), (0, 0, None));
                assert_eq!(heap.empty_magazines(), Ok(()));
            },
        );
    }
    rows.add("twice: the second is refused and the first heap goes on", || {
        let lab = lab();
        let before = raw_alloc(lab.heap(), 100, 16).expect("it fits");
        let again = lab.heap().init(leaked(4096), Config::new(64));
        assert_eq!(again, Err(InitError::AlreadyInitialised));
        assert_eq!(raw_free(lab.heap(), before), Ok(()));
        assert_eq!(lab.heap().check(), Ok(()));
    });
    let failures: [(&str, usize, usize, InitError); 3] = [
        (
            "a region that is too small",
            MIN_REGION - 16,
            64,
            InitError::TooSmall { size: MIN_REGION - 16, minimum: MIN_REGION },
        ),
        ("no region at all", 0, 64, InitError::TooSmall { size: 0, minimum: MIN_REGION }),
        ("a slab size of 0", 4096, 0, InitError::SlabSizeZero),
    ];
    for (name, size, slab_size, error) in failures {
        rows.add(format!("after a failure: {name}"), move || {
            let heap: AnyHeap = AnyHeap::empty(Placement::NextFit);
            assert_eq!(heap.init(leaked(size), Config::new(slab_size)), Err(error));
            assert_eq!(heap.alloc(1), Err(AllocError::NotInitialised));
            assert_eq!(heap.init(leaked(4096), Config::new(64)), Ok(()));
            is_usable(&heap);
        });
    }
    rows.add("raced by 16 threads: one wins", || {
        for _ in 0..50 {
            let heap: AnyHeap = AnyHeap::empty(Placement::NextFit);
            let together = Barrier::new(16);
            let answers: Vec<_> = thread::scope(|scope| {
                let all: Vec<_> = (0..16)
                    .map(|_| {
                        scope.spawn(|| {
                            together.wait();
                            heap.init(leaked(2048), Config::new(32))
                        })
                    })
                    .collect();
                all.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            });
            assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
            assert!(answers.iter().all(|answer| matches!(answer, Ok(()) | Err(InitError::AlreadyInitialised))));
            is_usable(&heap);
        }
    });
    rows
}

/// Memory for a heap that is never given back.
fn leaked(size: usize) -> &'static mut [MaybeUninit<u8>] {
    let array: NonNull<RegionArray<4096>> = NonNull::from(Box::leak(Box::new(RegionArray::new())));
    // SAFETY: leaked just now, so nobody else has it, and it is never freed.
    let array = unsafe { &mut *array.as_ptr() };
    &mut array.as_mut()[..size]
}
