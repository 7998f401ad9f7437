//! The groups as pictures: a line for each scene, a dot for each subject, on a logarithmic axis.

use crate::groups::{Dot, Group, Scene};
use crate::subject::Kind;
use crate::table::Table;
use crate::targets::OURS;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::io;
use std::path::Path;

/// A picture, or a part of it.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Whether it was drawn.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

const WIDTH: i32 = 900;
/// Left of the axis: the scenes' names.
const LABELS: i32 = 170;
const RIGHT: i32 = 30;
/// Above the first line: title and legend.
const HEAD: i32 = 64;
const LINE: i32 = 26;
/// Below the last one: the axis' numbers.
const FOOT: i32 = 34;
const FONT: &str = "sans-serif";
const GREY: RGBColor = RGBColor(215, 215, 215);

/// One for each of [`OURS`].
const COLOURS: [RGBColor; OURS.len()] =
    [RGBColor(0, 60, 110), RGBColor(86, 180, 233), RGBColor(204, 60, 140), RGBColor(120, 0, 70)];
const TALC: RGBColor = RGBColor(230, 130, 0);
const GLIBC: RGBColor = RGBColor(0, 140, 100);

/// The dots' colours in the legend's order, from the back to the front.
const LEGEND: [(&str, RGBColor); 9] = [
    ("textbook", RGBColor(140, 140, 140)),
    ("other no_std", RGBColor(245, 205, 140)),
    ("other system's", RGBColor(150, 215, 190)),
    ("talc", TALC),
    ("glibc", GLIBC),
    (OURS[0], COLOURS[0]),
    (OURS[1], COLOURS[1]),
    (OURS[2], COLOURS[2]),
    (OURS[3], COLOURS[3]),
];

/// One file for each group that has figures.
pub fn all(table: &Table, folder: &Path) -> io::Result<()> {
    for group in &crate::groups::ALL {
        let scenes = group.scenes(table);
        if !scenes.is_empty() {
            let path = folder.join(format!("{}.svg", group.name));
            draw(group, &scenes, &path).map_err(|error| io::Error::other(error.to_string()))?;
        }
    }
    Ok(())
}

/// The place of a subject in the legend.
fn rank(dot: &Dot<'_>) -> usize {
    let named = LEGEND.iter().position(|(name, _)| *name == dot.subject);
    named.unwrap_or(match dot.kind {
        Kind::System => 2,
        Kind::NoStd => 1,
        Kind::Ours => LEGEND.len() - 1,
        Kind::Textbook | Kind::Floor | Kind::Empty => 0,
    })
}

/// A logarithmic axis from the decades' parts that lie around all figures.
struct Axis {
    least: f64,
    most: f64,
}

impl Axis {
    /// Wide enough for all `scenes`, and for a factor of 4 at least.
    fn around(scenes: &[Scene<'_>]) -> Self {
        let values = || scenes.iter().flat_map(|scene| &scene.dots).map(|dot| dot.value).filter(|value| *value > 0.0);
        let least = values().fold(f64::INFINITY, f64::min);
        let most = values().fold(0.0, f64::max).max(least * 4.0);
        Self { least: least / 1.1, most: most * 1.1 }
    }

    fn x(&self, value: f64) -> i32 {
        let share = (value / self.least).ln() / (self.most / self.least).ln();
        LABELS + (share.clamp(0.0, 1.0) * f64::from(WIDTH - LABELS - RIGHT)) as i32
    }

    /// Where it has a number: 1, 2 and 5 of each power of ten, or that power alone where there are many.
    fn numbers(&self) -> Vec<f64> {
        let decades = (self.most / self.least).log10();
        let steps: &[f64] = match decades {
            few if few < 1.0 => &[1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
            few if few < 2.5 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let (first, last) = (self.least.log10().floor() as i32, self.most.log10().ceil() as i32);
        let all = (first..=last).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        all.filter(|number| (self.least..=self.most).contains(number)).collect()
    }
}

fn draw(group: &Group, scenes: &[Scene<'_>], path: &Path) -> Outcome {
    let bottom = HEAD + LINE * i32::try_from(scenes.len())?;
    let root = SVGBackend::new(path, (WIDTH.unsigned_abs(), (bottom + FOOT).unsigned_abs())).into_drawing_area();
    root.fill(&WHITE)?;
    text(&root, (8, 8), 14, &format!("{}: {}, on a logarithmic axis", group.title, group.unit))?;
    legend(&root, scenes)?;
    let axis = Axis::around(scenes);
    for number in axis.numbers() {
        let x = axis.x(number);
        root.draw(&PathElement::new(vec![(x, HEAD), (x, bottom)], GREY))?;
        let words = number_words(number);
        text(&root, (x - 3 * i32::try_from(words.len())?, bottom + 6), 11, &words)?;
    }
    for (index, Scene { name, dots }) in (0i32..).zip(scenes) {
        let y = HEAD + LINE * index + LINE / 2;
        text(&root, (8, y - 7), 12, name)?;
        root.draw(&PathElement::new(vec![(LABELS, y), (WIDTH - RIGHT, y)], GREY))?;
        let mut dots: Vec<_> = dots.iter().collect();
        dots.sort_by_key(|dot| rank(dot));
        dots.into_iter().try_for_each(|dot| point(&root, (axis.x(dot.value), y), dot))?;
    }
    root.present()?;
    Ok(())
}

/// A dot: a ring where requests failed.
fn point(root: &Area<'_>, at: (i32, i32), dot: &Dot<'_>) -> Outcome {
    let (rank, radius) = (rank(dot), if dot.kind == Kind::Ours { 6 } else { 4 });
    let colour = LEGEND[rank].1;
    if dot.failed {
        root.draw(&Circle::new(at, radius, colour.stroke_width(2)))?;
    } else {
        root.draw(&Circle::new(at, radius, colour.filled()))?;
    }
    Ok(())
}

/// The colours that the picture has, ours first.
fn legend(root: &Area<'_>, scenes: &[Scene<'_>]) -> Outcome {
    let dots = || scenes.iter().flat_map(|scene| &scene.dots);
    let mut x = 8;
    for (index, (name, colour)) in LEGEND.iter().enumerate().rev() {
        if dots().any(|dot| rank(dot) == index) {
            root.draw(&Circle::new((x + 5, 42), 5, colour.filled()))?;
            text(root, (x + 14, 35), 12, name)?;
            x += 32 + 7 * i32::try_from(name.len())?;
        }
    }
    if dots().any(|dot| dot.failed) {
        text(root, (x, 35), 12, "ring: requests failed")?;
    }
    Ok(())
}

fn number_words(number: f64) -> String {
    match number {
        large if large >= 1e6 => format!("{} M", large / 1e6),
        large if large >= 1e4 => format!("{} K", large / 1e3),
        _ => format!("{}", (number * 1000.0).round() / 1000.0),
    }
}

/// Writes words; `at` is their upper left corner.
pub fn text(root: &Area<'_>, at: (i32, i32), size: i32, words: &str) -> Outcome {
    root.draw(&Text::new(words.to_owned(), at, (FONT, size).into_font()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(least: f64, most: f64) -> Axis {
        let dot = |value| Dot { subject: "talc", kind: Kind::NoStd, value, failed: false };
        Axis::around(&[Scene { name: String::new(), dots: vec![dot(least), dot(most)] }])
    }

    #[test]
    fn an_axis_is_logarithmic_and_has_all_figures() {
        let axis = axis(1.0, 100.0);
        let [first, middle, last] = [1.0, 10.0, 100.0].map(|value| axis.x(value));
        assert!(LABELS < first && last < WIDTH - RIGHT);
        assert!((last - middle - (middle - first)).abs() <= 1, "{first} {middle} {last}");
    }

    #[test]
    fn an_axis_has_numbers_that_can_be_told_apart() {
        for (least, most) in [(0.99, 1.01), (1.0, 3.0), (0.8, 700.0), (10.0, 200_000.0)] {
            let axis = axis(least, most);
            let at: Vec<_> = axis.numbers().into_iter().map(|number| axis.x(number)).collect();
            assert!((2..12).contains(&at.len()), "{least} to {most}: {at:?}");
            assert!(at.windows(2).all(|pair| pair[0] + 30 < pair[1]), "{least} to {most}: {at:?}");
        }
    }
}
