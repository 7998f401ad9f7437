//! A replay as lines of a terminal: what stands where, and what kind of thing it is. How that looks is the terminal's.

use slabfit::{Segment, SegmentStats, Stats};
use slabfit_linux::text::{Bytes, Count, Grouped, Share};
use slabfit_linux::{Cell, Cells, Slots};

use crate::any_heap;
use crate::tester::replay_steps::SteppedReplay;
use crate::tester::window::GRANULE;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A headline.
    Head,
    /// Figures and what they are.
    Text,
    /// Words that are not needed twice.
    Hint,
    /// Cells of slots, of this [fullness](Cell::fullness).
    Slab(u8),
    /// Cells of blocks, of this fullness.
    Blocks(u8),
    /// The cell that the rover stands at.
    Rover,
}

/// Text of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What it is.
    pub kind: Kind,
    /// The characters.
    pub text: String,
}

/// One line, from left to right.
pub type Line = Vec<Span>;

/// The smallest terminal that there is something to see in.
const SMALLEST: (usize, usize) = (32, 12);
/// Rows of cells, at least: where there are no more, no text goes on in a second line.
const FEWEST: usize = 6;
/// From nothing in use to nothing free.
const SHADES: [char; 5] = ['·', '░', '▒', '▓', '█'];
const CURVE: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What was seen so far, for the curves: the part of the trace that was done, bytes in use, percent of fragmentation.
pub type History = Vec<(f64, f64, f64)>;

/// The heap and its figures, on a screen of so many columns and rows.
pub fn screen(
    replay: &SteppedReplay<'_>,
    history: &mut History,
    (columns, rows): (usize, usize),
    state: &str,
) -> Vec<Line> {
    let heap = replay.heap();
    let small = columns < SMALLEST.0 || rows < SMALLEST.1;
    let Some(stats) = heap.stats().ok().filter(|_| !small) else {
        return vec![one(Kind::Text, "The terminal is too small.", columns)];
    };
    let ((done, all), slots, rover) = (replay.progress(), Slots::of(&stats), heap.rover());
    let share_done = done as f64 / all.max(1) as f64;
    let mark = if rover.is_some() { ", | rover" } else { "" };
    let (slab, blocks) = (heap.segment(Segment::Slab), heap.segment(Segment::Blocks));
    let texts = |cell: &str| {
        let cell = format!("a cell is {cell}: · free, ░▒▓ some to most, █ all of it in use{mark}");
        [
            (Kind::Head, replay.title()),
            (Kind::Text, replay.note()),
            (Kind::Head, slab_figures(&stats.slab, heap.slab_size())),
            (Kind::Head, block_figures(&stats.blocks, slots)),
            (Kind::Hint, cell),
            (Kind::Hint, format!("{state} · space: pause, + -: rate, right: a step, q: quit")),
        ]
    };
    // How large a cell is follows from how many lines the texts take: its size is taken for one of many digits.
    let around = texts("99.9 KiB").iter().map(|(_, text)| wrapped(text, columns).len()).sum::<usize>() + BARS;
    let wraps = around + FEWEST <= rows;
    let share = share(slab.len(), blocks.len(), columns, rows - if wraps { around } else { TEXTS + BARS });
    let text = |(kind, text): &(Kind, String)| match wraps {
        true => wrapped(text, columns).into_iter().map(|text| one(*kind, text, columns)).collect(),
        false => vec![one(*kind, text, columns)],
    };
    let [title, note, of_slab, of_blocks, cell, keys] = texts(&Bytes(share as u64).to_string());

    let mut lines: Vec<Line> = [&title, &note].into_iter().flat_map(text).collect();
    lines.push(progress(share_done, columns));
    lines.extend(text(&of_slab));
    let cells = Cells::new(any_heap::slots(heap, &stats.slab), slab, share);
    lines.extend(grid(cells, Kind::Slab, columns, None));
    lines.extend(text(&of_blocks));
    let rover = rover.map(|rover| (rover - blocks.start) / share);
    let cells = Cells::new(heap.blocks_in(Segment::Blocks), blocks, share);
    lines.extend(grid(cells, Kind::Blocks, columns, rover));
    lines.extend(curves(history, share_done, &stats, columns));
    lines.extend([&cell, &keys].into_iter().flat_map(text));
    lines
}

/// The curves of bytes in use and of fragmentation, up to now.
fn curves(history: &mut History, share_done: f64, stats: &Stats, columns: usize) -> [Line; 2] {
    let (free, used) = (stats.blocks.free_bytes as u64, Slots::of(stats).bytes_in_use(stats) as f64);
    let outside = (stats.blocks.free_bytes - stats.blocks.largest_free) as u64;
    if history.last().is_none_or(|&(at, _, _)| at < share_done) {
        history.push((share_done, used, outside as f64 / (free as f64).max(1.0)));
    }
    let most = history.iter().map(|&(_, used, _)| used).fold(1.0, f64::max);
    let in_use = format!("in use {:>10} ", Bytes(used as u64).to_string());
    let fragmentation = format!("fragment. {:>7} ", Share(outside, free).to_string());
    [
        curve(&in_use, history.iter().map(|&(at, used, _)| (at, used / most)), columns),
        curve(&fragmentation, history.iter().map(|&(at, _, part)| (at, part)), columns),
    ]
}

/// Texts: title, note, the slab's, the blocks', two legends; and lines of no text and no cells: progress, and two curves.
const TEXTS: usize = 6;
const BARS: usize = 3;

/// A text in lines of at most so many characters, which end where a word does.
fn wrapped(text: &str, columns: usize) -> Vec<&str> {
    let (mut lines, mut rest) = (Vec::new(), text);
    while let Some((end, next)) = rest.char_indices().nth(columns) {
        // A word longer than a line is cut.
        let space = rest[..end + next.len_utf8()].rfind(' ').filter(|&space| space > 0);
        let (line, more) = rest.split_at(space.unwrap_or(end));
        lines.push(line);
        rest = more.trim_start();
    }
    lines.push(rest);
    lines
}

/// A line of one kind, as much of it as there is room for.
fn one(kind: Kind, text: &str, columns: usize) -> Line {
    vec![Span { kind, text: text.chars().take(columns).collect() }]
}

fn slab_figures(slab: &SegmentStats, slab_size: usize) -> String {
    let (used, all) = (slab.live_objects as u64, (slab.live_objects + slab.free_blocks) as u64);
    let (size, slots) = (Bytes(slab.size as u64), Grouped(all));
    format!("slab {size}: {} of {slots} slots of {slab_size} in use, {}", Grouped(used), Share(used, all))
}

fn block_figures(stats: &SegmentStats, slots: Slots) -> String {
    let [size, free, largest] = [stats.size, stats.free_bytes, stats.largest_free].map(|n| Bytes(n as u64));
    let (blocks, holes) = (Grouped(stats.live_objects as u64), Count(stats.free_blocks as u64, "hole"));
    let used = Share(stats.live_bytes as u64, stats.size as u64);
    let all = format!("blocks {size}: {blocks} take {used}; {free} free in {holes}, largest {largest}");
    match slots.runs {
        0 => all,
        runs => {
            let (live, count) = (Grouped(slots.live_objects as u64), Grouped(slots.slots as u64));
            format!("{all}; {}: {live} of {count} slots", Count(runs as u64, "run"))
        }
    }
}

fn progress(part: f64, columns: usize) -> Line {
    let done = (part * columns as f64) as usize;
    let bar = |shade: char, count: usize| std::iter::repeat_n(shade, count).collect::<String>();
    vec![Span { kind: Kind::Text, text: bar('━', done) }, Span { kind: Kind::Hint, text: bar('─', columns - done) }]
}

/// Bytes of a cell, the fewest with which both segments find room in so many rows of their own.
fn share(slab: usize, blocks: usize, columns: usize, rows: usize) -> usize {
    let fits = |share: &usize| slab.div_ceil(columns * share) + blocks.div_ceil(columns * share) <= rows;
    let first = (slab + blocks).div_ceil(columns * rows).next_multiple_of(GRANULE);
    // A row more for each segment is all that rounding can take: there are two rows at least.
    (first..).step_by(GRANULE).find(fits).unwrap_or(first)
}

fn grid(cells: impl Iterator<Item = Cell>, kind: fn(u8) -> Kind, columns: usize, rover: Option<usize>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (index, cell) in cells.enumerate() {
        if index % columns == 0 {
            lines.push(Line::new());
        }
        let (fullness, is_rover) = (cell.fullness(), rover == Some(index));
        // Slots of runs look as those of the slab do.
        let of_slots = cell.slots > cell.used / 2;
        let kind = match is_rover {
            true => Kind::Rover,
            false if of_slots => Kind::Slab(fullness),
            false => kind(fullness),
        };
        let shade = if is_rover { '|' } else { SHADES[usize::from(fullness)] };
        let Some(line) = lines.last_mut() else { continue };
        match line.last_mut() {
            Some(span) if span.kind == kind => span.text.push(shade),
            _ => line.push(Span { kind, text: shade.into() }),
        }
    }
    lines
}

/// Values from 0 to 1 over the trace, the largest of those that share a column.
fn curve(label: &str, points: impl Iterator<Item = (f64, f64)>, columns: usize) -> Line {
    let width = columns - label.len();
    let mut highest: Vec<Option<f64>> = vec![None; width];
    for (at, value) in points {
        let place = &mut highest[((at * width as f64) as usize).min(width - 1)];
        *place = Some(place.map_or(value, |other: f64| other.max(value)));
    }
    let mark = |value: f64| CURVE[((value * CURVE.len() as f64) as usize).min(CURVE.len() - 1)];
    let text = highest.into_iter().map(|value| value.map_or(' ', mark)).collect();
    vec![Span { kind: Kind::Hint, text: label.to_owned() }, Span { kind: Kind::Text, text }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tester::picture_args::TraceOnHeap;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        replayed: TraceOnHeap,
    }

    fn text(line: &super::Line) -> String {
        line.iter().map(|span| span.text.as_str()).collect()
    }

    /// The screen after so many operations of git log in 256 KiB.
    fn seen(operations: usize, size: (usize, usize)) -> Vec<super::Line> {
        let arguments = Line::parse_from(["tester", "gitlog", "--heap", "256K"]).replayed;
        let recording = arguments.load().unwrap();
        let mut replay = SteppedReplay::begin(&arguments, &recording).unwrap();
        replay.advance(operations).unwrap();
        screen(&replay, &mut History::new(), size, "state")
    }

    #[test]
    fn it_fills_the_terminal_and_never_more() {
        for size in [(32, 12), (33, 13), (80, 24), (200, 60), (500, 200)] {
            let lines = seen(1000, size);
            assert!(lines.len() <= size.1, "{} lines for {size:?}", lines.len());
            assert!(lines.iter().all(|line| text(line).chars().count() <= size.0), "{size:?}");
        }
        assert!(seen(1000, (80, 24)).len() >= 22);
        assert_eq!(text(&seen(1000, (31, 12))[0]), "The terminal is too small.");
    }

    #[test]
    fn no_word_is_cut_off_where_there_are_lines_for_all() {
        for columns in (40..=200).step_by(8) {
            let lines = seen(60_000, (columns, 50));
            let words: Vec<String> =
                lines.iter().flat_map(|line| text(line).split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
            let all = words.join(" ");
            for whole in [
                "after operation 60,000 of 70,951",
                "slots of 64 in use,",
                " free in ",
                "largest",
                "all of it in use, | rover",
                "q: quit",
            ] {
                assert!(all.contains(whole), "no {whole:?} in {columns} columns: {all}");
            }
        }
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrapped("", 3), [""]);
    }

    #[test]
    fn an_empty_heap_is_free_with_the_rover_at_its_start() {
        let lines = seen(0, (64, 30));
        let cells: String = lines
            .iter()
            .flatten()
            .filter(|span| !matches!(span.kind, Kind::Head | Kind::Text | Kind::Hint))
            .map(|span| span.text.as_str())
            .collect();
        assert_eq!(cells.matches('|').count(), 1, "{cells}");
        assert!(cells.chars().all(|shade| shade == '·' || shade == '|'), "{cells}");
        // 256 KiB in 18 rows of 64 cells, of 240 bytes: the slab has 273 and a part of one.
        assert_eq!(cells.chars().position(|shade| shade == '|'), Some(274));
    }

    #[test]
    fn a_full_heap_has_full_cells() {
        let lines = seen(66_000, (80, 24));
        let full = |kind| {
            lines.iter().flatten().filter(|span| span.kind == kind).map(|span| span.text.chars().count()).sum::<usize>()
        };
        assert!(full(Kind::Blocks(4)) > full(Kind::Blocks(0)), "{lines:?}");
    }

    #[test]
    fn both_segments_find_room() {
        for rows in [2, 3, 10, 100] {
            for columns in [32, 80, 333] {
                for heap in [4096, 65_536, 1 << 20, 1 << 30] {
                    let (slab, blocks) = (heap / 4, heap - heap / 4);
                    let share = share(slab, blocks, columns, rows);
                    let taken = slab.div_ceil(columns * share) + blocks.div_ceil(columns * share);
                    assert!(taken <= rows && share % GRANULE == 0, "{heap} bytes on {columns} x {rows}: {share}");
                }
            }
        }
    }
}
