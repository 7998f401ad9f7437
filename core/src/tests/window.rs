//! A window shows what a scan of three chunks finds within 63 places of its own: what it does not show costs a slower search,
//! which finds the same and so would hide a window that is blind.

use std::vec::Vec;

use super::Random;
use crate::size::Offset;
use crate::window::{Chunk, Window};

const PLACES: usize = 3 * 64;

/// The boundaries of three chunks of blocks and gaps, the shortest of two granules and the longest of `longest`.
fn chunks(random: &mut Random, longest: usize) -> [Chunk; 3] {
    let mut chunks = [[0; 2]; 3];
    let (mut at, mut in_block) = (random.below(longest), random.below(2) == 0);
    while at < PLACES {
        let bit = 1 << (at % 64);
        chunks[at / 64][usize::from(in_block)] |= bit;
        // Every other block has another one right behind it.
        if in_block && random.below(2) == 0 {
            chunks[at / 64][0] |= bit;
        } else {
            in_block = !in_block;
        }
        at += 2 + random.below(longest - 1);
    }
    chunks
}

fn places(chunks: [Chunk; 3], bits: impl Fn(Chunk) -> u64) -> Vec<bool> {
    (0..PLACES).map(|at| bits(chunks[at / 64]) >> (at % 64) & 1 != 0).collect()
}

fn first(bits: &[bool], from: usize, behind: usize) -> Option<usize> {
    (from..behind).find(|&at| bits[at])
}

fn last(bits: &[bool], from: usize, behind: usize) -> Option<usize> {
    (from..behind).rev().find(|&at| bits[at])
}

fn index(offset: Offset) -> usize {
    offset.index() as usize
}

#[test]
fn a_window_shows_what_a_scan_finds() {
    let mut random = Random(7);
    let mut whole = 0;
    for round in 0..600 {
        let chunks = chunks(&mut random, [3, 9, 30, 90][round % 4]);
        let [starts, ends] = [0, 1].map(|which| places(chunks, |chunk| chunk[which]));
        for at in 64..128 {
            let window = Window::new(Offset::new(at as u32), chunks);
            let (from, behind) = (at - 63, at + 64);
            assert_eq!(window.is_start(), starts[at], "{at} of {chunks:x?}");
            if !starts[at] {
                continue;
            }
            let found = window.block_and_gap_end().map(|(end, gap_end)| (index(end), index(gap_end)));
            let end = first(&ends, at + 1, behind);
            let sought = end.and_then(|end| Some((end, first(&starts, end, behind)?)));
            assert_eq!(found, sought, "ends of {at} of {chunks:x?}");
            let gap_start = window.gap_start().map(index);
            assert_eq!(gap_start, last(&ends, from, at + 1), "gap's start of {at} of {chunks:x?}");
            whole += usize::from(found.is_some() && gap_start.is_some());
        }
    }
    assert!(whole > 3000, "only {whole} blocks with all that is around them");
}
