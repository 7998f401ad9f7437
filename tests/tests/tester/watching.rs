//! `tester watch` in a terminal.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::tester_common::{TESTER, scratch, tester, text};

#[test]
fn watch_needs_a_terminal() {
    let watch = |rate: &str| tester(&["watch", "gitlog", "--heap", "64K", "--rate", rate]);
    watch("1000").refuses("watch draws in a terminal, and stdout is none");
    watch("0").refuses("invalid value '0' for '--rate <N>': not a number of operations a second from 1 to 1000000000");
}

/// A shell in a terminal of 100 columns and 30 rows, by `script`.
struct Terminal {
    child: Child,
    screen: mpsc::Receiver<String>,
    /// What has come, and what of it stood before the last text that was waited for.
    seen: String,
    passed: String,
}

const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";
const SHOW_CURSOR: &str = "\u{1b}[?25h";
const PATIENCE: Duration = Duration::from_secs(30);

impl Terminal {
    /// Runs a shell's commands; `None`, and a line that says so, where there is no `script`.
    fn run(commands: &str) -> Option<Self> {
        let commands = format!("stty rows 30 cols 100; {commands}");
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-c", &commands, "/dev/null"]).env("TERM", "xterm-256color").env("SHELL", "/bin/sh");
        let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
            writeln!(io::stderr(), "SKIPPED: there is no script").expect("stderr is open");
            return None;
        };
        let mut stdout = child.stdout.take().expect("it is piped");
        let (send, screen) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 65_536];
            while let Ok(length @ 1..) = stdout.read(&mut bytes) {
                // Whoever listened may be gone.
                let _ = send.send(String::from_utf8_lossy(&bytes[..length]).into_owned());
            }
        });
        Some(Self { child, screen, seen: String::new(), passed: String::new() })
    }

    /// Waits until `text` appears behind all that was waited for before.
    fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                self.seen.truncate(at);
                self.passed = std::mem::replace(&mut self.seen, rest);
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(more) => self.seen.push_str(&more),
                Err(_) => panic!("{text:?} does not come; there is {:?}", self.seen),
            }
        }
    }

    /// Waits until `watched` shows its trace, at 100 operations a second. The number of its process.
    fn watching(&mut self) -> String {
        self.wait_for("pid ");
        self.wait_for("\r");
        let process = self.passed.clone();
        for text in [ENTER, "100/s"] {
            self.wait_for(text);
        }
        process
    }

    fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().expect("it is piped").write_all(keys.as_bytes()).expect("the terminal reads");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Without a terminal whatever runs in it ends.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Shell commands that watch git log, with the terminal's settings from before and after in two files, and say how it ended.
fn watched(name: &str, rate: &str) -> (String, [PathBuf; 2]) {
    let settings = ["before", "after"].map(|when| scratch(&format!("{name}.{when}")));
    let [before, after] = settings.each_ref().map(|path| text(path));
    let watch = format!("echo pid \\$\\$; exec '{TESTER}' watch gitlog --heap 1M --rate {rate}");
    let commands = format!("stty -g >'{before}'; (sh -c \"{watch}\"); echo status $?.; stty -g >'{after}'; echo gone");
    (commands, settings)
}

fn assert_as_before(settings: &[PathBuf; 2]) {
    let [before, after] = settings.each_ref().map(|path| fs::read_to_string(path).expect("stty wrote it"));
    assert!(before == after && !before.is_empty(), "{before} became {after}");
}

#[test]
fn watch_shows_the_trace_and_gives_the_terminal_back() {
    let (commands, settings) = watched("keys", "10000");
    let Some(mut terminal) = Terminal::run(&commands) else { return };
    for text in [ENTER, "gitlog in 1 MiB", "10,000/s"] {
        terminal.wait_for(text);
    }
    for (keys, text) in [
        (" ", "paused at 10,000/s"),
        ("+", "paused at 20,000/s"),
        ("-", "paused at 10,000/s"),
        (" ", "10,000/s · space"),
        ("+++++", "the end"),
        ("q", SHOW_CURSOR),
    ] {
        terminal.press(keys);
        terminal.wait_for(text);
    }
    for text in [LEAVE, "after operation 70,951 of 70,951", "status 0.", "gone"] {
        terminal.wait_for(text);
    }
    assert_as_before(&settings);
}

#[test]
fn a_paused_trace_goes_on_by_steps() {
    let (commands, _) = watched("steps", "1");
    let Some(mut terminal) = Terminal::run(&commands) else { return };
    terminal.press(" ");
    terminal.wait_for("paused at 1/s");
    terminal.wait_for("after operation ");
    terminal.wait_for(" of 70,951");
    let paused: u32 = terminal.passed.parse().expect("a number");
    for _ in 0..20 {
        terminal.press("\u{1b}[C");
    }
    terminal.wait_for(&format!("after operation {} of 70,951", paused + 20));
    terminal.press("\u{3}");
    terminal.wait_for(LEAVE);
}

#[test]
fn a_signal_ends_watch_and_the_terminal_is_as_it_was() {
    for (signal, status) in [("TERM", "143"), ("INT", "130"), ("HUP", "129")] {
        let (commands, settings) = watched(signal, "100");
        let Some(mut terminal) = Terminal::run(&commands) else { return };
        let process = terminal.watching();
        let sent = Command::new("kill").args([format!("-{signal}"), process]).status().expect("there is kill");
        assert!(sent.success());
        for text in [SHOW_CURSOR, LEAVE, &format!("status {status}."), "gone"] {
            terminal.wait_for(text);
        }
        assert_as_before(&settings);
    }
}

#[test]
fn watch_ends_with_its_terminal() {
    let (commands, _) = watched("gone", "100");
    // Once as it is; and once under a shell that does not hand the news on.
    for commands in [commands.clone(), format!("trap '' HUP; {commands}")] {
        let Some(mut terminal) = Terminal::run(&commands) else { return };
        let process = terminal.watching();
        drop(terminal);
        wait_for_end(&process);
    }
}

fn wait_for_end(process: &str) {
    let end = Instant::now() + PATIENCE;
    while is_running(process) {
        if Instant::now() > end {
            let _ = Command::new("kill").args(["-KILL", process]).status();
            panic!("it runs on without a terminal");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a process is there, and is more than what its parent has yet to be told.
fn is_running(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z') && !line.contains('X'))
}
