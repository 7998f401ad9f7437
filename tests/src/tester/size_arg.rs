//! Sizes as people write them on a command line: `1048576`, `64K`, `1MiB`.

use core::fmt;

/// The units, each with the power of two it stands for. All are binary: a heap is made of pages, and a unit that is a
/// power of ten would never be one.
const UNITS: [(&str, u32); 9] =
    [("", 0), ("b", 0), ("k", 10), ("kib", 10), ("m", 20), ("mib", 20), ("g", 30), ("gib", 30), ("t", 40)];

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SizeError {
    /// It does not begin with a digit.
    NotANumber,
    /// A unit that is none of ours; `KB` among them, which some read as 1000 and some as 1024.
    UnknownUnit(String),
    /// Nothing fits into it.
    Zero,
    /// More than a 64-bit number of bytes.
    TooLarge,
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber => f.write_str("not a size; write bytes, or a unit as in 64K, 1MiB or 2G"),
            Self::UnknownUnit(unit) => write!(f, "unknown unit '{unit}'; the units are K, KiB, M, MiB, G and GiB"),
            Self::Zero => f.write_str("a size of 0 holds nothing"),
            Self::TooLarge => f.write_str("more bytes than a 64-bit number can count"),
        }
    }
}

impl core::error::Error for SizeError {}

/// Reads a size of at least one byte.
///
/// # Errors
/// [`SizeError`] says what is wrong with `text`.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    if digits.is_empty() {
        return Err(SizeError::NotANumber);
    }
    let unit = unit.trim_start();
    let shift = UNITS
        .iter()
        .find(|(name, _)| unit.eq_ignore_ascii_case(name))
        .map(|&(_, shift)| shift)
        .ok_or_else(|| SizeError::UnknownUnit(unit.to_owned()))?;
    // The digits are digits, so only their count can be wrong.
    let number: u64 = digits.parse().map_err(|_| SizeError::TooLarge)?;
    match number.checked_mul(1 << shift) {
        None => Err(SizeError::TooLarge),
        Some(0) => Err(SizeError::Zero),
        Some(bytes) => Ok(bytes),
    }
}

/// Parses a size that this machine can address; the error is a sentence for the command line.
///
/// # Errors
/// What is wrong with `text`, in words.
pub fn size(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text).map_err(|error| error.to_string())?;
    usize::try_from(bytes).map_err(|_| "more bytes than this machine can address".to_owned())
}

/// Parses a slab's slot size, or 0 for a heap without a slab.
///
/// # Errors
/// What is wrong with `text`, in words.
pub fn slab_size(text: &str) -> Result<usize, String> {
    if text == "0" { Ok(0) } else { size(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_a_power_of_two() {
        for (text, bytes) in [
            ("1048576", 1 << 20),
            ("64K", 64 << 10),
            ("64k", 64 << 10),
            ("64KiB", 64 << 10),
            ("1M", 1 << 20),
            ("1MiB", 1 << 20),
            ("1 MiB", 1 << 20),
            ("3G", 3 << 30),
            ("2GiB", 2 << 30),
            ("1T", 1 << 40),
            ("17b", 17),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_by_its_reason() {
        for text in ["", "-1", "K", "one", " 1", "+1"] {
            assert_eq!(parse_size(text), Err(SizeError::NotANumber), "{text:?}");
        }
        for (text, unit) in [("1KB", "KB"), ("1.5M", ".5M"), ("1e6", "e6"), ("10 apples", "apples")] {
            assert_eq!(parse_size(text), Err(SizeError::UnknownUnit(unit.to_owned())), "{text:?}");
        }
        for text in ["0", "0K", "00000"] {
            assert_eq!(parse_size(text), Err(SizeError::Zero), "{text:?}");
        }
        for text in ["18446744073709551616", "17179869184G", "99999999999999999999999999"] {
            assert_eq!(parse_size(text), Err(SizeError::TooLarge), "{text:?}");
        }
    }
}
