//! How large a cell is, and where it stands.

use slabfit::GRANULE;

/// Widths of the picture, of what stands left of a row, and of a row.
pub(super) const WIDTH: usize = 1160;
pub(super) const LEFT: usize = 72;
pub(super) const MAP: usize = 1024;

/// Cells of a row, and rows of a heap, at most. (A segment may end in the middle of a row, so it may be two rows more.)
pub(super) const COLUMNS: usize = 256;
const ROWS: usize = 64;
/// In a small heap cells are wider, as long as there are so many rows; but they are never fewer than this.
const ROWS_ENOUGH: usize = 32;
const FEWEST_COLUMNS: usize = 64;

/// Where the cells of a heap are drawn. Bytes of a cell and cells of a row are powers of two.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    share_bits: u32,
    column_bits: u32,
    /// From one row's top to the next one's, and how much of it is drawn in.
    pub(super) pitch: usize,
    pub(super) height: usize,
}

impl Scale {
    pub(super) fn of(heap: usize) -> Self {
        let granules = heap.div_ceil(GRANULE);
        let share_bits = (granules.div_ceil(ROWS * COLUMNS).next_power_of_two() * GRANULE).trailing_zeros();
        let mut column_bits = COLUMNS.trailing_zeros();
        while 1 << share_bits == GRANULE && 1 << column_bits > FEWEST_COLUMNS && granules >> column_bits < ROWS_ENOUGH {
            column_bits -= 1;
        }
        let few = heap >> (share_bits + column_bits) <= ROWS_ENOUGH;
        let (pitch, height) = if few { (16, 13) } else { (10, 8) };
        Self { share_bits, column_bits, pitch, height }
    }

    /// Bytes of a cell.
    pub(super) fn share(&self) -> usize {
        1 << self.share_bits
    }

    /// Cells of a row.
    pub(super) fn columns(&self) -> usize {
        1 << self.column_bits
    }

    /// Bytes of a row.
    pub(super) fn row(&self) -> usize {
        1 << (self.share_bits + self.column_bits)
    }

    /// Width of a cell.
    pub(super) fn cell(&self) -> usize {
        MAP >> self.column_bits
    }

    /// How many rows so many bytes are.
    pub(super) fn rows(&self, bytes: usize) -> usize {
        let bits = self.share_bits + self.column_bits;
        (bytes >> bits) + usize::from((bytes >> bits) << bits != bytes)
    }

    /// Height of a segment of so many bytes.
    pub(super) fn height(&self, bytes: usize) -> usize {
        self.rows(bytes) * self.pitch
    }

    /// How wide so many bytes of a row are.
    pub(super) fn width(&self, bytes: usize) -> usize {
        (bytes * self.cell()) >> self.share_bits
    }

    /// The row that a byte of a segment lies in, and how far from the left.
    pub(super) fn place(&self, byte: usize) -> (usize, usize) {
        (byte >> (self.share_bits + self.column_bits), self.width(byte & (self.row() - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_heap_has_some_64_rows_at_most() {
        for bits in 6..=30 {
            for heap in [1 << bits, (1 << bits) + GRANULE, (3 << bits) / 2] {
                let heap: usize = heap;
                let scale = Scale::of(heap);
                let segment = heap / 4;
                let rows = scale.rows(segment) + scale.rows(heap - segment);
                assert!(rows <= ROWS + 1, "{heap}: {rows} rows");
                assert!(scale.columns() <= COLUMNS, "{heap}: rows of {}", scale.columns());
                let enough = if heap < 64 << 10 { 0 } else { ROWS_ENOUGH };
                assert!(rows >= enough, "{heap}: {rows} rows");
                assert_eq!(scale.place(scale.row() * 3 + scale.share() * 5), (3, scale.cell() * 5));
            }
        }
    }
}
