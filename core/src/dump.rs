//! The heap as text: both segments, block by block.

use core::fmt::{self, Write};

use crate::layout::Segment;
use crate::lock::RawLock;
use crate::policy::Policy;
use crate::segments::Heap;
use crate::walk::{Block, Kind, State};

/// Slots or blocks side by side that are alike: a slab of thousands of free slots is one line.
struct Alike {
    first: Block,
    count: usize,
}

impl Alike {
    fn takes(&self, block: &Block) -> bool {
        let Block { size, state, segment, kind, .. } = self.first;
        let next = self.first.address.wrapping_add(size.wrapping_mul(self.count));
        kind == Kind::Slot && *block == Block { address: next, size, state, segment, kind }
    }

    fn write(&self, out: &mut impl Write) -> fmt::Result {
        let state = match self.first.state {
            State::Used => "used",
            State::Free => "free",
        };
        write!(out, "  {:#x} {:>10} {state}", self.first.address, self.first.size)?;
        if (self.first.segment, self.first.kind) == (Segment::Blocks, Kind::Slot) {
            out.write_str(" slot")?;
        }
        if self.count > 1 {
            write!(out, " x {}", self.count)?;
        }
        out.write_str("\n")
    }
}

fn heading<L: RawLock, P: Policy>(heap: &Heap<'_, L, P>, segment: Segment, out: &mut impl Write) -> fmt::Result {
    let range = heap.segment(segment);
    let (size, start) = (range.end.wrapping_sub(range.start), range.start);
    if segment == Segment::Slab {
        return writeln!(out, "slab segment: {size} bytes at {start:#x}, slots of {} bytes", heap.slab_size());
    }
    write!(out, "block segment: {size} bytes at {start:#x}")?;
    if P::ROVES {
        let rover = heap.lock_blocks().map_or(start, |blocks| blocks.region.address(blocks.rover.at));
        write!(out, ", rover at {rover:#x}")?;
    }
    out.write_str("\n")
}

impl<L: RawLock, P: Policy> Heap<'_, L, P> {
    /// Writes both segments as text: a line for every block and for every row of like slots, with address, bytes and
    /// state. No lock is held while `out` is written to, and what it shows comes from the map alone, so that it ends
    /// whatever lies in the heap. Complexity: linear in slots and blocks.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn dump(&self, out: &mut impl Write) -> fmt::Result {
        heading(self, Segment::Slab, out)?;
        let mut in_slab = true;
        let mut alike: Option<Alike> = None;
        for block in self.blocks() {
            match &mut alike {
                Some(alike) if alike.takes(&block) => {
                    alike.count = alike.count.wrapping_add(1);
                    continue;
                }
                Some(alike) => alike.write(out)?,
                None => {}
            }
            if in_slab && block.segment == Segment::Blocks {
                in_slab = false;
                heading(self, Segment::Blocks, out)?;
            }
            alike = Some(Alike { first: block, count: 1 });
        }
        alike.map_or(Ok(()), |alike| alike.write(out))
    }
}

impl<L: RawLock, P: Policy> fmt::Debug for Heap<'_, L, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap")
            .field("base", &self.base())
            .field("size", &self.size())
            .field("slab_size", &self.slab_size())
            .finish_non_exhaustive()
    }
}
