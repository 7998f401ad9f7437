//! A thread that allocates, keeps and passes on, resizes and frees objects, and knows what must be in each.

use std::alloc::Layout;
use std::ptr::without_provenance_mut;
use std::sync::mpsc::{Receiver, Sender};
use std::{slice, thread};

use fastrand::Rng;
use slabfit::{Cache, GRANULE, InvalidFree, RawLock, Reason};

use super::CachedHeap;

/// Operations of a thread.
pub const OPERATIONS: usize = 30_000;

/// The heap, and a cache where the thread could get one.
pub struct Gate<'h, L: RawLock> {
    pub heap: &'h CachedHeap<L>,
    pub cache: Option<Cache<'h, 'static, L>>,
}

impl<'h, L: RawLock> Gate<'h, L> {
    pub fn with_cache(heap: &'h CachedHeap<L>) -> Self {
        Self { heap, cache: heap.cache().ok() }
    }

    pub fn alloc(&self, size: usize, align: usize) -> Option<*mut u8> {
        let layout = Layout::from_size_align(size, align).expect("a legal layout");
        let served = match &self.cache {
            Some(cache) => cache.alloc_layout(layout),
            None => self.heap.alloc_layout(layout),
        };
        served.ok().map(|object| object.as_ptr())
    }

    /// Frees an object that nobody uses any more, or what is none.
    pub fn free(&self, pointer: *mut u8) -> Result<(), InvalidFree> {
        match &self.cache {
            // SAFETY: as the caller says.
            Some(cache) => unsafe { cache.free(pointer) },
            // SAFETY: as above.
            None => unsafe { self.heap.free(pointer) },
        }
    }

    /// Resizes an object that nobody else uses.
    pub fn realloc(&self, pointer: *mut u8, size: usize) -> Option<*mut u8> {
        let moved = match &self.cache {
            // SAFETY: as the caller says.
            Some(cache) => unsafe { cache.realloc(pointer, size) },
            // SAFETY: as above.
            None => unsafe { self.heap.realloc(pointer, size) },
        };
        moved.ok().map(|object| object.as_ptr())
    }
}

/// An object, all of whose usable words hold its stamp. No two objects of a test have the same.
#[derive(Debug)]
pub struct Object {
    pub address: usize,
    pub usable: usize,
    pub stamp: u64,
}

impl Object {
    pub fn stamped<L: RawLock>(heap: &CachedHeap<L>, pointer: *mut u8, stamp: u64) -> Self {
        let usable = heap.usable_size(pointer).expect("just handed out");
        let object = Self { address: pointer.expose_provenance(), usable, stamp };
        // SAFETY: the object's usable words, aligned; it is this thread's, and the arena has initialised all memory.
        let words = unsafe { slice::from_raw_parts_mut(pointer.cast::<u64>(), usable / 8) };
        for (word, nth) in words.iter_mut().zip(0..) {
            *word = stamp ^ nth;
        }
        object
    }

    pub fn pointer(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.address)
    }

    /// Reads the first words back.
    pub fn verify(&self, bytes: usize) {
        // SAFETY: some of the object's usable words, aligned and written to; it is this thread's.
        let words = unsafe { slice::from_raw_parts(self.pointer().cast::<u64>(), bytes / 8) };
        for (&word, nth) in words.iter().zip(0..) {
            assert_eq!(word, self.stamp ^ nth, "{self:x?} was overwritten");
        }
    }

    pub fn free<L: RawLock>(self, gate: &Gate<'_, L>) {
        self.verify(self.usable);
        assert_eq!(gate.free(self.pointer()), Ok(()), "{self:x?}");
    }
}

/// What one thread does: it allocates, keeps and passes on, resizes, frees what it kept and what it was passed.
pub struct Player<'h, L: RawLock> {
    pub gate: Gate<'h, L>,
    pub rng: Rng,
    pub kept: Vec<Object>,
    pub stamps: u64,
    pub served: usize,
}

impl<'h, L: RawLock> Player<'h, L> {
    pub fn new(heap: &'h CachedHeap<L>, seed: u64, nth: usize) -> Self {
        let gate = Gate::with_cache(heap);
        Self { gate, rng: Rng::with_seed(seed + nth as u64), kept: Vec::new(), stamps: (nth as u64) << 40, served: 0 }
    }

    pub fn alloc(&mut self) -> Option<Object> {
        let rng = &mut self.rng;
        let size = match rng.u32(..16) {
            0..10 => rng.usize(1..=128),
            10..15 => rng.usize(1..=512),
            _ => rng.usize(500..3000),
        };
        let align = if rng.u32(..8) == 0 { 1 << rng.u32(..8) } else { GRANULE };
        let pointer = self.gate.alloc(size, align)?;
        assert_eq!(pointer.addr() % align, 0);
        Some(self.own(pointer))
    }

    pub fn own(&mut self, pointer: *mut u8) -> Object {
        self.stamps += 1 << 8;
        self.served += 1;
        Object::stamped(self.gate.heap, pointer, self.stamps)
    }

    /// Frees something else than an object in an object of this thread's.
    pub fn free_wrongly(&self, object: &Object) {
        for (by, reason) in [(1, Reason::Misaligned), (8, Reason::Misaligned), (16, Reason::NotAStart)] {
            if by < object.usable {
                let freed = self.gate.free(without_provenance_mut(object.address + by));
                assert_eq!(freed.map_err(|wrong| wrong.reason), Err(reason), "{object:x?} + {by}");
            }
        }
    }

    pub fn resize(&mut self, object: Object) -> Object {
        object.verify(object.usable);
        let size = self.rng.usize(1..700);
        let Some(moved) = self.gate.realloc(object.pointer(), size) else { return object };
        let old = Object { address: moved.expose_provenance(), ..object };
        old.verify(old.usable.min(size));
        self.own(moved)
    }

    pub fn take_kept(&mut self) -> Option<Object> {
        let nth = self.rng.usize(..self.kept.len().max(1));
        (nth < self.kept.len()).then(|| self.kept.swap_remove(nth))
    }

    /// One operation. What is passed on goes to any of `others`.
    pub fn step(&mut self, inbox: &Receiver<Object>, others: &[Sender<Object>]) {
        match self.rng.u32(..100) {
            0..46 => match self.alloc() {
                Some(object) if self.rng.bool() => self.kept.push(object),
                Some(object) => {
                    let other = &others[self.rng.usize(..others.len())];
                    other.send(object).expect("every thread reads its inbox to the end");
                }
                None => self.give_up(inbox),
            },
            46..66 => {
                if let Some(object) = self.take_kept() {
                    object.free(&self.gate);
                }
            }
            66..76 => {
                if let Some(object) = self.take_kept() {
                    let object = self.resize(object);
                    self.kept.push(object);
                }
            }
            76..80 => {
                if let Some(object) = self.kept.last() {
                    self.free_wrongly(object);
                }
            }
            80..82 => {
                // Past the cache.
                if let Some(object) = self.take_kept() {
                    object.free(&Gate { heap: self.gate.heap, cache: None });
                }
            }
            82 if self.rng.u32(..20) == 0 => {
                // Another may have taken the place before.
                self.gate.cache = None;
                self.gate.cache = self.gate.heap.cache().ok();
            }
            83 if self.rng.u32(..20) == 0 => {
                let emptied = self.gate.cache.as_ref().map_or(Ok(()), Cache::empty);
                assert_eq!(emptied, Ok(()));
            }
            _ => inbox.try_iter().take(3).for_each(|object| object.free(&self.gate)),
        }
    }

    /// Frees something, as there is no memory.
    pub fn give_up(&mut self, inbox: &Receiver<Object>) {
        match inbox.try_recv().ok().or_else(|| self.take_kept()) {
            Some(object) => object.free(&self.gate),
            None => thread::yield_now(),
        }
    }

    pub fn play(mut self, inbox: &Receiver<Object>, others: Vec<Sender<Object>>) -> usize {
        for _ in 0..OPERATIONS {
            self.step(inbox, &others);
        }
        drop(others);
        for object in self.kept.drain(..) {
            object.free(&self.gate);
        }
        inbox.iter().for_each(|object| object.free(&self.gate));
        self.served
    }
}
