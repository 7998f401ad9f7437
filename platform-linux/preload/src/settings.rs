//! What the environment says about the heap: one table of all settings, and one reader of it.
//!
//! A program with more rights than its user is told nothing by its user: there all settings are what they are if absent.
#![deny(unsafe_code)]

use core::fmt::Write;

use rustix::process::Signal;
use slabfit::{Config, MAX_HEAP};
use slabfit_linux::{Output, Placement};

use crate::libc;
use crate::name::{Kind, Name};

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
    /// Bytes of the requests that go to the slab; 0 for none.
    slab: usize,
    /// Threads that may have a cache.
    caches: usize,
    pub(crate) placement: Placement,
    /// Whether the heap looks for what the program does wrong.
    pub(crate) hardened: bool,
    /// Whether a wrong free ends the process, if that is set.
    abort: Option<bool>,
    pub(crate) report: Report,
    /// Where the heap is drawn.
    pub(crate) map: Option<Name>,
    /// The signal that asks for it.
    pub(crate) map_signal: Option<Signal>,
    /// Where every call is recorded.
    pub(crate) trace: Option<Name>,
    /// Return addresses that are recorded of each call.
    pub(crate) trace_stack: usize,
    /// The most bytes of the process's own memory.
    pub(crate) data: Option<u64>,
    help: bool,
}

/// A setting.
struct Setting {
    name: &'static str,
    /// What it may be, as messages say it.
    expected: &'static str,
    /// What it is if absent.
    absent: &'static str,
    means: &'static str,
    /// Takes a value; `None` for one that is not as expected.
    take: fn(&mut Settings, &[u8]) -> Option<()>,
}

/// Every setting begins so, and nothing else should.
const PREFIX: &str = "SLABFIT_";

/// The name of the recording's setting, whose value a recorded program does not pass on.
pub(crate) const TRACE: &str = "SLABFIT_TRACE";

/// A number alone is bytes. Of a heap it is so many at least, or a unit was forgotten.
const WITHOUT_UNIT: usize = 64 << 10;

const TABLE: [Setting; 13] = [
    Setting {
        name: "SLABFIT_HEAP",
        expected: "bytes from 1 to 64G with a unit, as 256M or 2GiB; a number alone from 65536 on",
        absent: "256M",
        means: "the size of the heap, rounded up to whole pages; it never grows",
        take: |settings, value| {
            let Number { bytes, has_unit } = number(value)?;
            settings.heap = bytes;
            ((1..=MAX_HEAP).contains(&bytes) && (has_unit || bytes >= WITHOUT_UNIT)).then_some(())
        },
    },
    Setting {
        name: "SLABFIT_SLAB",
        expected: "bytes from 0 to 64G, as 64 or 4K",
        absent: "0",
        means: "the slot size of a slab, which serves requests of exactly that size from a quarter of the heap; 0: no slab",
        take: |settings, value| {
            let Number { bytes, .. } = number(value)?;
            settings.slab = bytes;
            (bytes <= MAX_HEAP).then_some(())
        },
    },
    Setting {
        name: PLACEMENT,
        expected: "general, first or next",
        absent: "general",
        means: "how objects are placed: by size classes and first fit, by first fit alone, or by next fit",
        take: |settings, value| {
            settings.placement = Placement::from_word(value)?;
            Some(())
        },
    },
    Setting {
        name: "SLABFIT_CACHE",
        expected: "a number from 0 to 4095",
        absent: "1024",
        means: "how many threads at once may have a cache of their own; 0: every request waits for the heap's lock",
        take: |settings, value| {
            let Number { bytes, has_unit } = number(value)?;
            settings.caches = bytes;
            (bytes <= MOST_CACHES && !has_unit).then_some(())
        },
    },
    Setting {
        name: "SLABFIT_HARDEN",
        expected: "0 or 1",
        absent: "0",
        means: "1: finds writes beside objects and after their free, late double frees and wrong sizes; no slab, no caches",
        take: |settings, value| {
            settings.hardened = switch(value)?;
            Some(())
        },
    },
    Setting {
        name: "SLABFIT_ABORT",
        expected: "0 or 1",
        absent: "0, but 1 beside SLABFIT_HARDEN=1",
        means: "1: a wrong free ends the process, and what SLABFIT_HARDEN finds; 0: it is refused",
        take: |settings, value| {
            settings.abort = Some(switch(value)?);
            Some(())
        },
    },
    Setting {
        name: "SLABFIT_STATS",
        expected: "0, 1 or json",
        absent: "0",
        means: "1: a report at exit, on standard error; json: the same in one line for machines",
        take: |settings, value| {
            settings.report = report(value)?;
            Some(())
        },
    },
    Setting {
        name: "SLABFIT_MAP",
        expected: Kind::Picture.expected(),
        absent: "no picture",
        means: "the heap is drawn to this file at exit, as SVG",
        take: |settings, value| {
            settings.map = Some(Name::new(value, Kind::Picture)?);
            Some(())
        },
    },
    Setting {
        name: MAP_SIGNAL,
        expected: "USR1, USR2, HUP, QUIT, URG or WINCH, with SLABFIT_MAP beside it",
        absent: "at exit",
        means: "the heap is drawn whenever this signal comes, and not at exit",
        take: |settings, value| {
            settings.map_signal = Some(signal(value)?);
            Some(())
        },
    },
    Setting {
        name: TRACE,
        expected: Kind::Trace.expected(),
        absent: "no record",
        means: "every call is recorded in this file; as zstd if its name ends in .zst",
        // An empty value asks for none: that is what a recorded program leaves those that it starts.
        take: |settings, value| {
            settings.trace = if value.is_empty() { None } else { Some(Name::new(value, Kind::Trace)?) };
            Some(())
        },
    },
    Setting {
        name: TRACE_STACK,
        expected: "a number from 0 to 16, with SLABFIT_TRACE beside it",
        absent: "0",
        means: "so many return addresses of each call are recorded: who made it, who called that, and so on",
        take: |settings, value| {
            let Number { bytes, has_unit } = number(value)?;
            settings.trace_stack = bytes;
            (bytes <= MOST_ADDRESSES && !has_unit).then_some(())
        },
    },
    Setting {
        name: DATA,
        expected: "bytes with a unit, the heap's and more, as 300M",
        absent: "no limit",
        means: "the most memory of its own that the process may have, what it maps itself included (RLIMIT_DATA)",
        take: |settings, value| {
            let Number { bytes, has_unit } = number(value)?;
            settings.data = Some(bytes as u64);
            (has_unit || bytes >= WITHOUT_UNIT).then_some(())
        },
    },
    Setting {
        name: "SLABFIT_HELP",
        expected: "0 or 1",
        absent: "0",
        means: "1: this table is printed, and the program does not run",
        take: |settings, value| {
            settings.help = switch(value)?;
            Some(())
        },
    },
];

const PLACEMENT: &str = "SLABFIT_PLACEMENT";
const DATA: &str = "SLABFIT_DATA";
const TRACE_STACK: &str = "SLABFIT_TRACE_STACK";
const MAP_SIGNAL: &str = "SLABFIT_MAP_SIGNAL";

impl Settings {
    /// What they are if absent.
    const ABSENT: Self = Self {
        heap: 256 << 20,
        slab: 0,
        caches: 1024,
        placement: Placement::General,
        hardened: false,
        abort: None,
        report: Report::Nothing,
        map: None,
        map_signal: None,
        trace: None,
        trace_stack: 0,
        data: None,
        help: false,
    };

    /// Reads them. Ends the process where one is wrong, and says which ones there are if it is asked to.
    pub(crate) fn read() -> Self {
        let mut settings = Self::ABSENT;
        if libc::is_privileged() {
            return settings;
        }
        // Of a variable that is there twice the first one holds, as for `getenv`.
        let mut taken = [false; TABLE.len()];
        libc::variables(PREFIX, |name, value| {
            let found = TABLE.iter().zip(taken.iter_mut()).find(|(setting, _)| setting.name.as_bytes() == name);
            match found {
                None => unknown(name),
                Some((_, true)) => {}
                Some((setting, taken)) => {
                    *taken = true;
                    if (setting.take)(&mut settings, value).is_none() {
                        refuse(setting.name, value, format_args!("not {}", setting.expected));
                    }
                }
            }
        });
        if settings.help {
            // Who reads no more is told no more.
            let _ = print_table();
            libc::end_at_once();
        }
        settings.check();
        settings
    }

    /// Refuses what is wrong only beside others.
    fn check(&self) {
        if let Some(setting) = TABLE.iter().find(|setting| setting.name == MAP_SIGNAL) {
            if self.map_signal.is_some() && self.map.is_none() {
                libc::variable(MAP_SIGNAL, |value| refuse(MAP_SIGNAL, value, format_args!("not {}", setting.expected)));
            }
        }
        // What a recorded program starts has an empty name for its trace, and is recorded nowhere.
        let (stack, trace) = (TABLE.iter().find(|setting| setting.name == TRACE_STACK), libc::variable(TRACE, |_| ()));
        if let Some(setting) = stack.filter(|_| self.trace_stack > 0 && trace.is_none()) {
            libc::variable(TRACE_STACK, |value| refuse(TRACE_STACK, value, format_args!("not {}", setting.expected)));
        }
        if self.data.is_some_and(|most| most < self.heap as u64) {
            libc::variable(DATA, |value| refuse(DATA, value, format_args!("less than the heap, {} bytes", self.heap)));
        }
        if self.hardened && self.placement == Placement::NextFit {
            let why = format_args!("not beside SLABFIT_HARDEN=1");
            libc::variable(PLACEMENT, |value| refuse(PLACEMENT, value, why));
        }
        if self.hardened && self.trace.is_some() {
            let why = format_args!("not beside SLABFIT_HARDEN=1, whose addresses are random");
            libc::variable(TRACE, |value| refuse(TRACE, value, why));
        }
        // A picture is not drawn before the end: that it can be made is better known now. (A trace is made at once.)
        let missing = self.map.as_ref().and_then(Name::missing_folder);
        if let Some(why) = missing {
            libc::variable("SLABFIT_MAP", |value| refuse("SLABFIT_MAP", value, format_args!("{why}")));
        }
    }

    /// Whether a wrong free ends the process.
    pub(crate) fn aborts(&self) -> bool {
        self.abort.unwrap_or(self.hardened)
    }

    /// The heap's parts. Who records calls has them come one after the other, so there are no caches then: the addresses are those of
    /// one heap, as a replay has it.
    pub(crate) fn config(&self) -> Config {
        let config = if self.slab == 0 { Config::without_slab() } else { Config::new(self.slab) };
        let caches = if self.trace.is_some() { 0 } else { self.caches.min(self.heap / PER_CACHE) };
        config.caches(caches)
    }
}

/// The most return addresses of a call.
pub(crate) const MOST_ADDRESSES: usize = 16;

/// The most caches of a heap.
const MOST_CACHES: usize = 4095;

/// A heap has a cache for each 64 KiB at most.
const PER_CACHE: usize = 64 << 10;

/// Bytes of a wrong value or name that are shown: the line stays a line.
const SHOWN: usize = 120;

fn shown(text: &[u8]) -> impl core::fmt::Display + '_ {
    text.get(..SHOWN).unwrap_or(text).escape_ascii()
}

/// Ends the process with a line on standard error.
// Not reached: where lines are counted, which begins after this; tests/tests/preload sees it. So below, but for what is right.
pub(crate) fn refuse(name: &str, value: &[u8], why: core::fmt::Arguments<'_>) -> ! {
    let _ = writeln!(Output::stderr(), "slabfit: {name}={}: {why}", shown(value));
    libc::refuse_to_start()
}

/// Says that a name is no setting's, and whose it may have been meant to be. The program runs.
fn unknown(name: &[u8]) {
    let mut out = Output::stderr();
    let distance = |setting: &&Setting| distance(name, setting.name.as_bytes());
    let nearest = TABLE.iter().min_by_key(distance).filter(|setting| distance(setting) <= 2);
    let _ = match nearest {
        Some(setting) => writeln!(out, "slabfit: {} is not a setting; did you mean {}?", shown(name), setting.name),
        None => writeln!(out, "slabfit: {} is not a setting; SLABFIT_HELP=1 lists all of them", shown(name)),
    };
}

/// How many letters must be put in, taken out or changed to make one of two names of the other; 255 for long ones.
fn distance(one: &[u8], other: &[u8]) -> u8 {
    const LONGEST: usize = 32;
    let mut row = [0u8; LONGEST];
    if one.len() >= LONGEST || other.len() >= LONGEST {
        return u8::MAX;
    }
    row.iter_mut().zip(0..).for_each(|(cell, index)| *cell = index);
    for (line, letter) in (1u8..).zip(one) {
        // Left above, and left.
        let (mut before, mut left) = (line - 1, line);
        let cells = row.get_mut(..=other.len()).unwrap_or_default();
        let (first, rest) = cells.split_at_mut(cells.len().min(1));
        first.iter_mut().for_each(|cell| *cell = line);
        for (cell, other) in rest.iter_mut().zip(other) {
            let same = letter.eq_ignore_ascii_case(other);
            let changed = before.saturating_add(u8::from(!same));
            before = *cell;
            left = changed.min(left.saturating_add(1)).min(before.saturating_add(1));
            *cell = left;
        }
    }
    row.get(other.len()).copied().unwrap_or(u8::MAX)
}

fn print_table() -> core::fmt::Result {
    let mut out = Output::stdout();
    writeln!(out, "libmem_preload.so: malloc on one heap of a fixed size. Its settings, from the environment:\n")?;
    for Setting { name, expected, absent, means, .. } in TABLE {
        writeln!(out, "{name}\n    {means}\n    value: {expected}\n    if absent: {absent}\n")?;
    }
    out.flush()
}

/// All binary: a heap is made of pages.
const UNITS: [(&[u8], u32); 8] =
    [(b"", 0), (b"b", 0), (b"k", 10), (b"kib", 10), (b"m", 20), (b"mib", 20), (b"g", 30), (b"gib", 30)];

/// A number of bytes.
struct Number {
    bytes: usize,
    has_unit: bool,
}

fn number(value: &[u8]) -> Option<Number> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, unit) = value.split_at_checked(digits)?;
    (!digits.is_empty()).then_some(())?;
    let number = digits.iter().try_fold(0usize, |number, &digit| {
        number.checked_mul(10)?.checked_add(usize::from(digit.wrapping_sub(b'0')))
    })?;
    let (_, shift) = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name))?;
    let bytes = number.checked_mul(1usize.checked_shl(*shift)?)?;
    Some(Number { bytes, has_unit: !unit.is_empty() })
}

fn switch(value: &[u8]) -> Option<bool> {
    match value {
        b"0" => Some(false),
        b"1" => Some(true),
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
        _ => None,
    }
}

fn report(value: &[u8]) -> Option<Report> {
    match value {
        b"0" => Some(Report::Nothing),
        b"1" => Some(Report::Text),
        b"json" => Some(Report::Json),
        _ => None,
    }
}
