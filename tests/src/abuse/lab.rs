//! A heap in fenced memory with the reference model beside it, that can be put back to an earlier state in nanoseconds:
//! its memory, its bookkeeping and the heap itself are copied back byte by byte.
//!
//! Every live payload has a shadow: what was written into it, by its owner or by the abuse. A heap that writes into a
//! payload, or moves one wrongly, is found out by it.

mod compare;
mod random;
mod raw;

use std::alloc::Layout;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::ops::Range;

pub use compare::{Agreed, Deviation};
pub use random::{random_align, random_size};
use raw::raw_usable;
pub use raw::{raw_alloc, raw_free, raw_realloc};
use slabfit::{AllocError, Block, CacheError, GRANULE, InvalidFree, Kind, ReallocError, State};

use crate::abuse::fenced::{Case, Fenced};
use crate::any_heap::AnyHeap;
use crate::cached::{CachedHeap, Saved};
use crate::model::{By, Model};

/// Steps that a deviation tells of.
const REMEMBERED: usize = 24;

/// One thing that was done, for a deviation to tell of.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "read by Debug, when a deviation is told")]
enum Step {
    Alloc { by: By, size: usize, align: usize },
    Free { by: By, address: usize },
    Realloc { by: By, address: usize, size: usize, align: usize },
    Write { address: usize, len: usize },
    Repair,
    Empty { by: By },
    Attach,
    Detach { cache: usize },
    Recover { kept: Option<usize> },
}

/// Heap, model, memory and shadow.
pub struct Lab {
    heap: CachedHeap,
    /// What the heap must be.
    pub model: Model,
    case: Case,
    shadow: Vec<u8>,
    /// Headers that were written over and that the heap need not have rewritten since.
    hit: Vec<usize>,
    /// The part of the region that is put back by `restore`.
    window: Range<usize>,
    recent: VecDeque<Step>,
    tag: u8,
    // Below the heap, so that it is dropped after it.
    memory: Fenced,
}

/// A state of a lab.
pub struct Snapshot {
    heap: Saved,
    model: Model,
    region: Vec<u8>,
    bookkeeping: Vec<u8>,
    shadow: Vec<u8>,
    hit: Vec<usize>,
    tag: u8,
}

impl Lab {
    /// A fresh heap.
    ///
    /// # Panics
    /// If the case is no heap.
    pub fn new(case: Case) -> Self {
        let memory = case.memory();
        // SAFETY: this is the memory's only heap; both stay in the lab, which drops the heap first and has one thread.
        let pieces = unsafe { memory.memory() };
        let heap = AnyHeap::from_memory(pieces, case.config, case.placement).expect("a legal heap");
        let base = heap.base().expect("initialised").addr().get();
        let model = Model::new(base, heap.size(), case.config, case.placement);
        let shadow = memory.bytes().to_vec();
        let window = 0..shadow.len();
        let (heap, hit, recent) = (CachedHeap::new(heap), Vec::new(), VecDeque::new());
        Self { heap, model, case, shadow, hit, window, recent, tag: 0, memory }
    }

    /// The heap.
    pub fn heap(&self) -> &CachedHeap {
        &self.heap
    }

    /// What it was made of.
    pub fn case(&self) -> Case {
        self.case
    }

    /// Address of the heap's first byte.
    pub fn base(&self) -> usize {
        self.heap.base().map_or(0, |base| base.addr().get())
    }

    /// The memory.
    pub fn memory(&mut self) -> &mut Fenced {
        &mut self.memory
    }

    /// From now on only the bytes from this address on are saved and put back: nobody touches those before it.
    pub fn narrow(&mut self, from: usize) {
        self.window = from - self.memory.base()..self.shadow.len();
    }

    /// The state as it is.
    pub fn save(&self) -> Snapshot {
        Snapshot {
            heap: self.heap.save(),
            model: self.model.clone(),
            region: self.memory.bytes()[self.window.clone()].to_vec(),
            bookkeeping: self.memory.bookkeeping().to_vec(),
            shadow: self.shadow[self.window.clone()].to_vec(),
            hit: self.hit.clone(),
            tag: self.tag,
        }
    }

    /// Back to a state of this lab.
    pub fn restore(&mut self, saved: &Snapshot) {
        self.restore_heap(saved);
        self.model.clone_from(&saved.model);
        self.shadow[self.window.clone()].copy_from_slice(&saved.shadow);
        self.hit.clone_from(&saved.hit);
        self.recent.clear();
        self.tag = saved.tag;
    }

    /// Back to a state, without the model: for those who know what it would answer.
    pub fn restore_heap(&mut self, saved: &Snapshot) {
        // SAFETY: saved from this very heap between two calls, with both locks open; the memory gets its bytes of then below.
        unsafe { self.heap.restore(&saved.heap) };
        self.memory.bytes_mut()[self.window.clone()].copy_from_slice(&saved.region);
        self.memory.bookkeeping_mut().copy_from_slice(&saved.bookkeeping);
    }

    /// The live objects: address and usable bytes.
    pub fn objects(&self) -> Vec<(usize, usize)> {
        self.model.blocks().filter(|block| block.state == State::Used).map(payload_of).collect()
    }

    /// Requests memory and fills what it gets.
    ///
    /// # Errors
    /// A deviation; the inner result is what both say.
    pub fn alloc(&mut self, size: usize, align: usize) -> Agreed<Result<usize, AllocError>> {
        self.alloc_by(By::Heap, size, align)
    }

    /// [`Lab::alloc`] of the heap or of a cache.
    ///
    /// # Errors
    /// A deviation; the inner result is what both say.
    pub fn alloc_by(&mut self, by: By, size: usize, align: usize) -> Agreed<Result<usize, AllocError>> {
        let align = legal(size, align);
        self.remember(Step::Alloc { by, size, align });
        let served = self.heap.alloc_by(by, size, align);
        let expected = self.model.alloc_by(by, size, align);
        self.same("alloc", served, expected)?;
        served.map_or(Ok(()), |address| self.fill(address))?;
        Ok(served)
    }

    /// Frees whatever is at an address.
    ///
    /// # Errors
    /// A deviation; the inner result is what both say.
    pub fn free(&mut self, address: usize) -> Agreed<Result<(), InvalidFree>> {
        self.free_by(By::Heap, address)
    }

    /// [`Lab::free`] of the heap or of a cache.
    ///
    /// # Errors
    /// A deviation; the inner result is what both say.
    pub fn free_by(&mut self, by: By, address: usize) -> Agreed<Result<(), InvalidFree>> {
        self.remember(Step::Free { by, address });
        if let Ok(usable) = self.model.usable_size(address) {
            self.verify(address, usable)?;
        }
        let freed = self.heap.free_by(by, address);
        let expected = self.model.free_by(by, address);
        self.same("free", freed, expected)?;
        Ok(freed)
    }

    /// Resizes whatever is at an address.
    ///
    /// # Errors
    /// A deviation; the inner result is what both say.
    pub fn realloc(&mut self, address: usize, size: usize, align: usize) -> Agreed<Result<usize, ReallocError>> {
        self.realloc_by(By::Heap, address, size, align)
    }

    /// [`Lab::realloc`] of the heap or of a cache.
    ///
    /// # Errors
    /// A deviation; the inner result is what both say.
    pub fn realloc_by(
        &mut self,
        by: By,
        address: usize,
        size: usize,
        align: usize,
    ) -> Agreed<Result<usize, ReallocError>> {
        let align = legal(size, align);
        self.remember(Step::Realloc { by, address, size, align });
        let old = self.model.usable_size(address);
        let moved = self.heap.realloc_by(by, address, size, align);
        let expected = self.model.realloc_by(by, address, size, align);
        self.same("realloc", moved, expected)?;
        let (Ok(new), Ok(old)) = (moved, old) else { return Ok(moved) };
        let (kept, from, to) = (old.min(size), self.at(address), self.at(new));
        if self.memory.bytes()[to..to + kept] != self.shadow[from..from + kept] {
            return Err(self.deviation("realloc lost bytes of the object"));
        }
        self.fill(new)?;
        Ok(moved)
    }

    /// Writes over bytes of the region, as a program gone wild would. Call [`Lab::note`] afterwards.
    pub fn write(&mut self, address: usize, bytes: &[u8]) {
        self.remember(Step::Write { address, len: bytes.len() });
        let at = self.at(address);
        self.memory.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
        self.shadow[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Bytes of the region.
    pub fn read(&self, address: usize, len: usize) -> &[u8] {
        let at = self.at(address);
        &self.memory.bytes()[at..at + len]
    }

    /// Has every header rewritten, after which all must be well.
    ///
    /// # Errors
    /// A deviation.
    pub fn repair(&mut self) -> Agreed<()> {
        self.remember(Step::Repair);
        let wrong = self.wrong_headers().len();
        self.same("headers repaired", self.heap.repair(), Ok(wrong))?;
        self.model.overwritten.clear();
        self.hit.clear();
        self.same("check after the repair", self.heap.check_all(), Ok(()))
    }

    /// Gives all magazines back.
    ///
    /// # Errors
    /// A deviation.
    pub fn empty_magazines(&mut self) -> Agreed<()> {
        self.empty_by(By::Heap)
    }

    /// Gives all magazines back, or all that a cache has at hand.
    ///
    /// # Errors
    /// A deviation.
    pub fn empty_by(&mut self, by: By) -> Agreed<()> {
        self.remember(Step::Empty { by });
        self.same("empty", self.heap.empty_by(by), Ok(()))?;
        self.model.empty_by(by);
        Ok(())
    }

    /// Attaches a cache.
    ///
    /// # Errors
    /// A deviation; the inner result is what both say: the cache's number.
    pub fn attach(&mut self) -> Agreed<Result<usize, CacheError>> {
        self.remember(Step::Attach);
        let number = self.heap.attach();
        let expected = self.model.attach();
        self.same("attach", number, expected)?;
        Ok(number)
    }

    /// Drops an attached cache.
    pub fn detach(&mut self, cache: usize) {
        self.remember(Step::Detach { cache });
        self.heap.detach(cache);
        self.model.detach(cache);
    }

    /// Has the heap take back what lies in all caches but one, or in all, without asking their owners.
    ///
    /// # Errors
    /// A deviation.
    pub fn recover(&mut self, kept: Option<usize>) -> Agreed<()> {
        self.remember(Step::Recover { kept });
        let recovered = self.heap.recover(kept);
        self.same("recover", recovered, Ok(()))?;
        self.model.recover(kept);
        Ok(())
    }

    /// Drops every attached cache.
    pub fn detach_all(&mut self) {
        self.model.attached().into_iter().for_each(|cache| self.detach(cache));
    }

    /// Fills an object to its last usable byte.
    fn fill(&mut self, address: usize) -> Agreed<()> {
        let usable = self.model.usable_size(address);
        self.same("usable size", raw_usable(&self.heap, address), usable)?;
        let usable = usable.map_err(|reason| self.deviation(&format!("handed out: {reason}")))?;
        self.tag = self.tag.wrapping_add(1);
        let at = self.at(address);
        let shadow = &mut self.shadow[at..at + usable];
        for (place, byte) in (0u8..=255).cycle().zip(shadow.iter_mut()) {
            *byte = place.wrapping_mul(29).wrapping_add(self.tag);
        }
        self.memory.bytes_mut()[at..at + usable].copy_from_slice(shadow);
        Ok(())
    }

    fn at(&self, address: usize) -> usize {
        address.wrapping_sub(self.memory.base())
    }

    fn remember(&mut self, step: Step) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(step);
    }
}

/// The payload of a live slot or block: address and usable bytes.
pub fn payload_of(block: Block) -> (usize, usize) {
    match block.kind {
        Kind::Slot => (block.address, block.size),
        Kind::Block => (block.address + GRANULE, block.size - GRANULE),
    }
}

/// The alignment, or 16 where no layout has such a size and alignment.
fn legal(size: usize, align: usize) -> usize {
    if Layout::from_size_align(size, align).is_ok() { align } else { GRANULE }
}
