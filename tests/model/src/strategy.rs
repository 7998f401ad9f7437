//! Strategies of heaps and of programs, for property tests: a failing case shrinks to few and small operations.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use slabfit::{Config, GRANULE, MIN_REGION};

use crate::arena::{ALIGNED, Bookkeeping, Setup};
use crate::model::Placement;
use crate::program::{Op, Size};

/// Programs of fewer than `most` operations, which ask the heap or one of its caches.
pub fn programs(most: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(operations(), 1..most)
}

/// Bytes of a request, small ones for the most part.
fn sizes() -> impl Strategy<Value = Size> {
    prop_oneof![
        6 => Just(Size::Slab),
        6 => (0..100usize).prop_map(Size::Bytes),
        6 => (0..600usize).prop_map(Size::Bytes),
        4 => (0..5000usize).prop_map(Size::Bytes),
        3 => any::<u16>().prop_map(|share| Size::Share(share / 8)),
        1 => any::<u16>().prop_map(Size::Share),
        1 => (0..64usize).prop_map(Size::Huge),
    ]
}

fn aligns() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(GRANULE), 1 => (0..13u32).prop_map(|shift| 1 << shift)]
}

/// Slots of every size in slabs of every size, the usual one as often as all others.
pub fn configs() -> impl Strategy<Value = Config> {
    let slab_size = prop_oneof![1..=64usize, 1..=4096usize];
    let slab_bytes = prop_oneof![
        5 => Just(None),
        2 => Just(Some(0)),
        2 => (0..2048usize).prop_map(Some),
        1 => any::<usize>().prop_map(Some),
    ];
    let config = (slab_size, slab_bytes).prop_map(|(slab_size, slab_bytes)| Config {
        slab_size,
        slab_bytes,
        ..Config::without_slab()
    });
    let caches = prop_oneof![1 => Just(0), 3 => 1..5usize];
    (prop_oneof![9 => config, 4 => Just(Config::without_slab())], caches)
        .prop_map(|(config, caches)| config.caches(caches))
}

/// Legal heaps under every policy, of at most 2 MiB, half of them of less than 1 KiB.
pub fn setups() -> impl Strategy<Value = Setup> {
    let bookkeeping =
        prop_oneof![Just(Bookkeeping::Carved), (0..64usize).prop_map(Bookkeeping::Separate), Just(Bookkeeping::Zeroed)];
    let placement =
        prop_oneof![2 => Just(Placement::NextFit), 2 => Just(Placement::FirstFit), 3 => Just(Placement::General)];
    // As many heaps below 1 KiB as between 1 KiB and 1 MiB.
    let size =
        prop_oneof![(MIN_REGION..1024).boxed(), (10..20u32).prop_flat_map(|log| 1usize << log..=2 << log).boxed(),];
    // A region that starts inside a granule loses what is left of that one.
    let crooked = prop_oneof![3 => Just(0), 1 => 1..GRANULE];
    let offset = (0..ALIGNED / GRANULE, crooked)
        .prop_map(|(granules, less)| (granules * GRANULE + (GRANULE - less) % GRANULE, less));
    let config = (configs(), prop_oneof![1 => Just(0), 1 => 0..50_000usize]);
    (size, offset, config, placement, bookkeeping).prop_map(
        |(size, (offset, less), (config, reserve), placement, bookkeeping)| Setup {
            // Room for the larger bookkeeping of a region in one piece.
            size: size + less + reserve / 5 + usize::from(reserve > 0) * (2048 + config.caches * 3400),
            offset,
            config: config.reserve(reserve),
            placement,
            bookkeeping,
        },
    )
}

fn offsets(range: Range<isize>) -> impl Strategy<Value = isize> {
    prop_oneof![range.clone(), range.prop_map(|offset| offset & !15)]
}

/// How far a size is from the one that was asked for: not at all, for the most part.
fn more() -> impl Strategy<Value = isize> {
    prop_oneof![4 => Just(0), 1 => -40..=40isize, 1 => -600..=600isize]
}

/// One operation of the heap, or of one of its caches.
pub fn operations() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::AttachCache),
        2 => (0..4usize).prop_map(|cache| Op::DropCache { cache }),
        1 => (0..8usize).prop_map(|kept| Op::RecoverCaches { kept }),
        40 => operations_of_the_heap(),
        60 => (0..4usize, operations_of_the_heap()).prop_map(|(cache, op)| Op::By { cache, op: Box::new(op) }),
    ]
}

fn operations_of_the_heap() -> impl Strategy<Value = Op> {
    let object = || 0..10_000usize;
    prop_oneof![
        20 => (sizes(), aligns()).prop_map(|(size, align)| Op::Alloc { size, align }),
        2 => sizes().prop_map(|size| Op::AllocZeroed { size }),
        12 => object().prop_map(|object| Op::Free { object }),
        6 => (object(), more(), 0..6u32).prop_map(|(object, more, shift)| Op::FreeSized { object, more, shift: shift / 3 }),
        3 => (object(), more(), sizes()).prop_map(|(object, more, size)| Op::ReallocSized { object, more, size }),
        8 => (object(), sizes(), aligns())
            .prop_map(|(object, size, align)| Op::Realloc { object, size, align }),
        1 => (1..300usize).prop_map(|bytes| Op::FillUp { size: Size::Bytes(bytes) }),
        1 => Just(Op::FillUp { size: Size::Slab }),
        2 => (1..5usize).prop_map(|nth| Op::FreeEvery { nth }),
        3 => offsets(-64..3 << 19).prop_map(|offset| Op::FreeAt { offset }),
        3 => offsets(-64..1200).prop_map(|offset| Op::FreeAt { offset }),
        3 => (object(), offsets(-64..128)).prop_map(|(object, offset)| Op::FreeNear { object, offset }),
        2 => (0..64usize).prop_map(|nth| Op::FreeStale { nth }),
        1 => any::<usize>().prop_map(|address| Op::FreeAnything { address }),
        1 => (offsets(-64..1200), sizes()).prop_map(|(offset, size)| Op::ReallocAt { offset, size }),
        1 => (object(), 0..64usize).prop_map(|(object, granules)| Op::Forge { object, granules }),
        1 => (object(), 0..16usize, any::<u8>())
            .prop_map(|(header, at, byte)| Op::Overwrite { header, at, byte }),
        1 => any::<u64>().prop_map(|seed| Op::Scribble { seed }),
        1 => Just(Op::Repair),
        1 => Just(Op::EmptyMagazines),
        2 => (0..10_000usize).prop_map(|bytes| Op::Extend { bytes }),
    ]
}
