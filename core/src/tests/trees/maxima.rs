//! The maxima of near and far gaps agree with a scan.

use super::super::{Random, with_bookkeeping};
use super::Numbers;
use crate::max_tree::{MaxTree, Number};
use crate::maxima::{MOST, Maxima};
use crate::units::BITS;

/// Chunks of which one has a gap that is as large as all of them, or larger.
const SPAN: u32 = (MOST + 1) / BITS;

fn with_maxima<R>(chunks: u32, test: impl FnOnce(&mut Maxima<'_>) -> R) -> R {
    with_bookkeeping(Maxima::footprint(chunks), |memory| {
        let mut new = Maxima::EMPTY;
        new.set_up(chunks, memory).unwrap();
        test(&mut new)
    })
}

/// The sizes of gaps by the chunks that they start in.
struct Gaps(Numbers);

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
fn gap_size(random: &mut Random) -> u32 {
    match random.below(5) {
        0 => MOST - 1 + random.below(3) as u32,
        1 | 2 => MOST + random.below(5_000) as u32,
        _ => random.below(5_000) as u32,
    }
}

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
#[test]
fn chunks_that_no_large_gap_fits_into_take_no_more_than_their_numbers() {
    for chunks in [1, SPAN / 2, SPAN - 1] {
        assert_eq!(Maxima::footprint(chunks), MaxTree::<u16>::footprint(chunks), "{chunks} chunks");
    }
    assert!(Maxima::footprint(SPAN) > MaxTree::<u16>::footprint(SPAN));
}

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
