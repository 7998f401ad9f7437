//! Every state of a window that any program can bring about.

use std::collections::HashSet;
use std::time::Instant;

use slabfit::{GRANULE, Reason, Segment, State};
use slabfit_tests::abuse::lab::Lab;
use slabfit_tests::abuse::layouts;
use slabfit_tests::abuse::level::Level;
use slabfit_tests::abuse::watch::Watch;
use slabfit_tests::figure;
use slabfit_tests::model::Placement;

use super::Tried;
use super::window::{Window, exhaust};

/// Layout, rover, and how far the segment was ever used: the states are found by doing everything in every state that was found before.
#[test]
fn every_state_that_can_be_reached_agrees_with_the_model() {
    let granules = Level::from_environment().of(8, 11, 14);
    for placement in [Placement::NextFit, Placement::FirstFit, Placement::General] {
        let begun = Instant::now();
        let watch = Watch::over("reachable states");
        let window = Window { before: 0, granules, placement };
        let mut lab = window.lab();
        let mut known = HashSet::from([fingerprint(&lab)]);
        let mut found = vec![lab.save()];
        let mut tried = Tried::default();
        while let Some(state) = found.pop() {
            watch.case(tried.states);
            tried.states += 1;
            tried.operations += exhaust(&mut lab, window, &state);
            lab.restore(&state);
            for (size, address, align) in moves(&lab, granules) {
                lab.restore(&state);
                match address {
                    None => drop(lab.alloc(size, align).unwrap()),
                    Some(address) if align == 0 => assert_eq!(lab.free(address).unwrap(), Ok(())),
                    Some(address) => drop(lab.realloc(address, size, align).unwrap()),
                }
                if known.insert(fingerprint(&lab)) {
                    lab.compare().unwrap();
                    found.push(lab.save());
                }
            }
        }
        let seconds = begun.elapsed().as_secs();
        figure::say(
            format_args!("every reachable state, {placement:?}, {granules} granules"),
            format_args!("{tried}, no deviation ({seconds} s)"),
        );
        assert!(tried.states > layouts::count(granules));
    }
}

/// Every operation that changes a state: a request, a free (alignment 0) or a resize.
fn moves(lab: &Lab, granules: usize) -> Vec<(usize, Option<usize>, usize)> {
    let objects = lab.objects();
    let sizes = (1..granules).map(|size| size * GRANULE);
    let aligned = move |address| sizes.clone().flat_map(move |size| [16, 32, 64].map(|align| (size, address, align)));
    let frees = objects.iter().map(|&(address, _)| (0, Some(address), 0));
    let resizes = objects.iter().flat_map(|&(address, _)| aligned(Some(address)));
    aligned(None).chain(frees).chain(resizes).collect()
}

/// All of a state that an answer can depend on: the blocks, the rover, and which granules were never used.
fn fingerprint(lab: &Lab) -> (Vec<(usize, bool)>, Option<usize>, usize) {
    let blocks = lab.model.blocks().map(|block| (block.size, block.state == State::Free)).collect();
    let mut granules = lab.heap().segment(Segment::Blocks).step_by(GRANULE);
    let untouched = granules.position(|at| lab.model.usable_size(at) == Err(Reason::NeverAllocated));
    (blocks, lab.model.rover().map(|rover| rover - lab.base()), untouched.unwrap_or(usize::MAX))
}
