//! Memory for a heap under test, at a chosen address within 8 KiB, dirty, and fenced with canary bytes.
//!
//! The heap's bytes and the test's looks at them go through one pointer, so that a test may read and overwrite what
//! the heap keeps in memory between two of its calls. That no byte outside was written is verified on drop.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;

use slabfit::{Config, FirstFit, General, Memory, NextFit, bookkeeping_size};

use crate::model::Placement;

/// The region's address is this much and the chosen offset above a multiple of it: it decides every alignment up to
/// here, that of the longest run, so that a seed replays whatever address the system's allocator gives.
pub const ALIGNED: usize = 8192;
/// Canary bytes between and behind the pieces.
const FENCE: usize = 128;
/// What lies in memory before the heap does: a heap must not mistake dirty memory for zeroed.
const DIRT: u8 = 0xA5;

/// The memory and the configuration of one heap.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Bytes of the region.
    pub size: usize,
    /// So many bytes behind a multiple of [`ALIGNED`] the region starts.
    pub offset: usize,
    /// Slots and the segment they lie in.
    pub config: Config,
    /// Where a search begins.
    pub placement: Placement,
    /// Where the heap keeps its bookkeeping.
    pub bookkeeping: Bookkeeping,
}

/// Where a heap keeps its bookkeeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bookkeeping {
    /// At the start of the region.
    Carved,
    /// In a second, dirty piece of memory, so many bytes behind a multiple of 64.
    Separate(usize),
    /// In a second piece of memory that is all zero, as is the region.
    Zeroed,
}

impl Setup {
    /// A heap of `size` bytes at a multiple of [`ALIGNED`], with next fit and its bookkeeping elsewhere: nothing moves the
    /// addresses, so that scenarios can name them.
    pub fn plain(size: usize, slab_size: usize) -> Self {
        let (placement, bookkeeping) = (Placement::NextFit, Bookkeeping::Separate(0));
        Self { size, offset: 0, config: Config::new(slab_size), placement, bookkeeping }
    }

    /// Memory as the setup says.
    pub fn arena(&self) -> Arena {
        let needed = bookkeeping_for(self.size, self.config, self.placement);
        match self.bookkeeping {
            Bookkeeping::Carved => Arena::new(self.size, self.offset, self.config.reserve, None, false),
            Bookkeeping::Separate(at) => {
                Arena::new(self.size, self.offset, self.config.reserve, Some((needed, at)), false)
            }
            Bookkeeping::Zeroed => Arena::new(self.size, self.offset, self.config.reserve, Some((needed, 0)), true),
        }
    }
}

/// [`bookkeeping_size`] for a policy that is a value.
pub fn bookkeeping_for(heap_size: usize, config: Config, placement: Placement) -> usize {
    match placement {
        Placement::NextFit => bookkeeping_size::<NextFit>(heap_size, config),
        Placement::FirstFit => bookkeeping_size::<FirstFit>(heap_size, config),
        Placement::General => bookkeeping_size::<General>(heap_size, config),
    }
}

/// One heap's memory. The fences are verified when it is dropped.
pub struct Arena {
    memory: NonNull<u8>,
    layout: Layout,
    /// Offsets of the caller's pieces from `memory`.
    region: Range<usize>,
    bookkeeping: Option<Range<usize>>,
    zeroed: bool,
}

impl Arena {
    /// A region of `size` bytes, `offset` bytes behind a multiple of [`ALIGNED`], that the heap carves its bookkeeping from.
    pub fn carved(size: usize, offset: usize) -> Self {
        Self::new(size, offset, 0, None, false)
    }

    /// The same, with a second piece of `bookkeeping` bytes. `bookkeeping_offset` chooses how that is aligned.
    pub fn separate(size: usize, offset: usize, bookkeeping: usize, bookkeeping_offset: usize) -> Self {
        Self::new(size, offset, 0, Some((bookkeeping, bookkeeping_offset)), false)
    }

    /// The same, all zero, as fresh memory of the system is.
    pub fn zeroed(size: usize, offset: usize, bookkeeping: usize) -> Self {
        Self::new(size, offset, 0, Some((bookkeeping, 0)), true)
    }

    /// `reserve` bytes after the region can become part of it.
    fn new(size: usize, offset: usize, reserve: usize, second: Option<(usize, usize)>, zeroed: bool) -> Self {
        let region = ALIGNED + offset..ALIGNED + offset + size;
        let bookkeeping = second.map(|(size, offset)| {
            let start = (region.end + reserve + FENCE).next_multiple_of(64) + offset;
            start..start + size
        });
        let end = bookkeeping.as_ref().map_or(region.end + reserve, |second| second.end) + FENCE;
        let layout = Layout::from_size_align(end, ALIGNED).expect("a size that fits");
        // SAFETY: the layout's size is not zero, as it holds the fences.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) });
        let memory = memory.unwrap_or_else(|| handle_alloc_error(layout));
        // SAFETY: the bytes are initialised, inside one allocation, and nobody else has them yet.
        let bytes = unsafe { slice::from_raw_parts_mut(memory.as_ptr(), end) };
        let arena = Self { memory, layout, region, bookkeeping, zeroed };
        for fence in arena.fences() {
            for at in fence {
                bytes[at] = canary(at);
            }
        }
        if !zeroed {
            bytes[arena.region.clone()].fill(DIRT);
            bytes[arena.bookkeeping.clone().unwrap_or_default()].fill(DIRT);
        }
        arena
    }

    /// The pieces, for a heap.
    ///
    /// # Safety
    /// One heap at a time is made of them, only one where they are zeros, and none is used after the arena is dropped. The arena's other methods
    /// are not called while another thread uses the heap.
    pub unsafe fn memory(&self) -> Memory<'static> {
        let region = self.pointer(self.region.start);
        let Some(bookkeeping) = &self.bookkeeping else {
            // SAFETY: the region is writable and lives as long as the arena does, which the caller sees to; the
            // caller also sees to it that no other heap has it.
            return unsafe { Memory::from_raw(region, self.region.len()) };
        };
        let second = self.pointer(bookkeeping.start);
        // SAFETY: both pieces are writable, disjoint, and live as long as the arena does, which the caller sees to;
        // the caller also sees to it that no other heap has them.
        let memory = unsafe { Memory::from_raw_parts(region, self.region.len(), second, bookkeeping.len()) };
        // SAFETY: zero bytes, as `new` has left them.
        if self.zeroed { unsafe { memory.assume_zeroed() } } else { memory }
    }

    /// Moves the region's end to an address within the reserve. What becomes part of the region is zeros where all of it was, and dirty
    /// otherwise.
    pub fn extend_to(&mut self, address: usize) {
        let (old, new) = (self.region.end, address - self.memory.addr().get());
        self.region.end = new;
        let byte = if self.zeroed { 0 } else { DIRT };
        if let Some(len) = new.checked_sub(old) {
            let start = self.pointer(old).addr();
            self.view_mut(start, len).fill(byte);
        }
    }

    /// Address of the region's first byte.
    pub fn base(&self) -> usize {
        self.pointer(self.region.start).addr()
    }

    /// Bytes of the region.
    pub fn size(&self) -> usize {
        self.region.len()
    }

    /// Overwrites bytes of the region.
    pub fn write(&mut self, address: usize, bytes: &[u8]) {
        self.view_mut(address, bytes.len()).copy_from_slice(bytes);
    }

    /// Bytes of the region. (No heap can write them meanwhile: its calls would have to come from this thread.)
    pub fn view(&self, address: usize, len: usize) -> &[u8] {
        let start = self.pointer(self.offset_of(address, len));
        // SAFETY: the bytes are initialised and lie inside the allocation, as `offset_of` has made sure. Only a heap
        // could write them, and its user has promised not to do so from another thread.
        unsafe { slice::from_raw_parts(start, len) }
    }

    /// Bytes of the region, to be overwritten.
    pub fn view_mut(&mut self, address: usize, len: usize) -> &mut [u8] {
        let start = self.pointer(self.offset_of(address, len));
        // SAFETY: as in `view`; and the arena is borrowed mutably, so that there is no other view.
        unsafe { slice::from_raw_parts_mut(start, len) }
    }

    /// Writes the pattern of `tag` into bytes of the region.
    pub fn fill(&mut self, address: usize, len: usize, tag: u8) {
        for (at, byte) in self.view_mut(address, len).iter_mut().enumerate() {
            *byte = pattern(tag, at);
        }
    }

    /// Whether bytes of the region hold the pattern of `tag`.
    pub fn is_filled(&self, address: usize, len: usize, tag: u8) -> bool {
        self.view(address, len).iter().enumerate().all(|(at, &byte)| byte == pattern(tag, at))
    }

    /// Whether no byte outside the pieces was written.
    pub fn is_intact(&self) -> bool {
        self.fences().into_iter().all(|fence| {
            let start = self.pointer(fence.start);
            // SAFETY: the bytes are initialised and lie inside the allocation; no heap may write them.
            let bytes = unsafe { slice::from_raw_parts(start, fence.len()) };
            bytes.iter().zip(fence).all(|(&byte, at)| byte == canary(at))
        })
    }

    /// The bytes outside the pieces.
    fn fences(&self) -> [Range<usize>; 3] {
        let end = self.layout.size();
        let second = self.bookkeeping.clone().unwrap_or(end..end);
        [0..self.region.start, self.region.end..second.start, second.end..end]
    }

    fn offset_of(&self, address: usize, len: usize) -> usize {
        let offset = address.wrapping_sub(self.memory.addr().get());
        assert!(
            self.region.contains(&offset) && len <= self.region.end - offset,
            "{len} bytes at {address:#x} are not all in the region"
        );
        offset
    }

    fn pointer(&self, at: usize) -> *mut u8 {
        assert!(at <= self.layout.size());
        // SAFETY: the offset lies inside the allocation, or just behind it.
        unsafe { self.memory.as_ptr().add(at) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let intact = self.is_intact();
        // SAFETY: `memory` was allocated with this layout, and the user has promised that no heap uses it any more.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
        assert!(intact || std::thread::panicking(), "the heap wrote outside its memory");
    }
}

/// What stands at an offset outside the pieces.
fn canary(at: usize) -> u8 {
    (at % 251) as u8 ^ 0xC3
}

/// The byte at each place of an object with this tag.
fn pattern(tag: u8, at: usize) -> u8 {
    let [low, high, ..] = at.to_le_bytes();
    low.wrapping_mul(29).wrapping_add(tag) ^ high
}
