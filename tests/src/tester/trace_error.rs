//! What can be wrong with a trace.

use core::fmt;

/// Longest line that is read. The longest that means anything has 43 characters; comments may be longer.
pub const LONGEST_LINE: u64 = 4096;

/// Where a trace stopped making sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceError {
    /// The line, counted from 1; the last line for what is missing at the end.
    pub line: u64,
    /// What is wrong with it.
    pub reason: TraceFault,
}

/// What can be wrong with a line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceFault {
    /// It begins with none of `a`, `r` and `f`.
    UnknownOperation(String),
    /// It ends before this field.
    Missing(&'static str),
    /// This field is no number.
    NotANumber(&'static str, String),
    /// This field does not fit into 64 bits.
    NumberTooLarge(&'static str, String),
    /// More follows where the line should end.
    Surplus(String),
    /// It allocates an id that is live.
    AlreadyLive(u64),
    /// It frees or resizes an id that is not live.
    NotLive(u64),
    /// The header has begun but has fewer than four lines.
    HeaderCut,
    /// The header promised another number of operations.
    OperationCount {
        /// What the header says.
        promised: u64,
        /// What there is.
        found: u64,
    },
    /// A line of a recording is not as it should be.
    Extension(String),
    /// A recording does not say where an object came to lie, or says it of none.
    Unplaced,
    /// More objects than can be counted.
    TooManyObjects,
    /// The line has no end in sight.
    LineTooLong,
    /// The text, or what it decompresses to, is longer than allowed.
    TextTooLong,
    /// The bytes could not be read or decompressed.
    Unreadable(String),
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl fmt::Display for TraceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOperation(word) => write!(f, "unknown operation '{word}'; known are a, r and f"),
            Self::Missing(field) => write!(f, "the {field} is missing"),
            Self::NotANumber(field, word) => write!(f, "the {field} '{word}' is not a number"),
            Self::NumberTooLarge(field, word) => write!(f, "the {field} '{word}' does not fit into 64 bits"),
            Self::Surplus(word) => write!(f, "unexpected '{word}' at the end"),
            Self::AlreadyLive(id) => write!(f, "id {id} is allocated while it is live"),
            Self::NotLive(id) => write!(f, "id {id} is not live"),
            Self::HeaderCut => f.write_str("the header ends early; it has four lines of one number each"),
            Self::OperationCount { promised, found } => {
                write!(f, "the header promises {promised} operations, but {found} follow")
            }
            Self::Extension(line) => write!(f, "'{line}' is not a line of a recording"),
            Self::Unplaced => {
                f.write_str("in a recording '#@' and a place stand before each a and r, and nowhere else")
            }
            Self::TooManyObjects => f.write_str("more objects than can be counted"),
            Self::LineTooLong => write!(f, "longer than {LONGEST_LINE} bytes"),
            Self::TextTooLong => f.write_str("the trace is longer than allowed"),
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
        }
    }
}

impl core::error::Error for TraceError {}
