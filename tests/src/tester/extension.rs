//! What a recording says beyond the operations, in lines that begin with `#`; `slabfit-preload`, which writes them, has the
//! list. A trace without the line that opens a recording has none of them: there such lines are comments.

use slabfit::MAX_HEAP;

use crate::model::Placement;

/// What was recorded, and of each operation what its own line does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The heap, and the process.
    pub setup: Setup,
    /// One for each operation of the trace.
    pub notes: Vec<Note>,
    /// The calls that changed no object, each with the index of the operation that came next.
    pub events: Vec<(usize, Event)>,
    /// Where calls came from, each kind once: return addresses, the innermost first.
    pub sites: Vec<Vec<u64>>,
    /// The code that these addresses lie in.
    pub code: Vec<Code>,
    /// The process came to its exit: it was not killed, and executed no other program.
    pub ended: bool,
}

/// Code of the process, as it was mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Its addresses, from the first one on.
    pub start: u64,
    /// The first address behind it.
    pub end: u64,
    /// Where its first byte stands in the file.
    pub offset: u64,
    /// The file; empty for code that no file holds.
    pub file: String,
}

/// The line that opens a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Bytes of the heap.
    pub heap: u64,
    /// Slot size of the slab, in bytes; 0 for none.
    pub slab_size: u64,
    /// How the heap places objects.
    pub placement: Placement,
    /// Address of the heap's first byte.
    pub base: u64,
    /// The process's number.
    pub process: u64,
    /// The program's name.
    pub program: String,
}

/// What is known of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Where its object came to lie, in bytes from the heap's first; none for a free.
    pub at: Option<u64>,
    /// How a request was meant.
    pub wish: Wish,
    /// The thread that made the call.
    pub thread: u64,
    /// Where the call came from, as an index into [`Recorded::sites`].
    pub site: Option<u32>,
}

/// What a request asks for beside its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The alignment, a power of two.
    pub alignment: u64,
    /// All bytes zero.
    pub zeroed: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self { alignment: 1, zeroed: false }
    }
}

/// Where an address that was refused lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the heap, in bytes from its first.
    Offset(u64),
    /// Outside of it.
    Address(u64),
}

/// A call that changed no object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request got no memory.
    NotAllocated {
        /// Bytes asked for.
        size: u64,
        /// What else was asked for.
        wish: Wish,
        /// What the heap said.
        why: String,
    },
    /// A live object kept its size.
    NotReallocated {
        /// The object, by the trace's count.
        object: u32,
        /// Bytes asked for.
        size: u64,
        /// What the heap said.
        why: String,
    },
    /// An address was no live object's.
    Refused {
        /// The address.
        place: Place,
        /// Bytes asked for, where it was to be resized and not to be freed.
        size: Option<u64>,
        /// What the heap said.
        reason: String,
    },
    /// The magazines of the size classes were emptied, which changes where later objects lie.
    Emptied,
    /// So many calls came from a signal handler that had interrupted the heap.
    Interrupted(u64),
    /// From here on the process is a child of the one before.
    Forked(u64),
}

/// A line, as the extension has it. An id is the trace's own, and still to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Where the object of the next operation came to lie.
    Placed(u64, Wish),
    /// Where the next call came from.
    Site(Vec<u64>),
    /// Code that these addresses lie in.
    Code(Code),
    /// Who makes the calls from here on.
    Thread(u64),
    /// A call that changed no object, but for [`Event::NotReallocated`].
    Event(Event),
    /// [`Event::NotReallocated`] with the trace's id.
    NotReallocated(u64, u64, String),
    /// The process came to its exit.
    End,
    /// No line of the extension.
    Comment,
}

/// Whether a line opens a recording.
#[must_use]
pub fn opens(line: &str) -> bool {
    line.split_ascii_whitespace().next() == Some("#slabfit")
}

/// Reads the line that opens a recording; `None` where it is malformed, or of another version.
#[must_use]
pub fn setup(line: &str) -> Option<Setup> {
    let fields = line.trim_end().strip_prefix("#slabfit 1 ")?;
    let field = |name: &str| fields.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    let number = |name: &str| field(name)?.parse::<u64>().ok();
    let placement = match field("placement")? {
        "first" => Placement::FirstFit,
        "next" => Placement::NextFit,
        "general" => Placement::General,
        _ => return None,
    };
    Some(Setup {
        heap: number("heap").filter(|heap| (1..=MAX_HEAP as u64).contains(heap))?,
        slab_size: number("slab")?,
        placement,
        base: u64::from_str_radix(field("base")?.strip_prefix("0x")?, 16).ok()?,
        process: number("pid")?,
        program: field("program")?.to_owned(),
    })
}

/// Reads another line of a recording; `None` where it is malformed.
#[must_use]
pub fn line(line: &str) -> Option<Line> {
    let mut words = Words(line.trim_end());
    let first = words.next();
    let number = |text: &str| text.parse::<u64>().ok();
    Some(match first {
        "#t" => Line::Thread(words.number()?),
        "#s" => Line::Site(words.rest().split(' ').map(address).collect::<Option<_>>()?),
        "#code" => {
            let mut number = || address(words.next());
            let (start, end, offset) = (number()?, number()?, number()?);
            Line::Code(Code { start, end, offset, file: words.rest() })
        }
        "#fork" => Line::Event(Event::Forked(words.number()?)),
        "#m" => Line::Event(Event::Emptied),
        "#end" => Line::End,
        "#-a" => {
            let size = words.number()?;
            let wish = words.wish();
            Line::Event(Event::NotAllocated { size, wish, why: words.rest() })
        }
        "#-r" => Line::NotReallocated(words.number()?, words.number()?, words.rest()),
        "#!f" => Line::Event(Event::Refused { place: place(words.next())?, size: None, reason: words.rest() }),
        "#!r" => {
            let (place, size) = (place(words.next())?, Some(words.number()?));
            Line::Event(Event::Refused { place, size, reason: words.rest() })
        }
        "#!i" => Line::Event(Event::Interrupted(words.number()?)),
        _ => match first.strip_prefix("#@") {
            Some(at) => {
                let (at, wish) = (number(at)?, words.wish());
                words.rest().is_empty().then_some(Line::Placed(at, wish))?
            }
            None => Line::Comment,
        },
    })
}

fn place(word: &str) -> Option<Place> {
    match word.starts_with("0x") {
        true => address(word).map(Place::Address),
        false => word.parse().ok().map(Place::Offset),
    }
}

fn address(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn next(&mut self) -> &'a str {
        let (word, rest) = self.0.split_once(' ').unwrap_or((self.0, ""));
        self.0 = rest;
        word
    }

    fn number(&mut self) -> Option<u64> {
        self.next().parse().ok()
    }

    fn wish(&mut self) -> Wish {
        let mut wish = Wish::default();
        loop {
            let before = self.0;
            match self.next() {
                "z" => wish.zeroed = true,
                word => match word.strip_prefix('m').and_then(|digits| digits.parse::<u64>().ok()) {
                    Some(alignment) if alignment.is_power_of_two() => wish.alignment = alignment,
                    _ => {
                        self.0 = before;
                        return wish;
                    }
                },
            }
        }
    }

    fn rest(&mut self) -> String {
        core::mem::take(&mut self.0).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_opening_line_names_heap_and_process() {
        let read = setup("#slabfit 1 heap=4096 slab=64 placement=next base=0x7f00 pid=17 program=ls\n");
        let (heap, slab_size, placement, base) = (4096, 64, Placement::NextFit, 0x7f00);
        let expected = Setup { heap, slab_size, placement, base, process: 17, program: "ls".to_owned() };
        assert_eq!(read, Some(expected));
        for wrong in [
            "#slabfit 2 heap=4096 slab=64 placement=next base=0x7f00 pid=17 program=ls",
            "#slabfit 1 slab=64 placement=next base=0x7f00 pid=17 program=ls",
            "#slabfit 1 heap=4096 slab=64 placement=best base=0x7f00 pid=17 program=ls",
            "#slabfit 1 heap=0 slab=64 placement=next base=0x7f00 pid=17 program=ls",
            "#slabfit 1 heap=68719476737 slab=64 placement=next base=0x7f00 pid=17 program=ls",
            "#slabfit 1 heap=4096 slab=-1 placement=next base=0x7f00 pid=17 program=ls",
            "#slabfit 1 heap=x slab=64 placement=next base=0x7f00 pid=17 program=ls",
        ] {
            assert!(opens(wrong) && setup(wrong).is_none(), "{wrong}");
        }
        assert!(!opens("# slabfit") && !opens("#slabfitted"));
    }

    #[test]
    fn every_line_is_read_as_it_is_written() {
        let aligned = Wish { alignment: 64, zeroed: true };
        for (text, expected) in [
            ("#@1040", Line::Placed(1040, Wish::default())),
            ("#@1040 m64 z\n", Line::Placed(1040, aligned)),
            ("#t 4711", Line::Thread(4711)),
            (
                "#-a 100 m64 z the heap is full",
                Line::Event(Event::NotAllocated { size: 100, wish: aligned, why: "the heap is full".into() }),
            ),
            ("#-r 7 100 the heap is too fragmented", Line::NotReallocated(7, 100, "the heap is too fragmented".into())),
            (
                "#!f 32 double free",
                Line::Event(Event::Refused { place: Place::Offset(32), size: None, reason: "double free".into() }),
            ),
            (
                "#!r 0xff 9 outside the heap",
                Line::Event(Event::Refused {
                    place: Place::Address(255),
                    size: Some(9),
                    reason: "outside the heap".into(),
                }),
            ),
            ("#m", Line::Event(Event::Emptied)),
            ("#!i 3", Line::Event(Event::Interrupted(3))),
            ("#s 0x1f 0x20", Line::Site(vec![31, 32])),
            (
                "#code 0x1000 0x2000 0x40 /bin/a program",
                Line::Code(Code { start: 4096, end: 8192, offset: 64, file: "/bin/a program".into() }),
            ),
            ("#code 0x1000 0x2000 0x0 ", Line::Code(Code { start: 4096, end: 8192, offset: 0, file: String::new() })),
            ("#fork 12", Line::Event(Event::Forked(12))),
            ("#end", Line::End),
            ("# 1040 is what it says", Line::Comment),
        ] {
            assert_eq!(line(text), Some(expected), "{text:?}");
        }
        for wrong in [
            "#@",
            "#@x",
            "#@1 m3",
            "#@1 2",
            "#t",
            "#t x",
            "#-a",
            "#-r 1",
            "#!f x",
            "#!r 1",
            "#!i",
            "#fork",
            "#s",
            "#s 12",
            "#code 0x1",
        ] {
            assert_eq!(line(wrong), None, "{wrong:?}");
        }
    }
}
