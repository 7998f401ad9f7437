//! Reads the lines of a trace, and makes sure that they make sense in their order.

use std::collections::HashMap;

use super::{Operation, Trace};
use crate::tester::extension::{self, Event, Line, Note, Recorded, Wish};
use crate::tester::trace_error::TraceFault;

/// What has been read so far.
#[derive(Default)]
pub struct Reader {
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
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn line(&mut self, line: &[u8]) -> Result<(), TraceFault> {
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
    pub fn may_be_cut(&self) -> bool {
        self.trace.recorded.as_ref().is_some_and(|recorded| !recorded.ended)
    }

    /// The whole trace.
    ///
    /// # Errors
    /// If the header promises another.
    pub fn finish(self) -> Result<Trace, TraceFault> {
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
