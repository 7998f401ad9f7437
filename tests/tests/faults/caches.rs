//! Exhaustion of the states of caches: in the smallest heap with size classes, with one cache and with two, from states that caches
//! come to, everything that the heap and each cache can be asked for is asked, each time from the same state, and compared with the
//! reference model; and so in the states that are reached by it, move by move.
//!
//! A cache has too many states for all of them to be tried: the search stops after so many. `SLABFIT_ABUSE=ci|soak` makes more of it,
//! `SLABFIT_SEED=n` runs beginning n alone.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::time::Instant;

use slabfit::{Config, GRANULE, Segment, State};
use slabfit_tests::abuse::fenced::{Case, Edge};
use slabfit_tests::abuse::lab::{Lab, Snapshot};
use slabfit_tests::abuse::level::{Level, on_every_processor, replayed};
use slabfit_tests::abuse::watch::Watch;
use slabfit_tests::figure::{self, Grouped};
use slabfit_tests::model::By::{self, Cache, Heap};
use slabfit_tests::model::Placement;

const KIB: usize = 1 << 10;
/// The smallest heap with size classes. A cache opens a run while 4 KiB of it are free.
const SIZE: usize = 32 * KIB;

/// What was requested before a search begins: by whom, of how many bytes, how many times; and how many of these objects were freed
/// again, from the oldest on, by whom.
type Requests = (By, usize, usize, usize, By);

/// Where a search begins.
struct Beginning {
    /// Bytes that are left for runs.
    room: usize,
    caches: usize,
    requests: &'static [Requests],
    /// The cache that is dropped last.
    dropped: Option<usize>,
}

const fn with_one(room: usize, requests: &'static [Requests]) -> Beginning {
    Beginning { room, caches: 1, requests, dropped: None }
}

const fn with_two(room: usize, requests: &'static [Requests]) -> Beginning {
    Beginning { room, caches: 2, requests, dropped: None }
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

/// What leads from a state to another.
#[derive(Clone, Copy, Debug)]
enum Move {
    Alloc(By, usize),
    Free(By, usize),
    Resize(By, usize, usize),
    Empty(By),
    Attach,
    Detach(usize),
}

impl Move {
    fn run(self, lab: &mut Lab) {
        match self {
            Self::Alloc(by, size) => drop(lab.alloc_by(by, size, GRANULE).unwrap().ok()),
            Self::Free(by, address) => assert_eq!(lab.free_by(by, address).unwrap(), Ok(())),
            Self::Resize(by, address, size) => drop(lab.realloc_by(by, address, size, GRANULE).unwrap().ok()),
            Self::Empty(by) => lab.empty_by(by).unwrap(),
            Self::Attach => drop(lab.attach().unwrap().ok()),
            Self::Detach(cache) => lab.detach(cache),
        }
    }
}

/// A heap of which only the last bytes are left, in the state of a beginning, and where these bytes start.
fn begun(beginning: &Beginning) -> (Lab, usize) {
    let (edge, placement) = (Edge::High, Placement::General);
    let config = Config::without_slab().caches(beginning.caches);
    let mut lab = Lab::new(Case { size: SIZE, config, placement, carved: false, edge });
    let taken = SIZE - beginning.room - GRANULE;
    let start = lab.alloc(taken, GRANULE).unwrap().expect("the heap is empty") + taken;
    lab.narrow(start);
    for _ in 0..beginning.caches {
        lab.attach().unwrap().expect("a cache is free");
    }
    for &(by, size, times, freed, freed_by) in beginning.requests {
        let objects: Vec<usize> = (0..times).map_while(|_| lab.alloc_by(by, size, GRANULE).unwrap().ok()).collect();
        objects.iter().take(freed).for_each(|&object| Move::Free(freed_by, object).run(&mut lab));
    }
    if let Some(cache) = beginning.dropped {
        lab.detach(cache);
    }
    lab.compare().unwrap();
    (lab, start)
}

/// The heap and its attached caches.
fn everybody(lab: &Lab) -> Vec<By> {
    [Heap].into_iter().chain(lab.model.attached().into_iter().map(Cache)).collect()
}

fn objects_from(lab: &Lab, start: usize) -> Vec<usize> {
    lab.objects().into_iter().map(|(address, _)| address).filter(|&address| address >= start).collect()
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

/// All of a state that an answer can depend on, but for how far the segment was used.
fn fingerprint(lab: &Lab) -> Vec<Vec<usize>> {
    let blocks =
        lab.model.blocks().flat_map(|block| [block.address, usize::from(block.state == State::Free)]).collect();
    let mut all = lab.model.fingerprint_of_caches();
    all.push(blocks);
    all.extend(lab.model.magazines().map(<[usize]>::to_vec));
    all
}

/// Does something in a state, and compares everything.
fn try_in(lab: &mut Lab, state: &Snapshot, what: impl FnOnce(&mut Lab)) {
    lab.restore(state);
    what(lab);
    lab.compare().unwrap();
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

/// The free of every byte address where nothing begins, by everybody. None of them changes anything.
fn refused(lab: &mut Lab, start: usize, state: &Snapshot, everybody: &[By]) -> u64 {
    let mut operations = 0;
    for &by in everybody {
        lab.restore(state);
        let end = lab.heap().segment(Segment::Blocks).end;
        for address in start - 2 * GRANULE..end + 2 * GRANULE {
            if let Err(reason) = lab.model.usable_size(address) {
                let freed = lab.heap().free_by(by, address);
                assert_eq!(freed.map_err(|wrong| wrong.reason), Err(reason), "{by:?}: {address:#x}");
                operations += 1;
            }
        }
        lab.compare_places().unwrap();
        assert_eq!(lab.heap().check_all(), Ok(()));
    }
    operations
}

/// Exhausts the nearest `most` states, and answers up to how many moves away these are all.
fn explore(beginning: &Beginning, most: usize) -> (Tried, usize) {
    let (mut lab, start) = begun(beginning);
    let mut known = HashSet::from([fingerprint(&lab)]);
    let mut found = VecDeque::from([(lab.save(), 0)]);
    let (mut tried, mut all_within) = (Tried::default(), usize::MAX);
    while let Some((state, away)) = found.pop_front() {
        tried.states += 1;
        tried.operations += exhaust(&mut lab, start, &state);
        lab.restore(&state);
        for next in moves(&lab, start) {
            if found.len() + tried.states as usize >= most {
                all_within = all_within.min(away);
                break;
            }
            lab.restore(&state);
            next.run(&mut lab);
            if known.insert(fingerprint(&lab)) {
                found.push_back((lab.save(), away + 1));
            }
        }
    }
    (tried, all_within)
}

#[test]
fn the_states_of_caches_around_every_beginning_agree_with_the_model() {
    let most = Level::from_environment().of(24, 400, 10_000);
    let begun = Instant::now();
    let found = on_every_processor(|nth, count| {
        let watch = Watch::over("states of caches");
        let is_mine = |index| index % count == nth && replayed().is_none_or(|only| only == index as u64);
        let mine = BEGINNINGS.iter().enumerate().filter(|&(index, _)| is_mine(index));
        mine.fold((Tried::default(), usize::MAX), |(tried, fewest), (index, beginning)| {
            watch.case(index as u64);
            let (now, moves) = explore(beginning, most);
            (tried.plus(now), fewest.min(moves))
        })
    });
    let tried = found.iter().fold(Tried::default(), |sum, &(tried, _)| sum.plus(tried));
    let moves = found.iter().map(|&(_, moves)| moves).min().unwrap_or(0);
    let seconds = begun.elapsed().as_secs();
    figure::say(
        format_args!("states of caches around {} beginnings, all within {moves} moves", BEGINNINGS.len()),
        format_args!("{tried}, no deviation ({seconds} s)"),
    );
    assert!(tried.states > 0);
}
