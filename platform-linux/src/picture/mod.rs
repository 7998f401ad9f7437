//! The heap as a picture: SVG, written piece by piece, without allocating.
//!
//! A picture is at most [`LARGEST`] bytes, whatever the heap's size and whatever lies in it: both segments are cut into cells
//! of equal size, at most about 16,000, and a cell is coloured by how much of it is in use. In a small heap a cell is a
//! granule, and every block and every header is seen; in a large one, the blocks of two cells and more.
//!
//! It comes line by line, each row of cells being a line of its own, so that pictures of one heap that have rows in common
//! have lines in common: what changes between two moments is few lines.

mod gaps;
mod rows;
mod scale;

use core::fmt::{self, Display, Write};

use slabfit::{Block, Heap, RawLock, Reentered, Segment, SegmentStats};

use crate::cells::{Cells, slots};
use crate::classes::Slots;
use crate::picture::gaps::Gaps;
use crate::picture::rows::{PITCH_LEGEND, Rows};
use crate::picture::scale::{LEFT, Scale, WIDTH};
use crate::placement::Placed;
use crate::text::{Bytes, Count, Escaping, Grouped, Share};

/// The most bytes that a picture has, if its title and its note have no more than 1000 each.
pub const LARGEST: usize = 200_000;

/// Pixels: of the picture's heading; of a segment's, down to its first row; and below its last row.
const TOP: usize = 66;
const HEADING: usize = 46;
const BELOW: usize = 26;

/// Why there is no picture, or only a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureError {
    /// This thread is in the heap. Nothing was written.
    Reentered(Reentered),
    /// What it was written to takes no more.
    Write(fmt::Error),
}

impl From<Reentered> for PictureError {
    fn from(error: Reentered) -> Self {
        Self::Reentered(error)
    }
}

impl From<fmt::Error> for PictureError {
    fn from(error: fmt::Error) -> Self {
        Self::Write(error)
    }
}

impl Display for PictureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reentered(error) => error.fmt(f),
            Self::Write(_) => f.write_str("the picture cannot be written"),
        }
    }
}

impl core::error::Error for PictureError {}

/// Draws `heap` as SVG, under a title and a line that says more, both plain text.
///
/// No lock is held while `out` is written to. Where other threads use the heap meanwhile, each row shows what the walk met when
/// it came by. Complexity: linear in cells, in blocks, and in the slots that ever were in use.
///
/// # Errors
/// This thread is in the heap, or `out` failed.
pub fn draw<L: RawLock, P: Placed>(
    heap: &Heap<'_, L, P>,
    title: &dyn Display,
    note: &dyn Display,
    out: &mut impl Write,
) -> Result<(), PictureError> {
    let figures = Figures::of(heap)?;
    let scale = Scale::of(heap.size());
    let (slab, blocks) = (heap.segment(Segment::Slab), heap.segment(Segment::Blocks));
    let slab_at = TOP + HEADING;
    // A heap without a slab shows none.
    let slab_height = if slab.is_empty() { 0 } else { scale.height(slab.len()) + BELOW + HEADING };
    let blocks_at = slab_at + slab_height;
    let legend_at = blocks_at + scale.height(blocks.len()) + BELOW;
    let gaps_at = legend_at + PITCH_LEGEND + BELOW;
    begin(title, note, gaps_at + gaps::HEIGHT, out)?;

    if !slab.is_empty() {
        slab_heading(heap, &figures.slab, slab_at, out)?;
        let rows = Rows { scale, range: slab.clone(), top: slab_at, rover: None };
        rows.draw(Cells::new(slots(heap, &figures.slab), slab.clone(), scale.share()), out)?;
    }

    blocks_heading(&figures, blocks_at, out)?;
    let rover = P::rover(heap);
    let rows = Rows { scale, range: blocks.clone(), top: blocks_at, rover };
    let mut gaps = Gaps::none();
    let walk = heap.blocks_in(Segment::Blocks).inspect(|block: &Block| gaps.count(block));
    rows.draw(Cells::new(walk, blocks.clone(), scale.share()), out)?;
    rows.outline(gaps.largest(), out)?;
    rows.rover(out)?;

    let slots = !slab.is_empty() || figures.slots.runs > 0;
    rows::legend(&scale, slots, rover.is_some(), legend_at, out)?;
    gaps.draw(blocks.len(), gaps_at, out)?;
    out.write_str("</svg>\n")?;
    Ok(())
}

/// What is said of a heap: a quarter of its [`Stats`](slabfit::Stats), as a signal handler may draw on the smallest of stacks.
struct Figures {
    slab: SegmentStats,
    blocks: SegmentStats,
    slots: Slots,
}

impl Figures {
    #[inline(never)]
    fn of<L: RawLock, P: Placed>(heap: &Heap<'_, L, P>) -> Result<Self, Reentered> {
        // By reference: a copy takes a kilobyte.
        match &heap.stats() {
            Ok(stats) => Ok(Self { slab: stats.slab, blocks: stats.blocks, slots: Slots::of(stats) }),
            Err(error) => Err(*error),
        }
    }
}

/// The colours are told apart by people who see few of them, and in grey. No rule is for an element by its name: in a page,
/// a picture's rules hold for the whole of it.
const STYLE: &str = "<style>\
.t{font-size:18px;font-weight:600;fill:#111}.n{fill:#666}.h{font-size:14px;font-weight:600;fill:#111}\
.o{font-size:10px;fill:#777;text-anchor:end}.m{text-anchor:middle;font-size:10px}\
.v{fill:#c2002f;font-weight:600;font-size:11px}.f{stroke:#e6e8ec}\
.s1{stroke:#b9e0da}.s2{stroke:#7cc4b9}.s3{stroke:#3fa597}.s4{stroke:#0b7a6c}\
.b1{stroke:#c6d4f4}.b2{stroke:#94b0ea}.b3{stroke:#5f89dd}.b4{stroke:#2b5fc7}.b5{stroke:#12296b}\
.w{stroke:#fff;stroke-width:1}.i{stroke:#fff;stroke-width:6}.r{stroke:#c2002f;stroke-width:2;fill:#c2002f}\
.l{stroke:#d97800;stroke-width:2;fill:none}.q{fill:#d97800}</style>\n";

fn begin(title: &dyn Display, note: &dyn Display, height: usize, out: &mut impl Write) -> fmt::Result {
    write!(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" ")?;
    write!(out, "viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" ")?;
    writeln!(out, "font-family=\"system-ui,sans-serif\" font-size=\"12\" fill=\"#333\">")?;
    out.write_str("<title>")?;
    write!(Escaping(out), "{title}")?;
    out.write_str("</title>\n")?;
    out.write_str(STYLE)?;
    writeln!(out, "<path d=\"M0 0h{WIDTH}v{height}H0z\" style=\"fill:#fff\"/>")?;
    write!(out, "<text x=\"{LEFT}\" y=\"30\" class=\"t\">")?;
    write!(Escaping(out), "{title}")?;
    write!(out, "</text>\n<text x=\"{LEFT}\" y=\"50\" class=\"n\">")?;
    write!(Escaping(out), "{note}")?;
    out.write_str("</text>\n")
}

fn heading(at: usize, name: fmt::Arguments<'_>, figures: fmt::Arguments<'_>, out: &mut impl Write) -> fmt::Result {
    writeln!(out, "<text x=\"{LEFT}\" y=\"{}\" class=\"h\">{name}</text>", at - 26)?;
    writeln!(out, "<text x=\"{LEFT}\" y=\"{}\">{figures}</text>", at - 9)
}

fn slab_heading<L: RawLock, P: Placed>(
    heap: &Heap<'_, L, P>,
    slab: &SegmentStats,
    at: usize,
    out: &mut impl Write,
) -> fmt::Result {
    let (size, slab_size) = (Bytes(slab.size as u64), Bytes(heap.slab_size() as u64));
    let (used, free) = (slab.live_objects as u64, slab.free_blocks as u64);
    let (percent, slots, peak) = (Share(used, used + free), Grouped(used + free), Grouped(slab.peak_objects as u64));
    heading(
        at,
        format_args!("Slab: {size} of slots for requests of {slab_size}"),
        format_args!("{percent} in use · {} of {slots} slots · at most {peak} at once", Grouped(used)),
        out,
    )
}

fn blocks_heading(figures: &Figures, at: usize, out: &mut impl Write) -> fmt::Result {
    let Figures { blocks: figures, slots, .. } = *figures;
    let (size, used, free) = (figures.size as u64, figures.live_bytes as u64, figures.free_bytes as u64);
    let (blocks, gaps) = (Count(figures.live_objects as u64, "block"), Count(figures.free_blocks as u64, "gap"));
    let largest = figures.largest_free as u64;
    heading(
        at,
        format_args!("Blocks: {} for all other requests{}", Bytes(size), Runs(slots)),
        format_args!(
            "{} in use · {} in {blocks} · {} free in {gaps}, the largest of {} · fragmentation (free outside of it) {}",
            Share(used, size),
            Bytes(used),
            Bytes(free),
            Bytes(largest),
            Share(free.saturating_sub(largest), free),
        ),
        out,
    )
}

/// What is said of runs, if there are any.
struct Runs(Slots);

impl Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Slots { runs, slots, live_objects, .. }) = *self;
        match runs {
            0 => Ok(()),
            _ => {
                let (runs, slots) = (Count(runs as u64, "run"), Grouped(slots as u64));
                write!(f, " · {runs}: {} of {slots} slots in use", Grouped(live_objects as u64))
            }
        }
    }
}
