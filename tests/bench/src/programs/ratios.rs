//! The figures of all rounds as ratios to the first subject's.

use super::process::Taken;
use super::subjects::Subject;
use crate::numbers::Spread;
use crate::subject::Kind;
use crate::table::Table;
use std::fmt::Write as _;

/// The row's name, of its files too.
pub const NAME: &str = "programs";
/// The header of its file.
pub const HEADER: &str = "allocator,kind,metric,median,least,most";
/// The figures: their name, the unit, how many are a unit.
pub const FIGURES: [Figure; 2] = [
    Figure { name: "time", title: "Processor time", unit: "s", of: |taken| taken.seconds },
    Figure { name: "memory", title: "Most bytes resident", unit: "MiB", of: |taken| taken.bytes / f64::from(1 << 20) },
];
/// The row of the mean.
pub const MEAN: &str = "geometric mean";

/// Something that is measured of each program.
pub struct Figure {
    /// In the names of metrics.
    pub name: &'static str,
    /// Above a table.
    pub title: &'static str,
    /// Of the figure itself.
    pub unit: &'static str,
    /// Takes it from what was measured.
    of: fn(&Taken) -> f64,
}

impl Figure {
    /// The metric that compares `program` with the first subject.
    pub fn ratio(&self, program: &str) -> String {
        format!("{program} {} ratio", self.name)
    }

    /// The metric that is the figure itself.
    pub fn absolute(&self, program: &str) -> String {
        format!("{program} {}", self.unit)
    }
}

/// What a program took.
pub struct Measured {
    /// The program.
    pub program: String,
    /// For each subject, one for each round.
    pub rounds: Vec<Vec<Taken>>,
}

/// Every figure, and its ratio to the first subject's in the same round, with the least and the most of all rounds.
pub fn table(subjects: &[Subject], measured: &[Measured]) -> Table {
    let mut table = Table::default();
    for (index, subject) in subjects.iter().enumerate() {
        let mut add = |metric: &str, samples: Vec<f64>| {
            table.add(NAME, &subject.name, subject.kind, metric, Spread::extremes(samples));
        };
        for figure in &FIGURES {
            let mut all = Vec::new();
            for Measured { program, rounds } in measured {
                let own: Vec<f64> = rounds[index].iter().map(figure.of).collect();
                let ratios: Vec<f64> =
                    own.iter().zip(&rounds[0]).map(|(own, first)| own / (figure.of)(first)).collect();
                add(&figure.absolute(program), own);
                add(&figure.ratio(program), ratios.clone());
                all.push(ratios);
            }
            add(&figure.ratio(MEAN), means(&all));
        }
    }
    table
}

/// For each round the geometric mean over all programs.
fn means(ratios: &[Vec<f64>]) -> Vec<f64> {
    let rounds = ratios.iter().map(Vec::len).min().unwrap_or(0);
    let mean = |round: usize| {
        let logarithms: f64 = ratios.iter().map(|program| program[round].ln()).sum();
        (logarithms / ratios.len() as f64).exp()
    };
    (0..rounds).map(mean).collect()
}

/// The programs of a table, in its order, and the mean after them.
pub fn programs(table: &Table) -> Vec<String> {
    let mut programs: Vec<String> = Vec::new();
    let suffix = FIGURES[0].ratio("");
    for line in &table.lines {
        let program = line.metric.strip_suffix(&suffix).filter(|program| *program != MEAN);
        if let Some(program) = program.filter(|program| !programs.iter().any(|known| known == program)) {
            programs.push(program.to_owned());
        }
    }
    programs.push(MEAN.to_owned());
    programs
}

/// The tables as text, one a figure. The first column has the figure itself, the others ratios.
pub fn markdown(table: &Table) -> String {
    let subjects = table.subjects(NAME);
    let Some((first, others)) = subjects.split_first() else { return String::new() };
    let mut text = String::new();
    for figure in &FIGURES {
        let _ = write!(text, "\n{}, and its ratio to {}'s: median (least to most).\n\n", figure.title, first.0);
        let strong =
            |kind: Kind, words: &str| if kind == Kind::Ours { format!("**{words}**") } else { words.to_owned() };
        let titles: Vec<_> = others.iter().map(|(name, kind)| strong(*kind, name)).collect();
        let _ = writeln!(text, "| program | {}, {} | {} |", first.0, figure.unit, titles.join(" | "));
        let _ = writeln!(text, "|---|---:|{}", "---:|".repeat(titles.len()));
        for program in programs(table) {
            let own = table.value(NAME, first.0, &figure.absolute(&program));
            let cells = others.iter().map(|(name, _)| cell(table.get(NAME, name, &figure.ratio(&program))));
            let cells: Vec<_> =
                [own.map_or(String::new(), |own| format!("{own:.2}"))].into_iter().chain(cells).collect();
            let _ = writeln!(text, "| {program} | {} |", cells.join(" | "));
        }
    }
    text
}

fn cell(ratio: Option<Spread>) -> String {
    ratio.map_or(String::new(), |Spread { value, low, high }| format!("{value:.2} ({low:.2} to {high:.2})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> (Vec<Subject>, Vec<Measured>) {
        let subject = |name: &str, kind| Subject { name: name.to_owned(), kind, variables: vec![] };
        let taken = |seconds| Taken { seconds, bytes: seconds * f64::from(1 << 20) };
        let rounds = |all: [&[f64]; 2]| all.map(|rounds| rounds.iter().copied().map(taken).collect()).into();
        let program = |name: &str, rounds| Measured { program: name.to_owned(), rounds };
        (
            vec![subject("glibc", Kind::System), subject("slabfit", Kind::Ours)],
            vec![
                program("perl", rounds([&[1.0, 2.0, 4.0], &[2.0, 2.0, 2.0]])),
                program("git log", rounds([&[1.0, 1.0, 1.0], &[8.0, 4.0, 2.0]])),
            ],
        )
    }

    #[test]
    fn a_ratio_is_of_one_round_and_its_spread_of_all() {
        let (subjects, measured) = measured();
        let table = table(&subjects, &measured);
        let ratio = table.get(NAME, "slabfit", "perl time ratio");
        assert_eq!(ratio, Some(Spread { value: 1.0, low: 0.5, high: 2.0 }));
        assert_eq!(table.get(NAME, "glibc", "perl memory ratio"), Some(Spread::exact(1.0)));
        // Of the rounds: 2 and 8, 1 and 4, 1/2 and 2.
        let mean = table.get(NAME, "slabfit", "geometric mean time ratio").expect("it was computed");
        assert!((mean.value - 2.0).abs() < 1e-9 && (mean.low - 1.0).abs() < 1e-9 && (mean.high - 4.0).abs() < 1e-9);
    }

    #[test]
    fn the_tables_have_a_row_for_each_program_and_one_for_the_mean() {
        let (subjects, measured) = measured();
        let table = table(&subjects, &measured);
        assert_eq!(programs(&table), ["perl", "git log", MEAN]);
        let text = markdown(&table);
        assert!(text.contains("| program | glibc, s | **slabfit** |"), "{text}");
        assert!(text.contains("| perl | 2.00 | 1.00 (0.50 to 2.00) |"), "{text}");
        assert!(text.contains("| geometric mean |  | 2.00 (1.00 to 4.00) |"), "{text}");
    }
}
