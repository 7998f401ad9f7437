//! How a program is found, run with the library and without, and what is read off it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Write, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use serde_json::Value;

/// Seconds that a program may take. None takes a tenth of it on an idle machine. `SLABFIT_SECONDS` says another number, for who
/// has them do more.
const TIME_LIMIT: &str = "60";

/// What `timeout` answers for a program that it had to end, by a signal and by the one that cannot be refused.
const TIMED_OUT: [i32; 2] = [124, 128 + 9];

/// A command that is yet to be run.
#[derive(Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    folder: PathBuf,
    input: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    /// Without the reports.
    pub stderr: String,
    /// Those of all processes that came to their exit.
    pub reports: Vec<Value>,
}

impl Program {
    /// The program at a path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), arguments: vec![], variables: vec![], folder: scratch(), input: None }
    }

    /// The one of that name that is installed, or `None` and a line that says so.
    pub fn installed(name: &str) -> Option<Self> {
        let unpacked = env::var_os("SLABFIT_PROGRAMS").map(PathBuf::from);
        let folders = unpacked.iter().map(|root| root.join("usr/bin"));
        let path = env::var_os("PATH").unwrap_or_default();
        let found = folders.chain(env::split_paths(&path)).map(|folder| folder.join(name)).find(|path| is_binary(path));
        let Some(found) = found else {
            skipped(name);
            return None;
        };
        let program = Self::at(found);
        let Some(root) = unpacked.filter(|root| program.path.starts_with(root)) else { return Some(program) };
        Some(program.with("LD_LIBRARY_PATH", root.join(format!("usr/lib/{}-linux-gnu", env::consts::ARCH))))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment.
    pub fn with(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name, value.as_ref().to_owned()));
        self
    }

    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    pub fn input(mut self, file: impl Into<PathBuf>) -> Self {
        self.input = Some(file.into());
        self
    }

    /// Runs it as it is.
    pub fn run(&self) -> Outcome {
        self.run_with(&[])
    }

    /// Runs it with the library and a heap of that size.
    pub fn run_preloaded(&self, heap: &str) -> Outcome {
        let mut preload = OsString::from("LD_PRELOAD=");
        preload.push(library());
        self.run_with(&[preload, OsString::from("SLABFIT_STATS=json"), OsString::from(format!("SLABFIT_HEAP={heap}"))])
    }

    /// `timeout` and `env` stand outside, as they are to run without the library.
    fn run_with(&self, variables: &[OsString]) -> Outcome {
        let input = self.input.as_ref().map(|path| File::open(path).unwrap_or_else(|e| panic!("{path:?}: {e}")));
        let mut command = Command::new("timeout");
        let seconds = env::var("SLABFIT_SECONDS").unwrap_or_else(|_| TIME_LIMIT.to_owned());
        command.args(["-k", "5", &seconds, "env"]);
        // What is said to these tests is none of the library's settings.
        let others = env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("SLABFIT_"));
        for name in others {
            command.arg("-u").arg(name);
        }
        command.args(variables);
        for (name, value) in &self.variables {
            let mut variable = OsString::from(format!("{name}="));
            variable.push(value);
            command.arg(variable);
        }
        command.arg(&self.path).args(&self.arguments).current_dir(&self.folder);
        let output = command.stdin(input.map_or(Stdio::null(), Stdio::from)).output().expect("timeout is installed");
        let (reports, stderr) = reports_in(&String::from_utf8_lossy(&output.stderr));
        let outcome = Outcome { status: output.status, stdout: output.stdout, stderr, reports };
        let hangs = outcome.status.code().is_some_and(|code| TIMED_OUT.contains(&code));
        assert!(!hangs, "{command:?} hangs: {outcome:#?}");
        outcome
    }

    /// With the library the program does what it does without, and frees nothing but its own.
    pub fn runs_unchanged(&self, heap: &str) -> Outcome {
        let (plain, preloaded) = (self.run(), self.run_preloaded(heap));
        assert!(plain.status.success(), "without the library: {plain:#?}");
        let told = |outcome: &Outcome| (outcome.status.code(), outcome.stdout.clone(), outcome.stderr.clone());
        assert_eq!(told(&preloaded), told(&plain), "{:?}\n{preloaded:#?}", self.path);
        preloaded.took_only_what_is_its_own();
        preloaded
    }

    /// In a heap too small the program ends by itself, as one does that is out of memory, and says so in words of its own,
    /// here in small letters.
    pub fn runs_out_of_memory(&self, heap: &str, words: &str) {
        let outcome = self.run_preloaded(heap);
        assert!(!outcome.status.success(), "{:?} in {heap}: {outcome:#?}", self.path);
        let all = format!("{}{}", String::from_utf8_lossy(&outcome.stdout), outcome.stderr);
        let says_so = all.to_lowercase().contains(words);
        assert!(says_so, "{:?} in {heap} does not say {words:?}: {outcome:#?}", self.path);
        assert!(!outcome.stderr.contains("slabfit: "), "{:?} in {heap}: {outcome:#?}", self.path);
        outcome.took_only_what_is_its_own();
    }
}

impl Outcome {
    /// Every process had its memory from the heap, and all it asked for.
    pub fn was_served(&self) {
        assert!(!self.reports.is_empty(), "no report: {self:#?}");
        for report in &self.reports {
            assert!(self.sum(report, "allocs") > 0, "{report}");
            assert_eq!(self.sum(report, "failed_full") + self.sum(report, "failed_fragmented"), 0, "{report}");
        }
        self.took_only_what_is_its_own();
    }

    /// No process freed what was not an object of its own, or wrote over a header.
    fn took_only_what_is_its_own(&self) {
        for report in &self.reports {
            let refused = self.sum(report, "refused_frees") + number(report, "/refused_outside");
            assert_eq!(refused + self.sum(report, "corruptions"), 0, "{report}");
        }
    }

    /// A figure of both segments together.
    pub fn sum(&self, report: &Value, figure: &str) -> u64 {
        number(report, &format!("/slab/{figure}")) + number(report, &format!("/blocks/{figure}"))
    }

    /// What it printed.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// A figure of a report.
pub fn number(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} is no number in {report}"))
}

/// Parts the reports from everything else that stands on standard error.
fn reports_in(stderr: &str) -> (Vec<Value>, String) {
    const START: &str = r#"{"slabfit":"#;
    let mut reports = vec![];
    let mut rest = String::new();
    for line in stderr.split_inclusive('\n') {
        // The program may have left a line without its end.
        let (words, report) = line.split_at(line.find(START).unwrap_or(line.len()));
        rest.push_str(words);
        if !report.is_empty() {
            let report: Value = serde_json::from_str(report).unwrap_or_else(|error| panic!("{error}: {report}"));
            reports.push(report["slabfit"].clone());
        }
    }
    (reports, rest)
}

/// An ELF file: a script that starts another program is not what is meant.
fn is_binary(path: &Path) -> bool {
    let mut start = [0; 4];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut start).is_ok() && start == *b"\x7fELF")
}

/// Past the test harness, which shows what a passed test printed to nobody.
pub fn skipped(name: &str) {
    let test = thread::current().name().unwrap_or_default().to_owned();
    writeln!(stderr(), "SKIPPED {test}: there is no {name}").expect("stderr is open");
}

/// Beside this test's own executable: cargo builds the libraries of a dependency there.
pub fn library() -> PathBuf {
    let path = env::var_os("SLABFIT_PRELOAD").map_or_else(
        || env::current_exe().expect("a test has an executable").with_file_name("libmem_preload.so"),
        |path| fs::canonicalize(&path).unwrap_or_else(|error| panic!("SLABFIT_PRELOAD={path:?}: {error}")),
    );
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

/// The programs that are made for these tests.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// A folder for what the tests leave behind.
pub fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("preload");
    fs::create_dir_all(&folder).expect("target can be written to");
    folder
}

/// An empty folder of that name.
pub fn fresh_folder(name: &str) -> PathBuf {
    let folder = scratch().join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("target can be written to");
    }
    fs::create_dir(&folder).expect("target can be written to");
    folder
}

/// Compiles a program of [`sources`] with warnings as errors, or says that there is no compiler.
pub fn compiled(compiler: &str, source: &str, binary: &str, options: &[&OsStr]) -> Option<Program> {
    let compiler = Program::installed(compiler)?;
    let binary = scratch().join(binary);
    let outcome = compiler.arguments([sources().join(source).as_os_str()]).arguments(options);
    let outcome = outcome.arguments([OsStr::new("-o"), binary.as_os_str()]).run();
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{source}: {outcome:#?}");
    Some(Program::at(binary))
}

/// Options for C programs. The compiler is not to know what malloc is, or it leaves it out.
pub fn c<'a>(more: &[&'a str]) -> Vec<&'a OsStr> {
    let always = ["-std=gnu11", "-O1", "-g", "-fno-builtin", "-pthread", "-Wall", "-Wextra", "-Werror"];
    always.into_iter().chain(more.iter().copied()).map(OsStr::new).collect()
}
