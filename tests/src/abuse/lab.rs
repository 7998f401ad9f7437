//! A heap in fenced memory with the reference model beside it, that can be put back to an earlier state in nanoseconds:
//! its memory, its bookkeeping and the heap itself are copied back byte by byte.
//!
//! Every live payload has a shadow: what was written into it, by its owner or by the abuse. A heap that writes into a
//! payload, or moves one wrongly, is found out by it.

use std::alloc::Layout;
use std::collections::VecDeque;
use std::fmt::{self, Debug, Write};
use std::ops::Range;
use std::ptr::without_provenance_mut;

use fastrand::Rng;
use slabfit::{AllocError, Block, CacheError, GRANULE, InvalidFree, Kind, ReallocError, Reason, Segment, State};

use crate::abuse::fenced::{Case, Fenced};
use crate::any_heap::AnyHeap;
use crate::cached::{CachedHeap, Saved};
use crate::header;
use crate::model::{By, Header, Model};
use crate::picture;

/// Steps that a deviation tells of.
const REMEMBERED: usize = 24;

/// What the heap did otherwise than the model.
pub struct Deviation(String);

/// What heap and model agree on.
pub type Agreed<T> = Result<T, Deviation>;

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

    /// Takes note of which headers are not what they should be, and answers how many live ones are among them.
    pub fn note(&mut self) -> usize {
        self.model.overwritten.clear();
        self.hit.clear();
        for header in self.model.headers() {
            if self.is_wrong(header) {
                self.hit.push(header.address);
                if header.live {
                    self.model.overwritten.insert(header.address);
                }
            }
        }
        self.model.overwritten.len()
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

    /// An attached cache, if there is one, or the heap.
    pub fn anybody(&self, rng: &mut Rng) -> By {
        let attached = self.model.attached();
        let nth = rng.usize(..=attached.len());
        attached.get(nth).map_or(By::Heap, |&cache| By::Cache(cache))
    }

    /// Compares everything: rover, blocks, figures, headers, payloads, what the checker says, the memory outside.
    ///
    /// # Errors
    /// A deviation.
    pub fn compare(&mut self) -> Agreed<()> {
        self.compare_places()?;
        self.same("figures", self.heap.stats().ok(), Some(self.model.stats()))?;
        let wrong = self.wrong_headers();
        if let Some(address) = wrong.iter().find(|address| !self.hit.contains(address)) {
            return Err(self.deviation(&format!("the heap wrote a wrong header at {address:#x}")));
        }
        let listed: Vec<usize> = self.heap.overwritten().collect();
        self.same("overwritten headers", &listed, &wrong)?;
        self.same("check finds fault", self.heap.check_all().is_err(), !wrong.is_empty())?;
        self.hit = wrong;
        self.objects().iter().try_for_each(|&(address, usable)| self.verify(address, usable))?;
        self.same("the memory outside is as it was", self.memory.is_clean_outside(), true)
    }

    /// Compares the rover and the blocks.
    ///
    /// # Errors
    /// A deviation.
    pub fn compare_places(&self) -> Agreed<()> {
        self.same("rover", self.heap.rover(), self.model.rover())?;
        if self.heap.blocks().eq(self.model.blocks()) {
            return Ok(());
        }
        Err(self.deviation("the blocks differ"))
    }

    /// Runs one operation, right or wrong, of the heap or of one of its caches.
    ///
    /// # Errors
    /// A deviation.
    pub fn random_step(&mut self, rng: &mut Rng) -> Agreed<()> {
        let by = self.anybody(rng);
        let object = self.random_object(rng);
        match (rng.u32(..100), object) {
            (0..45, Some((address, _))) => self.free_by(by, address).map(drop),
            (45..58, Some((address, _))) => {
                let (size, align) = (random_size(rng, self.case.config.slab_size), random_align(rng));
                self.realloc_by(by, address, size, align).map(drop)
            }
            (58..62, Some((address, usable))) => {
                let wrong = address.wrapping_add(rng.usize(..usable + 64)).wrapping_sub(32);
                if wrong == address { Ok(()) } else { self.free_by(by, wrong).map(drop) }
            }
            (62..66, _) => {
                let wrong = self.base().wrapping_add(rng.usize(..self.heap.size() + 128)).wrapping_sub(64);
                match self.model.usable_size(wrong) {
                    Ok(_) => Ok(()),
                    Err(_) if rng.bool() => self.free_by(by, wrong).map(drop),
                    Err(_) => self.realloc_by(by, wrong, rng.usize(..200), GRANULE).map(drop),
                }
            }
            (66, _) => self.empty_by(by),
            (67, _) => self.attach().map(drop),
            (68, _) => match by {
                By::Cache(cache) if rng.u32(..8) > 0 => {
                    self.detach(cache);
                    Ok(())
                }
                By::Cache(cache) => self.recover(Some(cache)),
                By::Heap => Ok(()),
            },
            _ => self.alloc_by(by, random_size(rng, self.case.config.slab_size), random_align(rng)).map(drop),
        }
    }

    /// Frees every object that is left, in random order, drops the caches, empties the magazines, and requires one free block.
    ///
    /// # Errors
    /// A deviation.
    pub fn finish(&mut self, rng: &mut Rng) -> Agreed<()> {
        let mut objects = self.objects();
        rng.shuffle(&mut objects);
        for (address, _) in objects {
            let freed = self.free_by(self.anybody(rng), address)?;
            self.same("the last free", freed, Ok(()))?;
        }
        self.compare()?;
        self.detach_all();
        self.compare()?;
        self.empty_magazines()?;
        self.compare()?;
        let free = self.model.blocks().filter(|block| block.segment == Segment::Blocks).count();
        self.same("blocks that are left", free, 1)
    }

    /// The headers in memory that are not what they should be. Their padding is nobody's business.
    pub fn wrong_headers(&self) -> Vec<usize> {
        let headers = self.model.headers().into_iter();
        headers.filter(|&header| self.is_wrong(header)).map(|header| header.address).collect()
    }

    /// A failed comparison.
    ///
    /// # Errors
    /// If the two are not the same.
    pub fn same<T: PartialEq + Debug>(&self, what: &str, heap: T, model: T) -> Agreed<()> {
        if heap == model {
            return Ok(());
        }
        Err(self.deviation(&format!("{what}: the heap says {heap:x?}, the model {model:x?}")))
    }

    /// A deviation of this kind, with both heaps drawn.
    #[cold]
    pub fn deviation(&self, what: &str) -> Deviation {
        let mut text = format!("{what}\n{:?}\nthe last steps:\n", self.case);
        for step in &self.recent {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {step:x?}");
        }
        let heap = picture::heap(self.heap.blocks().take(1 << 20), self.heap.rover());
        let model = picture::heap(self.model.blocks(), self.model.rover());
        Deviation(format!("{text}the heap at {:#x} now:\n{heap}the model now:\n{model}", self.base()))
    }

    fn random_object(&self, rng: &mut Rng) -> Option<(usize, usize)> {
        let live = || self.model.blocks().filter(|block| block.state == State::Used);
        let nth = rng.usize(..live().count().max(1));
        live().nth(nth).map(payload_of)
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

    fn verify(&self, address: usize, usable: usize) -> Agreed<()> {
        let at = self.at(address);
        if self.memory.bytes()[at..at + usable] == self.shadow[at..at + usable] {
            return Ok(());
        }
        Err(self.deviation(&format!("bytes of the object at {address:#x} were changed")))
    }

    fn is_wrong(&self, header: Header) -> bool {
        header::fields(self.read(header.address, GRANULE)) != (header.length, header.link)
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

impl Debug for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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

/// An `alloc` of the heap alone, as an address. What is no layout is asked for without its alignment.
///
/// # Errors
/// The heap's.
pub fn raw_alloc(heap: &AnyHeap, size: usize, align: usize) -> Result<usize, AllocError> {
    let served = match Layout::from_size_align(size, align) {
        Ok(layout) if align != GRANULE => heap.alloc_layout(layout),
        _ => heap.alloc(size),
    };
    served.map(|pointer| pointer.addr().get())
}

/// A `free` of the heap alone.
///
/// # Errors
/// The heap's.
pub fn raw_free(heap: &AnyHeap, address: usize) -> Result<(), InvalidFree> {
    // SAFETY: the labs hold no reference into an object.
    unsafe { heap.free(without_provenance_mut(address)) }
}

/// A `realloc` of the heap alone.
///
/// # Errors
/// The heap's.
pub fn raw_realloc(heap: &AnyHeap, address: usize, size: usize, align: usize) -> Result<usize, ReallocError> {
    let pointer = without_provenance_mut(address);
    let old_size = raw_usable(heap, address).unwrap_or(0);
    let moved = match Layout::from_size_align(old_size, align) {
        // SAFETY: the labs hold no reference into an object.
        Ok(layout) if align != GRANULE => unsafe { heap.realloc_layout(pointer, layout, size) },
        // SAFETY: as above.
        _ => unsafe { heap.realloc(pointer, size) },
    };
    moved.map(|pointer| pointer.addr().get())
}

fn raw_usable(heap: &AnyHeap, address: usize) -> Result<usize, Reason> {
    heap.usable_size(without_provenance_mut(address)).map_err(|wrong| wrong.reason)
}

/// Bytes of a request: the slab's, a few, or some more; now and then far too many.
pub fn random_size(rng: &mut Rng, slab_size: usize) -> usize {
    match rng.u32(..64) {
        0..20 => slab_size,
        20..50 => rng.usize(..100),
        50..62 => rng.usize(..500),
        62 => rng.usize(..1 << 20),
        _ => usize::MAX - rng.usize(..64),
    }
}

/// 16 for the most part, or any power of two up to 1024.
pub fn random_align(rng: &mut Rng) -> usize {
    if rng.u32(..6) > 0 { GRANULE } else { 1 << rng.u32(..11) }
}
