//! The slab: slots side by side for requests of exactly the slab size.

use super::Scenario;
use super::bench::Bench;
use crate::tester::session::Failure;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::always("1024 bytes of slab are 16 slots of 64, side by side and without headers", slots),
    Scenario::always("the lowest free slot is served first", lowest_first),
    Scenario::always("every slot is served again once it is freed", served_again),
    Scenario::always("a slot is the slab size rounded up to 16", rounded_up),
    Scenario::always("a slab size of 1 makes slots of 16", smallest_slots),
    Scenario::always("what is left behind the last slot serves nothing", tail),
    Scenario::always("a slab size as large as the segment makes one slot", one_slot),
    Scenario::always("a slab size larger than the segment makes none, and next fit serves it", no_slots),
    Scenario::always("only requests of exactly the slab size go to the slab", exact_size_only),
    Scenario::always("when the slab is full its size goes to next fit, and back there when freed", spill),
    Scenario::always("a request of the slab size comes back zero-filled, also from used memory", zero_filled),
];

fn slots(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    bench.serve_row(16, 64, 0, 64)?;
    Ok(())
}

fn lowest_first(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    let slots = bench.serve_row(16, 64, 0, 64)?;
    bench.free_all([slots[11], slots[3], slots[7]])?;
    for index in [3, 7, 11] {
        bench.serve_at(index * 64, 64)?;
    }
    // Before all have been used once, too.
    bench.free_all([slots[15], slots[0]])?;
    bench.serve_at(0, 64)?;
    bench.serve_at(15 * 64, 64)?;
    Ok(())
}

fn served_again(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    let first = bench.serve_row(5, 64, 0, 64)?;
    bench.free_all(first)?;
    let all = bench.serve_row(16, 64, 0, 64)?;
    bench.free_all(all.into_iter().rev())?;
    bench.serve_row(16, 64, 0, 64)?;
    Ok(())
}

fn rounded_up(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 50)?;
    bench.serve_row(16, 50, 0, 64)?;
    bench.serve_at(1040, 50)?;
    Ok(())
}

fn smallest_slots(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 1)?;
    bench.serve_row(64, 1, 0, 16)?;
    bench.serve_at(1040, 1)?;
    Ok(())
}

fn tail(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 48)?;
    bench.serve_row(21, 48, 0, 48)?;
    bench.serve_at(1040, 48)?;
    Ok(())
}

fn one_slot(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 1024)?;
    let slot = bench.serve_at(0, 1024)?;
    bench.serve_at(1040, 1024)?;
    bench.free(slot)?;
    bench.serve_at(0, 1024)?;
    Ok(())
}

fn no_slots(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 1025)?;
    let object = bench.serve_at(1040, 1025)?;
    bench.serve_at(2096, 960)?;
    bench.refuse(1025)?;
    bench.free(object)?;
    bench.serve_at(1040, 1025)?;
    Ok(())
}

fn exact_size_only(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    bench.serve_at(1040, 63)?;
    bench.serve_at(1120, 65)?;
    bench.serve_at(0, 64)?;
    Ok(())
}

fn spill(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    let slots = bench.serve_row(16, 64, 0, 64)?;
    let spilled = bench.serve_row(2, 64, 1040, 80)?;
    bench.free(slots[5])?;
    bench.serve_at(5 * 64, 64)?;
    bench.free_all(spilled)?;
    // Both blocks are next fit's again, as one.
    bench.serve_at(1040, 3056)?;
    bench.refuse(64)
}

fn zero_filled(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    // The bench fills all that is served, and looks for zeros in every object of the slab size.
    let all = bench.serve_at(1040, 3056)?;
    bench.free(all)?;
    for _ in 0..2 {
        let slots = bench.serve_row(16, 64, 0, 64)?;
        let spilled = bench.serve_row(38, 64, 1040, 80)?;
        bench.refuse(64)?;
        bench.free_all(spilled)?;
        bench.free_all(slots)?;
    }
    Ok(())
}
