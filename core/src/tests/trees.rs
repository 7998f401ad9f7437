//! The bit tree and the max tree agree with a plain set and plain numbers at every step, on every level that they can have.

mod bit_tree;
mod max_tree;
#[cfg(target_pointer_width = "64")]
mod maxima;

use std::collections::BTreeMap;

use super::Random;
use crate::max_tree::NO_CHUNK;

/// Levels of which each has a `fan`-th of the numbers below, the last one no more than `fan`.
fn levels(size: u32, fan: u32) -> u32 {
    let (mut levels, mut left) = (1, size);
    while left > fan {
        (levels, left) = (levels + 1, left.div_ceil(fan));
    }
    levels
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
