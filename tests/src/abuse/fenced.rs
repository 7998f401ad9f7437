//! Memory for a heap, each piece flush with an inaccessible page: one byte too far is the end of the process.

use std::ptr::NonNull;
use std::slice;

use slabfit::{Config, Memory};
use slabfit_linux::Mapping;

use crate::arena::{ALIGNED, bookkeeping_for};
use crate::model::Placement;

/// What lies in the pages before the heap does, and beside its pieces for good.
const DIRT: u8 = 0xA5;

/// Which end of a piece is flush with an inaccessible page. The other end is as near to one as the piece's size, in
/// whole pages, leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The first byte follows one.
    Low,
    /// The last byte is followed by one.
    High,
}

/// A heap to be abused.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Bytes of the region, a multiple of 16.
    pub size: usize,
    /// Slots and the segment they lie in.
    pub config: Config,
    /// Where a search begins.
    pub placement: Placement,
    /// Whether the bookkeeping is carved from the region.
    pub carved: bool,
    /// Where the inaccessible page is.
    pub edge: Edge,
}

impl Case {
    /// The memory part.
    pub fn memory(&self) -> Fenced {
        let second = (!self.carved).then(|| bookkeeping_for(self.size, self.config, self.placement));
        Fenced::new(self.size, second, self.edge)
    }
}

/// A region, and maybe a second piece for the bookkeeping.
pub struct Fenced {
    mapping: Mapping,
    region: NonNull<[u8]>,
    bookkeeping: Option<NonNull<[u8]>>,
}

impl Fenced {
    /// Dirty memory of so many bytes, with a second piece if that has a size.
    ///
    /// # Panics
    /// If the system has no memory.
    pub fn new(size: usize, bookkeeping: Option<usize>, edge: Edge) -> Self {
        let mapping = aligned_mapping(size.max(1), bookkeeping.unwrap_or(1).max(1));
        for part in [mapping.heap(), mapping.bookkeeping()] {
            // SAFETY: the part was just mapped, is writable, and nobody else has it.
            unsafe { part.cast::<u8>().write_bytes(DIRT, part.len()) };
        }
        let region = flush(mapping.heap(), size, edge);
        let bookkeeping = bookkeeping.map(|size| flush(mapping.bookkeeping(), size, edge));
        Self { mapping, region, bookkeeping }
    }

    /// The pieces, for a heap.
    ///
    /// # Safety
    /// One heap at a time is made of them, none is used after this is dropped, and no other thread is in the heap while
    /// the methods of this are called.
    pub unsafe fn memory(&self) -> Memory<'static> {
        let region: NonNull<u8> = self.region.cast();
        match self.bookkeeping {
            // SAFETY: the piece is readable, writable and the caller's until this is dropped.
            None => unsafe { Memory::from_raw(region.as_ptr(), self.region.len()) },
            // SAFETY: as above for both, which lie in different mappings.
            Some(second) => unsafe {
                Memory::from_raw_parts(region.as_ptr(), self.region.len(), second.cast().as_ptr(), second.len())
            },
        }
    }

    /// Address of the region's first byte.
    pub fn base(&self) -> usize {
        self.region.cast::<u8>().addr().get()
    }

    /// The region's bytes. (The heap cannot write them meanwhile: its calls would have to come from this thread.)
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped, initialised by `new`, and nobody writes them meanwhile.
        unsafe { self.region.as_ref() }
    }

    /// The region's bytes, to be overwritten.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`; this is borrowed mutably, so there is no other view.
        unsafe { self.region.as_mut() }
    }

    /// The bytes of the second piece; none where the bookkeeping is carved.
    pub fn bookkeeping(&self) -> &[u8] {
        // SAFETY: as for `bytes`.
        self.bookkeeping.map_or(&[], |piece| unsafe { slice::from_raw_parts(piece.cast().as_ptr(), piece.len()) })
    }

    /// The bytes of the second piece, to be overwritten.
    pub fn bookkeeping_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes_mut`.
        self.bookkeeping
            .map_or(&mut [], |piece| unsafe { slice::from_raw_parts_mut(piece.cast().as_ptr(), piece.len()) })
    }

    /// Whether no byte beside the pieces, in their own pages, was written.
    pub fn is_clean_outside(&self) -> bool {
        let second = self.bookkeeping.unwrap_or(self.mapping.bookkeeping());
        is_clean(self.mapping.heap(), self.region)
            && (self.bookkeeping.is_none() || is_clean(self.mapping.bookkeeping(), second))
    }
}

/// A mapping whose heap starts at a multiple of [`ALIGNED`], so that a seed replays wherever the system maps it.
fn aligned_mapping(heap: usize, bookkeeping: usize) -> Mapping {
    // The next mapping lies beside the last: what was mapped elsewhere is kept until the end, and made an odd number of pages.
    let mut elsewhere = Vec::new();
    loop {
        let mapping = Mapping::new(heap, bookkeeping).expect("there is memory");
        if mapping.heap().cast::<u8>().addr().get() % ALIGNED == 0 {
            return mapping;
        }
        if mapping.addresses().len() % ALIGNED == 0 {
            // Two pages and three guards.
            elsewhere.push(Mapping::new(1, 1).expect("there is memory"));
        }
        elsewhere.push(mapping);
    }
}

/// The `size` bytes at one end of a mapped part.
fn flush(part: NonNull<[u8]>, size: usize, edge: Edge) -> NonNull<[u8]> {
    let skip = match edge {
        Edge::Low => 0,
        Edge::High => part.len() - size,
    };
    // SAFETY: the part has at least `size` bytes, so that skipping the others stays inside of it.
    let start = unsafe { part.cast::<u8>().add(skip) };
    NonNull::slice_from_raw_parts(start, size)
}

fn is_clean(part: NonNull<[u8]>, piece: NonNull<[u8]>) -> bool {
    // SAFETY: mapped, initialised by `new`, and nobody writes it meanwhile.
    let bytes = unsafe { part.as_ref() };
    let before = piece.cast::<u8>().addr().get() - part.cast::<u8>().addr().get();
    let behind = before + piece.len();
    bytes[..before].iter().chain(&bytes[behind..]).all(|&byte| byte == DIRT)
}
