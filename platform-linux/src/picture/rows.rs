//! The rows of a segment.

use core::fmt::{self, Write};
use core::iter;
use core::ops::Range;

use slabfit::GRANULE;

use crate::cells::Cell;
use crate::picture::scale::{COLUMNS, LEFT, MAP, Scale};
use crate::text::{Bytes, Multiple};

/// Fullness of a cell that holds a header. (0 to 4 are those of [`Cell::fullness`].)
const HEADER: u8 = 5;
/// Every how many rows stands the place in the segment.
const LABELLED: usize = 4;
/// Height of the legend.
pub(super) const PITCH_LEGEND: usize = 22;

/// A segment on the way into the picture.
pub(super) struct Rows {
    pub(super) scale: Scale,
    /// The segment's addresses.
    pub(super) range: Range<usize>,
    /// Where its first row begins.
    pub(super) top: usize,
    /// The rover's address.
    pub(super) rover: Option<usize>,
}

/// What the colours of slots are called, and those of blocks.
const SLOTS: char = 's';
const BLOCKS: char = 'b';

/// What a cell is drawn in: whose colour, and how full the cell is.
type Colour = (char, u8);

/// The cells of a row.
struct Row {
    /// How full each of them is.
    fullness: [u8; COLUMNS],
    /// Whether most of what is in use in it is slots.
    slots: [bool; COLUMNS],
    borders: [bool; COLUMNS],
    len: usize,
}

impl Row {
    fn of(cells: impl Iterator<Item = Cell>) -> Self {
        let mut row = Self { fullness: [0; COLUMNS], slots: [false; COLUMNS], borders: [false; COLUMNS], len: 0 };
        let places = row.fullness.iter_mut().zip(row.slots.iter_mut()).zip(row.borders.iter_mut());
        // The cells come last: the zip takes none that it has no place for.
        for (((fullness, slots), border), cell) in places.zip(cells) {
            *fullness = if cell.header { HEADER } else { cell.fullness() };
            *slots = cell.slots > cell.used / 2;
            *border = cell.border;
            row.len += 1;
        }
        row
    }

    /// Cells side by side of one colour: which, and how many.
    fn alike(&self) -> impl Iterator<Item = (Colour, usize)> {
        let mut rest = self.colours().peekable();
        iter::from_fn(move || {
            let colour = rest.next()?;
            let more = iter::from_fn(|| rest.next_if_eq(&colour)).count();
            Some((colour, 1 + more))
        })
    }

    fn colours(&self) -> impl Iterator<Item = Colour> {
        let letters = self.slots.iter().map(|&slots| if slots { SLOTS } else { BLOCKS });
        letters.zip(self.fullness.iter().copied()).take(self.len)
    }
}

impl Rows {
    /// Draws all of the segment's cells.
    pub(super) fn draw(&self, mut cells: impl Iterator<Item = Cell>, out: &mut impl Write) -> fmt::Result {
        for index in 0..self.scale.rows(self.range.len()) {
            let row = Row::of(cells.by_ref().take(self.scale.columns()));
            self.row(index, &row, out)?;
        }
        Ok(())
    }

    fn row(&self, index: usize, row: &Row, out: &mut impl Write) -> fmt::Result {
        let Scale { pitch, height, .. } = self.scale;
        let top = self.top + index * pitch;
        if index % LABELLED == 0 {
            let bits = (LABELLED * self.scale.row()).trailing_zeros();
            let place = Multiple { bytes: (index * self.scale.row()) as u64, bits };
            write!(out, "<text x=\"{}\" y=\"{}\" class=\"o\">{place}</text>", LEFT - 6, top + height)?;
        }
        let (middle, cell) = (top + height / 2, self.scale.cell());
        write!(out, "<g stroke-width=\"{height}\"><path class=\"f\" d=\"M{LEFT} {middle}h{}\"/>", row.len * cell)?;
        for letter in [SLOTS, BLOCKS] {
            for fullness in 1..=HEADER {
                self.cells((letter, fullness), row, middle, out)?;
            }
        }
        out.write_str("</g>")?;
        self.borders(row, top, out)?;
        out.write_str("\n")
    }

    /// One path for all cells of a row that are of one colour.
    fn cells(&self, colour: Colour, row: &Row, middle: usize, out: &mut impl Write) -> fmt::Result {
        let (letter, fullness) = colour;
        let cell = self.scale.cell();
        // Where the pen would stand, and how far from there the next cell to be drawn is.
        let (mut drawn, mut away) = (false, 0);
        for (found, count) in row.alike() {
            let width = count * cell;
            if found != colour {
                away += width;
                continue;
            }
            match drawn {
                false => write!(out, "<path class=\"{letter}{fullness}\" d=\"M{} {middle}", LEFT + away)?,
                true => write!(out, "m{away} 0")?,
            }
            write!(out, "h{width}")?;
            (drawn, away) = (true, 0);
        }
        if drawn { out.write_str("\"/>") } else { Ok(()) }
    }

    fn borders(&self, row: &Row, top: usize, out: &mut impl Write) -> fmt::Result {
        let (cell, height) = (self.scale.cell(), self.scale.height);
        let mut pen = None;
        for (index, _) in row.borders.iter().enumerate().filter(|&(_, &border)| border) {
            let x = LEFT + index * cell;
            match pen {
                None => write!(out, "<path class=\"w\" d=\"M{x} {top}v{height}")?,
                Some(last) => write!(out, "m{} -{height}v{height}", x - last)?,
            }
            pen = Some(x);
        }
        if pen.is_some() { out.write_str("\"/>") } else { Ok(()) }
    }

    /// A mark between two granules, and a word beside the row, so that it is found at once.
    pub(super) fn rover(&self, out: &mut impl Write) -> fmt::Result {
        let Some(rover) = self.rover else { return Ok(()) };
        let Scale { pitch, height, .. } = self.scale;
        let (mut row, mut x) = self.scale.place(rover.saturating_sub(self.range.start));
        if x == 0 && row > 0 && rover >= self.range.end {
            // At the segment's end, which is no row's start.
            (row, x) = (row - 1, MAP);
        }
        let (x, top) = (LEFT + x, self.top + row * pitch);
        write!(out, "<path class=\"i\" d=\"M{x} {top}v{height}\"/>")?;
        write!(out, "<path class=\"r\" d=\"M{x} {}V{}l-3 -5h6l-3 5\"/>", top + height + 1, top + 1)?;
        writeln!(out, "<text x=\"{}\" y=\"{}\" class=\"v\">◂ rover</text>", LEFT + MAP + 6, top + height)
    }

    /// A line around a range of the segment, given by its first address and its size.
    pub(super) fn outline(&self, gap: Option<(usize, usize)>, out: &mut impl Write) -> fmt::Result {
        let Some((start, size)) = gap.filter(|&(_, size)| size > 0) else { return Ok(()) };
        let Scale { pitch, height, .. } = self.scale;
        let first = start.saturating_sub(self.range.start);
        let (first_row, left) = self.scale.place(first);
        let (last_row, _) = self.scale.place(first + size - 1);
        let right = self.scale.width(first + size - last_row * self.scale.row());
        let (left, right) = (LEFT + left, LEFT + right);
        let (top, bottom) = (self.top + first_row * pitch, self.top + last_row * pitch + height);
        if first_row == last_row {
            return writeln!(out, "<path class=\"l\" d=\"M{left} {top}H{}V{bottom}H{left}z\"/>", right.max(left + 1));
        }
        let (end, below_first, above_last) = (LEFT + MAP, top + height, bottom - height);
        if last_row == first_row + 1 && right <= left {
            // Two pieces that do not touch, each open where it goes on.
            write!(out, "<path class=\"l\" d=\"M{end} {top}H{left}V{below_first}H{end}")?;
            return writeln!(out, "M{LEFT} {above_last}H{right}V{bottom}H{LEFT}\"/>");
        }
        let gap = pitch - height;
        write!(out, "<path class=\"l\" d=\"M{left} {top}H{end}V{}H{right}", above_last - gap)?;
        writeln!(out, "V{bottom}H{LEFT}V{}H{left}z\"/>", below_first + gap)
    }
}

/// What the colours mean, of those that there are.
pub(super) fn legend(scale: &Scale, slots: bool, rover: bool, at: usize, out: &mut impl Write) -> fmt::Result {
    let mut x = LEFT;
    let mut entry = |classes: &[&str], label: fmt::Arguments<'_>, width: usize, out: &mut dyn Write| {
        out.write_str("<g stroke-width=\"12\">")?;
        for class in classes {
            write!(out, "<path class=\"{class}\" d=\"M{x} {at}h12\"/>")?;
            x += 12;
        }
        write!(out, "</g><text x=\"{}\" y=\"{}\">{label}</text>", x + 6, at + 4)?;
        x += width + 26;
        out.write_str("\n")
    };
    if scale.share() == GRANULE {
        if slots {
            entry(&["s4"], format_args!("slot"), 22, out)?;
        }
        entry(&["b5", "b4"], format_args!("block: header, payload"), 128, out)?;
    } else {
        if slots {
            entry(&["s1", "s2", "s3", "s4"], format_args!("slots: some, more, most, all of the cell"), 218, out)?;
            entry(&["b1", "b2", "b3", "b4"], format_args!("blocks, the same"), 92, out)?;
        } else {
            entry(&["b1", "b2", "b3", "b4"], format_args!("blocks: some, more, most, all of the cell"), 224, out)?;
        }
    }
    entry(&["f"], format_args!("free"), 24, out)?;
    write!(out, "<path class=\"l\" d=\"M{x} {}h14v10h-14z\"/>", at - 5)?;
    writeln!(out, "<text x=\"{}\" y=\"{}\">largest gap</text>", x + 20, at + 4)?;
    x += 118;
    if rover {
        write!(out, "<path class=\"r\" d=\"M{x} {}V{}l-3 -5h6l-3 5\"/>", at + 6, at - 2)?;
        writeln!(out, "<text x=\"{}\" y=\"{}\">rover</text>", x + 9, at + 4)?;
    }
    let (cell, row) = (Bytes(scale.share() as u64), Bytes(scale.row() as u64));
    write!(out, "<text x=\"{}\" y=\"{}\" style=\"text-anchor:end\">", LEFT + MAP, at + 4)?;
    writeln!(out, "a cell is {cell}, a row {row}</text>")
}
