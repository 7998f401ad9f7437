//! The headers that lie in the heap, where a C program or a debugger can read them.

use slabfit::MAGIC;

use super::Scenario;
use super::bench::Bench;
use crate::header::LINK;
use crate::tester::session::{Failure, Place, fail};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::always("a live block begins with its payload's bytes and MAGIC", live_block),
    Scenario::always("a remainder of 16 counts in the header's length", remainder_counts),
    Scenario::always("an unused segment is one free block in a list of one", unused_segment),
    Scenario::next_fit("the free blocks are a list in address order", free_blocks),
    Scenario::next_fit("the free slots that were used are a list in address order", free_slots),
];

fn live_block(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    for (size, length) in [(1, 16), (32, 32), (55, 64), (500, 512)] {
        let object = bench.serve(size)?;
        expect(bench, object.offset() - 16, length, MAGIC as u64)?;
    }
    Ok(())
}

fn remainder_counts(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let blocks = super::next_fit::full(bench)?;
    bench.free(blocks[13])?;
    let small = bench.serve(16)?;
    expect(bench, small.offset() - 16, 32, MAGIC as u64)
}

fn unused_segment(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    expect(bench, 1024, 3056, 0)
}

fn free_blocks(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    let blocks = bench.serve_row(10, 32, 1040, 48)?;
    bench.free_all([blocks[7], blocks[2], blocks[4], blocks[3]])?;
    let (joined, single, rest) = (blocks[2].offset() - 16, blocks[7].offset() - 16, 1024 + 10 * 48);
    let list = [(joined, 3 * 48), (single, 48), (rest, 4096 - rest)];
    expect_list(bench, &list, 16)?;
    // The list follows what is taken and what comes back.
    let large = bench.serve_at(rest + 16, 2000)?;
    bench.free(blocks[0])?;
    let used = rest + 2016;
    expect_list(bench, &[(1024, 48), list[0], list[1], (used, 4096 - used)], 16)?;
    bench.free(large)?;
    expect_list(bench, &[(1024, 48), list[0], list[1], list[2]], 16)
}

fn free_slots(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    let slots = bench.serve_row(16, 64, 0, 64)?;
    bench.free_all([slots[3], slots[9], slots[5], slots[15]])?;
    expect_list(bench, &[3, 5, 9, 15].map(|index| (index * 64, 64)), 0)?;
    bench.serve_at(3 * 64, 64)?;
    bench.free(slots[0])?;
    expect_list(bench, &[0, 5, 9, 15].map(|index| (index * 64, 64)), 0)
}

/// Free blocks, or slots, at these offsets and of these bytes, each pointing to the next and the last to nothing.
fn expect_list(bench: &Bench<'_>, blocks: &[(usize, usize)], header: usize) -> Result<(), Failure> {
    let base = bench.session()?.window().base().addr();
    for (index, &(at, bytes)) in blocks.iter().enumerate() {
        let next = blocks.get(index + 1).map_or(0, |&(next, _)| (base + next) as u64);
        expect(bench, at, bytes - header, next)?;
    }
    Ok(())
}

/// A header at `offset`, as C lays it out: an `int` and a pointer.
pub(super) fn expect(bench: &Bench<'_>, offset: usize, length: usize, pointer: u64) -> Result<(), Failure> {
    let window = bench.session()?.window();
    let (Some(first), Some(second)) = (window.read_field(offset), window.read_field(offset + LINK)) else {
        fail!("no header can stand at {}", Place(offset));
    };
    let (found, second) = (u64::from(first as u32), second as usize as u64);
    if found != length as u64 {
        fail!("the header at {} must have length {length}, but has {found}", Place(offset));
    }
    if second != pointer {
        let place = Place(offset);
        fail!("the header at {place} must hold {pointer:#x} after its length, but holds {second:#x}");
    }
    Ok(())
}
