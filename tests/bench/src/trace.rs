//! The recorded programs of tests/traces.

use crate::ops::{Kind, Op, Stream};
use std::io::Read;
use std::path::PathBuf;

/// The programs, by their files' names.
pub const NAMES: [&str; 4] = ["gitlog", "cargometa", "gs", "sqlite"];

/// A recorded program.
pub struct Trace {
    /// All of its operations, none of them as warm-up.
    pub stream: Stream,
    /// The most bytes that were asked for and live at one time.
    pub peak: usize,
}

/// Reads a trace. A trace that is missing or broken ends the benchmark: its rows cannot be run.
pub fn load(name: &str) -> Trace {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../traces/{name}.rep.zst"));
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text = String::new();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(file).expect("a zstd file");
    decoder.read_to_string(&mut text).expect("a whole zstd file of text");
    parse(&text)
}

fn parse(text: &str) -> Trace {
    const HEADER_LINES: usize = 4;
    let mut stream = Stream::default();
    let mut sizes: Vec<usize> = Vec::new();
    let (mut live, mut peak) = (0, 0);
    for line in text.lines().skip(HEADER_LINES) {
        let mut fields = line.split_ascii_whitespace();
        let kind = match fields.next() {
            Some("a") => Kind::Alloc,
            Some("r") => Kind::Realloc,
            Some("f") => Kind::Free,
            _ => continue,
        };
        let mut number = || fields.next().and_then(|field| field.parse::<usize>().ok());
        let slot = number().expect("an operation names its object");
        if slot >= sizes.len() {
            sizes.resize(slot + 1, 0);
        }
        let size = if kind == Kind::Free { sizes[slot] } else { number().expect("a size").max(1) };
        live -= sizes[slot];
        sizes[slot] = if kind == Kind::Free { 0 } else { size };
        live += sizes[slot];
        peak = peak.max(live);
        stream.ops.push(Op::new(kind, slot, u32::try_from(size).expect("less than 4 GiB")));
    }
    stream.slots = sizes.len();
    Trace { stream, peak }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_counts_what_lives_at_one_time() {
        let trace = parse("0\n2\n5\n1\na 0 100\na 1 50\nr 0 120\nf 1\nf 0\n");
        assert_eq!(trace.peak, 170);
        assert_eq!(trace.stream.slots, 2);
        assert_eq!(trace.stream.ops[3], Op::new(Kind::Free, 1, 50));
    }

    #[test]
    fn the_recorded_programs_are_as_their_readme_says() {
        let trace = load("gitlog");
        assert_eq!(trace.stream.ops.len(), 70_951);
        assert!((2_900_000..3_000_000).contains(&trace.peak));
    }
}
