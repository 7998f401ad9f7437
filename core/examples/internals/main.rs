//! Runs the examples of INTERNALS.md and writes what happened into it, between the markers that are there for it.
//!
//! `cargo run -p slabfit --example internals -- core/INTERNALS.md`; without a file name it prints the parts.
//!
//! A test compares the file with what this generates, so the page cannot say what the heap does not do.

mod slots;

use std::fmt::Write;
use std::ops::Range;
use std::ptr::NonNull;
use std::{env, fs, io};

use slabfit::{Block, Config, FirstFit, GRANULE, Heap, Memory, NextFit, NoLock, Policy, RegionArray, Segment, State};

type OneThreadHeap<'a, P = NextFit> = Heap<'a, NoLock, P>;

/// Granules of a chunk on a 64-bit machine.
const CHUNK: usize = 64;

/// Numbers in a node of the max tree, half of what they are there: two lines of numbers can be read.
const FAN: usize = 16;

/// A part of the document: the name in its markers, and what makes it.
type Part = (&'static str, fn() -> String);

const PARTS: [Part; 9] = [
    ("the-65th", the_65th),
    ("the-rover", the_rover),
    ("the-map", the_map),
    ("the-windows", the_windows),
    ("next-fit-search", next_fit_search),
    ("first-fit-search", first_fit_search),
    ("the-slab", slots::the_slab),
    ("a-run", slots::a_run),
    ("caches", slots::caches),
];

fn main() -> io::Result<()> {
    match env::args_os().nth(1) {
        Some(path) => {
            let document = fs::read_to_string(&path)?;
            fs::write(path, with_parts(&document))
        }
        None => {
            PARTS.iter().for_each(|(name, part)| println!("{name}:\n{}", part()));
            Ok(())
        }
    }
}

/// Returns the document with every part generated anew.
pub fn with_parts(document: &str) -> String {
    PARTS.iter().fold(document.to_owned(), |document, (name, part)| {
        let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->\n"));
        let (before, rest) = document.split_once(&begin).expect("the document has a begin marker for every part");
        let (_, after) = rest.split_once(&end).expect("the document has an end marker for every part");
        format!("{before}{begin}```text\n{}```\n{end}{after}", part())
    })
}

/// Runs `example` on a heap of exactly `size` bytes with slots of 64.
fn on_a_heap<P: Policy>(size: usize, example: impl FnOnce(&OneThreadHeap<'_, P>)) {
    let (mut region, mut bookkeeping) = (RegionArray::<{ 32 << 10 }>::new(), RegionArray::<2048>::new());
    let memory = Memory::with_bookkeeping(&mut region.as_mut()[..size], bookkeeping.as_mut());
    let heap = Heap::from_memory(memory, Config::new(64)).expect("a region of this size makes a heap");
    example(&heap);
    heap.check().expect("the heap is in order");
}

/// Frees an object that nobody uses.
fn free<P: Policy>(heap: &OneThreadHeap<'_, P>, object: NonNull<u8>) {
    // SAFETY: nobody uses the object.
    unsafe { heap.free(object.as_ptr()) }.expect("the object is live");
}

/// Returns the rover's address.
fn rover(heap: &OneThreadHeap<'_>) -> usize {
    heap.rover().ok().flatten().expect("the heap is initialised, and nobody is in it")
}

/// Returns an address as the distance from the heap's first byte.
fn offset(heap: &OneThreadHeap<'_>, address: usize) -> usize {
    address - heap.segment(Segment::Slab).start
}

/// Returns the granule of the block segment at an address.
fn granule<P: Policy>(heap: &OneThreadHeap<'_, P>, address: usize) -> usize {
    (address - heap.segment(Segment::Blocks).start) / GRANULE
}

fn gaps<P: Policy>(heap: &OneThreadHeap<'_, P>) -> impl Iterator<Item = Block> {
    heap.blocks_in(Segment::Blocks).filter(|block| block.state == State::Free)
}

/// Runs operations and writes a line of a table for each: what was asked, the answer, the rover, the gaps.
struct Table<'h, 'r> {
    heap: &'h OneThreadHeap<'r>,
    objects: Vec<NonNull<u8>>,
    text: String,
}

impl<'h, 'r> Table<'h, 'r> {
    fn new(heap: &'h OneThreadHeap<'r>) -> Self {
        let mut table = Self { heap, objects: Vec::new(), text: String::new() };
        table.line(["operation", "answer", "rover", "gaps: first byte + bytes"].map(str::to_owned));
        table.line(["set up".to_owned(), String::new(), table.rover(), table.gaps()]);
        table
    }

    fn line(&mut self, [operation, answer, rover, gaps]: [String; 4]) {
        let line = format!("{operation:<22} {answer:>12} {rover:>6}  {gaps}");
        self.text += line.trim_end();
        self.text += "\n";
    }

    fn rover(&self) -> String {
        offset(self.heap, rover(self.heap)).to_string()
    }

    fn gaps(&self) -> String {
        let gaps = gaps(self.heap);
        let gaps: Vec<_> = gaps.map(|gap| format!("{}+{}", offset(self.heap, gap.address), gap.size)).collect();
        if gaps.is_empty() { "none".to_owned() } else { gaps.join(", ") }
    }

    fn alloc(&mut self, size: usize) {
        let answer = match self.heap.alloc(size) {
            Ok(object) => {
                self.objects.push(object);
                offset(self.heap, object.addr().get()).to_string()
            }
            Err(_) => "NULL".to_owned(),
        };
        self.line([format!("alloc({size})"), answer, self.rover(), self.gaps()]);
    }

    /// Serves requests until there are `count` objects, and shows the first and the last two.
    fn alloc_up_to(&mut self, count: usize, size: usize) {
        while self.objects.len() < count {
            let shown = self.text.len();
            self.alloc(size);
            if (2..count - 1).contains(&self.objects.len()) {
                self.text.truncate(shown);
                if self.objects.len() == 2 {
                    writeln!(self.text, "  ... and so on, {} more ...", count - 3).expect("a String takes all");
                }
            }
        }
    }

    fn free(&mut self, number: usize) {
        let object = self.objects[number - 1];
        free(self.heap, object);
        let operation = format!("free(the {number}th: {})", offset(self.heap, object.addr().get()));
        self.line([operation, String::new(), self.rover(), self.gaps()]);
    }
}

/// The specified example, `Mem_Init(4096, 64)`: 64 requests of 32 bytes, and a gap for one of 55.
fn the_65th() -> String {
    let mut text = String::new();
    on_a_heap(4096, |heap| {
        let mut table = Table::new(heap);
        table.alloc_up_to(64, 32);
        table.alloc(32);
        table.free(14);
        table.free(15);
        table.alloc(55);
        text = table.text;
    });
    text
}

/// The same heap again: gaps before the rover are not looked at while there is room from the rover on.
fn the_rover() -> String {
    let mut text = String::new();
    on_a_heap(4096, |heap| {
        let mut table = Table::new(heap);
        table.alloc_up_to(32, 32);
        table.free(14);
        table.free(24);
        table.alloc(32);
        text = table.text;
    });
    text
}

/// Returns the two bits of every boundary of the block segment, as their definitions have them: a block starts here; a block
/// ended here.
fn bits(heap: &OneThreadHeap<'_>) -> (Vec<bool>, Vec<bool>) {
    let end = heap.segment(Segment::Blocks).len() / GRANULE;
    let (mut starts, mut ends) = (vec![false; end + 1], vec![false; end + 1]);
    (ends[0], starts[end]) = (true, true);
    for block in heap.blocks_in(Segment::Blocks).filter(|block| block.state == State::Used) {
        let first = granule(heap, block.address);
        starts[first] = true;
        ends[first + block.size / GRANULE] = true;
    }
    (starts, ends)
}

/// Writes a row of bits, without the blanks at its end.
fn row(name: &str, bits: impl Iterator<Item = bool>) -> String {
    let row: String = bits.map(|bit| if bit { '1' } else { ' ' }).collect();
    format!("{name:<10}{}\n", row.trim_end())
}

/// Writes the granules of the block segment as letters: a capital for a header, small ones for its payload, dots for gaps.
fn granules(heap: &OneThreadHeap<'_>, objects: &[(char, NonNull<u8>)]) -> Vec<char> {
    let mut granules = vec!['.'; heap.segment(Segment::Blocks).len() / GRANULE];
    for &(name, object) in objects {
        let first = granule(heap, object.addr().get());
        let payload = heap.usable_size(object.as_ptr()).expect("the object is live") / GRANULE;
        granules[first - 1] = name;
        granules[first..first + payload].fill(name.to_ascii_lowercase());
    }
    granules
}

/// A segment of 24 granules: what a few operations do to the map.
fn the_map() -> String {
    let mut text = String::new();
    on_a_heap(512, |heap| {
        let sizes = [('A', 32), ('B', 16), ('C', 60), ('D', 40)];
        let mut objects = sizes.map(|(name, size)| (name, heap.alloc(size).expect("there is room"))).to_vec();
        let requests = sizes.map(|(name, size)| format!("{name} = alloc({size})"));
        text = requests.join(", ") + "\n" + &map_picture(heap, &objects);
        for freed in ['B', 'C'] {
            let at = objects.iter().position(|object| object.0 == freed).expect("every object has a name");
            free(heap, objects.remove(at).1);
            text += &format!("\nfree({freed})\n{}", map_picture(heap, &objects));
        }
    });
    text
}

fn map_picture(heap: &OneThreadHeap<'_>, objects: &[(char, NonNull<u8>)]) -> String {
    let (starts, ends) = bits(heap);
    let mut picture = format!("{:<10}{}\n", "granules", granules(heap, objects).iter().collect::<String>());
    picture += &row("starts", starts.iter().copied());
    picture += &row("ends", ends.iter().copied());
    picture += &row("gaps", ends.iter().zip(&starts).map(|(end, start)| *end && !start));
    picture
}

/// A row of blocks across the end of a chunk: what the free of one sees in its windows.
fn the_windows() -> String {
    let mut text = String::new();
    on_a_heap(4096, |heap| {
        let names = ('A'..='M').map(|name| (name, heap.alloc(9 * GRANULE).expect("there is room")));
        let mut objects: Vec<_> = names.collect();
        for freed in [7, 5] {
            free(heap, objects.remove(freed).1);
        }
        let (freed, at) = (objects.remove(5), 60);
        objects.push(freed);
        assert_eq!(granule(heap, freed.1.addr().get()), at + 1);
        let (starts, ends) = bits(heap);
        let shown = 40..100;
        let scale: String = shown.clone().step_by(10).map(|boundary| format!("{boundary:<10}")).collect();
        let letters: String = granules(heap, &objects)[shown.clone()].iter().collect();
        text = format!("{:<10}{}\n{:<10}{letters}\n", "boundary", scale.trim_end(), "granules");
        text += &row("starts", starts[shown.clone()].iter().copied());
        text += &row("ends", ends[shown.clone()].iter().copied());

        let ahead = at..(at / 8 * 8 + CHUNK);
        let behind = (at / 8 + 1) * 8 - CHUNK..at + 1;
        assert!([&ahead, &behind].into_iter().all(|window| window.len() >= CHUNK - 7));
        text += &format!(
            "\nfree({}), whose block starts at {at}: byte {} of each array, bit {}\n",
            freed.0,
            at / 8,
            at % 8
        );
        text += &window("ahead", &ahead, &shown, &starts, &ends);
        let end = first(&ends, at + 1);
        let gap_end = first(&starts, end);
        text += &format!(
            "  the block ends at the first end after its start, {end}; the gap, at the next start, {gap_end}\n"
        );
        text += &window("behind", &behind, &shown, &starts, &ends);
        let gap_start = (0..=at).rev().find(|&boundary| ends[boundary]).expect("there is an end at 0");
        text += &format!("  the gap starts at the last end up to {at}, {gap_start}\n");

        free(heap, freed.1);
        let gap = gaps(heap).next().expect("the block is free");
        assert_eq!((granule(heap, gap.address), gap.size / GRANULE), (gap_start, gap_end - gap_start));
        text += &format!("two bits are flipped, and the gap is {gap_start}..{gap_end}\n");
    });
    text
}

fn first(bits: &[bool], from: usize) -> usize {
    (from..bits.len()).find(|&boundary| bits[boundary]).expect("a start ends the segment")
}

/// Writes what a window shows of the two arrays, in the columns of the boundaries `shown`.
fn window(name: &str, window: &Range<usize>, shown: &Range<usize>, starts: &[bool], ends: &[bool]) -> String {
    let bit = |bits: &[bool], boundary: usize| match window.contains(&boundary) {
        true => {
            if bits[boundary] {
                '1'
            } else {
                '0'
            }
        }
        false => ' ',
    };
    let line = |what: &str, bits: &[bool]| {
        let row: String = shown.clone().map(|boundary| bit(bits, boundary)).collect();
        format!("{what:<10}{}\n", row.trim_end())
    };
    let (from, to) = (window.start, window.end - 1);
    format!("{name}: boundaries {from} to {to}\n{}{}", line("starts", starts), line("ends", ends))
}

/// Returns for every chunk the size of the largest gap that starts in it, in granules, except for the gap at address `held`;
/// above the numbers the largest of every sixteen, up to a single node.
fn max_tree<P: Policy>(heap: &OneThreadHeap<'_, P>, held: Option<usize>) -> Vec<Vec<usize>> {
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

fn next_fit_search() -> String {
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

fn first_fit_search() -> String {
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
