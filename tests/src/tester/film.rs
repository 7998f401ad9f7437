//! `tester film`: the heap at many moments of a trace, as one HTML page with a slider that needs no other file.
//!
//! Each frame is the picture that `tester map` draws. Pictures come line by line, and frames have most of their lines in
//! common, so the page has every line once, and a frame is a list of their numbers.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::tester::map::{drawn, save};
use crate::tester::picture_args::FilmArguments;
use crate::tester::plot::{Sample, curves, moments};
use crate::tester::replay_steps::SteppedReplay;
use crate::tester::run::{Stop, bar};

/// The page, with places for what is filled in.
const PAGE: &str = include_str!("film.html");
/// Points of the plot between two frames.
const POINTS: usize = 8;

/// What the page's script reads.
#[derive(Default, Serialize)]
struct Film {
    /// All lines of all frames.
    lines: Vec<String>,
    /// Each frame's lines by their numbers.
    frames: Vec<Vec<usize>>,
    /// After how many operations each frame stands, as a part of all.
    at: Vec<f64>,
    /// Where the plot's first and last operation stand.
    plot: (i32, i32),
}

impl Film {
    fn add(&mut self, svg: &str, at: f64, known: &mut HashMap<String, usize>) {
        let number = |line: &str| {
            *known.entry(line.to_owned()).or_insert_with(|| {
                self.lines.push(line.to_owned());
                self.lines.len() - 1
            })
        };
        let frame = svg.lines().map(number).collect();
        self.frames.push(frame);
        self.at.push(at);
    }
}

/// Films the whole trace.
///
/// # Errors
/// Why there is no film.
pub fn film(arguments: &FilmArguments) -> Result<(), Stop> {
    let recording = arguments.replayed.load()?;
    let mut replay = SteppedReplay::begin(&arguments.replayed, &recording)?;
    let all = replay.progress().1;
    let bar = bar("film", all as u64);
    let (mut film, mut known) = (Film::default(), HashMap::new());
    let mut samples = vec![Sample::of(&replay)?];
    film.add(&drawn(&replay)?, 0.0, &mut known);
    let frames: Vec<_> = moments(all, arguments.frames).collect();
    for &frame in &frames {
        let (from, length) = (replay.progress().0, frame - replay.progress().0);
        for until in moments(length, POINTS) {
            replay.advance(from + until)?;
            samples.push(Sample::of(&replay)?);
        }
        film.add(&drawn(&replay)?, frame as f64 / all as f64, &mut known);
        bar.set_position(frame as u64);
    }
    bar.finish_and_clear();
    let plot = curves(&replay, &samples)?;
    film.plot = (plot.first, plot.last);
    save(&arguments.output, &page(&replay.title(), &film, &plot.svg)?)?;
    writeln!(
        io::stdout(),
        "{}: {} frames of {}, {}",
        arguments.output.display(),
        film.frames.len(),
        replay.title(),
        replay.outcome()
    )?;
    Ok(())
}

fn page(title: &str, film: &Film, plot: &str) -> Result<String, Stop> {
    let json = serde_json::to_string(film).map_err(|error| Stop::Usage(error.to_string()))?;
    // Nothing in it may end the script element that it stands in.
    let json = json.replace('<', "\\u003c");
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    Ok(PAGE.replace("{{title}}", &title).replace("{{plot}}", plot).replace("{{film}}", &json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_share_their_lines() {
        let (mut film, mut known) = (Film::default(), HashMap::new());
        film.add("a\nb\na\n", 0.0, &mut known);
        film.add("b\nc\n", 1.0, &mut known);
        assert_eq!(
            (film.lines, film.frames),
            (vec!["a".into(), "b".into(), "c".into()], vec![vec![0, 1, 0], vec![1, 2]])
        );
    }

    #[test]
    fn no_text_ends_the_script() {
        let (mut film, mut known) = (Film::default(), HashMap::new());
        film.add("</script><b>", 0.0, &mut known);
        let page = page("<&", &film, "").unwrap();
        assert_eq!(page.matches("</script>").count(), PAGE.matches("</script>").count());
        assert!(page.contains("<title>&lt;&amp;</title>"));
    }
}
