//! `tester plot`: live bytes and fragmentation over a trace, as SVG.

use std::io::{self, Write};

use plotters::coord::Shift;
use plotters::coord::types::{RangedCoordf64, RangedCoordusize};
use plotters::prelude::*;
use slabfit_linux::Slots;

use crate::tester::map::save;
use crate::tester::picture_args::PlotArguments;
use crate::tester::replay_steps::SteppedReplay;
use crate::tester::report::grouped;
use crate::tester::run::{Stop, bar};

/// Points of a curve, at most.
const POINTS: usize = 1000;
const SIZE: (u32, u32) = (1160, 572);
const FONT: &str = "sans-serif";
const ASKED: RGBColor = RGBColor(43, 95, 199);
const IN_USE: RGBColor = RGBColor(124, 196, 185);
const FREE: RGBColor = RGBColor(217, 120, 0);
const CAP: RGBColor = RGBColor(102, 102, 102);
const FAILED: RGBColor = RGBColor(194, 0, 47);
/// How many times what lives at most the heap may have for the axis to go up to its end.
const TALLEST: u64 = 4;

/// A heap's figures at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    at: usize,
    /// Bytes that the program has asked for.
    asked: u64,
    /// Bytes of the slots and blocks that serve them, headers included.
    in_use: u64,
    /// Percent of the block segment's free bytes that are not in its largest hole.
    fragmentation: f64,
    /// Requests that failed so far.
    failed: u64,
}

impl Sample {
    /// The figures now.
    pub(super) fn of(replay: &SteppedReplay<'_>) -> Result<Self, Stop> {
        let stats = replay.heap().stats().map_err(|error| Stop::Usage(error.to_string()))?;
        let (free, largest) = (stats.blocks.free_bytes as f64, stats.blocks.largest_free as f64);
        Ok(Self {
            at: replay.progress().0,
            asked: replay.asked(),
            in_use: Slots::of(&stats).bytes_in_use(&stats) as u64,
            fragmentation: if free > 0.0 { 100.0 * (free - largest) / free } else { 0.0 },
            failed: replay.failed(),
        })
    }
}

/// A plot, and where in it the first and the last operation stand, in pixels from the left.
pub(super) struct Plot {
    pub(super) svg: String,
    pub(super) first: i32,
    pub(super) last: i32,
}

/// Plots the whole trace.
///
/// # Errors
/// Why there is no picture.
pub fn plot(arguments: &PlotArguments) -> Result<(), Stop> {
    let recording = arguments.replayed.load()?;
    let mut replay = SteppedReplay::begin(&arguments.replayed, &recording)?;
    let all = replay.progress().1;
    let bar = bar("plot", all as u64);
    let mut samples = vec![Sample::of(&replay)?];
    for until in moments(all, POINTS) {
        replay.advance(until)?;
        samples.push(Sample::of(&replay)?);
        bar.set_position(until as u64);
    }
    bar.finish_and_clear();
    save(&arguments.output, &curves(&replay, &samples)?.svg)?;
    writeln!(io::stdout(), "{}: {}, {}", arguments.output.display(), replay.title(), replay.outcome())?;
    Ok(())
}

/// Moments of a trace at equal distances, the last one being its end: as many as asked for, or one for each operation.
pub(super) fn moments(operations: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.min(operations);
    // In 128 bits, where no product of the two overflows.
    (1..=count).map(move |index| (index as u128 * operations as u128 / count as u128) as usize)
}

/// The curves of samples that were taken in their order.
pub(super) fn curves(replay: &SteppedReplay<'_>, samples: &[Sample]) -> Result<Plot, Stop> {
    let mut svg = String::new();
    let drawn = draw(replay, samples, &mut svg);
    let (first, last) = drawn.map_err(|error| Stop::Usage(format!("cannot plot: {error}")))?;
    Ok(Plot { svg, first, last })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// After so many operations, the value.
type Points = Vec<(usize, f64)>;

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordusize, RangedCoordf64>>;

/// A line, or marks at the foot of its points.
struct Curve<'a> {
    label: &'a str,
    colour: RGBColor,
    /// Of the line, in pixels; 0 for marks.
    width: u32,
    points: Points,
}
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn draw(replay: &SteppedReplay<'_>, samples: &[Sample], svg: &mut String) -> Outcome<(i32, i32)> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let small = (FONT, 12).into_font().color(&RGBColor(102, 102, 102));
    root.draw(&Text::new(replay.title(), (72, 14), (FONT, 18).into_font().style(FontStyle::Bold)))?;
    let operations = grouped(replay.progress().0 as u64);
    root.draw(&Text::new(format!("{operations} operations · {}", replay.outcome()), (72, 40), small))?;
    let (_, below) = root.split_vertically(60);
    let (bytes, fragmentation) = below.split_vertically(300);
    let live = samples.iter().map(|sample| sample.asked.max(sample.in_use)).max().unwrap_or(0);
    let cap = replay.heap().size() as u64;
    let shows_cap = cap <= live.saturating_mul(TALLEST);
    let most = if shows_cap { cap } else { live };
    let (unit, name) = unit(most);
    let scaled = |bytes: u64| bytes as f64 / unit;
    let points = |value: fn(&Sample) -> u64| samples.iter().map(|s| (s.at, scaled(value(s)))).collect();
    // Wide below narrow: where two lines are one, both are seen.
    let mut curves = vec![
        Curve { label: "in use, with headers and rounding", colour: IN_USE, width: 6, points: points(|s| s.in_use) },
        Curve { label: "asked for by the program", colour: ASKED, width: 2, points: points(|s| s.asked) },
    ];
    if shows_cap {
        let (first, last) = (samples.first().map_or(0, |s| s.at), samples.last().map_or(0, |s| s.at));
        let points = vec![(first, scaled(cap)), (last, scaled(cap))];
        curves.push(Curve { label: "all of the heap", colour: CAP, width: 1, points });
    }
    let failed = samples.windows(2).filter(|pair| pair[0].failed < pair[1].failed);
    let failed: Points = failed.map(|pair| (pair[1].at, scaled(most))).collect();
    if !failed.is_empty() {
        curves.push(Curve { label: "a request failed", colour: FAILED, width: 0, points: failed });
    }
    chart(&bytes, &format!("Live bytes ({name})"), scaled(most).max(1.0), &curves)?;
    let parts = samples.iter().map(|sample| (sample.at, sample.fragmentation)).collect();
    let label = "Fragmentation (% of the free bytes outside the largest hole)";
    let parts = Curve { label: "", colour: FREE, width: 2, points: parts };
    let ends = chart(&fragmentation, label, 100.0, &[parts])?;
    root.present()?;
    Ok(ends)
}

/// Curves over one axis, of which the first one comes to the end. Where the axis begins and ends, in pixels.
fn chart(area: &Area<'_>, label: &str, most: f64, curves: &[Curve<'_>]) -> Outcome<(i32, i32)> {
    let operations = curves.iter().flat_map(|curve| curve.points.last()).map(|&(at, _)| at).max().unwrap_or(0).max(1);
    let caption = (FONT, 14).into_font().style(FontStyle::Bold);
    let mut chart = ChartBuilder::on(area)
        .caption(label, caption)
        .margin_top(14)
        .x_label_area_size(36)
        .y_label_area_size(72)
        .margin_right(64)
        .build_cartesian_2d(0..operations, 0.0..most * 1.05)?;
    let grey = RGBColor(230, 232, 236);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .bold_line_style(grey)
        .x_desc("operation")
        .x_labels(9)
        .y_labels(6)
        .x_label_formatter(&|at| grouped(*at as u64))
        .y_label_formatter(&|value| if value.fract() == 0.0 { grouped(*value as u64) } else { format!("{value}") })
        .label_style((FONT, 12))
        .draw()?;
    for &Curve { label, colour, width, ref points } in curves {
        let style = colour.stroke_width(width.max(1));
        let drawn = if width > 0 {
            chart.draw_series(LineSeries::new(points.iter().copied(), style))?
        } else {
            let mark = |&(at, top): &(usize, f64)| PathElement::new([(at, 0.0), (at, top * 0.04)], style);
            chart.draw_series(points.iter().map(mark))?
        };
        if !label.is_empty() {
            drawn.label(label).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
    }
    if curves.len() > 1 {
        legend(&mut chart, curves)?;
    }
    let (across, _) = chart.plotting_area().get_pixel_range();
    Ok((across.start, across.end))
}

/// What the curves are. The cap is drawn again, so that it is seen over the legend too.
fn legend<'a>(chart: &mut Chart<'a, 'a>, curves: &[Curve<'_>]) -> Outcome<()> {
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .label_font((FONT, 12))
        .draw()?;
    for curve in curves.iter().filter(|curve| curve.width == 1) {
        let style = curve.colour.stroke_width(1);
        chart.draw_series(LineSeries::new(curve.points.iter().copied(), style))?;
    }
    Ok(())
}

/// The unit for an axis that goes so far, and its name.
fn unit(most: u64) -> (f64, &'static str) {
    match most {
        0..10_240 => (1.0, "bytes"),
        10_240..10_485_760 => (1024.0, "KiB"),
        10_485_760..10_737_418_240 => (1_048_576.0, "MiB"),
        _ => (1_073_741_824.0, "GiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_end_with_the_trace_and_none_comes_twice() {
        assert_eq!(moments(10, 4).collect::<Vec<_>>(), [2, 5, 7, 10]);
        assert_eq!(moments(3, 1000).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(moments(0, 5).count(), 0);
        assert_eq!(moments(usize::MAX, 2).last(), Some(usize::MAX));
    }
}
