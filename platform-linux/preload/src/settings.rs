//! What the environment says about the heap.
#![deny(unsafe_code)]

use core::fmt::Write;

use rustix::process::Signal;
use slabfit::{Config, MAX_HEAP};
use slabfit_linux::{Output, Placement};

use crate::libc;
use crate::name::{Kind, Name};

const HEAP: usize = 256 << 20;
const SLAB: usize = 64;

/// All binary: a heap is made of pages.
const UNITS: [(&[u8], u32); 8] =
    [(b"", 0), (b"b", 0), (b"k", 10), (b"kib", 10), (b"m", 20), (b"mib", 20), (b"g", 30), (b"gib", 30)];

/// What is reported at exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    Nothing,
    Text,
    Json,
}

pub(crate) struct Settings {
    /// Bytes of the heap.
    pub(crate) heap: usize,
    pub(crate) config: Config,
    pub(crate) placement: Placement,
    /// Whether a wrong free ends the process.
    pub(crate) abort: bool,
    pub(crate) report: Report,
    /// Where the heap is drawn.
    pub(crate) map: Option<Name>,
    /// The signal that asks for it.
    pub(crate) map_signal: Option<Signal>,
    /// Where every call is recorded.
    pub(crate) trace: Option<Name>,
}

impl Settings {
    /// Reads them, and ends the process where one is wrong.
    pub(crate) fn read() -> Self {
        let size = "bytes from 1 to 64G, as 268435456, 256M or 2GiB";
        let map = setting("SLABFIT_MAP", None, Kind::Picture.expected(), picture);
        let signals = "USR1, USR2, HUP, QUIT, URG or WINCH, with SLABFIT_MAP beside it";
        let with_map = |value: &[u8]| signal(value).filter(|_| map.is_some()).map(Some);
        Self {
            map_signal: setting("SLABFIT_MAP_SIGNAL", None, signals, with_map),
            map,
            heap: setting("SLABFIT_HEAP", HEAP, size, |value| bytes(value).filter(|&size| size <= MAX_HEAP)),
            config: Config::new(setting("SLABFIT_SLAB", SLAB, size, bytes)),
            placement: setting("SLABFIT_PLACEMENT", Placement::FirstFit, "first or next", Placement::from_word),
            abort: setting("SLABFIT_ABORT", false, "0 or 1", switch),
            report: setting("SLABFIT_STATS", Report::Nothing, "0, 1 or json", report),
            trace: setting("SLABFIT_TRACE", None, Kind::Trace.expected(), trace),
        }
    }
}

fn setting<T>(name: &str, otherwise: T, expected: &str, read: impl FnOnce(&[u8]) -> Option<T>) -> T {
    let value = libc::variable(name, |value| {
        read(value).unwrap_or_else(|| {
            // Not reached: where lines are counted, which begins after this; tests/tests/preload sees it.
            let shown = value.get(..SHOWN).unwrap_or(value).escape_ascii();
            let _ = writeln!(Output::stderr(), "slabfit: {name}={shown}: not {expected}");
            libc::refuse_to_start()
        })
    });
    value.unwrap_or(otherwise)
}

/// Bytes of a wrong value that are shown: the line stays a line.
const SHOWN: usize = 64;

fn bytes(value: &[u8]) -> Option<usize> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, unit) = value.split_at_checked(digits)?;
    let number = digits.iter().try_fold(0usize, |number, &digit| {
        number.checked_mul(10)?.checked_add(usize::from(digit.wrapping_sub(b'0')))
    })?;
    let (_, shift) = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name))?;
    number.checked_mul(1usize.checked_shl(*shift)?).filter(|&bytes| bytes > 0)
}

fn picture(value: &[u8]) -> Option<Option<Name>> {
    Name::new(value, Kind::Picture).map(Some)
}

/// An empty value asks for none: that is what a recorded program leaves those that it starts.
fn trace(value: &[u8]) -> Option<Option<Name>> {
    if value.is_empty() { Some(None) } else { Name::new(value, Kind::Trace).map(Some) }
}

fn switch(value: &[u8]) -> Option<bool> {
    match value {
        b"0" => Some(false),
        b"1" => Some(true),
        // Not reached: where lines are counted, which begins after this; tests/tests/preload sees it.
        _ => None,
    }
}

fn signal(value: &[u8]) -> Option<Signal> {
    match value.strip_prefix(b"SIG").unwrap_or(value) {
        b"USR1" => Some(Signal::USR1),
        b"USR2" => Some(Signal::USR2),
        b"HUP" => Some(Signal::HUP),
        b"QUIT" => Some(Signal::QUIT),
        b"URG" => Some(Signal::URG),
        b"WINCH" => Some(Signal::WINCH),
        // Not reached: where lines are counted, which begins after this; tests/tests/preload sees it.
        _ => None,
    }
}

fn report(value: &[u8]) -> Option<Report> {
    match value {
        b"0" => Some(Report::Nothing),
        b"1" => Some(Report::Text),
        b"json" => Some(Report::Json),
        // Not reached: where lines are counted, which begins after this; tests/tests/preload sees it.
        _ => None,
    }
}
