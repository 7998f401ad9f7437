//! Next fit as a textbook has it: one address-ordered, singly linked list of free blocks, searched from the rover to
//! allocate and walked from the front to free. The same blocks, headers and rules as slabfit's block segment, so the
//! same addresses; only the work is linear in the number of gaps.

use super::Peer;
use crate::subject::Kind;
use std::alloc::Layout;
use std::ptr;

const HEADER: usize = 16;

/// A free block's first bytes.
struct Free {
    /// Bytes of the block, header included.
    size: usize,
    next: *mut Free,
}

/// The list and the rover's place in it.
pub struct Textbook {
    head: *mut Free,
    rover: *mut u8,
    /// The last free block before the rover: the search begins at its successor. Null: at the head.
    before_rover: *mut Free,
}

/// Bytes a request takes.
const fn need(size: usize) -> usize {
    let payload = size.next_multiple_of(HEADER);
    HEADER + if payload < HEADER { HEADER } else { payload }
}

impl Textbook {
    /// The successor of `block`, or the head where that is null.
    fn after(&self, block: *mut Free) -> *mut Free {
        if block.is_null() {
            return self.head;
        }
        // SAFETY: the block is in the list, so its header is ours.
        unsafe { (*block).next }
    }

    /// Makes `next` the successor of `block`, or the head where that is null.
    fn link(&mut self, block: *mut Free, next: *mut Free) {
        if block.is_null() {
            self.head = next;
        } else {
            // SAFETY: the block is in the list, so its header is ours.
            unsafe { (*block).next = next };
        }
    }

    /// The predecessor of the first block after `from`, and before `until` where that is not null, of `need` bytes.
    fn search(&self, from: *mut Free, until: *mut u8, need: usize) -> Option<*mut Free> {
        let mut previous = from;
        loop {
            let block = self.after(previous);
            if block.is_null() || !until.is_null() && block.cast::<u8>() >= until {
                return None;
            }
            // SAFETY: the block is in the list, so its header is ours.
            if unsafe { (*block).size } >= need {
                return Some(previous);
            }
            previous = block;
        }
    }

    /// Cuts `need` bytes from the front of the block after `previous`, which has them.
    fn carve(&mut self, previous: *mut Free, need: usize) -> *mut u8 {
        let block = self.after(previous);
        // SAFETY: the block is in the list, so its header is ours.
        let Free { size, next } = unsafe { block.read() };
        let taken = if size - need > HEADER { need } else { size };
        let end = block.cast::<u8>().wrapping_add(taken);
        if taken < size {
            let rest = end.cast::<Free>();
            // SAFETY: the remainder is at least 32 bytes of the free block.
            unsafe { rest.write(Free { size: size - taken, next }) };
            self.link(previous, rest);
        } else {
            self.link(previous, next);
        }
        (self.rover, self.before_rover) = (end, previous);
        // SAFETY: the block has left the list; its header holds its size until it comes back.
        unsafe { block.cast::<usize>().write(taken) };
        block.cast::<u8>().wrapping_add(HEADER)
    }

    /// Moves the rover, or what it knows of the list, after [`start`, `end`) became one free block after `before`.
    fn follow(&mut self, before: *mut Free, start: *mut Free, end: *mut u8) {
        let first = start.cast::<u8>();
        if first <= self.rover && self.rover < end {
            (self.rover, self.before_rover) = (first, before);
        } else if first < self.rover && self.before_rover.cast::<u8>() < end {
            self.before_rover = start;
        }
    }
}

impl Peer for Textbook {
    const NAME: &'static str = "textbook next fit";
    const KIND: Kind = Kind::Textbook;

    fn new() -> Self {
        Self { head: ptr::null_mut(), rover: ptr::null_mut(), before_rover: ptr::null_mut() }
    }

    unsafe fn start(&mut self, base: *mut u8, size: usize) {
        self.head = base.cast();
        // SAFETY: the bytes are ours, page-aligned and at least a page.
        unsafe { self.head.write(Free { size: size / HEADER * HEADER, next: ptr::null_mut() }) };
        self.rover = base;
    }

    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        let need = need(layout.size());
        let found = self.search(self.before_rover, ptr::null_mut(), need);
        let found = found.or_else(|| self.search(ptr::null_mut(), self.rover, need));
        found.map_or(ptr::null_mut(), |previous| self.carve(previous, need))
    }

    unsafe fn dealloc(&mut self, ptr: *mut u8, _: Layout) {
        let block = ptr.wrapping_sub(HEADER);
        // SAFETY: the caller gives back a block that `carve` wrote this size into.
        let mut size = unsafe { block.cast::<usize>().read() };
        let (mut before, mut previous) = (ptr::null_mut::<Free>(), ptr::null_mut::<Free>());
        let mut next = self.head;
        while !next.is_null() && next.cast::<u8>() < block {
            (before, previous) = (previous, next);
            next = self.after(next);
        }
        if next.cast::<u8>() == block.wrapping_add(size) {
            // SAFETY: `next` is in the list, so its header is ours.
            let right = unsafe { next.read() };
            size += right.size;
            next = right.next;
        }
        // SAFETY: where `previous` is not null it is in the list, so its header is ours.
        let left = if previous.is_null() { 0 } else { unsafe { (*previous).size } };
        let mut start = block.cast::<Free>();
        if left > 0 && previous.cast::<u8>().wrapping_add(left) == block {
            (start, previous) = (previous, before);
            size += left;
        }
        // SAFETY: the coalesced block is free memory of ours.
        unsafe { start.write(Free { size, next }) };
        self.link(previous, start);
        self.follow(previous, start, start.cast::<u8>().wrapping_add(size));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{self, Kind as Operation, Sizes};
    use crate::region::Region;
    use crate::subject::{NO_SLAB, Setup, Subject, bookkeeping, resized};
    use crate::subjects::Arena;
    use crate::subjects::ours::Slabfit;
    use slabfit::{NextFit, SpinLock};

    /// Where a subject puts every object of a sequence, counted from the first.
    fn places<S: Subject>(setup: &Setup<'_>, stream: &ops::Stream) -> Vec<Option<usize>> {
        // SAFETY: one subject at a time.
        let subject = unsafe { S::over(setup) };
        let layout = Layout::new::<u64>();
        let mut slots = vec![ptr::null_mut(); stream.slots];
        let mut places = Vec::new();
        for op in stream.warm.iter().chain(&stream.ops) {
            let (slot, layout) = (&mut slots[op.slot()], resized(layout, op.size as usize));
            if op.kind() == Operation::Alloc {
                *slot = subject.alloc(layout);
                places.push((!slot.is_null()).then(|| slot.addr()));
            } else if !slot.is_null() {
                // SAFETY: the slot's object is live and was served for that size.
                unsafe { subject.dealloc(*slot, layout) };
            }
        }
        let first = places[0].expect("an empty heap serves the first request");
        places.iter().map(|place| place.map(|address| address - first)).collect()
    }

    #[test]
    fn the_textbook_puts_every_object_where_slabfit_puts_it() {
        const HEAP: usize = 1 << 16;
        let region = Region::map(HEAP + bookkeeping(HEAP, NO_SLAB)).expect("64 KiB can be mapped");
        let setup = Setup { region: &region, heap: HEAP, peer: HEAP / 4 * 3, slab_size: NO_SLAB, fresh: false };
        // So many that now and then a request fails.
        let stream = ops::churn(410, Sizes::Between(4, 200), [1_000, 20_000], 1);
        let textbook = places::<Arena<SpinLock, Textbook>>(&setup, &stream);
        let slabfit = places::<Slabfit<SpinLock, NextFit>>(&setup, &stream);
        assert!(slabfit.contains(&None), "the heap was never full");
        assert!(textbook == slabfit, "the addresses differ");
    }
}
