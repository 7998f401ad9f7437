//! Instructions, counted by callgrind: the same from run to run, on a machine however busy.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What callgrind counted between the entry and the return of the measured function.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Instructions.
    pub instructions: f64,
    /// Conditional branches that its model of a predictor got wrong.
    pub mispredicted: f64,
}

/// Runs this program again, under callgrind, with `arguments`. Nothing where valgrind is not installed or fails.
pub fn run(arguments: &[&str]) -> Option<Counts> {
    let profile = profile_path();
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--branch-sim=yes", "--collect-atstart=no"])
        .arg("--toggle-collect=slabfit_bench_measured")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(std::env::current_exe().ok()?)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let text = std::fs::read_to_string(&profile).unwrap_or_default();
    let _ = std::fs::remove_file(&profile); // a file in the temporary folder: if it stays, it stays
    status.ok()?.success().then_some(())?;
    parse(&text)
}

fn profile_path() -> PathBuf {
    std::env::temp_dir().join(format!("slabfit-bench-{}.callgrind", std::process::id()))
}

fn parse(text: &str) -> Option<Counts> {
    let fields = |start: &str| text.lines().find_map(|line| line.strip_prefix(start).map(str::trim));
    let (events, totals) = (fields("events:")?, fields("totals:").or_else(|| fields("summary:"))?);
    let total = |name: &str| {
        let index = events.split_ascii_whitespace().position(|event| event == name)?;
        totals.split_ascii_whitespace().nth(index)?.parse().ok()
    };
    Some(Counts { instructions: total("Ir")?, mispredicted: total("Bcm").unwrap_or(0.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_are_found_by_their_events_names() {
        let text = "version: 1\nevents: Ir Bc Bcm Bi Bim\nfl=(1)\ntotals: 1000 200 30 4 5\n";
        assert_eq!(parse(text), Some(Counts { instructions: 1000.0, mispredicted: 30.0 }));
        assert_eq!(parse("nothing"), None);
    }
}
