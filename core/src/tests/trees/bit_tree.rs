//! The bit tree agrees with a set.

use std::collections::BTreeSet;
use std::vec::Vec;

use super::super::{Random, with_bookkeeping};
use super::{levels, place};
use crate::bit_tree::{BitTree, NO_BIT};
use crate::units::{BITS, Word};

/// Sizes around the ends of words and levels, up to five levels.
const BIT_SIZES: [u32; 14] = [
    1,
    2,
    BITS - 1,
    BITS,
    BITS + 1,
    2 * BITS,
    BITS * 3 + 5,
    BITS.pow(2) - 1,
    BITS.pow(2),
    BITS.pow(2) + 1,
    BITS.pow(2) * 2 + BITS,
    BITS.pow(3) - 1,
    BITS.pow(3) + 1,
    BITS.pow(4) + 1,
];

fn with_bits<R>(bits: u32, test: impl FnOnce(&mut BitTree<'_>) -> R) -> R {
    with_bookkeeping(BitTree::words(bits) * size_of::<Word>(), |memory| {
        test(&mut {
            let mut new = BitTree::EMPTY;
            new.set_up(bits, memory).unwrap();
            new
        })
    })
}

#[test]
fn the_bit_tree_finds_what_a_set_finds() {
    for size in BIT_SIZES {
        with_bits(size, |tree| {
            assert_eq!(tree.levels(), levels(size, BITS).max(2), "levels of {size} bits");
            let (mut set, mut random) = (BTreeSet::new(), Random(u64::from(size) + 1));
            for step in 0..4000 {
                let bit = place(&mut random, size, BITS);
                // Phases of filling and of emptying, so that words and summaries become zero again.
                if random.below(8) < if step / 200 % 2 == 0 { 5 } else { 1 } {
                    tree.set(bit);
                    set.insert(bit);
                } else {
                    tree.clear(bit);
                    set.remove(&bit);
                }
                if step % 400 == 399 {
                    while let Some(bit) = set.pop_first() {
                        tree.clear(bit);
                        assert_eq!(tree.next(0), set.first().copied().unwrap_or(NO_BIT), "{size} bits, step {step}");
                    }
                }
                let at = place(&mut random, size, BITS);
                assert_eq!(tree.contains(at), set.contains(&at), "bit {at} of {size}, step {step}");
                let word =
                    set.range(at & !(BITS - 1)..=at | (BITS - 1)).fold(0, |word: Word, bit| word | 1 << (bit % BITS));
                assert_eq!(tree.word_of(at), word, "word of {at} of {size}, step {step}");
                for at in [at, 0, size] {
                    let next = set.range(at..).next().copied().unwrap_or(NO_BIT);
                    assert_eq!(tree.next(at), next, "next from {at} of {size}, step {step}");
                    // What is looked for before is a bit.
                    let at = at.min(size - 1);
                    let previous = set.range(..at).next_back().copied().unwrap_or(NO_BIT);
                    assert_eq!(tree.previous(at), previous, "previous before {at} of {size}, step {step}");
                }
                if step % 100 == 0 {
                    assert!(tree.is_whole(), "{size} bits, step {step}");
                }
            }
        });
    }
}

#[test]
fn a_bit_that_is_none_is_not_set_and_not_cleared() {
    for size in BIT_SIZES {
        with_bits(size, |tree| {
            tree.set(NO_BIT);
            assert!(tree.is_whole() && !tree.contains(NO_BIT) && tree.next(0) == NO_BIT, "{size} bits");
            tree.set(size - 1);
            tree.clear(NO_BIT);
            assert!(tree.is_whole() && tree.next(0) == size - 1, "{size} bits");
        });
    }
    let mut empty = BitTree::EMPTY;
    for bit in [0, 1, BITS, NO_BIT] {
        empty.set(bit);
        empty.clear(bit);
        assert_eq!((empty.contains(bit), empty.word_of(bit)), (false, 0));
        assert_eq!((empty.next(bit), empty.previous(bit)), (NO_BIT, NO_BIT));
    }
    assert!(empty.is_whole());
}

#[test]
fn every_summary_bit_that_is_flipped_makes_the_bit_tree_less_than_whole() {
    for size in BIT_SIZES.into_iter().filter(|&size| size <= BITS.pow(3) + 1) {
        with_bits(size, |tree| {
            let mut random = Random(u64::from(size) + 1);
            for _ in 0..size.min(50) {
                tree.set(random.below(size as usize) as u32);
            }
            assert!(tree.is_whole(), "{size} bits");
            let places = (1..tree.levels()).flat_map(|level| tree.places(level));
            // All words of small trees, and of large ones those at both ends of each level and some between.
            let ends: Vec<usize> =
                (1..tree.levels()).flat_map(|level| [tree.places(level).start, tree.places(level).end - 1]).collect();
            for place in places
                .filter(|place| ends.iter().any(|end| end.abs_diff(*place) < 3) || place % 37 == 0)
                .collect::<Vec<_>>()
            {
                for bit in 0..BITS {
                    *tree.word_mut(place).unwrap() ^= 1 << bit;
                    assert!(!tree.is_whole(), "bit {bit} of word {place} of {size} bits");
                    *tree.word_mut(place).unwrap() ^= 1 << bit;
                }
            }
            assert!(tree.is_whole(), "{size} bits");
        });
    }
}

#[test]
fn a_word_after_a_levels_end_that_is_not_zero_makes_the_bit_tree_less_than_whole() {
    for size in BIT_SIZES {
        with_bits(size, |tree| {
            for level in 0..tree.levels() {
                let padding = tree.places(level).end - 1;
                for bit in [0, 1, BITS - 1] {
                    *tree.word_mut(padding).unwrap() = 1 << bit;
                    assert!(!tree.is_whole(), "bit {bit} after level {level} of {size} bits");
                    *tree.word_mut(padding).unwrap() = 0;
                }
            }
            assert!(tree.is_whole(), "{size} bits");
        });
    }
}

/// The slots of the largest heap need every level of bits.
#[test]
fn a_bit_tree_with_all_its_levels_finds_the_last_and_ends_a_search_for_nothing() {
    let bits = BITS.pow(5) + 1;
    with_bits(bits, |tree| {
        assert_eq!((tree.levels(), tree.next(0), tree.previous(bits)), (6, NO_BIT, NO_BIT));
        tree.set(bits - 1);
        assert_eq!((tree.next(0), tree.previous(bits)), (bits - 1, bits - 1));
        // What is cleared leaves no summary behind on any level, that a search would run into.
        for gone in (0..5).map(|level| BITS.pow(level)) {
            tree.set(gone);
            assert_eq!((tree.next(0), tree.previous(bits - 1)), (gone, gone));
            tree.clear(gone);
            assert_eq!((tree.next(0), tree.previous(bits - 1)), (bits - 1, NO_BIT), "after bit {gone} was cleared");
        }
        tree.clear(bits - 1);
        assert_eq!((tree.next(0), tree.previous(bits)), (NO_BIT, NO_BIT));
    });
}

#[test]
fn a_bit_tree_takes_what_it_says_and_no_less() {
    for size in BIT_SIZES {
        let made = |bytes| {
            with_bookkeeping(bytes, |memory| {
                let mut tree = BitTree::EMPTY;
                tree.set_up(size, memory).is_some()
            })
        };
        let bytes = BitTree::words(size) * size_of::<Word>();
        assert_eq!([made(bytes), made(bytes - size_of::<Word>())], [true, false], "{size} bits");
    }
}
