//! The program's code as the kernel has it mapped: which file a return address lies in.
#![deny(unsafe_code)]

use core::fmt::Write;

use rustix::fs::OFlags;
use rustix::io::{read, retry_on_intr};

use crate::libc::open;
use crate::trace::line::Lines;

/// Mappings of code that are told apart.
const MOST: usize = 512;

/// Pages of which is remembered that they hold no code.
const PAGES: usize = 64;

/// The mappings of code that the trace has a line of, and pages that were in none when they were last looked for.
pub(crate) struct Modules {
    ranges: [(usize, usize); MOST],
    count: usize,
    others: [usize; PAGES],
}

/// Bytes of a mapping's line that are read: what is longer is cut off, in the name of its file.
const LINE: usize = 400;

impl Modules {
    pub(crate) const NONE: Self = Self { ranges: [(0, 0); MOST], count: 0, others: [0; PAGES] };

    fn have(&self, address: usize) -> bool {
        self.ranges.iter().take(self.count).any(|&(start, end)| (start..end).contains(&address))
    }

    /// Whether an address lies in code. `tell` gets a line for each mapping that none was told of before.
    pub(crate) fn find(&mut self, address: usize, tell: impl FnMut(&Lines)) -> bool {
        if self.have(address) {
            return true;
        }
        let page = address >> 12;
        if self.others.get(page % PAGES).is_some_and(|&other| other == page) {
            return false;
        }
        self.look(tell);
        let found = self.have(address);
        if let Some(other) = self.others.get_mut(page % PAGES).filter(|_| !found) {
            *other = page;
        }
        found
    }

    /// Reads which mappings there are.
    fn look(&mut self, mut tell: impl FnMut(&Lines)) {
        let Ok(file) = open(c"/proc/self/maps", OFlags::RDONLY) else { return };
        let (mut line, mut len, mut piece) = ([0; LINE], 0, [0; 1024]);
        while let Ok(count @ 1..) = retry_on_intr(|| read(&file, &mut piece)) {
            for &byte in piece.iter().take(count) {
                if byte != b'\n' {
                    if let Some(place) = line.get_mut(len) {
                        *place = byte;
                        len += 1;
                    }
                    continue;
                }
                let text = line.get(..len).unwrap_or_default();
                if let Some(mapping) = Mapping::read(text).filter(|mapping| !self.have(mapping.start)) {
                    if let Some(place) = self.ranges.get_mut(self.count) {
                        *place = (mapping.start, mapping.end);
                        self.count += 1;
                        tell(&mapping.line());
                    }
                }
                len = 0;
            }
        }
    }
}

/// A mapping of code.
struct Mapping<'a> {
    start: usize,
    end: usize,
    /// Where it begins in its file.
    offset: usize,
    /// The file; empty where there is none.
    file: &'a [u8],
}

impl<'a> Mapping<'a> {
    /// Reads a line of the kernel's, `START-END rwxp OFFSET DEVICE INODE FILE`; `None` for what is no code.
    fn read(line: &'a [u8]) -> Option<Self> {
        let mut words = line.splitn(6, |&byte| byte == b' ');
        let (range, access, offset) = (words.next()?, words.next()?, words.next()?);
        (access.get(2) == Some(&b'x')).then_some(())?;
        let dash = range.iter().position(|&byte| byte == b'-')?;
        let file = words.nth(2).unwrap_or_default().trim_ascii_start();
        let (start, end) = (hex(range.get(..dash)?)?, hex(range.get(dash + 1..)?)?);
        Some(Self { start, end, offset: hex(offset)?, file })
    }

    fn line(&self) -> Lines {
        let mut lines = Lines::none();
        // There is room for it: see `Lines`.
        let _ = write!(lines, "#code {:#x} {:#x} {:#x} ", self.start, self.end, self.offset);
        self.file.iter().for_each(|&byte| lines.byte(byte));
        lines.byte(b'\n');
        lines
    }
}

fn hex(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0usize, |number, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        number.checked_mul(16)?.checked_add(digit as usize)
    })
}
