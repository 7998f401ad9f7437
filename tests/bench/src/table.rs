//! What was measured, in memory and as CSV files, one a row of the benchmark.
//!
//! The files are the truth: the report and the plots are made from them, so that a row that was run alone joins the rows
//! that were run before.

use crate::numbers::Spread;
use crate::subject::Kind;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The row it belongs to.
    pub row: String,
    /// The column.
    pub subject: String,
    /// What the column is.
    pub kind: Kind,
    /// Which of the row's figures, with its unit where it is not a plain number.
    pub metric: String,
    /// The figure.
    pub spread: Spread,
}

/// All figures.
#[derive(Default)]
pub struct Table {
    /// In the order in which they came.
    pub lines: Vec<Line>,
}

const HEADER: &str = "subject,kind,metric,median,lower quartile,upper quartile";

impl Table {
    /// Adds a figure.
    pub fn add(&mut self, row: &str, subject: &str, kind: Kind, metric: &str, spread: Spread) {
        let (row, subject, metric) = (row.to_owned(), subject.to_owned(), metric.to_owned());
        self.lines.push(Line { row, subject, kind, metric, spread });
    }

    /// A figure, if there is one.
    pub fn get(&self, row: &str, subject: &str, metric: &str) -> Option<Spread> {
        let found = self.lines.iter().find(|line| line.row == row && line.subject == subject && line.metric == metric);
        found.map(|line| line.spread)
    }

    /// The median of a figure, if there is one.
    pub fn value(&self, row: &str, subject: &str, metric: &str) -> Option<f64> {
        self.get(row, subject, metric).map(|spread| spread.value)
    }

    /// The lines of one figure of a row.
    pub fn of<'a>(&'a self, row: &'a str, metric: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.row == row && line.metric == metric)
    }

    /// The subjects of a row, in the order of their first figures.
    pub fn subjects(&self, row: &str) -> Vec<(&str, Kind)> {
        let mut subjects = Vec::new();
        for line in self.lines.iter().filter(|line| line.row == row) {
            if !subjects.contains(&(line.subject.as_str(), line.kind)) {
                subjects.push((line.subject.as_str(), line.kind));
            }
        }
        subjects
    }

    /// The rows, in the order of their first figures.
    pub fn rows(&self) -> Vec<&str> {
        let mut rows = Vec::new();
        for line in &self.lines {
            if !rows.contains(&line.row.as_str()) {
                rows.push(line.row.as_str());
            }
        }
        rows
    }

    /// Takes over all lines of `newer`, in the place of those that name the same figure.
    pub fn update(&mut self, newer: Self) {
        for line in newer.lines {
            let same =
                |old: &&mut Line| (&old.row, &old.subject, &old.metric) == (&line.row, &line.subject, &line.metric);
            match self.lines.iter_mut().find(same) {
                Some(old) => *old = line,
                None => self.lines.push(line),
            }
        }
    }

    /// Writes one file a row into `folder`.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        for row in self.rows() {
            std::fs::write(folder.join(format!("{row}.csv")), self.csv(row, HEADER))?;
        }
        Ok(())
    }

    /// The file of one row, below `header`.
    pub fn csv(&self, row: &str, header: &str) -> String {
        let mut text = format!("{header}\n");
        for Line { subject, kind, metric, spread, .. } in self.lines.iter().filter(|line| line.row == row) {
            let Spread { value, low, high } = spread;
            let kind = kind.name();
            let _ = writeln!(text, "{subject},{kind},{metric},{value:.3},{low:.3},{high:.3}");
        }
        text
    }

    /// Reads the files of `rows` that are there.
    pub fn load(folder: &Path, rows: &[String]) -> Self {
        let mut table = Self::default();
        for row in rows {
            let text = std::fs::read_to_string(folder.join(format!("{row}.csv"))).unwrap_or_default();
            table.lines.extend(text.lines().skip(1).filter_map(|line| parse(row, line)));
        }
        table
    }
}

/// A line of a file; what is none is left out.
fn parse(row: &str, line: &str) -> Option<Line> {
    let mut fields = line.split(',');
    let (subject, kind, metric) = (fields.next()?, Kind::parse(fields.next()?)?, fields.next()?);
    let mut number = || fields.next()?.parse().ok();
    let spread = Spread { value: number()?, low: number()?, high: number()? };
    Some(Line { row: row.to_owned(), subject: subject.to_owned(), kind, metric: metric.to_owned(), spread })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_back_from_its_files() {
        let folder = std::env::temp_dir().join(format!("slabfit-bench-table-{}", std::process::id()));
        let mut table = Table::default();
        table.add("mixed", "talc", Kind::NoStd, "ns", Spread { value: 9.5, low: 9.25, high: 10.0 });
        table.add("mixed", "empty", Kind::Empty, "ns", Spread::exact(2.0));
        table.save(&folder).expect("the temporary folder is writable");
        let loaded = Table::load(&folder, &["mixed".to_owned(), "absent".to_owned()]);
        assert_eq!(loaded.lines, table.lines);
        std::fs::remove_dir_all(&folder).expect("the folder was just written");
    }

    #[test]
    fn a_newer_figure_takes_the_place_of_the_older() {
        let mut table = Table::default();
        table.add("mixed", "talc", Kind::NoStd, "ns", Spread::exact(9.0));
        let mut newer = Table::default();
        newer.add("mixed", "talc", Kind::NoStd, "ns", Spread::exact(8.0));
        newer.add("mixed", "rlsf", Kind::NoStd, "ns", Spread::exact(7.0));
        table.update(newer);
        assert_eq!(table.value("mixed", "talc", "ns"), Some(8.0));
        assert_eq!(table.lines.len(), 2);
    }
}
