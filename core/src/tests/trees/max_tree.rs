//! The max tree agrees with plain numbers.

use super::super::{Random, with_bookkeeping};
use super::{Numbers, levels, place};
use crate::max_tree::{MaxTree, NO_CHUNK, Number};

fn number_sizes<N: Number>() -> impl Iterator<Item = u32> {
    let fan = N::FAN;
    let ends = [1, 2, 3].map(|level| fan.pow(level)).into_iter().flat_map(|end| [end - 1, end, end + 1]);
    let between = [1, 2, 2 * fan, fan * 3 + 5, fan.pow(3) * 2 + 17];
    // A level more, where it takes no more than a moment.
    let last = [fan.pow(4), fan.pow(4) + 1].into_iter().filter(|&size| size < 200_000);
    ends.chain(between).chain(last)
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

/// Raises or lowers a number. To raise one to less than it is changes nothing.
fn change<N: Number>(tree: &mut MaxTree<'_, N>, numbers: &mut Numbers, chunk: u32, random: &mut Random) {
    let number = number::<N>(random);
    if number >= numbers.get(chunk) {
        tree.raise(chunk, number);
        numbers.set(chunk, number);
    } else if random.below(4) > 0 {
        tree.lower(chunk, number);
        numbers.set(chunk, number);
    } else {
        tree.raise(chunk, number);
    }
}

fn a_max_tree_finds_what_a_scan_finds_of<N: Number>() {
    for size in number_sizes::<N>() {
        with_numbers::<N, _>(size, |tree| {
            assert_eq!(tree.levels(), levels(size, N::FAN), "levels of {size} numbers");
            let (mut numbers, mut random) =
                (Numbers { most: N::MOST, ..Numbers::default() }, Random(u64::from(size) + 1));
            for step in 0..4000 {
                let chunk = place(&mut random, size, N::FAN);
                change(tree, &mut numbers, chunk, &mut random);
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
                let least = number::<N>(&mut random).max(1);
                for at in [place(&mut random, size, N::FAN), 0, size] {
                    let before = at.min(size - 1);
                    let found = (tree.first(at, least), tree.last(before, least));
                    let expected = (numbers.first(at, least), numbers.last(before, least));
                    assert_eq!(found, expected, "{least} from {at} and before {before} of {size}, step {step}");
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
