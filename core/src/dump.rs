//! The heap as text: both segments, block by block.

use core::fmt::{self, Write};

use crate::heap::Heap;
use crate::layout::Segment;
use crate::lock::RawLock;
use crate::policy::Policy;
use crate::walk::{Block, State};

/// Slots or blocks side by side that are alike: a slab of thousands of free slots is one line.
struct Run {
    first: Block,
    count: usize,
}

impl Run {
    fn takes(&self, block: &Block) -> bool {
        let Block { size, state, segment, .. } = self.first;
        segment == Segment::Slab && block.segment == segment && block.state == state && block.size == size
    }

    fn write(&self, out: &mut impl Write) -> fmt::Result {
        let state = match self.first.state {
            State::Used => "used",
            State::Free => "free",
        };
        write!(out, "  {:#x} {:>10} {state}", self.first.address, self.first.size)?;
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
    /// Writes both segments as text: a line for every block and for every run of like slots, with address, bytes and
    /// state. No lock is held while `out` is written to, and what it shows comes from the map alone, so that it ends
    /// whatever lies in the heap. Complexity: linear in slots and blocks.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn dump(&self, out: &mut impl Write) -> fmt::Result {
        heading(self, Segment::Slab, out)?;
        let mut in_slab = true;
        let mut run: Option<Run> = None;
        for block in self.blocks() {
            match &mut run {
                Some(run) if run.takes(&block) => {
                    run.count = run.count.wrapping_add(1);
                    continue;
                }
                Some(run) => run.write(out)?,
                None => {}
            }
            if in_slab && block.segment == Segment::Blocks {
                in_slab = false;
                heading(self, Segment::Blocks, out)?;
            }
            run = Some(Run { first: block, count: 1 });
        }
        run.map_or(Ok(()), |run| run.write(out))
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
