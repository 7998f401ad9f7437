//! Traces of real programs in the `.rep` text form of the malloc labs, plain or zstd-compressed.
//!
//! A trace is one operation a line: `a ID SIZE` allocates, `r ID SIZE` reallocates, `f ID` frees. Four lines of one
//! number each may stand before them (suggested heap size, number of ids, number of operations, weight); blank lines
//! and lines that begin with `#` are skipped, but for those of a [recording](Recorded). An id may be used again once it is free.
//!
//! Traces come from anywhere, so every byte of one is doubted: whatever the bytes, reading ends in a [`Trace`] whose
//! operations make sense in their order, or in a [`TraceError`] that names the line.

use core::fmt;
use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use crate::tester::extension::{self, Event, Line, Note, Recorded, Wish};
use crate::tester::trace_error::LONGEST_LINE;
pub use crate::tester::trace_error::{TraceError, TraceFault};

/// One step of a program. `object` counts the allocations of the trace from 0, whatever id the trace gave them, so that
/// whoever replays it can keep them in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The program asks for memory.
    Allocate {
        /// Which allocation of the trace this is.
        object: u32,
        /// Bytes asked for.
        size: u64,
    },
    /// The program asks for a live object to have another size.
    Reallocate {
        /// The allocation that is resized.
        object: u32,
        /// Bytes asked for.
        size: u64,
    },
    /// The program gives an object back.
    Free {
        /// The allocation that is freed.
        object: u32,
    },
}

/// A whole trace: every reallocate and free names an object that is live at that point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    operations: Vec<Operation>,
    ids: Vec<u64>,
    peak_bytes: u128,
    peak_at: usize,
    recorded: Option<Box<Recorded>>,
}

impl Trace {
    /// Reads the text form.
    ///
    /// # Errors
    /// The first line that is malformed, or that could not be read.
    pub fn read(text: impl BufRead) -> Result<Self, TraceError> {
        let mut reader = Reader::default();
        let mut lines = Lines { text, number: 0, line: Vec::new() };
        loop {
            match lines.next_line() {
                Ok(Some(line)) => reader.line(line).map_err(|reason| TraceError { line: lines.number, reason })?,
                Ok(None) => break,
                // The last frame of a process that was killed while the file grew. Whether all is there the header says.
                Err(TraceError { reason: TraceFault::Unreadable(_), .. }) if reader.may_be_cut() => break,
                Err(error) => return Err(error),
            }
        }
        reader.finish().map_err(|reason| TraceError { line: lines.number, reason })
    }

    /// Reads a file's bytes: zstd where they begin as zstd does, else the text itself. `limit` bounds the text, because
    /// a few kilobytes of zstd can claim terabytes.
    ///
    /// # Errors
    /// As [`Trace::read`].
    pub fn decode(bytes: &[u8], limit: u64) -> Result<Self, TraceError> {
        let text: Box<dyn Read + '_> = if bytes.starts_with(&ZSTD_MAGIC) {
            let unreadable =
                |error: io::Error| TraceError { line: 1, reason: TraceFault::Unreadable(error.to_string()) };
            Box::new(zstd::Decoder::with_buffer(bytes).map_err(unreadable)?)
        } else {
            Box::new(bytes)
        };
        Self::read(io::BufReader::new(Limited { inner: text, left: limit }))
    }

    /// The operations in their order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// How many objects are ever allocated.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.ids.len()
    }

    /// Most bytes live at once, as the program asked for them.
    #[must_use]
    pub fn peak_bytes(&self) -> u128 {
        self.peak_bytes
    }

    /// Index of the operation after which [`peak_bytes`](Self::peak_bytes) were live for the first time.
    #[must_use]
    pub fn peak_at(&self) -> usize {
        self.peak_at
    }

    /// What the trace says beyond the operations, if it was recorded by `libmem_preload.so`.
    #[must_use]
    pub fn recorded(&self) -> Option<&Recorded> {
        self.recorded.as_deref()
    }

    /// The id that the trace has for an object.
    #[must_use]
    pub fn id(&self, object: u32) -> u64 {
        self.ids[object as usize]
    }

    /// The operation at `index` as messages name it: its number, counted from 1, and how the trace writes it.
    #[must_use]
    pub fn describe(&self, index: usize) -> String {
        if index >= self.operations.len() {
            return "after the last operation".to_owned();
        }
        format!("at operation {}, '{}'", index + 1, self.written(index))
    }

    /// The operation at `index` as the trace writes it.
    #[must_use]
    pub fn written(&self, index: usize) -> String {
        let id = |object: u32| self.id(object);
        match self.operations.get(index) {
            Some(&Operation::Allocate { object, size }) => format!("a {} {size}", id(object)),
            Some(&Operation::Reallocate { object, size }) => format!("r {} {size}", id(object)),
            Some(&Operation::Free { object }) => format!("f {}", id(object)),
            None => String::new(),
        }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    trace: Trace,
    header: Vec<u64>,
    /// Live ids: their object and its size.
    live: HashMap<u64, (u32, u64)>,
    live_bytes: u128,
    /// What the lines of a recording say about the next operation.
    placed: Option<(u64, Wish)>,
    thread: u64,
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), TraceFault> {
        let mut fields = Fields { words: line };
        let Some(first) = fields.next_word() else { return Ok(()) };
        if first.starts_with(b"#") {
            return self.extension(line);
        }
        if self.is_in_header(first) {
            let number = number("header number", first)?;
            fields.end()?;
            self.header.push(number);
            return Ok(());
        }
        match first {
            b"a" => self.allocate(fields.number("id")?, fields.number("size")?)?,
            b"r" => self.reallocate(fields.number("id")?, fields.number("size")?)?,
            b"f" => self.free(fields.number("id")?)?,
            other => return Err(TraceFault::UnknownOperation(printable(other))),
        }
        fields.end()
    }

    fn extension(&mut self, line: &[u8]) -> Result<(), TraceFault> {
        let malformed = || TraceFault::Extension(printable(line.trim_ascii()));
        // What is no UTF-8 is a comment, or will be malformed.
        let text = core::str::from_utf8(line).unwrap_or("#?");
        if extension::opens(text) && self.trace.recorded.is_none() && self.trace.operations.is_empty() {
            let setup = extension::setup(text).ok_or_else(malformed)?;
            let (notes, events) = (Vec::new(), Vec::new());
            self.trace.recorded = Some(Box::new(Recorded { setup, notes, events, ended: false }));
            return Ok(());
        }
        let Some(recorded) = &mut self.trace.recorded else { return Ok(()) };
        let next = self.trace.operations.len();
        match extension::line(text).ok_or_else(malformed)? {
            Line::Placed(..) if self.placed.is_some() => return Err(TraceFault::Unplaced),
            Line::Placed(at, wish) => self.placed = Some((at, wish)),
            Line::Thread(thread) => self.thread = thread,
            Line::Event(event) => recorded.events.push((next, event)),
            Line::NotReallocated(id, size, why) => {
                let &(object, _) = self.live.get(&id).ok_or(TraceFault::NotLive(id))?;
                recorded.events.push((next, Event::NotReallocated { object, size, why }));
            }
            Line::End => recorded.ended = true,
            Line::Comment => {}
        }
        Ok(())
    }

    /// A header is there when the first line that says anything begins with a digit; it then has four lines.
    fn is_in_header(&self, first: &[u8]) -> bool {
        match self.header.len() {
            0 => self.trace.operations.is_empty() && first[0].is_ascii_digit(),
            1..=3 => true,
            _ => false,
        }
    }

    fn allocate(&mut self, id: u64, size: u64) -> Result<(), TraceFault> {
        let object = u32::try_from(self.trace.ids.len()).map_err(|_| TraceFault::TooManyObjects)?;
        if self.live.contains_key(&id) {
            return Err(TraceFault::AlreadyLive(id));
        }
        self.live.insert(id, (object, size));
        self.trace.ids.push(id);
        self.live_bytes += u128::from(size);
        self.push(Operation::Allocate { object, size })
    }

    fn reallocate(&mut self, id: u64, size: u64) -> Result<(), TraceFault> {
        let (object, old) = self.live.get_mut(&id).ok_or(TraceFault::NotLive(id))?;
        let object = *object;
        self.live_bytes = self.live_bytes - u128::from(*old) + u128::from(size);
        *old = size;
        self.push(Operation::Reallocate { object, size })
    }

    fn free(&mut self, id: u64) -> Result<(), TraceFault> {
        let (object, size) = self.live.remove(&id).ok_or(TraceFault::NotLive(id))?;
        self.live_bytes -= u128::from(size);
        self.push(Operation::Free { object })
    }

    fn push(&mut self, operation: Operation) -> Result<(), TraceFault> {
        if let Some(recorded) = &mut self.trace.recorded {
            let placed = self.placed.take();
            if placed.is_none() != matches!(operation, Operation::Free { .. }) {
                return Err(TraceFault::Unplaced);
            }
            let (at, wish) = placed.unzip();
            recorded.notes.push(Note { at, wish: wish.unwrap_or_default(), thread: self.thread });
        }
        if self.live_bytes > self.trace.peak_bytes {
            self.trace.peak_bytes = self.live_bytes;
            self.trace.peak_at = self.trace.operations.len();
        }
        self.trace.operations.push(operation);
        Ok(())
    }

    /// Whether this is a recording whose process did not come to its exit.
    fn may_be_cut(&self) -> bool {
        self.trace.recorded.as_ref().is_some_and(|recorded| !recorded.ended)
    }

    fn finish(self) -> Result<Trace, TraceFault> {
        let found = self.trace.operations.len() as u64;
        match *self.header {
            [] => Ok(self.trace),
            [_, _, promised, _] if promised == found => Ok(self.trace),
            // Killed between an operation and its count.
            [_, _, promised, _] if found.checked_sub(promised) == Some(1) && self.may_be_cut() => Ok(self.trace),
            [_, _, promised, _] => Err(TraceFault::OperationCount { promised, found }),
            _ => Err(TraceFault::HeaderCut),
        }
    }
}

/// The words of a line.
struct Fields<'a> {
    words: &'a [u8],
}

impl<'a> Fields<'a> {
    fn next_word(&mut self) -> Option<&'a [u8]> {
        let words = self.words.trim_ascii_start();
        let end = words.iter().position(u8::is_ascii_whitespace).unwrap_or(words.len());
        let (word, rest) = words.split_at(end);
        self.words = rest;
        (!word.is_empty()).then_some(word)
    }

    fn number(&mut self, field: &'static str) -> Result<u64, TraceFault> {
        number(field, self.next_word().ok_or(TraceFault::Missing(field))?)
    }

    fn end(&mut self) -> Result<(), TraceFault> {
        self.next_word().map_or(Ok(()), |word| Err(TraceFault::Surplus(printable(word))))
    }
}

fn number(field: &'static str, word: &[u8]) -> Result<u64, TraceFault> {
    if !word.iter().all(u8::is_ascii_digit) {
        return Err(TraceFault::NotANumber(field, printable(word)));
    }
    printable(word).parse().map_err(|_| TraceFault::NumberTooLarge(field, printable(word)))
}

/// A word as a message can show it: no control characters, and not all of it when it is long.
fn printable(word: &[u8]) -> String {
    const SHOWN: usize = 32;
    let mut text = word[..word.len().min(SHOWN)].escape_ascii().to_string();
    if word.len() > SHOWN {
        text.push_str("...");
    }
    text
}

/// Lines of bounded length, counted from 1.
struct Lines<R> {
    text: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next_line(&mut self) -> Result<Option<&[u8]>, TraceError> {
        let (line, mut text) = (&mut self.line, (&mut self.text).take(LONGEST_LINE));
        line.clear();
        let read = text.read_until(b'\n', line);
        let reason = match read {
            Ok(0) => return Ok(None),
            Ok(_) if !line.ends_with(b"\n") && text.limit() == 0 => TraceFault::LineTooLong,
            Ok(_) => {
                self.number += 1;
                return Ok(Some(line));
            }
            Err(error) if error.get_ref().is_some_and(|inner| inner.is::<TextTooLong>()) => TraceFault::TextTooLong,
            Err(error) => TraceFault::Unreadable(error.to_string()),
        };
        Err(TraceError { line: self.number + 1, reason })
    }
}

/// First bytes of every zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A text that fails, instead of ending, where more than `left` bytes come: a trace cut short would be another trace.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(TextTooLong))?;
        Ok(read)
    }
}

/// Stands inside the `io::Error` that [`Limited`] ends a text with.
#[derive(Debug)]
struct TextTooLong;

impl fmt::Display for TextTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text too long")
    }
}

impl core::error::Error for TextTooLong {}

#[cfg(test)]
mod tests {
    use super::Operation::{Allocate, Free, Reallocate};
    use super::*;

    fn parse(text: &str) -> Result<Trace, TraceError> {
        Trace::decode(text.as_bytes(), 1 << 20)
    }

    fn reason(text: &str) -> (u64, TraceFault) {
        let error = parse(text).expect_err(text);
        (error.line, error.reason)
    }

    #[test]
    fn a_small_trace_is_read_as_it_stands() {
        let trace = parse("a 7 100\n\n  # a comment\r\na 900 50 \r\nr 7 10\nf 900\na 900 1\nf 7").unwrap();
        let expected = [
            Allocate { object: 0, size: 100 },
            Allocate { object: 1, size: 50 },
            Reallocate { object: 0, size: 10 },
            Free { object: 1 },
            Allocate { object: 2, size: 1 },
            Free { object: 0 },
        ];
        assert_eq!(trace.operations(), expected);
        assert_eq!((trace.objects(), trace.peak_bytes(), trace.peak_at()), (3, 150, 1));
        assert_eq!(trace.describe(4), "at operation 5, 'a 900 1'");
    }

    #[test]
    fn the_header_is_optional_and_must_be_true() {
        let body = "a 0 1\nf 0\n";
        assert_eq!(parse(&format!("999\n1\n2\n1\n{body}")), parse(body));
        assert_eq!(reason(&format!("9\n1\n3\n1\n{body}")), (6, TraceFault::OperationCount { promised: 3, found: 2 }));
        assert_eq!(reason("9\n1\n2\n"), (3, TraceFault::HeaderCut));
        assert_eq!(reason("9\n1\na 0 1"), (3, TraceFault::NotANumber("header number", "a".to_owned())));
        assert_eq!(reason("9 1"), (1, TraceFault::Surplus("1".to_owned())));
        assert_eq!(reason("a 0 1\n17\n"), (2, TraceFault::UnknownOperation("17".to_owned())));
    }

    const RECORDING: &str = "#slabfit 1 heap=4096 slab=64 placement=first base=0x0 pid=1 program=p\n";

    #[test]
    fn a_recording_says_more_of_each_operation_and_of_what_was_none() {
        let text = format!("{RECORDING}#t 5\n#@16 m64 z\na 0 9\n#!i 1\n#t 6\n#@32\nr 0 10\n#-r 0 99 full\nf 0\n#end\n");
        let trace = parse(&text).unwrap();
        let recorded = trace.recorded().unwrap();
        let wish = Wish { alignment: 64, zeroed: true };
        let notes = [
            Note { at: Some(16), wish, thread: 5 },
            Note { at: Some(32), wish: Wish::default(), thread: 6 },
            Note { at: None, wish: Wish::default(), thread: 6 },
        ];
        let kept = Event::NotReallocated { object: 0, size: 99, why: "full".to_owned() };
        assert_eq!((&*recorded.notes, recorded.ended), (&notes[..], true));
        assert_eq!(recorded.events, [(1, Event::Interrupted(1)), (2, kept)]);
        // Without its first line all of that is comments.
        let plain = parse(text.strip_prefix(RECORDING).unwrap()).unwrap();
        assert_eq!((plain.recorded(), plain.operations()), (None, trace.operations()));
    }

    #[test]
    fn a_recording_without_its_end_may_be_one_operation_ahead_of_its_header() {
        let text = |promised: u64, end: &str| format!("9\n1\n{promised}\n1\n{RECORDING}#@16\na 0 9\n{end}");
        assert!(parse(&text(1, "")).is_ok() && parse(&text(0, "")).is_ok() && parse(&text(1, "#end")).is_ok());
        for (promised, end) in [(0, "#end"), (2, ""), (u64::MAX, "")] {
            assert_eq!(reason(&text(promised, end)).1, TraceFault::OperationCount { promised, found: 1 });
        }
    }

    #[test]
    fn an_empty_text_is_a_trace_of_nothing() {
        assert_eq!(parse("").unwrap(), Trace::default());
        assert_eq!(parse("0\n0\n0\n0\n").unwrap(), Trace::default());
    }

    #[test]
    fn every_fault_names_its_line() {
        use TraceFault::*;
        for (text, line, expected) in [
            ("a 1 1\nx 1 1", 2, UnknownOperation("x".to_owned())),
            ("a1 1", 1, UnknownOperation("a1".to_owned())),
            ("\n\na", 3, Missing("id")),
            ("a 1", 1, Missing("size")),
            ("a 1 1\nr 1", 2, Missing("size")),
            ("f", 1, Missing("id")),
            ("a one 1", 1, NotANumber("id", "one".to_owned())),
            ("a 1 -1", 1, NotANumber("size", "-1".to_owned())),
            ("a 1 0x10", 1, NotANumber("size", "0x10".to_owned())),
            ("a 18446744073709551616 1", 1, NumberTooLarge("id", "18446744073709551616".to_owned())),
            ("a 1 1 1", 1, Surplus("1".to_owned())),
            ("a 1 1\nf 1 1", 2, Surplus("1".to_owned())),
            ("a 1 1\na 1 1", 2, AlreadyLive(1)),
            ("a 1 1\nf 1\nf 1", 3, NotLive(1)),
            ("r 1 1", 1, NotLive(1)),
        ] {
            assert_eq!(reason(text), (line, expected), "{text:?}");
        }
    }

    #[test]
    fn sizes_and_ids_reach_64_bits() {
        let trace = parse("a 18446744073709551615 18446744073709551615\na 0 18446744073709551615").unwrap();
        assert_eq!(trace.peak_bytes(), 2 * u128::from(u64::MAX));
        assert_eq!(trace.describe(0), "at operation 1, 'a 18446744073709551615 18446744073709551615'");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_escaped_and_cut() {
        assert_eq!(reason("a 1 1\n\u{1}\u{7f}"), (2, TraceFault::UnknownOperation("\\x01\\x7f".to_owned())));
        let long = "y".repeat(100);
        assert_eq!(reason(&long), (1, TraceFault::UnknownOperation(format!("{}...", &long[..32]))));
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_memory() {
        assert_eq!(reason(&format!("a 1 1\n#{}", "x".repeat(5000))), (2, TraceFault::LineTooLong));
        let longest = format!("#{}\na 1 1", "x".repeat(LONGEST_LINE as usize - 2));
        assert_eq!(parse(&longest).unwrap().objects(), 1);
    }

    #[test]
    fn zstd_is_recognised_by_its_first_bytes_and_frames_may_follow_each_other() {
        let frame = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        let file = [frame("a 1 1\n"), frame("f 1\n")].concat();
        assert_eq!(Trace::decode(&file, 100), parse("a 1 1\nf 1\n"));
        let cut = Trace::decode(&file[..file.len() - 3], 100).unwrap_err();
        assert!(matches!(cut, TraceError { line: 2, reason: TraceFault::Unreadable(_) }), "{cut}");
    }

    #[test]
    fn a_text_that_swells_beyond_the_limit_is_refused() {
        let bomb = zstd::encode_all("\n".repeat(1 << 20).as_bytes(), 19).unwrap();
        assert!(bomb.len() < 1000);
        assert_eq!(Trace::decode(&bomb, (1 << 20) - 1).unwrap_err().reason, TraceFault::TextTooLong);
        assert_eq!(Trace::decode(&bomb, 1 << 20), Ok(Trace::default()));
    }

    #[test]
    fn no_bytes_whatever_make_reading_panic() {
        let mut random = fastrand::Rng::with_seed(7);
        let alphabet = b"arf 0123456789\n\n  #-\xff\0";
        for _ in 0..20_000 {
            let length = random.usize(..64);
            let mut bytes: Vec<u8> = (0..length).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
            let _ = Trace::decode(&bytes, 1 << 10);
            bytes.splice(0..0, ZSTD_MAGIC);
            let _ = Trace::decode(&bytes, 1 << 10);
        }
    }
}
