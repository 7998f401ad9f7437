//! The heap beside the reference model, whose answers `build.rs` has written down.

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::{ptr, slice};

use cortex_m_semihosting::hprintln;
use slabfit::AllocError::{self, Fragmented, Full};
use slabfit::Reason::{self, DoubleFree, Misaligned, NeverAllocated, NotAStart, OutsideHeap};
use slabfit::{
    CLASSES, ClassStats, Config, FirstFit, GRANULE, General, Heap, Memory, NextFit, Policy, RegionArray, StaticArray,
    bookkeeping_size,
};

use crate::masked::Masked;

// As in build.rs.
const HEAP_SIZE: usize = 16 << 10;
const SLAB_SIZE: usize = 64;
const CONFIG: Config = Config::new(SLAB_SIZE);
/// The slab leaves 32 KiB to the blocks, for which there are the classes of up to 64 bytes; and it ends beside a multiple of a run.
const HEAP_SIZE_WITH_CLASSES: usize = 33 << 10;
const CONFIG_WITH_CLASSES: Config = CONFIG.slab_bytes(1000);

/// Bytes of a run of these classes. The heap starts at a multiple of it, as the model's does.
const RUN: usize = 1 << 10;

static REGION: StaticArray<{ HEAP_SIZE_WITH_CLASSES + RUN }, Masked> = StaticArray::new();

/// What to do, and the model's answer to it. Addresses count from the heap's first byte.
pub enum Step {
    /// Size, alignment.
    Alloc(u16, u8, Result<u16, AllocError>),
    /// Address, size, alignment.
    Realloc(u16, u16, u8, Result<u16, AllocError>),
    /// Address, which may be any.
    Free(i32, Result<(), Reason>),
    /// Where the rover stands, if there is one.
    Check(Option<u16>),
    EmptyMagazines,
}

mod programs {
    use super::*;
    use Step::{Alloc, Check, EmptyMagazines, Free, Realloc};

    include!(concat!(env!("OUT_DIR"), "/programs.rs"));
}

// What the documentation of slabfit says of this target, beside core/tests/figures.rs: 4.6%, guard included, and two sizes.
const _: () = {
    let lost = (bookkeeping_size::<NextFit>(HEAP_SIZE, CONFIG) + 4 * GRANULE).next_multiple_of(GRANULE);
    assert!((lost * 1000 + HEAP_SIZE / 2) / HEAP_SIZE == 46);
    assert!(size_of::<Heap<'_>>() == 368);
    assert!(size_of::<StaticArray<4096>>() - 4096 == 384);
};

/// Runs all programs in the same memory, one after the other.
pub fn run() {
    let array = REGION.take().expect("nobody has asked before");
    let start = array.as_ptr().align_offset(RUN);
    let region = &mut array[start..][..HEAP_SIZE_WITH_CLASSES];
    let rover = |heap: &Heap<'_, Masked, NextFit>| heap.rover().expect("nobody is in the heap");
    run_under("next fit", &mut region[..HEAP_SIZE], CONFIG, programs::NEXT_FIT, rover);
    run_under::<FirstFit>("first fit", &mut region[..HEAP_SIZE], CONFIG, programs::FIRST_FIT, |_| None);
    let classes = run_under::<General>("general", region, CONFIG_WITH_CLASSES, programs::GENERAL, |_| None);
    // Every class that exists has had a run, and most of them had more than one.
    assert!(classes.iter().all(|class| (class.slot_size > 0) == (class.opened > 0)), "{classes:?}");
    assert!(classes.iter().map(|class| class.opened).sum::<u64>() > 10, "{classes:?}");
}

/// Runs a program, and returns the figures of the size classes.
fn run_under<P: Policy>(
    name: &str,
    region: &mut [MaybeUninit<u8>],
    config: Config,
    program: &[Step],
    rover: fn(&Heap<'_, Masked, P>) -> Option<usize>,
) -> [ClassStats; CLASSES] {
    // As many bytes as the largest heap needs.
    const BOOKKEEPING: usize = bookkeeping_size::<General>(HEAP_SIZE_WITH_CLASSES, CONFIG_WITH_CLASSES);
    let mut bookkeeping = RegionArray::<BOOKKEEPING>::new();
    let memory = Memory::with_bookkeeping(region, bookkeeping.as_mut());
    let heap: Heap<'_, Masked, P> = Heap::from_memory(memory, config).expect("the memory is enough");
    for (number, step) in program.iter().enumerate() {
        run_step(&heap, number, step, rover);
    }
    heap.empty_magazines().expect("nobody is in the heap");
    let stats = heap.stats().expect("nobody is in the heap");
    assert_eq!((stats.slab.live_objects, stats.blocks.live_objects), (0, 0));
    assert_eq!(stats.blocks.free_blocks, 1, "freeing everything leaves one free block");
    hprintln!("{}: {} steps as the model says", name, program.len());
    stats.classes
}

fn run_step<P: Policy>(
    heap: &Heap<'_, Masked, P>,
    number: usize,
    step: &Step,
    rover: fn(&Heap<'_, Masked, P>) -> Option<usize>,
) {
    let base = heap.base().expect("a heap has a base").as_ptr();
    let offset = |pointer: *const u8| (pointer.addr() - base.addr()) as u16;
    match *step {
        Step::Alloc(size, align, expected) => {
            let object = heap.alloc_layout(layout(size, align));
            assert_eq!(object.map(|object| offset(object.as_ptr())), expected, "step {number}");
            let _ = object.map(|object| fill(heap, object.as_ptr()));
        }
        Step::Realloc(at, size, align, expected) => {
            let old = base.wrapping_add(at.into());
            let old_size = verify(heap, old, number);
            let kept = old_size.min(size.into());
            // SAFETY: nobody uses the object but this function.
            let moved = unsafe { heap.realloc_layout(old, layout(old_size as u16, align), size.into()) };
            let answer = moved.map(|object| offset(object.as_ptr()));
            assert_eq!(answer, expected.map_err(Into::into), "step {number}");
            if let Ok(object) = moved {
                // SAFETY: the object has at least so many bytes, all of which were written.
                let bytes = unsafe { slice::from_raw_parts(object.as_ptr(), kept) };
                assert!(bytes.iter().all(|&byte| byte == tag(old)), "step {number}: the object's bytes are lost");
                fill(heap, object.as_ptr());
            }
        }
        Step::Free(at, expected) => {
            let object = base.wrapping_offset(at as isize);
            if expected.is_ok() {
                verify(heap, object, number);
            }
            // SAFETY: nobody uses the object afterwards.
            let freed = unsafe { heap.free(object) };
            assert_eq!(freed.map_err(|wrong| wrong.reason), expected, "step {number}");
        }
        Step::EmptyMagazines => heap.empty_magazines().expect("nobody is in the heap"),
        Step::Check(at) => {
            assert_eq!(rover(heap).map(|rover| offset(ptr::without_provenance(rover))), at, "step {number}");
            assert_eq!(heap.check(), Ok(()), "step {number}");
        }
    }
}

fn layout(size: u16, align: u8) -> Layout {
    Layout::from_size_align(size.into(), align.into()).expect("a power of two")
}

/// What an object at this address is filled with.
fn tag(object: *const u8) -> u8 {
    (object.addr() >> 4) as u8
}

/// Fills an object to its last byte.
fn fill<P: Policy>(heap: &Heap<'_, Masked, P>, object: *mut u8) {
    let size = heap.usable_size(object).expect("it is live");
    // SAFETY: the object has so many bytes, and nobody uses it but this file.
    unsafe { object.write_bytes(tag(object), size) };
}

/// Reads an object back and says how many bytes it has.
fn verify<P: Policy>(heap: &Heap<'_, Masked, P>, object: *const u8, number: usize) -> usize {
    let size = heap.usable_size(object).expect("it is live");
    // SAFETY: the object has so many bytes, which `fill` has written.
    let bytes = unsafe { slice::from_raw_parts(object, size) };
    assert!(bytes.iter().all(|&byte| byte == tag(object)), "step {number}: somebody else has written into an object");
    size
}
