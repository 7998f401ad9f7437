//! A window of a block segment: its layouts are built, and everything that can be done in one is done, each time from the same state.

use std::ops::Range;

use slabfit::{Config, GRANULE, Segment, State};
use slabfit_tests::abuse::fenced::{Case, Edge};
use slabfit_tests::abuse::lab::{Lab, Snapshot, raw_alloc};
use slabfit_tests::abuse::layouts::Tile;
use slabfit_tests::model::{By, Placement};

use super::wrong_frees_in;

/// The longest alignment and the longest request that are tried byte by byte.
const EVERY: usize = 64;
/// Up to so many granules every block is also resized to every size.
const RESIZED: usize = 16;

/// Where the layouts lie: so many granules of a used block before them.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub before: usize,
    pub granules: usize,
    pub placement: Placement,
}

impl Window {
    /// A heap whose block segment is the window and what lies before it. Under next fit there is a slab, without slots; under
    /// the other policies there is none.
    pub fn lab(self) -> Lab {
        let blocks = (self.before + self.granules) * GRANULE;
        let (slab, config) = match self.placement {
            Placement::NextFit => (blocks / 3, Config::new(1 << 30)),
            Placement::FirstFit | Placement::General => (0, Config::without_slab()),
        };
        let size = slab / GRANULE * GRANULE + blocks;
        let config = Config { slab_bytes: Some(slab), ..config };
        let mut lab = Lab::new(Case { size, config, placement: self.placement, carved: false, edge: Edge::High });
        if self.before > 0 {
            take(&mut lab, self.before);
            lab.narrow(self.addresses(&lab).start);
        }
        lab
    }

    /// Where the rover can stand among so many tiles: at the start of each, and at the segment's end. `None` without a rover.
    pub fn rovers(self, tiles: usize) -> Vec<Option<usize>> {
        match self.placement {
            Placement::NextFit => (0..=tiles).map(Some).collect(),
            Placement::FirstFit | Placement::General => vec![None],
        }
    }

    fn addresses(self, lab: &Lab) -> Range<usize> {
        let end = lab.heap().segment(Segment::Blocks).end;
        end - self.granules * GRANULE..end
    }
}

/// A block of so many granules.
fn take(lab: &mut Lab, granules: usize) -> usize {
    lab.alloc((granules - 1) * GRANULE, GRANULE).unwrap().expect("there is room")
}

/// Makes the layout come true with the rover at the start of tile `rover`, or at the segment's end, or anywhere. `None`
/// where no program could.
pub fn build(lab: &mut Lab, window: Window, tiles: &[Tile], rover: Option<usize>) -> Option<Snapshot> {
    let start = window.addresses(lab).start;
    let mut cuts: Vec<Tile> = tiles.to_vec();
    let at_first_byte = rover == Some(0) && window.before == 0;
    if at_first_byte {
        // It gets there only if the block that ends at the rover is freed into the same free block as the one behind.
        let first = cuts.first().filter(|first| first.free && first.granules >= 4)?.granules;
        cuts[0].granules = first - 2;
        cuts.insert(0, Tile { granules: 2, free: true });
    }
    let mut blocks: Vec<(usize, usize)> = cuts.iter().map(|tile| (take(lab, tile.granules), tile.granules)).collect();
    if let Some(rover) = rover {
        // Now that all is used, the one block that is freed is where the next request goes, and the rover behind it.
        let before_rover = if at_first_byte { 1 } else { rover };
        let (address, granules) = match before_rover.checked_sub(1) {
            Some(nth) => blocks[nth],
            None => (start - window.before * GRANULE + GRANULE, window.before),
        };
        lab.free(address).unwrap().expect("it is live");
        assert_eq!(take(lab, granules), address);
    }
    blocks.reverse();
    for (&(address, _), _) in blocks.iter().zip(cuts.iter().rev()).filter(|(_, tile)| tile.free) {
        lab.free(address).unwrap().expect("it is live");
    }
    let built: Vec<Tile> = (lab.heap().blocks())
        .filter(|block| block.address >= start)
        .map(|block| Tile { granules: block.size / GRANULE, free: block.state == State::Free })
        .collect();
    assert_eq!(built, tiles);
    let expected = rover.map(|rover| start + tiles[..rover].iter().map(|tile| tile.granules * GRANULE).sum::<usize>());
    assert_eq!(lab.heap().rover(), expected, "the rover of {tiles:?}");
    lab.compare().unwrap();
    Some(lab.save())
}

/// Everything that can be done in a state, each time from the same state.
pub fn exhaust(lab: &mut Lab, window: Window, state: &Snapshot) -> u64 {
    requests(lab, window, state) + frees(lab, window, state) + resizes(lab, window, state)
}

/// Every size to 64 bytes and every number of granules beyond, at every alignment.
fn requests(lab: &mut Lab, window: Window, state: &Snapshot) -> u64 {
    let mut operations = 0;
    for align in [GRANULE, 2 * GRANULE, EVERY] {
        for granules in 0..=window.granules + window.before.min(1) {
            let largest = granules * GRANULE;
            lab.restore(state);
            // A request of this number of granules, compared to the last header.
            let expected = lab.alloc(largest, align).unwrap();
            if expected.is_ok() {
                lab.compare().unwrap();
            } else {
                lab.compare_places().unwrap();
            }
            operations += 1;
            // All others of the same number must have the same answer.
            let rover = lab.heap().rover();
            let fewer = if largest <= EVERY { (largest + 1).saturating_sub(GRANULE)..largest } else { 0..0 };
            for size in fewer {
                lab.restore_heap(state);
                assert_eq!(raw_alloc(lab.heap(), size, align), expected, "{size} bytes at {align}");
                assert_eq!(lab.heap().rover(), rover, "{size} bytes at {align}");
                operations += 1;
            }
        }
        // An alignment of 16 and every smaller one are the same.
        for small in [1, 2, 4, 8].into_iter().filter(|_| align == GRANULE) {
            lab.restore(state);
            let size = 3 * GRANULE - small;
            let expected = lab.model.alloc(size, GRANULE);
            assert_eq!(raw_alloc(lab.heap(), size, small), expected, "{size} bytes at {small}");
            operations += 1;
        }
    }
    operations
}

/// Every byte address of the window and a little beyond.
fn frees(lab: &mut Lab, window: Window, state: &Snapshot) -> u64 {
    lab.restore(state);
    let Range { start, end } = window.addresses(lab);
    // Without a block before it also the segment's first byte, and what lies before it.
    let first = if window.before == 0 { start - 2 * GRANULE } else { start + GRANULE + 1 };
    let (starts, mut operations) = wrong_frees_in(lab, first..end + 2 * GRANULE, By::Heap);
    assert!(lab.wrong_headers().is_empty());
    for address in starts {
        lab.restore(state);
        assert_eq!(lab.free(address).unwrap(), Ok(()));
        lab.compare().unwrap();
        operations += 1;
    }
    operations
}

/// Every live block to every number of granules, where there are few of them.
fn resizes(lab: &mut Lab, window: Window, state: &Snapshot) -> u64 {
    let mut operations = 0;
    if window.granules > RESIZED {
        return operations;
    }
    lab.restore(state);
    let start = window.addresses(lab).start;
    let objects: Vec<_> = lab.objects().into_iter().filter(|&(address, _)| address > start).collect();
    for (address, _) in objects {
        for granules in 0..=window.granules {
            for align in [GRANULE, 2 * GRANULE] {
                lab.restore(state);
                let moved = lab.realloc(address, granules * GRANULE, align).unwrap();
                if moved.is_ok() {
                    lab.compare().unwrap();
                } else {
                    lab.compare_places().unwrap();
                }
                operations += 1;
            }
        }
    }
    operations
}
