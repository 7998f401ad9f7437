//! The text of a trace: lines of bounded length, of a text of bounded length.

use core::fmt;
use std::io::{self, BufRead, Read};

use crate::tester::trace_error::{LONGEST_LINE, TraceError, TraceFault};

/// Lines of bounded length, counted from 1.
pub struct Lines<R> {
    pub text: R,
    pub number: u64,
    pub line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, TraceError> {
        let (line, mut text) = (&mut self.line, (&mut self.text).take(LONGEST_LINE));
        line.clear();
        let read = text.read_until(b'\n', line);
        let reason = match read {
            Ok(0) => return Ok(None),
            Ok(_) if !line.ends_with(b"\n") && text.limit() == 0 => TraceFault::LineTooLong,
            Ok(_) => {
                self.number += 1;
                return Ok(Some(line));
            }
            Err(error) if error.get_ref().is_some_and(|inner| inner.is::<TextTooLong>()) => TraceFault::TextTooLong,
            Err(error) => TraceFault::Unreadable(error.to_string()),
        };
        Err(TraceError { line: self.number + 1, reason })
    }
}

/// First bytes of every zstd frame.
pub const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A text that fails, instead of ending, where more than `left` bytes come: a trace cut short would be another trace.
pub struct Limited<R> {
    pub inner: R,
    pub left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(TextTooLong))?;
        Ok(read)
    }
}

/// Stands inside the `io::Error` that [`Limited`] ends a text with.
#[derive(Debug)]
struct TextTooLong;

impl fmt::Display for TextTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text too long")
    }
}

impl core::error::Error for TextTooLong {}
