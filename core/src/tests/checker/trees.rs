//! Broken summaries and maxima.

use std::vec::Vec;

use super::{Kind, blocks_report_turning, found};
use crate::layout::Config;
use crate::max_tree::{MaxTree, Number};
use crate::maxima::Maxima;
use crate::memory::Memory;
use crate::policy::{FirstFit, NextFit, Policy};
use crate::segments::Heap;
use crate::spin::SpinLock;
use crate::units::{BITS, GRANULE};

/// Makes a heap without slab whose map has `chunks` chunks, and some blocks in it.
fn with_heap_of_chunks<P: Policy>(chunks: usize, test: impl FnOnce(&Heap<'_, SpinLock, P>)) {
    // A boundary more than granules.
    let size = (chunks * BITS as usize - 1) * GRANULE;
    let mut region = std::vec![0u8; size + GRANULE];
    let mut bookkeeping = std::vec![0u8; crate::bookkeeping_size::<P>(size, Config::without_slab())];
    let skip = region.as_ptr().align_offset(GRANULE);
    let (start, own, length) = (region.as_mut_ptr().wrapping_add(skip), bookkeeping.as_mut_ptr(), bookkeeping.len());
    // SAFETY: both are lent to the heap alone, for as long as it lives.
    let memory = unsafe { Memory::from_raw_parts(start, size, own, length) };
    let heap: Heap<'_, SpinLock, P> = Heap::from_memory(memory, Config::without_slab()).unwrap();
    let granules = chunks * BITS as usize - 1;
    let mut objects = Vec::new();
    // Blocks here and there, with chunks between them in which nothing starts.
    let sizes = [1, 2, 2, 5, granules / 17, 3, 3, granules / 5, 2, 4, granules / 3, 2];
    objects.extend(sizes.iter().map_while(|&granules| heap.alloc(granules * GRANULE).ok()));
    for object in objects.iter().step_by(2) {
        // SAFETY: nobody uses the object.
        unsafe { heap.free(object.as_ptr()) }.unwrap();
    }
    assert_eq!(heap.lock_blocks().unwrap().map.boundaries.chunks().count(), chunks);
    heap.check().unwrap();
    test(&heap);
}

fn every_summary_bit_under<P: Policy>(chunks: usize) {
    with_heap_of_chunks::<P>(chunks, |heap| {
        let levels = heap.lock_blocks().unwrap().map.summary.levels();
        assert_eq!(levels, 2 + u32::from(chunks > BITS.pow(2) as usize));
        for level in 0..levels {
            let places = heap.lock_blocks().unwrap().map.summary.places(level);
            for place in places {
                for bit in 0..BITS {
                    let what = std::format!("bit {bit} of word {place} in level {level}, {chunks} chunks");
                    blocks_report_turning(heap, &what, Kind::Summary, |blocks| {
                        *blocks.map.summary.word_mut(place).unwrap() ^= 1 << bit;
                    });
                }
            }
        }
        heap.check().unwrap();
    });
}

#[test]
fn every_summary_bit_that_is_flipped_is_reported() {
    let word = BITS as usize;
    for chunks in [1, 2, word - 1, word, word + 1, 2 * word, 3 * word + 7] {
        every_summary_bit_under::<NextFit>(chunks);
        every_summary_bit_under::<FirstFit>(chunks);
    }
}

/// The tree of the chunks' maxima.
fn near<'m, 'a>(maxima: &'m mut Maxima<'a>) -> &'m mut MaxTree<'a, Near> {
    #[cfg(target_pointer_width = "64")]
    return maxima.near();
    #[cfg(target_pointer_width = "32")]
    return maxima;
}

/// A maximum of a chunk: what its tree is made of.
#[cfg(target_pointer_width = "64")]
type Near = u16;

#[cfg(target_pointer_width = "32")]
type Near = u32;

/// What fills the last node of each level included. Negative numbers, as vector code sees them, are the most hidden.
fn every_maximum_in<P: Policy, N: Number>(
    heap: &Heap<'_, SpinLock, P>,
    what: &str,
    tree: impl for<'m, 'a> Fn(&'m mut Maxima<'a>) -> &'m mut MaxTree<'a, N>,
) {
    let levels = tree(&mut heap.lock_blocks().unwrap().map.maxima).levels();
    for level in 0..levels {
        let places = tree(&mut heap.lock_blocks().unwrap().map.maxima).places(level);
        let (start, end) = (places.start, places.end);
        for place in places.filter(|&place| place < start + 80 || end - place < 40 || place % 53 == 0) {
            for change in [1, 2, u32::MAX] {
                let what = std::format!("{what}: number {place} in level {level} of {levels}, changed by {change}");
                let set =
                    |number| *tree(&mut heap.lock_blocks().unwrap().map.maxima).number_mut(place).unwrap() = number;
                let before = *tree(&mut heap.lock_blocks().unwrap().map.maxima).number_mut(place).unwrap();
                set(N::new(before.get().wrapping_add(change)));
                assert_eq!(found(heap), Some(Kind::Maximum), "{what}");
                set(before);
            }
        }
    }
    heap.check().unwrap();
}

fn every_maximum_under<P: Policy>(chunks: usize, levels: u32) {
    with_heap_of_chunks::<P>(chunks, |heap| {
        assert_eq!(near(&mut heap.lock_blocks().unwrap().map.maxima).levels(), levels);
        every_maximum_in(heap, "near", near);
        #[cfg(target_pointer_width = "64")]
        every_maximum_in(heap, "far", |maxima| maxima.far());
    });
}

#[test]
fn every_maximum_that_is_changed_is_reported_on_every_level() {
    let fan = Near::FAN as usize;
    for (chunks, levels) in
        [(1, 1), (fan - 1, 1), (fan, 1), (fan + 1, 2), (fan * fan, 2), (fan * fan + 1, 3), (fan * fan * fan + 1, 4)]
    {
        every_maximum_under::<NextFit>(chunks, levels);
        every_maximum_under::<FirstFit>(chunks, levels);
    }
}
