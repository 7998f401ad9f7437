//! The programs whose traces are replayed: four that come with the tester, or the user's own.

use core::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::tester::trace::{Trace, TraceError};

/// Longest file, and longest text that one may decompress to.
const LONGEST: u64 = 1 << 30;

/// In the executable, so that it can be run from anywhere. What they are stands in `traces/README.md`.
const SHIPPED: [(&str, &[u8]); 4] = [
    ("gitlog", include_bytes!("../../traces/gitlog.rep.zst")),
    ("cargometa", include_bytes!("../../traces/cargometa.rep.zst")),
    ("gs", include_bytes!("../../traces/gs.rep.zst")),
    ("sqlite", include_bytes!("../../traces/sqlite.rep.zst")),
];

/// Where a trace comes from: enough for another process to load it, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// One that comes with the tester.
    Shipped(String),
    /// The user's.
    File(PathBuf),
}

/// A program's trace.
pub struct Recording {
    /// Where it comes from.
    pub source: Source,
    /// What it did.
    pub trace: Trace,
}

impl Recording {
    /// The trace that a command line names: the file of that name, or else the one that comes with the tester.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn named(name: &Path) -> Result<Self, LoadError> {
        let shipped = |source: &Source| name.as_os_str() == source.name().as_str() && !name.exists();
        Source::shipped().find(shipped).unwrap_or_else(|| Source::File(name.to_owned())).load()
    }
}

/// Why there is no trace.
#[derive(Debug)]
pub enum LoadError {
    /// No trace of that name comes with the tester.
    Unknown(String),
    /// The file could not be read.
    Unreadable(PathBuf, io::Error),
    /// It was read, and is no trace.
    Malformed(PathBuf, TraceError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "no trace named '{name}' comes with the tester"),
            Self::Unreadable(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Malformed(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl core::error::Error for LoadError {}

impl Source {
    /// All that come with the tester.
    pub fn shipped() -> impl Iterator<Item = Self> {
        SHIPPED.iter().map(|&(name, _)| Self::Shipped(name.to_owned()))
    }

    /// The program's name: a file's is its own, without what marks it as a trace.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Shipped(name) => name.clone(),
            Self::File(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                let name = name.trim_end_matches(".zst").trim_end_matches(".rep");
                if name.is_empty() { path.display().to_string() } else { name.to_owned() }
            }
        }
    }

    /// Reads the trace.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn load(&self) -> Result<Recording, LoadError> {
        let trace = match self {
            Self::Shipped(name) => {
                let found = SHIPPED.iter().find(|(shipped, _)| shipped == name);
                let (_, bytes) = found.ok_or_else(|| LoadError::Unknown(name.clone()))?;
                Trace::decode(bytes, LONGEST).map_err(|error| LoadError::Malformed(PathBuf::from(name), error))?
            }
            Self::File(path) => {
                let bytes = read(path).map_err(|error| LoadError::Unreadable(path.clone(), error))?;
                Trace::decode(&bytes, LONGEST).map_err(|error| LoadError::Malformed(path.clone(), error))?
            }
        };
        Ok(Recording { source: self.clone(), trace })
    }
}

/// All of a file; one that never ends is refused, not read.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("longer than {LONGEST} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_traces_that_come_with_the_tester_are_what_their_readme_says() {
        let operations = |source: Source| source.load().unwrap().trace.operations().len();
        assert_eq!(Source::shipped().map(operations).collect::<Vec<_>>(), [70_951, 139_637, 22_774, 662_333]);
    }

    #[test]
    fn a_file_is_named_without_its_suffixes() {
        for (path, name) in [("/tmp/a/gs.rep.zst", "gs"), ("x.rep", "x"), ("plain", "plain"), (".rep", ".rep")] {
            assert_eq!(Source::File(PathBuf::from(path)).name(), name);
        }
    }
}
