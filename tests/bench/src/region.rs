//! The memory that the allocators are run over: mapped once a row and handed to each of them in turn.

use std::io;
use std::ptr;

/// Bytes of a page: what residence is counted in.
pub const PAGE: usize = 4096;

/// An anonymous private mapping, unmapped when dropped.
///
/// All subjects of a row run over the same one, one after the other, so that none has better pages than another.
#[derive(Debug)]
pub struct Region {
    base: *mut u8,
    size: usize,
}

// SAFETY: the mapping is plain memory and belongs to whoever holds the value; no thread owns it.
unsafe impl Send for Region {}
// SAFETY: sharing a region shares only its address and size; who writes where is the subjects' matter.
unsafe impl Sync for Region {}

impl Region {
    /// Maps `size` bytes, rounded up to pages. Nothing is resident yet.
    pub fn map(size: usize) -> io::Result<Self> {
        let size = size.next_multiple_of(PAGE);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory that is in use.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { base: base.cast(), size })
    }

    /// Makes every page resident, so that no page reason falls into a measurement.
    pub fn touch(&self) {
        for offset in (0..self.size).step_by(PAGE) {
            let byte = self.base.wrapping_add(offset);
            // SAFETY: `byte` lies in the mapping, which is writable, and no subject lives in it yet.
            unsafe { byte.write_volatile(1) };
        }
    }

    /// The first byte, at the start of a page.
    pub fn base(&self) -> *mut u8 {
        self.base
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no subject outlives the row that mapped it.
        unsafe { libc::munmap(self.base.cast(), self.size) };
    }
}
