//! Corruption: every way to write over what lies in the heap, and after each the heap answers what the reference model
//! does, except that the free or realloc of a live block whose own header was hit says so and leaves it live.
//!
//! One trial: a heap in the middle of a run, in memory between inaccessible pages; something is written over; all is
//! compared; what was hit is freed and resized in vain; random operations go on; `repair()` counts and rewrites what is
//! still wrong; random operations go on. Every answer, every address, every figure (the count of corruptions among
//! them), every header and every byte of every live payload is compared.
//!
//! `SLABFIT_ABUSE=ci` makes a million trials, `soak` a hundred million. `SLABFIT_SEED=n` runs the trials of seed n alone.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use fastrand::Rng;
use slabfit::{Config, GRANULE, InvalidFree, Kind, MAGIC, Reason, Segment, State};
use slabfit_tests::abuse::fenced::{Case, Edge};
use slabfit_tests::abuse::lab::{Agreed, Lab, Snapshot, raw_alloc, raw_free};
use slabfit_tests::abuse::level::{Level, on_every_processor, replayed};
use slabfit_tests::abuse::watch::Watch;
use slabfit_tests::figure::{self, Grouped};
use slabfit_tests::header::LINK;
use slabfit_tests::model::{By, Header, Placement};
use slabfit_tests::program::any_share;

/// How far an overflow or an underflow goes.
const FARTHEST: usize = 64;

/// A heap in the middle of a run, and back to there before every trial.
struct Bench {
    lab: Lab,
    middle: Snapshot,
    rng: Rng,
    /// How often something of each kind was hit.
    hits: BTreeMap<&'static str, u64>,
    trials: u64,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let placement = match seed % 4 {
            1 => Placement::General,
            3 => Placement::FirstFit,
            _ => Placement::NextFit,
        };
        let config = Config::new([16, 32, 40, 64][rng.usize(..4)]);
        let (size, config) = match placement {
            // The classes of up to 64 bytes, beside a small slab.
            Placement::General => (GRANULE * rng.usize(2100..2200), config.slab_bytes(256).caches(2)),
            _ => (GRANULE * rng.usize(48..160), config),
        };
        let case = Case {
            size,
            config: if seed % 5 == 2 { any_share(config, size, &mut rng) } else { config },
            placement,
            carved: seed % 3 == 1,
            edge: if seed % 2 == 0 { Edge::High } else { Edge::Low },
        };
        let bookkeeping = if placement == Placement::General { 14 << 10 } else { 512 };
        let case = Case { size: if case.carved { case.size + bookkeeping } else { case.size }, ..case };
        let mut lab = Lab::new(case);
        if placement == Placement::General {
            lab.attach().unwrap().ok();
        }
        for _ in 0..rng.usize(60..160) {
            lab.random_step(&mut rng).unwrap();
        }
        // Slots in every state: live, returned, and never used where there are many.
        for _ in 0..4 {
            lab.alloc(case.config.slab_size, GRANULE).unwrap().ok();
        }
        let slots = lab.objects().into_iter().filter(|&(at, _)| lab.heap().segment(Segment::Slab).contains(&at));
        if let Some((slot, _)) = slots.collect::<Vec<_>>().get(1) {
            lab.free(*slot).unwrap().expect("it is live");
        }
        if placement == Placement::General {
            slots_in_every_state(&mut lab);
        }
        lab.compare().unwrap();
        let middle = lab.save();
        Self { lab, middle, rng, hits: BTreeMap::new(), trials: 0 }
    }

    /// One trial of what `abuse` writes.
    fn trial(&mut self, abuse: impl FnOnce(&mut Lab, &mut Rng)) {
        self.lab.restore(&self.middle);
        abuse(&mut self.lab, &mut self.rng);
        self.lab.note();
        self.trials += 1;
        if let Err(deviation) = after_abuse(&mut self.lab, &mut self.rng) {
            panic!("trial {}: {deviation:?}", self.trials);
        }
    }

    fn count(&mut self, kind: &'static str) {
        *self.hits.entry(kind).or_default() += 1;
    }

    fn headers(&mut self) -> Vec<Header> {
        self.lab.restore(&self.middle);
        self.lab.model.headers()
    }

    fn live(&mut self) -> Vec<(usize, usize)> {
        self.lab.restore(&self.middle);
        self.lab.objects()
    }
}

/// Slots of a run of the heap's and of a cache's that are live, in the full magazine, and given back to their run, the cache's also by
/// the heap; where a slab leaves no room for runs, blocks.
fn slots_in_every_state(lab: &mut Lab) {
    let caches = lab.model.attached().into_iter().map(By::Cache);
    for by in [By::Heap].into_iter().chain(caches) {
        let slots: Vec<usize> = (0..42).map_while(|_| lab.alloc_by(by, 1, GRANULE).unwrap().ok()).collect();
        for (nth, slot) in slots.into_iter().take(37).enumerate() {
            let by = if nth % 12 == 11 { By::Heap } else { by };
            lab.free_by(by, slot).unwrap().expect("it is live");
        }
    }
}

/// What must hold once something was written over.
fn after_abuse(lab: &mut Lab, rng: &mut Rng) -> Agreed<()> {
    lab.compare()?;
    refused_and_still_live(lab)?;
    for _ in 0..rng.usize(..12) {
        lab.random_step(rng)?;
    }
    lab.compare()?;
    lab.repair()?;
    lab.compare()?;
    for _ in 0..rng.usize(..12) {
        lab.random_step(rng)?;
    }
    lab.compare()?;
    if rng.u32(..8) == 0 { lab.finish(rng) } else { Ok(()) }
}

/// The blocks whose own header was hit are refused by name and stay; that is counted each time.
fn refused_and_still_live(lab: &mut Lab) -> Agreed<()> {
    let hit: Vec<usize> = lab.model.overwritten.iter().take(3).copied().collect();
    for block in hit {
        let address = block + GRANULE;
        let before = lab.heap().stats().map(|stats| stats.blocks.corruptions);
        let refused = Err(InvalidFree { address, reason: Reason::HeaderOverwritten });
        let freed = lab.free(address)?;
        lab.same("a free of a block that was hit", freed, refused)?;
        let moved = lab.realloc(address, 1, GRANULE)?;
        lab.same("a realloc of a block that was hit", moved.is_err(), true)?;
        let after = lab.heap().stats().map(|stats| stats.blocks.corruptions);
        lab.same("corruptions counted", after, before.map(|count| count + 2))?;
    }
    lab.compare_places()
}

/// What lies at an address, for the count of what was hit.
fn kind_of(lab: &Lab, address: usize) -> &'static str {
    let rover = lab.model.rover();
    let headers = lab.model.headers();
    let found = lab.model.blocks().find(|block| (block.address..block.address + block.size).contains(&address));
    match found {
        None if lab.heap().segment(Segment::Slab).contains(&address) => "the slab's tail",
        None if lab.model.owns(address) => "the tail of a run",
        None => "a guard granule",
        Some(block) => match (block.segment, block.state) {
            (Segment::Blocks, State::Used) if block.kind == Kind::Slot => "a live slot of a run",
            (Segment::Blocks, State::Free) if block.kind == Kind::Slot => "a free slot of a run",
            (Segment::Slab, State::Used) => "a live slot",
            (Segment::Slab, State::Free) if headers.iter().any(|header| header.address == block.address) => {
                "a returned slot"
            }
            (Segment::Slab, State::Free) => "a slot never used",
            (Segment::Blocks, State::Used) => "a live block",
            (Segment::Blocks, State::Free) if Some(block.address) == rover => "the rover's free block",
            (Segment::Blocks, State::Free) => "a free block",
        },
    }
}

/// Bytes to write: zeros, ones, a letter, what lies there with every bit turned, or anything.
fn ink(lab: &Lab, address: usize, len: usize, sort: usize, rng: &mut Rng) -> Vec<u8> {
    match sort {
        0 => vec![0; len],
        1 => vec![0xFF; len],
        2 => vec![b'A'; len],
        3 => lab.read(address, len).iter().map(|byte| !byte).collect(),
        _ => std::iter::repeat_with(|| rng.u8(..)).take(len).collect(),
    }
}

/// Overflows and underflows of every length from every object, as far as there is memory.
fn overflows(bench: &mut Bench) {
    let region = region_of(bench);
    for (address, usable) in bench.live() {
        for len in 1..=FARTHEST {
            let (over, under) = (address + usable, address.saturating_sub(len));
            for (from, neighbour) in [(over, over), (under, address - 1)] {
                let to = from + len;
                if from < region.start || to > region.end {
                    continue;
                }
                bench.lab.restore(&bench.middle);
                let kind = kind_of(&bench.lab, neighbour);
                bench.count(kind);
                for sort in 0..5 {
                    bench.trial(|lab, rng| {
                        let bytes = ink(lab, from, len, sort, rng);
                        lab.write(from, &bytes);
                    });
                }
            }
        }
    }
}

/// What may be written over: the region, without the bookkeeping if that lies in it, but with the granules that guard it.
fn region_of(bench: &Bench) -> std::ops::Range<usize> {
    let base = bench.lab.base();
    let start = if bench.lab.case().carved { base - FARTHEST } else { base };
    start..base + bench.lab.heap().size()
}

/// Each bit and each byte of every header.
fn bits_and_bytes(bench: &mut Bench) {
    for header in bench.headers() {
        for at in 0..GRANULE {
            let address = header.address + at;
            for bit in 0..8 {
                bench.count(if header.live { "a bit of a live header" } else { "a bit of a free header" });
                bench.trial(|lab, _| {
                    let byte = lab.read(address, 1)[0] ^ 1 << bit;
                    lab.write(address, &[byte]);
                    // The map of covered bytes: length and magic of a live block's header, and nothing else, is compared.
                    let compared = at < size_of::<i32>() || (LINK..LINK + size_of::<usize>()).contains(&at);
                    let covered = header.live && compared;
                    let hit = lab.note();
                    assert_eq!(hit, usize::from(covered), "byte {at} of {header:x?}");
                });
            }
            for byte in [0, 1, 0x7F, 0x80, 0xFF, b'A'] {
                bench.trial(|lab, _| lab.write(address, &[byte]));
            }
        }
    }
}

/// Headers that look right and are not, pointers that lead anywhere.
fn imitations(bench: &mut Bench) {
    let headers = bench.headers();
    let (base, size) = (bench.lab.base(), bench.lab.heap().size());
    let free: Vec<usize> = headers.iter().filter(|header| !header.live).map(|header| header.address).collect();
    for (nth, header) in headers.iter().enumerate() {
        let others = [headers[(nth + 1) % headers.len()], headers[nth / 2]];
        let pointers = [
            header.address,
            free[nth % free.len()],
            others[0].address,
            others[0].address + GRANULE,
            others[1].address + LINK,
            header.address + 1,
            header.address - GRANULE,
            base,
            base - GRANULE,
            base + size,
            base + size - GRANULE,
            0,
            1,
            MAGIC,
            usize::MAX,
            usize::MAX & !15,
            1 << 63,
            0x7FFF_FFFF_F000,
            (&raw const nth).addr(),
        ];
        for pointer in pointers {
            bench.count("a pointer");
            bench.trial(|lab, _| lab.write(header.address + LINK, &pointer.to_ne_bytes()));
        }
        let own = header.length;
        for length in
            [0, 1, -1, 16, -16, own + 16, own - 16, own ^ 16, i32::MIN, i32::MAX, i32::MAX - 15, others[0].length]
        {
            bench.count("a length");
            bench.trial(|lab, _| lab.write(header.address, &length.to_ne_bytes()));
            // Together with the magic number, or as a free block that is alone.
            for link in [MAGIC, 0] {
                bench.trial(|lab, _| {
                    lab.write(header.address, &length.to_ne_bytes());
                    lab.write(header.address + LINK, &link.to_ne_bytes());
                });
            }
        }
        for other in others {
            bench.count("another's header");
            bench.trial(|lab, _| {
                let copy = lab.read(other.address, GRANULE).to_vec();
                lab.write(header.address, &copy);
            });
            bench.trial(|lab, _| {
                let (one, two) =
                    (lab.read(header.address, GRANULE).to_vec(), lab.read(other.address, GRANULE).to_vec());
                lab.write(header.address, &two);
                lab.write(other.address, &one);
            });
        }
    }
    circles(bench, &free);
    forgeries(bench);
}

/// Every two free headers point to each other; all of them in a ring.
fn circles(bench: &mut Bench, free: &[usize]) {
    for &one in free {
        for &two in free {
            bench.count("a circle");
            bench.trial(|lab, _| {
                lab.write(one + LINK, &two.to_ne_bytes());
                lab.write(two + LINK, &one.to_ne_bytes());
            });
        }
    }
    bench.trial(|lab, _| {
        for (&one, &next) in free.iter().zip(free.iter().cycle().skip(1)) {
            lab.write(one + LINK, &next.to_ne_bytes());
        }
    });
}

/// Headers in user data: what they claim to begin is refused, at every granule of every payload.
fn forgeries(bench: &mut Bench) {
    for (address, usable) in bench.live() {
        for header in (address..address + usable - GRANULE).step_by(GRANULE) {
            bench.count("a forged header");
            bench.trial(|lab, rng| {
                let length = [usable as i32 - 16, 16, 32, i32::MAX][rng.usize(..4)];
                lab.write(header, &length.to_ne_bytes());
                lab.write(header + LINK, &MAGIC.to_ne_bytes());
                let refused = Err(InvalidFree { address: header + GRANULE, reason: Reason::NotAStart });
                assert_eq!(lab.free(header + GRANULE).unwrap(), refused);
                assert!(lab.realloc(header + GRANULE, 1, 1).unwrap().is_err());
            });
        }
    }
}

/// Every object is freed and then written to, as far as it reached, and behind it.
fn writes_after_free(bench: &mut Bench) {
    let region = region_of(bench);
    for (address, usable) in bench.live() {
        for sort in 0..5 {
            let pieces = [(address, usable), (address, 8), (address + 8, 8), (address, usable + GRANULE)];
            let granules = (address..address + usable).step_by(GRANULE).map(|at| (at, GRANULE));
            for (at, len) in pieces.into_iter().chain(granules) {
                if at + len > region.end {
                    continue;
                }
                bench.count("a freed object");
                bench.trial(|lab, rng| {
                    assert_eq!(lab.free(address).unwrap(), Ok(()));
                    let bytes = ink(lab, at, len, sort, rng);
                    lab.write(at, &bytes);
                });
            }
        }
    }
}

/// Random bytes over the whole heap, over a part of it, over single bytes here and there.
fn random_fill(bench: &mut Bench, times: u64) {
    let region = region_of(bench);
    for nth in 0..times {
        bench.count("random bytes");
        bench.trial(|lab, rng| match nth % 3 {
            0 => scatter(lab, rng, region.start, region.len()),
            1 => {
                let from = rng.usize(region.clone());
                let len = rng.usize(..=region.end - from);
                scatter(lab, rng, from, len);
            }
            _ => {
                for _ in 0..rng.usize(1..20) {
                    scatter(lab, rng, rng.clone().usize(region.clone()), 1);
                    rng.u8(..);
                }
            }
        });
    }
}

fn scatter(lab: &mut Lab, rng: &mut Rng, from: usize, len: usize) {
    let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
    lab.write(from, &bytes);
}

/// Runs `abuse` on heaps in the middle of different runs until there were so many trials, and says what was hit.
fn abuse(name: &'static str, trials: u64, must: &[&str], abuse: impl Fn(&mut Bench) + Sync) {
    let begun = Instant::now();
    let (only, done) = (replayed(), AtomicU64::new(0));
    let seeds = AtomicU64::new(only.unwrap_or(0));
    let hits: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    let hit_all = || {
        let hits = hits.lock().expect("nobody panics with it");
        must.iter().all(|kind| hits.contains_key(kind))
    };
    on_every_processor(|_, _| {
        let watch = Watch::over(name);
        while done.load(Ordering::Relaxed) < trials || !hit_all() {
            let seed = seeds.fetch_add(1, Ordering::Relaxed);
            if only.is_some_and(|only| only != seed) {
                break;
            }
            assert!(only.is_some() || seed < 100 + trials / 100, "of {must:?} only this was hit: {hits:?}");
            watch.case(seed);
            let mut bench = Bench::new(seed);
            abuse(&mut bench);
            done.fetch_add(bench.trials, Ordering::Relaxed);
            let mut hits = hits.lock().expect("nobody panics with it");
            for (kind, count) in bench.hits {
                *hits.entry(kind).or_default() += count;
            }
        }
    });
    let (done, hits) = (done.into_inner(), hits.into_inner().expect("nobody panicked with it"));
    println!("{name} hit: {hits:?}");
    let seconds = begun.elapsed().as_secs();
    figure::say(
        format_args!("corruption: {name}"),
        format_args!("{} trials, no deviation ({seconds} s)", Grouped(done)),
    );
}

fn trials(share: u64) -> u64 {
    Level::from_environment().of(40_000, 1_000_000, 100_000_000) * share / 100
}

#[test]
fn an_overflow_or_underflow_of_1_to_64_bytes_changes_no_answer() {
    let must = [
        "a live slot",
        "a returned slot",
        "a slot never used",
        "the slab's tail",
        "a live block",
        "a free block",
        "the rover's free block",
        "a live slot of a run",
        "a free slot of a run",
        "a guard granule",
    ];
    abuse("overflows", trials(30), &must, overflows);
}

#[test]
fn no_bit_and_no_byte_of_a_header_changes_an_answer() {
    let must = ["a bit of a live header", "a bit of a free header"];
    abuse("bits and bytes", trials(25), &must, bits_and_bytes);
}

#[test]
fn no_imitated_header_or_pointer_is_believed() {
    abuse("imitations", trials(20), &["a pointer", "a length", "a circle", "a forged header"], imitations);
}

#[test]
fn a_write_after_free_changes_no_answer() {
    abuse("writes after free", trials(10), &["a freed object"], writes_after_free);
}

#[test]
fn random_bytes_over_the_heap_change_no_answer() {
    abuse("random fill", trials(15), &["random bytes"], |bench| random_fill(bench, 500));
}

/// A write that starts in the last slot or block goes into the inaccessible page and not into the bookkeeping; one that
/// starts before the first slot of a carved heap has 64 bytes to go.
#[test]
fn the_bookkeeping_is_out_of_an_underflows_reach() {
    let watch = Watch::over("guard granules");
    // The bookkeeping starts at a cache line, so where the region starts decides how near its end comes to the slots.
    for granules in 248..256 {
        for slab_size in [16, 64, 1 << 20] {
            watch.case(slab_size as u64);
            let (carved, edge, placement) = (true, Edge::High, Placement::NextFit);
            let (size, config) = (granules * GRANULE, Config::new(slab_size));
            let mut lab = Lab::new(Case { size, config, placement, carved, edge });
            let objects = [(); 3].map(|()| lab.alloc(slab_size.min(100), 1).unwrap().expect("the heap is empty"));
            assert_eq!(lab.free(objects[1]).unwrap(), Ok(()));
            for byte in [0, 0xFF, 0x55] {
                let base = lab.base();
                lab.write(base - FARTHEST, &[byte; FARTHEST]);
                assert_eq!(lab.note(), 0);
                lab.compare().unwrap();
                assert_eq!(lab.heap().check(), Ok(()));
            }
            for object in [objects[2], objects[0]] {
                assert_eq!(lab.free(object).unwrap(), Ok(()));
            }
            lab.compare().unwrap();
        }
    }
}

/// Ends the other thread, also if this one panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A thread writes over headers while operations go on. Every block is a multiple of 64 bytes long, so that headers come to
/// lie only at multiples of 64, live ones and free ones; there, and nowhere else, it writes, whatever lies there.
#[test]
fn a_thread_that_scribbles_over_headers_changes_no_answer() {
    const SIZE: usize = 16 << 10;
    let operations = Level::from_environment().of(60_000, 3_000_000, 300_000_000);
    let watch = Watch::over("scribbler");
    let seed = replayed().unwrap_or_else(|| fastrand::u64(..1 << 32));
    let (carved, edge, placement) = (false, Edge::Low, Placement::NextFit);
    let mut lab = Lab::new(Case { size: SIZE, config: Config::new(64), placement, carved, edge });
    let (stop, writes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let base = lab.memory().bytes_mut().as_mut_ptr().expose_provenance();
    let mut refused = 0u64;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut rng = Rng::with_seed(!seed);
            while !stop.load(Ordering::Relaxed) {
                let word = base + rng.usize(..SIZE / 64) * 64 + rng.usize(..2) * 8;
                let word = std::ptr::with_exposed_provenance_mut::<u64>(word);
                // SAFETY: the word lies in the lab's region, which outlives this thread, and is aligned. That another
                // thread may be writing there is the very thing that is tried; volatile, so that no compiler knows.
                unsafe { word.write_volatile(rng.u64(..)) };
                if writes.fetch_add(1, Ordering::Relaxed) % 64 == 0 {
                    // On a single processor too the two take turns.
                    thread::yield_now();
                }
            }
        });
        let _stop = SetOnDrop(&stop);
        let mut rng = Rng::with_seed(seed);
        let mut live: Vec<usize> = Vec::new();
        for nth in 0..operations {
            if nth % 64 == 0 {
                watch.case(seed);
                thread::yield_now();
            }
            scribbled_step(&mut lab, &mut rng, &mut live, &mut refused);
        }
    });
    // Nobody writes any more: everything is put right and everything is compared.
    lab.note();
    lab.repair().unwrap();
    lab.compare_places().unwrap();
    assert_eq!(lab.heap().stats().ok(), Some(lab.model.stats()));
    let writes = writes.into_inner();
    figure::say(
        "corruption: a thread that scribbles over headers",
        format_args!(
            "{} operations during {} writes, {} frees refused, no deviation",
            Grouped(operations),
            Grouped(writes as u64),
            Grouped(refused)
        ),
    );
    assert!(refused > 0 && writes > 0, "nothing was hit: {writes} writes");
    for (address, _) in lab.objects() {
        assert_eq!(raw_free(lab.heap(), address), Ok(()));
    }
    assert_eq!(lab.heap().stats().map(|stats| (stats.blocks.free_blocks, stats.blocks.live_objects)), Ok((1, 0)));
}

/// One operation: its answer is the model's, but that a live block may be refused, which the model is then told.
fn scribbled_step(lab: &mut Lab, rng: &mut Rng, live: &mut Vec<usize>, refused: &mut u64) {
    if live.is_empty() || rng.u32(..100) < 52 {
        let size = if rng.bool() { 64 } else { 48 + 64 * rng.usize(..8) };
        // A spilled slot would be a block of 80 bytes, and headers would lie elsewhere.
        let slots_are_full = lab.model.stats().slab.free_blocks == 0;
        let size = if size == 64 && slots_are_full { 48 } else { size };
        let served = raw_alloc(lab.heap(), size, GRANULE);
        assert_eq!(served, lab.model.alloc(size, GRANULE), "alloc {size}");
        live.extend(served);
    } else {
        let nth = rng.usize(..live.len());
        let address = live[nth];
        let freed = raw_free(lab.heap(), address);
        match freed {
            Err(InvalidFree { reason: Reason::HeaderOverwritten, .. }) => {
                lab.model.overwritten.insert(address - GRANULE);
                *refused += 1;
            }
            _ => drop(lab.model.overwritten.remove(&address.wrapping_sub(GRANULE))),
        }
        assert_eq!(freed, lab.model.free(address), "free {address:#x}");
        if freed.is_ok() {
            live.swap_remove(nth);
        } else if rng.u32(..8) == 0 && lab.heap().repair().is_ok() {
            lab.model.overwritten.clear();
        }
    }
    lab.compare_places().unwrap();
}
