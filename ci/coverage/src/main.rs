//! `slabfit-coverage EXPORTS FOLDER`: the lines and branches of the sources under FOLDER that no test has reached. EXPORTS is a
//! folder with what `llvm-cov export` says of each program and library, lines in `NAME.lcov` and branches in `NAME.json`; what
//! one of them has reached is reached. Each other line and branch must have its reason in the source: a comment
//! `// Not reached: why`, on the line or right above it. For a line it also holds for those that follow and were not reached
//! either. Fails if one has none.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use serde::Deserialize;

const REASON: &str = "// Not reached: ";

/// What `llvm-cov export` writes, as far as it is needed here.
#[derive(Deserialize)]
struct Export {
    data: Vec<Data>,
}

#[derive(Deserialize)]
struct Data {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    /// Line and column where the condition starts, and where it ends; how often it was true, and false; and more.
    branches: Vec<Vec<u64>>,
}

/// How often a condition was true and false, in all instances of its function together.
#[derive(Clone, Copy, Default)]
struct Outcomes {
    taken: u64,
    not: u64,
}

/// The text of a file, and what of it was not reached.
struct Source {
    text: Vec<String>,
    missed: Vec<(u64, String)>,
}

/// How much there is, how much of it was reached, and how much of the rest has a reason.
#[derive(Default)]
struct Tally {
    all: usize,
    reached: usize,
    excused: usize,
}

impl Source {
    fn read(path: &str) -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        Ok(Self { text: text.lines().map(str::to_owned).collect(), missed: Vec::new() })
    }

    fn line(&self, number: u64) -> &str {
        number.checked_sub(1).and_then(|index| self.text.get(index as usize)).map_or("", String::as_str)
    }

    /// Whether a reason stands on the line, or in the comment right above it.
    fn has_reason(&self, number: u64) -> bool {
        let above = (1..number).rev().map(|number| self.line(number)).take_while(|line| line.trim().starts_with("//"));
        [self.line(number)].into_iter().chain(above).any(|line| line.contains(REASON))
    }

    fn lines(&mut self, counts: &BTreeMap<u64, u64>, tally: &mut Tally) {
        let mut excused = false;
        for (&number, &count) in counts {
            tally.all += 1;
            if count > 0 {
                tally.reached += 1;
                excused = false;
                continue;
            }
            excused = excused || self.has_reason(number);
            if excused {
                tally.excused += 1;
            } else {
                self.missed.push((number, format!("not reached: {}", self.line(number).trim())));
            }
        }
    }

    fn branches(&mut self, outcomes: &BTreeMap<(u64, u64), Outcomes>, tally: &mut Tally) {
        for (&(line, column), &Outcomes { taken, not }) in outcomes {
            // One that was not come to is on a line that was not reached, or behind a condition that counts by itself.
            if taken == 0 && not == 0 {
                continue;
            }
            for (count, never) in [(taken, "true"), (not, "false")] {
                tally.all += 1;
                if count > 0 {
                    tally.reached += 1;
                } else if self.has_reason(line) {
                    tally.excused += 1;
                } else {
                    self.missed.push((line, format!("column {column} is never {never}: {}", self.line(line).trim())));
                }
            }
        }
    }
}

/// What was counted in a file, in all programs together.
#[derive(Default)]
struct Counts {
    lines: BTreeMap<u64, u64>,
    branches: BTreeMap<(u64, u64), Outcomes>,
}

impl Counts {
    fn add_branches(&mut self, file: &File) {
        for branch in &file.branches {
            if let &[line, column, _, _, taken, not, ..] = branch.as_slice() {
                let outcome = self.branches.entry((line, column)).or_default();
                outcome.taken = outcome.taken.saturating_add(not_negative(taken));
                outcome.not = outcome.not.saturating_add(not_negative(not));
            }
        }
    }
}

/// A count that was found by subtracting others. Below zero, as when a thread's count was lost, it says nothing.
fn not_negative(count: u64) -> u64 {
    if i64::try_from(count).is_ok() { count } else { 0 }
}

/// The counts of each file under a folder.
struct Files<'f> {
    folder: &'f Path,
    files: BTreeMap<String, Counts>,
}

impl Files<'_> {
    fn counts(&mut self, path: &str) -> Option<&mut Counts> {
        Path::new(path).starts_with(self.folder).then(|| self.files.entry(path.to_owned()).or_default())
    }

    fn add_lines(&mut self, lcov: &str) {
        let mut counts = None;
        for line in lcov.lines() {
            if let Some(path) = line.strip_prefix("SF:") {
                counts = self.counts(path);
            } else if let (Some(record), Some(counts)) = (line.strip_prefix("DA:"), &mut counts) {
                let mut numbers = record.split(',').filter_map(|number| number.parse().ok());
                if let (Some(line), Some(count)) = (numbers.next(), numbers.next()) {
                    let sum = counts.lines.entry(line).or_default();
                    *sum = sum.saturating_add(not_negative(count));
                }
            }
        }
    }

    fn add_branches(&mut self, export: &Export) {
        for file in export.data.iter().flat_map(|data| &data.files) {
            if let Some(counts) = self.counts(&file.filename) {
                counts.add_branches(file);
            }
        }
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let [exports, folder]: [String; 2] =
        env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "which exports, and which folder?")?;
    let folder = fs::canonicalize(folder)?;
    let mut files = Files { folder: &folder, files: BTreeMap::new() };
    for export in fs::read_dir(exports)? {
        let path = export?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("lcov") => files.add_lines(&fs::read_to_string(path)?),
            Some("json") => files.add_branches(&serde_json::from_str(&fs::read_to_string(path)?)?),
            _ => {}
        }
    }
    let (mut lines, mut branches) = (Tally::default(), Tally::default());
    let mut missed = 0;
    for (path, counts) in files.files {
        let mut source = Source::read(&path)?;
        source.lines(&counts.lines, &mut lines);
        source.branches(&counts.branches, &mut branches);
        source.missed.sort();
        missed += source.missed.len();
        for (number, what) in source.missed {
            println!("{path}:{number}: {what}");
        }
    }
    if lines.all == 0 || branches.all == 0 {
        return Err("nothing was measured".into());
    }
    for (what, Tally { all, reached, excused }) in [("lines", lines), ("branches", branches)] {
        println!("{what}: {reached} of {all} reached, {excused} have a reason");
    }
    Ok(missed == 0)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { text: text.lines().map(str::to_owned).collect(), missed: Vec::new() }
    }

    #[test]
    fn a_reason_holds_for_the_lines_that_follow_until_one_was_reached() {
        let mut source = source("one\n// Not reached: why\n// and how\ntwo\nthree\nfour\nfive\n");
        let mut tally = Tally::default();
        source.lines(&BTreeMap::from([(1, 0), (4, 0), (5, 0), (6, 7), (7, 0)]), &mut tally);
        let missed: Vec<_> = source.missed.iter().map(|(number, _)| *number).collect();
        assert_eq!((missed.as_slice(), tally.all, tally.reached, tally.excused), ([1, 7].as_slice(), 5, 1, 2));
    }

    fn file(name: &str, branches: &[[u64; 9]]) -> File {
        File { filename: name.to_owned(), branches: branches.iter().map(|branch| branch.to_vec()).collect() }
    }

    #[test]
    fn a_branch_counts_in_all_instances_together_and_each_side_by_itself() {
        let mut counts = Counts::default();
        counts.add_branches(&file("", &[[1, 4, 1, 9, 0, 3, 0, 0, 4], [1, 4, 1, 9, 2, 0, 0, 0, 4]]));
        counts.add_branches(&file("", &[[2, 4, 2, 9, 0, 5, 0, 0, 4]]));
        let mut source = source("if one {\nif two {\n");
        let mut tally = Tally::default();
        source.branches(&counts.branches, &mut tally);
        assert_eq!(source.missed, [(2, "column 4 is never true: if two {".to_owned())]);
        assert_eq!((tally.all, tally.reached, tally.excused), (4, 3, 0));
    }

    #[test]
    fn a_count_below_zero_is_none() {
        let mut files = Files { folder: Path::new("/a"), files: BTreeMap::new() };
        files.add_lines("SF:/a/one.rs\nDA:1,18446744073709551615\nDA:2,3\nDA:2,18446744073709551614\n");
        files.add_branches(&Export {
            data: vec![Data { files: vec![file("/a/one.rs", &[[2, 4, 2, 9, u64::MAX, 1, 0, 0, 4]])] }],
        });
        let counts = files.counts("/a/one.rs").expect("it is there");
        assert_eq!(counts.lines, BTreeMap::from([(1, 0), (2, 3)]));
        assert_eq!(counts.branches.values().map(|sides| (sides.taken, sides.not)).collect::<Vec<_>>(), [(0, 1)]);
    }

    #[test]
    fn what_one_program_has_reached_is_reached_and_files_elsewhere_do_not_count() {
        let mut files = Files { folder: Path::new("/a/src"), files: BTreeMap::new() };
        files.add_lines("SF:/a/src/one.rs\nDA:1,0\nDA:2,0\nend_of_record\nSF:/b/src/two.rs\nDA:1,0\nend_of_record\n");
        files.add_lines("SF:/a/src/one.rs\nDA:1,3\nDA:2,0\nBRDA:2,0,0,1\nend_of_record\n");
        for (taken, not) in [(0, 4), (0, 0), (5, 0)] {
            let both = ["/a/src/one.rs", "/b/src/two.rs"].map(|name| file(name, &[[2, 4, 2, 9, taken, not, 0, 0, 4]]));
            files.add_branches(&Export { data: vec![Data { files: both.into() }] });
        }
        let [(path, counts)] = files.files.into_iter().collect::<Vec<_>>().try_into().ok().expect("one is there");
        assert_eq!((path.as_str(), counts.lines), ("/a/src/one.rs", BTreeMap::from([(1, 3), (2, 0)])));
        let outcomes: Vec<_> =
            counts.branches.into_iter().map(|(place, sides)| (place, sides.taken, sides.not)).collect();
        assert_eq!(outcomes, [((2, 4), 5, 4)]);
    }
}
