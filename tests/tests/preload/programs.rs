//! Programs of every day, unchanged: with the library they do what they do without, and in a heap that is too small for them
//! they end as programs do that are out of memory.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::preloaded::{Program, fresh_folder, scratch, sources};

/// Room for all of them.
const ROOM: &str = "128M";

#[test]
fn python_with_json_expressions_a_database_and_threads() {
    let Some(python) = Program::installed("python3") else { return };
    let python = python.arguments([sources().join("everyday.py")]);
    python.runs_unchanged(ROOM).was_served();
    // Its own allocator maps memory for small objects; told to, it leaves all to malloc.
    let python = python.with("PYTHONMALLOC", "malloc");
    python.runs_unchanged(ROOM).was_served();
    for heap in ["8M", "1M", "64K"] {
        python.runs_out_of_memory(heap, "memory");
    }
}

#[test]
fn perl_with_hashes_and_expressions() {
    let Some(perl) = Program::installed("perl") else { return };
    let perl = perl.with("LC_ALL", "C").arguments([sources().join("everyday.pl")]);
    perl.runs_unchanged(ROOM).was_served();
    for heap in ["4M", "512K"] {
        // It says so if it still can: at times its clean-up dies of it, here as under `ulimit -v`.
        perl.runs_out_of_memory(heap, "");
    }
}

#[test]
fn sqlite_with_a_table_an_index_and_groups() {
    let Some(sqlite) = Program::installed("sqlite3") else { return };
    let sqlite = sqlite.arguments(["-batch", ":memory:"]).input(sources().join("everyday.sql"));
    sqlite.runs_unchanged(ROOM).was_served();
    for heap in ["2M", "256K"] {
        sqlite.runs_out_of_memory(heap, "out of memory");
    }
}

/// None of them does what a hardened heap is to find.
#[test]
fn they_run_unchanged_on_a_hardened_heap() {
    let python = Program::installed("python3").map(|it| it.arguments([sources().join("everyday.py")]));
    let on_malloc = python.clone().map(|it| it.with("PYTHONMALLOC", "malloc"));
    let perl = Program::installed("perl").map(|it| it.with("LC_ALL", "C").arguments([sources().join("everyday.pl")]));
    let sqlite = Program::installed("sqlite3");
    let sqlite = sqlite.map(|it| it.arguments(["-batch", ":memory:"]).input(sources().join("everyday.sql")));
    let compiler = Program::installed("cc");
    let compiler =
        compiler.map(|it| it.arguments(["-O1", "-c", "-o", "/dev/null"]).arguments([sources().join("misuse.c")]));
    for program in [python, on_malloc, perl, sqlite, compiler].into_iter().flatten() {
        for placement in ["general", "first"] {
            let program = program.clone().with("SLABFIT_HARDEN", "1").with("SLABFIT_PLACEMENT", placement);
            program.runs_unchanged("256M").was_served();
        }
    }
}

#[test]
fn sort_with_threads_and_a_large_buffer() {
    let Some(sort) = Program::installed("sort") else { return };
    let mut text = String::new();
    for i in 0..200_000u64 {
        writeln!(text, "{} line {}", i * 7919 % 200_003, i % 1000).expect("a string takes all");
    }
    let file = scratch().join("lines.txt");
    fs::write(&file, text).expect("target can be written to");
    let sort = sort.with("LC_ALL", "C").arguments([&file]);
    sort.clone().arguments(["-k1,1n", "--parallel=4", "-S32M"]).runs_unchanged(ROOM).was_served();
    // It takes a smaller buffer and files where memory is short, down to what it cannot do without.
    let (wide, narrow) = (sort.clone().arguments(["-k3,3", "-k1,1n", "-S32M"]), "3M");
    assert_eq!(wide.run_preloaded(narrow).text(), wide.run().text());
    sort.arguments(["-S32M"]).runs_out_of_memory("16K", "memory exhausted");
}

#[test]
fn gcc_compiles_c() {
    let Some(gcc) = Program::installed("gcc") else { return };
    let source = sources().join("threads.c");
    let gcc = gcc.with("LC_ALL", "C").arguments(["-std=gnu11", "-O2", "-g", "-pthread"]).arguments([&source]);
    let compile = gcc.clone().arguments(["-S", "-o", "-"]);
    let compiled = compile.runs_unchanged(ROOM);
    compiled.was_served();
    assert!(compiled.reports.len() >= 2, "the driver and the compiler: {compiled:#?}");
    let binary = scratch().join("compiled_in_a_heap");
    let linked = gcc.arguments(["-o"]).arguments([&binary]).run_preloaded(ROOM);
    assert!(linked.status.success() && linked.stderr.is_empty(), "{linked:#?}");
    linked.was_served();
    assert!(Program::at(binary).run().status.success());
    for heap in ["2M", "64K"] {
        compile.runs_out_of_memory(heap, "out of memory");
    }
}

#[test]
fn git_clones_collects_and_logs() {
    let Some(git) = Git::installed() else { return };
    let folder = fresh_folder("git");
    let history = git.history(&folder);

    git.at(&history, &["log", "--stat", "-M"]).runs_unchanged(ROOM).was_served();
    let clone = git.at(&folder, &["clone", "-q", "--no-local", "history", "clone"]).run_preloaded(ROOM);
    assert!(clone.status.success(), "{clone:#?}");
    // Of what a process on the other side says, as its report, the start of the line is left.
    assert_eq!(clone.stderr.replace("remote: ", ""), "", "{clone:#?}");
    assert!(clone.reports.len() >= 3, "a clone is several processes: {clone:#?}");
    clone.was_served();
    let clone = folder.join("clone");
    let gc = git.at(&clone, &["gc", "-q", "--aggressive", "--prune=now"]).run_preloaded(ROOM);
    assert!(gc.status.success() && gc.stderr.is_empty(), "{gc:#?}");
    gc.was_served();
    assert_eq!(git.all_objects(&clone), git.all_objects(&history));

    git.at(&history, &["log", "--stat", "-M"]).runs_out_of_memory("128K", "memory");
    git.at(&folder, &["clone", "-q", "--no-local", "history", "second"]).runs_out_of_memory("128K", "memory");
    git.at(&clone, &["gc", "-q", "--aggressive", "--prune=now"]).runs_out_of_memory("512K", "memory");
    assert_eq!(git.all_objects(&clone), git.all_objects(&history));
}

/// git without anybody's configuration.
pub struct Git(Program);

impl Git {
    /// The one that is installed.
    pub fn installed() -> Option<Self> {
        let git = Program::installed("git")?.with("LC_ALL", "C").with("GIT_CONFIG_NOSYSTEM", "1");
        Some(Self(git.with("GIT_CONFIG_GLOBAL", "/dev/null")))
    }

    pub fn at(&self, folder: &Path, arguments: &[&str]) -> Program {
        self.0.clone().folder(folder).arguments(arguments)
    }

    /// A repository with a few hundred commits, made without the library.
    pub fn history(&self, folder: &Path) -> PathBuf {
        let mut stream = String::new();
        for commit in 1..=300 {
            write!(stream, "commit refs/heads/main\ncommitter A <a@example.org> {} +0000\n", 1_700_000_000 + commit)
                .expect("a string takes all");
            writeln!(stream, "data 9\ncommit {}", commit % 10 + 10).expect("a string takes all");
            for file in 1..=3 {
                let lines: String = (commit * file..commit * file + 300).map(|line| format!("line {line}\n")).collect();
                write!(stream, "M 644 inline file{file}\ndata {}\n{lines}\n", lines.len()).expect("a string takes all");
            }
        }
        let (history, import) = (folder.join("history"), folder.join("import"));
        fs::write(&import, stream).expect("target can be written to");
        let made = [
            self.at(folder, &["init", "-q", "-b", "main", "history"]).run(),
            self.at(&history, &["fast-import", "--quiet"]).input(import).run(),
            self.at(&history, &["reset", "-q", "--hard"]).run(),
        ];
        assert!(made.iter().all(|step| step.status.success()), "{made:#?}");
        history
    }

    /// The names of all objects of a sound repository.
    fn all_objects(&self, repository: &Path) -> String {
        let sound = self.at(repository, &["fsck", "--strict"]).run();
        assert!(sound.status.success(), "{sound:#?}");
        let list = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)"];
        self.at(repository, &list).run().text()
    }
}
