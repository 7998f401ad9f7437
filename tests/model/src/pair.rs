//! A heap and the reference model beside it, driven as one: every answer of the heap is held against the model's, and
//! every object is filled when it is handed out and read back before it is given up.

use std::alloc::Layout;
use std::collections::{BTreeSet, VecDeque};
use std::fmt::{self, Debug};
use std::ptr::without_provenance_mut;

use slabfit::{
    AllocError, Block, CacheError, GRANULE, InitError, InvalidFree, Kind, MAGIC, RawLock, ReallocError, Reason,
    Segment, SpinLock, State,
};

use crate::any_heap::AnyHeap;
use crate::arena::{Arena, Setup};
use crate::cached::CachedHeap;
use crate::header;
use crate::model::{By, Header, Model};
use crate::picture;

/// Operations that a disagreement tells of.
const REMEMBERED: usize = 12;
/// Addresses of objects that were given up, to be freed again.
const STALE: usize = 64;

/// What the heap did otherwise than the model, with a picture of the heap.
pub struct Disagreement(String);

/// The result of an operation that the heap and the model agree on.
pub type Agreed<T> = Result<T, Disagreement>;

/// A heap, its memory, and its model.
pub struct Pair<L: RawLock + 'static = SpinLock> {
    setup: Setup,
    heap: CachedHeap<L>,
    model: Model,
    objects: Vec<Object>,
    stale: VecDeque<usize>,
    /// Headers that somebody overwrote and that the heap need not have written since.
    scribbled: BTreeSet<usize>,
    /// Whether somebody wrote where no object ever was, so that memory lent as zeros is not zero any more.
    dirty: bool,
    recent: VecDeque<String>,
    next_tag: u8,
    arena: Arena,
}

/// A live object: all its usable bytes hold the pattern of its tag.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Its first byte.
    pub address: usize,
    /// Bytes that may be written.
    pub usable: usize,
    /// Bytes that were asked for, and their alignment.
    pub asked: (usize, usize),
    tag: u8,
}

impl Pair {
    /// A fresh heap and its model. The lock is the default one, as it makes no difference to most tests.
    ///
    /// # Errors
    /// The heap's own.
    pub fn new(setup: Setup) -> Result<Self, InitError> {
        Self::with_lock(setup)
    }
}

impl<L: RawLock + 'static> Pair<L> {
    /// A fresh heap under the lock `L`, and its model.
    ///
    /// # Errors
    /// The heap's own.
    pub fn with_lock(setup: Setup) -> Result<Self, InitError> {
        let arena = setup.arena();
        // SAFETY: this is the arena's only heap; both stay in the pair, which drops the heap first.
        let memory = unsafe { arena.memory() };
        let heap = AnyHeap::from_memory(memory, setup.config, setup.placement)?;
        let base = heap.base().expect("an initialised heap has a base").addr().get();
        let model = Model::new(base, heap.size(), setup.config, setup.placement);
        Ok(Self {
            setup,
            heap: CachedHeap::new(heap),
            model,
            objects: Vec::new(),
            stale: VecDeque::new(),
            scribbled: BTreeSet::new(),
            dirty: false,
            recent: VecDeque::new(),
            next_tag: 0,
            arena,
        })
    }

    /// The heap.
    pub fn heap(&self) -> &CachedHeap<L> {
        &self.heap
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The live objects.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Addresses that were handed out and given up, the last one first.
    pub fn stale(&self) -> &VecDeque<usize> {
        &self.stale
    }

    /// What the setup was.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Requests memory: through `alloc` for an alignment of 16, else through `alloc_layout`.
    ///
    /// # Errors
    /// A disagreement. The inner result is what both say.
    pub fn alloc(&mut self, size: usize, align: usize) -> Agreed<Result<usize, AllocError>> {
        self.alloc_by(By::Heap, size, align)
    }

    /// [`Pair::alloc`] of the heap or of a cache.
    ///
    /// # Errors
    /// A disagreement. The inner result is what both say.
    pub fn alloc_by(&mut self, by: By, size: usize, align: usize) -> Agreed<Result<usize, AllocError>> {
        self.remember(format_args!("{by:?}: alloc {size} aligned to {align}"));
        let address = self.heap.alloc_by(by, size, align);
        self.served(by, address, size, align)?;
        address.map_or(Ok(()), |address| self.add_object(address, size, align))?;
        Ok(address)
    }

    /// Requests memory that is all zero: through `alloc_zeroed` or, every other time, through `alloc_layout_zeroed`, which does not
    /// clear what it knows to be zero.
    ///
    /// # Errors
    /// A disagreement. The inner result is what both say.
    pub fn alloc_zeroed(&mut self, size: usize) -> Agreed<Result<usize, AllocError>> {
        self.alloc_zeroed_by(By::Heap, size)
    }

    /// [`Pair::alloc_zeroed`] of the heap or of a cache.
    ///
    /// # Errors
    /// A disagreement. The inner result is what both say.
    pub fn alloc_zeroed_by(&mut self, by: By, size: usize) -> Agreed<Result<usize, AllocError>> {
        self.remember(format_args!("{by:?}: alloc {size} zeroed"));
        let layout = Layout::from_size_align(size, GRANULE).ok().filter(|_| !self.dirty && self.next_tag % 2 == 0);
        let address = self.heap.alloc_zeroed_by(by, size, layout);
        self.served(by, address, size, GRANULE)?;
        if let Ok(address) = address {
            if self.arena.view(address, size).iter().any(|&byte| byte != 0) {
                return Err(self.disagreement("zeroed memory is not zero"));
            }
            self.add_object(address, size, GRANULE)?;
        }
        Ok(address)
    }

    /// Resizes an object, or whatever else is at the address.
    ///
    /// # Errors
    /// A disagreement. The inner result is what both say.
    pub fn realloc(&mut self, address: usize, size: usize, align: usize) -> Agreed<Result<usize, ReallocError>> {
        self.realloc_by(By::Heap, address, size, align)
    }

    /// [`Pair::realloc`] of the heap or of a cache.
    ///
    /// # Errors
    /// A disagreement. The inner result is what both say.
    pub fn realloc_by(
        &mut self,
        by: By,
        address: usize,
        size: usize,
        align: usize,
    ) -> Agreed<Result<usize, ReallocError>> {
        self.remember(format_args!("{by:?}: realloc {address:#x} to {size} aligned to {align}"));
        let old = self.take_object(address)?;
        let align = if Layout::from_size_align(size, align).is_ok() { align } else { GRANULE };
        let moved = self.heap.realloc_by(by, address, size, align);
        let expected = self.model.realloc_by(by, address, size, align);
        self.same("realloc", moved, expected)?;
        self.resized(address, size, align, old, moved)
    }

    /// Resizes an object, or whatever else is at the address, as one that was asked for with `old_size` bytes.
    ///
    /// # Errors
    /// A disagreement. The inner result is what both say.
    pub fn realloc_sized(
        &mut self,
        address: usize,
        old_size: usize,
        size: usize,
    ) -> Agreed<Result<usize, ReallocError>> {
        self.realloc_sized_by(By::Heap, address, old_size, size)
    }

    /// [`Pair::realloc_sized`] of the heap or of a cache.
    ///
    /// # Errors
    /// A disagreement. The inner result is what both say.
    pub fn realloc_sized_by(
        &mut self,
        by: By,
        address: usize,
        old_size: usize,
        size: usize,
    ) -> Agreed<Result<usize, ReallocError>> {
        let Ok(layout) = Layout::from_size_align(old_size, GRANULE) else {
            return self.realloc_by(by, address, size, GRANULE);
        };
        self.remember(format_args!("{by:?}: realloc {address:#x} of {old_size} to {size}"));
        let old = self.take_object(address)?;
        let moved = self.heap.realloc_sized_by(by, address, Some(layout), size);
        let expected = self.model.realloc_sized_by(by, address, old_size, size, GRANULE);
        self.same("realloc of a size", moved, expected)?;
        if old.is_some_and(|old| old.asked.0 == old_size) && is_mismatch(moved) {
            return Err(self.disagreement("both refuse the very size that was asked for"));
        }
        self.resized(address, size, GRANULE, old, moved)
    }

    /// Reads an object back that was `old` and is where `moved` says.
    fn resized(
        &mut self,
        address: usize,
        size: usize,
        align: usize,
        old: Option<Object>,
        moved: Result<usize, ReallocError>,
    ) -> Agreed<Result<usize, ReallocError>> {
        let Ok(new) = moved else {
            self.objects.extend(old);
            return Ok(moved);
        };
        let old = old.ok_or_else(|| self.disagreement("both resized what nobody was given"))?;
        let kept = old.usable.min(size);
        if !self.arena.is_filled(new, kept, old.tag) {
            return Err(self.disagreement("realloc lost the object's bytes"));
        }
        if new != address {
            self.stale.push_front(address);
        }
        self.add_object(new, size, align)?;
        Ok(moved)
    }

    /// Frees an object, or whatever else is at the address.
    ///
    /// # Errors
    /// A disagreement. The inner result is what both say.
    pub fn free(&mut self, address: usize) -> Agreed<Result<(), InvalidFree>> {
        self.free_by(By::Heap, address)
    }

    /// [`Pair::free`] of the heap or of a cache.
    ///
    /// # Errors
    /// A disagreement. The inner result is what both say.
    pub fn free_by(&mut self, by: By, address: usize) -> Agreed<Result<(), InvalidFree>> {
        self.remember(format_args!("{by:?}: free {address:#x}"));
        let old = self.take_object(address)?;
        let freed = self.heap.free_by(by, address);
        let expected = self.model.free_by(by, address);
        self.same("free", freed, expected)?;
        self.freed(address, old, freed)
    }

    /// Frees an object, or whatever else is at the address, as one that was asked for with such a layout.
    ///
    /// # Errors
    /// A disagreement. The inner result is what both say.
    pub fn free_sized(&mut self, address: usize, size: usize, align: usize) -> Agreed<Result<(), InvalidFree>> {
        self.free_sized_by(By::Heap, address, size, align)
    }

    /// [`Pair::free_sized`] of the heap or of a cache.
    ///
    /// # Errors
    /// A disagreement. The inner result is what both say.
    pub fn free_sized_by(
        &mut self,
        by: By,
        address: usize,
        size: usize,
        align: usize,
    ) -> Agreed<Result<(), InvalidFree>> {
        let Ok(layout) = Layout::from_size_align(size, align) else { return self.free_by(by, address) };
        self.remember(format_args!("{by:?}: free {address:#x} of {size} aligned to {align}"));
        let old = self.take_object(address)?;
        let freed = self.heap.free_sized_by(by, address, layout);
        let expected = self.model.free_sized_by(by, address, size, align);
        self.same("free of a layout", freed, expected)?;
        let is_mismatch = freed.is_err_and(|wrong| wrong.reason == Reason::SizeMismatch);
        if is_mismatch && old.is_some_and(|old| old.asked == (size, align)) {
            return Err(self.disagreement("both refuse the very layout that was asked for"));
        }
        self.freed(address, old, freed)
    }

    /// Notes what a free did.
    fn freed(
        &mut self,
        address: usize,
        old: Option<Object>,
        freed: Result<(), InvalidFree>,
    ) -> Agreed<Result<(), InvalidFree>> {
        let owned = self.heap.owns(without_provenance_mut(address));
        self.same("owns", owned, self.model.owns(address))?;
        if freed.is_err() {
            self.objects.extend(old);
            return Ok(freed);
        }
        if old.is_none() {
            return Err(self.disagreement("both freed what nobody was given"));
        }
        self.stale.push_front(address);
        self.stale.truncate(STALE);
        Ok(freed)
    }

    /// Writes a header that looks right into an object's payload, `granules` behind its start, and frees and resizes
    /// what it claims to be a block.
    ///
    /// # Errors
    /// A disagreement.
    pub fn forge(&mut self, object: Object, granules: usize) -> Agreed<()> {
        let start = object.address + granules * GRANULE;
        let room = (object.usable).saturating_sub((granules + 1) * GRANULE);
        if room == 0 {
            return Ok(());
        }
        self.remember(format_args!("forge a header at {start:#x}"));
        let length = i32::try_from(room).unwrap_or(i32::MAX);
        self.arena.write(start, &length.to_ne_bytes());
        self.arena.write(start + header::LINK, &MAGIC.to_ne_bytes());
        let freed = self.free(start + GRANULE)?;
        let moved = self.realloc(start + GRANULE, 1, GRANULE)?;
        if freed.is_ok() || moved.is_ok() {
            return Err(self.disagreement("both believed a forged header"));
        }
        self.arena.fill(object.address, object.usable, object.tag);
        Ok(())
    }

    /// Overwrites one byte of a header, used or free, as a program that writes past its object's end would.
    pub fn overwrite(&mut self, header: Header, at: usize, byte: u8) {
        self.remember(format_args!("write {byte:#x} at {:#x} + {at}", header.address));
        self.arena.write(header.address + at, &[byte]);
        self.note_scribbled(header);
    }

    /// Writes random bytes over the whole heap, then the objects' patterns again: every header is lost.
    pub fn scribble(&mut self, seed: u64) {
        self.remember(format_args!("scribble from seed {seed}"));
        self.dirty = true;
        let base = self.heap.base().map_or(0, |base| base.addr().get());
        fastrand::Rng::with_seed(seed).fill(self.arena.view_mut(base, self.heap.size()));
        for object in &self.objects {
            self.arena.fill(object.address, object.usable, object.tag);
        }
        for header in self.model.headers() {
            self.note_scribbled(header);
        }
    }

    /// Has every header rewritten.
    ///
    /// # Errors
    /// A disagreement.
    pub fn repair(&mut self) -> Agreed<()> {
        self.remember(format_args!("repair"));
        let wrong = self.wrong_headers().len();
        self.same("headers repaired", self.heap.repair(), Ok(wrong))?;
        self.model.overwritten.clear();
        self.scribbled.clear();
        self.same("headers still wrong", self.wrong_headers().len(), 0)
    }

    /// Extends the heap.
    ///
    /// # Errors
    /// A disagreement.
    pub fn extend(&mut self, bytes: usize) -> Agreed<()> {
        self.remember(format_args!("extend by {bytes}"));
        let end = self.heap.segment(Segment::Blocks).end;
        let expected = self.model.extend(bytes);
        if expected.is_ok() {
            self.arena.extend_to(end + bytes / GRANULE * GRANULE);
        }
        // SAFETY: the arena has as many bytes behind the region, or the heap refuses them.
        let extended = unsafe { self.heap.extend(bytes) };
        self.same("extend", extended, expected)?;
        self.same(
            "size",
            self.heap.size(),
            self.heap.segment(Segment::Blocks).end - self.heap.segment(Segment::Slab).start,
        )
    }

    /// Gives all magazines back.
    ///
    /// # Errors
    /// A disagreement.
    pub fn empty_magazines(&mut self) -> Agreed<()> {
        self.empty_by(By::Heap)
    }

    /// Gives all magazines back, or all that a cache has at hand.
    ///
    /// # Errors
    /// A disagreement.
    pub fn empty_by(&mut self, by: By) -> Agreed<()> {
        self.remember(format_args!("{by:?}: empty"));
        self.same("empty", self.heap.empty_by(by), Ok(()))?;
        self.model.empty_by(by);
        Ok(())
    }

    /// Attaches a cache.
    ///
    /// # Errors
    /// A disagreement. The inner result is what both say: the cache's number.
    pub fn attach(&mut self) -> Agreed<Result<usize, CacheError>> {
        self.remember(format_args!("attach a cache"));
        let number = self.heap.attach();
        let expected = self.model.attach();
        self.same("attach", number, expected)?;
        Ok(number)
    }

    /// Drops an attached cache.
    pub fn detach(&mut self, number: usize) {
        self.remember(format_args!("drop cache {number}"));
        self.heap.detach(number);
        self.model.detach(number);
    }

    /// Has the heap take back what lies in all caches but one, or in all, without asking their owners.
    ///
    /// # Errors
    /// A disagreement.
    pub fn recover(&mut self, kept: Option<usize>) -> Agreed<()> {
        self.remember(format_args!("recover all caches but {kept:?}"));
        let recovered = self.heap.recover(kept);
        self.same("recover", recovered, Ok(()))?;
        self.model.recover(kept);
        Ok(())
    }

    /// One of the attached caches, whatever number is given, or the heap if there is none.
    pub fn any_cache(&self, number: usize) -> By {
        let attached = self.model.attached();
        attached.get(number % attached.len().max(1)).map_or(By::Heap, |&cache| By::Cache(cache))
    }

    /// Frees every byte address in and around the heap that is no live object's start.
    ///
    /// # Errors
    /// A disagreement.
    pub fn free_every_wrong_address(&mut self) -> Agreed<()> {
        self.free_every_wrong_address_by(By::Heap)
    }

    /// [`Pair::free_every_wrong_address`] of the heap or of a cache.
    ///
    /// # Errors
    /// A disagreement.
    pub fn free_every_wrong_address_by(&mut self, by: By) -> Agreed<()> {
        let base = self.heap.base().map_or(0, |base| base.addr().get());
        for address in base - 3 * GRANULE..base + self.heap.size() + 3 * GRANULE {
            if self.model.usable_size(address).is_err() && self.free_by(by, address)?.is_ok() {
                return Err(self.disagreement("a wrong free was accepted"));
            }
        }
        Ok(())
    }

    /// Compares what an operation may have changed everywhere: rover, blocks, figures, headers, what the checker says.
    ///
    /// # Errors
    /// A disagreement.
    pub fn compare(&mut self) -> Agreed<()> {
        self.compare_rover()?;
        let mut expected = self.model.blocks();
        for (nth, block) in self.heap.blocks().enumerate() {
            let expected = expected.next();
            if expected != Some(block) {
                self.same(&format!("block {nth}"), Some(block), expected)?;
            }
        }
        self.same("a block behind the last", None, expected.next())?;
        self.compare_stats()?;
        self.same("live objects", self.objects.len(), live_objects(&self.model))?;
        drop(expected);
        let wrong = self.wrong_headers();
        if let Some(header) = wrong.iter().find(|&header| !self.scribbled.contains(header)) {
            return Err(self.disagreement(&format!("the header at {header:#x} is wrong")));
        }
        let found: BTreeSet<usize> = self.heap.overwritten().collect();
        self.same("overwritten headers", &found, &wrong)?;
        let checked = self.heap.check_all();
        if checked.is_ok() != wrong.is_empty() {
            return Err(self.disagreement(&format!("check: {checked:?}, wrong headers: {wrong:x?}")));
        }
        self.scribbled = wrong;
        self.same("memory outside is as it was", self.arena.is_intact(), true)
    }

    fn compare_stats(&self) -> Agreed<()> {
        let model = self.model.stats();
        let Ok(heap) = self.heap.stats() else {
            return Err(self.disagreement("nobody is in the heap, but no figures can be had"));
        };
        self.same_figures("the slab", heap.slab, model.slab)?;
        self.same_figures("the blocks", heap.blocks, model.blocks)?;
        for (heap, model) in heap.classes.into_iter().zip(model.classes) {
            self.same_figures(&format!("the class of {} bytes", model.slot_size), heap, model)?;
        }
        self.same("spilled", heap.spilled, model.spilled)?;
        self.same_figures("the caches", heap.caches, model.caches)?;
        self.same("refused outside", heap.refused_outside, model.refused_outside)
    }

    /// Compares figures and names those that differ.
    fn same_figures<T: PartialEq + Debug>(&self, of: &str, heap: T, model: T) -> Agreed<()> {
        if heap == model {
            return Ok(());
        }
        let (heap, model) = (format!("{heap:#?}"), format!("{model:#?}"));
        let differing = heap.lines().zip(model.lines()).filter(|(heap, model)| heap != model);
        let lines = differing.map(|(heap, model)| format!("\n  heap {} model {}", heap.trim(), model.trim()));
        Err(self.disagreement(&format!("figures of {of}:{}", lines.collect::<String>())))
    }

    /// Compares the rover only, which costs next to nothing.
    ///
    /// # Errors
    /// A disagreement.
    pub fn compare_rover(&self) -> Agreed<()> {
        self.same("rover", self.heap.rover(), self.model.rover())
    }

    /// Requires what must be true once every object is freed: nothing is live, and the block segment is one gap as soon as the
    /// magazines are given back.
    ///
    /// # Errors
    /// A disagreement.
    pub fn expect_empty(&mut self) -> Agreed<()> {
        self.empty_magazines()?;
        self.compare()?;
        let range = self.heap.segment(Segment::Blocks);
        let (address, size, segment, kind) = (range.start, range.len(), Segment::Blocks, Kind::Block);
        let all = [Block { address, size, state: State::Free, segment, kind }];
        let (slots, blocks): (Vec<_>, Vec<_>) = self.heap.blocks().partition(|block| block.segment == Segment::Slab);
        match slots.iter().all(|slot| slot.state == State::Free) && blocks == all {
            true => Ok(()),
            false => Err(self.disagreement("everything is freed, but the block segment is not one gap")),
        }
    }

    /// Reads every object back.
    ///
    /// # Errors
    /// A disagreement.
    pub fn verify_objects(&self) -> Agreed<()> {
        self.objects.iter().try_for_each(|&object| self.verify(object))
    }

    /// The `int` and the pointer of a header as they stand in memory.
    pub fn header_at(&self, address: usize) -> (i32, usize) {
        header::fields(self.arena.view(address, GRANULE))
    }

    /// The heap as blocks.
    pub fn picture(&self) -> String {
        picture::heap(self.heap.blocks(), self.heap.rover())
    }

    fn served(&mut self, by: By, address: Result<usize, AllocError>, size: usize, align: usize) -> Agreed<()> {
        let expected = self.model.alloc_by(by, size, align);
        self.same("alloc", address, expected)
    }

    /// Fills what was handed out, to the last usable byte.
    fn add_object(&mut self, address: usize, size: usize, align: usize) -> Agreed<()> {
        let usable = self.model.usable_size(address);
        for by in [By::Heap, self.any_cache(address / GRANULE)] {
            let said = self.heap.usable_size_by(by, address);
            self.same("usable size", said.map_err(|wrong| wrong.reason), usable)?;
        }
        let usable = usable.map_err(|reason| self.disagreement(&format!("handed out: {reason}")))?;
        self.next_tag = self.next_tag.wrapping_add(1);
        let object = Object { address, usable, asked: (size, align), tag: self.next_tag };
        self.arena.fill(address, usable, object.tag);
        self.objects.push(object);
        Ok(())
    }

    /// Removes the object at the address, if one is there, once its bytes are read back.
    fn take_object(&mut self, address: usize) -> Agreed<Option<Object>> {
        let index = self.objects.iter().position(|object| object.address == address);
        let object = index.map(|index| self.objects.swap_remove(index));
        object.map_or(Ok(()), |object| self.verify(object))?;
        Ok(object)
    }

    fn verify(&self, object: Object) -> Agreed<()> {
        match self.arena.is_filled(object.address, object.usable, object.tag) {
            true => Ok(()),
            false => Err(self.disagreement(&format!("bytes of {object:x?} were overwritten"))),
        }
    }

    fn note_scribbled(&mut self, header: Header) {
        self.scribbled.insert(header.address);
        if header.live && self.is_wrong(header) {
            self.model.overwritten.insert(header.address);
        } else {
            self.model.overwritten.remove(&header.address);
        }
    }

    fn wrong_headers(&self) -> BTreeSet<usize> {
        let headers = self.model.headers().into_iter();
        headers.filter(|&header| self.is_wrong(header)).map(|header| header.address).collect()
    }

    /// Whether memory does not hold what the header should. Its padding is nobody's business.
    fn is_wrong(&self, header: Header) -> bool {
        self.header_at(header.address) != (header.length, header.link)
    }

    fn remember(&mut self, operation: fmt::Arguments<'_>) {
        self.recent.push_back(operation.to_string());
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
    }

    fn same<T: PartialEq + Debug>(&self, what: &str, heap: T, model: T) -> Agreed<()> {
        if heap == model {
            return Ok(());
        }
        Err(self.disagreement(&format!("{what}: the heap says {heap:x?}, the model {model:x?}")))
    }

    fn disagreement(&self, what: &str) -> Disagreement {
        let recent: Vec<&str> = self.recent.iter().map(String::as_str).collect();
        let model = picture::heap(self.model.blocks(), self.model.rover());
        Disagreement(format!(
            "{what}\n{:?}\nthe last operations:\n  {}\nthe heap now:\n{}the model now:\n{model}",
            self.setup,
            recent.join("\n  "),
            self.picture(),
        ))
    }
}

impl Disagreement {
    /// The heap refuses what the model makes a heap of.
    pub(crate) fn on_setup(setup: &Setup, error: InitError) -> Self {
        Self(format!("no heap: {error}\n{setup:?}"))
    }
}

impl Debug for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Disagreement {}

fn is_mismatch(moved: Result<usize, ReallocError>) -> bool {
    matches!(moved, Err(ReallocError::InvalidFree(wrong)) if wrong.reason == Reason::SizeMismatch)
}

fn live_objects(model: &Model) -> usize {
    model.blocks().filter(|block| block.state == State::Used).count()
}
