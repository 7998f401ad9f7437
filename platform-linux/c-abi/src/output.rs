//! Text to a file descriptor, without allocating and without libc's streams.
#![allow(unsafe_code)]

use core::fmt;

use rustix::fd::BorrowedFd;
use rustix::io::{Errno, write};

/// More than the longest line there is, so that a line arrives in one piece, between the lines of other threads.
const BUFFER: usize = 512;

/// Where text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout = 1,
    Stderr = 2,
}

/// A buffer in front of a stream; what is left in it is written when it is dropped.
pub(crate) struct Output {
    stream: Stream,
    buffer: [u8; BUFFER],
    len: usize,
}

impl Output {
    pub(crate) fn to(stream: Stream) -> Self {
        Self { stream, buffer: [0; BUFFER], len: 0 }
    }

    fn flush(&mut self) -> fmt::Result {
        let mut rest = self.buffer.get(..self.len).unwrap_or_default();
        self.len = 0;
        while !rest.is_empty() {
            // SAFETY: it is borrowed for this one call. Where the program closed it the kernel says so, and where the
            // program put another file in its place, that file is its standard stream.
            let stream = unsafe { BorrowedFd::borrow_raw(self.stream as i32) };
            match write(stream, rest) {
                Ok(0) => return Err(fmt::Error),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(_) => return Err(fmt::Error),
            }
        }
        Ok(())
    }
}

impl fmt::Write for Output {
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

impl Drop for Output {
    fn drop(&mut self) {
        // A stream that takes no more is no fault of the heap, and there is nobody to tell.
        let _ = self.flush();
    }
}
