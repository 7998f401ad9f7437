//! Objects that stand between inaccessible pages, and objects of 0 bytes, whose addresses lie in one.
//!
//! A fenced object is the middle of a block: the block's payload starts with a page, the *fence*, and ends with one. It starts and
//! ends at a page; its pattern fills the last page up. While it is in quarantine all of it is inaccessible, and holds no memory.
#![allow(unsafe_code)]

use core::ptr::NonNull;

use crate::blocks::Blocks;
use crate::bytes;
use crate::claim::AnySize;
use crate::classes::MayHave;
use crate::error::{AllocError, Trap};
use crate::hardened::objects::Object;
use crate::lock::RawLock;
use crate::pages::Pages;
use crate::policy::Policy;
use crate::segments::{Heap, Place};
use crate::units::{GRANULE, Granules, Offset};
use crate::ward::Code;

/// Bytes of the smallest object that is fenced.
pub(crate) const LARGE: usize = 64 << 10;

/// Bytes of inaccessible memory for objects of 0 bytes: one has a granule of it.
const NOTHING: usize = 64 << 10;

/// A fenced object that is being allocated, or that leaves the quarantine.
#[derive(Clone, Copy)]
pub(crate) struct Fenced {
    pages: &'static Pages,
    /// The block's payload, from the first fence on.
    start: NonNull<u8>,
    at: Offset,
    /// Bytes between the fences.
    capacity: usize,
    /// How many of them are to be compared with zeros.
    touched: usize,
}

impl Fenced {
    fn object(&self) -> Offset {
        self.at.plus(Granules::from_bytes_floor(self.pages.size()))
    }

    /// Returns a place in the block, `bytes` from its first fence on.
    fn place(&self, bytes: usize) -> NonNull<u8> {
        // SAFETY: in bounds: no more than the block has, by all callers.
        unsafe { self.start.add(bytes) }
    }

    /// Makes both fences inaccessible, or neither.
    fn raise(&self) -> bool {
        let page = self.pages.size();
        let last = self.place(page.wrapping_add(self.capacity));
        self.pages.hide(self.start, page) && (self.pages.hide(last, page) || !self.pages.show(self.start, page))
    }

    /// Makes all of it accessible.
    fn lower(&self) -> bool {
        let page = self.pages.size();
        self.pages.show(self.start, self.capacity.wrapping_add(page).wrapping_add(page))
    }
}

impl<P: Policy> Blocks<'_, P> {
    /// Takes a block for an object of `size` bytes between fences. `None` if there are no pages, or no room.
    fn take_fenced(&mut self, size: usize, alignment: usize) -> Option<Fenced> {
        let pages = self.ward.get()?.pages()?;
        let page = pages.size();
        if alignment > page {
            return None;
        }
        let capacity = size.checked_next_multiple_of(page)?;
        let total = capacity.checked_add(page)?.checked_add(page)?;
        let zeros_from = self.zeros_from();
        // Without fences it may be served yet.
        let start = self.alloc_or_empty(total, page).map_err(|error| self.counters.uncount_failure(error)).ok()?;
        let fenced = Fenced { pages, start, at: self.region.offset(start), capacity, touched: 0 };
        let object = start.addr().get().wrapping_add(page);
        let ward = self.ward.get_mut()?;
        ward.set_fence(fenced.at);
        ward.set_busy(fenced.object());
        Some(Fenced { touched: zeros_from.saturating_sub(object).min(capacity), ..fenced })
    }

    /// Notes that a fenced object of `size` bytes is live, and draws the pattern after it.
    fn finish_fenced(&mut self, fenced: &Fenced, size: usize) {
        let fence = Granules::from_bytes_floor(fenced.pages.size());
        self.draw(Object { at: fenced.object(), size, capacity: fenced.capacity, fence });
    }

    /// Frees the block of a fenced object that is accessible and zeros.
    fn release_fenced(&mut self, fenced: &Fenced) {
        let object = fenced.object();
        if let Some(ward) = self.ward.get_mut() {
            ward.forget(object);
            ward.forget(fenced.at);
        }
        if self.in_header(fenced.at).is_some() {
            self.rewrite_header(fenced.at);
        }
        // Not reached: a failure, which only destroyed bookkeeping has.
        let _ = self.free(fenced.at, AnySize);
    }

    /// Puts a fenced object that is inaccessible into quarantine, and returns one that leaves it.
    fn put_fenced_away(&mut self, object: &Object) -> Option<Fenced> {
        let size = Granules::from_bytes_floor(object.capacity);
        let leaves = self.ward.get_mut()?.push_fenced(object.at, size)?;
        self.leaving(leaves)
    }

    /// Returns a fenced object that leaves the quarantine: its owner is the caller.
    fn leaving(&mut self, at: Offset) -> Option<Fenced> {
        let capacity = self.fenced_capacity(at)?;
        let ward = self.ward.get_mut()?;
        let pages = ward.pages()?;
        ward.fenced_left(at, Granules::from_bytes_floor(capacity));
        let first = at.minus(Granules::from_bytes_floor(pages.size()));
        let start = self.region.granule(first)?;
        Some(Fenced { pages, start, at: first, capacity, touched: 0 })
    }

    /// Takes a fenced object out of the quarantine.
    fn pop_fenced(&mut self, only_surplus: bool) -> Option<Fenced> {
        let at = self.ward.get_mut()?.pop_fenced(only_surplus)?;
        self.leaving(at)
    }

    /// Returns the bytes between the fences of the block that a fenced object at `at` is in: whole pages.
    pub(crate) fn fenced_capacity(&self, at: Offset) -> Option<usize> {
        let page = self.ward.get()?.pages()?.size();
        let after = at.up_to(self.map.block_end(at)).bytes();
        (after & !page.wrapping_sub(1)).checked_sub(page)
    }

    /// Returns an address for an object of 0 bytes, if there is inaccessible memory with one that no object has.
    fn take_nothing(&mut self) -> Option<NonNull<u8>> {
        let at = self.ward.get_mut()?.take_nothing()?;
        self.region.granule(at)
    }

    /// Says what the inaccessible address at granule `at` belongs to.
    fn trap(&self, at: Offset, address: usize) -> Option<Trap> {
        let ward = self.ward.get()?;
        if !self.map.is_allocated(at) {
            return None;
        }
        let first = self.map.block_start(at).plus(Granules::HEADER);
        if ward.code(first) != Code::Fence {
            return None;
        }
        if ward.is_nothing(first) {
            return Some(Trap::NoBytes { address, object: self.region.address(at) });
        }
        let start = first.plus(Granules::from_bytes_floor(ward.pages()?.size()));
        let object = self.region.address(start);
        let Ok(Object { size, .. }) = self.object(start) else { return Some(Trap::AfterFree { address, object }) };
        let is_before = address < object;
        Some(if is_before {
            Trap::BeforeStart { address, object, size }
        } else {
            Trap::PastEnd { address, object, size }
        })
    }
}

impl<L: RawLock, P: Policy> Heap<'_, L, P> {
    /// Allocates `size` bytes between fences, or an address for 0 bytes. `None` if that cannot be had.
    pub(crate) fn alloc_fenced(&self, size: usize, alignment: usize) -> Result<Option<NonNull<u8>>, AllocError> {
        if size == 0 {
            return self.alloc_nothing(alignment);
        }
        let Some(fenced) = self.lock_blocks()?.take_fenced(size, alignment) else { return Ok(None) };
        if !fenced.raise() {
            let _ = fenced.lower();
            self.lock_blocks()?.release_fenced(&fenced);
            return Ok(None);
        }
        let object = fenced.place(fenced.pages.size());
        self.look(object, fenced.touched);
        self.lock_blocks()?.finish_fenced(&fenced, size);
        Ok(Some(object))
    }

    /// Returns an address for an object of 0 bytes. The first call sets inaccessible memory aside for all of them.
    fn alloc_nothing(&self, alignment: usize) -> Result<Option<NonNull<u8>>, AllocError> {
        if alignment > GRANULE {
            return Ok(None);
        }
        let mut blocks = self.lock_blocks()?;
        if let Some(place) = blocks.take_nothing() {
            return Ok(Some(place));
        }
        let is_made = blocks.ward.get().is_none_or(|ward| ward.has_nothing());
        let fenced = if is_made { None } else { blocks.take_fenced(NOTHING, GRANULE) };
        drop(blocks);
        let Some(fenced) = fenced else { return Ok(None) };
        let page = fenced.pages.size();
        let is_hidden = fenced.pages.hide(fenced.start, fenced.capacity.wrapping_add(page).wrapping_add(page));
        let mut blocks = self.lock_blocks()?;
        match blocks.ward.get_mut() {
            // Of several threads that came here at once, the first.
            Some(ward) if is_hidden && !ward.has_nothing() => {
                ward.forget(fenced.object());
                ward.set_nothing(fenced.at, Granules::from_bytes_floor(fenced.capacity));
                Ok(blocks.take_nothing())
            }
            _ => {
                drop(blocks);
                self.let_go(&fenced)?;
                Ok(self.lock_blocks()?.take_nothing())
            }
        }
    }

    /// Makes a fenced object inaccessible, which is nobody's, and puts it into quarantine. Frees what leaves that.
    pub(crate) fn hide_fenced(&self, object: &Object, place: NonNull<u8>) -> Result<(), AllocError> {
        let pages = self.lock_blocks()?.ward.get().and_then(|ward| ward.pages());
        let is_hidden = pages.is_some_and(|pages| pages.hide(place, object.capacity));
        if !is_hidden {
            // SAFETY: the object was live, is nobody's now, and has so many bytes.
            unsafe { bytes::fill(place, 0..object.capacity, 0) };
        }
        let leaves = self.lock_blocks()?.put_fenced_away(object);
        leaves.map_or(Ok(()), |fenced| self.let_go(&fenced))?;
        while self.free_fenced(true)? {}
        Ok(())
    }

    /// Makes a fenced object that has left the quarantine free memory. One that stays inaccessible is lost.
    fn let_go(&self, fenced: &Fenced) -> Result<(), AllocError> {
        if fenced.lower() {
            self.lock_blocks()?.release_fenced(fenced);
        }
        Ok(())
    }

    /// Frees a fenced object that is in quarantine, if there is one; of those that are too many if `only_surplus`.
    pub(crate) fn free_fenced(&self, only_surplus: bool) -> Result<bool, AllocError> {
        let Some(fenced) = self.lock_blocks()?.pop_fenced(only_surplus) else { return Ok(false) };
        self.let_go(&fenced)?;
        Ok(true)
    }

    /// Says what an address belongs to that cannot be accessed, as a handler of such a fault asks: an inaccessible page of a
    /// [hardened](crate::Hardened) heap. `None` for any other address, and if this thread is in the heap.
    pub fn trap(&self, address: usize) -> Option<Trap> {
        let granule = address & !(GRANULE - 1);
        match self.locate(core::ptr::without_provenance(granule)) {
            Place::Blocks(at) if P::HARDENED => self.lock_blocks().ok()?.trap(at, address),
            _ => None,
        }
    }
}
