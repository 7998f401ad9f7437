//! A search through the states of runs and caches: from each beginning outwards, move by move, the nearest states first.

use std::collections::{HashSet, VecDeque};
use std::iter;
use std::time::Instant;

use slabfit::{Config, GRANULE, Segment, State};
use slabfit_tests::abuse::fenced::{Case, Edge};
use slabfit_tests::abuse::lab::{Lab, Snapshot};
use slabfit_tests::abuse::level::{on_every_processor, replayed};
use slabfit_tests::abuse::watch::Watch;
use slabfit_tests::figure;
use slabfit_tests::model::{By, Placement};

use super::{Tried, wrong_frees_in};

/// Bytes of the smallest heap with size classes. A cache opens a run while 4 KiB of it are free.
pub const SIZE: usize = 32 << 10;

/// What was requested before a search begins: by whom, of how many bytes, how many times; and how many of these objects were freed
/// again, from the oldest on, by whom.
pub type Requests = (By, usize, usize, usize, By);

/// Where a search begins.
pub struct Beginning {
    /// Bytes that are left for runs.
    pub room: usize,
    pub caches: usize,
    pub requests: &'static [Requests],
    /// The cache that is dropped last.
    pub dropped: Option<usize>,
}

impl Beginning {
    pub const fn new(room: usize, caches: usize, requests: &'static [Requests]) -> Self {
        Self { room, caches, requests, dropped: None }
    }

    /// A heap of which only the last bytes are left, in this state, and where these bytes start.
    fn lab(&self) -> (Lab, usize) {
        let config = Config::without_slab().caches(self.caches);
        let (edge, placement) = (Edge::High, Placement::General);
        let mut lab = Lab::new(Case { size: SIZE, config, placement, carved: false, edge });
        let taken = SIZE - self.room - GRANULE;
        let start = lab.alloc(taken, GRANULE).unwrap().expect("the heap is empty") + taken;
        lab.narrow(start);
        for _ in 0..self.caches {
            lab.attach().unwrap().expect("a cache is free");
        }
        for &(by, size, times, freed, freed_by) in self.requests {
            let objects: Vec<usize> = (0..times).map_while(|_| lab.alloc_by(by, size, GRANULE).unwrap().ok()).collect();
            objects.iter().take(freed).for_each(|&object| Move::Free(freed_by, object).run(&mut lab));
        }
        if let Some(cache) = self.dropped {
            lab.detach(cache);
        }
        lab.compare().unwrap();
        (lab, start)
    }
}

/// What leads from a state to another.
#[derive(Clone, Copy, Debug)]
pub enum Move {
    Alloc(By, usize),
    Free(By, usize),
    Resize(By, usize, usize),
    Empty(By),
    Attach,
    Detach(usize),
}

impl Move {
    pub fn run(self, lab: &mut Lab) {
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

/// Whose states are searched, and how.
pub struct Search {
    pub whose: &'static str,
    pub beginnings: &'static [Beginning],
    /// The moves from a state, of objects from an address on.
    pub moves: fn(&Lab, usize) -> Vec<Move>,
    /// Does everything in a state, and answers with the number of operations.
    pub exhaust: fn(&mut Lab, usize, &Snapshot) -> u64,
}

impl Search {
    /// Exhausts the nearest `most` states around each beginning, on every processor.
    pub fn around_every_beginning(&self, most: usize) {
        let begun = Instant::now();
        let found = on_every_processor(|nth, count| {
            let watch = Watch::over(self.whose);
            let is_mine = |index| index % count == nth && replayed().is_none_or(|only| only == index as u64);
            let mine = self.beginnings.iter().enumerate().filter(|&(index, _)| is_mine(index));
            mine.fold((Tried::default(), usize::MAX), |(tried, fewest), (index, beginning)| {
                watch.case(index as u64);
                let (now, moves) = self.explore(beginning, most);
                (tried.plus(now), fewest.min(moves))
            })
        });
        let tried = found.iter().fold(Tried::default(), |sum, &(tried, _)| sum.plus(tried));
        let moves = found.iter().map(|&(_, moves)| moves).min().unwrap_or(0);
        let (whose, beginnings, seconds) = (self.whose, self.beginnings.len(), begun.elapsed().as_secs());
        figure::say(
            format_args!("states of {whose} around {beginnings} beginnings, all within {moves} moves"),
            format_args!("{tried}, no deviation ({seconds} s)"),
        );
        assert!(tried.states > 0);
    }

    /// Exhausts the nearest `most` states, and answers up to how many moves away these are all.
    fn explore(&self, beginning: &Beginning, most: usize) -> (Tried, usize) {
        let (mut lab, start) = beginning.lab();
        let mut known = HashSet::from([fingerprint(&lab)]);
        let mut found = VecDeque::from([(lab.save(), 0)]);
        let (mut tried, mut all_within) = (Tried::default(), usize::MAX);
        while let Some((state, away)) = found.pop_front() {
            tried.states += 1;
            tried.operations += (self.exhaust)(&mut lab, start, &state);
            lab.restore(&state);
            for next in (self.moves)(&lab, start) {
                if found.len() + tried.states as usize >= most {
                    all_within = all_within.min(away);
                    break;
                }
                lab.restore(&state);
                next.run(&mut lab);
                if known.insert(fingerprint(&lab)) {
                    lab.compare().unwrap();
                    found.push_back((lab.save(), away + 1));
                }
            }
        }
        (tried, all_within)
    }
}

/// All of a state that an answer can depend on, but for how far the segment was used: where blocks and slots lie, which are free, the
/// magazines, and the caches.
fn fingerprint(lab: &Lab) -> Vec<Vec<usize>> {
    let blocks =
        lab.model.blocks().flat_map(|block| [block.address, usize::from(block.state == State::Free)]).collect();
    let magazines = lab.model.magazines().map(<[usize]>::to_vec);
    iter::once(blocks).chain(magazines).chain(lab.model.fingerprint_of_caches()).collect()
}

/// The objects from an address on.
pub fn objects_from(lab: &Lab, start: usize) -> Vec<usize> {
    lab.objects().into_iter().map(|(address, _)| address).filter(|&address| address >= start).collect()
}

/// Does something in a state, and compares everything.
pub fn try_in(lab: &mut Lab, state: &Snapshot, what: impl FnOnce(&mut Lab)) {
    lab.restore(state);
    what(lab);
    lab.compare().unwrap();
}

/// The free of every byte address where nothing begins, by everybody. None of them changes anything. Answers with the number of frees.
pub fn refused(lab: &mut Lab, start: usize, state: &Snapshot, everybody: &[By]) -> u64 {
    let frees = everybody.iter().map(|&by| {
        lab.restore(state);
        let end = lab.heap().segment(Segment::Blocks).end;
        wrong_frees_in(lab, start - 2 * GRANULE..end + 2 * GRANULE, by).1
    });
    frees.sum()
}
