//! `tester replay`: whether a trace comes to the very addresses again, and what its heap was like.

use std::io::{self, Write};

use serde_json::{Value, json};
use slabfit::{MAX_HEAP, SegmentStats, Stats};
use slabfit_linux::Slots;

use crate::model::Placement;
use crate::tester::extension::Recorded;
use crate::tester::recordings::Recording;
use crate::tester::replay_exact::{ExactReplay, Until, recorded_ground, replay_exactly};
use crate::tester::replay_heap::{Ground, name};
use crate::tester::report::{grouped, left_out, per_operation, reasons};
use crate::tester::run::{Stop, bar};
use crate::tester::sys;
use crate::tester::trace::Trace;
use crate::tester::trace_args::ReplayArguments;

/// What a trace is replayed on that does not say what it was recorded on.
const USUAL: Ground = Ground { heap: 64 << 20, slab_size: 64, placement: Placement::FirstFit };

/// Replays a trace and prints what came of it. Whether every address was as recorded.
///
/// # Errors
/// Why nothing was replayed.
pub fn run(arguments: &ReplayArguments, out: &mut dyn Write) -> Result<bool, Stop> {
    let recording = Recording::named(&arguments.trace.trace).map_err(Stop::Load)?;
    let trace = &recording.trace;
    let recorded = recorded_ground(trace);
    let ground = ground(arguments, recorded.unwrap_or(USUAL))?;
    let same = recorded == Some(ground);
    let bar = bar(&recording.source.name(), trace.operations().len() as u64);
    let until = if same { Until::Difference } else { Until::End };
    let replayed = replay_exactly(trace, ground, until, &|done| bar.set_position(done));
    bar.finish_and_clear();
    let replayed = replayed.map_err(|error| Stop::Usage(format!("cannot make the heap: {error}")))?;
    if arguments.trace.json {
        writeln!(out, "{}", machine(&recording, ground, same, &replayed))?;
    } else {
        people(&recording, ground, same, &replayed, out)?;
    }
    out.flush()?;
    Ok(replayed.difference.is_none())
}

/// What the command line asks for, as the preload library would make it.
fn ground(arguments: &ReplayArguments, otherwise: Ground) -> Result<Ground, Stop> {
    let heap = arguments.heap.unwrap_or(otherwise.heap);
    let slab_size = arguments.slab_size.unwrap_or(otherwise.slab_size);
    if heap > MAX_HEAP {
        let (heap, most) = (grouped(heap as u64), grouped(MAX_HEAP as u64));
        return Err(Stop::Usage(format!("a heap of {heap} bytes is too large; slabfit's heaps have {most} at most")));
    }
    let placement = arguments.placement.map_or(otherwise.placement, Placement::from);
    Ok(Ground { heap: heap.next_multiple_of(sys::page_size()), slab_size, placement })
}

/// What a trace is, in one line.
#[must_use]
pub fn headline(recording: &Recording) -> String {
    let trace = &recording.trace;
    let (operations, objects) = (grouped(trace.operations().len() as u64), grouped(trace.objects() as u64));
    let peak = grouped(u64::try_from(trace.peak_bytes()).unwrap_or(u64::MAX));
    let whole = format!("{operations} operations, {objects} objects, {peak} bytes live at the peak");
    match trace.recorded() {
        None => format!("{}: {whole}", recording.source.name()),
        Some(Recorded { setup, ended, .. }) => {
            let end = if *ended { "to its exit" } else { "cut short: it did not come to its exit" };
            format!("{}[{}]: {whole}; recorded {end}", setup.program, setup.process)
        }
    }
}

fn people(
    recording: &Recording,
    ground: Ground,
    same: bool,
    replayed: &ExactReplay,
    out: &mut dyn Write,
) -> io::Result<()> {
    let ExactReplay { operations, time, failed, skipped, compared, difference, stats } = replayed;
    let Ground { heap, slab_size, placement } = ground;
    let (heap, slab_size, placement) = (grouped(heap as u64), grouped(slab_size as u64), name(placement));
    let as_recorded = if same { ", as recorded" } else { "" };
    writeln!(out, "{}", headline(recording))?;
    writeln!(out, "  on a heap of {heap} bytes, slab size {slab_size}, {placement}{as_recorded}")?;
    let (done, speed) = (grouped(*operations as u64), per_operation(*time, *operations as u64));
    writeln!(out, "  {done} operations replayed, {speed} ns each; requests: {}", reasons(failed))?;
    if let Some(skipped) = left_out(*skipped) {
        writeln!(out, "  {skipped}")?;
    }
    for (name, figures) in [("slab", &stats.slab), ("blocks", &stats.blocks)] {
        writeln!(out, "  {name}: {}", segment(figures))?;
    }
    if ground.placement == Placement::General {
        writeln!(out, "  {}", of_slots(stats))?;
    }
    match difference {
        Some(difference) => writeln!(out, "DIFFERS {difference}"),
        None if same => writeln!(out, "every address is the recorded one: {} compared", grouped(*compared)),
        None => writeln!(out, "no address was compared: {}", why_not(&recording.trace)),
    }
}

fn why_not(trace: &Trace) -> &'static str {
    if trace.recorded().is_some() { "the heap is not the recorded one" } else { "the trace has none" }
}

fn segment(stats: &SegmentStats) -> String {
    let [peak, live, objects, free, blocks] =
        [stats.peak_bytes, stats.live_bytes, stats.live_objects, stats.largest_free, stats.free_blocks]
            .map(|figure| grouped(figure as u64));
    format!(
        "{peak} bytes at the peak; at the end {live} in {objects} objects, {blocks} free blocks, the largest of {free}"
    )
}

/// What the size classes have, whose runs are blocks.
#[must_use]
pub fn of_slots(stats: &Stats) -> String {
    let Slots { runs, slots, live_objects, allocs, .. } = Slots::of(stats);
    let [runs, slots, live] = [runs, slots, live_objects].map(|figure| grouped(figure as u64));
    format!("size classes: {} requests; at the end {live} of {slots} slots are in use, in {runs} runs", grouped(allocs))
}

/// The figures of [`of_slots`] as JSON.
#[must_use]
pub fn slot_figures(stats: &Stats) -> Value {
    let Slots { runs, slots, live_objects, allocs, .. } = Slots::of(stats);
    json!({"runs": runs, "slots": slots, "live_objects": live_objects, "allocs": allocs})
}

fn machine(recording: &Recording, ground: Ground, same: bool, replayed: &ExactReplay) -> Value {
    let ExactReplay { operations, time, failed, skipped, compared, difference, stats } = replayed;
    let difference = difference
        .as_ref()
        .map(|difference| json!({"call": difference.call, "recorded": difference.recorded, "here": difference.here}));
    json!({
        "trace": about(recording),
        "heap": ground.heap,
        "slab_size": ground.slab_size,
        "placement": ground.placement.word(),
        "as_recorded": same,
        "operations_replayed": operations,
        "nanoseconds": u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
        "failed": failed,
        "skipped": skipped,
        "compared": compared,
        "difference": difference,
        "slab": figures(&stats.slab),
        "blocks": figures(&stats.blocks),
        "classes": slot_figures(stats),
        "spilled": stats.spilled,
    })
}

/// What a trace is, for machines.
#[must_use]
pub fn about(recording: &Recording) -> Value {
    let trace = &recording.trace;
    let recorded = trace.recorded().map(|recorded| {
        let setup = &recorded.setup;
        json!({
            "program": setup.program,
            "pid": setup.process,
            "heap": setup.heap,
            "slab_size": setup.slab_size,
            "placement": setup.placement.word(),
            "to_its_exit": recorded.ended,
        })
    });
    json!({
        "name": recording.source.name(),
        "operations": trace.operations().len(),
        "objects": trace.objects(),
        "peak_bytes": u64::try_from(trace.peak_bytes()).unwrap_or(u64::MAX),
        "recorded": recorded,
    })
}

fn figures(stats: &SegmentStats) -> Value {
    json!({
        "size": stats.size,
        "peak_bytes": stats.peak_bytes,
        "peak_objects": stats.peak_objects,
        "live_bytes": stats.live_bytes,
        "live_objects": stats.live_objects,
        "largest_free": stats.largest_free,
        "free_blocks": stats.free_blocks,
        "allocs": stats.allocs,
    })
}
