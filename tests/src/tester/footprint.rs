//! `tester footprint`: what the traces and three programs of every day take under slabfit, by each placement, and beside it
//! under the system's allocator and what else is installed.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use slabfit::GRANULE;

use crate::model::Placement;
use crate::tester::advise;
use crate::tester::recordings::{LoadError, Recording, Source};
use crate::tester::replay_heap::{PLACEMENTS, name as placement_name};
use crate::tester::replay_malloc::{MallocReplay, script};
use crate::tester::report::{Table, grouped, percent};
use crate::tester::run::{Stop, bar};
use crate::tester::sys;
use crate::tester::trace::{Operation, Trace};
use crate::tester::trace_args::FootprintArguments;

/// Allocators that are measured beside slabfit where they are installed: what they are called, and Debian's package of them.
const PEERS: [(&str, &str, &str); 2] =
    [("mimalloc", "libmimalloc.so.2", "libmimalloc2.0"), ("jemalloc", "libjemalloc.so.2", "libjemalloc2")];

/// The programs, with their arguments and inputs, of which those under `tests/programs` are these tests' own.
const PROGRAMS: [(&str, &[&str], &str); 3] = [
    ("sqlite3", &["-batch", ":memory:"], "everyday.sql"),
    ("python3", &["-"], "everyday.py"),
    ("perl", &["-"], "everyday.pl"),
];

/// Times that a program is run; the shortest counts.
const RUNS: usize = 3;

/// Of the file that `--csv` names. "live" has a header for each object.
const CSV_HEADER: &str = "work,allocator,slab size,heap,live,resident,ms\n";

/// What an allocator takes.
struct Taken {
    resident: u64,
    time: Duration,
}

/// An allocator, as the environment chooses it.
#[derive(Clone)]
struct Subject {
    name: String,
    variables: Vec<(&'static str, OsString)>,
}

/// What runs, with a heap of any size.
trait Work {
    /// Whether all of a process is measured, and not only what its malloc has.
    fn is_whole_process(&self) -> bool;

    /// Runs it; `None` if it did not come to its end as it should.
    fn run(&self, subject: &Subject) -> io::Result<Option<Taken>>;
}

/// Measures and prints.
///
/// # Errors
/// Why nothing, or not all, was measured.
pub fn run(arguments: &FootprintArguments, out: &mut dyn Write) -> Result<(), Stop> {
    let preload = preload(arguments)?;
    let peers = peers(&arguments.libraries, out)?;
    let mut csv = String::from(CSV_HEADER);
    for source in Source::shipped().filter(|source| arguments.includes(&source.name())) {
        let recording = source.load().map_err(Stop::Load)?;
        let script = script(&recording.trace).map_err(Stop::Output)?;
        csv += &measure(&recording, &Replay(script), &preload, &peers, out)?;
    }
    for (name, options, input) in PROGRAMS.into_iter().filter(|(name, ..)| arguments.includes(name)) {
        let Some(program) = installed(name) else {
            writeln!(out, "SKIPPED: there is no {name}")?;
            continue;
        };
        let input = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(input);
        let program = Live { program, options, input };
        let recording = program.record(name, &preload)?;
        csv += &measure(&recording, &program, &preload, &peers, out)?;
    }
    if let Some(path) = &arguments.csv {
        fs::write(path, csv)?;
    }
    Ok(out.flush()?)
}

/// Prints the table of one trace or program, and returns its lines of the CSV file.
fn measure(
    recording: &Recording,
    work: &dyn Work,
    preload: &Path,
    peers: &[Subject],
    out: &mut dyn Write,
) -> Result<String, Stop> {
    let trace = &recording.trace;
    let (peak, headers) = (u64::try_from(trace.peak_bytes()).unwrap_or(u64::MAX), headers(trace));
    let live = (!work.is_whole_process()).then_some(peak + headers);
    let name = recording.source.name();
    let bar = bar(&name, (PLACEMENTS.len() + peers.len()) as u64);
    let mut csv = String::new();
    let mut line = |allocator: &str, slab: &str, heap: &str, Taken { resident, time }: &Taken| {
        csv += &format!("{name},{allocator},{slab},{heap},{},{resident},{}\n", peak + headers, milliseconds(*time));
    };
    let mut table = Table::new(["allocator", "slab size", "heap", "of live", "resident", "of live", "ms"]);
    for placement in PLACEMENTS {
        let best = advise::best_of(trace, placement).map_err(Stop::Output)?;
        let label = format!("slabfit, {}", placement_name(placement));
        match best.map(|(slab, heap)| smallest(work, preload, placement, slab, heap)).transpose()?.flatten() {
            None => table.row([&*label, "-", "-", "-", "-", "-", "-"].map(str::to_owned)),
            Some((slab, heap, taken)) => {
                line(&format!("slabfit {}", placement.word()), &slab.to_string(), &heap.to_string(), &taken);
                let share = format!("{} %", percent(heap as u64, peak + headers));
                table.row(row(label, [grouped(slab as u64), grouped(heap as u64), share], &taken, live));
            }
        }
        bar.inc(1);
    }
    for peer in peers {
        if let Some(taken) = work.run(peer)? {
            line(&peer.name, "", "", &taken);
            table.row(row(peer.name.clone(), ["-", "-", "-"].map(str::to_owned), &taken, live));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (peak, headers) = (grouped(peak), grouped(headers));
    let whole = if work.is_whole_process() { "; resident: of the whole process" } else { "" };
    writeln!(out, "{name}: {peak} bytes live at the peak, {headers} bytes of headers with them{whole}")?;
    table.write(out)?;
    Ok(csv)
}

fn row(label: String, heap: [String; 3], taken: &Taken, live: Option<u64>) -> [String; 7] {
    let [slab, bytes, share] = heap;
    let resident = grouped(taken.resident);
    let time = milliseconds(taken.time);
    let of_live = live.map_or("-".to_owned(), |live| format!("{} %", percent(taken.resident, live)));
    [label, slab, bytes, share, resident, of_live, time]
}

/// With one digit after the point.
fn milliseconds(time: Duration) -> String {
    let tenths = time.as_micros() / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// The smallest heap that serves the work itself: from the one that a replay of its trace alone was served by.
fn smallest(
    work: &dyn Work,
    preload: &Path,
    placement: Placement,
    slab: usize,
    advised: usize,
) -> io::Result<Option<(usize, usize, Taken)>> {
    let page = sys::page_size();
    let mut heap = advised;
    while heap < 2 * advised + 64 * page {
        let subject = Subject {
            name: String::new(),
            variables: vec![
                ("LD_PRELOAD", preload.into()),
                ("SLABFIT_HEAP", heap.to_string().into()),
                ("SLABFIT_SLAB", slab.to_string().into()),
                ("SLABFIT_PLACEMENT", placement.word().into()),
            ],
        };
        if let Some(taken) = work.run(&subject)? {
            return Ok(Some((slab, heap, taken)));
        }
        heap += (advised / 200).next_multiple_of(page).max(page);
    }
    Ok(None)
}

/// Headers of the objects that live when most bytes do.
fn headers(trace: &Trace) -> u64 {
    let change = |operation: &Operation| match operation {
        Operation::Allocate { .. } => 1,
        Operation::Reallocate { .. } => 0,
        Operation::Free { .. } => -1,
    };
    let live: i64 = trace.operations().iter().take(trace.peak_at() + 1).map(change).sum();
    live.unsigned_abs() * GRANULE as u64
}

/// A trace, replayed by the malloc of a process of its own.
struct Replay(File);

impl Work for Replay {
    fn is_whole_process(&self) -> bool {
        false
    }

    fn run(&self, subject: &Subject) -> io::Result<Option<Taken>> {
        let mut best: Option<Taken> = None;
        for _ in 0..RUNS {
            let mut command = Command::new(env::current_exe()?);
            command.arg("replay-malloc").stdin(self.0.try_clone()?).stderr(Stdio::null());
            let output = command.envs(subject.variables.iter().map(|(name, value)| (name, value))).output()?;
            let Ok(replayed) = serde_json::from_slice::<MallocReplay>(&output.stdout) else { return Ok(None) };
            if replayed.failed > 0 {
                return Ok(None);
            }
            let time = Duration::from_nanos(replayed.nanoseconds);
            best = Some(shorter(best, Taken { resident: replayed.resident, time }));
        }
        Ok(best)
    }
}

fn shorter(best: Option<Taken>, taken: Taken) -> Taken {
    match best {
        Some(best) => Taken { resident: best.resident.max(taken.resident), time: best.time.min(taken.time) },
        None => taken,
    }
}

/// A program, run as it is.
struct Live {
    program: PathBuf,
    options: &'static [&'static str],
    input: PathBuf,
}

impl Live {
    /// `before` stands in front of the program.
    fn command(&self, before: &[OsString]) -> io::Result<Command> {
        let words: Vec<_> = before.iter().map(OsString::as_os_str).chain([self.program.as_os_str()]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        // Left to its own allocator, Python would ask for large pieces only.
        command.args(self.options).env("PYTHONMALLOC", "malloc").stdin(File::open(&self.input)?);
        command.stderr(Stdio::null());
        Ok(command)
    }

    /// A recording of it in a heap that is large enough.
    fn record(&self, name: &str, preload: &Path) -> Result<Recording, Stop> {
        let file = env::temp_dir().join(format!("{name}-{}.rep.zst", std::process::id()));
        let mut command = self.command(&[])?;
        command.stdout(Stdio::null()).env("LD_PRELOAD", preload).env("SLABFIT_HEAP", "1G").env("SLABFIT_TRACE", &file);
        let ended = command.status()?;
        let recording = Source::File(file.clone()).load();
        let _ = fs::remove_file(&file);
        if !ended.success() {
            return Err(Stop::Usage(format!("{name} does not run with {}", preload.display())));
        }
        let recording = recording.map_err(|error: LoadError| Stop::Load(error))?;
        Ok(Recording { source: Source::File(PathBuf::from(name)), ..recording })
    }
}

impl Work for Live {
    fn is_whole_process(&self) -> bool {
        true
    }

    /// By a process in between that is small: what its parent has resident counts as a program's, up to its exec.
    fn run(&self, subject: &Subject) -> io::Result<Option<Taken>> {
        let mut before: Vec<OsString> = vec![env::current_exe()?.into(), "weigh".into(), "env".into()];
        before.extend(subject.variables.iter().map(|(name, value)| {
            let mut variable = OsString::from(format!("{name}="));
            variable.push(value);
            variable
        }));
        let mut best = None;
        for _ in 0..RUNS {
            let output = self.command(&before)?.output()?;
            let Ok(Some(weighed)) = serde_json::from_slice::<Option<Weighed>>(&output.stdout) else { return Ok(None) };
            let time = Duration::from_nanos(weighed.nanoseconds);
            best = Some(shorter(best, Taken { resident: weighed.resident, time }));
        }
        Ok(best)
    }
}

/// What a program took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weighed {
    resident: u64,
    nanoseconds: u64,
}

/// Runs a program, and measures it; none if it did not end well.
///
/// # Errors
/// It cannot be run.
pub fn weigh(command: &[OsString]) -> io::Result<Option<Weighed>> {
    let [program, arguments @ ..] = command else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let resident = sys::peak_resident(command.spawn()?)?;
    let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Ok(resident.map(|resident| Weighed { resident, nanoseconds }))
}

/// The preload library: the named one, or the one beside this executable.
fn preload(arguments: &FootprintArguments) -> Result<PathBuf, Stop> {
    let beside = env::current_exe()?.with_file_name("libmem_preload.so");
    let library = arguments.preload.clone().unwrap_or(beside);
    let missing = |_| Stop::Usage(format!("there is no {}; cargo build --release makes it", library.display()));
    fs::canonicalize(&library).map_err(missing)
}

/// The system's allocator, and those peers that are found; the others are said to be skipped.
fn peers(folders: &[PathBuf], out: &mut dyn Write) -> io::Result<Vec<Subject>> {
    let mut peers = vec![Subject { name: "the system's".to_owned(), variables: vec![] }];
    let system = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    let multiarch = PathBuf::from(format!("/usr/lib/{}-linux-gnu", env::consts::ARCH));
    let folders: Vec<_> = folders.iter().cloned().chain([multiarch]).chain(system).collect();
    for (name, library, package) in PEERS {
        match folders.iter().map(|folder| folder.join(library)).find(|path| path.is_file()) {
            Some(path) => {
                let path = fs::canonicalize(path)?;
                peers.push(Subject { name: name.to_owned(), variables: vec![("LD_PRELOAD", path.into())] });
            }
            None => writeln!(
                out,
                "SKIPPED: {name}: there is no {library} (Debian: {package}); --libraries FOLDER finds it"
            )?,
        }
    }
    Ok(peers)
}

fn installed(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(name));
    // A script that starts another program is not what is meant.
    let is_binary = |path: &PathBuf| {
        let mut start = [0; 4];
        File::open(path)
            .is_ok_and(|mut file| io::Read::read_exact(&mut file, &mut start).is_ok() && start == *b"\x7fELF")
    };
    found.into_iter().find(is_binary)
}

impl FootprintArguments {
    fn includes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| OsStr::new(only) == name)
    }
}
