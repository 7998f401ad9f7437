//! How next fit and first fit search the maxima.

use std::fmt::Write;

use slabfit::{Block, FirstFit, GRANULE, Policy, Segment};

use super::{CHUNK, FAN, OneThreadHeap, free, gaps, granule, on_a_heap, rover};

/// Returns for every chunk the size of the largest gap that starts in it, in granules, except for the gap at address `held`;
/// above the numbers the largest of every sixteen, up to a single node.
pub(crate) fn max_tree<P: Policy>(heap: &OneThreadHeap<'_, P>, held: Option<usize>) -> Vec<Vec<usize>> {
    let granules = heap.segment(Segment::Blocks).len() / GRANULE;
    let mut numbers = vec![0; granules / CHUNK + 1];
    for gap in gaps(heap).filter(|block| Some(block.address) != held) {
        let number = &mut numbers[granule(heap, gap.address) / CHUNK];
        *number = (*number).max(gap.size / GRANULE);
    }
    let mut levels = vec![numbers];
    while levels[levels.len() - 1].len() > FAN {
        let below = &levels[levels.len() - 1];
        levels.push(below.chunks(FAN).map(|node| *node.iter().max().expect("a node has a number")).collect());
    }
    levels
}

fn tree_picture(levels: &[Vec<usize>]) -> String {
    let mut text = String::new();
    for (level, numbers) in levels.iter().enumerate() {
        for (node, numbers) in numbers.chunks(FAN).enumerate() {
            let numbers: Vec<_> = numbers.iter().map(|number| format!("{number:>3}")).collect();
            writeln!(text, "level {level}, node {node}: {}", numbers.join(" ")).expect("a String takes all");
        }
    }
    text
}

/// Looks at the rest of a node, from number `index` of `level` on, and writes the step down.
fn look(levels: &[Vec<usize>], level: usize, index: usize, need: usize, how: &str, text: &mut String) -> Option<usize> {
    let numbers = &levels[level];
    let end = ((index / FAN + 1) * FAN).min(numbers.len());
    let found = (index..end).find(|&at| numbers[at] >= need);
    let seen = found.map_or("none".to_owned(), |at| format!("{} at {at}", numbers[at]));
    *text += &format!("  {how} at level {level}, node {}, from {index} on: {seen}\n", index / FAN);
    found
}

/// Finds the first chunk from `chunk` on whose number is at least `need`: up from level 0, then down.
fn search(levels: &[Vec<usize>], chunk: usize, need: usize, text: &mut String) -> Option<usize> {
    let mut index = chunk;
    for level in 0..levels.len() {
        let how = if level == 0 { "look" } else { "up: look" };
        if let Some(at) = look(levels, level, index, need, how, text) {
            return Some(descend(levels, level, at, need, text));
        }
        index = index / FAN + 1;
    }
    None
}

/// Finds the first chunk of all whose number is at least `need`: the first nodes, from level 1 up, then down.
fn search_all(levels: &[Vec<usize>], need: usize, text: &mut String) -> Option<usize> {
    let lowest = 1.min(levels.len() - 1);
    (lowest..levels.len()).find_map(|level| {
        let at = look(levels, level, 0, need, "look", text)?;
        Some(descend(levels, level, at, need, text))
    })
}

fn descend(levels: &[Vec<usize>], level: usize, at: usize, need: usize, text: &mut String) -> usize {
    (0..level)
        .rev()
        .fold(at, |node, level| look(levels, level, node * FAN, need, "down: look", text).expect("its maximum says so"))
}

/// A segment of 25 chunks, full of blocks of 16 granules, of which some are freed.
fn on_a_full_heap<P: Policy>(example: impl FnOnce(&OneThreadHeap<'_, P>)) {
    on_a_heap(32 << 10, |heap: &OneThreadHeap<'_, P>| {
        let blocks: Vec<_> = (0..96).map(|_| heap.alloc(15 * GRANULE).expect("there is room")).collect();
        for freed in [5..6, 20..23, 40..48, 70..71, 80..82] {
            blocks[freed].iter().for_each(|block| free(heap, *block));
        }
        example(heap);
    });
}

pub(crate) fn next_fit_search() -> String {
    let mut text = String::new();
    on_a_full_heap(|heap| {
        text = tree_picture(&max_tree(heap, Some(rover(heap))));
        for granules in [50, 20, 60] {
            text += &next_fit_serves(heap, granules);
        }
    });
    text
}

/// Asks for a block of so many granules, having written down how next fit finds it.
fn next_fit_serves(heap: &OneThreadHeap<'_>, need: usize) -> String {
    let at = granule(heap, rover(heap));
    let mut text = format!("\na block of {need} granules, the rover at {at}, in chunk {}\n", at / CHUNK);
    let found = match held_gap(heap) {
        Some(size) if size >= need => {
            text += &format!("  the rover's gap: {size}\n");
            Some(at / CHUNK)
        }
        held => {
            text += &held.map_or(String::new(), |size| format!("  the rover's gap: {size}, too small\n"));
            let levels = max_tree(heap, Some(rover(heap)));
            search_from(heap, &levels, at, need, &mut text).or_else(|| {
                text += "  wrap\n";
                search_all(&levels, need, &mut text)
            })
        }
    };
    text + &serve(heap, need, found)
}

/// Returns the size of the gap at the rover, in granules.
fn held_gap(heap: &OneThreadHeap<'_>) -> Option<usize> {
    gaps(heap).find(|gap| gap.address == rover(heap)).map(|gap| gap.size / GRANULE)
}

/// Finds the first chunk with a gap of `need` granules from granule `at` on: `at`'s own is looked at first.
fn search_from(
    heap: &OneThreadHeap<'_>,
    levels: &[Vec<usize>],
    at: usize,
    need: usize,
    text: &mut String,
) -> Option<usize> {
    let chunk = at / CHUNK;
    if levels[0][chunk] >= need {
        let first = |gap: &Block| granule(heap, gap.address);
        let later = gaps(heap).filter(|gap| first(gap) >= at && first(gap) / CHUNK == chunk);
        if later.into_iter().any(|gap| gap.size / GRANULE >= need) {
            *text += "  a gap of the rover's chunk, from the rover on\n";
            return Some(chunk);
        }
        *text += "  the rover's chunk has one, but before the rover\n";
    }
    search(levels, chunk + 1, need, text)
}

pub(crate) fn first_fit_search() -> String {
    let mut text = String::new();
    on_a_full_heap(|heap: &OneThreadHeap<'_, FirstFit>| {
        let need = 20;
        text += &format!("a block of {need} granules\n");
        let found = search_all(&max_tree(heap, None), need, &mut text);
        text += &serve(heap, need, found);
    });
    text
}

/// Asks for a block of so many granules, which the heap finds in chunk `found`.
fn serve<P: Policy>(heap: &OneThreadHeap<'_, P>, need: usize, found: Option<usize>) -> String {
    let answer = heap.alloc((need - 1) * GRANULE).map(|object| granule(heap, object.addr().get()) - 1);
    assert_eq!(answer.map(|start| start / CHUNK).ok(), found, "the heap has found another chunk");
    match answer {
        Ok(start) => format!("  served at granule {start}, in chunk {}\n", start / CHUNK),
        Err(error) => format!("  NULL: {error}\n"),
    }
}
