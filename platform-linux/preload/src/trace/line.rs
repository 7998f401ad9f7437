//! The text of one record, made without allocating.
#![deny(unsafe_code)]

/// More than a record can have: its longest line, which opens a trace, has some 250 bytes.
const LONGEST: usize = 512;

/// The lines that one call leaves in a trace. The last of them is the record itself, those before it say more about it.
pub(crate) struct Lines {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Lines {
    pub(crate) const fn none() -> Self {
        Self { bytes: [0; LONGEST], len: 0 }
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        text.bytes().for_each(|byte| self.byte(byte));
        self
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        // Not reached: a record that is longer.
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        const MOST_DIGITS: usize = 20;
        let mut digits = [0; MOST_DIGITS];
        let mut count = 0;
        let mut rest = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        digits.iter().skip(MOST_DIGITS - count).for_each(|&digit| self.byte(digit));
        self
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// What stands at `index` until all bytes are stored, where that is not the byte itself: with it, every beginning of the
    /// lines is one of comments. (`#-a 100` was `# a 100` before, and `f 7` was `# 7`.)
    pub(crate) fn placeholder(&self, index: usize) -> Option<u8> {
        let begins_line = |at: usize| at == 0 || self.bytes.get(at - 1) == Some(&b'\n');
        let is_sign = |at: usize| self.bytes.get(at) == Some(&b'#');
        if begins_line(index) && !is_sign(index) {
            return Some(b'#');
        }
        let behind_sign = index > 0 && is_sign(index - 1) && begins_line(index - 1);
        behind_sign.then_some(b' ')
    }
}

impl core::fmt::Write for Lines {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.text(text);
        Ok(())
    }
}

/// A number as it stands in the header of a trace: of fixed width, counted up without a division.
#[derive(Clone, Copy)]
pub(crate) struct Digits([u8; Self::WIDTH]);

impl Digits {
    pub(crate) const WIDTH: usize = 16;

    pub(crate) const ZERO: Self = Self([b'0'; Self::WIDTH]);

    pub(crate) fn of(number: u64) -> Self {
        let mut digits = Self::ZERO;
        let mut rest = number;
        for digit in digits.0.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        digits
    }

    pub(crate) fn increment(&mut self) {
        for digit in self.0.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }

    /// Eight digits each, as they lie in memory: the first ones, and the last.
    pub(crate) fn halves(&self) -> [u64; 2] {
        let half = |from: usize| {
            let mut bytes = [0; 8];
            bytes.iter_mut().zip(self.0.iter().skip(from)).for_each(|(to, &from)| *to = from);
            u64::from_ne_bytes(bytes)
        };
        [half(0), half(8)]
    }
}
