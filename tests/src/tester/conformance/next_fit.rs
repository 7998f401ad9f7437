//! Next fit: where a block is found, and how much of it is taken.

use super::Scenario;
use super::bench::Bench;
use crate::tester::session::Failure;
use crate::tester::window::Object;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::always("a block is 16 bytes and the payload rounded up to 16, 32 at least", block_sizes),
    Scenario::always("every object of 1 to 512 bytes is aligned to 16", alignment),
    Scenario::always("64 requests of 32 bytes fit into 3072, and where two were freed 55 are served", worked_refill),
    Scenario::next_fit("the next request is served after the last one and not in a gap", worked_next),
    Scenario::next_fit("after the last block the search goes on from the start", wrap),
    Scenario::next_fit("a block too small is passed over, and the search goes on after the one taken", passes_over),
    Scenario::next_fit("a request that is refused does not move the rover", refusal_moves_nothing),
    Scenario::always("the rover goes back to the start of the free block that swallows it", rover_swallowed),
    Scenario::next_fit("at the end of the segment the rover stays when the last block is freed", rover_at_end),
    Scenario::always("a remainder of 16 bytes stays with the allocation", remainder_of_16),
    Scenario::always("a remainder of 32 bytes is a free block", remainder_of_32),
    Scenario::always("a block that fits exactly is taken whole", exact_fit),
];

/// 64 blocks of 48 bytes, which is all of next fit in a heap of 4096.
pub(super) fn full(bench: &mut Bench<'_>) -> Result<Vec<Object>, Failure> {
    bench.init(4096, 64)?;
    let blocks = bench.serve_row(64, 32, 1040, 48)?;
    bench.refuse(32)?;
    Ok(blocks)
}

fn block_sizes(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    let mut at = 1024;
    for (request, block) in [(1, 32), (15, 32), (16, 32), (17, 48), (32, 48), (33, 64), (48, 64), (100, 128), (1, 32)] {
        bench.serve_at(at + 16, request)?;
        at += block;
    }
    Ok(())
}

fn alignment(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(1 << 20, 64)?;
    let objects: Result<Vec<_>, _> = (1..=512).map(|size| bench.serve(size)).collect();
    bench.free_all(objects?)
}

fn worked_refill(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let blocks = full(bench)?;
    bench.free_all([blocks[13], blocks[14]])?;
    bench.serve_at(blocks[13].offset(), 55)?;
    Ok(())
}

fn worked_next(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    let blocks = bench.serve_row(32, 32, 1040, 48)?;
    bench.free_all([blocks[13], blocks[23]])?;
    bench.serve_at(blocks[31].offset() + 48, 32)?;
    Ok(())
}

fn wrap(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let blocks = full(bench)?;
    bench.free_all([blocks[9], blocks[4]])?;
    bench.serve_at(blocks[4].offset(), 32)?;
    bench.free(blocks[2])?;
    bench.serve_at(blocks[9].offset(), 32)?;
    bench.serve_at(blocks[2].offset(), 32)?;
    bench.refuse(32)
}

fn passes_over(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let blocks = full(bench)?;
    bench.free_all([blocks[5], blocks[20], blocks[21], blocks[40]])?;
    bench.serve_at(blocks[20].offset(), 33)?;
    bench.serve_at(blocks[40].offset(), 32)?;
    bench.serve_at(blocks[5].offset(), 32)?;
    // 96 bytes less 64 leave a block of 32.
    bench.serve_at(blocks[20].offset() + 64, 16)?;
    bench.refuse(1)
}

fn refusal_moves_nothing(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    let blocks = bench.serve_row(3, 32, 1040, 48)?;
    bench.free(blocks[0])?;
    bench.refuse(3000)?;
    bench.serve_at(blocks[2].offset() + 48, 32)?;
    Ok(())
}

fn rover_swallowed(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    let blocks = bench.serve_row(3, 32, 1040, 48)?;
    bench.free(blocks[2])?;
    let again = bench.serve_at(blocks[2].offset(), 100)?;
    bench.free_all([blocks[1], again])?;
    bench.serve_at(blocks[1].offset(), 32)?;
    Ok(())
}

fn rover_at_end(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let blocks = full(bench)?;
    bench.free_all([blocks[13], blocks[63]])?;
    bench.serve_at(blocks[13].offset(), 32)?;
    bench.serve_at(blocks[63].offset(), 32)?;
    bench.refuse(32)
}

fn remainder_of_16(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let blocks = full(bench)?;
    bench.free(blocks[13])?;
    let small = bench.serve_at(blocks[13].offset(), 16)?;
    bench.refuse(1)?;
    // The 16 bytes come back with it.
    bench.free(small)?;
    bench.serve_at(blocks[13].offset(), 32)?;
    bench.refuse(1)
}

fn remainder_of_32(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 1024)?;
    let blocks = bench.serve_row(48, 48, 1040, 64)?;
    bench.refuse(1)?;
    bench.free(blocks[9])?;
    bench.serve_at(blocks[9].offset(), 16)?;
    bench.serve_at(blocks[9].offset() + 32, 16)?;
    bench.refuse(1)
}

fn exact_fit(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let blocks = full(bench)?;
    for index in [0, 31, 63] {
        bench.free(blocks[index])?;
        bench.refuse(33)?;
        bench.serve_at(blocks[index].offset(), 32)?;
        bench.refuse(1)?;
    }
    Ok(())
}
