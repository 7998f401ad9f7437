//! Every coalesced layout of a segment: used and free blocks of two granules and more that fill it, no two free ones
//! side by side.

/// A block of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Its granules, the header's included.
    pub granules: usize,
    /// Whether it is free.
    pub free: bool,
}

/// Shows `visit` every layout of so many granules, always in the same order.
pub fn for_each(granules: usize, visit: &mut impl FnMut(&[Tile])) {
    extend(granules, &mut Vec::new(), visit);
}

/// How many there are.
pub fn count(granules: usize) -> u64 {
    let mut count = 0;
    for_each(granules, &mut |_| count += 1);
    count
}

fn extend(left: usize, tiles: &mut Vec<Tile>, visit: &mut impl FnMut(&[Tile])) {
    if left == 0 {
        return visit(tiles);
    }
    for granules in 2..=left {
        for free in [false, true] {
            if free && tiles.last().is_some_and(|last| last.free) {
                continue;
            }
            tiles.push(Tile { granules, free });
            extend(left - granules, tiles, visit);
            tiles.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counted by hand for the smallest, and for all by the recurrence that the definition is: a used block follows
    /// anything, a free one a used one or nothing.
    #[test]
    fn there_are_as_many_as_the_recurrence_says() {
        assert_eq!([0, 1, 2, 3].map(count), [1, 0, 2, 2]);
        let (mut used, mut free) = (vec![1u64], vec![0u64]);
        for granules in 1..=18 {
            let upto = 0..(granules as usize).saturating_sub(1);
            used.push(upto.clone().map(|before| used[before] + free[before]).sum());
            free.push(upto.map(|before| used[before]).sum());
            let both = used[granules as usize] + free[granules as usize];
            assert_eq!(count(granules as usize), both, "{granules} granules");
        }
    }
}
