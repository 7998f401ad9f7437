//! Runs the examples of INTERNALS.md and writes what happened into it, between the markers that are there for it.
//!
//! `cargo run -p slabfit --example internals -- core/INTERNALS.md`; without a file name it prints the parts.
//!
//! A test holds the file against what this generates, so that it cannot say what the heap does not do.

use std::fmt::Write;
use std::ptr::NonNull;
use std::{env, fs, io};

use slabfit::{Block, Config, GRANULE, Heap, Memory, NoLock, RegionArray, Segment, State};

type OneThreadHeap<'a> = Heap<'a, NoLock>;

/// Granules of a chunk, and numbers in a node of the max tree.
const CHUNK: usize = 64;
const FAN: usize = 16;

/// A part of the document: the name in its markers, and what makes it.
type Part = (&'static str, fn() -> String);

const PARTS: [Part; 4] =
    [("the-65th", the_65th), ("the-rover", the_rover), ("the-map", the_map), ("the-max-tree", the_max_tree)];

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

/// The document with every part generated anew.
pub fn with_parts(document: &str) -> String {
    PARTS.iter().fold(document.to_owned(), |document, (name, part)| {
        let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->\n"));
        let (before, rest) = document.split_once(&begin).expect("the document has a begin marker for every part");
        let (_, after) = rest.split_once(&end).expect("the document has an end marker for every part");
        format!("{before}{begin}```text\n{}```\n{end}{after}", part())
    })
}

/// Runs `example` on a heap of exactly `size` bytes with slots of 64.
fn on_a_heap(size: usize, example: impl FnOnce(&OneThreadHeap<'_>)) {
    let (mut region, mut bookkeeping) = (RegionArray::<{ 32 << 10 }>::new(), RegionArray::<2048>::new());
    let memory = Memory::with_bookkeeping(&mut region.as_mut()[..size], bookkeeping.as_mut());
    let heap = Heap::from_memory(memory, Config::new(64)).expect("a region of this size makes a heap");
    example(&heap);
    heap.check().expect("the heap is in order");
}

/// The rover's address.
fn rover(heap: &OneThreadHeap<'_>) -> usize {
    heap.rover().ok().flatten().expect("the heap is initialised, and nobody is in it")
}

/// An address as the distance from the heap's first byte.
fn offset(heap: &OneThreadHeap<'_>, address: usize) -> usize {
    address - heap.segment(Segment::Slab).start
}

fn free_blocks(heap: &OneThreadHeap<'_>) -> impl Iterator<Item = Block> {
    heap.blocks_in(Segment::Blocks).filter(|block| block.state == State::Free)
}

/// Runs operations and writes a line of a table for each: what was asked, the answer, the rover, the free blocks.
struct Table<'h, 'r> {
    heap: &'h OneThreadHeap<'r>,
    objects: Vec<NonNull<u8>>,
    text: String,
}

impl<'h, 'r> Table<'h, 'r> {
    fn new(heap: &'h OneThreadHeap<'r>) -> Self {
        let mut table = Self { heap, objects: Vec::new(), text: String::new() };
        table.line(["operation", "answer", "rover", "free blocks: first byte + bytes"].map(str::to_owned));
        table.line(["set up".to_owned(), String::new(), table.rover(), table.free_blocks()]);
        table
    }

    fn line(&mut self, [operation, answer, rover, free]: [String; 4]) {
        let line = format!("{operation:<22} {answer:>12} {rover:>6}  {free}");
        self.text += line.trim_end();
        self.text += "\n";
    }

    fn rover(&self) -> String {
        offset(self.heap, rover(self.heap)).to_string()
    }

    fn free_blocks(&self) -> String {
        let free = free_blocks(self.heap);
        let free: Vec<_> = free.map(|block| format!("{}+{}", offset(self.heap, block.address), block.size)).collect();
        if free.is_empty() { "none".to_owned() } else { free.join(", ") }
    }

    fn alloc(&mut self, size: usize) {
        let answer = match self.heap.alloc(size) {
            Ok(object) => {
                self.objects.push(object);
                offset(self.heap, object.addr().get()).to_string()
            }
            Err(_) => "NULL".to_owned(),
        };
        self.line([format!("alloc({size})"), answer, self.rover(), self.free_blocks()]);
    }

    /// Serves requests until there are `count` objects, and shows the first two and the last two.
    fn alloc_up_to(&mut self, count: usize, size: usize) {
        while self.objects.len() < count {
            let shown = self.text.len();
            self.alloc(size);
            if (3..count - 1).contains(&self.objects.len()) {
                self.text.truncate(shown);
                if self.objects.len() == 3 {
                    writeln!(self.text, "  ... and so on, {} more ...", count - 4).expect("a String takes all");
                }
            }
        }
    }

    fn free(&mut self, number: usize) {
        let object = self.objects[number - 1];
        // SAFETY: nobody uses the object.
        unsafe { self.heap.free(object.as_ptr()) }.expect("the object is live");
        let operation = format!("free(the {number}th: {})", offset(self.heap, object.addr().get()));
        self.line([operation, String::new(), self.rover(), self.free_blocks()]);
    }
}

/// The specified example, `Mem_Init(4096, 64)`: 64 requests of 32 bytes, and a hole for one of 55.
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

/// The same heap again: holes behind the rover are not looked at while there is room before it.
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

/// The two bits of every place between the granules of a next-fit segment, as their definitions have them: a block starts
/// here; a block has ended here.
fn bits(heap: &OneThreadHeap<'_>) -> (Vec<bool>, Vec<bool>) {
    let segment = heap.segment(Segment::Blocks);
    let end = segment.len() / GRANULE;
    let (mut starts, mut ends) = (vec![false; end + 1], vec![false; end + 1]);
    (ends[0], starts[end]) = (true, true);
    for block in heap.blocks_in(Segment::Blocks).filter(|block| block.state == State::Used) {
        let first = (block.address - segment.start) / GRANULE;
        starts[first] = true;
        ends[first + block.size / GRANULE] = true;
    }
    (starts, ends)
}

/// A row of bits for all places, without the blanks at its end.
fn row(name: &str, bits: impl Iterator<Item = bool>) -> String {
    let row: String = bits.map(|bit| if bit { '1' } else { ' ' }).collect();
    format!("{name:<10}{}\n", row.trim_end())
}

/// A segment of 24 granules: what a few operations do to the map.
fn the_map() -> String {
    let mut text = String::new();
    on_a_heap(512, |heap| {
        let mut objects: Vec<(char, NonNull<u8>)> = Vec::new();
        let steps = [
            ('A', Some(32)),
            ('B', Some(16)),
            ('C', Some(60)),
            ('D', Some(40)),
            ('B', None),
            ('C', None),
            ('E', Some(100)),
            ('F', Some(24)),
            ('A', None),
            ('F', None),
        ];
        for (name, step) in steps {
            if let Some(size) = step {
                objects.push((name, heap.alloc(size).expect("there is room")));
                write!(text, "{name} = alloc({size})").expect("a String takes all");
            } else {
                let place = objects.iter().position(|object| object.0 == name).expect("every object has a name");
                let (_, object) = objects.swap_remove(place);
                // SAFETY: nobody uses the object.
                unsafe { heap.free(object.as_ptr()) }.expect("the object is live");
                write!(text, "free({name})").expect("a String takes all");
            }
            text += &map_picture(heap, &objects);
        }
    });
    text
}

fn map_picture(heap: &OneThreadHeap<'_>, objects: &[(char, NonNull<u8>)]) -> String {
    let segment = heap.segment(Segment::Blocks);
    let mut granules = vec!['.'; segment.len() / GRANULE];
    for &(name, object) in objects {
        let first = (object.addr().get() - segment.start) / GRANULE;
        let payload = heap.usable_size(object.as_ptr()).expect("the object is live") / GRANULE;
        granules[first - 1] = name;
        granules[first..first + payload].fill(name.to_ascii_lowercase());
    }
    let (starts, ends) = bits(heap);
    let rover = (rover(heap) - segment.start) / GRANULE;
    let mut picture = format!("\n{:<10}{}\n", "granules", granules.iter().collect::<String>());
    picture += &row("starts", starts.iter().copied());
    picture += &row("ends", ends.iter().copied());
    picture += &row("gaps", ends.iter().zip(&starts).map(|(end, start)| *end && !start));
    picture += &format!("{:<10}{}^\n\n", "rover", " ".repeat(rover));
    picture
}

/// For every chunk the size of the largest gap that starts in it, in granules, but for the rover's gap; and above the
/// numbers the largest of every sixteen, up to a single node.
fn max_tree(heap: &OneThreadHeap<'_>) -> Vec<Vec<usize>> {
    let segment = heap.segment(Segment::Blocks);
    let mut numbers = vec![0; segment.len() / GRANULE / CHUNK + 1];
    let gaps = free_blocks(heap).filter(|block| block.address != rover(heap));
    for gap in gaps {
        let number = &mut numbers[(gap.address - segment.start) / GRANULE / CHUNK];
        *number = (*number).max(gap.size / GRANULE);
    }
    let mut levels = vec![numbers];
    while levels[levels.len() - 1].len() > FAN {
        let below = &levels[levels.len() - 1];
        levels.push(below.chunks(FAN).map(|node| *node.iter().max().expect("a node has a number")).collect());
    }
    levels
}

/// Finds the first chunk at or behind `chunk` whose number is at least `need`, and writes down every step.
fn search(levels: &[Vec<usize>], chunk: usize, need: usize, text: &mut String) -> Option<usize> {
    let mut index = chunk;
    for (level, numbers) in levels.iter().enumerate() {
        let node_end = (index / FAN + 1) * FAN;
        let found = (index..node_end.min(numbers.len())).find(|&place| numbers[place] >= need);
        let step = if level == 0 { "look" } else { "up: look" };
        write!(text, "  {step} at level {level}, node {}, from {index} on: ", index / FAN).expect("a String takes all");
        if let Some(place) = found {
            *text += &format!("{} at {place}\n", numbers[place]);
            return Some(descend(levels, level, place, need, text));
        }
        *text += "none\n";
        index = index / FAN + 1;
    }
    None
}

fn descend(levels: &[Vec<usize>], level: usize, place: usize, need: usize, text: &mut String) -> usize {
    (0..level).rev().fold(place, |node, level| {
        let numbers = &levels[level];
        let place = (node * FAN..numbers.len()).find(|&place| numbers[place] >= need).expect("its maximum says so");
        *text += &format!("  down: look at level {level}, node {node}: {} at {place}\n", numbers[place]);
        place
    })
}

/// A segment of 25 chunks, full of blocks of 16 granules, of which some are freed.
fn the_max_tree() -> String {
    let mut text = String::new();
    on_a_heap(32 << 10, |heap| {
        let blocks: Vec<_> = (0..96).map(|_| heap.alloc(240).expect("there is room")).collect();
        for freed in [5..6, 20..23, 40..48, 70..71, 80..82] {
            for block in &blocks[freed] {
                // SAFETY: nobody uses the object.
                unsafe { heap.free(block.as_ptr()) }.expect("the object is live");
            }
        }
        for (level, numbers) in max_tree(heap).iter().enumerate() {
            for (node, numbers) in numbers.chunks(FAN).enumerate() {
                let numbers: Vec<_> = numbers.iter().map(|number| format!("{number:>3}")).collect();
                writeln!(text, "level {level}, node {node}: {}", numbers.join(" ")).expect("a String takes all");
            }
        }
        for granules in [16, 50, 78, 20, 60] {
            text += &search_and_serve(heap, granules);
        }
    });
    text
}

/// Asks for a block of so many granules, having written down how it is to be found.
fn search_and_serve(heap: &OneThreadHeap<'_>, need: usize) -> String {
    let segment = heap.segment(Segment::Blocks);
    let granule = |address: usize| (address - segment.start) / GRANULE;
    let rover = granule(rover(heap));
    let mut text = format!("\na block of {need} granules, the rover at {rover}, in chunk {}\n", rover / CHUNK);
    let gaps = free_blocks(heap);
    let in_chunk = gaps.filter(|gap| granule(gap.address) >= rover && granule(gap.address) / CHUNK == rover / CHUNK);
    let near: Vec<_> = in_chunk.map(|gap| (granule(gap.address), gap.size / GRANULE)).collect();
    text += &match near.first() {
        Some(&(start, size)) if start == rover => format!("  the rover's own gap: {size}\n"),
        _ => "  the rover has no gap of its own\n".to_owned(),
    };
    let found = if near.iter().any(|&(_, size)| size >= need) {
        Some(rover / CHUNK)
    } else {
        let levels = max_tree(heap);
        text += "  none in the rover's chunk from the rover on\n";
        search(&levels, rover / CHUNK + 1, need, &mut text).or_else(|| {
            text += "  again from the start\n";
            search(&levels, 0, need, &mut text)
        })
    };
    let answer = heap.alloc((need - 1) * GRANULE).map(|object| granule(object.addr().get()) - 1);
    assert_eq!(answer.map(|start| start / CHUNK).ok(), found, "the heap has found another chunk");
    text += &match answer {
        Ok(start) => format!("  served at granule {start}, in chunk {}\n", start / CHUNK),
        Err(error) => format!("  NULL: {error}\n"),
    };
    text
}
