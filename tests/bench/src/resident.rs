//! Resident bytes, measured in a process of their own: what one subject leaves behind is not the next one's.

use crate::numbers::Spread;
use crate::rows::Effort;
use crate::rows::stream;
use crate::subject::Setup;
use crate::table::Table;
use std::process::Command;

/// Bytes of this process's anonymous memory (no program files) that are resident, counted by the kernel page by page.
pub fn now() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = text.lines().find(|line| line.starts_with("Anonymous:"))?;
    let kilobytes: usize = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes << 10)
}

/// Runs this program again with `arguments` and returns the number that it prints.
pub fn ask(arguments: &[&str]) -> Option<f64> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new(program).args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Adds to `table` what each subject of `row` has resident when the row's work is done and its objects still live.
pub fn add(row: &str, table: &mut Table) {
    let subjects: Vec<_> = table.subjects(row).into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
    for (name, kind) in subjects.into_iter().filter(|(_, kind)| kind.is_allocator()) {
        if let Some(bytes) = ask(&["--resident", row, &name]) {
            table.add(row, &name, kind, "resident KiB", Spread::exact(bytes / 1024.0));
        }
    }
}

/// The child's part: runs the work of `row` once on `subject` and returns the bytes that became resident.
pub fn measure(row: &str, subject: &str) -> Option<usize> {
    let spec = stream::all().into_iter().find(|spec| spec.name == row)?;
    let entry = stream::subjects(row).into_iter().find(|entry| entry.name == subject)?;
    let work = (spec.make)(Effort { quick: false });
    let region = stream::region(&work);
    let setup = Setup { fresh: true, ..stream::setup(&work, &region) };
    // The harness's own table is resident before: its pages are touched by running the work on nothing.
    let empty = crate::entry::all()[0];
    (empty.hold)(&setup, &work.stream, &mut || {});
    let before = now()?;
    let mut after = before;
    (entry.hold)(&setup, work.stream_of(&entry), &mut || after = now().unwrap_or(before));
    Some(after.saturating_sub(before))
}
