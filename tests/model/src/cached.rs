//! A heap and those of its caches that are attached, each asked by what it is called in the model: [`By`].

use std::alloc::Layout;
use std::mem::{self, MaybeUninit};
use std::ops::Deref;
use std::ptr::{self, NonNull, without_provenance_mut};

use slabfit::{
    AllocError, Cache, CacheError, GRANULE, Heap, InvalidFree, RawLock, ReallocError, Reentered, SpinLock, Violation,
};

use crate::any_heap::AnyHeap;
use crate::model::By;

/// A cache of a heap that nobody moves.
type Owned<L> = Cache<'static, 'static, L>;

/// A heap that stays where it is, and its attached caches by number.
pub struct CachedHeap<L: RawLock + 'static = SpinLock> {
    caches: Vec<Option<Owned<L>>>,
    /// From a box, to which nothing else points but the caches.
    heap: NonNull<AnyHeap<L>>,
}

/// A copy of the bytes of a heap and its caches. It is never used as what it was.
pub struct Saved<L: RawLock + 'static = SpinLock> {
    caches: Vec<Option<MaybeUninit<Owned<L>>>>,
    heap: Box<MaybeUninit<AnyHeap<L>>>,
}

impl<L: RawLock + 'static> CachedHeap<L> {
    /// The heap, with no cache attached.
    pub fn new(heap: AnyHeap<L>) -> Self {
        Self { caches: Vec::new(), heap: NonNull::from(Box::leak(Box::new(heap))) }
    }

    /// Attaches a cache, and answers with its number: the lowest that no other has.
    ///
    /// # Errors
    /// The heap's.
    pub fn attach(&mut self) -> Result<usize, CacheError> {
        let AnyHeap::General(heap) = &**self else { return Err(CacheError::NoneFree) };
        let heap: *const Heap<'static, L, _> = heap;
        // SAFETY: the heap stays in its box until this is dropped, and the caches are dropped before it.
        let cache = unsafe { &*heap }.cache()?;
        let number = self.caches.iter().position(Option::is_none).unwrap_or(self.caches.len());
        if number == self.caches.len() {
            self.caches.push(None);
        }
        self.caches[number] = Some(cache);
        Ok(number)
    }

    /// Drops a cache.
    pub fn detach(&mut self, number: usize) {
        self.caches[number] = None;
    }

    /// Has the heap take back what lies in all caches but one, which is as if their owners had ceased to be.
    ///
    /// # Errors
    /// The heap's.
    pub fn recover(&mut self, kept: Option<usize>) -> Result<(), Reentered> {
        let gone = (0..self.caches.len()).filter(|&number| kept != Some(number));
        gone.for_each(|number| mem::forget(self.caches[number].take()));
        let AnyHeap::General(heap) = &**self else { return Ok(()) };
        // SAFETY: of the caches none but the one that is kept is left, and this is the only thread.
        unsafe { heap.recover_caches(kept.map(|number| self.cache(number))) }
    }

    /// The numbers of the attached caches.
    pub fn attached(&self) -> Vec<usize> {
        (0..self.caches.len()).filter(|&number| self.caches[number].is_some()).collect()
    }

    /// An attached cache.
    ///
    /// # Panics
    /// If it is not.
    pub fn cache(&self, number: usize) -> &Cache<'_, 'static, L> {
        self.caches[number].as_ref().expect("it is attached")
    }

    /// An `alloc`, or an `alloc_layout` for another alignment than 16. What is no layout is asked for without its alignment. A cache is
    /// asked for odd sizes in two steps, as programs do that have the first in line.
    ///
    /// # Errors
    /// The heap's.
    pub fn alloc_by(&self, by: By, size: usize, align: usize) -> Result<usize, AllocError> {
        let layout = Layout::from_size_align(size, align).ok().filter(|_| align != GRANULE);
        let served = match (by, layout) {
            (By::Heap, Some(layout)) => self.alloc_layout(layout),
            (By::Heap, None) => self.alloc(size),
            (By::Cache(cache), Some(layout)) => self.cache(cache).alloc_layout(layout),
            (By::Cache(cache), None) if size % 2 == 1 => {
                self.cache(cache).alloc_slot(size).map_or_else(|| self.cache(cache).alloc(size), Ok)
            }
            (By::Cache(cache), None) => self.cache(cache).alloc(size),
        };
        served.map(|pointer| pointer.addr().get())
    }

    /// An `alloc_layout_zeroed`, where a layout is given, or else an `alloc_zeroed`.
    ///
    /// # Errors
    /// The heap's.
    pub fn alloc_zeroed_by(&self, by: By, size: usize, layout: Option<Layout>) -> Result<usize, AllocError> {
        let served = match (by, layout) {
            (By::Heap, Some(layout)) => self.alloc_layout_zeroed(layout),
            (By::Heap, None) => self.alloc_zeroed(size),
            (By::Cache(cache), Some(layout)) => self.cache(cache).alloc_layout_zeroed(layout),
            (By::Cache(cache), None) => self.cache(cache).alloc_zeroed(size),
        };
        served.map(|pointer| pointer.addr().get())
    }

    /// A `free` of whatever is at an address. A cache is asked in two steps for every other granule.
    ///
    /// # Errors
    /// The heap's.
    pub fn free_by(&self, by: By, address: usize) -> Result<(), InvalidFree> {
        let pointer = without_provenance_mut(address);
        match by {
            // SAFETY: the tests hold no reference into an object.
            By::Heap => unsafe { self.free(pointer) },
            By::Cache(cache) if address / GRANULE % 2 == 1 => {
                // SAFETY: as above.
                let freed = unsafe { self.cache(cache).free_slot(pointer) };
                // SAFETY: as above.
                freed.map_or_else(|| unsafe { self.free(pointer) }, |_| Ok(()))
            }
            // SAFETY: as above.
            By::Cache(cache) => unsafe { self.cache(cache).free(pointer) },
        }
    }

    /// A `free_sized` of whatever is at an address.
    ///
    /// # Errors
    /// The heap's.
    pub fn free_sized_by(&self, by: By, address: usize, layout: Layout) -> Result<(), InvalidFree> {
        let pointer = without_provenance_mut(address);
        match by {
            // SAFETY: the tests hold no reference into an object.
            By::Heap => unsafe { self.free_sized(pointer, layout) },
            // SAFETY: as above.
            By::Cache(cache) => unsafe { self.cache(cache).free_sized(pointer, layout) },
        }
    }

    /// A `usable_size`.
    ///
    /// # Errors
    /// The heap's.
    pub fn usable_size_by(&self, by: By, address: usize) -> Result<usize, InvalidFree> {
        let pointer = without_provenance_mut(address);
        match by {
            By::Heap => self.usable_size(pointer),
            By::Cache(cache) => self.cache(cache).slot_size(pointer).map_or_else(|| self.usable_size(pointer), Ok),
        }
    }

    /// A `realloc`, or a `realloc_layout` for another alignment than 16, of an object of the size that it has.
    ///
    /// # Errors
    /// The heap's.
    pub fn realloc_by(&self, by: By, address: usize, size: usize, align: usize) -> Result<usize, ReallocError> {
        let old = self.usable_size(without_provenance_mut::<u8>(address)).unwrap_or(0);
        self.realloc_sized_by(by, address, Layout::from_size_align(old, align).ok().filter(|_| align != GRANULE), size)
    }

    /// A `realloc_layout`, where a layout is given, or else a `realloc`.
    ///
    /// # Errors
    /// The heap's.
    pub fn realloc_sized_by(
        &self,
        by: By,
        address: usize,
        layout: Option<Layout>,
        size: usize,
    ) -> Result<usize, ReallocError> {
        let pointer = without_provenance_mut(address);
        let moved = match (by, layout) {
            // SAFETY: the tests hold no reference into an object.
            (By::Heap, Some(layout)) => unsafe { self.realloc_layout(pointer, layout, size) },
            // SAFETY: as above.
            (By::Heap, None) => unsafe { self.realloc(pointer, size) },
            // SAFETY: as above.
            (By::Cache(cache), Some(layout)) => unsafe { self.cache(cache).realloc_layout(pointer, layout, size) },
            // SAFETY: as above.
            (By::Cache(cache), None) => unsafe { self.cache(cache).realloc(pointer, size) },
        };
        moved.map(|pointer| pointer.addr().get())
    }

    /// The heap's `empty_magazines`, or a cache's `empty`.
    ///
    /// # Errors
    /// The heap's.
    pub fn empty_by(&self, by: By) -> Result<(), Reentered> {
        match by {
            By::Heap => self.empty_magazines(),
            By::Cache(cache) => self.cache(cache).empty(),
        }
    }

    /// What the checker says of the heap, and then of each cache.
    ///
    /// # Errors
    /// The first violation.
    pub fn check_all(&self) -> Result<(), Violation> {
        self.check()?;
        self.caches.iter().flatten().try_for_each(|cache| cache.check())
    }

    /// A copy of heap and caches, to be put back by [`CachedHeap::restore`].
    pub fn save(&self) -> Saved<L> {
        let mut heap = Box::new(MaybeUninit::uninit());
        // SAFETY: both are a heap's size and aligned for it, and do not overlap.
        unsafe { ptr::copy_nonoverlapping(self.heap.as_ptr(), heap.as_mut_ptr(), 1) };
        let caches = self.caches.iter().map(|cache| cache.as_ref().map(copy_of)).collect();
        Saved { caches, heap }
    }

    /// Puts heap and caches back as they were, byte by byte.
    ///
    /// # Safety
    /// The copy is of this very heap, from between two calls with all locks open, and the memory that the heap was lent is put back as
    /// well, to what it was at the same time.
    pub unsafe fn restore(&mut self, saved: &Saved<L>) {
        // Those of today are not dropped: in the memory as it will be they are not attached.
        mem::take(&mut self.caches).into_iter().for_each(mem::forget);
        // SAFETY: the bytes are a heap's, as the caller promises, and a heap has nothing to drop.
        unsafe { ptr::copy_nonoverlapping(saved.heap.as_ptr(), self.heap.as_ptr(), 1) };
        // SAFETY: the bytes are a cache's, of which this is the only one once the heap is what it was.
        let copies = saved.caches.iter().map(|cache| cache.as_ref().map(|cache| unsafe { cache.assume_init_read() }));
        self.caches = copies.collect();
    }
}

/// The bytes of a cache.
fn copy_of<L: RawLock + 'static>(cache: &Owned<L>) -> MaybeUninit<Owned<L>> {
    let mut copy = MaybeUninit::uninit();
    // SAFETY: both are a cache's size and aligned for it, and do not overlap.
    unsafe { ptr::copy_nonoverlapping(cache, copy.as_mut_ptr(), 1) };
    copy
}

impl<L: RawLock + 'static> Deref for CachedHeap<L> {
    type Target = AnyHeap<L>;

    fn deref(&self) -> &Self::Target {
        // SAFETY: it is initialised, lives until this is dropped, and is only read but in `restore`, which borrows all of this.
        unsafe { self.heap.as_ref() }
    }
}

impl<L: RawLock + 'static> Drop for CachedHeap<L> {
    fn drop(&mut self) {
        self.caches.clear();
        // SAFETY: it came out of a box, and nobody points to it any more.
        drop(unsafe { Box::from_raw(self.heap.as_ptr()) });
    }
}
