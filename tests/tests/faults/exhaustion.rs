//! Exhaustion: every coalesced layout of a small segment, with the rover wherever it can stand, and in each of these
//! states every request, every resize and the free of every byte address, each against the reference model.
//!
//! A state is built once through the public API and then put back byte by byte before each operation. The layouts lie in
//! a window of N granules at the end of the segment; the window also lies across the ends of a chunk (64 granules), of a
//! node of the max tree (16 chunks) and of a summary word (64 chunks), behind one long used block. Under policy `General` it holds the
//! runs of the smallest heap with size classes, in as many states as a bounded search finds.
//!
//! `SLABFIT_ABUSE=ci` is 20 granules, `soak` is 24. `SLABFIT_SEED=n` runs layout n alone.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::time::Instant;
use std::{fmt, iter};

use slabfit::{Config, GRANULE, Segment, State};
use slabfit_tests::abuse::fenced::{Case, Edge};
use slabfit_tests::abuse::lab::{Lab, Snapshot, raw_alloc, raw_free, raw_realloc};
use slabfit_tests::abuse::layouts::{self, Tile};
use slabfit_tests::abuse::level::{Level, on_every_processor, replayed};
use slabfit_tests::abuse::watch::Watch;
use slabfit_tests::figure::{self, Grouped};
use slabfit_tests::model::Placement;

/// The longest alignment and the longest request that are tried byte by byte.
const EVERY: usize = 64;
/// Up to so many granules every block is also resized to every size.
const RESIZED: usize = 16;

/// Where the layouts lie: so many granules of a used block before them.
#[derive(Clone, Copy, Debug)]
struct Window {
    before: usize,
    granules: usize,
    placement: Placement,
}

impl Window {
    /// A heap whose block segment is the window and what lies before it. Under next fit there is a slab, without slots; under
    /// the other policies there is none.
    fn lab(self) -> Lab {
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
    fn rovers(self, tiles: usize) -> Vec<Option<usize>> {
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

/// A block of so many granules.
fn take(lab: &mut Lab, granules: usize) -> usize {
    lab.alloc((granules - 1) * GRANULE, GRANULE).unwrap().expect("there is room")
}

/// Makes the layout come true with the rover at the start of tile `rover`, or at the segment's end, or anywhere. `None`
/// where no program could.
fn build(lab: &mut Lab, window: Window, tiles: &[Tile], rover: Option<usize>) -> Option<Snapshot> {
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
fn exhaust(lab: &mut Lab, window: Window, state: &Snapshot) -> u64 {
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
    let addresses = window.addresses(lab);
    let mut starts = Vec::new();
    let mut operations = 0;
    for address in addresses.start + GRANULE + 1..addresses.end + 2 * GRANULE {
        match lab.model.usable_size(address) {
            Ok(_) => starts.push(address),
            Err(reason) => {
                assert_eq!(raw_free(lab.heap(), address).map_err(|wrong| wrong.reason), Err(reason), "{address:#x}");
                operations += 1;
            }
        }
    }
    if window.before == 0 {
        // The segment's first byte and what lies before it.
        for address in addresses.start - 2 * GRANULE..addresses.start + GRANULE + 1 {
            match lab.model.usable_size(address) {
                Ok(_) => starts.push(address),
                Err(reason) => {
                    assert_eq!(
                        raw_free(lab.heap(), address).map_err(|wrong| wrong.reason),
                        Err(reason),
                        "{address:#x}"
                    );
                    operations += 1;
                }
            }
        }
    }
    // All these refusals have changed nothing.
    lab.compare_places().unwrap();
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

/// Every layout of a window, on every processor.
fn exhaust_layouts(name: &'static str, window: Window) {
    let begun = Instant::now();
    let only = replayed();
    let tried = on_every_processor(|nth, count| {
        let watch = Watch::over(name);
        let mut lab = window.lab();
        let fresh = lab.save();
        let (mut index, mut tried) = (0u64, Tried::default());
        layouts::for_each(window.granules, &mut |tiles| {
            index += 1;
            if index as usize % count != nth || only.is_some_and(|only| only != index) {
                return;
            }
            watch.case(index);
            for rover in window.rovers(tiles.len()) {
                lab.restore(&fresh);
                if let Some(state) = build(&mut lab, window, tiles, rover) {
                    tried.states += 1;
                    tried.operations += exhaust(&mut lab, window, &state);
                }
            }
        });
        tried
    });
    let tried = tried.into_iter().fold(Tried::default(), Tried::plus);
    let layouts = layouts::count(window.granules);
    assert!(tried.states >= layouts || only.is_some(), "{tried:?}");
    let Window { before, granules, placement } = window;
    let seconds = begun.elapsed().as_secs();
    figure::say(
        format_args!("{name}, {placement:?}, {granules} granules behind {before}"),
        format_args!("{} layouts, {tried}, no deviation ({seconds} s)", Grouped(layouts)),
    );
}

#[test]
fn every_layout_agrees_with_the_model_under_next_fit() {
    let granules = Level::from_environment().of(12, 20, 24);
    exhaust_layouts("every layout", Window { before: 0, granules, placement: Placement::NextFit });
}

#[test]
fn every_layout_agrees_with_the_model_under_first_fit() {
    let granules = Level::from_environment().of(11, 16, 22);
    exhaust_layouts("every layout", Window { before: 0, granules, placement: Placement::FirstFit });
}

#[test]
fn every_layout_across_the_end_of_a_chunk_agrees_with_the_model() {
    let granules = Level::from_environment().of(10, 16, 22);
    // Under `General` such a heap has no size classes.
    for placement in [Placement::NextFit, Placement::FirstFit, Placement::General] {
        exhaust_layouts(
            "every layout across the end of a chunk",
            Window { before: 64 - granules / 2, granules, placement },
        );
    }
}

#[test]
fn every_layout_across_the_end_of_a_node_agrees_with_the_model() {
    let granules = Level::from_environment().of(9, 13, 18);
    let before = 16 * 64 - granules / 2;
    exhaust_layouts(
        "every layout across the end of a node",
        Window { before, granules, placement: Placement::NextFit },
    );
}

#[test]
fn every_layout_across_the_end_of_a_summary_word_agrees_with_the_model() {
    let granules = Level::from_environment().of(8, 12, 17);
    let before = 64 * 64 - granules / 2;
    exhaust_layouts(
        "every layout across the end of a summary word",
        Window { before, granules, placement: Placement::NextFit },
    );
}

/// Where the max tree gets its third level, and the summaries of the bit trees theirs.
#[test]
fn every_layout_across_the_end_of_a_level_agrees_with_the_model() {
    let granules = Level::from_environment().of(6, 8, 12);
    for chunks in [16 * 16, 64 * 64] {
        let before = chunks * 64 - granules / 2;
        exhaust_layouts(
            "every layout across the end of a level",
            Window { before, granules, placement: Placement::NextFit },
        );
    }
}

/// Not only layout and rover, but also how far the segment was ever used: every state that any program can bring about,
/// found by doing everything in every state that was found before.
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
    let untouched = granules.position(|at| lab.model.usable_size(at) == Err(slabfit::Reason::NeverAllocated));
    (blocks, lab.model.rover().map(|rover| rover - lab.base()), untouched.unwrap_or(usize::MAX))
}

/// The smallest heap with size classes, and how much of its end no block has taken.
const WITH_CLASSES: usize = 32 << 10;

/// A size, how many objects of it are allocated, and how many of these are freed again.
type Requests = (usize, usize, usize);

/// Where a search through the states of runs begins: bytes that are left for runs, and what was requested of them.
const BEGINNINGS: [(usize, &[Requests]); 12] = [
    (2048, &[]),
    // A run that is full, is as full as its magazine holds it, has given slots back, and is about to be given back.
    (2048, &[(64, 16, 0)]),
    (2048, &[(64, 16, 16)]),
    (2048, &[(16, 64, 31)]),
    (2048, &[(16, 64, 32)]),
    (2048, &[(16, 64, 33)]),
    (2048, &[(16, 49, 48)]),
    // Two runs of one class and of two.
    (2048, &[(64, 32, 32)]),
    (2048, &[(64, 20, 10), (16, 40, 20)]),
    // A second run that lies crooked, and that has a granule behind it; no room for a run.
    (3072 - 16, &[(64, 17, 1), (16, 1, 0)]),
    (2048 + 16, &[(64, 32, 31)]),
    (1008, &[(64, 5, 2), (16, 5, 2)]),
];

/// Every class has 16 slots and more, so its states cannot all be tried: from each beginning a search goes outwards, move by move,
/// through all states that a free, a resize, a request of each class or of a block, and empty magazines bring about.
#[test]
fn the_states_of_runs_around_every_beginning_agree_with_the_model() {
    let most = Level::from_environment().of(150, 1_500, 20_000);
    let begun = Instant::now();
    let found = on_every_processor(|nth, count| {
        let watch = Watch::over("states of runs");
        let beginnings = BEGINNINGS.iter().enumerate();
        let mine =
            beginnings.filter(|(index, _)| index % count == nth && replayed().is_none_or(|only| only == *index as u64));
        mine.fold((Tried::default(), usize::MAX), |(tried, fewest), (index, &(room, requests))| {
            watch.case(index as u64);
            let (now, moves) = explore(room, requests, most);
            (tried.plus(now), fewest.min(moves))
        })
    });
    let tried = found.iter().fold(Tried::default(), |sum, &(tried, _)| sum.plus(tried));
    let moves = found.iter().map(|&(_, moves)| moves).min().unwrap_or(0);
    let seconds = begun.elapsed().as_secs();
    figure::say(
        format_args!("states of runs around {} beginnings, all within {moves} moves", BEGINNINGS.len()),
        format_args!("{tried}, no deviation ({seconds} s)"),
    );
    assert!(tried.states > 0);
}

/// Exhausts the nearest `most` states, and answers up to how many moves away these are all.
fn explore(room: usize, requests: &[Requests], most: usize) -> (Tried, usize) {
    let (edge, placement, config) = (Edge::High, Placement::General, Config::without_slab());
    let mut lab = Lab::new(Case { size: WITH_CLASSES, config, placement, carved: false, edge });
    let taken = lab.alloc(WITH_CLASSES - room - GRANULE, GRANULE).unwrap().expect("the heap is empty");
    let start = taken + WITH_CLASSES - room - GRANULE;
    lab.narrow(start);
    for &(size, times, freed) in requests {
        let objects: Vec<usize> = (0..times).map_while(|_| lab.alloc(size, GRANULE).unwrap().ok()).collect();
        objects.iter().take(freed).for_each(|&object| assert_eq!(lab.free(object).unwrap(), Ok(())));
    }
    let mut known = HashSet::from([state_of_runs(&lab)]);
    let mut found = VecDeque::from([(lab.save(), 0)]);
    let (mut tried, mut all_within) = (Tried::default(), usize::MAX);
    while let Some((state, moves)) = found.pop_front() {
        tried.states += 1;
        lab.restore(&state);
        tried.operations += exhaust_runs(&mut lab, start, &state);
        lab.restore(&state);
        for next in moves_among_runs(&lab, start) {
            if found.len() + tried.states as usize >= most {
                all_within = all_within.min(moves);
                break;
            }
            lab.restore(&state);
            next.run(&mut lab);
            if known.insert(state_of_runs(&lab)) {
                lab.compare().unwrap();
                found.push_back((lab.save(), moves + 1));
            }
        }
    }
    (tried, all_within)
}

/// What changes the state of a run.
#[derive(Clone, Copy)]
enum Move {
    Alloc(usize),
    Free(usize),
    Resize(usize, usize),
    EmptyMagazines,
}

impl Move {
    fn run(self, lab: &mut Lab) {
        match self {
            Self::Alloc(size) => drop(lab.alloc(size, GRANULE).unwrap()),
            Self::Free(address) => assert_eq!(lab.free(address).unwrap(), Ok(())),
            Self::Resize(address, size) => drop(lab.realloc(address, size, GRANULE).unwrap()),
            Self::EmptyMagazines => lab.empty_magazines().unwrap(),
        }
    }
}

/// A request of each of two classes and of a block, every free, and resizes of the first and the last object.
fn moves_among_runs(lab: &Lab, start: usize) -> Vec<Move> {
    let objects = objects_from(lab, start);
    let mut moves = vec![Move::Alloc(16), Move::Alloc(64), Move::Alloc(600), Move::EmptyMagazines];
    moves.extend(objects.iter().map(|&address| Move::Free(address)));
    let ends = objects.first().into_iter().chain(objects.last());
    moves.extend(ends.flat_map(|&address| [1, 64, 100].map(|size| Move::Resize(address, size))));
    moves
}

fn objects_from(lab: &Lab, start: usize) -> Vec<usize> {
    lab.objects().into_iter().map(|(address, _)| address).filter(|&address| address >= start).collect()
}

/// All of a state that an answer can depend on, but for how far the segment was used: where blocks and slots lie, which are free,
/// and the magazines.
fn state_of_runs(lab: &Lab) -> Vec<Vec<usize>> {
    let blocks =
        lab.model.blocks().flat_map(|block| [block.address, usize::from(block.state == State::Free)]).collect();
    iter::once(blocks).chain(lab.model.magazines().map(<[usize]>::to_vec)).collect()
}

/// Requests of every class and larger ones at some alignments, the free of every byte address, and resizes of some objects.
fn exhaust_runs(lab: &mut Lab, start: usize, state: &Snapshot) -> u64 {
    let mut operations = 0;
    for size in [0, 1, 16, 17, 32, 33, 48, 49, 64, 65, 496, 497, 1000, 1008, 1009, 2032, 2033, WITH_CLASSES - GRANULE] {
        for align in [1, GRANULE, 2 * GRANULE, 64, 1024] {
            lab.restore(state);
            lab.alloc(size, align).unwrap().ok();
            lab.compare().unwrap();
            operations += 1;
        }
    }
    lab.restore(state);
    lab.empty_magazines().unwrap();
    lab.compare().unwrap();
    lab.restore(state);
    let end = lab.heap().segment(Segment::Blocks).end;
    for address in start - 2 * GRANULE..end + 2 * GRANULE {
        if let Err(reason) = lab.model.usable_size(address) {
            assert_eq!(raw_free(lab.heap(), address).map_err(|wrong| wrong.reason), Err(reason), "{address:#x}");
            operations += 1;
        }
    }
    // All these refusals have changed nothing.
    lab.compare_places().unwrap();
    let objects = objects_from(lab, start);
    for &address in &objects {
        lab.restore(state);
        assert_eq!(lab.free(address).unwrap(), Ok(()));
        lab.compare().unwrap();
        operations += 1;
    }
    for &address in objects.iter().step_by(objects.len() / 5 + 1).chain(objects.last()) {
        for (size, align) in [(0, 16), (16, 1), (17, 16), (48, 32), (64, 64), (64, 16), (65, 16), (600, 16), (5000, 16)]
        {
            lab.restore(state);
            lab.realloc(address, size, align).unwrap().ok();
            lab.compare().unwrap();
            operations += 1;
        }
    }
    operations
}

/// The slab: how many slots were ever used, and which of these are live, in every combination.
#[test]
fn every_state_of_a_slab_agrees_with_the_model() {
    let slots = Level::from_environment().of(7, 10, 13);
    let begun = Instant::now();
    let watch = Watch::over("slab states");
    // Three granules to a slot and two of a tail behind the last.
    let size = (slots * 3 + 2) * 4 * GRANULE;
    let (carved, edge, placement) = (false, Edge::Low, Placement::NextFit);
    let mut lab = Lab::new(Case { size, config: Config::new(40), placement, carved, edge });
    assert_eq!(lab.heap().blocks().filter(|block| block.segment == Segment::Slab).count(), slots);
    let mut fresh = vec![lab.save()];
    let mut tried = Tried::default();
    for used in 0..=slots {
        if used > 0 {
            lab.restore(&fresh[used - 1]);
            lab.alloc(40, 1).unwrap().expect("a slot is free");
            fresh.push(lab.save());
        }
        for live in 0..1u32 << used {
            watch.case(u64::from(live) << 8 | used as u64);
            lab.restore(&fresh[used]);
            let base = lab.base();
            for slot in (0..used).filter(|slot| live >> slot & 1 == 0) {
                assert_eq!(lab.free(base + slot * 48).unwrap(), Ok(()));
            }
            lab.compare().unwrap();
            tried.states += 1;
            tried.operations += exhaust_slab(&mut lab);
        }
    }
    let seconds = begun.elapsed().as_secs();
    figure::say(
        format_args!("every state of a slab of {slots} slots"),
        format_args!("{tried}, no deviation ({seconds} s)"),
    );
}

fn exhaust_slab(lab: &mut Lab) -> u64 {
    let (state, segment) = (lab.save(), lab.heap().segment(Segment::Slab));
    let mut operations = 0;
    for (size, align) in [(40, 16), (40, 1), (40, 32), (39, 16), (41, 16)] {
        lab.restore(&state);
        lab.alloc(size, align).unwrap().expect("next fit is free");
        lab.compare().unwrap();
        operations += 1;
    }
    lab.restore(&state);
    let mut starts = Vec::new();
    for address in segment.start - GRANULE..segment.end + GRANULE {
        match lab.model.usable_size(address) {
            Ok(_) => starts.push(address),
            Err(reason) => {
                assert_eq!(raw_free(lab.heap(), address).map_err(|wrong| wrong.reason), Err(reason), "{address:#x}");
                assert!(raw_realloc(lab.heap(), address, 1, 1).is_err());
            }
        }
        operations += 1;
    }
    lab.compare_places().unwrap();
    for address in starts {
        for size in [0, 40, 48, 49] {
            lab.restore(&state);
            lab.realloc(address, size, GRANULE).unwrap().expect("next fit is free");
            lab.compare().unwrap();
        }
        lab.restore(&state);
        assert_eq!(lab.free(address).unwrap(), Ok(()));
        lab.compare().unwrap();
        operations += 5;
    }
    operations
}
