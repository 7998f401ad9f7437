//! The command lines of what draws a trace: `map`, `film`, `plot`, `watch`.

use std::path::PathBuf;

use clap::Args;

use crate::tester::size_arg::{size, slab_size};
use crate::tester::trace_args::PlacementArgument;

/// Which trace, and on which heap.
#[derive(Args, Clone, Debug)]
pub struct TraceOnHeap {
    /// A .rep trace, plain or .zst; or one that comes with the tester: gitlog, cargometa, gs, sqlite
    #[arg(value_name = "TRACE")]
    pub trace: PathBuf,
    /// Bytes of the heap: 1048576, 64K, 1MiB, 2G
    #[arg(long, value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    pub heap: usize,
    /// Slot size of the slab, in bytes, 0 for no slab
    #[arg(long, value_name = "N", value_parser = slab_size, default_value = "64", allow_negative_numbers = true)]
    pub slab_size: usize,
    /// How the heap places objects
    #[arg(long, value_name = "POLICY", default_value = "next")]
    pub placement: PlacementArgument,
}

/// What to draw.
#[derive(Args, Clone, Debug)]
pub struct MapArguments {
    /// The trace and the heap.
    #[command(flatten)]
    pub replayed: TraceOnHeap,
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

/// What to film.
#[derive(Args, Clone, Debug)]
pub struct FilmArguments {
    /// The trace and the heap.
    #[command(flatten)]
    pub replayed: TraceOnHeap,
    /// Frames beside the empty heap, at equal distances; the last one is the end
    #[arg(long, value_name = "N", default_value = "120", value_parser = frames, allow_negative_numbers = true)]
    pub frames: usize,
    /// The HTML file to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

fn frames(text: &str) -> Result<usize, String> {
    const MOST: usize = 2000;
    match text.parse() {
        Ok(number @ 1..=MOST) => Ok(number),
        _ => Err(format!("not a number of frames from 1 to {MOST}")),
    }
}

/// What to plot.
#[derive(Args, Clone, Debug)]
pub struct PlotArguments {
    /// The trace and the heap.
    #[command(flatten)]
    pub replayed: TraceOnHeap,
    /// The SVG file to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

/// What to watch.
#[derive(Args, Clone, Debug)]
pub struct WatchArguments {
    /// The trace and the heap.
    #[command(flatten)]
    pub replayed: TraceOnHeap,
    /// Operations a second; without it, as many as make the trace last 20 seconds
    #[arg(long, value_name = "N", value_parser = rate, allow_negative_numbers = true)]
    pub rate: Option<u64>,
}

fn rate(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(number @ 1..=FASTEST) => Ok(number),
        _ => Err(format!("not a number of operations a second from 1 to {FASTEST}")),
    }
}

/// Operations a second, at most.
pub(super) const FASTEST: u64 = 1_000_000_000;

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
