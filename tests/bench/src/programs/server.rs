//! redis, asked by its own benchmark and then, for answers that can be compared, by this program.

use super::process::{Job, Running, Taken};
use super::subjects::Subject;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// How long the server may take to listen, or to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the benchmark asks for.
const TESTS: &str = "set,get,incr,lpush,rpop,sadd,hset,zadd,mset";
/// Its settings: no file, no network, and names for what is in it.
const OPTIONS: [&str; 8] = ["--port", "0", "--unixsocket", "socket", "--save", "", "--enable-debug-command", "yes"];

/// A server, and who asks it.
pub struct Server {
    server: Job,
    benchmark: PathBuf,
    /// Requests of each kind.
    requests: usize,
}

impl Server {
    /// A server with `requests` of each kind.
    pub fn new(server: Job, benchmark: PathBuf, requests: usize) -> Self {
        let arguments = OPTIONS.map(Into::into).into();
        Self { server: Job { arguments, ..server }, benchmark, requests }
    }

    /// Its job.
    pub fn job(&self) -> &Job {
        &self.server
    }

    /// Runs it under `subject`, with every answer in the place of what it prints, which has times and processes' numbers.
    pub fn run(&self, subject: &Subject) -> io::Result<(ExitStatus, Taken)> {
        let socket = self.socket();
        let _ = fs::remove_file(&socket); // of the server before, if that was ended
        let mut running = self.server.start(subject)?;
        self.wait_for_socket(&mut running)?;
        let mut answers = self.load()?;
        answers += &self.ask()?;
        let ended = running.wait()?;
        fs::write(self.server.output(subject), answers)?;
        Ok(ended)
    }

    fn socket(&self) -> PathBuf {
        self.server.folder.join("socket")
    }

    fn wait_for_socket(&self, running: &mut Running) -> io::Result<()> {
        let end = Instant::now() + PATIENCE;
        while let Err(error) = UnixStream::connect(self.socket()) {
            if running.has_ended()? || Instant::now() > end {
                return Err(io::Error::new(error.kind(), format!("redis-server does not listen: {error}")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Runs the benchmark, always under the same allocator; the names of what it asked for.
    fn load(&self) -> io::Result<String> {
        let mut command = Command::new(&self.benchmark);
        command.env_clear().envs(self.server.variables.iter().map(|(name, value)| (name, value)));
        command
            .arg("-s")
            .arg(self.socket())
            .args(["-c", "8", "-P", "32", "-r", "20000", "-d", "100", "-q", "-t", TESTS]);
        let output = command.arg("-n").arg(self.requests.to_string()).output()?;
        let names = names(&String::from_utf8_lossy(&output.stdout));
        if !output.status.success() || names.lines().count() != TESTS.split(',').count() {
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(format!("redis-benchmark did not come to its end: {names}{complaint}")));
        }
        Ok(names)
    }

    /// Fills the empty server by commands that are the same each time, asks for all that is in it, and ends it.
    fn ask(&self) -> io::Result<String> {
        let stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let (mut writer, mut reader) = (stream.try_clone()?, BufReader::new(stream));
        let mut answers = String::new();
        writer.write_all(b"flushall\r\n")?;
        reader.read_line(&mut answers)?;
        for i in 0..500 {
            let text = "x".repeat(i);
            write!(writer, "set key{i} {text}.\r\nappend key{} {text}\r\nrpush list{} {text}.\r\n", i / 2, i % 9)?;
            write!(writer, "hset hash{} field{i} {text}.\r\nzadd scores {i} {text}.\r\n", i % 7)?;
            for _ in 0..5 {
                reader.read_line(&mut answers)?;
            }
        }
        writer.write_all(b"dbsize\r\ndebug digest\r\nshutdown nosave\r\n")?;
        reader.read_to_string(&mut answers)?;
        Ok(answers)
    }
}

/// What the benchmark says it has measured, a name a line, without the figures.
fn names(text: &str) -> String {
    let done = text.split(['\r', '\n']).filter(|line| line.contains("requests per second"));
    done.filter_map(|line| line.split(':').next()).map(|name| format!("{}\n", name.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_benchmark_s_figures_are_left_out() {
        let text = "SET: rps=0.0 (overall: -nan)\rSET: 12345.67 requests per second, p50=0.1 msec\n\nGET: 1 requests per second\n";
        assert_eq!(names(text), "SET\nGET\n");
    }
}
