//! How the tests of the tester run it, and what they read off it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a run printed, and how it ended.
pub struct Run {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The program.
pub const TESTER: &str = env!("CARGO_BIN_EXE_tester");

/// Runs the tester.
pub fn tester(arguments: &[&str]) -> Run {
    let Output { status, stdout, stderr } = Command::new(TESTER).args(arguments).output().expect("the tester starts");
    let text = |bytes| String::from_utf8(bytes).expect("the tester prints UTF-8");
    Run { status: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

impl Run {
    /// One line on stderr, nothing on stdout, exit status 2.
    pub fn refuses(&self, line: &str) {
        assert_eq!((self.stdout.as_str(), self.stderr.as_str()), ("", format!("tester: {line}\n").as_str()));
        assert_eq!(self.status, Some(2));
    }

    /// Nothing on stderr, exit status 0, and that it all held.
    pub fn holds(&self) -> &Self {
        assert_eq!((self.status, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        assert!(self.stdout.ends_with("\nall held\n"), "{}", self.stdout);
        self
    }

    /// Exit status 1, nothing on stderr, and every one of `texts` in the report.
    pub fn fails(&self, texts: &[&str]) {
        assert_eq!((self.status, self.stderr.as_str()), (Some(1), ""), "{}", self.stdout);
        assert!(self.stdout.lines().last().is_some_and(|line| line.starts_with("FAILED: ")), "{}", self.stdout);
        self.says(texts);
    }

    /// Every one of `texts` in the report.
    pub fn says(&self, texts: &[&str]) {
        for text in texts {
            assert!(self.stdout.contains(text), "no {text:?} in\n{}", self.stdout);
        }
    }
}

/// The path of a file for a test. No two tests use the same name: they run at the same time.
pub fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tester");
    fs::create_dir_all(&folder).expect("a folder for the test's files");
    folder.join(name)
}

/// A file with this content, under a name of its own.
pub fn file(name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = scratch(name);
    fs::write(&path, content).expect("a file for the test");
    path
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("the target folder's name is UTF-8")
}
