//! A table of operations: what is asked, the answer, the rover and the gaps.

use std::fmt::Write;
use std::ptr::NonNull;

use super::{OneThreadHeap, free, gaps, offset, on_a_heap, rover};

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
pub(crate) fn the_65th() -> String {
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
pub(crate) fn the_rover() -> String {
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
