//! Wrong frees: refused, with nothing changed.

use slabfit::{GRANULE, MAGIC};

use super::Scenario;
use super::bench::Bench;
use super::next_fit::full;
use crate::header::LINK;
use crate::tester::session::Failure;
use crate::tester::window::Object;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::always("Mem_Free(NULL) does nothing and is not an error", null),
    Scenario::always("a free of what is not in the heap is refused", outside),
    Scenario::always("a free of a misaligned address is refused", misaligned),
    Scenario::always("a free inside a block is refused", inside_a_block),
    Scenario::always("a free inside a slot is refused", inside_a_slot),
    Scenario::always("a free of what was never allocated is refused", never_allocated),
    Scenario::always("a free after the last slot is refused", behind_the_last_slot),
    Scenario::always("a second free of a slot is refused", slot_twice),
    Scenario::always("a second free of a block is refused", block_twice),
    Scenario::always("a second free of a block that has joined its neighbours is refused", joined_block_twice),
    Scenario::always("a free of a header forged in a payload is refused", forged),
    Scenario::always("a free of a block whose length is overwritten is refused until it is right again", length),
    Scenario::always("a free of a block whose magic is overwritten is refused until it is right again", magic),
];

/// A heap with something live on both sides, and room left.
fn furnished(bench: &mut Bench<'_>) -> Result<(Vec<Object>, Vec<Object>), Failure> {
    bench.init(4096, 64)?;
    Ok((bench.serve_row(3, 64, 0, 64)?, bench.serve_row(3, 100, 1040, 128)?))
}

/// The next requests are served as if nothing had happened.
fn unchanged(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.serve_at(3 * 64, 64)?;
    bench.serve_at(1040 + 3 * 128, 100)?;
    Ok(())
}

fn null(bench: &mut Bench<'_>) -> Result<(), Failure> {
    furnished(bench)?;
    // SAFETY: null is no object.
    let answer = unsafe { bench.allocator().free(core::ptr::null_mut()) };
    answer.map_err(|refused| Failure(format!("Mem_Free(NULL) must return 0, but {refused}")))?;
    unchanged(bench)
}

fn outside(bench: &mut Bench<'_>) -> Result<(), Failure> {
    furnished(bench)?;
    let mut bytes = [0_u8; 64];
    bench.reject(bytes.as_mut_ptr().wrapping_add(32), "on the stack")?;
    let base = bench.session()?.window().base();
    for distance in [16, 4096, 1 << 20] {
        bench.reject(base.wrapping_sub(distance), "before the heap")?;
    }
    for distance in [4096, 4096 + 16, 1 << 20] {
        bench.reject(base.wrapping_add(distance), "after the heap")?;
    }
    for address in [1, 16, usize::MAX, usize::MAX - 15] {
        bench.reject(core::ptr::without_provenance_mut(address), "nowhere")?;
    }
    unchanged(bench)
}

fn misaligned(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let (slots, blocks) = furnished(bench)?;
    for object in [slots[1], blocks[1]] {
        for distance in [1, 4, 8, 15] {
            bench.reject_at(object.offset() + distance, "no multiple of 16")?;
        }
    }
    unchanged(bench)
}

fn inside_a_block(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let (_, blocks) = furnished(bench)?;
    bench.reject_at(blocks[1].offset() - 16, "a live block's header")?;
    for distance in [16, 48, 96] {
        bench.reject_at(blocks[1].offset() + distance, "inside a live block")?;
    }
    unchanged(bench)
}

fn inside_a_slot(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let (slots, _) = furnished(bench)?;
    for distance in [16, 32, 48] {
        bench.reject_at(slots[1].offset() + distance, "inside a live slot")?;
    }
    unchanged(bench)
}

fn never_allocated(bench: &mut Bench<'_>) -> Result<(), Failure> {
    furnished(bench)?;
    for slot in [3, 4, 15] {
        bench.reject_at(slot * 64, "a slot never allocated")?;
    }
    for offset in [1040 + 3 * 128, 1040 + 4 * 128, 4096 - 16] {
        bench.reject_at(offset, "never allocated")?;
    }
    unchanged(bench)
}

fn behind_the_last_slot(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 48)?;
    bench.serve_row(21, 48, 0, 48)?;
    bench.reject_at(21 * 48, "after the last slot")?;
    bench.serve_at(1040, 48)?;
    Ok(())
}

fn slot_twice(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let (slots, _) = furnished(bench)?;
    bench.free(slots[1])?;
    bench.reject_at(slots[1].offset(), "a slot that is free already")?;
    bench.serve_at(slots[1].offset(), 64)?;
    unchanged(bench)
}

fn block_twice(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let blocks = full(bench)?;
    bench.free(blocks[13])?;
    bench.reject_at(blocks[13].offset(), "a block that is free already")?;
    bench.serve_at(blocks[13].offset(), 32)?;
    bench.refuse(1)
}

fn joined_block_twice(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let blocks = full(bench)?;
    bench.free_all([blocks[13], blocks[15], blocks[14]])?;
    for index in [13, 14, 15] {
        bench.reject_at(blocks[index].offset(), "a block that is free already")?;
    }
    bench.serve_at(blocks[13].offset(), 3 * 48 - 16)?;
    bench.refuse(1)?;
    // The addresses of the last two are inside a live block now.
    bench.reject_at(blocks[14].offset(), "inside a live block")?;
    bench.reject_at(blocks[15].offset(), "inside a live block")
}

fn forged(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.init(4096, 64)?;
    let victim = bench.serve(200)?;
    bench.write(victim, 32, 64)?;
    bench.write(victim, 40, MAGIC as u64)?;
    bench.reject_at(victim.offset() + 48, "after a forged header")?;
    let slot = bench.serve(64)?;
    bench.write(slot, 0, 16)?;
    bench.write(slot, 8, MAGIC as u64)?;
    bench.reject_at(slot.offset() + 16, "after a forged header")?;
    bench.free_all([victim, slot])?;
    bench.serve_at(1040, 3056)?;
    Ok(())
}

fn length(bench: &mut Bench<'_>) -> Result<(), Failure> {
    for wrong in [0, 16, 96, 128, 0x7fff_ffff, 0xffff_ffff] {
        overwritten(bench, GRANULE, 112, wrong)?;
    }
    Ok(())
}

fn magic(bench: &mut Bench<'_>) -> Result<(), Failure> {
    for wrong in [0, MAGIC as u64 + 1, MAGIC as u64 | 1 << 40, u64::MAX] {
        overwritten(bench, GRANULE - LINK, MAGIC as u64, wrong)?;
    }
    Ok(())
}

/// Overwrites the eight bytes `before` the middle one of three live blocks, whose `right` value is known.
fn overwritten(bench: &mut Bench<'_>, before: usize, right: u64, wrong: u64) -> Result<(), Failure> {
    if bench.session().is_err() {
        bench.init(4096, 64)?;
    }
    let objects = [bench.serve_at(1040, 100)?, bench.serve_at(1168, 100)?, bench.serve_at(1296, 100)?];
    let field = objects[1].offset() - before;
    bench.session()?.window().write_field(field, wrong);
    bench.reject_at(objects[1].offset(), "whose header is overwritten")?;
    bench.reject_at(objects[1].offset(), "whose header is overwritten")?;
    // Its neighbours can be freed, and its own memory is still its own.
    bench.free_all([objects[0], objects[2]])?;
    bench.refuse(2801)?;
    bench.session()?.window().write_field(field, right);
    bench.free(objects[1])?;
    let all = bench.serve_at(1040, 3056)?;
    bench.free(all)
}
