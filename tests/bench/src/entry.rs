//! The list of all subjects, each with its own compiled copy of the drivers.

use crate::drive::{self, Lap, Timing};
use crate::gaps;
use crate::lock::ParkingLock;
use crate::ops::Stream;
use crate::subject::{FirstUse, Kind, Setup, Subject};
use crate::subjects::Arena;
use crate::subjects::floor::{Empty, LockPair, NodeList};
use crate::subjects::no_std::{Buddy, Dlmalloc, Good, LinkedList, Pico, Rlsf, Talc};
use crate::subjects::ours::{Cached, Slabfit};
use crate::subjects::system::{Glibc, Jemalloc, Mimalloc, Rpmalloc, Scudo, Snmalloc};
use crate::subjects::textbook::Textbook;
use crate::threads;
use slabfit::{FirstFit, General, NextFit, RawLock, SpinLock};

/// A subject without its type. The drivers are reached through one indirect call a repetition; inside, all is static.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The column's title.
    pub name: &'static str,
    /// Its place in the comparison.
    pub kind: Kind,
    /// See [`Subject::IN_ONE_PIECE`].
    pub in_one_piece: bool,
    /// See [`Subject::FIRST_USE`].
    pub first_use: Option<FirstUse>,
    /// See [`drive::lap`].
    pub lap: fn(&Setup<'_>, &Stream) -> Lap,
    /// See [`drive::latencies`].
    pub latencies: fn(&Setup<'_>, &Stream, &mut [Timing]),
    /// See [`drive::first_failure`].
    pub first_failure: fn(&Setup<'_>, &Stream) -> Option<usize>,
    /// See [`drive::hold`].
    pub hold: fn(&Setup<'_>, &Stream, &mut dyn FnMut()),
    /// See [`drive::verify`].
    pub verify: fn(&Setup<'_>, &Stream) -> Result<u64, String>,
    /// See [`gaps::pairs`].
    pub gaps: fn(&Setup<'_>, gaps::Scene, usize) -> gaps::Ticks,
    /// See [`threads::crowd`].
    pub crowd: fn(&Setup<'_>, &[Stream]) -> u64,
    /// See [`threads::ring`].
    pub ring: fn(&Setup<'_>, usize, usize) -> u64,
    /// See [`threads::sessions`].
    pub sessions: fn(&Setup<'_>, usize, usize) -> u64,
}

impl Entry {
    /// Whether its operations walk a list of all gaps, which takes thousands of times as long where there are many.
    pub fn walks(&self) -> bool {
        ["textbook next fit", "linked_list_allocator"].contains(&self.name)
    }

    fn of<S: Subject>() -> Self {
        Self {
            name: S::NAME,
            kind: S::KIND,
            in_one_piece: S::IN_ONE_PIECE,
            first_use: S::FIRST_USE,
            lap: drive::lap::<S>,
            latencies: drive::latencies::<S>,
            first_failure: drive::first_failure::<S>,
            hold: drive::hold::<S>,
            verify: drive::verify::<S>,
            gaps: gaps::pairs::<S>,
            crowd: threads::crowd::<S>,
            ring: threads::ring::<S>,
            sessions: threads::sessions::<S>,
        }
    }
}

/// The columns of slabfit, then the peers that manage a region, all under lock `L`.
fn bounded<L: RawLock + Send + Sync + 'static>() -> Vec<Entry> {
    let mut entries = vec![
        Entry::of::<Slabfit<L, NextFit>>(),
        Entry::of::<Slabfit<L, FirstFit>>(),
        Entry::of::<Slabfit<L, General>>(),
    ];
    entries.extend(peers::<L>());
    entries
}

fn peers<L: RawLock + Send + Sync + 'static>() -> [Entry; 8] {
    [
        Entry::of::<Arena<L, Talc>>(),
        Entry::of::<Arena<L, Rlsf>>(),
        Entry::of::<Arena<L, Dlmalloc>>(),
        Entry::of::<Arena<L, Pico>>(),
        Entry::of::<Arena<L, Good>>(),
        Entry::of::<Arena<L, Buddy>>(),
        Entry::of::<Arena<L, LinkedList>>(),
        Entry::of::<Arena<L, Textbook>>(),
    ]
}

/// The allocators of hosted programs. All of them build from their crates' sources, with cc and c++.
fn systems() -> [Entry; 6] {
    [
        Entry::of::<Glibc>(),
        Entry::of::<Mimalloc>(),
        Entry::of::<Jemalloc>(),
        Entry::of::<Snmalloc>(),
        Entry::of::<Rpmalloc>(),
        Entry::of::<Scudo>(),
    ]
}

/// Every subject, under the spin lock where it needs one. The empty one comes first.
pub fn all() -> Vec<Entry> {
    let mut entries =
        vec![Entry::of::<Empty>(), Entry::of::<LockPair<SpinLock>>(), Entry::of::<Arena<SpinLock, NodeList>>()];
    entries.push(Entry::of::<Cached>());
    entries.extend(bounded::<SpinLock>());
    entries.extend(systems());
    entries
}

/// The subjects of the threads row, each with its lock's name.
pub fn by_lock() -> Vec<(&'static str, Entry)> {
    let with = |lock, entries: Vec<Entry>| entries.into_iter().map(move |entry| (lock, entry));
    with("SpinLock", bounded::<SpinLock>())
        .chain(with("SpinLock", vec![Entry::of::<Cached>()]))
        .chain(with("FutexLock", bounded::<slabfit_linux::FutexLock>()))
        .chain(with("parking_lot", peers::<ParkingLock>().into()))
        .chain(with("its own", systems().into()))
        .collect()
}
