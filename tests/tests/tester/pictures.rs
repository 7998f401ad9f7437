//! What the pictures of a heap show is what is in the heap: every cell of an SVG beside the granules that it stands for.

mod cells;
mod drawn;
mod words;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::{self, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use roxmltree::Document;
use slabfit::{Block, Config, Segment, State};
use slabfit_linux::picture::{self, LARGEST, PictureError};
use slabfit_linux::{MappedHeap, ProcessHeap};

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
