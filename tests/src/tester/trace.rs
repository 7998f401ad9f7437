//! Traces of real programs in the `.rep` text form of the malloc labs, plain or zstd-compressed.
//!
//! A trace is one operation a line: `a ID SIZE` allocates, `r ID SIZE` reallocates, `f ID` frees. Four lines of one
//! number each may stand before them (suggested heap size, number of ids, number of operations, weight); blank lines
//! and lines that begin with `#` are skipped, but for those of a [recording](Recorded). An id may be used again once it is free.
//!
//! Traces come from anywhere, so every byte of one is doubted: whatever the bytes, reading ends in a [`Trace`] whose
//! operations make sense in their order, or in a [`TraceError`] that names the line.

mod lines;
mod reader;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, Read};

use lines::{Limited, Lines, ZSTD_MAGIC};
use reader::Reader;

use crate::tester::extension::Recorded;
pub use crate::tester::trace_error::{TraceError, TraceFault};

/// One step of a program. `object` counts the allocations of the trace from 0, whatever id the trace gave them, so that
/// whoever replays it can keep them in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The program asks for memory.
    Allocate {
        /// Which allocation of the trace this is.
        object: u32,
        /// Bytes asked for.
        size: u64,
    },
    /// The program asks for a live object to have another size.
    Reallocate {
        /// The allocation that is resized.
        object: u32,
        /// Bytes asked for.
        size: u64,
    },
    /// The program gives an object back.
    Free {
        /// The allocation that is freed.
        object: u32,
    },
}

/// A whole trace: every reallocate and free names an object that is live at that point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    operations: Vec<Operation>,
    ids: Vec<u64>,
    peak_bytes: u128,
    peak_at: usize,
    recorded: Option<Box<Recorded>>,
}

impl Trace {
    /// Reads the text form.
    ///
    /// # Errors
    /// The first line that is malformed, or that could not be read.
    pub fn read(text: impl BufRead) -> Result<Self, TraceError> {
        let mut reader = Reader::default();
        let mut lines = Lines { text, number: 0, line: Vec::new() };
        loop {
            match lines.next_line() {
                Ok(Some(line)) => reader.line(line).map_err(|reason| TraceError { line: lines.number, reason })?,
                Ok(None) => break,
                // The last frame of a process that was killed while the file grew. Whether all is there the header says.
                Err(TraceError { reason: TraceFault::Unreadable(_), .. }) if reader.may_be_cut() => break,
                Err(error) => return Err(error),
            }
        }
        reader.finish().map_err(|reason| TraceError { line: lines.number, reason })
    }

    /// Reads a file's bytes: zstd where they begin as zstd does, else the text itself. `limit` bounds the text, because
    /// a few kilobytes of zstd can claim terabytes.
    ///
    /// # Errors
    /// As [`Trace::read`].
    pub fn decode(bytes: &[u8], limit: u64) -> Result<Self, TraceError> {
        let text: Box<dyn Read + '_> = if bytes.starts_with(&ZSTD_MAGIC) {
            let unreadable =
                |error: io::Error| TraceError { line: 1, reason: TraceFault::Unreadable(error.to_string()) };
            Box::new(zstd::Decoder::with_buffer(bytes).map_err(unreadable)?)
        } else {
            Box::new(bytes)
        };
        Self::read(io::BufReader::new(Limited { inner: text, left: limit }))
    }

    /// The operations in their order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// How many objects are ever allocated.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.ids.len()
    }

    /// Most bytes live at once, as the program asked for them.
    #[must_use]
    pub fn peak_bytes(&self) -> u128 {
        self.peak_bytes
    }

    /// Index of the operation after which [`peak_bytes`](Self::peak_bytes) were live for the first time.
    #[must_use]
    pub fn peak_at(&self) -> usize {
        self.peak_at
    }

    /// What the trace says beyond the operations, if it was recorded by `libmem_preload.so`.
    #[must_use]
    pub fn recorded(&self) -> Option<&Recorded> {
        self.recorded.as_deref()
    }

    /// The id that the trace has for an object.
    #[must_use]
    pub fn id(&self, object: u32) -> u64 {
        self.ids[object as usize]
    }

    /// The operation at `index` as messages name it: its number, counted from 1, and how the trace writes it.
    #[must_use]
    pub fn describe(&self, index: usize) -> String {
        if index >= self.operations.len() {
            return "after the last operation".to_owned();
        }
        format!("at operation {}, '{}'", index + 1, self.written(index))
    }

    /// The operation at `index` as the trace writes it.
    #[must_use]
    pub fn written(&self, index: usize) -> String {
        let id = |object: u32| self.id(object);
        match self.operations.get(index) {
            Some(&Operation::Allocate { object, size }) => format!("a {} {size}", id(object)),
            Some(&Operation::Reallocate { object, size }) => format!("r {} {size}", id(object)),
            Some(&Operation::Free { object }) => format!("f {}", id(object)),
            None => String::new(),
        }
    }
}
