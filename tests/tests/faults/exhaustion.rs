//! Exhaustion: every coalesced layout of a small segment, with the rover wherever it can stand, and in each of these
//! states every request, every resize and the free of every byte address, each against the reference model.
//!
//! A state is built once through the public API and then put back byte by byte before each operation. The layouts lie in
//! a window of N granules at the end of the segment; the window also lies across the ends of a chunk (64 granules), of a
//! node of the max tree (16 chunks) and of a summary word (64 chunks), after one long used block. Runs and caches have too many states
//! for all of them to be tried: a bounded search goes outwards from states that they come to.
//!
//! `SLABFIT_ABUSE=ci` is 20 granules, `soak` is 24. `SLABFIT_SEED=n` runs layout n, or beginning n of a search, alone.

mod caches;
mod layouts;
mod reachable;
mod runs;
mod search;
mod slab;
mod window;

use std::fmt;
use std::ops::Range;

use slabfit_tests::abuse::lab::Lab;
use slabfit_tests::figure::Grouped;
use slabfit_tests::model::By;

/// What was tried.
#[derive(Clone, Copy, Debug, Default)]
struct Tried {
    states: u64,
    operations: u64,
}

impl Tried {
    fn plus(self, other: Self) -> Self {
        Self { states: self.states + other.states, operations: self.operations + other.operations }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} states, {} operations", Grouped(self.states), Grouped(self.operations))
    }
}

/// Frees every address of a range where no object starts, which is refused for the model's reason and changes nothing. Answers with the
/// addresses where objects start, and with the number of frees.
fn wrong_frees_in(lab: &Lab, addresses: Range<usize>, by: By) -> (Vec<usize>, u64) {
    let (mut starts, mut frees) = (Vec::new(), 0);
    for address in addresses {
        match lab.model.usable_size(address) {
            Ok(_) => starts.push(address),
            Err(reason) => {
                let freed = lab.heap().free_by(by, address);
                assert_eq!(freed.map_err(|wrong| wrong.reason), Err(reason), "{by:?}: {address:#x}");
                frees += 1;
            }
        }
    }
    lab.compare_places().unwrap();
    assert_eq!(lab.heap().check_all(), Ok(()));
    (starts, frees)
}
