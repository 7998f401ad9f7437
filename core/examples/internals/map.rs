//! The block map: its bits, and what a free sees in its windows.

use std::ops::Range;
use std::ptr::NonNull;

use slabfit::{GRANULE, Segment, State};

use super::{CHUNK, OneThreadHeap, free, gaps, granule, on_a_heap};

/// Returns the two bits of every boundary of the block segment, as their definitions have them: a block starts here; a block
/// ended here.
pub(crate) fn bits(heap: &OneThreadHeap<'_>) -> (Vec<bool>, Vec<bool>) {
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
pub(crate) fn the_map() -> String {
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
pub(crate) fn the_windows() -> String {
    let mut text = String::new();
    on_a_heap(4096, |heap| {
        let block = |name| (name, heap.alloc(9 * GRANULE).expect("there is room"));
        let mut objects: Vec<_> = ('A'..='M').map(block).collect();
        for freed in [7, 5] {
            free(heap, objects.remove(freed).1);
        }
        let (freed, at) = (objects.remove(5), 60);
        objects.push(freed);
        assert_eq!(granule(heap, freed.1.addr().get()), at + 1);
        let ((starts, ends), shown) = (bits(heap), 40..100);
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
