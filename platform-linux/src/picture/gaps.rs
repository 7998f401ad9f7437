//! How the free bytes outside the largest gap are spread over gaps of all sizes: fragmentation, counted.

use core::fmt::{self, Write};

use slabfit::{Block, Kind, State};

use crate::picture::scale::{LEFT, MAP};
use crate::text::Grouped;

/// Height of this part of the picture.
pub(super) const HEIGHT: usize = 150;
/// Height of the longest bar, and where all of them stand.
const BAR: u64 = 74;
const FLOOR: usize = 116;
/// The smallest gap is of 32 bytes, the largest of less than 2^37.
const SMALLEST: u32 = 5;
const CLASSES: usize = 32;
/// Widest place of a bar.
const WIDEST: usize = 64;

/// Gaps of sizes from a power of two up to the next.
#[derive(Clone, Copy)]
struct Class {
    count: usize,
    bytes: usize,
}

/// All gaps of a segment.
pub(super) struct Gaps {
    classes: [Class; CLASSES],
    largest: Option<(usize, usize)>,
}

impl Gaps {
    pub(super) fn none() -> Self {
        Self { classes: [Class { count: 0, bytes: 0 }; CLASSES], largest: None }
    }

    /// Counts a block if it is a gap. A free slot of a run is not one, as no block can lie there.
    pub(super) fn count(&mut self, block: &Block) {
        if block.state == State::Used || block.kind == Kind::Slot {
            return;
        }
        // Not reached: a gap without a class, of 2^37 bytes. A heap has 2^36 at most.
        if let Some(class) = self.classes.get_mut(class_of(block.size)) {
            class.count += 1;
            class.bytes += block.size;
        }
        if self.largest.is_none_or(|(_, size)| size < block.size) {
            self.largest = Some((block.address, block.size));
        }
    }

    /// Address and size of the first of the largest ones.
    pub(super) fn largest(&self) -> Option<(usize, usize)> {
        self.largest
    }

    /// What is scattered.
    fn without_the_largest(&self) -> [Class; CLASSES] {
        let mut classes = self.classes;
        if let Some((_, size)) = self.largest {
            // Not reached: one without a class, as above.
            if let Some(class) = classes.get_mut(class_of(size)) {
                class.count -= 1;
                class.bytes -= size;
            }
        }
        classes
    }

    /// A bar for every size that a gap of a segment of so many bytes can have; a line where there are none to compare.
    pub(super) fn draw(&self, segment: usize, at: usize, out: &mut impl Write) -> fmt::Result {
        let shown = class_of(segment) + 1;
        let pitch = MAP.checked_div(shown).unwrap_or(MAP).min(WIDEST);
        let classes = self.without_the_largest();
        let most = classes.iter().map(|class| class.bytes).max().unwrap_or(0);
        writeln!(out, "<text x=\"{LEFT}\" y=\"{}\" class=\"h\">Gaps by size</text>", at + 4)?;
        write!(out, "<text x=\"{}\" y=\"{}\" class=\"n\">", LEFT + 124, at + 4)?;
        if most == 0 {
            let what = if self.largest.is_some() { "one, and all that is free is in it" } else { "none" };
            return writeln!(out, "{what}</text>");
        }
        out.write_str("without the largest · bars: free bytes in gaps of that size and up to twice as much · ")?;
        out.write_str("above: how many gaps</text>\n")?;
        for (index, class) in classes.iter().take(shown).enumerate() {
            let (x, floor) = (LEFT + index * pitch, at + FLOOR);
            let middle = x + pitch / 2;
            if class.count > 0 {
                let height = (class.bytes as u64 * BAR).checked_div(most as u64).unwrap_or(0).max(1) as usize;
                let top = floor - height;
                write!(out, "<path class=\"q\" d=\"M{} {floor}v-{height}h{}v{height}z\"/>", x + 3, pitch - 6)?;
                let count = Grouped(class.count as u64);
                write!(out, "<text x=\"{middle}\" y=\"{}\" class=\"m\">{count}</text>", top - 4)?;
            }
            let (size, unit) = short(SMALLEST as usize + index);
            writeln!(out, "<text x=\"{middle}\" y=\"{}\" class=\"m\">{size}{unit}</text>", floor + 14)?;
        }
        let (floor, width) = (at + FLOOR, shown * pitch);
        writeln!(out, "<path d=\"M{LEFT} {floor}h{width}\" style=\"stroke:#999\"/>")
    }
}

/// A power of two in as few letters as there is room for.
fn short(power: usize) -> (usize, &'static str) {
    let unit = ["", "K", "M", "G"].get(power / 10).copied().unwrap_or("");
    (1 << (power % 10), unit)
}

/// The class of a size: by its highest bit.
fn class_of(size: usize) -> usize {
    size.checked_ilog2().unwrap_or(0).saturating_sub(SMALLEST) as usize
}
