//! Text to a file descriptor, without allocating and without libc's streams.
#![allow(unsafe_code)]

use core::fmt;

use rustix::fd::BorrowedFd;
use rustix::io::{Errno, write};

/// The program's standard error. Where the program closed it the kernel says so, and where the program put another file in
/// its place, that file is its standard error.
// SAFETY: only its number is ever used, in calls that take any.
pub(crate) const STDERR: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(2) };

/// More than the longest line there is, so that a line arrives in one piece, between the lines of other threads.
const BUFFER: usize = 512;

/// A buffer in front of a file; what is left in it is written when it is dropped.
///
/// `errno` stays what it was: the kernel is asked directly.
pub(crate) struct Output<'f> {
    file: BorrowedFd<'f>,
    buffer: [u8; BUFFER],
    len: usize,
}

impl<'f> Output<'f> {
    pub(crate) fn to(file: BorrowedFd<'f>) -> Self {
        Self { file, buffer: [0; BUFFER], len: 0 }
    }

    /// Writes what is in the buffer.
    pub(crate) fn flush(&mut self) -> fmt::Result {
        let mut rest = self.buffer.get(..self.len).unwrap_or_default();
        self.len = 0;
        while !rest.is_empty() {
            match write(self.file, rest) {
                Ok(0) => return Err(fmt::Error),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(_) => return Err(fmt::Error),
            }
        }
        Ok(())
    }
}

impl fmt::Write for Output<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.len == BUFFER {
                self.flush()?;
            }
            if let Some(place) = self.buffer.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        // A stream that takes no more is no fault of the heap, and there is nobody to tell.
        let _ = self.flush();
    }
}
