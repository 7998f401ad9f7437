//! Random programs: operations on a [`Pair`], chosen by a seed or by a property test, that never look at what they
//! will meet. The same operation frees an object in one heap and nothing in another.

use std::ops::RangeInclusive;

use fastrand::Rng;
use slabfit::{Config, GRANULE, RawLock, SpinLock, Stats};

use crate::arena::{ALIGNED, Bookkeeping, Setup, bookkeeping_for};
use crate::model::{By, Placement};
use crate::pair::{Agreed, Disagreement, Object, Pair};

/// Objects that one operation allocates at most. The model's time grows with the square of it.
const MOST_AT_ONCE: usize = 2_000;

/// Bytes of a request.
#[derive(Clone, Copy, Debug)]
pub enum Size {
    /// So many.
    Bytes(usize),
    /// The heap's slab size.
    Slab,
    /// So many 65,536ths of the heap.
    Share(u16),
    /// So many fewer than could be addressed.
    Huge(usize),
}

/// One operation. An object is named by any number, which is taken modulo the count of live objects; with no live
/// object the operation does nothing.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names of the fields say it")]
pub enum Op {
    Alloc {
        size: Size,
        align: usize,
    },
    AllocZeroed {
        size: Size,
    },
    Free {
        object: usize,
    },
    /// Frees an object with the layout that it was asked for with, but for so many bytes and so many powers of two.
    FreeSized {
        object: usize,
        more: isize,
        shift: u32,
    },
    Realloc {
        object: usize,
        size: Size,
        align: usize,
    },
    /// Resizes an object as one that was asked for with so many bytes more.
    ReallocSized {
        object: usize,
        more: isize,
        size: Size,
    },
    /// Allocates until nothing of that size is left, or `MOST_AT_ONCE` of them.
    FillUp {
        size: Size,
    },
    /// Frees every so many-th object.
    FreeEvery {
        nth: usize,
    },
    /// Frees the address so many bytes from the heap's first byte.
    FreeAt {
        offset: isize,
    },
    /// Frees the address so many bytes from an object's first byte.
    FreeNear {
        object: usize,
        offset: isize,
    },
    /// Frees again what was given up.
    FreeStale {
        nth: usize,
    },
    /// Frees any number.
    FreeAnything {
        address: usize,
    },
    /// Resizes what may be no object at all.
    ReallocAt {
        offset: isize,
        size: Size,
    },
    Forge {
        object: usize,
        granules: usize,
    },
    /// Overwrites one byte of a header, live or free.
    Overwrite {
        header: usize,
        at: usize,
        byte: u8,
    },
    Scribble {
        seed: u64,
    },
    Repair,
    EmptyMagazines,
    AttachCache,
    /// Drops an attached cache, named by any number as an object is; without one it does nothing.
    DropCache {
        cache: usize,
    },
    /// Takes back what lies in all caches but one, named by any number as an object is.
    RecoverCaches {
        kept: usize,
    },
    /// Asks an attached cache, where there is one, for what the operation asks the heap for.
    By {
        cache: usize,
        op: Box<Op>,
    },
    /// Extends the heap by so many bytes.
    Extend {
        bytes: usize,
    },
}

impl Op {
    /// Runs the operation on heap and model.
    ///
    /// # Errors
    /// What they disagree on.
    pub fn run<L: RawLock + 'static>(&self, pair: &mut Pair<L>) -> Agreed<()> {
        match *self {
            Self::AttachCache => pair.attach().map(|_| ()),
            Self::DropCache { cache } => {
                if let By::Cache(number) = pair.any_cache(cache) {
                    pair.detach(number);
                }
                Ok(())
            }
            Self::RecoverCaches { kept } => match pair.any_cache(kept) {
                By::Cache(number) if kept % 4 > 0 => pair.recover(Some(number)),
                _ => pair.recover(None),
            },
            Self::By { cache, ref op } => op.run_by(pair.any_cache(cache), pair),
            _ => self.run_by(By::Heap, pair),
        }
    }

    /// Runs an operation of the heap or of a cache.
    fn run_by<L: RawLock + 'static>(&self, by: By, pair: &mut Pair<L>) -> Agreed<()> {
        match *self {
            Self::Alloc { size, align } => pair.alloc_by(by, size.bytes(pair), align).map(|_| ()),
            Self::AllocZeroed { size } => pair.alloc_zeroed_by(by, size.bytes(pair)).map(|_| ()),
            Self::FillUp { size } => {
                let size = size.bytes(pair);
                for _ in 0..MOST_AT_ONCE {
                    if pair.alloc_by(by, size, GRANULE)?.is_err() {
                        break;
                    }
                }
                Ok(())
            }
            Self::FreeEvery { nth } => {
                let objects = pair.objects().to_vec();
                objects.iter().step_by(nth.max(1)).try_for_each(|object| pair.free_by(by, object.address).map(|_| ()))
            }
            Self::FreeAt { offset } => pair.free_by(by, base(pair).wrapping_add_signed(offset)).map(|_| ()),
            Self::FreeAnything { address } => pair.free_by(by, address).map(|_| ()),
            Self::FreeStale { nth } => match pair.stale().get(nth % pair.stale().len().max(1)) {
                Some(&address) => pair.free_by(by, address).map(|_| ()),
                None => Ok(()),
            },
            Self::ReallocAt { offset, size } => {
                let address = base(pair).wrapping_add_signed(offset);
                pair.realloc_by(by, address, size.bytes(pair), GRANULE).map(|_| ())
            }
            Self::Overwrite { header, at, byte } => {
                let headers = pair.model().headers();
                if !headers.is_empty() {
                    pair.overwrite(headers[header % headers.len()], at % GRANULE, byte);
                }
                Ok(())
            }
            Self::Scribble { seed } => {
                pair.scribble(seed);
                Ok(())
            }
            Self::Repair => pair.repair(),
            Self::EmptyMagazines => pair.empty_by(by),
            Self::AttachCache | Self::DropCache { .. } | Self::RecoverCaches { .. } | Self::By { .. } => self.run(pair),
            Self::Extend { bytes } => pair.extend(bytes),
            Self::Free { object }
            | Self::FreeSized { object, .. }
            | Self::FreeNear { object, .. }
            | Self::ReallocSized { object, .. }
            | Self::Realloc { object, .. }
            | Self::Forge { object, .. } => match pair.objects().get(object % pair.objects().len().max(1)) {
                Some(&object) => self.run_on(object, by, pair),
                None => Ok(()),
            },
        }
    }

    /// Runs an operation that needs an object.
    fn run_on<L: RawLock + 'static>(&self, object: Object, by: By, pair: &mut Pair<L>) -> Agreed<()> {
        match *self {
            Self::FreeNear { offset, .. } => pair.free_by(by, object.address.wrapping_add_signed(offset)).map(|_| ()),
            Self::FreeSized { more, shift, .. } => {
                let (size, align) = object.asked;
                pair.free_sized_by(by, object.address, size.wrapping_add_signed(more), align << shift).map(|_| ())
            }
            Self::ReallocSized { more, size, .. } => {
                let old_size = object.asked.0.wrapping_add_signed(more);
                pair.realloc_sized_by(by, object.address, old_size, size.bytes(pair)).map(|_| ())
            }
            Self::Realloc { size, align, .. } => {
                pair.realloc_by(by, object.address, size.bytes(pair), align).map(|_| ())
            }
            Self::Forge { granules, .. } => pair.forge(object, granules % (object.usable / GRANULE)),
            _ => pair.free_by(by, object.address).map(|_| ()),
        }
    }

    /// One operation of a program that allocates in so many of a hundred cases, and mostly frees in the others.
    pub fn random(rng: &mut Rng, heap_size: usize, growing: u32) -> Self {
        let cache = rng.usize(..64);
        match rng.u32(..400) {
            0..6 => Self::AttachCache,
            6..10 => Self::DropCache { cache },
            10 => Self::RecoverCaches { kept: cache },
            11..140 => Self::random_by_heap(rng, heap_size, growing),
            _ => Self::By { cache, op: Box::new(Self::random_by_heap(rng, heap_size, growing)) },
        }
    }

    /// One that asks the heap.
    fn random_by_heap(rng: &mut Rng, heap_size: usize, growing: u32) -> Self {
        let object = rng.usize(..);
        let near = isize::try_from(heap_size).unwrap_or(isize::MAX) + 64;
        match rng.u32(..1000) {
            0..30 => Self::FreeNear { object, offset: rng.isize(-64..128) },
            30..45 => Self::FreeAt { offset: rng.isize(-64..near) },
            45..60 => Self::FreeAt { offset: rng.isize(-4..near / 16) * 16 },
            60..75 => Self::FreeStale { nth: rng.usize(..64) },
            75..80 => Self::FreeAnything { address: rng.usize(..) },
            80..85 => Self::ReallocAt { offset: rng.isize(-64..near), size: Size::random(rng) },
            85..90 => Self::Forge { object, granules: rng.usize(..64) },
            90..93 => Self::Overwrite { header: object, at: rng.usize(..16), byte: rng.u8(..) },
            93 => Self::random_upheaval(rng),
            94..97 => Self::Repair,
            97 if rng.bool() => Self::EmptyMagazines,
            97 => {
                let most = 1 << rng.u32(5..14);
                Self::Extend { bytes: rng.usize(..most) }
            }
            98..125 => Self::ReallocSized { object, more: more(rng), size: Size::random(rng) },
            125..200 => Self::Realloc { object, size: Size::random(rng), align: align(rng) },
            200..220 => Self::AllocZeroed { size: Size::random(rng) },
            _ if rng.u32(..100) < growing => Self::Alloc { size: Size::random(rng), align: align(rng) },
            _ if rng.bool() => Self::Free { object },
            _ => Self::FreeSized { object, more: more(rng), shift: if rng.u32(..8) == 0 { rng.u32(1..6) } else { 0 } },
        }
    }

    /// One of the operations that change the whole heap.
    fn random_upheaval(rng: &mut Rng) -> Self {
        match rng.u32(..4) {
            0 => Self::FillUp { size: Size::Share(rng.u16(32..2048)) },
            1 => Self::FillUp { size: Size::Slab },
            2 => Self::FreeEvery { nth: rng.usize(1..5) },
            _ => Self::Scribble { seed: rng.u64(..) },
        }
    }
}

impl Size {
    fn bytes<L: RawLock + 'static>(self, pair: &Pair<L>) -> usize {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Slab => pair.setup().config.slab_size,
            // In 64 bits: the product does not fit 32.
            Self::Share(share) => ((pair.heap().size() as u64 * u64::from(share)) >> 16) as usize,
            Self::Huge(fewer) => usize::MAX - fewer,
        }
    }

    fn random(rng: &mut Rng) -> Self {
        match rng.u32(..100) {
            0..25 => Self::Slab,
            25..60 => Self::Bytes(rng.usize(..100)),
            60..92 => Self::Bytes(rng.usize(..600)),
            92..99 => Self::Share(rng.u16(..8192)),
            _ if rng.bool() => Self::Share(rng.u16(..)),
            _ => Self::Huge(rng.usize(..64)),
        }
    }
}

impl Setup {
    /// Any legal heap whose region has so many bytes, small ones as often as large ones.
    pub fn random(rng: &mut Rng, sizes: RangeInclusive<usize>) -> Self {
        let doublings = (sizes.end() / sizes.start()).ilog2();
        let smallest = sizes.start() << rng.u32(..=doublings);
        let size = rng.usize(smallest..=*sizes.end().min(&(smallest * 2)));
        let offset = rng.usize(..ALIGNED / GRANULE) * GRANULE;
        // A region that starts inside a granule loses what is left of that one.
        let crooked = if rng.u32(..4) == 0 { rng.usize(1..GRANULE) } else { 0 };
        let any_slab_size = [1 << rng.u32(..7), rng.usize(1..=64), rng.usize(1..=4096)];
        let config = any_share(Config::new(any_slab_size[rng.usize(..3)]), size, rng);
        let (placement, config) = any_placement(config, rng);
        let (size, config) = any_reserve(size, config, placement, rng);
        Self {
            size: size + crooked,
            offset: offset + (GRANULE - crooked) % GRANULE,
            config,
            placement,
            bookkeeping: match rng.u32(..3) {
                0 => Bookkeeping::Carved,
                1 => Bookkeeping::Separate(rng.usize(..64)),
                _ => Bookkeeping::Zeroed,
            },
        }
    }
}

/// Any policy, with its usual configuration or this one: under `General` a heap has a slab only when it is asked for.
pub fn any_placement(config: Config, rng: &mut Rng) -> (Placement, Config) {
    match rng.u32(..6) {
        0..2 => (Placement::NextFit, config),
        2..4 => (Placement::FirstFit, config),
        4 => (Placement::General, config.caches(rng.usize(..4))),
        _ => (Placement::General, Config::without_slab().caches(rng.usize(..6))),
    }
}

/// No reserve, or one of up to four times the region, which must hold the bookkeeping for it too.
fn any_reserve(size: usize, config: Config, placement: Placement, rng: &mut Rng) -> (usize, Config) {
    if rng.bool() {
        return (size, config);
    }
    let most = size << rng.u32(..3);
    let config = config.reserve(rng.usize(..most));
    let without = Config { reserve: 0, ..config };
    let more = bookkeeping_for(size, config, placement) - bookkeeping_for(size, without, placement);
    (size + more.next_multiple_of(GRANULE), config)
}

/// The slab's usual share of a heap of `size` bytes, or any other, or none.
pub fn any_share(config: Config, size: usize, rng: &mut Rng) -> Config {
    match rng.u32(..6) {
        0..3 => config,
        3 => config.slab_bytes(0),
        4 => config.slab_bytes(rng.usize(..=size)),
        _ if rng.bool() => Config::without_slab(),
        _ => config.slab_bytes(usize::MAX),
    }
}

/// Runs the random program of this seed: heaps that fill and empty by turns, until `ops` operations are done. The
/// answer and the rover are compared after every operation, all the rest from time to time and at the end. Answers with
/// the heap's figures.
///
/// # Errors
/// What heap and model disagree on.
pub fn drive(seed: u64, ops: usize, sizes: RangeInclusive<usize>) -> Agreed<Stats> {
    drive_with_lock::<SpinLock>(seed, ops, sizes)
}

/// The same program on a heap under the lock `L`.
///
/// # Errors
/// What heap and model disagree on.
pub fn drive_with_lock<L: RawLock + 'static>(seed: u64, ops: usize, sizes: RangeInclusive<usize>) -> Agreed<Stats> {
    let mut rng = Rng::with_seed(seed);
    let setup = Setup::random(&mut rng, sizes);
    let mut pair = Pair::<L>::with_lock(setup).expect("every region of MIN_REGION bytes makes a heap");
    let mut growing = 60;
    for done in 1..=ops {
        Op::random(&mut rng, setup.size, growing).run(&mut pair)?;
        pair.compare_rover()?;
        if done % 512 == 0 {
            pair.compare()?;
            growing = [40, 50, 60, 90][rng.usize(..4)];
        }
    }
    finish(&mut pair, &mut rng)?;
    Ok(pair.model().stats())
}

/// Runs a program on a fresh heap under the lock `L`, compares everything after every operation, and frees all objects at the end.
///
/// # Errors
/// What heap and model disagree on; a setup that makes no heap is part of that.
pub fn run<L: RawLock + 'static>(setup: Setup, program: &[Op]) -> Agreed<()> {
    let mut pair = Pair::<L>::with_lock(setup).map_err(|error| Disagreement::on_setup(&setup, error))?;
    for op in program {
        op.run(&mut pair)?;
        pair.compare()?;
    }
    finish(&mut pair, &mut Rng::with_seed(0))
}

/// Frees every object in random order and by anybody, and drops the caches in the middle of it, which must leave one free block and
/// what the magazines hold.
///
/// # Errors
/// What heap and model disagree on.
pub fn finish<L: RawLock + 'static>(pair: &mut Pair<L>, rng: &mut Rng) -> Agreed<()> {
    pair.compare()?;
    pair.repair()?;
    let mut objects = pair.objects().to_vec();
    rng.shuffle(&mut objects);
    let (first, second) = objects.split_at(objects.len() / 2);
    for object in first {
        let by = if rng.bool() { By::Heap } else { pair.any_cache(rng.usize(..64)) };
        pair.free_by(by, object.address).map(|_| ())?;
    }
    pair.compare()?;
    pair.model().attached().into_iter().for_each(|cache| pair.detach(cache));
    pair.compare()?;
    second.iter().try_for_each(|object| pair.free(object.address).map(|_| ()))?;
    pair.compare()?;
    pair.expect_empty()
}

fn base<L: RawLock + 'static>(pair: &Pair<L>) -> usize {
    pair.heap().base().map_or(0, |base| base.addr().get())
}

/// 0 three times in four, else how far a size is from the one that was asked for.
fn more(rng: &mut Rng) -> isize {
    match rng.u32(..8) {
        0..6 => 0,
        6 => rng.isize(-40..=40),
        _ => rng.isize(-600..=600),
    }
}

/// 16 four times in five, else any power of two up to 8 KiB.
fn align(rng: &mut Rng) -> usize {
    if rng.u32(..5) > 0 { GRANULE } else { 1 << rng.u32(..14) }
}
