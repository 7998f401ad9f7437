//! The ratios as a picture: a group of bars for each program, processor time on the left and memory on the right.

use super::ratios::{FIGURES, Figure, NAME, programs};
use crate::numbers::Spread;
use crate::plot::{Area, Outcome, text};
use crate::subject::Kind;
use crate::table::Table;
use plotters::prelude::*;
use std::path::Path;

const LABELS: i32 = 110;
const PANEL: i32 = 400;
const BAR: i32 = 12;
const GAP: i32 = 10;
const HEAD: i32 = 64;
/// After a bar: its figure.
const FIGURE: i32 = 40;
/// Ratios beyond this are not drawn to their end.
const MOST: f64 = 4.0;

/// Colours of the system's allocators and of ours, in their order.
const SYSTEM: [RGBColor; 3] = [RGBColor(0, 158, 115), RGBColor(230, 159, 0), RGBColor(204, 121, 167)];
const OURS: [RGBColor; 4] =
    [RGBColor(0, 60, 110), RGBColor(0, 114, 178), RGBColor(86, 180, 233), RGBColor(160, 210, 245)];

/// A column of the table and its colour.
struct Series<'a> {
    subject: &'a str,
    colour: RGBColor,
}

/// Every subject but the first, which is what the others are compared with.
fn series(table: &Table) -> Vec<Series<'_>> {
    let (mut system, mut ours) = (SYSTEM.iter().cycle(), OURS.iter().cycle());
    let subjects = table.subjects(NAME).into_iter().skip(1);
    let coloured = subjects.filter_map(|(subject, kind)| {
        let colour = if kind == Kind::Ours { ours.next() } else { system.next() };
        colour.map(|&colour| Series { subject, colour })
    });
    coloured.collect()
}

/// Draws the table into a file.
pub fn draw(table: &Table, path: &Path) -> Outcome {
    let (series, programs) = (series(table), programs(table));
    let group = BAR * i32::try_from(series.len())? + GAP;
    let size = (LABELS + 2 * PANEL, HEAD + group * i32::try_from(programs.len())?);
    let root = SVGBackend::new(path, (size.0.unsigned_abs(), size.1.unsigned_abs())).into_drawing_area();
    root.fill(&WHITE)?;
    let first = table.subjects(NAME).first().map_or("", |first| first.0).to_owned();
    text(
        &root,
        (8, 8),
        14,
        &format!("Real programs: ratios to {first}, less is better; a line from the least to the most"),
    )?;
    legend(&root, &series)?;
    for (index, program) in (0i32..).zip(&programs) {
        text(&root, (8, HEAD + index * group + group / 2 - 12), 12, program)?;
    }
    for (left, figure) in [LABELS, LABELS + PANEL].into_iter().zip(&FIGURES) {
        panel(&root, left, figure, table, &series, &programs)?;
    }
    root.present()?;
    Ok(())
}

fn legend(root: &Area<'_>, series: &[Series<'_>]) -> Outcome {
    for (index, Series { subject, colour }) in (0i32..).zip(series) {
        let left = LABELS + index * 120;
        root.draw(&Rectangle::new([(left, 28), (left + 10, 38)], colour.filled()))?;
        text(root, (left + 14, 27), 12, subject)?;
    }
    Ok(())
}

fn panel(
    root: &Area<'_>,
    left: i32,
    figure: &Figure,
    table: &Table,
    series: &[Series<'_>],
    programs: &[String],
) -> Outcome {
    let get = |subject: &str, program: &str| table.get(NAME, subject, &figure.ratio(program));
    let all = programs.iter().flat_map(|program| series.iter().filter_map(move |series| get(series.subject, program)));
    let most = all.map(|ratio| ratio.high).fold(1.2, f64::max).min(MOST);
    let at = |ratio: f64| left + (ratio.min(most) / most * f64::from(PANEL - FIGURE)) as i32;
    let group = BAR * i32::try_from(series.len())? + GAP;
    text(root, (left, HEAD - 20), 12, figure.title)?;
    for (index, program) in (0i32..).zip(programs) {
        for (place, Series { subject, colour }) in (0i32..).zip(series) {
            let Some(Spread { value, low, high }) = get(subject, program) else { continue };
            let top = HEAD + index * group + place * BAR;
            root.draw(&Rectangle::new([(left, top), (at(value), top + BAR - 2)], colour.filled()))?;
            let middle = top + BAR / 2 - 1;
            root.draw(&PathElement::new(vec![(at(low), middle), (at(high), middle)], BLACK))?;
            text(root, (at(high.max(1.0)) + 3, top), 10, &format!("{value:.2}"))?;
        }
    }
    let bottom = HEAD + group * i32::try_from(programs.len())? - GAP;
    root.draw(&PathElement::new(vec![(at(1.0), HEAD - 4), (at(1.0), bottom)], BLACK))?;
    Ok(())
}
