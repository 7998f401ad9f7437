//! An arena: one region for all that a piece of work needs, given back whole when the work is done. Nothing is freed
//! object by object; the heap is dropped, and the next one begins in the same bytes.
//!
//! `cargo run -p slabfit --example arena`

use std::alloc::Layout;

use slabfit::{AllocError, Config, Heap, InitError};

const TEXTS: [&str; 3] = [
    "the quick brown fox jumps over the lazy dog",
    "she sells sea shells by the sea shore",
    "a rose is a rose is a rose",
];

/// The words of a text in order, each once: a tree that nobody takes apart again.
#[derive(Default)]
struct Words<'h> {
    root: Option<&'h mut Node<'h>>,
}

struct Node<'h> {
    word: &'h str,
    count: u32,
    before: Words<'h>,
    after: Words<'h>,
}

/// Puts a value into the arena. It is not dropped, so that it should own nothing outside.
#[expect(clippy::mut_from_ref, reason = "every call gives out another object")]
fn put<'h, T>(arena: &'h Heap<'_>, value: T) -> Result<&'h mut T, AllocError> {
    let place = arena.alloc_layout(Layout::new::<T>())?.cast::<T>();
    // SAFETY: memory of the layout of a `T` that nobody else has.
    unsafe { place.write(value) };
    // SAFETY: a `T`, just written; nobody else has it, and nobody frees it while the arena is borrowed.
    Ok(unsafe { &mut *place.as_ptr() })
}

impl<'h> Words<'h> {
    fn count(&mut self, arena: &'h Heap<'_>, word: &'h str) -> Result<(), AllocError> {
        match &mut self.root {
            None => {
                let (before, after) = Default::default();
                self.root = Some(put(arena, Node { word, count: 1, before, after })?);
                Ok(())
            }
            Some(node) if word == node.word => {
                node.count += 1;
                Ok(())
            }
            Some(node) if word < node.word => node.before.count(arena, word),
            Some(node) => node.after.count(arena, word),
        }
    }

    fn print(&self) {
        if let Some(node) = &self.root {
            node.before.print();
            print!(" {} x {}", node.count, node.word);
            node.after.print();
        }
    }
}

fn main() -> Result<(), InitError> {
    let mut buffer = Vec::with_capacity(4096);
    for text in TEXTS {
        let arena = Heap::new(buffer.spare_capacity_mut(), Config::new(size_of::<Node>()))?;
        let mut words = Words::default();
        let counted = text.split(' ').try_for_each(|word| words.count(&arena, word));
        words.print();
        println!();
        assert_eq!(counted, Ok(()), "a text is larger than the arena");
        assert!(arena.stats().is_ok_and(|stats| stats.slab.live_objects > 0));
    }
    buffer.push(0u8); // the bytes are the buffer's again
    Ok(())
}
