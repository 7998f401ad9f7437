//! What the tester prints: one writer, one line after the other, so that a log reads as a terminal does.

use std::io::{self, Write};
use std::time::Duration;

use slabfit_linux::text::Count;

use crate::tester::conformance::Scenario;
use crate::tester::drawing::Row;
use crate::tester::replay::Replayed;
use crate::tester::session::{Failed, Failure};
use crate::tester::stress::Stressed;

/// Widest picture, however wide the terminal.
const WIDEST: usize = 160;
/// What stands left of a picture's row.
const LABEL: usize = 11;

/// Characters of a picture's row in this terminal.
#[must_use]
pub fn picture_width() -> usize {
    let columns = console::Term::stdout().size_checked().map_or(80, |(_, columns)| usize::from(columns));
    columns.saturating_sub(LABEL).clamp(16, WIDEST)
}

/// Prints what comes and counts what failed.
pub struct Report<'a> {
    out: &'a mut dyn Write,
    checks: usize,
    failures: usize,
}

impl<'a> Report<'a> {
    /// Prints to `out`.
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out, checks: 0, failures: 0 }
    }

    /// A line as it is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Counts a check, and prints it if it failed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn check(&mut self, what: &str, result: Result<(), &Failure>) -> io::Result<()> {
        self.checks += 1;
        let Err(failure) = result else { return Ok(()) };
        self.failures += 1;
        writeln!(self.out, "  FAILED: {what}")?;
        failure.0.lines().try_for_each(|line| writeln!(self.out, "    {line}"))
    }

    /// What the scenarios came to.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn conformance(&mut self, results: &[(&Scenario, Result<(), Failure>)], all: usize) -> io::Result<()> {
        let held = results.iter().filter(|(_, result)| result.is_ok()).count();
        write!(self.out, "conformance: {held} of {} scenarios hold", results.len())?;
        if results.len() < all {
            write!(self.out, "; {} were not tried", all - results.len())?;
        }
        writeln!(self.out)?;
        results.iter().try_for_each(|(scenario, result)| self.check(scenario.claim, result.as_ref().copied()))
    }

    /// The programs, a line each.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn traces(&mut self, results: &[(String, Result<Replayed, Failure>)]) -> io::Result<()> {
        let mut table = Table::new([
            "program",
            "operations",
            "ns/op",
            "peak live",
            "of heap",
            "failed",
            "slab",
            "spilled",
            "classes",
            "blocks",
        ]);
        for (name, result) in results {
            if let Ok(replayed) = result {
                table.row(program_row(name, replayed));
            }
        }
        if table.is_empty() {
            self.line("traces")?;
        } else {
            self.line("traces (ns/op includes the first use of every page and the tester's filling and verifying of every object)")?;
            table.write(self.out)?;
        }
        for (name, result) in results {
            if let Ok(Replayed { failed, skipped, requests, .. }) = result {
                if failed.total() > 0 {
                    let (failed, requests) = (reasons(failed), Count(*requests, "request"));
                    let skipped = left_out(*skipped).map_or(String::new(), |skipped| format!("; {skipped}"));
                    self.line(&format!("  {name}: of {requests} {failed}{skipped}"))?;
                }
            }
        }
        results.iter().try_for_each(|(name, result)| self.check(name, result.as_ref().map(|_| ())))
    }

    /// The threads.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn stress(&mut self, result: &Result<Stressed, Failure>) -> io::Result<()> {
        if let Ok(stressed) = result {
            let Stressed { threads, operations, time, passed_on, failed } = stressed;
            let (rate, operations) = (per_operation(*time, *operations), Count(*operations, "operation"));
            let (threads, passed_on) = (Count(*threads, "thread"), Count(*passed_on, "object"));
            let failed = reasons(failed);
            self.line(&format!("stress: {threads}, {operations}, {rate} ns/op, {passed_on} passed on, {failed}"))?;
        } else {
            self.line("stress")?;
        }
        self.check("threads that allocate, pass on, verify and free", result.as_ref().map(|_| ()))
    }

    /// The heap as each program had it when it had most in use.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn pictures(&mut self, results: &[(String, Result<Replayed, Failure>)]) -> io::Result<()> {
        let mut has_head = false;
        for (name, result) in results {
            let Ok(Replayed { picture: Some(picture), .. }) = result else { continue };
            if !has_head {
                self.line("the heap when each program had most in use (X used, O free, x partly used)")?;
                has_head = true;
            }
            for (segment, row) in [("slab", &picture.slab), ("blocks", &picture.blocks)] {
                self.line(&format!("{name}, {segment}: {}", in_words(row)))?;
                self.line(&format!("  {segment:<w$}{}", row.cells, w = LABEL - 2))?;
            }
        }
        Ok(())
    }

    /// The last line, and whether all held.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> io::Result<bool> {
        match self.failures {
            0 => writeln!(self.out, "all held")?,
            failures => writeln!(self.out, "FAILED: {failures} of {} checks", self.checks)?,
        }
        self.out.flush()?;
        Ok(self.failures == 0)
    }
}

fn program_row(name: &str, replayed: &Replayed) -> [String; 10] {
    let share = percent(replayed.peak_bytes, replayed.heap_bytes);
    [
        name.to_owned(),
        grouped(replayed.operations),
        per_operation(replayed.time, replayed.operations).to_string(),
        grouped(replayed.peak_bytes),
        format!("{share} %"),
        grouped(replayed.failed.total()),
        grouped(replayed.served.slab),
        grouped(replayed.served.spilled),
        grouped(replayed.served.class),
        grouped(replayed.served.block),
    ]
}

/// Failed requests, by their reasons.
#[must_use]
pub fn reasons(failed: &Failed) -> String {
    let Failed { full, fragmented, unexplained } = *failed;
    let known = [(full, "the heap was full"), (fragmented, "it was fragmented")];
    let known = known.into_iter().filter(|&(count, _)| count > 0);
    let mut reasons: Vec<_> = known.map(|(count, reason)| format!("{reason} {}", times(count))).collect();
    if unexplained > 0 {
        reasons.push(format!("{} the library gave no reason", times(unexplained)));
    }
    match failed.total() {
        0 => "none failed".to_owned(),
        total => format!("{} failed ({})", grouped(total), reasons.join(", ")),
    }
}

/// What became of operations on objects that could not be made, if there were any.
#[must_use]
pub fn left_out(operations: u64) -> Option<String> {
    match operations {
        0 => None,
        1 => Some("1 operation on an object that was not served was left out".to_owned()),
        _ => Some(format!("{} operations on objects that were not served were left out", grouped(operations))),
    }
}

fn in_words(row: &Row) -> String {
    let share = percent(row.used as u64, row.bytes as u64);
    let (bytes, gaps, largest) = (grouped(row.bytes as u64), grouped(row.gaps as u64), grouped(row.largest_gap as u64));
    match row.gaps {
        0 => format!("{share} % of {bytes} bytes in use, no gap"),
        1 => format!("{share} % of {bytes} bytes in use, a gap of {largest}"),
        _ => format!("{share} % of {bytes} bytes in use, {gaps} gaps, the largest of {largest}"),
    }
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{} times", grouped(count)) }
}

/// Nanoseconds an operation.
#[must_use]
pub fn per_operation(time: Duration, operations: u64) -> u128 {
    time.as_nanos() / u128::from(operations.max(1))
}

/// Tenths of a percent, rounded to the nearest.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    let tenths = (u128::from(part) * 2000 + u128::from(whole)) / (2 * u128::from(whole.max(1)));
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// A number with its thousands set apart.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Columns as wide as what is in them: the first to the left, the others to the right.
pub struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// With these heads of its columns.
    #[must_use]
    pub fn new(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned)] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    /// Whether it has no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// Prints it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let widths: [usize; N] =
            core::array::from_fn(|column| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
        for row in &self.rows {
            write!(out, "  {:<width$}", row[0], width = widths[0])?;
            for (cell, width) in row.iter().zip(widths).skip(1) {
                write!(out, "  {cell:>width$}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let numbers = [0, 999, 1000, 1_048_576, u64::MAX];
        assert_eq!(numbers.map(grouped), ["0", "999", "1,000", "1,048,576", "18,446,744,073,709,551,615"]);
    }

    #[test]
    fn shares_are_rounded_to_the_nearest_tenth() {
        for (part, whole, expected) in [(0, 7, "0.0"), (1, 3, "33.3"), (2, 3, "66.7"), (7, 7, "100.0")] {
            assert_eq!(percent(part, whole), expected, "{part} of {whole}");
        }
    }

    #[test]
    fn failed_requests_are_told_by_their_reason() {
        assert_eq!(reasons(&Failed::default()), "none failed");
        let failed = Failed { full: 1, fragmented: 2000, unexplained: 0 };
        assert_eq!(reasons(&failed), "2,001 failed (the heap was full once, it was fragmented 2,000 times)");
        let failed = Failed { unexplained: 3, ..Failed::default() };
        assert_eq!(reasons(&failed), "3 failed (3 times the library gave no reason)");
    }
}
