//! What is drawn of a heap, read back from the SVG.

use roxmltree::{Document, Node};
use slabfit::{Block, Config, GRANULE, Segment, State};
use slabfit_linux::MappedHeap;
use slabfit_linux::text::Bytes;

use super::{SIZES, bytes_in, drawn, free, in_segment, used_heap};

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
