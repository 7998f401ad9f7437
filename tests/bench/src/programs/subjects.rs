//! The allocators, each as the environment that puts it in place of a program's own.

use crate::command::Programs;
use crate::subject::Kind;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The library's settings: a heap that no program fills, and an end of the program where it frees wrongly.
const SETTINGS: [(&str, &str); 2] = [("SLABFIT_HEAP", "1G"), ("SLABFIT_ABORT", "1")];

/// The word for a hardened heap, of the default placement.
const HARDENED: &str = "hardened";

/// Peers that are measured where they are found: what they are called, and their library in Debian.
const PEERS: [(&str, &str); 2] = [("jemalloc", "libjemalloc.so.2"), ("mimalloc", "libmimalloc.so.2")];

/// An allocator.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The column's title.
    pub name: String,
    /// Its place in the comparison.
    pub kind: Kind,
    /// What puts it into a program.
    pub variables: Vec<(&'static str, OsString)>,
}

impl Subject {
    fn preloaded(name: &str, kind: Kind, library: &Path) -> Self {
        Self { name: name.to_owned(), kind, variables: vec![("LD_PRELOAD", library.into())] }
    }

    /// The preload library, by its default placement or by `placement`, which may be [`HARDENED`].
    fn ours(library: &Path, placement: Option<&str>) -> Self {
        let name = placement.map_or("slabfit".to_owned(), |word| format!("slabfit {word}"));
        let mut subject = Self::preloaded(&name, Kind::Ours, library);
        subject.variables.extend(SETTINGS.map(|(name, value)| (name, value.into())));
        subject.variables.extend(placement.map(|word| match word {
            HARDENED => ("SLABFIT_HARDEN", "1".into()),
            word => ("SLABFIT_PLACEMENT", word.into()),
        }));
        subject
    }
}

/// Every allocator that is found, also below `root`, the C library's first: the others are compared with it. The lines say who is missing.
pub fn all(options: &Programs, root: Option<&Path>) -> io::Result<(Vec<Subject>, Vec<String>)> {
    // It is preloaded as well: a program that is linked with an allocator of its own (redis is, with jemalloc) has it too.
    let mut subjects = vec![Subject::preloaded("glibc", Kind::System, Path::new("libc.so.6"))];
    let mut missing = Vec::new();
    for (name, library) in PEERS {
        match folders(root).map(|folder| folder.join(library)).find(|path| path.is_file()) {
            Some(path) => subjects.push(Subject::preloaded(name, Kind::System, &path.canonicalize()?)),
            None => missing.push(format!("SKIPPED: {name}: there is no {library}")),
        }
    }
    let library = preload(options)?;
    subjects.push(Subject::ours(&library, None));
    subjects.extend(options.placements.iter().map(|word| Subject::ours(&library, Some(word))));
    Ok((subjects, missing))
}

/// Where libraries are, below `root` and in the system.
pub fn folders(root: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    let multiarch = PathBuf::from(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    let roots: Vec<PathBuf> = root.into_iter().chain([Path::new("/")]).map(Path::to_owned).collect();
    roots.into_iter().flat_map(move |root| [root.join(&multiarch), root.join("usr/lib64"), root.join("usr/lib")])
}

/// The named library, or the one beside this executable.
fn preload(options: &Programs) -> io::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("libmem_preload.so");
    let library = options.preload.clone().unwrap_or(beside);
    library.canonicalize().map_err(|error| {
        let hint = "cargo build --release -p slabfit-preload makes it, and --preload names it";
        io::Error::new(error.kind(), format!("{}: {error}; {hint}", library.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placement_is_a_column_of_its_own() {
        let named = |placement| Subject::ours(Path::new("/lib.so"), placement);
        let has = |subject: &Subject, name| subject.variables.iter().any(|(variable, _)| *variable == name);
        assert_eq!(named(None).name, "slabfit");
        assert!(!has(&named(None), "SLABFIT_PLACEMENT") && has(&named(None), "SLABFIT_HEAP"));
        assert!(named(Some(HARDENED)).variables.contains(&("SLABFIT_HARDEN", "1".into())));
        assert!(!has(&named(Some(HARDENED)), "SLABFIT_PLACEMENT"));
        assert_eq!(named(Some("next")).name, "slabfit next");
        assert!(named(Some("next")).variables.contains(&("SLABFIT_PLACEMENT", "next".into())));
    }
}
