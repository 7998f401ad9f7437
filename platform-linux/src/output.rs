//! Text to a file, without allocating and without libc's streams.
//!
//! `errno` stays what it was: the kernel is asked directly.
#![allow(unsafe_code)]

use core::fmt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, tell};
use rustix::io::{Errno, write};
use rustix::process::{Resource, getrlimit};

/// More than the longest line there is, so that a line arrives in one piece, between the lines of other threads.
const BUFFER: usize = 512;

/// Text on its way to a file: `N` bytes are kept back at most, and written when there are more, at [`flush`](Self::flush), or
/// when this is dropped.
///
/// For what must say something in the middle of a program's own malloc, or in a signal handler. In one of these the
/// program's own streams may be in any state.
pub struct Output<const N: usize = BUFFER> {
    file: BorrowedFd<'static>,
    buffer: [u8; N],
    len: usize,
}

impl Output {
    /// To the program's standard output: the file that it has under that number at the time. If it has none, what is written
    /// fails.
    #[must_use]
    pub fn stdout() -> Self {
        // SAFETY: the number is what makes a file the standard output, so that it is this whichever file it is.
        unsafe { Self::to(1) }
    }

    /// To the program's standard error, in the same way.
    #[must_use]
    pub fn stderr() -> Self {
        // SAFETY: as for standard output.
        unsafe { Self::to(2) }
    }

    /// To the file of this number, which is not closed in the end.
    ///
    /// # Safety
    /// The number is not negative. While this value lives, the file that is open under it is one that the text may go to.
    #[must_use]
    pub unsafe fn to(number: i32) -> Self {
        // SAFETY: not -1, and the file may be written to, as the caller promises. (It is no harm if none is open: the number is
        // only used for `write`, which then says so.)
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        Self { file, buffer: [0; BUFFER], len: 0 }
    }
}

impl<const N: usize> Output<N> {
    /// Returns an output to the same file for longer lines. A line of at most `M` bytes arrives in one piece, as far as a pipe takes
    /// so many at once (4096 on Linux). Buffered text is written first.
    #[must_use]
    pub fn with_lines_of<const M: usize>(self) -> Output<M> {
        Output { file: self.file, buffer: [0; M], len: 0 }
    }

    /// Whether a write would raise SIGPIPE, as the other end is closed: it ends the program, and a line of ours is not worth
    /// that. (One that is closed in this very moment is not seen.)
    fn is_broken(&self) -> bool {
        // No event is asked for: these two are told of in any case.
        let mut files = [PollFd::new(&self.file, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Where it fails it tells nothing.
        let _ = poll(&mut files, Some(&now));
        files.iter().any(|file| file.revents().intersects(PollFlags::ERR.union(PollFlags::HUP)))
    }

    /// Whether a write would raise SIGXFSZ, as the file is as large as the process may make one: that ends the program, too.
    /// (Where another process makes it so large in this very moment, that is not seen.)
    fn is_at_its_limit(&self) -> bool {
        let Some(most) = getrlimit(Resource::Fsize).current else { return false };
        let Ok(stat) = fstat(self.file) else { return false };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return false;
        }
        let at_its_end = fcntl_getfl(self.file).is_ok_and(|flags| flags.contains(OFlags::APPEND));
        let at = if at_its_end { Ok(stat.st_size as u64) } else { tell(self.file) };
        at.is_ok_and(|at| at >= most)
    }

    /// Writes what was kept back.
    ///
    /// # Errors
    /// The file takes no more. What it has not taken is gone.
    pub fn flush(&mut self) -> fmt::Result {
        let mut rest = self.buffer.get(..self.len).unwrap_or_default();
        self.len = 0;
        while !rest.is_empty() {
            if self.is_broken() || self.is_at_its_limit() {
                return Err(fmt::Error);
            }
            match write(self.file, rest) {
                Ok(written @ 1..) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Ok(0) | Err(_) => return Err(fmt::Error),
            }
        }
        Ok(())
    }
}

impl<const N: usize> fmt::Write for Output<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            if self.len == N {
                self.flush()?;
            }
            let room = self.buffer.get_mut(self.len..).unwrap_or_default();
            let count = room.len().min(rest.len());
            room.iter_mut().zip(rest).for_each(|(place, &byte)| *place = byte);
            self.len += count;
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(())
    }
}

impl<const N: usize> Drop for Output<N> {
    fn drop(&mut self) {
        // If the file takes no more, there is nobody to tell.
        let _ = self.flush();
    }
}

impl<const N: usize> fmt::Debug for Output<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("file", &self.file).field("len", &self.len).finish_non_exhaustive()
    }
}
