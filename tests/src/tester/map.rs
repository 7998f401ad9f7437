//! `tester map`: the heap at one moment of a trace, as SVG.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::any_heap;
use crate::tester::picture_args::{MapArguments, Moment};
use crate::tester::replay_steps::SteppedReplay;
use crate::tester::report::grouped;
use crate::tester::run::Stop;

/// Draws the heap at that moment, and says what it has drawn.
///
/// # Errors
/// Why there is no picture.
pub fn map(arguments: &MapArguments) -> Result<(), Stop> {
    let recording = arguments.replayed.load()?;
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
    let mut replay = SteppedReplay::begin(&arguments.replayed, &recording)?;
    replay.advance_with_bar(until)?;
    save(&arguments.output, &drawn(&replay)?)?;
    writeln!(io::stdout(), "{}: {}, {}", arguments.output.display(), replay.title(), replay.note())?;
    Ok(())
}

/// The heap of a replay as SVG.
pub(super) fn drawn(replay: &SteppedReplay<'_>) -> Result<String, Stop> {
    let mut svg = String::new();
    let drawn = any_heap::draw(replay.heap(), &replay.title(), &replay.note(), &mut svg);
    drawn.map_err(|error| Stop::Usage(error.to_string()))?;
    Ok(svg)
}

/// Writes a file whole.
pub(super) fn save(path: &Path, text: &str) -> Result<(), Stop> {
    fs::write(path, text).map_err(|error| Stop::Usage(format!("cannot write {}: {error}", path.display())))
}
