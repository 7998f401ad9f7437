//! What the pictures of a heap show is what is in the heap: every cell of an SVG beside the granules that it stands for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::{self, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use roxmltree::{Document, Node};
use slabfit::{Block, Config, GRANULE, Kind, Segment, State};
use slabfit_linux::picture::{self, LARGEST, PictureError};
use slabfit_linux::text::{Bytes, Count, Grouped, Multiple, Share};
use slabfit_linux::{Cells, MappedHeap, ProcessHeap, slots};

/// Sizes from one page to a gigabyte, whole powers of two and others.
const SIZES: [usize; 8] = [4096, 65_536, 100_000, 1 << 20, 5_000_000, 64 << 20, 100_000_000, 1 << 30];

/// A heap in which so many objects came and went, of sizes that fill about half of it.
fn used_heap(size: usize, config: Config, seed: u64) -> MappedHeap {
    let heap = MappedHeap::new(size, config).expect("there is memory");
    let mut random = fastrand::Rng::with_seed(seed);
    let largest = (size / 400).max(64);
    let mut live = Vec::new();
    for _ in 0..3000 {
        let bytes = if random.bool() { config.slab_size } else { random.usize(1..largest) };
        match heap.alloc(bytes) {
            Ok(object) if random.u8(..) < 160 => live.push(object),
            Ok(object) => free(&heap, object.as_ptr()),
            Err(_) => {}
        }
        if !live.is_empty() && random.u8(..) < 90 {
            free(&heap, live.swap_remove(random.usize(..live.len())).as_ptr());
        }
    }
    heap
}

fn free(heap: &MappedHeap, object: *mut u8) {
    // SAFETY: nobody uses the objects of these tests.
    unsafe { heap.free(object) }.expect("it is live");
}

fn drawn(heap: &MappedHeap) -> String {
    let mut svg = String::new();
    picture::draw(heap, &"title", &"note", &mut svg).expect("nobody is in the heap");
    svg
}

fn in_segment(heap: &MappedHeap, segment: Segment) -> Vec<Block> {
    heap.blocks().filter(|block| block.segment == segment).collect()
}

/// Bytes of a range that are in use, and that are free.
fn bytes_in(blocks: &[Block], range: &Range<usize>) -> (usize, usize) {
    let first = blocks.partition_point(|block| block.address + block.size <= range.start);
    let inside = blocks[first..].iter().take_while(|block| block.address < range.end);
    inside.fold((0, 0), |(used, free), block| {
        let bytes = range.end.min(block.address + block.size) - range.start.max(block.address);
        if block.state == State::Used { (used + bytes, free) } else { (used, free + bytes) }
    })
}

// Walks and cells.

#[test]
fn the_next_fit_blocks_are_those_of_the_whole_walk() {
    for (seed, size) in SIZES.into_iter().enumerate() {
        let heap = used_heap(size, Config::new(64), seed as u64);
        assert_eq!(heap.blocks_in(Segment::Blocks).collect::<Vec<_>>(), in_segment(&heap, Segment::Blocks));
    }
}

#[test]
fn slots_are_all_slots_with_those_never_used_in_one() {
    for slab_size in [1, 24, 64, 1000, 4096, 1 << 30] {
        let heap = used_heap(1 << 20, Config::new(slab_size), 7);
        let stats = heap.stats().expect("nobody is in the heap").slab;
        let walked: Vec<_> = slots(&heap, &stats).collect();
        let all = in_segment(&heap, Segment::Slab);
        assert_eq!(walked[..stats.peak_objects], all[..stats.peak_objects]);
        let rest: usize = all[stats.peak_objects..].iter().map(|slot| slot.size).sum();
        assert_eq!(walked[stats.peak_objects..].iter().map(|block| block.size).sum::<usize>(), rest);
        assert!(walked[stats.peak_objects..].iter().all(|block| block.state == State::Free), "slab size {slab_size}");
    }
}

#[test]
fn a_slab_that_was_full_is_its_slots_and_no_rest() {
    let heap = MappedHeap::new(4096, Config::new(64)).expect("there is memory");
    for live in 1..=16 {
        heap.alloc(64).expect("there is a slot");
        let stats = heap.stats().expect("nobody is in the heap").slab;
        let sizes: Vec<_> = slots(&heap, &stats).map(|slot| slot.size).collect();
        let rest = Some((16 - live) * 64).filter(|&rest| rest > 0);
        assert_eq!(sizes, [64].repeat(live).into_iter().chain(rest).collect::<Vec<_>>());
    }
}

#[test]
fn a_cell_holds_what_its_bytes_hold() {
    for share in [1, 16, 48, 4096, 100_000, 1 << 30] {
        let heap = used_heap(1 << 18, Config::new(48), share as u64);
        for segment in [Segment::Slab, Segment::Blocks] {
            let (range, blocks) = (heap.segment(segment), in_segment(&heap, segment));
            let cells: Vec<_> = Cells::new(blocks.iter().copied(), range.clone(), share).collect();
            assert_eq!(cells.len(), range.len().div_ceil(share));
            for (start, cell) in range.clone().step_by(share).zip(cells) {
                let bytes = start..range.end.min(start + share);
                assert_eq!((cell.used, cell.free), bytes_in(&blocks, &bytes), "{bytes:?} of {range:?}");
                let starts = |block: &&Block| bytes.contains(&block.address) && block.state == State::Used;
                let header = share <= GRANULE && segment == Segment::Blocks && blocks.iter().any(|b| starts(&b));
                assert_eq!(cell.header, header, "{bytes:?}");
            }
        }
    }
}

#[test]
fn a_border_is_seen_where_two_wide_blocks_meet() {
    let block = |granules: Range<usize>, state| Block {
        address: granules.start * GRANULE,
        size: granules.len() * GRANULE,
        state,
        segment: Segment::Blocks,
        kind: Kind::Block,
    };
    let (used, free) = (State::Used, State::Free);
    let blocks = [block(0..4, used), block(4..8, used), block(8..10, free), block(10..14, used), block(14..16, used)];
    let borders = |share: usize| {
        let cells = Cells::new(blocks.into_iter(), 0..16 * GRANULE, share * GRANULE);
        cells.enumerate().filter(|(_, cell)| cell.border).map(|(index, _)| index * share).collect::<Vec<_>>()
    };
    assert_eq!(borders(1), [4, 14]);
    assert_eq!(borders(2), [4], "the last block is one cell wide");
    assert_eq!(borders(4), [] as [usize; 0]);
}

#[test]
fn blocks_that_make_no_sense_end_all_the_same() {
    let block =
        |address, size| Block { address, size, state: State::Used, segment: Segment::Blocks, kind: Kind::Block };
    let blocks = [block(100, 0), block(50, usize::MAX), block(usize::MAX, usize::MAX), block(0, 10), block(90, 64)];
    assert_eq!(Cells::new(blocks.into_iter(), 64..1000, 0).count(), 59);
    assert_eq!(Cells::new(std::iter::empty(), 64..1000, 100).filter(|cell| cell.used + cell.free == 0).count(), 10);
}

// Pictures.

/// A picture, read back.
struct Seen {
    /// For every row its cells: the class of each.
    rows: Vec<Vec<String>>,
    width: f64,
}

/// The numbers and letters of a path.
fn path(node: Node<'_, '_>) -> Vec<(char, Vec<f64>)> {
    let mut steps: Vec<(char, String)> = Vec::new();
    for letter in node.attribute("d").expect("a path has data").chars() {
        match steps.last_mut() {
            Some((_, numbers)) if !letter.is_ascii_alphabetic() => numbers.push(letter),
            _ => steps.push((letter, String::new())),
        }
    }
    let numbers = |text: String| text.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    steps.into_iter().map(|(letter, text)| (letter, numbers(text))).collect()
}

const LEFT: f64 = 72.0;

impl Seen {
    fn new(document: &Document<'_>) -> Self {
        let drawn = |node: &Node<'_, '_>| node.attribute("stroke-width").is_some() && node.has_tag_name("g");
        let rows: Vec<_> = document.descendants().filter(drawn).collect();
        // The legend has such groups as well, further below, with one short line each.
        let rows: Vec<_> = rows.into_iter().filter(|row| row.attribute("stroke-width") != Some("12")).collect();
        let steps: Vec<_> = rows.iter().flat_map(|row| row.children()).flat_map(path).collect();
        let width = steps.iter().filter(|(letter, _)| *letter == 'h').map(|(_, by)| by[0]).fold(1024.0, f64::min);
        let rows = rows.iter().map(|row| Self::row(*row, width)).collect();
        Self { rows, width }
    }

    fn row(row: Node<'_, '_>, width: f64) -> Vec<String> {
        let mut cells = Vec::new();
        for stroke in row.children().filter(Node::is_element) {
            let (class, mut x) = (stroke.attribute("class").expect("a class"), 0.0);
            for (letter, numbers) in path(stroke) {
                let by = numbers[0];
                if letter == 'h' {
                    let (from, to) = (((x - LEFT) / width) as usize, ((x + by - LEFT) / width) as usize);
                    if class == "f" {
                        cells.resize(to, "f".to_owned());
                    } else {
                        assert!(cells[from..to].iter().all(|cell| cell == "f"), "one cell has one colour");
                        cells[from..to].fill(class.to_owned());
                    }
                }
                x = if letter == 'M' { by } else { x + by };
            }
        }
        cells
    }
}

/// The colour that the cells of a segment are to have.
fn expected(heap: &MappedHeap, segment: Segment, share: usize, letter: char) -> Vec<String> {
    let (range, blocks) = (heap.segment(segment), in_segment(heap, segment));
    let colour = |start: usize| {
        let header = |block: &Block| block.address == start && block.state == State::Used;
        if share == GRANULE && segment == Segment::Blocks && blocks.iter().any(header) {
            return format!("{letter}5");
        }
        match bytes_in(&blocks, &(start..range.end.min(start + share))) {
            (0, _) => "f".to_owned(),
            (_, 0) => format!("{letter}4"),
            (used, free) => format!("{letter}{}", 1 + used * 3 / (used + free)),
        }
    };
    range.clone().step_by(share).map(colour).collect()
}

#[test]
fn every_cell_has_the_colour_of_what_is_in_it() {
    for (seed, size) in SIZES.into_iter().enumerate() {
        let heap = used_heap(size, Config::new(if size < 1 << 20 { 64 } else { size / 1000 }), seed as u64);
        let svg = drawn(&heap);
        let document = Document::parse(&svg).expect("it is XML");
        let seen = Seen::new(&document);
        let columns = seen.rows[0].len();
        let share = (0..).map(|bits| GRANULE << bits).find(|share| heap.size() / (share * columns) <= 64);
        let share = share.expect("some share fits");
        let slab_rows = heap.segment(Segment::Slab).len().div_ceil(share * columns);
        let (slab, blocks) = seen.rows.split_at(slab_rows);
        assert_eq!(slab.concat(), expected(&heap, Segment::Slab, share, 's'), "slab of {size}");
        assert_eq!(blocks.concat(), expected(&heap, Segment::Blocks, share, 'b'), "blocks of {size}");
        assert!(seen.rows.len() <= 66 && columns as f64 * seen.width <= 1024.0, "{size}");
        // The words beside it name the same scale.
        let scale = format!("a cell is {}, a row {}", Bytes(share as u64), Bytes((share * columns) as u64));
        assert!(svg.contains(&scale), "no {scale:?} for {size}");
    }
}

#[test]
fn the_rover_stands_where_it_is() {
    let heap = MappedHeap::new(65_536, Config::new(64)).expect("there is memory");
    // A row is 128 granules of 8 pixels; the slab's 8 rows of 16 pixels stand above.
    for (request, x, row) in [(16, 72 + 2 * 8, 0), (16 * 63, 72 + 66 * 8, 0), (16 * 61, 72, 1), (16, 72 + 2 * 8, 1)] {
        heap.alloc(request).expect("the heap is nearly empty");
        let svg = drawn(&heap);
        let document = Document::parse(&svg).expect("it is XML");
        let mut marks = document.descendants().filter(|node| node.attribute("class") == Some("r"));
        let mark = path(marks.next().expect("a rover"));
        let top = 66 + 46 + 8 * 16 + 26 + 46;
        assert_eq!(mark[0], ('M', vec![f64::from(x), f64::from(top + row * 16 + 14)]), "after {request}");
        assert_eq!(marks.count(), 1, "and one in the legend");
    }
    // At the segment's very end it stands behind the last row.
    let rest = heap.stats().expect("nobody is in the heap").blocks.largest_free;
    heap.alloc(rest - GRANULE).expect("so much is free");
    assert_eq!(heap.rover(), Ok(Some(heap.segment(Segment::Blocks).end)));
    assert!(drawn(&heap).contains(&format!("M{} {}V", 72 + 1024, 66 + 46 + 8 * 16 + 26 + 46 + 23 * 16 + 14)));
}

#[test]
fn the_largest_hole_is_outlined_and_the_others_counted() {
    let heap = MappedHeap::new(65_536, Config::new(1 << 20)).expect("there is memory");
    let objects: Vec<_> = [16, 4096, 16, 112, 16, 80, 16].map(|size| heap.alloc(size).expect("it fits")).to_vec();
    heap.alloc(heap.stats().expect("nobody is in the heap").blocks.largest_free - GRANULE).expect("it fits");
    for index in [1, 3, 5] {
        free(&heap, objects[index].as_ptr());
    }
    let svg = drawn(&heap);
    // From granule 2 of the first row to granule 3 of the third.
    let top = 66 + 46 + 8 * 16 + 26 + 46;
    let outline = format!("M88 {top}H1096V{}H96V{}H72V{}H88z", top + 29, top + 45, top + 16);
    assert!(svg.contains(&outline), "no {outline} in {svg}");
    assert!(
        svg.contains("4.2 KiB free in 3 holes, the largest of 4.0 KiB · fragmentation (free outside of it) 5.1 %"),
        "{svg}"
    );
    let document = Document::parse(&svg).expect("it is XML");
    let bars = document.descendants().filter(|node| node.attribute("class") == Some("q"));
    // 128 bytes in the class from 128, 96 in that from 64, both with a bar; that of 4112 is left out.
    assert_eq!(bars.map(|bar| path(bar)[1].1[0]).collect::<Vec<_>>(), [-55.0, -74.0]);
}

#[test]
fn a_hole_over_two_rows_without_a_common_column_is_outlined_in_two_pieces() {
    let heap = MappedHeap::new(65_536, Config::new(1 << 20)).expect("there is memory");
    let objects = [120, 10, 100].map(|granules| heap.alloc((granules - 1) * GRANULE).expect("it fits"));
    heap.alloc(heap.stats().expect("nobody is in the heap").blocks.largest_free - GRANULE).expect("it fits");
    free(&heap, objects[1].as_ptr());
    let (top, left, right) = (66 + 46 + 8 * 16 + 26 + 46, 72 + 120 * 8, 72 + 2 * 8);
    let first = format!("M1096 {top}H{left}V{}H1096", top + 13);
    let second = format!("M72 {}H{right}V{}H72", top + 16, top + 29);
    assert!(drawn(&heap).contains(&format!("{first}{second}\"")), "no {first}{second}");
}

#[test]
fn a_hole_over_two_rows_with_common_columns_is_outlined_in_one_piece() {
    let heap = MappedHeap::new(65_536, Config::new(1 << 20)).expect("there is memory");
    let objects = [2, 200, 2].map(|granules| heap.alloc((granules - 1) * GRANULE).expect("it fits"));
    heap.alloc(heap.stats().expect("nobody is in the heap").blocks.largest_free - GRANULE).expect("it fits");
    free(&heap, objects[1].as_ptr());
    let (top, left, right) = (66 + 46 + 8 * 16 + 26 + 46, 72 + 2 * 8, 72 + 74 * 8);
    let outline = format!("M{left} {top}H1096V{}H{right}V{}H72V{}H{left}z\"", top + 13, top + 29, top + 16);
    assert!(drawn(&heap).contains(&outline), "no {outline}");
}

#[test]
fn no_heap_has_a_picture_of_more_than_200_kb() {
    for size in [65_536, 1 << 20, 16 << 20, 256 << 20] {
        // Used and free by turns, in every cell and so that most cells differ from the one before.
        let heap = MappedHeap::new(size, Config::new(16)).expect("there is memory");
        let cell = (size / (64 * 256)).max(16);
        let requests = [cell / 2, cell, cell * 2];
        let mut objects = Vec::new();
        while let Ok(object) = heap.alloc(requests[objects.len() % 3].max(17)) {
            objects.push(object);
        }
        // In a slab of a million slots, as many as one can see.
        while objects.len() < 200_000 {
            let Ok(object) = heap.alloc(16) else { break };
            objects.push(object);
        }
        for object in objects.iter().step_by(2) {
            free(&heap, object.as_ptr());
        }
        let svg = drawn(&heap);
        assert!(svg.len() <= LARGEST, "{size}: {} bytes", svg.len());
        assert!(svg.len() > 15_000, "{size}: {} bytes are no hard case", svg.len());
    }
}

#[test]
fn a_title_is_text_whatever_is_in_it() {
    let heap = MappedHeap::new(4096, Config::new(64)).expect("there is memory");
    let mut svg = String::new();
    picture::draw(&heap, &"<a href='x'>&amp;\u{1b}\u{ffff}]]>", &"</text>\0", &mut svg).expect("nobody is in the heap");
    let document = Document::parse(&svg).expect("it is XML");
    let texts: Vec<_> = document.descendants().filter_map(|node| node.text()).collect();
    assert!(texts.contains(&"<a href='x'>&amp;??]]>") && texts.contains(&"</text>?"), "{texts:?}");
    assert!(!document.descendants().any(|node| node.has_tag_name("a")));
}

#[test]
fn a_heap_without_memory_is_a_picture_without_cells_holes_or_a_rover() {
    let mut svg = String::new();
    picture::draw(&*<ProcessHeap>::empty(), &"title", &"note", &mut svg).expect("nobody is in the heap");
    let document = Document::parse(&svg).expect("it is XML");
    let of_class = |class: &str| {
        let legend = document.descendants().find(|node| node.text() == Some("largest hole")).expect("it has a legend");
        let before = document.descendants().take_while(|&node| node != legend);
        before.filter(|node| node.attribute("class") == Some(class)).count()
    };
    // What is left is the legend's.
    assert_eq!(["f", "s4", "b4", "b5", "l", "r", "v"].map(of_class), [1, 0, 1, 1, 1, 0, 0]);
    let texts: Vec<_> = document.descendants().filter_map(|node| node.text()).collect();
    assert!(!texts.iter().any(|text| text.starts_with("Slab")), "{texts:?}");
    assert!(texts.contains(&"Blocks: 0 B for all other requests"), "{texts:?}");
}

#[test]
fn a_thread_that_is_in_the_heap_gets_no_picture_and_writes_none() {
    let heap = MappedHeap::new(4096, Config::new(64)).expect("there is memory");
    let held = heap.lock_all();
    let mut svg = String::new();
    let answer = picture::draw(&*heap, &"title", &"note", &mut svg);
    assert!(matches!(answer, Err(PictureError::Reentered(_))), "{answer:?}");
    assert_eq!(svg, "");
    drop(held);
    assert_eq!(picture::draw(&*heap, &"title", &"note", &mut svg), Ok(()));
}

#[test]
fn what_takes_no_more_is_an_error() {
    struct Full(usize);
    impl Write for Full {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let heap = used_heap(65_536, Config::new(64), 3);
    let length = drawn(&heap).len();
    for room in [0, 100, length / 2, length - 1] {
        assert_eq!(picture::draw(&*heap, &"title", &"note", &mut Full(room)), Err(PictureError::Write(fmt::Error)));
    }
    assert_eq!(picture::draw(&*heap, &"title", &"note", &mut Full(length)), Ok(()));
}

#[test]
fn a_picture_is_whole_while_other_threads_use_the_heap() {
    let (heap, end) = (&used_heap(1 << 20, Config::new(64), 11), &AtomicBool::new(false));
    thread::scope(|scope| {
        for seed in 0..3 {
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                while !end.load(Ordering::Relaxed) {
                    let objects: Vec<_> = (0..50).filter_map(|_| heap.alloc(random.usize(1..2000)).ok()).collect();
                    objects.into_iter().for_each(|object| free(heap, object.as_ptr()));
                }
            });
        }
        for _ in 0..30 {
            let svg = drawn(heap);
            Document::parse(&svg).expect("it is XML");
            assert!(svg.len() <= LARGEST);
        }
        end.store(true, Ordering::Relaxed);
    });
}

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(object, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn drawing_allocates_nothing() {
    struct Nowhere(usize);
    impl Write for Nowhere {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let (heap, mut out) = (used_heap(1 << 20, Config::new(64), 5), Nowhere(0));
    let before = ALLOCATIONS.get();
    picture::draw(&*heap, &"title", &"note", &mut out).expect("nobody is in the heap");
    assert_eq!(ALLOCATIONS.get(), before);
    assert!(out.0 > 10_000);
    drop(vec![1]);
    assert_eq!(ALLOCATIONS.get(), before + 1, "they are counted");
}

// Words.

#[test]
fn numbers_are_written_as_people_read_them() {
    for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (u64::MAX, "18,446,744,073,709,551,615")] {
        assert_eq!(Grouped(number).to_string(), text);
    }
    for (count, text) in [(0, "0 holes"), (1, "1 hole"), (1000, "1,000 holes")] {
        assert_eq!(Count(count, "hole").to_string(), text);
    }
    for (bytes, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1025, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (65_536, "64 KiB"),
        (1_003_520, "980 KiB"),
        (102_348, "99.9 KiB"),
        (102_399, "100.0 KiB"),
        (102_401, "100 KiB"),
        (1 << 20, "1 MiB"),
        (786_432, "768 KiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 36, "64 GiB"),
        (u64::MAX, "16777216 TiB"),
    ] {
        assert_eq!(Bytes(bytes).to_string(), text, "{bytes}");
    }
    for (bytes, bits, text) in
        [(0, 10, "0 KiB"), (1_310_720, 18, "1,280 KiB"), (5 << 20, 20, "5 MiB"), (512, 9, "512 B")]
    {
        assert_eq!(Multiple { bytes, bits }.to_string(), text);
    }
    for (part, whole, text) in
        [(0, 0, "0.0 %"), (1, 3, "33.3 %"), (2, 3, "66.6 %"), (999_999, 1_000_000, "99.9 %"), (5, 5, "100.0 %")]
    {
        assert_eq!(Share(part, whole).to_string(), text);
    }
}
