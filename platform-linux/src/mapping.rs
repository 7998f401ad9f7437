//! A heap's memory as the kernel gives it: its pages and its bookkeeping's, each between guard pages.
//!
//! ```text
//! | guard | heap pages | guard | bookkeeping pages | guard |
//! ```
//! The heap starts at a multiple of 8 KiB, the longest run of a size class, so that a program's requests are served at the same places
//! wherever the kernel maps it.
//!
//! One reservation without access, of which the two parts are then made accessible. A write that runs past either end of
//! the heap stops at a guard, and nothing in the heap is near enough to the bookkeeping to reach it by accident.
//!
//! The memory is charged when it is made accessible (no `MAP_NORESERVE`): under strict accounting a heap that the machine
//! cannot hold is refused here, not by a signal in the middle of a program. It becomes resident page by page as it is
//! touched. Whether the kernel gives huge pages is left to its settings: under `transparent_hugepage=always` the smallest
//! piece that becomes resident is 2 MiB.
#![allow(unsafe_code)]

use core::error::Error;
use core::ffi::c_void;
use core::fmt;
use core::ops::Range;
use core::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// The kernel gave no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SystemError {
    /// There is not enough of it, or of addresses (`ENOMEM`).
    OutOfMemory,
    /// It refused for another reason, as a seccomp filter does.
    Refused {
        /// The kernel's error number.
        errno: i32,
    },
}

/// Two pieces of zeroed memory between guard pages; unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<c_void>,
    page: usize,
    /// Bytes before the heap: a guard.
    front: usize,
    heap: usize,
    bookkeeping: usize,
    whole: usize,
}

// SAFETY: a mapping belongs to the process and not to the thread that made it, and no other value names this one.
unsafe impl Send for Mapping {}
// SAFETY: through a shared reference only numbers can be read.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `heap` and `bookkeeping` bytes, each rounded up to whole pages.
    ///
    /// # Errors
    /// What the kernel says, and [`SystemError::OutOfMemory`] where the sum is no number of bytes. Then nothing stays
    /// mapped.
    pub fn new(heap: usize, bookkeeping: usize) -> Result<Self, SystemError> {
        let page = page_size()?;
        let heap = heap.checked_next_multiple_of(page).ok_or(SystemError::OutOfMemory)?;
        let bookkeeping = bookkeeping.checked_next_multiple_of(page).ok_or(SystemError::OutOfMemory)?;
        let whole = heap.checked_add(bookkeeping).and_then(|both| both.checked_add(page * GUARDS + ALIGNMENT));
        // Past isize::MAX, which some 32-bit kernels would still map, a pointer could not be moved across it.
        let whole = whole.filter(|&bytes| isize::try_from(bytes).is_ok()).ok_or(SystemError::OutOfMemory)?;
        let start = reserve(whole)?;
        // Owned from here on: whichever step fails, dropping it unmaps all.
        let front = (start.addr().get() + page).next_multiple_of(ALIGNMENT) - start.addr().get();
        let mapping = Self { start, page, front, heap, bookkeeping, whole };
        open(mapping.heap())?;
        open(mapping.bookkeeping())?;
        Ok(mapping)
    }

    /// The heap's bytes.
    pub fn heap(&self) -> NonNull<[u8]> {
        self.part(self.front, self.heap)
    }

    /// The bookkeeping's bytes.
    pub fn bookkeeping(&self) -> NonNull<[u8]> {
        self.part(self.front + self.heap + self.page, self.bookkeeping)
    }

    /// Bytes of a page.
    pub(crate) fn page(&self) -> usize {
        self.page
    }

    /// The addresses of all of it, guard pages included.
    pub fn addresses(&self) -> Range<usize> {
        let start = self.start.addr().get();
        start..start + self.whole
    }

    fn part(&self, offset: usize, len: usize) -> NonNull<[u8]> {
        // SAFETY: `new` reserved `whole` bytes from `start` on, and both parts lie inside them.
        let first = unsafe { self.start.byte_add(offset) };
        NonNull::slice_from_raw_parts(first.cast(), len)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the pages are this value's alone, and whoever made pointers into them was told by `heap` and
        // `bookkeeping`, which hand out raw ones, that they end with it.
        let unmapped = unsafe { munmap(self.start.as_ptr(), self.whole) };
        // It fails only where the kernel has no memory left to note that a neighbour became two; the pages then stay.
        let _ = unmapped;
    }
}

/// In front of the heap, between the heap and its bookkeeping, and after.
const GUARDS: usize = 3;

/// What the heap's address is a multiple of.
const ALIGNMENT: usize = 8192;

/// What may be done to a guard.
const CLOSED: ProtFlags = ProtFlags::empty();

/// Addresses without access.
fn reserve(len: usize) -> Result<NonNull<c_void>, SystemError> {
    // SAFETY: without a wish for an address the kernel gives one where nothing is mapped.
    let start = unsafe { mmap_anonymous(ptr::null_mut(), len, CLOSED, MapFlags::PRIVATE) };
    NonNull::new(start.map_err(SystemError::of)?).ok_or(SystemError::OutOfMemory)
}

/// Makes a part of a reservation readable and writable.
fn open(part: NonNull<[u8]>) -> Result<(), SystemError> {
    let access = MprotectFlags::READ | MprotectFlags::WRITE;
    // SAFETY: the pages were reserved by `reserve` and nothing points at them yet.
    unsafe { mprotect(part.as_ptr().cast(), part.len(), access) }.map_err(SystemError::of)
}

/// x86 has pages of 4096 bytes and no others.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
pub(crate) fn page_size() -> Result<usize, SystemError> {
    Ok(4096)
}

/// Elsewhere the kernel's configuration decides. The auxiliary vector, which says it, is libc's to keep; but the kernel
/// also tells by refusing to protect anything that does not start at a page.
#[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
pub(crate) fn page_size() -> Result<usize, SystemError> {
    const SMALLEST: usize = 4096;
    const LARGEST: usize = 256 * 1024;
    let probe = Mapping {
        start: reserve(2 * LARGEST)?,
        page: 0,
        front: 0,
        heap: 2 * LARGEST,
        bookkeeping: 0,
        whole: 2 * LARGEST,
    };
    let mut size = SMALLEST;
    while size < LARGEST {
        let rest = probe.part(size, LARGEST);
        // SAFETY: the pages were reserved by `reserve`, nothing points at them, and no access is what they have.
        if unsafe { mprotect(rest.as_ptr().cast(), rest.len(), MprotectFlags::empty()) }.is_ok() {
            break;
        }
        size *= 2;
    }
    Ok(size)
}

impl SystemError {
    // No `From`: rustix is no part of what this crate promises.
    fn of(errno: Errno) -> Self {
        if errno == Errno::NOMEM { Self::OutOfMemory } else { Self::Refused { errno: errno.raw_os_error() } }
    }
}

impl fmt::Display for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => f.write_str("the system is out of memory"),
            Self::Refused { errno } => write!(f, "the system refused memory with error {errno}"),
        }
    }
}

impl Error for SystemError {}
