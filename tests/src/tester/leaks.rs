//! `tester leaks`: what a program never freed, by size and in the order of the calls.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};
use slabfit_linux::Slots;
use slabfit_linux::text::Count;

use crate::model::Placement;
use crate::tester::recordings::Recording;
use crate::tester::replay_command::{about, headline};
use crate::tester::replay_exact::{Until, recorded_ground, replay_exactly};
use crate::tester::report::{Table, grouped};
use crate::tester::run::Stop;
use crate::tester::sites::Sites;
use crate::tester::trace::{Operation, Trace};
use crate::tester::trace_args::LeaksArguments;

/// An object that was never freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leak {
    /// The object, by the trace's count.
    object: u32,
    /// The operation that made it, counted from 0, and the last that resized it.
    made: usize,
    resized: Option<usize>,
    /// Bytes asked for last.
    size: u64,
}

/// All of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    size: u64,
    count: u64,
    bytes: u128,
}

/// All that one call has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Made {
    site: u32,
    count: u64,
    bytes: u128,
}

/// Prints what was never freed. That there is some is no failure: a program's exit frees it.
///
/// # Errors
/// Why nothing was printed.
pub fn run(arguments: &LeaksArguments, out: &mut dyn Write) -> Result<(), Stop> {
    let recording = Recording::named(&arguments.trace.trace).map_err(Stop::Load)?;
    let leaks = leaks(&recording.trace);
    let groups = by_size(&leaks);
    let slots = slots(&recording.trace)?;
    if arguments.trace.json {
        writeln!(out, "{}", machine(&recording, &leaks, &groups, slots))?;
    } else {
        people(&recording, &leaks, &groups, arguments.top, out)?;
        if let Some(Slots { live_objects: live @ 1.., runs, .. }) = slots {
            let (live, runs) = (grouped(live as u64), Count(runs as u64, "run"));
            writeln!(out, "{live} of them are slots of size classes, and keep {runs} from being free memory")?;
        }
    }
    Ok(out.flush()?)
}

/// What the size classes have at the end, where the trace was recorded with some. One slot keeps its whole run.
fn slots(trace: &Trace) -> Result<Option<Slots>, Stop> {
    let Some(ground) = recorded_ground(trace).filter(|ground| ground.placement == Placement::General) else {
        return Ok(None);
    };
    let replayed = replay_exactly(trace, ground, Until::Emptied, &|_| ());
    let replayed = replayed.map_err(|error| Stop::Usage(format!("cannot make the heap: {error}")))?;
    Ok(Some(Slots::of(&replayed.stats)))
}

/// In the order in which they were made.
fn leaks(trace: &Trace) -> Vec<Leak> {
    let mut live: Vec<Option<Leak>> = vec![None; trace.objects()];
    for (index, operation) in trace.operations().iter().enumerate() {
        match *operation {
            Operation::Allocate { object, size } => {
                live[object as usize] = Some(Leak { object, made: index, resized: None, size });
            }
            Operation::Reallocate { object, size } => {
                let resize = |leak| Leak { resized: Some(index), size, ..leak };
                live[object as usize] = live[object as usize].map(resize);
            }
            Operation::Free { object } => live[object as usize] = None,
        }
    }
    live.into_iter().flatten().collect()
}

/// The sizes, those with most bytes first.
fn by_size(leaks: &[Leak]) -> Vec<Group> {
    let mut counts = BTreeMap::<u64, u64>::new();
    leaks.iter().for_each(|leak| *counts.entry(leak.size).or_default() += 1);
    let group = |(size, count)| Group { size, count, bytes: u128::from(size) * u128::from(count) };
    let mut groups: Vec<_> = counts.into_iter().map(group).collect();
    groups.sort_by_key(|group| Reverse(group.bytes));
    groups
}

/// The calls that made them, those with most bytes first; none where the recording has no call sites.
fn by_site(trace: &Trace, leaks: &[Leak]) -> Vec<Made> {
    let mut sites = BTreeMap::<u32, Made>::new();
    for leak in leaks {
        if let Some(site) = recorded(trace, leak.made, |note| note.site) {
            let made = sites.entry(site).or_insert(Made { site, count: 0, bytes: 0 });
            made.count += 1;
            made.bytes += u128::from(leak.size);
        }
    }
    let mut sites: Vec<_> = sites.into_values().collect();
    sites.sort_by_key(|made| Reverse(made.bytes));
    sites
}

/// Prints them, a line for each return address.
fn people_by_site(trace: &Trace, leaks: &[Leak], top: usize, out: &mut dyn Write) -> io::Result<()> {
    let (Some(recorded), made) = (trace.recorded(), by_site(trace, leaks)) else { return Ok(()) };
    if made.is_empty() {
        return Ok(());
    }
    writeln!(out, "by the call that made them, most bytes first")?;
    let sites = Sites::of(recorded);
    for made in made.iter().take(top) {
        let bytes = u64::try_from(made.bytes).unwrap_or(u64::MAX);
        writeln!(out, "  {} bytes in {}", grouped(bytes), objects(made.count))?;
        for frame in sites.frames(made.site) {
            writeln!(out, "    {frame}")?;
        }
    }
    more(made.len(), top, out)
}

fn objects(count: u64) -> String {
    format!("{} {}", grouped(count), if count == 1 { "object" } else { "objects" })
}

fn total(groups: &[Group]) -> u64 {
    u64::try_from(groups.iter().map(|group| group.bytes).sum::<u128>()).unwrap_or(u64::MAX)
}

fn people(recording: &Recording, leaks: &[Leak], groups: &[Group], top: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", headline(recording))?;
    let (count, bytes) = (grouped(leaks.len() as u64), grouped(total(groups)));
    if leaks.is_empty() {
        return writeln!(out, "everything was freed");
    }
    writeln!(out, "never freed: {count} objects, {bytes} bytes")?;
    writeln!(out, "by size, most bytes first")?;
    let mut table = Table::new(["size", "objects", "bytes"]);
    for group in groups.iter().take(top) {
        let bytes = u64::try_from(group.bytes).unwrap_or(u64::MAX);
        table.row([group.size, group.count, bytes].map(grouped));
    }
    table.write(out)?;
    more(groups.len(), top, out)?;
    people_by_site(&recording.trace, leaks, top, out)?;
    writeln!(out, "in the order of the calls")?;
    let mut table = Table::new(["operation", "call", "size", "resized at", "thread", "offset"]);
    leaks.iter().take(top).for_each(|leak| table.row(row(&recording.trace, leak)));
    table.write(out)?;
    more(leaks.len(), top, out)
}

fn more(all: usize, top: usize, out: &mut dyn Write) -> io::Result<()> {
    match all.saturating_sub(top) {
        0 => Ok(()),
        rest => writeln!(out, "  and {} more (--top shows them)", grouped(rest as u64)),
    }
}

fn row(trace: &Trace, leak: &Leak) -> [String; 6] {
    let number = |index: usize| grouped(index as u64 + 1);
    let thread = recorded(trace, leak.made, |note| Some(note.thread));
    let place = recorded(trace, leak.resized.unwrap_or(leak.made), |note| note.at);
    [
        number(leak.made),
        trace.written(leak.made),
        grouped(leak.size),
        leak.resized.map_or("-".to_owned(), number),
        thread.map_or("-".to_owned(), |thread| thread.to_string()),
        place.map_or("-".to_owned(), |place| place.to_string()),
    ]
}

/// Something that a recording notes of an operation.
fn recorded<T>(
    trace: &Trace,
    index: usize,
    what: impl FnOnce(&crate::tester::extension::Note) -> Option<T>,
) -> Option<T> {
    trace.recorded().and_then(|recorded| what(&recorded.notes[index]))
}

fn machine(recording: &Recording, leaks: &[Leak], groups: &[Group], slots: Option<Slots>) -> Value {
    let trace = &recording.trace;
    let sites = trace.recorded().map(Sites::of);
    let frames = |site| sites.as_ref().map(|sites| sites.frames(site)).unwrap_or_default();
    let made = |made: &Made| json!({"stack": frames(made.site), "objects": made.count, "bytes": made.bytes as u64});
    let group = |group: &Group| json!({"size": group.size, "objects": group.count});
    let leak = |leak: &Leak| {
        json!({
            "operation": leak.made + 1,
            "id": trace.id(leak.object),
            "size": leak.size,
            "resized_at": leak.resized.map(|index| index + 1),
            "thread": recorded(trace, leak.made, |note| Some(note.thread)),
            "offset": recorded(trace, leak.resized.unwrap_or(leak.made), |note| note.at),
        })
    };
    json!({
        "trace": about(recording),
        "objects": leaks.len(),
        "bytes": total(groups),
        "slots": slots.map(|slots| json!({"objects": slots.live_objects, "runs": slots.runs})),
        "by_size": groups.iter().map(group).collect::<Vec<_>>(),
        "by_site": by_site(trace, leaks).iter().map(made).collect::<Vec<_>>(),
        "by_call": leaks.iter().map(leak).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_has_its_last_size_and_its_first_call() {
        let trace = Trace::decode(b"a 5 10\na 6 20\nr 5 30\nf 6\na 6 30\na 7 1\nf 7\n", 100).unwrap();
        let leaks = leaks(&trace);
        let first = Leak { object: 0, made: 0, resized: Some(2), size: 30 };
        assert_eq!(leaks, [first, Leak { object: 2, made: 4, resized: None, size: 30 }]);
        assert_eq!(by_size(&leaks), [Group { size: 30, count: 2, bytes: 60 }]);
    }

    #[test]
    fn sizes_come_in_the_order_of_their_bytes() {
        let leak = |size| Leak { object: 0, made: 0, resized: None, size };
        let sizes: Vec<_> = by_size(&[1, 1, 1, 2, 100, 1].map(leak)).iter().map(|group| group.size).collect();
        assert_eq!(sizes, [100, 1, 2]);
    }
}
