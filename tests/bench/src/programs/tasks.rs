//! The programs, with their work.

use super::inputs;
use super::process::Job;
use super::server::Server;
use super::subjects::folders;
use crate::rows::Effort;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A program and what it is to do.
pub struct Task {
    /// The row's title.
    pub name: &'static str,
    /// What is run.
    pub work: Work,
}

/// What is run.
pub enum Work {
    /// A program that comes to its end.
    Program(Job),
    /// A server, which is asked and then told to end.
    Server(Server),
}

/// How a task is made.
struct Recipe {
    name: &'static str,
    /// Programs that it takes; the first is measured.
    needs: &'static [&'static str],
    /// How much it is to do: in full, and in short.
    amount: (usize, usize),
    /// Makes what it reads.
    make: fn(Job, &[Found], usize) -> io::Result<Work>,
}

/// All of them, each with a second or two of work under the C library's allocator.
const RECIPES: [Recipe; 11] = [
    Recipe { name: "bash", needs: &["bash"], amount: (60_000, 6_000), make: bash },
    Recipe { name: "perl", needs: &["perl"], amount: (250_000, 25_000), make: perl },
    Recipe { name: "python3", needs: &["python3"], amount: (120_000, 10_000), make: python },
    Recipe { name: "sqlite3", needs: &["sqlite3"], amount: (300_000, 20_000), make: sqlite },
    Recipe { name: "git log", needs: &["git"], amount: (5_000, 300), make: git_log },
    Recipe { name: "git grep", needs: &["git"], amount: (5_000, 300), make: git_grep },
    Recipe { name: "gcc", needs: &["gcc"], amount: (180, 12), make: gcc },
    Recipe { name: "sort", needs: &["sort"], amount: (900_000, 60_000), make: sort },
    Recipe { name: "jq", needs: &["jq"], amount: (60_000, 5_000), make: jq },
    Recipe { name: "lua", needs: &["lua5.4"], amount: (450_000, 40_000), make: lua },
    Recipe {
        name: "redis",
        needs: &["redis-server", "redis-benchmark"],
        amount: (150_000, 15_000),
        make: |job, found, amount| Ok(Work::Server(Server::new(job, found[1].program.clone(), amount))),
    },
];

/// A program that is there.
struct Found {
    program: PathBuf,
    /// Where its own libraries are, if it is not installed but unpacked.
    libraries: Option<OsString>,
}

/// Every task whose programs are found and that is asked for, each with a folder of its own below `folder`. The lines say
/// what is missing.
pub fn all(
    folder: &Path,
    root: Option<&Path>,
    effort: Effort,
    wants: impl Fn(&str) -> bool,
) -> io::Result<(Vec<Task>, Vec<String>)> {
    let (mut tasks, mut missing) = (Vec::new(), Vec::new());
    for Recipe { name, needs, amount, make } in RECIPES.iter().filter(|recipe| wants(recipe.name)) {
        let found: Result<Vec<Found>, &str> = needs.iter().map(|program| find(program, root).ok_or(*program)).collect();
        match found {
            Err(program) => missing.push(format!("SKIPPED: {name}: there is no {program}")),
            Ok(found) => {
                let folder = folder.join(name.replace(' ', "-"));
                fs::create_dir_all(&folder)?;
                let variables = found[0].libraries.iter().map(|path| ("LD_LIBRARY_PATH", path.clone())).collect();
                let program = found[0].program.clone();
                let job = Job { program, arguments: vec![], variables, folder, input: None };
                tasks.push(Task { name, work: make(job, &found, effort.pick(amount.0, amount.1))? });
            }
        }
    }
    Ok((tasks, missing))
}

/// The program of that name, below `root` or where programs are.
fn find(name: &str, root: Option<&Path>) -> Option<Found> {
    let unpacked = root.map(|root| root.join("usr/bin").join(name)).filter(|path| is_binary(path));
    if let Some(program) = unpacked {
        let libraries = std::env::join_paths(folders(root).take(1)).ok();
        return Some(Found { program, libraries });
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| is_binary(path))?;
    Some(Found { program, libraries: None })
}

/// Whether it is a program, and no script that starts another one.
fn is_binary(path: &Path) -> bool {
    let mut start = [0; 4];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut start).is_ok() && start == *b"\x7fELF")
}

impl Job {
    /// The job with more arguments.
    fn with<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// The job with variables in its environment.
    fn set(mut self, variables: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        self.variables.extend(variables.into_iter().map(|(name, value)| (name, value.into())));
        self
    }

    /// The job with input from a file.
    fn reading(self, input: PathBuf) -> Self {
        Self { input: Some(input), ..self }
    }
}

/// A program's text in this package.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name)
}

/// A job that runs a script, which is told how much to do.
fn scripted(job: Job, name: &str, amount: usize) -> io::Result<Work> {
    Ok(Work::Program(job.with([script(name).into_os_string(), amount.to_string().into()])))
}

fn bash(job: Job, _: &[Found], amount: usize) -> io::Result<Work> {
    scripted(job, "work.bash", amount)
}

fn perl(job: Job, _: &[Found], amount: usize) -> io::Result<Work> {
    scripted(job.set([("PERL_HASH_SEED", "0")]), "work.pl", amount)
}

fn python(job: Job, _: &[Found], amount: usize) -> io::Result<Work> {
    // Left to its own allocator, it would ask malloc for large pieces only.
    let own = [("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0"), ("PYTHONDONTWRITEBYTECODE", "1")];
    scripted(job.set(own), "work.py", amount)
}

fn lua(job: Job, _: &[Found], amount: usize) -> io::Result<Work> {
    scripted(job, "work.lua", amount)
}

fn sqlite(job: Job, _: &[Found], amount: usize) -> io::Result<Work> {
    let set = format!(".parameter set :n {amount}");
    Ok(Work::Program(job.with(["-batch", "-cmd", &set, ":memory:"]).reading(script("work.sql"))))
}

fn gcc(job: Job, _: &[Found], amount: usize) -> io::Result<Work> {
    let file = job.folder.join("input.c");
    inputs::c_file(&file, amount)?;
    Ok(Work::Program(job.with(["-O2", "-S", "-o", "-"]).with([file])))
}

fn sort(job: Job, _: &[Found], amount: usize) -> io::Result<Work> {
    let file = job.folder.join("lines.txt");
    inputs::lines(&file, amount)?;
    Ok(Work::Program(job.with(["-k2,2", "-k1,1n", "--parallel=2", "-S64M"]).with([file])))
}

fn jq(job: Job, _: &[Found], amount: usize) -> io::Result<Work> {
    let file = job.folder.join("objects.json");
    inputs::objects(&file, amount)?;
    Ok(Work::Program(job.with([OsString::from("-f"), script("work.jq").into(), file.into()])))
}

fn git_log(job: Job, _: &[Found], amount: usize) -> io::Result<Work> {
    let job = repository(job, amount)?;
    Ok(Work::Program(job.with(["--no-pager", "log", "--stat", "-M", "-p"])))
}

fn git_grep(job: Job, _: &[Found], amount: usize) -> io::Result<Work> {
    let job = repository(job, amount)?.with(["--no-pager", "grep", "-c", "--threads=2", "-e", "commit .*7$"]);
    Ok(Work::Program(job.with((0..amount).step_by(2).map(|back| format!("HEAD~{back}")))))
}

/// The job in a repository with `amount` commits, without anybody's configuration.
fn repository(job: Job, amount: usize) -> io::Result<Job> {
    let job = job.set([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")]);
    let history = job.folder.join("history");
    inputs::history(&history, amount)?;
    let init = job.command().args(["init", "-q", "-b", "main", "."]).status()?;
    let import = job.command().args(["fast-import", "--quiet"]).stdin(File::open(&history)?).status()?;
    if !init.success() || !import.success() {
        return Err(io::Error::other("git cannot make the repository that it is to search"));
    }
    fs::remove_file(history)?;
    Ok(job)
}
