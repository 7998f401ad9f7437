//! The name of a file to be made, a picture's or a trace's, with places for numbers.
//!
//! The rules, for both: `%p` stands for the number of the process, `%%` for `%`, in a picture's name `%n` for the number of the
//! picture, and no other `%` is allowed. A name that does not begin with `/` is one in the directory that the program began in,
//! whatever its working directory becomes. With that directory, and with the numbers in it, it has at most 1000 bytes.
#![deny(unsafe_code)]

use core::ffi::CStr;
use core::fmt::{self, Display, Write};

use rustix::fs::{FileType, stat};
use rustix::io::Errno;

use crate::libc;

/// Bytes of a name, at most: a signal handler has it on a stack that may be small.
const LONGEST: usize = 1000;

/// What a name is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Picture,
    Trace,
}

impl Kind {
    /// What is expected of a name, as messages say it.
    pub(crate) const fn expected(self) -> &'static str {
        match self {
            Self::Picture => {
                "a file's name of up to 1000 bytes, in which %p, %n and %% have a meaning and no other % does"
            }
            Self::Trace => "a file's name of up to 1000 bytes, in which %p and %% have a meaning and no other % does",
        }
    }
}

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
    /// `None` for what is no name.
    pub(crate) fn new(value: &[u8], kind: Kind) -> Option<Self> {
        // Not reached: where lines are counted, which begins after this; tests/tests/preload sees it.
        if value.is_empty() || value.ends_with(b"/") || !is_sound(value, kind) {
            // Not reached: as above.
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

    /// Why no file can be made: its folder is not there, or is none. What is not known before a number stands in it is not asked.
    pub(crate) fn missing_folder(&self) -> Option<ErrorText> {
        let (directory, set) = self.parts();
        let end = set.iter().rposition(|&byte| byte == b'/').filter(|&end| end > 0);
        let folder = end.and_then(|end| set.get(..end)).unwrap_or_default();
        if folder.is_empty() || escapes(folder).next().is_some() {
            return None;
        }
        let mut path = Path { bytes: [0; LONGEST + 1], len: 0 };
        path.extend(directory).ok()?;
        path.extend(folder).ok()?;
        let why = match stat(path.as_c_str()) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => return None,
            Ok(_) => Errno::NOTDIR,
            Err(error) => error,
        };
        Some(ErrorText(why))
    }

    /// Whether every process has a name of its own.
    pub(crate) fn tells_processes(&self) -> bool {
        escapes(self.parts().1).any(|escape| escape == Some(b'p'))
    }

    /// The name with these in the places of `%p` and `%n`; `None` where it has become too long.
    pub(crate) fn path(&self, process: &dyn Display, number: u32) -> Option<Path> {
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

fn is_sound(value: &[u8], kind: Kind) -> bool {
    escapes(value).all(|escape| match escape {
        Some(b'p' | b'%') => true,
        Some(b'n') => kind == Kind::Picture,
        // Not reached: where lines are counted, which begins after this; tests/tests/preload sees it.
        _ => false,
    })
}

impl Path {
    /// Whether the file is to be a zstd file, which its name says.
    pub(crate) fn is_zstd(&self) -> bool {
        self.as_c_str().to_bytes().ends_with(b".zst")
    }

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

impl Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_c_str().to_bytes().escape_ascii().fmt(f)
    }
}

/// Why there is no file, for people.
pub(crate) struct ErrorText(pub(crate) Errno);

impl Display for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Errno::NOENT | Errno::NOTDIR => "there is no such folder",
            Errno::NOSPC | Errno::DQUOT => "no space is left",
            Errno::FBIG => "files may not be larger (see ulimit -f)",
            Errno::STALE => "another file has its name",
            // Not reached: where lines are counted, which begins after this; tests/tests/preload sees it.
            Errno::ACCESS | Errno::PERM | Errno::ROFS => "it cannot be written to",
            Errno::ISDIR | Errno::INVAL | Errno::NXIO => "it is not a regular file",
            Errno::NAMETOOLONG => "its name is too long",
            Errno::NOMEM => "the system is out of memory",
            Errno::WOULDBLOCK => "another process records into it; with %p in its name each has a file of its own",
            other => return write!(f, "error {}", other.raw_os_error()),
        })
    }
}
