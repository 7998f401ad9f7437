//! An allocator with its heap made: what the suites ask for memory, with every answer doubted.

use core::fmt;
use core::ptr::NonNull;

use serde::{Deserialize, Serialize};

use crate::tester::allocator::{Allocator, NotResized, Refusal, Refused};
use crate::tester::drawing::Picture;
use crate::tester::sys;
use crate::tester::window::{GRANULE, Object, Window};

/// What an allocator did that it must not do, as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Failure {}

/// Ends a check with a [`Failure`] written as `format!` writes.
macro_rules! fail {
    ($($text:tt)*) => { return Err($crate::tester::session::Failure(format!($($text)*))) };
}
pub(crate) use fail;

/// Who served an object; its address and its size tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// A slot of the slab.
    Slab,
    /// Something else, although a slot of the slab has that size.
    Spilled,
    /// A size class. (Or a block, where the class could have no run: its size alone does not tell.)
    Class,
    /// A block.
    Block,
}

/// How many objects were served by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// By a slot of the slab.
    pub slab: u64,
    /// By something else, because no slot of the slab was free.
    pub spilled: u64,
    /// By a size class.
    pub class: u64,
    /// By a block.
    pub block: u64,
}

/// How many requests got no memory, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Too few bytes were free.
    pub full: u64,
    /// Enough were free, but not side by side.
    pub fragmented: u64,
    /// The library did not say.
    pub unexplained: u64,
}

impl Failed {
    /// Counts one more.
    pub fn count(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::Full => self.full += 1,
            Refusal::Fragmented => self.fragmented += 1,
            Refusal::Null => self.unexplained += 1,
        }
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.full + self.fragmented + self.unexplained
    }
}

impl Served {
    /// Counts one more.
    pub fn count(&mut self, server: Server) {
        match server {
            Server::Slab => self.slab += 1,
            Server::Spilled => self.spilled += 1,
            Server::Class => self.class += 1,
            Server::Block => self.block += 1,
        }
    }
}

/// A heap that is ready for requests.
pub struct Session<'a> {
    allocator: &'a dyn Allocator,
    window: Window,
    slab_size: usize,
    largest_class: usize,
}

impl<'a> Session<'a> {
    /// Makes the heap: `size` bytes, which the contract rounds up to whole pages.
    ///
    /// # Errors
    /// The allocator refused to.
    pub fn begin(allocator: &'a dyn Allocator, size: usize, slab_size: usize) -> Result<Self, Failure> {
        let base = allocator.init(signed(size), signed(slab_size));
        let base = base.map_err(|why| Failure(format!("Mem_Init({size}, {slab_size}): {why}")))?;
        if base.addr().get() % GRANULE != 0 {
            fail!("Mem_Init({size}, {slab_size}) returned {base:p}, which is not a multiple of {GRANULE}");
        }
        let size = size.next_multiple_of(sys::page_size());
        // SAFETY: the allocator says that its heap begins at `base`, and by the contract the whole of it, rounded up to
        // pages, is memory of the process until the process ends or the allocator, which `'a` outlives, is dropped. A
        // library for which that is not true is stopped by the kernel, which is what the child process is for.
        let window = unsafe { Window::new(base, size) };
        Ok(Self { allocator, window, slab_size, largest_class: allocator.largest_class() })
    }

    /// The heap's memory.
    #[must_use]
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Bytes in the heap.
    #[must_use]
    pub fn size(&self) -> usize {
        self.window.size()
    }

    /// Slot size of the slab, in bytes.
    #[must_use]
    pub fn slab_size(&self) -> usize {
        self.slab_size
    }

    /// Offset of the block segment's first byte: the first quarter is the slab's.
    #[must_use]
    pub fn next_fit_start(&self) -> usize {
        self.size() / 4 / GRANULE * GRANULE
    }

    /// The largest request that an empty block segment serves.
    #[must_use]
    pub fn largest_request(&self) -> usize {
        self.size() - self.next_fit_start() - GRANULE
    }

    /// Asks for `size` bytes. The outer error is a failure of the allocator, the inner one its right.
    ///
    /// # Errors
    /// The object does not lie in the heap, or not at a multiple of 16.
    pub fn alloc(&self, size: usize) -> Result<Result<Object, Refusal>, Failure> {
        match self.allocator.alloc(signed(size)) {
            Err(refusal) => Ok(Err(refusal)),
            Ok(address) => self.placed(address, size).map(Ok),
        }
    }

    /// Frees a live object.
    ///
    /// # Errors
    /// The allocator refused it.
    pub fn free(&self, object: Object) -> Result<(), Failure> {
        let address = self.window.address(object).as_ptr();
        // SAFETY: a session's objects are used by the suite that asked for them, which gives this one up.
        let freed = unsafe { self.allocator.free(address) };
        freed.map_err(|refused| Failure(format!("Mem_Free({}) of a live object: {refused}", Place(object.offset()))))
    }

    /// Gives a live object another size.
    ///
    /// # Errors
    /// As [`alloc`](Self::alloc), or the allocator refused the object.
    pub fn realloc(&self, object: Object, size: usize) -> Result<Result<Object, Refusal>, Failure> {
        let address = self.window.address(object);
        // SAFETY: a session's objects are used by the suite that asked for them, which uses the new one from here on.
        match unsafe { self.allocator.realloc(address, object.size(), signed(size)) } {
            Ok(moved) => self.placed(moved, size).map(Ok),
            Err(NotResized::NoRoom(refusal)) => Ok(Err(refusal)),
            Err(NotResized::Refused(Refused(why))) => {
                fail!("resizing the live object at {} to {size} bytes: {why}", Place(object.offset()))
            }
        }
    }

    /// Passes any address to `Mem_Free`.
    ///
    /// # Errors
    /// The allocator refused it.
    ///
    /// # Safety
    /// If a live object begins there, nobody uses it any more.
    pub unsafe fn free_address(&self, address: *mut u8) -> Result<(), Refused> {
        // SAFETY: handed on.
        unsafe { self.allocator.free(address) }
    }

    /// Whether `object` still holds the pattern of `id`.
    ///
    /// # Errors
    /// Somebody else has written into it.
    pub fn verify(&self, object: Object, id: u64) -> Result<(), Failure> {
        let Err(wrong) = self.window.verify(object, id) else { return Ok(()) };
        fail!(
            "byte {} of the {} bytes at {} was {:#04x} and is {:#04x}: its memory was handed out twice or written to",
            wrong.at,
            object.size(),
            Place(object.offset()),
            wrong.expected,
            wrong.found
        )
    }

    /// Who served `object`.
    #[must_use]
    pub fn server(&self, object: Object) -> Server {
        if object.offset() < self.next_fit_start() {
            Server::Slab
        } else if object.size() == self.slab_size {
            Server::Spilled
        } else if object.size() <= self.largest_class {
            Server::Class
        } else {
            Server::Block
        }
    }

    /// What must hold once every object is freed: the allocator finds nothing wrong with itself, and what is free lies
    /// side by side.
    ///
    /// # Errors
    /// What does not hold.
    pub fn end(&self) -> Result<(), Failure> {
        self.check()?;
        let size = self.largest_request();
        let Ok(object) = self.alloc(size)? else {
            fail!("everything is freed, yet {size} bytes, all that next fit has, are refused");
        };
        if object.offset() != self.next_fit_start() + GRANULE {
            fail!("everything is freed, yet {size} bytes are served at {}", Place(object.offset()));
        }
        self.free(object)?;
        self.check()
    }

    /// The allocator's own opinion.
    ///
    /// # Errors
    /// What it finds.
    pub fn check(&self) -> Result<(), Failure> {
        self.allocator.check().map_err(|what| Failure(format!("the heap's own check finds: {what}")))
    }

    /// The slab and the block segment with `objects` live, drawn in at most `width` characters each.
    #[must_use]
    pub fn draw(&self, objects: impl IntoIterator<Item = Object>, width: usize) -> Picture {
        match self.allocator.blocks() {
            Some(blocks) => Picture::of_blocks(&blocks, self.next_fit_start(), self.size(), width),
            None => Picture::draw(objects, self.next_fit_start(), self.size(), width),
        }
    }

    fn placed(&self, address: NonNull<u8>, size: usize) -> Result<Object, Failure> {
        let offset = address.addr().get().wrapping_sub(self.window.base().addr()) as isize;
        let Some(object) = self.window.object(address, size) else {
            fail!("{size} bytes were served at {}, not inside the heap of {} bytes", Place(offset), self.size());
        };
        if address.addr().get() % GRANULE != 0 {
            fail!(
                "{size} bytes were served at {}, whose address {address:p} is not a multiple of {GRANULE}",
                Place(offset)
            );
        }
        Ok(object)
    }
}

/// An address as the heap's first byte and a distance from it.
pub struct Place<T>(pub T);

impl fmt::Display for Place<usize> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "base + {}", self.0)
    }
}

impl fmt::Display for Place<isize> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "base {sign} {}", self.0.unsigned_abs())
    }
}

/// A size as C has it. What does not fit is larger than any heap, as the largest that fits is.
fn signed(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}
