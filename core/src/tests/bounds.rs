//! What stands between an offset or a size and memory that is not the heap's: nothing beyond the end is ever handed out,
//! whoever asks. (Set-up asks for what fits, and offsets come from a map that is right; so no heap gets as far as this.)

use core::mem::MaybeUninit;

use crate::heap::Heap;
use crate::region::{Carver, Memory, Region, RegionArray};
use crate::size::{Granules, Offset};
use crate::spin::SpinLock;
use crate::split::Config;

/// Bytes of the array, and the parts it is cut into.
const SIZE: usize = 1024;
const CARVED: usize = 128;
const SLAB: usize = 256;
const NEXT_FIT: usize = 640;

fn cut(
    array: &mut RegionArray<SIZE>,
    carved: usize,
    slab: usize,
    next_fit: usize,
) -> Option<(Carver<'_>, Region<'_>, Region<'_>)> {
    Memory::from(array).cut(carved, slab, next_fit)
}

#[test]
fn a_region_is_not_cut_into_more_than_it_has() {
    let mut array = RegionArray::new();
    assert!(cut(&mut array, CARVED, SLAB, NEXT_FIT).is_some());
    for [carved, slab, next_fit] in
        [[CARVED + 1, SLAB, NEXT_FIT], [CARVED, SLAB + 16, NEXT_FIT], [0, 0, SIZE + 1], [usize::MAX, SLAB, NEXT_FIT]]
    {
        assert!(cut(&mut array, carved, slab, next_fit).is_none(), "{carved} + {slab} + {next_fit}");
    }
}

#[test]
fn the_bookkeeping_is_not_cut_into_more_than_it_has() {
    let mut array = RegionArray::new();
    let (mut carver, ..) = cut(&mut array, CARVED, SLAB, NEXT_FIT).unwrap();
    assert!(carver.slice::<u64>(CARVED / 8 + 1).is_none());
    assert!(carver.slice::<u64>(usize::MAX / 4).is_none());
    assert_eq!(carver.slice::<u64>(CARVED / 8).unwrap().len(), CARVED / 8);
    assert!(carver.slice::<u64>(1).is_none());
}

#[test]
fn the_bookkeeping_is_not_cut_where_it_is_not_aligned() {
    let mut region = RegionArray::<SIZE>::new();
    let mut bookkeeping = RegionArray::<CARVED>::new();
    let bytes: &mut [MaybeUninit<u8>] = &mut bookkeeping.as_mut()[1..];
    let memory = Memory::with_bookkeeping(region.as_mut(), bytes);
    let (mut carver, ..) = memory.cut(0, SLAB, NEXT_FIT).unwrap();
    assert!(carver.slice::<u64>(1).is_none());
    carver.align().unwrap();
    assert!(carver.slice::<u64>(1).is_some());
}

#[test]
fn no_pointer_leads_behind_the_end_of_a_segment() {
    let mut array = RegionArray::new();
    let (_, slab, _) = cut(&mut array, CARVED, SLAB, NEXT_FIT).unwrap();
    let granules = (SLAB / 16) as u32;
    for at in [0, 1, granules - 1, granules, granules + 1, u32::MAX / 2, u32::MAX] {
        for count in [0, 1, 2, granules, granules + 1, u32::MAX] {
            let inside = u64::from(at) + u64::from(count) <= u64::from(granules);
            let pointer = slab.pointer(Offset::new(at), Granules::new(count));
            assert_eq!(pointer.is_some(), inside, "{count} granules at {at}");
        }
    }
}

#[test]
fn no_header_is_written_behind_the_end_of_a_segment() {
    let mut array = RegionArray::new();
    array.as_mut().fill(MaybeUninit::new(0xA5));
    let (_, mut slab, _) = cut(&mut array, CARVED, SLAB, NEXT_FIT).unwrap();
    let end = (SLAB / 16) as u32;
    for at in [end, end + 1, end + 16] {
        slab.write_free(Offset::new(at), Granules::new(2), Offset::ZERO);
        slab.link(Offset::new(at), Offset::ZERO);
        slab.set_length(Offset::new(at), Granules::new(2));
        assert!(!slab.free_is_intact(Offset::new(at), Granules::new(2), Offset::NONE), "a header at {at}");
    }
    // SAFETY: all bytes were initialised above, and headers are.
    let bytes = array.as_mut().iter().map(|byte| unsafe { byte.assume_init() });
    assert!(bytes.into_iter().all(|byte| byte == 0xA5), "a header was written");
}

#[test]
fn no_block_starts_at_the_segments_end() {
    let mut array = RegionArray::<SIZE>::new();
    let heap: Heap<'_, SpinLock> = Heap::new(&mut array, Config::new(16)).unwrap();
    let [first, end] = heap.with_next_fit(|n| [Offset::ZERO, n.map.end()].map(|at| n.map.is_start(at))).unwrap();
    assert!(!first && !end);
    heap.alloc(1).unwrap();
    let [first, end] = heap.with_next_fit(|n| [Offset::ZERO, n.map.end()].map(|at| n.map.is_start(at))).unwrap();
    assert!(first && !end);
}
