//! Numbers and words as a person reads them, without allocating.

use core::fmt::{self, Write};

/// A number in groups of three digits: `1,048,576`.
#[derive(Clone, Copy, Debug)]
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b' '; 26];
        let mut start = text.len();
        let mut rest = self.0;
        for (index, place) in text.iter_mut().rev().enumerate() {
            if index % 4 == 3 {
                *place = b',';
                continue;
            }
            *place = b'0' + (rest % 10) as u8;
            start = 25 - index;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        f.pad(text.get(start..).and_then(|digits| core::str::from_utf8(digits).ok()).unwrap_or("?"))
    }
}

/// So many of something: `1 gap`, `2,177 gaps`.
#[derive(Clone, Copy, Debug)]
pub struct Count(pub u64, pub &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, what) = *self;
        write!(f, "{} {what}{}", Grouped(count), if count == 1 { "" } else { "s" })
    }
}

/// Units with the powers of two that they are.
const UNITS: [(&str, u32); 5] = [("B", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];

/// A count of bytes in the largest unit of which there is one: `64 KiB`, `1.5 GiB`. Below 100 units with one decimal, unless
/// it is exact without.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        let fits = |&&(_, shift): &&(&str, u32)| bytes >> shift > 0;
        let &(unit, shift) = UNITS.iter().rev().find(fits).unwrap_or(&("B", 0));
        let whole = bytes >> shift;
        if whole << shift == bytes {
            return write!(f, "{whole} {unit}");
        }
        // Not exact, so that the unit has a half.
        let half = 1u128 << (shift - 1);
        let rounded = |factor: u128| (u128::from(bytes) * factor + half) >> shift;
        if whole >= 100 {
            return write!(f, "{} {unit}", rounded(1));
        }
        write!(f, "{}.{} {unit}", rounded(10) / 10, rounded(10) % 10)
    }
}

/// A multiple of a power of two bytes, exactly: in the largest unit that divides that power.
#[derive(Clone, Copy, Debug)]
pub struct Multiple {
    /// How many bytes.
    pub bytes: u64,
    /// The power of two.
    pub bits: u32,
}

impl fmt::Display for Multiple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divides = |&&(_, shift): &&(&str, u32)| shift <= self.bits;
        let &(unit, shift) = UNITS.iter().rev().find(divides).unwrap_or(&("B", 0));
        write!(f, "{} {unit}", Grouped(self.bytes >> shift))
    }
}

/// How much of the second the first is, in percent with one decimal, rounded down, so that 100 means all; 0 of nothing.
#[derive(Clone, Copy, Debug)]
pub struct Share(pub u64, pub u64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(part, whole) = *self;
        let tenths = (u128::from(part) * 1000).checked_div(u128::from(whole)).unwrap_or(0);
        write!(f, "{}.{} %", tenths / 10, tenths % 10)
    }
}

/// Puts what is written into XML text: no byte of it is markup, and what XML has no way to say is a question mark.
pub(crate) struct Escaping<'w, W>(pub(crate) &'w mut W);

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|letter| match letter {
            '&' => self.0.write_str("&amp;"),
            '<' => self.0.write_str("&lt;"),
            '>' => self.0.write_str("&gt;"),
            '\u{fffe}' | '\u{ffff}' => self.0.write_char('?'),
            control if control.is_control() => self.0.write_char('?'),
            plain => self.0.write_char(plain),
        })
    }
}
