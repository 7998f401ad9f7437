//! The figures as pictures.

use crate::numbers::Spread;
use crate::rows::{Row, fit, growth, threads, worst};
use crate::subject::Kind;
use crate::table::{Line, Table};
use crate::targets::OURS;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::io;
use std::path::Path;

/// A picture, or a part of it.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Whether it was drawn.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

const BAR: i32 = 22;
const TITLE: i32 = 40;
const LABELS: i32 = 250;
const WIDTH: i32 = 900;
const HEIGHT: i32 = 560;
const FONT: &str = "sans-serif";

/// One file for each row that was measured.
pub fn all(table: &Table, rows: &[Row], folder: &Path) -> io::Result<()> {
    for Row { name, about, .. } in rows.iter().filter(|row| !table.subjects(&row.name).is_empty()) {
        let path = folder.join(format!("{name}.svg"));
        let drawn = match name.as_str() {
            growth::NAME => lines(table, name, about, "instructions at ", true, &path),
            threads::NAME => lines(table, name, about, "Mops at ", false, &path),
            _ => bars(table, name, about, &path),
        };
        drawn.map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(())
}

/// One for each of [`OURS`].
const COLOURS: [RGBColor; OURS.len()] = [RGBColor(0, 114, 178), RGBColor(86, 180, 233), RGBColor(204, 121, 167)];

/// The colour of a subject, or of its kind.
fn colour(subject: &str, kind: Kind) -> RGBColor {
    let ours = OURS.iter().position(|name| subject.starts_with(name));
    match kind {
        Kind::Ours => COLOURS[ours.unwrap_or(0)],
        Kind::NoStd => RGBColor(230, 159, 0),
        Kind::Textbook => RGBColor(213, 94, 0),
        Kind::System => RGBColor(0, 158, 115),
        Kind::Floor | Kind::Empty => RGBColor(150, 150, 150),
    }
}

/// The figures of a row that one can compare: the first, or all of one unit.
fn compared<'a>(table: &'a Table, row: &'a str) -> Vec<&'a Line> {
    let lines = || table.lines.iter().filter(|line| line.row == row && line.kind != Kind::Empty);
    let Some(first) = lines().next() else { return Vec::new() };
    let same = |metric: &str| match row {
        fit::NAME => metric.ends_with("segment"),
        worst::NAME => metric.ends_with("max ns"),
        _ => metric == first.metric,
    };
    lines().filter(|line| same(&line.metric) && line.spread.value.is_finite()).collect()
}

/// Horizontal bars, on a logarithmic scale where they differ too much for another.
fn bars(table: &Table, row: &str, about: &str, path: &Path) -> Outcome {
    let lines = compared(table, row);
    let height = TITLE + BAR * i32::try_from(lines.len())? + 10;
    let root = SVGBackend::new(path, (WIDTH.unsigned_abs(), height.unsigned_abs())).into_drawing_area();
    root.fill(&WHITE)?;
    let values = lines.iter().map(|line| line.spread.value);
    let most = values.clone().fold(0.0, f64::max);
    let least = values.filter(|&value| value > 0.0).fold(most, f64::min);
    let logarithmic = most > 40.0 * least;
    let metric = lines.first().map_or("", |line| line.metric.as_str());
    let scale = if logarithmic { ", logarithmic" } else { "" };
    let one_figure = lines.iter().all(|line| line.metric == metric);
    let unit = match row {
        fit::NAME => "heap over peak",
        worst::NAME => "longest, ns",
        _ => metric,
    };
    text(&root, (8, 8), 14, &format!("{row}: {about} ({unit}{scale})"))?;
    let length = |value: f64| {
        let share = if logarithmic { (value / least * 1.6).ln() / (most / least * 1.6).ln() } else { value / most };
        (share.clamp(0.0, 1.0) * f64::from(WIDTH - LABELS - 110)) as i32
    };
    for (index, line) in (0i32..).zip(&lines) {
        let top = TITLE + BAR * index;
        let figure = line.metric.trim_end_matches(" ns").trim_end_matches(" max").trim_end_matches(" segment");
        let name = if one_figure { line.subject.clone() } else { format!("{}, {figure}", line.subject) };
        bar(&root, top, &name, line, &length)?;
    }
    root.present()?;
    Ok(())
}

fn bar(root: &Area<'_>, top: i32, name: &str, line: &Line, length: &impl Fn(f64) -> i32) -> Outcome {
    let Spread { value, low, high } = line.spread;
    let middle = top + BAR / 2 - 2;
    text(root, (8, top + 2), 12, name)?;
    let corners = [(LABELS, top + 2), (LABELS + length(value), top + BAR - 6)];
    root.draw(&Rectangle::new(corners, colour(&line.subject, line.kind).filled()))?;
    root.draw(&PathElement::new(vec![(LABELS + length(low), middle), (LABELS + length(high), middle)], BLACK))?;
    let end = LABELS + length(value.max(high)) + 6;
    text(root, (end, top + 2), 12, &format!("{value:.2}"))
}

/// Writes words; `at` is their upper left corner.
pub fn text(root: &Area<'_>, at: (i32, i32), size: i32, words: &str) -> Outcome {
    root.draw(&Text::new(words.to_owned(), at, (FONT, size).into_font()))?;
    Ok(())
}

/// A subject's line.
struct Series<'a> {
    subject: &'a str,
    kind: Kind,
    points: Vec<(f64, f64)>,
}

impl Series<'_> {
    fn last(&self) -> f64 {
        self.points.last().map_or(f64::MIN, |point| point.1)
    }

    /// The subject without its lock, which stands behind a slash.
    fn allocator(&self) -> &str {
        self.subject.split(" / ").next().unwrap_or(self.subject)
    }
}

/// Every subject's points: the figures whose names begin with `prefix`, over the numbers that they end with. Of a peer
/// that has several locks only the best one's.
fn series<'a>(table: &'a Table, row: &str, prefix: &str, scale: impl Fn(f64) -> f64) -> Vec<Series<'a>> {
    let mut all: Vec<Series<'a>> = Vec::new();
    for line in table.lines.iter().filter(|line| line.row == row) {
        let Some(Ok(x)) = line.metric.strip_prefix(prefix).map(str::parse) else { continue };
        let point = (scale(x), scale(line.spread.value));
        match all.iter_mut().find(|series| series.subject == line.subject) {
            Some(series) => series.points.push(point),
            None => all.push(Series { subject: &line.subject, kind: line.kind, points: vec![point] }),
        }
    }
    all.sort_by(|one, other| other.last().total_cmp(&one.last()));
    let mut seen: Vec<String> = Vec::new();
    all.retain(|series| {
        let again = seen.iter().any(|name| name == series.allocator());
        seen.push(series.allocator().to_owned());
        series.kind == Kind::Ours || !again
    });
    all
}

/// A line for each subject, with its name at the line's end.
fn lines(table: &Table, row: &str, about: &str, prefix: &str, logarithmic: bool, path: &Path) -> Outcome {
    let series = series(table, row, prefix, |number: f64| if logarithmic { number.log10() } else { number });
    let points = || series.iter().flat_map(|series| &series.points);
    let right = points().map(|point| point.0).fold(0.0, f64::max);
    let top = points().map(|point| point.1).fold(0.0, f64::max);
    let left = points().map(|point| point.0).fold(right, f64::min);
    let root = SVGBackend::new(path, (WIDTH.unsigned_abs(), HEIGHT.unsigned_abs())).into_drawing_area();
    root.fill(&WHITE)?;
    let log = if logarithmic { " (both axes: powers of ten)" } else { "" };
    text(&root, (8, 8), 14, &format!("{row}: {about}{log}"))?;
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .margin_top(TITLE)
        .margin_right(LABELS)
        .x_label_area_size(30)
        .y_label_area_size(50)
        .build_cartesian_2d(left..right, 0.0..top * 1.05)?;
    chart.configure_mesh().light_line_style(WHITE).draw()?;
    let mut names = Vec::new();
    for Series { subject, kind, points } in &series {
        let style = colour(subject, *kind).stroke_width(if *kind == Kind::Ours { 3 } else { 1 });
        chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        let end = points.last().map(|end| chart.plotting_area().map_coordinate(end));
        names.extend(end.map(|end| Label { subject, colour: colour(subject, *kind), end, y: end.1 }));
    }
    spread_out(&mut names);
    names.iter().try_for_each(|name| label(&root, name))?;
    root.present()?;
    Ok(())
}

/// A name beside the end of its line.
struct Label<'a> {
    subject: &'a str,
    colour: RGBColor,
    end: (i32, i32),
    /// Where the name's middle is, if not at the line's end.
    y: i32,
}

/// Writes a name, and draws what leads to it from its line: it may have been moved far from there.
fn label(root: &Area<'_>, label: &Label<'_>) -> Outcome {
    const LEADER: i32 = 16;
    let (x, y) = label.end;
    root.draw(&PathElement::new(vec![(x, y), (x + LEADER, label.y)], label.colour))?;
    text(root, (x + LEADER + 3, label.y - 6), 11, label.subject)
}

/// Moves names apart that stand at the same x, from the highest to the lowest, and back up from the picture's edge.
fn spread_out(names: &mut [Label<'_>]) {
    const SPACING: i32 = 13;
    const LOWEST: i32 = HEIGHT - 50; // above the numbers of the axis
    names.sort_by_key(|name| name.end);
    let mut limit = (0, 0);
    for name in names.iter_mut() {
        if name.end.0 == limit.0 {
            name.y = name.y.max(limit.1);
        }
        limit = (name.end.0, name.y + SPACING);
    }
    let mut limit = (0, LOWEST);
    for name in names.iter_mut().rev() {
        if name.end.0 != limit.0 {
            limit = (name.end.0, LOWEST);
        }
        name.y = name.y.min(limit.1);
        limit.1 = name.y - SPACING;
    }
}
