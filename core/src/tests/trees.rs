//! The bit tree and the max tree agree with a plain set and plain numbers at every step, on every level that they can have.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use super::{Random, with_bookkeeping};
use crate::bits::{BitTree, NO_BIT};
use crate::max_tree::{MOST, MaxTree, NO_CHUNK};
use crate::units::{BITS, Word};

const FAN: u32 = MaxTree::FAN;

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

const NUMBER_SIZES: [u32; 16] = [
    1,
    2,
    FAN - 1,
    FAN,
    FAN + 1,
    2 * FAN,
    FAN * 3 + 5,
    FAN.pow(2) - 1,
    FAN.pow(2),
    FAN.pow(2) + 1,
    FAN.pow(3) - 1,
    FAN.pow(3),
    FAN.pow(3) + 1,
    FAN.pow(4),
    FAN.pow(4) + 1,
    FAN.pow(4) * 2 + 17,
];

/// Levels of which each has a `fan`-th of the numbers below, the last one no more than `fan`.
fn levels(size: u32, fan: u32) -> u32 {
    let (mut levels, mut left) = (1, size);
    while left > fan {
        (levels, left) = (levels + 1, left.div_ceil(fan));
    }
    levels
}

fn with_bits<R>(bits: u32, test: impl FnOnce(&mut BitTree<'_>) -> R) -> R {
    with_bookkeeping(BitTree::words(bits) * size_of::<Word>(), |memory| {
        test(&mut {
            let mut new = BitTree::EMPTY;
            new.set_up(bits, memory).unwrap();
            new
        })
    })
}

fn with_numbers<R>(numbers: u32, test: impl FnOnce(&mut MaxTree<'_>) -> R) -> R {
    with_bookkeeping(MaxTree::numbers(numbers) * size_of::<u32>(), |memory| {
        test(&mut {
            let mut new = MaxTree::EMPTY;
            new.set_up(numbers, memory).unwrap();
            new
        })
    })
}

/// A place below `size`: one of a few far from each other and around the ends of nodes, or any.
fn place(random: &mut Random, size: u32, fan: u32) -> u32 {
    let levels = levels(size, fan);
    let end = fan.pow(random.below(levels as usize + 1) as u32).min(size);
    match random.below(8) {
        0 => random.below(size as usize) as u32,
        1..4 => (end + random.below(3) as u32).saturating_sub(2).min(size - 1),
        4..6 => (size - end + random.below(3) as u32).saturating_sub(1).min(size - 1),
        _ => size - 1 - random.below(size.min(5) as usize) as u32,
    }
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

/// The numbers that are not 0, by chunk, and as often as each occurs: what a scan would find.
#[derive(Default)]
struct Numbers {
    by_chunk: BTreeMap<u32, u32>,
    counts: BTreeMap<u32, u32>,
}

impl Numbers {
    fn get(&self, chunk: u32) -> u32 {
        self.by_chunk.get(&chunk).copied().unwrap_or(0)
    }

    fn largest(&self) -> u32 {
        self.counts.last_key_value().map_or(0, |(&number, _)| number)
    }

    fn set(&mut self, chunk: u32, number: u32) {
        let number = number.min(MOST);
        let before = if number == 0 { self.by_chunk.remove(&chunk) } else { self.by_chunk.insert(chunk, number) };
        if number > 0 {
            *self.counts.entry(number).or_default() += 1;
        }
        if let Some(before) = before {
            let count = self.counts.get_mut(&before).unwrap();
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&before);
            }
        }
    }

    fn first(&self, from: u32, least: u32) -> u32 {
        let least = least.min(MOST);
        self.by_chunk.range(from..).find(|&(_, &number)| number >= least).map_or(NO_CHUNK, |(&chunk, _)| chunk)
    }
}

impl Numbers {
    fn last(&self, before: u32, least: u32) -> u32 {
        let least = least.min(MOST);
        self.by_chunk.range(..before).rfind(|&(_, &number)| number >= least).map_or(NO_CHUNK, |(&chunk, _)| chunk)
    }
}

/// Small numbers, of which many are alike, and the largest there are.
const STEPS: [u32; 5] = [MOST - 1, MOST, MOST + 1, u32::MAX - 1, u32::MAX];

fn number(random: &mut Random) -> u32 {
    match random.below(12) {
        0 => STEPS[random.below(STEPS.len())],
        1 => 1 << random.below(32),
        2..4 => 0,
        _ => random.below(50) as u32,
    }
}

#[test]
fn the_max_tree_finds_what_a_scan_finds() {
    for size in NUMBER_SIZES {
        with_numbers(size, |tree| {
            assert_eq!(tree.levels(), levels(size, FAN), "levels of {size} numbers");
            let (mut numbers, mut random) = (Numbers::default(), Random(u64::from(size) + 1));
            for step in 0..4000 {
                let (chunk, number) = (place(&mut random, size, FAN), number(&mut random));
                let before = numbers.get(chunk);
                if number >= before {
                    tree.raise(chunk, number);
                    numbers.set(chunk, number);
                } else if random.below(4) > 0 {
                    tree.lower(chunk, number);
                    numbers.set(chunk, number);
                } else {
                    tree.raise(chunk, number);
                }
                // Now and then down to nothing, so that every maximum above goes down as well.
                if step % 500 == 499 {
                    while let Some((chunk, _)) = numbers.by_chunk.first_key_value().map(|(&chunk, &n)| (chunk, n)) {
                        tree.lower(chunk, 0);
                        numbers.set(chunk, 0);
                        assert_eq!(tree.root(), numbers.largest(), "root of {size}, step {step}");
                    }
                }
                assert_eq!(tree.get(chunk), numbers.get(chunk), "number {chunk} of {size}, step {step}");
                assert_eq!(tree.root(), numbers.largest(), "root of {size}, step {step}");
                let least = self::number(&mut random).max(1);
                for at in [place(&mut random, size, FAN), 0, size] {
                    assert_eq!(
                        tree.first(at, least),
                        numbers.first(at, least),
                        "{least} from {at} of {size}, step {step}"
                    );
                    let at = at.min(size - 1);
                    assert_eq!(
                        tree.last(at, least),
                        numbers.last(at, least),
                        "{least} before {at} of {size}, step {step}"
                    );
                }
                assert_eq!(tree.first_of_all(least), numbers.first(0, least), "{least} of {size}, step {step}");
                if step % 100 == 0 {
                    assert!(tree.is_whole(), "{size} numbers, step {step}");
                }
            }
        });
    }
}

/// One number at a time, on its own: nothing beside it hides a maximum that was left too high or too low.
#[test]
fn a_number_alone_is_seen_on_every_level_and_gone_from_every_level() {
    for size in NUMBER_SIZES {
        with_numbers(size, |tree| {
            for level in 0..tree.levels() {
                let chunk = (FAN.pow(level) + FAN.pow(level) / 2).min(size - 1);
                for number in [1, 7, MOST, u32::MAX] {
                    tree.raise(chunk, number);
                    assert_eq!((tree.root(), tree.get(chunk)), (number.min(MOST), number.min(MOST)));
                    let found = (tree.first(0, number), tree.first_of_all(number), tree.first(chunk, number));
                    assert_eq!(found, (chunk, chunk, chunk), "{number} at {chunk} of {size}");
                    let before = if chunk < size - 1 { chunk } else { NO_CHUNK };
                    let found = (tree.last(size - 1, number), tree.last(chunk, number));
                    assert_eq!(found, (before, NO_CHUNK), "{number} at {chunk} of {size}");
                    assert!(tree.is_whole(), "{number} at {chunk} of {size}");
                    tree.lower(chunk, 0);
                    assert_eq!((tree.root(), tree.get(chunk)), (0, 0));
                    let found = (tree.first(0, 1), tree.first_of_all(1));
                    assert_eq!(found, (NO_CHUNK, NO_CHUNK), "{number} at {chunk} of {size}");
                    assert!(tree.is_whole(), "{number} at {chunk} of {size}");
                }
            }
        });
    }
}

#[test]
fn a_number_of_no_chunk_is_not_changed() {
    for size in NUMBER_SIZES {
        with_numbers(size, |tree| {
            tree.raise(NO_CHUNK, 5);
            tree.lower(NO_CHUNK, 0);
            assert_eq!((tree.get(NO_CHUNK), tree.root(), tree.first(0, 1)), (0, 0, NO_CHUNK), "{size} numbers");
            assert!(tree.is_whole(), "{size} numbers");
        });
    }
    let mut empty = MaxTree::EMPTY;
    for chunk in [0, 1, FAN, NO_CHUNK] {
        empty.raise(chunk, 5);
        empty.lower(chunk, 0);
        assert_eq!((empty.get(chunk), empty.first(chunk, 1)), (0, NO_CHUNK));
    }
    assert_eq!((empty.root(), empty.first_of_all(1), empty.is_whole()), (0, NO_CHUNK, true));
}

#[test]
fn every_maximum_that_is_changed_makes_the_max_tree_less_than_whole() {
    for size in NUMBER_SIZES {
        with_numbers(size, |tree| {
            let mut random = Random(u64::from(size) + 1);
            for _ in 0..size.min(50) {
                tree.raise(random.below(size as usize) as u32, number(&mut random));
            }
            for level in 1..tree.levels() {
                let all = tree.places(level);
                for place in all.clone().filter(|place| {
                    all.len() < 100 || place - all.start < 20 || place % 97 == 0 || all.end - place < 20
                }) {
                    for change in [1, u32::MAX, 1 << 31] {
                        let before = *tree.number_mut(place).unwrap();
                        *tree.number_mut(place).unwrap() = before.wrapping_add(change);
                        assert!(!tree.is_whole(), "{change} more at {place} of {size} numbers");
                        *tree.number_mut(place).unwrap() = before;
                    }
                }
            }
            assert!(tree.is_whole(), "{size} numbers");
        });
    }
}

/// Vector code compares signed numbers: [`MOST`] is the largest of them.
#[test]
fn a_node_says_which_of_its_numbers_suffice_up_to_the_largest_number_there_is() {
    let edges = [0, 1, 2, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000, 0x7FFF_0000, MOST - 1, MOST];
    let mut random = Random(7);
    for _ in 0..2000 {
        let node: [u32; FAN as usize] = core::array::from_fn(|_| edges[random.below(edges.len())]);
        for &least in &edges[1..] {
            for from in 0..FAN {
                let sought = (from..FAN).find(|&at| node[at as usize] >= least);
                let found = Some(MaxTree::first_in(&node, from, least)).filter(|&at| at < FAN);
                assert_eq!(found, sought, "{least} from {from} on in {node:?}");
            }
        }
        assert_eq!(Some(MaxTree::largest(&node)), node.into_iter().max());
    }
}

/// The slots of the largest heap need every level of bits; its chunks need seven levels of numbers.
#[test]
fn a_tree_with_all_its_levels_finds_the_last_and_ends_a_search_for_nothing() {
    let (bits, numbers) = (BITS.pow(5) + 1, FAN.pow(6) + 1);
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
    with_numbers(numbers, |tree| {
        assert_eq!((tree.levels(), tree.root()), (7, 0));
        assert_eq!((tree.first(0, 1), tree.first_of_all(1)), (NO_CHUNK, NO_CHUNK));
        tree.raise(numbers - 1, 5);
        assert_eq!((tree.first(0, 5), tree.first_of_all(5), tree.root()), (numbers - 1, numbers - 1, 5));
        assert_eq!(tree.first(0, 6), NO_CHUNK);
        for gone in (0..6).map(|level| FAN.pow(level)) {
            tree.raise(gone, 9);
            assert_eq!((tree.first(0, 1), tree.first_of_all(6), tree.root()), (gone, gone, 9));
            tree.lower(gone, 0);
            assert_eq!((tree.first(0, 1), tree.first_of_all(1), tree.root()), (numbers - 1, numbers - 1, 5));
            assert_eq!(tree.first(0, 6), NO_CHUNK, "after number {gone}");
        }
        tree.lower(numbers - 1, 0);
        assert_eq!((tree.first(0, 1), tree.root()), (NO_CHUNK, 0));
    });
}

#[test]
fn a_tree_takes_what_it_says_and_no_less() {
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
    for size in NUMBER_SIZES {
        let made = |bytes| {
            with_bookkeeping(bytes, |memory| {
                let mut tree = MaxTree::EMPTY;
                tree.set_up(size, memory).is_some()
            })
        };
        let bytes = MaxTree::numbers(size) * size_of::<u32>();
        assert_eq!([made(bytes), made(bytes - size_of::<u32>())], [true, false], "{size} numbers");
    }
}
