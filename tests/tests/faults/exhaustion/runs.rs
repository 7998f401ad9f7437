//! The states of runs: in the smallest heap with size classes, everything that it can be asked for.

use slabfit::GRANULE;
use slabfit_tests::abuse::lab::{Lab, Snapshot};
use slabfit_tests::abuse::level::Level;
use slabfit_tests::model::By::Heap;

use super::search::{Beginning, Move, Requests, SIZE, Search, objects_from, refused, try_in};

const fn with_runs(room: usize, requests: &'static [Requests]) -> Beginning {
    Beginning::new(room, 0, requests)
}

const BEGINNINGS: [Beginning; 12] = [
    with_runs(2048, &[]),
    // A run that is full, is as full as its magazine holds it, has given slots back, and is about to be given back.
    with_runs(2048, &[(Heap, 64, 16, 0, Heap)]),
    with_runs(2048, &[(Heap, 64, 16, 16, Heap)]),
    with_runs(2048, &[(Heap, 16, 64, 31, Heap)]),
    with_runs(2048, &[(Heap, 16, 64, 32, Heap)]),
    with_runs(2048, &[(Heap, 16, 64, 33, Heap)]),
    with_runs(2048, &[(Heap, 16, 49, 48, Heap)]),
    // Two runs of one class and of two.
    with_runs(2048, &[(Heap, 64, 32, 32, Heap)]),
    with_runs(2048, &[(Heap, 64, 20, 10, Heap), (Heap, 16, 40, 20, Heap)]),
    // A second run with a gap of odd length before it, and one with a granule after it; no room for a run.
    with_runs(3072 - 16, &[(Heap, 64, 17, 1, Heap), (Heap, 16, 1, 0, Heap)]),
    with_runs(2048 + 16, &[(Heap, 64, 32, 31, Heap)]),
    with_runs(1008, &[(Heap, 64, 5, 2, Heap), (Heap, 16, 5, 2, Heap)]),
];

#[test]
fn the_states_of_runs_around_every_beginning_agree_with_the_model() {
    let search = Search { whose: "runs", beginnings: &BEGINNINGS, moves, exhaust };
    search.around_every_beginning(Level::from_environment().of(150, 1_500, 20_000));
}

/// A request of each of two classes and of a block, every free, and resizes of the first and the last object.
fn moves(lab: &Lab, start: usize) -> Vec<Move> {
    let objects = objects_from(lab, start);
    let mut moves = vec![Move::Alloc(Heap, 16), Move::Alloc(Heap, 64), Move::Alloc(Heap, 600), Move::Empty(Heap)];
    moves.extend(objects.iter().map(|&address| Move::Free(Heap, address)));
    let ends = objects.first().into_iter().chain(objects.last());
    moves.extend(ends.flat_map(|&address| [1, 64, 100].map(|size| Move::Resize(Heap, address, size))));
    moves
}

/// Requests of every class and larger ones at some alignments, the free of every byte address, and resizes of some objects.
fn exhaust(lab: &mut Lab, start: usize, state: &Snapshot) -> u64 {
    lab.restore(state);
    let objects = objects_from(lab, start);
    let mut operations = 0;
    let mut attempt = |lab: &mut Lab, what: &dyn Fn(&mut Lab)| {
        try_in(lab, state, what);
        operations += 1;
    };
    for size in [0, 1, 16, 17, 32, 33, 48, 49, 64, 65, 496, 497, 1000, 1008, 1009, 2032, 2033, SIZE - GRANULE] {
        for align in [1, GRANULE, 2 * GRANULE, 64, 1024] {
            attempt(lab, &|lab| {
                lab.alloc(size, align).unwrap().ok();
            });
        }
    }
    attempt(lab, &|lab| Move::Empty(Heap).run(lab));
    for &address in &objects {
        attempt(lab, &|lab| Move::Free(Heap, address).run(lab));
    }
    for &address in objects.iter().step_by(objects.len() / 5 + 1).chain(objects.last()) {
        for (size, align) in [(0, 16), (16, 1), (17, 16), (48, 32), (64, 64), (64, 16), (65, 16), (600, 16), (5000, 16)]
        {
            attempt(lab, &|lab| {
                lab.realloc(address, size, align).unwrap().ok();
            });
        }
    }
    operations + refused(lab, start, state, &[Heap])
}
