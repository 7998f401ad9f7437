//! The states of caches: in the smallest heap with size classes, with one cache and with two, everything that the heap and each cache
//! can be asked for.

use slabfit::GRANULE;
use slabfit_tests::abuse::lab::{Lab, Snapshot};
use slabfit_tests::abuse::level::Level;
use slabfit_tests::model::By::{self, Cache, Heap};

use super::search::{Beginning, Move, Requests, SIZE, Search, objects_from, refused, try_in};

const KIB: usize = 1 << 10;

const fn with_one(room: usize, requests: &'static [Requests]) -> Beginning {
    Beginning::new(room, 1, requests)
}

const fn with_two(room: usize, requests: &'static [Requests]) -> Beginning {
    Beginning::new(room, 2, requests)
}

const BEGINNINGS: [Beginning; 16] = [
    with_one(5 * KIB, &[]),
    // A run that is live, that is as full as its magazine holds it, that has idle slots, and all of whose slots are idle.
    with_one(5 * KIB, &[(Cache(0), 64, 16, 0, Heap)]),
    with_one(5 * KIB, &[(Cache(0), 16, 64, 32, Cache(0))]),
    with_one(5 * KIB, &[(Cache(0), 16, 64, 33, Cache(0))]),
    with_one(5 * KIB, &[(Cache(0), 64, 33, 33, Cache(0)), (Cache(0), 16, 1, 1, Cache(0))]),
    // Two runs with idle slots, and one that is about to be closed.
    with_one(6 * KIB, &[(Cache(0), 64, 32, 31, Cache(0)), (Cache(0), 16, 64, 63, Cache(0))]),
    // No run can be opened any more; one that lies crooked.
    with_one(4 * KIB - GRANULE, &[(Heap, 64, 4, 1, Heap)]),
    with_one(4 * KIB + 512, &[(Cache(0), 64, 20, 8, Heap)]),
    // Slots that the heap has returned, all of a run, and some of two.
    with_one(5 * KIB, &[(Cache(0), 64, 16, 15, Heap)]),
    with_one(6 * KIB, &[(Cache(0), 64, 40, 38, Heap)]),
    with_two(5 * KIB, &[]),
    // Runs of both, with slots that the other has returned.
    with_two(6 * KIB, &[(Cache(0), 64, 16, 8, Cache(1)), (Cache(1), 64, 16, 15, Cache(0))]),
    with_two(6 * KIB, &[(Cache(0), 64, 32, 30, Cache(1)), (Cache(0), 16, 3, 2, Cache(1)), (Heap, 64, 2, 1, Cache(0))]),
    with_two(6 * KIB, &[(Cache(1), 64, 16, 5, Cache(1)), (Cache(0), 64, 16, 5, Cache(1)), (Cache(0), 16, 5, 5, Heap)]),
    // A cache that was dropped keeps a run of which one slot is live, and of which some are.
    Beginning { room: 6 * KIB, caches: 2, requests: &[(Cache(1), 64, 17, 15, Cache(0))], dropped: Some(1) },
    Beginning {
        room: 6 * KIB,
        caches: 2,
        requests: &[(Cache(0), 64, 20, 10, Cache(0)), (Cache(0), 16, 8, 4, Cache(1)), (Cache(1), 16, 9, 1, Heap)],
        dropped: Some(0),
    },
];

#[test]
fn the_states_of_caches_around_every_beginning_agree_with_the_model() {
    let search = Search { whose: "caches", beginnings: &BEGINNINGS, moves, exhaust };
    search.around_every_beginning(Level::from_environment().of(24, 400, 10_000));
}

/// The heap and its attached caches.
fn everybody(lab: &Lab) -> Vec<By> {
    [Heap].into_iter().chain(lab.model.attached().into_iter().map(Cache)).collect()
}

/// What anybody can do: requests of two classes and of a block, frees and resizes of the objects at both ends and in the middle, and
/// what changes the caches.
fn moves(lab: &Lab, start: usize) -> Vec<Move> {
    let objects = objects_from(lab, start);
    let some = [0, objects.len() / 2, objects.len().saturating_sub(1)];
    let some: Vec<usize> = some.iter().filter_map(|&nth| objects.get(nth).copied()).collect();
    let mut moves = vec![Move::Attach];
    for by in everybody(lab) {
        moves.extend([16, 64, 600].map(|size| Move::Alloc(by, size)));
        moves.push(Move::Empty(by));
        moves.extend(some.iter().map(|&address| Move::Free(by, address)));
        moves.extend(some.first().into_iter().flat_map(|&at| [1, 64, 100].map(|size| Move::Resize(by, at, size))));
        if let Cache(cache) = by {
            moves.push(Move::Detach(cache));
        }
    }
    moves
}

/// Everything in a state. Answers with the number of operations.
fn exhaust(lab: &mut Lab, start: usize, state: &Snapshot) -> u64 {
    lab.restore(state);
    let (everybody, objects) = (everybody(lab), objects_from(lab, start));
    let mut operations = 0;
    let mut run = |lab: &mut Lab, next: Move| {
        try_in(lab, state, |lab| next.run(lab));
        operations += 1;
    };
    run(lab, Move::Attach);
    for &by in &everybody {
        for size in [0, 16, 17, 32, 48, 64, 65, 496, 1008, 1009, 2033, SIZE - GRANULE] {
            run(lab, Move::Alloc(by, size));
        }
        run(lab, Move::Empty(by));
        if let Cache(cache) = by {
            run(lab, Move::Detach(cache));
        }
        for &address in &objects {
            run(lab, Move::Free(by, address));
        }
        for &address in objects.iter().step_by(objects.len() / 3 + 1).chain(objects.last()) {
            for size in [0, 16, 48, 64, 65, 600, 5000] {
                run(lab, Move::Resize(by, address, size));
            }
        }
    }
    operations + aligned(lab, state, &everybody) + refused(lab, start, state, &everybody)
}

/// Requests at alignments that a class gives, and that it does not.
fn aligned(lab: &mut Lab, state: &Snapshot, everybody: &[By]) -> u64 {
    let requests = [(32, 32), (64, 64), (48, 32), (16, 64), (1, 1024), (64, 1)];
    for &by in everybody {
        for (size, align) in requests {
            try_in(lab, state, |lab| {
                let served = lab.alloc_by(by, size, align).unwrap();
                assert!(served.is_err() || served.is_ok_and(|address| address % align == 0));
            });
        }
    }
    (everybody.len() * requests.len()) as u64
}
