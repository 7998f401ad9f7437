//! The bit tree and the max tree agree with a plain set and plain numbers at every step, on every level that they can have.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use super::{Random, with_bookkeeping};
use crate::bits::{BitTree, NO_BIT};
use crate::max_tree::{MaxTree, NO_CHUNK, Number};
#[cfg(target_pointer_width = "64")]
use crate::maxima::{MOST, Maxima};
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

fn number_sizes<N: Number>() -> impl Iterator<Item = u32> {
    let fan = N::FAN;
    let ends = [1, 2, 3].map(|level| fan.pow(level)).into_iter().flat_map(|end| [end - 1, end, end + 1]);
    let between = [1, 2, 2 * fan, fan * 3 + 5, fan.pow(3) * 2 + 17];
    // A level more, where it takes no more than a moment.
    let last = [fan.pow(4), fan.pow(4) + 1].into_iter().filter(|&size| size < 200_000);
    ends.chain(between).chain(last)
}

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

fn with_numbers<N: Number, R>(numbers: u32, test: impl FnOnce(&mut MaxTree<'_, N>) -> R) -> R {
    with_bookkeeping(MaxTree::<N>::footprint(numbers), |memory| {
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
    most: u32,
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
        let number = number.min(self.most);
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
        let least = least.min(self.most);
        self.by_chunk.range(from..).find(|&(_, &number)| number >= least).map_or(NO_CHUNK, |(&chunk, _)| chunk)
    }
}

impl Numbers {
    fn last(&self, before: u32, least: u32) -> u32 {
        let least = least.min(self.most);
        self.by_chunk.range(..before).rfind(|&(_, &number)| number >= least).map_or(NO_CHUNK, |(&chunk, _)| chunk)
    }
}

/// Small numbers, of which many are alike, and the largest there are.
fn number<N: Number>(random: &mut Random) -> u32 {
    let steps = [N::MOST - 1, N::MOST, N::MOST + 1, u32::MAX - 1, u32::MAX];
    match random.below(12) {
        0 => steps[random.below(steps.len())],
        1 => 1 << random.below(32),
        2..4 => 0,
        _ => random.below(50) as u32,
    }
}

fn a_max_tree_finds_what_a_scan_finds_of<N: Number>() {
    for size in number_sizes::<N>() {
        with_numbers::<N, _>(size, |tree| {
            assert_eq!(tree.levels(), levels(size, N::FAN), "levels of {size} numbers");
            let (mut numbers, mut random) =
                (Numbers { most: N::MOST, ..Numbers::default() }, Random(u64::from(size) + 1));
            for step in 0..4000 {
                let (chunk, number) = (place(&mut random, size, N::FAN), number::<N>(&mut random));
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
                let least = self::number::<N>(&mut random).max(1);
                for at in [place(&mut random, size, N::FAN), 0, size] {
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
fn a_number_alone_is_seen_on_every_level_of<N: Number>() {
    for size in number_sizes::<N>() {
        with_numbers::<N, _>(size, |tree| {
            for level in 0..tree.levels() {
                let chunk = (N::FAN.pow(level) + N::FAN.pow(level) / 2).min(size - 1);
                for number in [1, 7, N::MOST, u32::MAX] {
                    tree.raise(chunk, number);
                    assert_eq!((tree.root(), tree.get(chunk)), (number.min(N::MOST), number.min(N::MOST)));
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

fn a_number_of_no_place_is_not_changed_of<N: Number>() {
    for size in number_sizes::<N>() {
        with_numbers::<N, _>(size, |tree| {
            tree.raise(NO_CHUNK, 5);
            tree.lower(NO_CHUNK, 0);
            assert_eq!((tree.get(NO_CHUNK), tree.root(), tree.first(0, 1)), (0, 0, NO_CHUNK), "{size} numbers");
            assert!(tree.is_whole(), "{size} numbers");
        });
    }
    let mut empty = MaxTree::<N>::EMPTY;
    for chunk in [0, 1, N::FAN, NO_CHUNK] {
        empty.raise(chunk, 5);
        empty.lower(chunk, 0);
        assert_eq!((empty.get(chunk), empty.first(chunk, 1)), (0, NO_CHUNK));
    }
    assert_eq!((empty.root(), empty.first_of_all(1), empty.is_whole()), (0, NO_CHUNK, true));
}

fn every_maximum_that_is_changed_is_told_of<N: Number>() {
    for size in number_sizes::<N>() {
        with_numbers::<N, _>(size, |tree| {
            let mut random = Random(u64::from(size) + 1);
            for _ in 0..size.min(50) {
                tree.raise(random.below(size as usize) as u32, number::<N>(&mut random));
            }
            for level in 1..tree.levels() {
                let all = tree.places(level);
                for place in all.clone().filter(|place| {
                    all.len() < 100 || place - all.start < 20 || place % 97 == 0 || all.end - place < 20
                }) {
                    for change in [1, u32::MAX, N::MOST + 1] {
                        let before = *tree.number_mut(place).unwrap();
                        *tree.number_mut(place).unwrap() = N::new(before.get().wrapping_add(change));
                        assert!(!tree.is_whole(), "{change} more at {place} of {size} numbers");
                        *tree.number_mut(place).unwrap() = before;
                    }
                }
            }
            assert!(tree.is_whole(), "{size} numbers");
        });
    }
}

/// Vector code compares signed numbers: [`Number::MOST`] is the largest of them.
fn a_node_says_which_of_its_numbers_suffice_of<N: Number<Node = [N; F]> + core::fmt::Debug, const F: usize>() {
    let edges = [0, 1, 2, 0xFF, 0x100, 0x7FFE, 0x7FFF, N::MOST / 2, N::MOST - 1, N::MOST];
    let mut random = Random(7);
    for _ in 0..2000 {
        let node: [N; F] = core::array::from_fn(|_| N::new(edges[random.below(edges.len())]));
        for &least in &edges[1..] {
            for from in 0..N::FAN {
                let sought = (from..N::FAN).find(|&at| node[at as usize].get() >= least);
                let found = Some(N::first_in(&node, from, least)).filter(|&at| at < N::FAN);
                assert_eq!(found, sought, "{least} from {from} on in {node:?}");
                let sought = (0..from).rfind(|&at| node[at as usize].get() >= least);
                let found = Some(N::last_in(&node, from, least)).filter(|&at| at < N::FAN);
                assert_eq!(found, sought, "{least} before {from} in {node:?}");
            }
            let last = Some(N::last_in(&node, N::FAN, least)).filter(|&at| at < N::FAN);
            assert_eq!(last, (0..N::FAN).rfind(|&at| node[at as usize].get() >= least), "{least} in {node:?}");
        }
        assert_eq!(Some(N::largest(&node)), node.into_iter().max());
    }
}

macro_rules! for_both_numbers {
    ($($name:ident is $test:ident;)*) => {$(
        #[test]
        fn $name() {
            $test::<u32>();
            #[cfg(target_pointer_width = "64")]
            $test::<u16>();
        }
    )*};
}

for_both_numbers! {
    the_max_tree_finds_what_a_scan_finds is a_max_tree_finds_what_a_scan_finds_of;
    a_number_alone_is_seen_on_every_level_and_gone_from_every_level is a_number_alone_is_seen_on_every_level_of;
    a_number_of_no_place_is_not_changed is a_number_of_no_place_is_not_changed_of;
    every_maximum_that_is_changed_makes_the_max_tree_less_than_whole is every_maximum_that_is_changed_is_told_of;
    a_max_tree_with_all_its_levels_finds_the_last_and_ends_a_search_for_nothing is all_levels_of_a_max_tree_of;
    a_max_tree_takes_what_it_says_and_no_less is a_max_tree_takes_what_it_says_of;
}

#[test]
fn a_node_says_which_of_its_numbers_suffice_up_to_the_largest_number_there_is() {
    a_node_says_which_of_its_numbers_suffice_of::<u32, { <u32 as Number>::FAN as usize }>();
    #[cfg(target_pointer_width = "64")]
    a_node_says_which_of_its_numbers_suffice_of::<u16, { <u16 as Number>::FAN as usize }>();
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

/// As many levels as the chunks of the largest heap need, or almost.
fn all_levels_of_a_max_tree_of<N: Number>() {
    let levels = if N::FAN > 16 { 5 } else { 6 };
    let numbers = N::FAN.pow(levels) + 1;
    with_numbers::<N, _>(numbers, |tree| {
        assert_eq!((tree.levels(), tree.root()), (levels + 1, 0));
        assert_eq!((tree.first(0, 1), tree.first_of_all(1)), (NO_CHUNK, NO_CHUNK));
        tree.raise(numbers - 1, 5);
        assert_eq!((tree.first(0, 5), tree.first_of_all(5), tree.root()), (numbers - 1, numbers - 1, 5));
        assert_eq!(tree.first(0, 6), NO_CHUNK);
        for gone in (0..levels).map(|level| N::FAN.pow(level)) {
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

fn a_max_tree_takes_what_it_says_of<N: Number>() {
    for size in number_sizes::<N>() {
        let made = |bytes| {
            with_bookkeeping(bytes, |memory| {
                let mut tree = MaxTree::<N>::EMPTY;
                tree.set_up(size, memory).is_some()
            })
        };
        let bytes = MaxTree::<N>::footprint(size);
        assert_eq!([made(bytes), made(bytes - size_of::<N>())], [true, false], "{size} numbers");
    }
}

/// Chunks of which one has a gap that is as large as all of them, or larger.
#[cfg(target_pointer_width = "64")]
const SPAN: u32 = (MOST + 1) / BITS;

#[cfg(target_pointer_width = "64")]
fn with_maxima<R>(chunks: u32, test: impl FnOnce(&mut Maxima<'_>) -> R) -> R {
    with_bookkeeping(Maxima::footprint(chunks), |memory| {
        let mut new = Maxima::EMPTY;
        new.set_up(chunks, memory).unwrap();
        test(&mut new)
    })
}

/// The sizes of gaps by the chunks that they start in.
#[cfg(target_pointer_width = "64")]
struct Gaps(Numbers);

#[cfg(target_pointer_width = "64")]
impl Gaps {
    /// The chunk of a span in which a gap starts that is too large for the numbers of chunks.
    fn large_one_of(&self, span: u32) -> Option<u32> {
        let here = self.0.by_chunk.range(span * SPAN..(span + 1) * SPAN);
        here.filter(|&(_, &size)| size >= MOST).map(|(&chunk, _)| chunk).next()
    }

    fn change(&mut self, maxima: &mut Maxima<'_>, chunk: u32, size: u32) {
        if size >= self.0.get(chunk) {
            maxima.raise(chunk, size);
        } else {
            maxima.lower(chunk, size);
        }
        self.0.set(chunk, size);
    }

    fn compare(&self, maxima: &Maxima<'_>, from: u32, least: u32, what: &str) {
        assert_eq!((maxima.get(from), maxima.exact(from)), (self.0.get(from).min(MOST), self.0.get(from)), "{what}");
        assert_eq!(maxima.root(), self.0.largest(), "{what}");
        assert_eq!(maxima.first(from, least), self.0.first(from, least), "{least} from {from}, {what}");
        assert_eq!(maxima.first_of_all(least), self.0.first(0, least), "{least}, {what}");
        let least = least.min(MOST);
        assert_eq!(maxima.last(from, least), self.0.last(from, least), "{least} before {from}, {what}");
        assert!(maxima.is_whole(), "{what}");
    }
}

/// A size as often below the largest number of a chunk as above it, and now and then that number or one beside it.
#[cfg(target_pointer_width = "64")]
fn gap_size(random: &mut Random) -> u32 {
    match random.below(5) {
        0 => MOST - 1 + random.below(3) as u32,
        1 | 2 => MOST + random.below(5_000) as u32,
        _ => random.below(5_000) as u32,
    }
}

#[cfg(target_pointer_width = "64")]
#[test]
fn the_maxima_find_what_a_scan_finds_where_one_large_gap_starts_in_each_span() {
    for chunks in [SPAN, SPAN + 1, 2 * SPAN, 3 * SPAN + 7, 20 * SPAN + 1] {
        with_maxima(chunks, |maxima| {
            let mut gaps = Gaps(Numbers { most: u32::MOST, ..Numbers::default() });
            let mut random = Random(u64::from(chunks));
            for step in 0..1_000 {
                let what = std::format!("{chunks} chunks, step {step}");
                let (chunk, size) = (random.below(chunks as usize) as u32, gap_size(&mut random));
                let large = gaps.large_one_of(chunk / SPAN);
                let chunk = if random.below(3) == 0 { large.unwrap_or(chunk) } else { chunk };
                let moved = large.filter(|&large| size >= MOST && large != chunk);
                let grows = moved.is_none_or(|old| size >= gaps.0.get(old));
                // A large gap that comes to start in another chunk of its span is counted there before it is taken out of the
                // old one if it grows, and afterwards if it becomes smaller.
                if grows {
                    gaps.change(maxima, chunk, size);
                }
                if let Some(old) = moved {
                    gaps.change(maxima, old, random.below(MOST as usize) as u32);
                }
                if !grows {
                    gaps.change(maxima, chunk, size);
                }
                let least = gap_size(&mut random).max(1);
                let beside = gaps.large_one_of(chunk / SPAN).unwrap_or(chunk);
                for from in [chunk, random.below(chunks as usize) as u32, beside, (beside + 1).min(chunks - 1), 0] {
                    gaps.compare(maxima, from, least, &what);
                    gaps.compare(maxima, from, gaps.0.get(beside).max(1), &what);
                    gaps.compare(maxima, from, gaps.0.get(beside) + 1, &what);
                }
            }
        });
    }
}

/// Fewer chunks than a span has have fewer granules than the largest number.
#[cfg(target_pointer_width = "64")]
#[test]
fn chunks_that_no_large_gap_fits_into_take_no_more_than_their_numbers() {
    for chunks in [1, SPAN / 2, SPAN - 1] {
        assert_eq!(Maxima::footprint(chunks), MaxTree::<u16>::footprint(chunks), "{chunks} chunks");
    }
    assert!(Maxima::footprint(SPAN) > MaxTree::<u16>::footprint(SPAN));
}

#[cfg(target_pointer_width = "64")]
#[test]
fn a_span_whose_number_is_that_of_no_gap_in_it_makes_the_maxima_less_than_whole() {
    let chunks = 8 * SPAN;
    with_maxima(chunks, |maxima| {
        for span in 0..8 {
            *maxima.far().number_mut(span).unwrap() = MOST;
            assert!(!maxima.is_whole(), "span {span} has no gap");
            *maxima.far().number_mut(span).unwrap() = 0;
            assert!(maxima.is_whole());
            maxima.raise(span as u32 * SPAN + 3, MOST + 5);
            assert!(maxima.is_whole());
            *maxima.far().number_mut(span).unwrap() = 0;
            assert!(!maxima.is_whole(), "span {span} has a gap");
            *maxima.far().number_mut(span).unwrap() = MOST + 5;
        }
        // What fills the last node is no span.
        *maxima.far().number_mut(8).unwrap() = MOST;
        assert!(!maxima.is_whole());
    });
}
