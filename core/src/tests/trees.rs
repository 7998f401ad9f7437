//! The bit tree and the max tree agree with a plain array at every step.

use std::vec;
use std::vec::Vec;

use super::Random;
use crate::bit_tree::BitTree;
use crate::max_tree::MaxTree;
use crate::node::{Node, at_least, largest};
use crate::region::{Memory, RegionArray};

/// Sizes around the ends of words, nodes and levels.
const SIZES: [usize; 14] = [1, 2, 15, 16, 17, 63, 64, 65, 255, 256, 257, 4095, 4097, 70_000];

fn with_memory(test: impl FnOnce(&mut crate::region::Carver<'_>)) {
    let mut array = std::boxed::Box::new(RegionArray::<600_000>::new());
    let (mut carver, _, _) = Memory::from(array.as_mut()).cut(599_936, 0, 0).unwrap();
    carver.align().unwrap();
    test(&mut carver);
}

fn first_word(bits: &[bool]) -> Option<(usize, u64)> {
    let word = |bits: &[bool]| (0..).zip(bits).fold(0, |word, (place, &bit)| word | u64::from(bit) << place);
    bits.chunks(64).map(word).enumerate().find(|&(_, word)| word != 0)
}

#[test]
fn the_bit_tree_finds_what_a_scan_finds() {
    for size in SIZES {
        with_memory(|memory| {
            let mut tree = BitTree::new(size, memory).unwrap();
            let mut bits = vec![false; size];
            let mut random = Random(size as u64 + 1);
            assert_eq!(tree.take_first_word(), None);
            for step in 0..3000 {
                let bit = random.below(size);
                // Phases of filling and of emptying, so that words and summaries become zero again.
                let set = random.below(8) < if step / 500 % 2 == 0 { 6 } else { 1 };
                tree.assign(bit, set);
                bits[bit] = set;
                let at = random.below(size);
                assert_eq!(tree.contains(at), bits[at], "bit {at} of {size}, step {step}");
                let first = tree.take_first_word();
                assert_eq!(first, first_word(&bits), "first word of {size}, step {step}");
                if let Some((word, bits)) = first {
                    assert!(tree.next(0).is_none_or(|bit| bit / 64 > word), "a bit left in word {word}, step {step}");
                    tree.put_word(word, bits);
                }
                let next = bits[at..].iter().position(|&b| b).map(|found| at + found);
                assert_eq!(tree.next(at), next, "next from {at} of {size}, step {step}");
                let previous = bits[..at].iter().rposition(|&b| b);
                assert_eq!(tree.previous(at), previous, "previous before {at} of {size}, step {step}");
                let after = bits[at + 1..].iter().position(|&b| b).map(|found| at + 1 + found);
                let in_word = |bit: &usize| bit / 64 == at / 64;
                let nearby = after.filter(in_word).unwrap_or((at / 64 + 1) * 64);
                assert_eq!(tree.next_nearby(at), nearby, "next nearby {at} of {size}, step {step}");
                let nearby = previous.filter(in_word).unwrap_or((at / 64 * 64).wrapping_sub(1));
                assert_eq!(tree.previous_nearby(at), nearby, "previous nearby {at} of {size}, step {step}");
            }
            assert_eq!(tree.next(size + 64), None);
            let beyond = size.next_multiple_of(64);
            tree.assign(beyond, true);
            tree.put_word(beyond / 64, 1);
            tree.assign(beyond, false);
            assert_eq!((tree.contains(beyond), tree.next(size)), (false, None), "a bit behind the last word of {size}");
        });
    }
}

#[test]
fn the_max_tree_finds_what_a_scan_finds() {
    for size in SIZES {
        with_memory(|memory| {
            let mut tree = MaxTree::new(size, memory).unwrap();
            let mut numbers = vec![0u32; size];
            let mut random = Random(size as u64 + 1);
            for step in 0..3000 {
                let chunk = random.below(size);
                let number = random.below(50) as u32;
                if number > numbers[chunk] {
                    tree.raise(chunk, number)
                } else {
                    tree.lower(chunk, number)
                }
                tree.raise(chunk, number);
                numbers[chunk] = number;
                assert_eq!(tree.get(chunk), number);
                if step % 50 == 0 {
                    assert_eq!(tree.root(), numbers.iter().copied().max().unwrap(), "root of {size}, step {step}");
                }
                let (at, least) = (random.below(size), 1 + random.below(50) as u32);
                let first = numbers[at..].iter().position(|&n| n >= least).map(|found| at + found);
                assert_eq!(tree.first(at, least), first, "{least} from {at} of {size}, step {step}");
                assert_eq!(tree.first_of_all(least), tree.first(0, least), "{least} of {size}, step {step}");
            }
            assert_eq!(tree.first(size, 1), None);
            let (beyond, root) = (size.next_multiple_of(16), tree.root());
            tree.raise(beyond, 100);
            tree.lower(beyond, 0);
            assert_eq!((tree.get(beyond), tree.root()), (0, root), "a number behind the last node of {size}");
        });
    }
}

/// Vector code compares signed numbers, and sizes have all 32 bits.
#[test]
fn a_node_says_which_of_its_numbers_suffice_up_to_the_largest_number_there_is() {
    let edges = [0, 1, 2, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000, i32::MAX as u32, 1 << 31, (1 << 31) + 1, u32::MAX];
    let mut random = Random(7);
    for _ in 0..2000 {
        let node: Node = core::array::from_fn(|_| edges[random.below(edges.len())]);
        for least in edges {
            let sufficient =
                (0u32..16).filter(|&place| node[place as usize] >= least).fold(0, |bits, place| bits | 1 << place);
            assert_eq!(at_least(&node, least), sufficient, "{least} in {node:?}");
        }
        assert_eq!(Some(largest(&node)), node.into_iter().max());
    }
}

/// The bits of a heap of 64 GiB need every level, and so do its numbers.
#[test]
fn a_tree_with_all_its_levels_finds_the_last_and_ends_a_search_for_nothing() {
    let (bits, numbers) = (64usize.pow(4) + 1, 16usize.pow(6) + 1);
    let size = BitTree::footprint(bits) + MaxTree::footprint(numbers) + 64;
    // Zeroed by the system, of which the trees then touch a few pages.
    let mut zeros = vec![0u8; size];
    // SAFETY: the bytes are the trees' alone.
    let memory = unsafe { Memory::from_raw(zeros.as_mut_ptr(), size) };
    // SAFETY: every byte is 0.
    let (mut carver, _, _) = unsafe { memory.assume_zeroed() }.cut(size, 0, 0).unwrap();
    carver.align().unwrap();
    let mut maxima = MaxTree::new(numbers, &mut carver).unwrap();
    let mut tree = BitTree::new(bits, &mut carver).unwrap();
    assert_eq!((tree.next(0), tree.previous(bits), tree.take_first_word()), (None, None, None));
    assert_eq!((maxima.first(0, 1), maxima.first_of_all(1), maxima.root()), (None, None, 0));
    tree.assign(bits - 1, true);
    maxima.raise(numbers - 1, 5);
    assert_eq!((tree.next(0), tree.previous(bits)), (Some(bits - 1), Some(bits - 1)));
    assert_eq!((maxima.first(0, 5), maxima.first(0, 6), maxima.root()), (Some(numbers - 1), None, 5));
    assert_eq!(tree.take_first_word(), Some((bits / 64, 1)));
    assert_eq!(tree.next(0), None);
    // What is cleared leaves no summary behind on any level, that a search would run into.
    for gone in [1, 64, 64usize.pow(2), 64usize.pow(3)] {
        tree.assign(bits - 1, true);
        tree.assign(gone, true);
        tree.assign(gone, false);
        assert_eq!(tree.next(0), Some(bits - 1), "after bit {gone} was set and cleared");
        assert_eq!(tree.previous(bits - 1), None, "after bit {gone} was set and cleared");
        assert_eq!(tree.take_first_word(), Some((bits / 64, 1)), "after bit {gone} was set and cleared");
    }
}

#[test]
fn the_footprint_is_what_the_trees_take() {
    for size in SIZES {
        for slack in [0usize, 8] {
            let footprints = [BitTree::footprint(size), MaxTree::footprint(size)];
            let fits: Vec<bool> = footprints
                .iter()
                .enumerate()
                .map(|(which, bytes)| {
                    let mut array = std::boxed::Box::new(RegionArray::<600_000>::new());
                    let (mut carver, _, _) = Memory::from(array.as_mut()).cut(bytes - slack, 0, 0).unwrap();
                    if which == 0 {
                        BitTree::new(size, &mut carver).is_some()
                    } else {
                        MaxTree::new(size, &mut carver).is_some()
                    }
                })
                .collect();
            assert_eq!(fits, [slack == 0; 2], "{size} with {slack} bytes fewer than the footprint");
        }
    }
}
