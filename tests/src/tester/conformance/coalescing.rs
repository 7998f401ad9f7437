//! Coalescing: free blocks are never neighbours.

use fastrand::Rng;

use super::Scenario;
use super::bench::Bench;
use super::next_fit::full;
use crate::tester::session::Failure;
use crate::tester::window::Object;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::always("a freed block between two live ones stays as it is", |bench| freed(bench, 20, &[])),
    Scenario::always("a freed block joins the free one before it", |bench| freed(bench, 20, &[19])),
    Scenario::always("a freed block joins the free one after it", |bench| freed(bench, 20, &[21])),
    Scenario::always("a freed block joins the free ones on both sides", |bench| freed(bench, 20, &[19, 21])),
    Scenario::always("the first block, freed, stays as it is", |bench| freed(bench, 0, &[])),
    Scenario::always("the first block, freed, joins the free one after it", |bench| freed(bench, 0, &[1])),
    Scenario::always("the last block, freed, stays as it is", |bench| freed(bench, 63, &[])),
    Scenario::always("the last block, freed, joins the free one before it", |bench| freed(bench, 63, &[62])),
    Scenario::always("the only block, freed, is the whole segment", one_block),
    Scenario::always("freeing everything from the front leaves one block", |bench| all_freed(bench, |_, _| ())),
    Scenario::always("freeing everything from the back leaves one block", |bench| {
        all_freed(bench, |order, _| order.reverse())
    }),
    Scenario::always("freeing everything in random order leaves one block", |bench| {
        all_freed(bench, |order, random| random.shuffle(order))
    }),
];

/// Frees `neighbours` and then the block at `index`; all other blocks are live, so that the free block they leave is
/// the only one, and its place and size are seen by what it serves.
fn freed(bench: &mut Bench<'_>, index: usize, neighbours: &[usize]) -> Result<(), Failure> {
    let blocks = full(bench)?;
    bench.free_all(neighbours.iter().map(|&index| blocks[index]))?;
    bench.free(blocks[index])?;
    let first = neighbours.iter().copied().fold(index, usize::min);
    let payload = (neighbours.len() + 1) * 48 - 16;
    bench.refuse(payload + 1)?;
    bench.serve_at(blocks[first].offset(), payload)?;
    bench.refuse(1)
}

fn one_block(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    for size in [1, 32, 3000, 3056] {
        let block = bench.serve_at(1040, size)?;
        bench.free(block)?;
    }
    bench.serve_at(1040, 3056)?;
    Ok(())
}

/// Blocks of many sizes, freed in the order that `arrange` makes of their numbers.
fn all_freed(bench: &mut Bench<'_>, arrange: fn(&mut [Object], &mut Rng)) -> Result<(), Failure> {
    let mut random = Rng::with_seed(bench.given().seed);
    bench.init(64 << 10, 64)?;
    let mut objects = Vec::new();
    while let Some(object) = bench.ask(random.usize(1..=512))? {
        objects.push(object);
    }
    arrange(&mut objects, &mut random);
    bench.free_all(objects)?;
    bench.serve_at((16 << 10) + 16, (48 << 10) - 16)?;
    Ok(())
}
