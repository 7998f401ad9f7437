//! A window shows what a plain array holds around its place: what it does not show costs a slower search, which finds the same
//! and so would hide a window that is blind.

use std::vec;
use std::vec::Vec;

use super::{Random, with_bookkeeping};
use crate::bits;
use crate::boundaries::{Boundaries, Window};
use crate::units::{BITS, Offset, Word};

/// The bits of both kinds, one after the other.
struct Model {
    starts: Vec<bool>,
    ends: Vec<bool>,
}

impl Model {
    /// The bits of `count` places from `from` on, as a word; there is none before the first place and after the last.
    fn word(bits: &[bool], from: i64, count: u32) -> Word {
        let bit = |at: i64| usize::try_from(at).ok().and_then(|at| bits.get(at).copied()).unwrap_or(false);
        (0..count).fold(0, |word, place| word | Word::from(bit(from + i64::from(place))) << place)
    }
}

/// Runs `test` with boundaries of several sizes, of which one in `sparsity` is set.
fn with_random_boundaries(test: impl Fn(&mut Boundaries<'_>, &mut Model, &mut Random)) {
    for chunks in [1, 2, 3, 5] {
        for sparsity in [2, 3, 40] {
            with_bookkeeping(Boundaries::words(chunks) * size_of::<Word>(), |memory| {
                let mut boundaries = {
                    let mut new = Boundaries::EMPTY;
                    new.set_up(chunks, memory).unwrap();
                    new
                };
                let size = (chunks * BITS) as usize;
                let mut model = Model { starts: vec![false; size], ends: vec![false; size] };
                let mut random = Random(u64::from(chunks) * 100 + sparsity as u64);
                for at in 0..size {
                    let near = boundaries.place(Offset::new(at as u32)).unwrap().near();
                    if random.below(sparsity) == 0 {
                        boundaries.flip_start(near);
                        model.starts[at] = true;
                    }
                    if random.below(sparsity) == 0 {
                        boundaries.flip_end(near);
                        model.ends[at] = true;
                    }
                }
                test(&mut boundaries, &mut model, &mut random);
            });
        }
    }
}

#[test]
fn a_window_ahead_shows_the_bits_from_its_place_on() {
    with_random_boundaries(|boundaries, model, _| {
        for at in 0..model.starts.len() as u32 {
            let seen = boundaries.ahead(boundaries.place(Offset::new(at)).unwrap());
            let shown = BITS - at % 8;
            assert!(shown >= BITS - 7);
            for (word, bits) in [(seen.starts, &model.starts), (seen.ends, &model.ends)] {
                assert_eq!(word, Model::word(bits, i64::from(at), shown), "place {at} of {}", bits.len());
            }
        }
    });
}

#[test]
fn a_window_behind_shows_the_bits_up_to_its_place() {
    with_random_boundaries(|boundaries, model, _| {
        for at in 0..model.starts.len() as u32 {
            let seen = boundaries.behind(boundaries.place(Offset::new(at)).unwrap());
            let hidden = 7 - at % 8;
            for (word, bits) in [(seen.starts, &model.starts), (seen.ends, &model.ends)] {
                let first = i64::from(at) - i64::from(BITS - 1 - hidden);
                let expected = Model::word(bits, first, BITS - hidden) << hidden;
                assert_eq!(word, expected, "place {at} of {}", bits.len());
            }
        }
    });
}

#[test]
fn a_chunk_shows_its_own_bits_and_none_beyond_the_last() {
    with_random_boundaries(|boundaries, model, _| {
        let chunks = model.starts.len() as u32 / BITS;
        let all: Vec<Window> = boundaries.chunks().collect();
        assert_eq!(all.len() as u32, chunks);
        for chunk in 0..chunks {
            let from = i64::from(chunk * BITS);
            let (starts, ends) = (Model::word(&model.starts, from, BITS), Model::word(&model.ends, from, BITS));
            let last = boundaries.place(Offset::in_chunk(chunk, BITS - 1)).unwrap().near();
            for seen in [boundaries.chunk(chunk), all[chunk as usize], boundaries.around(last)] {
                assert_eq!((seen.starts, seen.ends, seen.gaps()), (starts, ends, ends & !starts), "chunk {chunk}");
            }
        }
        for chunk in [chunks, chunks + 1, u32::MAX / BITS, u32::MAX] {
            let seen = boundaries.chunk(chunk);
            assert_eq!((seen.starts, seen.ends), (0, 0), "chunk {chunk} of {chunks}");
        }
    });
}

#[test]
fn a_bit_turned_over_changes_itself_alone_and_is_told() {
    with_random_boundaries(|boundaries, model, random| {
        let size = model.starts.len();
        for step in 0..2 * size {
            let at = if step < size { step } else { random.below(size) };
            let near = boundaries.place(Offset::new(at as u32)).unwrap().near();
            assert_eq!(near.offset(), Offset::new(at as u32));
            let told = if random.below(2) == 0 {
                model.starts[at] = !model.starts[at];
                boundaries.flip_start(near)
            } else {
                model.ends[at] = !model.ends[at];
                boundaries.flip_end(near)
            };
            let chunk = at as u32 / BITS;
            let now = boundaries.chunk(chunk);
            assert_eq!((told.starts, told.ends), (now.starts, now.ends), "place {at} of {size}");
            for (chunk, seen) in (0i64..).zip(boundaries.chunks()) {
                let from = chunk * i64::from(BITS);
                assert_eq!(seen.starts, Model::word(&model.starts, from, BITS), "starts, place {at} of {size}");
                assert_eq!(seen.ends, Model::word(&model.ends, from, BITS), "ends, place {at} of {size}");
            }
            assert!(boundaries.padding_is_clear(), "place {at} of {size}");
        }
    });
}

#[test]
fn a_place_is_refused_from_the_limit_on() {
    with_random_boundaries(|boundaries, model, _| {
        let limit = model.starts.len() as u32;
        for at in [0, limit / 2, limit - 1] {
            assert_eq!(boundaries.place(Offset::new(at)).unwrap().offset(), Offset::new(at));
        }
        for at in [limit, limit + 1, limit + BITS, u32::MAX / 2, u32::MAX - 1, u32::MAX] {
            assert!(boundaries.place(Offset::new(at)).is_none(), "place {at} of {limit}");
        }
    });
    assert!(Boundaries::EMPTY.place(Offset::ZERO).is_none());
    assert!(Boundaries::EMPTY.chunk(0).starts == 0 && Boundaries::EMPTY.chunks().next().is_none());
    assert!(Boundaries::EMPTY.padding_is_clear());
}

/// A destroyed map may show no bit where there must be one: the boundary is then a word further, at most in the padding.
#[test]
fn the_lowest_of_no_bits_lies_in_the_padding_at_most_and_spoils_nothing() {
    with_random_boundaries(|boundaries, model, _| {
        let limit = model.starts.len() as u32;
        let last = boundaries.place(Offset::new(limit - 1)).unwrap();
        for (word, away) in [(1, 0), (2, 1), (1 << (BITS - 1), BITS - 1), (Word::MAX, 0), (0, BITS)] {
            assert_eq!(last.lowest(word).offset(), Offset::new(limit - 1 + away));
        }
        let beyond = last.lowest(0);
        let before: Vec<[Word; 2]> = boundaries.chunks().map(|seen| [seen.starts, seen.ends]).collect();
        assert!(boundaries.padding_is_clear());
        for flip in [Boundaries::flip_start, Boundaries::flip_end] {
            flip(boundaries, beyond);
            assert!(!boundaries.padding_is_clear());
            assert!(boundaries.chunks().map(|seen| [seen.starts, seen.ends]).eq(before.iter().copied()));
            flip(boundaries, beyond);
            assert!(boundaries.padding_is_clear());
        }
    });
}

#[test]
fn every_bit_of_the_padding_that_is_set_is_noticed() {
    with_random_boundaries(|boundaries, model, _| {
        let chunks = model.starts.len() / BITS as usize;
        let words = Boundaries::words(chunks as u32);
        let mut padding = 0;
        for index in 0..words {
            for bit in 0..BITS {
                *boundaries.word_mut(index).unwrap() ^= 1 << bit;
                let is_clear = boundaries.padding_is_clear();
                *boundaries.word_mut(index).unwrap() ^= 1 << bit;
                padding += usize::from(!is_clear);
                // The two arrays, each after its padding.
                let place = index % (chunks + Boundaries::PADDING);
                assert_eq!(is_clear, place >= Boundaries::PADDING, "bit {bit} of word {index} of {words}");
            }
        }
        assert_eq!(padding, 3 * Boundaries::PADDING * BITS as usize);
    });
}

#[test]
fn a_part_of_a_word_is_what_its_name_says() {
    for bit in 0..BITS {
        let bits =
            |chosen: &dyn Fn(u32) -> bool| (0..BITS).fold(0, |word: Word, at| word | Word::from(chosen(at)) << at);
        assert_eq!(bits::from_bit(bit), bits(&|at| at >= bit));
        assert_eq!(bits::above_bit(bit), bits(&|at| at > bit));
        assert_eq!(bits::up_to_bit(bit), bits(&|at| at <= bit));
        assert_eq!(bits::below_bit(bit), bits(&|at| at < bit));
        // Of a granule or slot the bit in its word counts.
        let slot = bit + 3 * BITS;
        assert_eq!((bits::from_bit(slot), bits::above_bit(slot)), (bits::from_bit(bit), bits::above_bit(bit)));
        assert_eq!((bits::up_to_bit(slot), bits::below_bit(slot)), (bits::up_to_bit(bit), bits::below_bit(bit)));
        for others in [0, bits::above_bit(bit), 0x9669_6996 & bits::above_bit(bit)] {
            let word = 1 << bit | others;
            assert_eq!(bits::from_lowest(word), bits::from_bit(bit));
            assert_eq!(bits::above_lowest(word), bits::above_bit(bit));
        }
        for others in [0, bits::below_bit(bit), 0x9669_6996 & bits::below_bit(bit)] {
            assert_eq!(bits::highest(1 << bit | others), bit);
        }
    }
    assert_eq!((bits::from_lowest(0), bits::above_lowest(0)), (0, 0));
}
