//! `tester map`: the heap at one moment of a trace, as SVG.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use slabfit_linux::picture;

use crate::tester::playback::{Playback, PlaybackArguments};
use crate::tester::report::grouped;
use crate::tester::run::Stop;

/// What to draw.
#[derive(Args, Clone, Debug)]
pub struct MapArguments {
    /// The trace and the heap.
    #[command(flatten)]
    pub playback: PlaybackArguments,
    /// After which operation: a number, 'peak' (when the program has most in use) or 'end'
    #[arg(long, value_name = "OPERATION", default_value = "peak", value_parser = moment, allow_negative_numbers = true)]
    pub at: Moment,
    /// The SVG file to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

/// A moment of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// When so many operations are done.
    After(usize),
    /// When the program has most bytes in use.
    Peak,
    /// When all operations are done.
    End,
}

fn moment(text: &str) -> Result<Moment, String> {
    match text {
        "peak" => Ok(Moment::Peak),
        "end" => Ok(Moment::End),
        number => {
            number.parse().map(Moment::After).map_err(|_| "not a number of operations, 'peak' or 'end'".to_owned())
        }
    }
}

/// Draws the heap at that moment, and says what it has drawn.
///
/// # Errors
/// Why there is no picture.
pub fn map(arguments: &MapArguments) -> Result<(), Stop> {
    let recording = arguments.playback.load()?;
    let all = recording.trace.operations().len();
    let until = match arguments.at {
        Moment::End => all,
        Moment::Peak => all.min(recording.trace.peak_at() + 1),
        Moment::After(operations) if operations <= all => operations,
        Moment::After(operations) => {
            let (operations, all) = (grouped(operations as u64), grouped(all as u64));
            return Err(Stop::Usage(format!("--at {operations}: the trace has {all} operations")));
        }
    };
    let mut playback = Playback::begin(&arguments.playback, &recording)?;
    playback.advance_with_bar(until)?;
    save(&arguments.output, &drawn(&playback)?)?;
    println!("{}: {}, {}", arguments.output.display(), playback.title(), playback.note());
    Ok(())
}

/// The heap of a playback as SVG.
pub(super) fn drawn(playback: &Playback<'_>) -> Result<String, Stop> {
    let mut svg = String::new();
    let drawn = picture::draw(playback.heap(), &playback.title(), &playback.note(), &mut svg);
    drawn.map_err(|error| Stop::Usage(error.to_string()))?;
    Ok(svg)
}

/// Writes a file whole.
pub(super) fn save(path: &Path, text: &str) -> Result<(), Stop> {
    fs::write(path, text).map_err(|error| Stop::Usage(format!("cannot write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_number_or_a_name() {
        for (text, expected) in
            [("0", Moment::After(0)), ("70951", Moment::After(70_951)), ("peak", Moment::Peak), ("end", Moment::End)]
        {
            assert_eq!(moment(text), Ok(expected));
        }
        for wrong in ["", "-1", "1e3", "start", "99999999999999999999999"] {
            assert!(moment(wrong).is_err(), "{wrong:?}");
        }
    }
}
