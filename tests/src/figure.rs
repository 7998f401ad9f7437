//! Figures: what a test has done, on a line `figure: what | how much`. `ci/figures` collects them for ci/FIGURES.md, so that no
//! figure there was typed by anybody.

use std::fmt::{self, Display};

/// Says what was done, and how much of it.
pub fn say(what: impl Display, figure: impl Display) {
    // On a line of its own, whatever the test harness has begun.
    println!("\nfigure: {what} | {figure}");
}

/// A number as one reads it: `1 000 000`.
pub struct Grouped(pub u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (nth, digit) in digits.chars().enumerate() {
            if nth > 0 && (digits.len() - nth) % 3 == 0 {
                f.write_str(" ")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_grouped_by_thousands() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1 000"), (123_456, "123 456"), (9_876_543_210, "9 876 543 210")]
        {
            assert_eq!(Grouped(number).to_string(), text);
        }
    }
}
