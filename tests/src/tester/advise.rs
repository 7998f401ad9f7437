//! `tester advise`: the placement, the slab size and the smallest heap with which a program would have been served to its end.
//!
//! No slab, and every slab size that may suit the trace, is tried with every placement, and for each the smallest heap is
//! searched by halving. That a heap serves does not promise that every larger one does (a larger one places differently):
//! what is found is a heap that did serve, next to one smaller by the search's step that did not.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, Write};
use std::thread;

use indicatif::ProgressBar;
use serde_json::{Value, json};
use slabfit::MAX_HEAP;

use crate::arena::bookkeeping_for;
use crate::model::Placement;
use crate::tester::extension::Event;
use crate::tester::recordings::Recording;
use crate::tester::replay_command::{about, headline};
use crate::tester::replay_exact::{ExactReplay, Until, recorded_ground, replay_exactly};
use crate::tester::replay_heap::{Ground, PLACEMENTS, config, name};
use crate::tester::report::{Table, grouped, percent};
use crate::tester::run::{Stop, bar};
use crate::tester::sys;
use crate::tester::trace::{Operation, Trace};
use crate::tester::trace_args::AdviseArguments;

/// Slab sizes that are tried, beside none and the recorded one: those of which most bytes lived at once.
const TRIED: usize = 8;

/// No heap larger than so many times the peak is looked at.
const MOST: u64 = 64;

/// What each slab size comes to with a placement.
type Found = (Placement, Vec<Advice>);

/// What a slab size and a placement come to.
struct Advice {
    slab_size: usize,
    /// The smallest heap that served; none below the limit.
    heap: Option<Served>,
}

struct Served {
    bytes: usize,
    replay: ExactReplay,
}

/// Prints which heap would have served a trace.
///
/// # Errors
/// Why nothing was printed.
pub fn run(arguments: &AdviseArguments, out: &mut dyn Write) -> Result<(), Stop> {
    let recording = Recording::named(&arguments.trace.trace).map_err(Stop::Load)?;
    let trace = &recording.trace;
    let asked = &arguments.slab_size;
    let sizes = if asked.is_empty() { slab_sizes(trace) } else { asked.clone() };
    let bar = bar(&recording.source.name(), (PLACEMENTS.len() * sizes.len()) as u64);
    let search = |placement| -> io::Result<Found> {
        let tried = sizes.iter().map(|&size| advice(trace, size, placement, &bar));
        Ok((placement, tried.collect::<io::Result<_>>()?))
    };
    let found: io::Result<Vec<Found>> = thread::scope(|scope| {
        let searches = PLACEMENTS.map(|placement| scope.spawn(move || search(placement)));
        let panicked = |_| Err(io::Error::other("the search panicked"));
        searches.into_iter().map(|search| search.join().unwrap_or_else(panicked)).collect()
    });
    bar.finish_and_clear();
    let found = found.map_err(|error| Stop::Usage(format!("cannot make a heap: {error}")))?;
    if arguments.trace.json {
        writeln!(out, "{}", machine(&recording, &found))?;
    } else {
        people(&recording, &found, out)?;
    }
    Ok(out.flush()?)
}

/// No slab, the recorded slab size, or 64, and those sizes of which most bytes live at once.
fn slab_sizes(trace: &Trace) -> Vec<usize> {
    let recorded = recorded_ground(trace).map_or(64, |ground| ground.slab_size);
    let mut sizes = if recorded == 0 { vec![0] } else { vec![0, recorded] };
    let mut peaks: Vec<_> = peaks(trace).into_iter().collect();
    peaks.sort_by_key(|&(size, count)| (Reverse(size.saturating_mul(count)), size));
    for (size, _) in peaks.into_iter().take(TRIED) {
        match usize::try_from(size) {
            Ok(size) if !sizes.contains(&size) => sizes.push(size),
            _ => {}
        }
    }
    sizes
}

/// For each size, how many objects of it lived at once. One large object is a size too: without it the slab's quarter
/// would stand empty.
fn peaks(trace: &Trace) -> HashMap<u64, u64> {
    let mut sizes = vec![0; trace.objects()];
    let mut counts = HashMap::<u64, (u64, u64)>::new();
    for operation in trace.operations() {
        let (object, size) = match *operation {
            Operation::Allocate { object, size } | Operation::Reallocate { object, size } => (object, size),
            Operation::Free { object } => (object, 0),
        };
        let old = core::mem::replace(&mut sizes[object as usize], size);
        if let Some((live, _)) = counts.get_mut(&old) {
            *live = live.saturating_sub(1);
        }
        if size > 0 {
            let (live, peak) = counts.entry(size).or_default();
            *live += 1;
            *peak = (*peak).max(*live);
        }
    }
    counts.into_iter().map(|(size, (_, peak))| (size, peak)).collect()
}

fn advice(trace: &Trace, slab_size: usize, placement: Placement, bar: &ProgressBar) -> io::Result<Advice> {
    let heap = smallest(trace, |heap| {
        let replay = replay_exactly(trace, Ground { heap, slab_size, placement }, Until::Failure, &|_| ())?;
        Ok((replay.failed.total() == 0).then_some(Served { bytes: heap, replay }))
    })?;
    bar.inc(1);
    Ok(Advice { slab_size, heap })
}

/// The smallest heap that serves, to a thousandth of the peak or a page.
fn smallest(trace: &Trace, serve: impl Fn(usize) -> io::Result<Option<Served>>) -> io::Result<Option<Served>> {
    let page = sys::page_size();
    let peak = u64::try_from(trace.peak_bytes()).unwrap_or(u64::MAX).max(1);
    let limit = usize::try_from(peak.saturating_mul(MOST)).unwrap_or(MAX_HEAP).clamp(16 * page, MAX_HEAP);
    let step = usize::try_from(peak / 1000).unwrap_or(MAX_HEAP).next_multiple_of(page).max(page);
    // In steps: the largest heap known to fail, and the smallest known to serve.
    let mut fails = usize::try_from(peak).unwrap_or(MAX_HEAP) / step;
    let mut serves = loop {
        let next = (fails * 2).max(1);
        if next.saturating_mul(step) > limit.saturating_mul(2) {
            return Ok(None);
        }
        match serve(next * step)? {
            Some(served) => break served,
            None => fails = next,
        }
    };
    while serves.bytes / step - fails > 1 {
        let middle = fails.midpoint(serves.bytes / step);
        match serve(middle * step)? {
            Some(served) => serves = served,
            None => fails = middle,
        }
    }
    Ok(Some(serves))
}

/// The slab size with which the smallest heap serves a trace, and that heap's bytes.
///
/// # Errors
/// The system has no memory for a heap.
pub fn best_of(trace: &Trace, placement: Placement) -> io::Result<Option<(usize, usize)>> {
    let hidden = ProgressBar::hidden();
    let found = slab_sizes(trace).into_iter().map(|size| advice(trace, size, placement, &hidden));
    let found: Vec<_> = found.collect::<Result<_, _>>()?;
    Ok(best(&found).map(|(slab_size, served)| (slab_size, served.bytes)))
}

/// What serves in the smallest heap; of equals the first.
fn best(found: &[Advice]) -> Option<(usize, &Served)> {
    let served = found.iter().filter_map(|advice| Some((advice.slab_size, advice.heap.as_ref()?)));
    served.min_by_key(|(_, served)| served.bytes)
}

fn people(recording: &Recording, found: &[Found], out: &mut dyn Write) -> io::Result<()> {
    let trace = &recording.trace;
    writeln!(out, "{}", headline(recording))?;
    for (placement, found) in found {
        writeln!(out, "{}: the smallest heap for each slab size", name(*placement))?;
        let mut table = Table::new(["slab size", "heap", "of peak", "slots used", "of", "spilled", "blocks"]);
        found.iter().for_each(|advice| table.row(row(trace, advice)));
        table.write(out)?;
    }
    let refused = refused(trace);
    if refused > 0 {
        writeln!(out, "{} requests got no memory when it was recorded, and are not counted", grouped(refused))?;
    }
    let best = found.iter().filter_map(|(placement, found)| Some((*placement, best(found)?)));
    match best.min_by_key(|(_, (_, served))| served.bytes) {
        None => writeln!(out, "no heap of up to {MOST} times the peak serves it"),
        Some((placement, (slab_size, Served { bytes, .. }))) => {
            let (heap, placement) = (bytes.div_ceil(1024), placement.word());
            writeln!(out, "best: SLABFIT_HEAP={heap}K SLABFIT_SLAB={slab_size} SLABFIT_PLACEMENT={placement}")
        }
    }
}

fn row(trace: &Trace, Advice { slab_size, heap }: &Advice) -> [String; 7] {
    let size = grouped(*slab_size as u64);
    let Some(Served { bytes, replay }) = heap else {
        let none = || "-".to_owned();
        return [size, format!("over {MOST} peaks"), none(), none(), none(), none(), none()];
    };
    let (slab, blocks) = (&replay.stats.slab, &replay.stats.blocks);
    let slots = slab.size.checked_div(slab_size.next_multiple_of(slabfit::GRANULE)).unwrap_or(0);
    [
        size,
        grouped(*bytes as u64),
        of_peak(trace, *bytes),
        grouped(slab.peak_objects as u64),
        grouped(slots as u64),
        grouped(replay.stats.spilled),
        grouped(blocks.peak_objects as u64),
    ]
}

fn of_peak(trace: &Trace, bytes: usize) -> String {
    format!("{} %", percent(bytes as u64, u64::try_from(trace.peak_bytes()).unwrap_or(u64::MAX)))
}

/// Requests that got no memory when the trace was recorded.
fn refused(trace: &Trace) -> u64 {
    let events = trace.recorded().map_or(&[][..], |recorded| &recorded.events);
    let refused = |event: &Event| matches!(event, Event::NotAllocated { .. } | Event::NotReallocated { .. });
    events.iter().filter(|(_, event)| refused(event)).count() as u64
}

fn machine(recording: &Recording, found: &[Found]) -> Value {
    let served = |placement: Placement, slab_size: usize, Served { bytes, replay }: &Served| {
        json!({
            "slab_size": slab_size,
            "heap": bytes,
            "bookkeeping": bookkeeping_for(*bytes, config(slab_size), placement),
            "slots_peak": replay.stats.slab.peak_objects,
            "spilled": replay.stats.spilled,
            "blocks_peak": replay.stats.blocks.peak_objects,
        })
    };
    let advice = |placement: Placement, advice: &Advice| match &advice.heap {
        Some(heap) => served(placement, advice.slab_size, heap),
        None => json!({"slab_size": advice.slab_size, "heap": null}),
    };
    let placements = found.iter().map(|&(placement, ref found)| {
        json!({
            "placement": placement.word(),
            "tried": found.iter().map(|tried| advice(placement, tried)).collect::<Vec<_>>(),
            "best": best(found).map(|(slab_size, heap)| served(placement, slab_size, heap)),
        })
    });
    json!({
        "trace": about(recording),
        "not_served_when_recorded": refused(&recording.trace),
        "advice": placements.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_tried_by_the_bytes_that_live_at_once() {
        let text = b"a 0 10\na 1 10\na 2 300\nf 2\na 3 300\na 4 300\na 5 7\nf 5\nr 0 20\nr 1 20\n";
        let trace = Trace::decode(text, 1000).unwrap();
        assert_eq!(peaks(&trace), HashMap::from([(7, 1), (10, 2), (20, 2), (300, 2)]));
        assert_eq!(slab_sizes(&trace), [0, 64, 300, 20, 10, 7]);
    }

    #[test]
    fn the_smallest_heap_is_found_where_it_is() {
        let trace = Trace::decode(b"a 0 1000000\n", 100).unwrap();
        let page = sys::page_size();
        let serve = |ground: usize| {
            let ground = Ground { heap: ground, slab_size: 64, placement: Placement::FirstFit };
            replay_exactly(&trace, ground, Until::Failure, &|_| ())
                .map(|replay| (replay.failed.total() == 0).then_some(Served { bytes: ground.heap, replay }))
        };
        let found = smallest(&trace, serve).unwrap().unwrap();
        // Three quarters of it hold the object and its header.
        assert_eq!(found.bytes, (1_000_016usize * 4).div_ceil(3).next_multiple_of(page));
    }
}
