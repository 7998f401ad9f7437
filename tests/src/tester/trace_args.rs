//! The command lines of what reads a trace: `replay`, `leaks`, `advise`.

use std::path::PathBuf;

use crate::model::Placement;
use crate::tester::size_arg::{size, slab_size};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// A trace, and how its report is to look.
#[derive(Args, Clone, Debug)]
pub struct TraceArguments {
    /// A .rep trace, plain or .zst, as SLABFIT_TRACE records it; or one that comes with the tester: gitlog, cargometa, gs, sqlite
    #[arg(value_name = "TRACE")]
    pub trace: PathBuf,
    /// Report in one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Replay a trace, and compare every address with the recorded one
#[derive(Args, Clone, Debug)]
pub struct ReplayArguments {
    /// What to replay.
    #[command(flatten)]
    pub trace: TraceArguments,
    /// Bytes of the heap; those of the recording without it, or 64M
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub heap: Option<usize>,
    /// Slot size of the slab, in bytes, 0 for no slab; those of the recording without it, or 64
    #[arg(long, value_name = "N", value_parser = slab_size)]
    pub slab_size: Option<usize>,
    /// How the heap places objects; as recorded without it, or by first fit
    #[arg(long, value_name = "POLICY")]
    pub placement: Option<PlacementArgument>,
}

/// List what a program never freed
#[derive(Args, Clone, Debug)]
pub struct LeaksArguments {
    /// What to search.
    #[command(flatten)]
    pub trace: TraceArguments,
    /// Most lines of each list
    #[arg(long, value_name = "N", default_value = "20")]
    pub top: usize,
}

/// Find the slab size and the smallest heap that would have served a program
#[derive(Args, Clone, Debug)]
pub struct AdviseArguments {
    /// What to serve.
    #[command(flatten)]
    pub trace: TraceArguments,
    /// Try this slab size, 0 for no slab, instead of those that suit the trace; can be repeated
    #[arg(long, value_name = "N", value_parser = slab_size)]
    pub slab_size: Vec<usize>,
}

/// Measure what traces and programs take, beside other allocators
#[derive(Args, Clone, Debug)]
pub struct FootprintArguments {
    /// Only these: gitlog, cargometa, gs, sqlite, or the programs sqlite3, python3, perl
    #[arg(value_name = "NAME")]
    pub only: Vec<String>,
    /// The preload library, if it does not stand beside the tester
    #[arg(long, value_name = "PATH")]
    pub preload: Option<PathBuf>,
    /// A folder with other allocators' libraries; can be repeated
    #[arg(long, value_name = "FOLDER")]
    pub libraries: Vec<PathBuf>,
    /// Writes the figures to this file too, in bytes
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

/// [`Placement`] by the names it has on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum PlacementArgument {
    /// Next fit: the search starts at the rover.
    Next,
    /// First fit: it starts at the segment's first byte.
    First,
    /// Size classes for requests of up to 512 bytes, first fit for the others.
    General,
}

impl From<PlacementArgument> for Placement {
    fn from(argument: PlacementArgument) -> Self {
        match argument {
            PlacementArgument::Next => Self::NextFit,
            PlacementArgument::First => Self::FirstFit,
            PlacementArgument::General => Self::General,
        }
    }
}
