//! A program as a process: started under an allocator, and what it took when it has ended.

use super::subjects::Subject;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Seconds after which a program is ended by a signal. None takes a tenth of it.
const TIME_LIMIT: u32 = 120;

/// A program, its arguments, and all that it finds when it starts.
#[derive(Clone, Debug)]
pub struct Job {
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its environment, which has nothing of this process's but the search path.
    pub variables: Vec<(&'static str, OsString)>,
    /// Where it runs, and where what it prints is kept.
    pub folder: PathBuf,
    /// The file that it reads, if any.
    pub input: Option<PathBuf>,
}

/// What a program took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Taken {
    /// Processor time of the program and of those that it started, in user mode and in the kernel's.
    pub seconds: f64,
    /// The most bytes that were resident at once, of the largest process.
    pub bytes: f64,
}

impl Job {
    /// The file that has what the program printed under `subject`.
    pub fn output(&self, subject: &Subject) -> PathBuf {
        self.folder.join(format!("{}.out", subject.name))
    }

    /// The file that has its complaints.
    pub fn complaints(&self, subject: &Subject) -> PathBuf {
        self.folder.join(format!("{}.err", subject.name))
    }

    /// The command, without an allocator of ours.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.folder).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).envs([("LC_ALL", "C"), ("TZ", "UTC")]);
        command.env("HOME", &self.folder).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Starts it under `subject`.
    pub fn start(&self, subject: &Subject) -> io::Result<Running> {
        let mut command = self.command();
        if let Some(input) = &self.input {
            command.stdin(File::open(input)?);
        }
        command.envs(subject.variables.iter().map(|(name, value)| (name, value)));
        command.stdout(File::create(self.output(subject))?).stderr(File::create(self.complaints(subject))?);
        // Having something to do before it, the program is started by a fork. Otherwise it would be started in this
        // process's memory, and the kernel would count what is resident here as the program's.
        //
        // SAFETY: `alarm` may be called between fork and exec; it allocates nothing and takes no lock.
        unsafe { command.pre_exec(set_alarm) };
        Ok(Running { child: command.spawn()?, ended: false })
    }
}

fn set_alarm() -> io::Result<()> {
    // SAFETY: it takes a number.
    unsafe { libc::alarm(TIME_LIMIT) };
    Ok(())
}

/// A process that has been started. Dropped before its end it is ended.
pub struct Running {
    child: Child,
    ended: bool,
}

impl Running {
    /// Whether it has ended by itself, which is then all that is known of it.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        self.ended = self.ended || self.child.try_wait()?.is_some();
        Ok(self.ended)
    }

    /// Waits for its end; how it ended, and what it and all of its children took.
    pub fn wait(mut self) -> io::Result<(ExitStatus, Taken)> {
        let id = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
        loop {
            // SAFETY: both are places for the answer, and the process is a child that nobody has waited for.
            let waited = unsafe { libc::wait4(id, &raw mut status, 0, usage.as_mut_ptr()) };
            if waited == id {
                break;
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        self.ended = true;
        // SAFETY: zeroed it was valid already.
        let usage = unsafe { usage.assume_init() };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        let taken = Taken {
            seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
            bytes: usage.ru_maxrss as f64 * 1024.0,
        };
        Ok((ExitStatus::from_raw(status), taken))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            // It may have ended this moment: then there is nothing to end.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Whether two files hold the same bytes, which are compared piece by piece: what is resident here would count as the
/// next program's.
pub fn same(one: &Path, other: &Path) -> io::Result<bool> {
    const PIECE: u64 = 1 << 16;
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    loop {
        ours.clear();
        theirs.clear();
        (&mut one).take(PIECE).read_to_end(&mut ours)?;
        (&mut other).take(PIECE).read_to_end(&mut theirs)?;
        if ours != theirs {
            return Ok(false);
        }
        if ours.is_empty() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Kind;
    use std::fs;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("slabfit-bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary folder is writable");
        folder
    }

    fn plain() -> Subject {
        Subject { name: "plain".to_owned(), kind: Kind::System, variables: vec![] }
    }

    #[test]
    fn a_job_ends_with_its_output_and_what_it_took() {
        let folder = folder("job");
        let job = Job {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), "echo $GREETING; exit 3".into()],
            variables: vec![("GREETING", "hello".into())],
            folder: folder.clone(),
            input: None,
        };
        let (status, taken) = job.start(&plain()).and_then(Running::wait).expect("there is a shell");
        assert_eq!(status.code(), Some(3));
        assert!(taken.bytes > 100_000.0 && taken.seconds < 10.0, "{taken:?}");
        assert_eq!(fs::read_to_string(job.output(&plain())).ok().as_deref(), Some("hello\n"));
        fs::remove_dir_all(&folder).expect("the folder was just written");
    }

    #[test]
    fn files_are_the_same_to_their_last_byte() {
        let folder = folder("same");
        let write = |name: &str, text: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, text).expect("the temporary folder is writable");
            path
        };
        let long = vec![b'x'; 200_000];
        let (one, two) = (write("one", &long), write("two", &long));
        let (short, other) = (write("short", &long[1..]), write("other", &[&long[1..], b"y"].concat()));
        assert!(same(&one, &two).expect("both are there"));
        assert!(!same(&one, &short).expect("both are there"));
        assert!(!same(&one, &other).expect("both are there"));
        assert!(same(&one, &folder.join("none")).is_err());
        fs::remove_dir_all(&folder).expect("the folder was just written");
    }
}
