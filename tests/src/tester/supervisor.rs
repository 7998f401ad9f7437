//! Carries out every step of a library's test in a child process of its own, so that a library which crashes, hangs or
//! ends the process fails a step and nothing else.

use std::cell::Cell;
use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::tester::beacon::Beacon;
use crate::tester::conformance::{Scenario, scenario};
use crate::tester::library::Library;
use crate::tester::recordings::{Recording, Source};
use crate::tester::replay::Replayed;
use crate::tester::runner::{Runner, Settings};
use crate::tester::session::Failure;
use crate::tester::stress::Stressed;
use crate::tester::sys;

/// What a child process is to do.
#[derive(Debug, Serialize, Deserialize)]
struct Assignment {
    library: PathBuf,
    settings: Settings,
    step: Step,
}

#[derive(Debug, Serialize, Deserialize)]
enum Step {
    /// Nothing but load the library.
    Load,
    Scenario(String),
    Replay(Source),
    Stress,
}

/// A library, tested in child processes.
pub struct LibraryRunner {
    /// Absolute, or the loader would look for it elsewhere.
    library: PathBuf,
    settings: Settings,
    time_limit: Duration,
    /// Steps in which it hung.
    hung: Cell<u32>,
}

/// Steps in which a library may hang until no more are tried: each takes as long as the time limit.
const PATIENCE: u32 = 3;

impl LibraryRunner {
    /// The library at `path`. A call that does not return within `time_limit` hangs.
    #[must_use]
    pub fn new(path: &Path, settings: Settings, time_limit: Duration) -> Self {
        let library = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self { library, settings, time_limit, hung: Cell::new(0) }
    }

    /// Whether it can be loaded: the inner error is the loader's, which is the user's mistake.
    ///
    /// # Errors
    /// The library crashed or hung while it was loaded.
    pub fn load(&self) -> Result<Result<(), String>, Failure> {
        self.carry_out(Step::Load, &|_| ()).map_err(|death| death.into_failure(None))
    }

    /// Starts a child process, waits for its report, and tells `watch` how far it is.
    fn carry_out<T: DeserializeOwned>(&self, step: Step, watch: &dyn Fn(u64)) -> Result<T, Death> {
        let assignment = Assignment { library: self.library.clone(), settings: self.settings, step };
        let unable = |error: io::Error| Death::bare(format!("the tester cannot start a process: {error}"));
        let text = serde_json::to_string(&assignment).map_err(|error| unable(error.into()))?;
        let (beacon, file) = Beacon::create().map_err(unable)?;
        let mut child = Expendable::start(&text, file).map_err(unable)?;
        let end = self.wait(&mut child, &beacon, watch);
        match end {
            End::Reported(text) => serde_json::from_str(&text)
                .map_err(|error| Death::bare(format!("the child's report is garbled ({error}): {text}"))),
            End::Died(how) => {
                let last_words = child.last_words();
                Err(Death { how, calls: beacon.calls_in_flight(), position: beacon.position(), last_words })
            }
        }
    }

    fn wait(&self, child: &mut Expendable, beacon: &Beacon, watch: &dyn Fn(u64)) -> End {
        /// Between two looks. The first come sooner, because most scenarios take less than a millisecond.
        const PAUSE: Duration = Duration::from_millis(20);
        let mut pause = Duration::from_micros(250);
        let (mut progress, mut since) = (beacon.progress(), Instant::now());
        loop {
            // Asked before the report is looked for: what ends has reported before.
            let ended = child.process.try_wait();
            match beacon.read_report() {
                Ok(Some(text)) => return End::Reported(text),
                Ok(None) => (),
                Err(error) => return End::Died(format!("its report cannot be read: {error}")),
            }
            match ended {
                Ok(None) => (),
                Ok(Some(status)) => return End::Died(how_it_ended(status)),
                Err(error) => return End::Died(format!("it cannot be waited for: {error}")),
            }
            watch(beacon.position());
            let now = beacon.progress();
            if now != progress {
                (progress, since) = (now, Instant::now());
            } else if since.elapsed() >= self.time_limit {
                self.hung.set(self.hung.get() + 1);
                return End::Died(format!(
                    "the library hangs: no call has returned for {} s",
                    self.time_limit.as_secs()
                ));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE);
        }
    }
}

impl Runner for LibraryRunner {
    fn scenario(&self, scenario: &Scenario) -> Result<(), Failure> {
        let step = Step::Scenario(scenario.claim.to_owned());
        self.carry_out(step, &|_| ()).unwrap_or_else(|death| Err(death.into_failure(None)))
    }

    fn replay(&self, recording: &Recording, watch: &dyn Fn(u64)) -> Result<Replayed, Failure> {
        let step = Step::Replay(recording.source.clone());
        self.carry_out(step, watch).unwrap_or_else(|death| Err(death.into_failure(Some(recording))))
    }

    fn stress(&self, watch: &(dyn Fn(u64) + Sync)) -> Result<Stressed, Failure> {
        self.carry_out(Step::Stress, watch).unwrap_or_else(|death| Err(death.into_failure(None)))
    }

    fn given_up(&self) -> Option<Failure> {
        (self.hung.get() >= PATIENCE)
            .then(|| Failure(format!("the library hung in {PATIENCE} steps, and is tried no further")))
    }
}

/// How a child process ended.
enum End {
    Reported(String),
    Died(String),
}

/// A child process that died without a report.
struct Death {
    how: String,
    calls: Vec<String>,
    position: u64,
    last_words: String,
}

impl Death {
    fn bare(how: String) -> Self {
        Self { how, calls: Vec::new(), position: 0, last_words: String::new() }
    }

    /// The death as the library's failure. Of a program's replay, the operation can be told.
    fn into_failure(self, recording: Option<&Recording>) -> Failure {
        let mut text = self.how;
        match self.calls.as_slice() {
            [] => text.push_str(", not in one of its functions"),
            calls => text = format!("{text}, in {}", calls.join("; in ")),
        }
        if let Some(recording) = recording {
            let index = usize::try_from(self.position).unwrap_or(usize::MAX);
            text = format!("{text}, {}", recording.trace.describe(index));
        }
        if !self.last_words.is_empty() {
            text = format!("{text}\nstderr: {}", self.last_words);
        }
        Failure(text)
    }
}

fn how_it_ended(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("the library crashed: {}", sys::signal_name(signal)),
        (None, Some(code)) => format!("the library ended the process with exit status {code}"),
        (None, None) => "the library ended the process".to_owned(),
    }
}

/// A child process that is killed when it is no longer needed.
struct Expendable {
    process: Child,
    stderr: Arc<Mutex<Vec<u8>>>,
}

impl Expendable {
    fn start(assignment: &str, beacon: File) -> io::Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .args(["step", assignment])
            .stdin(beacon)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = Arc::default();
        if let Some(pipe) = process.stderr.take() {
            let kept = Arc::clone(&stderr);
            // Not waited for: whoever else has the pipe may keep it open for ever.
            thread::spawn(move || keep_end(pipe, &kept));
        }
        Ok(Self { process, stderr })
    }

    /// What the child wrote to stderr last, in one line: an assertion, say.
    fn last_words(&mut self) -> String {
        // Kills what hangs; and gives what died time for its last words to arrive.
        let _ = self.process.kill();
        let _ = self.process.wait();
        thread::sleep(Duration::from_millis(20));
        let bytes = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim().escape_debug().to_string()
    }
}

impl Drop for Expendable {
    fn drop(&mut self) {
        // It has nothing to do any more, and its library may well hang while it ends.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads a pipe until it closes, and keeps the last of it.
fn keep_end(mut pipe: impl Read, kept: &Mutex<Vec<u8>>) {
    const KEPT: usize = 1000;
    let mut buffer = [0; KEPT];
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&buffer[..read]);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }
}

/// What a child process does: one step, and a report to its parent, which has the other end of its standard input.
///
/// # Errors
/// There is no parent that could be reported to.
pub fn carry_out_assignment(text: &str) -> io::Result<()> {
    sys::become_expendable();
    let assignment: Assignment = serde_json::from_str(text)?;
    let open = || Beacon::open(File::from(io::stdin().as_fd().try_clone_to_owned()?));
    let report = report_of(&assignment, open()?)?;
    open()?.report(&report)
}

fn report_of(assignment: &Assignment, beacon: Beacon) -> serde_json::Result<String> {
    // SAFETY: this process was started to be wrecked by the library, and nothing else is in it. That a file which
    // exports functions by these names means the ones of `mem.h` is what its user says by naming it.
    let library = match unsafe { Library::load(&assignment.library, beacon) } {
        Ok(library) => library,
        Err(why) => return serde_json::to_string(&Err::<(), _>(why)),
    };
    let settings = &assignment.settings;
    let watch = |done| library.beacon().set_position(done);
    match &assignment.step {
        Step::Load => serde_json::to_string(&Ok::<_, String>(())),
        Step::Scenario(claim) => {
            let scenario = scenario(claim).ok_or_else(|| Failure(format!("no scenario says '{claim}'")));
            serde_json::to_string(&scenario.and_then(|scenario| settings.scenario(&library, scenario)))
        }
        Step::Replay(source) => {
            let recording = source.load().map_err(|error| Failure(error.to_string()));
            serde_json::to_string(&recording.and_then(|recording| settings.replay(&library, &recording, &watch)))
        }
        Step::Stress => serde_json::to_string(&settings.stress(&library, &watch)),
    }
}
