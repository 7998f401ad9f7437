//! The name of a picture's file, with places for numbers.
#![deny(unsafe_code)]

use core::ffi::CStr;
use core::fmt::{self, Write};

use crate::libc;

/// Bytes of a name, at most: a signal handler has it on a stack that may be small.
const LONGEST: usize = 1000;

/// A name as it was set, below the directory that the program began in.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    bytes: [u8; LONGEST],
    len: usize,
    /// Bytes of the directory, in which `%` is nothing but that.
    directory: usize,
}

/// A name that can be opened: it ends with a zero byte.
pub(crate) struct Path {
    bytes: [u8; LONGEST + 1],
    len: usize,
}

impl Name {
    /// What is expected of one, as messages say it.
    pub(crate) const EXPECTED: &str =
        "a file's name of up to 1000 bytes, in which %p, %n and %% have a meaning and no other % does";

    /// `None` for what is no name.
    pub(crate) fn new(value: &[u8]) -> Option<Self> {
        if value.is_empty() || value.ends_with(b"/") || !is_sound(value) {
            return None;
        }
        let mut name = Self { bytes: [0; LONGEST], len: 0, directory: 0 };
        if !value.starts_with(b"/") {
            name.directory = libc::current_directory(&mut name.bytes)?.len();
            name.len = name.directory;
            name.push(b'/')?;
        }
        value.iter().try_for_each(|&byte| name.push(byte))?;
        Some(name)
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(self.len)? = byte;
        self.len += 1;
        Some(())
    }

    /// The directory, and what was set.
    fn parts(&self) -> (&[u8], &[u8]) {
        self.bytes.get(..self.len).and_then(|name| name.split_at_checked(self.directory)).unwrap_or_default()
    }

    /// Whether every process has a name of its own.
    pub(crate) fn tells_processes(&self) -> bool {
        escapes(self.parts().1).any(|escape| escape == Some(b'p'))
    }

    /// The name for this picture; `None` where it has become too long.
    pub(crate) fn path(&self, process: i32, number: u32) -> Option<Path> {
        let mut path = Path { bytes: [0; LONGEST + 1], len: 0 };
        let (directory, set) = self.parts();
        path.extend(directory).ok()?;
        let mut rest = set;
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            if byte != b'%' {
                path.extend(&[byte]).ok()?;
                continue;
            }
            match behind.first() {
                Some(b'p') => write!(path, "{process}").ok()?,
                Some(b'n') => write!(path, "{number}").ok()?,
                _ => path.extend(b"%").ok()?,
            }
            rest = behind.get(1..).unwrap_or_default();
        }
        Some(path)
    }
}

/// What follows each `%`.
fn escapes(value: &[u8]) -> impl Iterator<Item = Option<u8>> {
    let mut bytes = value.iter().copied();
    core::iter::from_fn(move || bytes.find(|&byte| byte == b'%').map(|_| bytes.next()))
}

fn is_sound(value: &[u8]) -> bool {
    escapes(value).all(|escape| matches!(escape, Some(b'p' | b'n' | b'%')))
}

impl Path {
    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }

    fn extend(&mut self, bytes: &[u8]) -> fmt::Result {
        // The last byte stays zero.
        let end = self.len + bytes.len();
        let place = self.bytes.get_mut(self.len..end).filter(|_| end <= LONGEST).ok_or(fmt::Error)?;
        place.iter_mut().zip(bytes).for_each(|(place, &byte)| *place = byte);
        self.len = end;
        Ok(())
    }
}

impl Write for Path {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.extend(text.as_bytes())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_c_str().to_bytes().escape_ascii().fmt(f)
    }
}
