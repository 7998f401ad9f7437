//! Puts `memory.x` where the linker looks, and writes down a random program with every answer that the reference model
//! gives to it, for the firmware to hold its heap against.

use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

use slabfit::{Config, ReallocError, Reason};
use slabfit_model::model::{Model, Placement};

/// As in the firmware.
const HEAP_SIZE: usize = 16 << 10;
const SLAB_SIZE: usize = 64;
const CONFIG: Config = Config::new(SLAB_SIZE);
const HEAP_SIZE_WITH_CLASSES: usize = 33 << 10;
const CONFIG_WITH_CLASSES: Config = CONFIG.slab_bytes(1000);
/// Not this machine's, but that of 32-bit bare metal.
const GRANULE: usize = 8;
/// Where the model believes its heap to be. Any address will do that is a multiple of the largest alignment used and of a run.
const BASE: usize = 1 << 16;
const STEPS: usize = 3_000;
const SEED: u64 = 0x5077_6041;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::copy("memory.x", out.join("memory.x")).expect("memory.x is here");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rerun-if-env-changed=SLABFIT_SEED");
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rerun-if-changed=build.rs");
    let seed = env::var("SLABFIT_SEED").map_or(SEED, |seed| seed.parse().expect("SLABFIT_SEED is a number"));
    let plain = |placement| Setup {
        heap_size: HEAP_SIZE,
        config: CONFIG,
        placement,
        favourites: &[SLAB_SIZE],
        huge: 5,
        phase: 150,
        growing: [70, 40],
    };
    let programs = [
        ("NEXT_FIT", plain(Placement::NextFit)),
        ("FIRST_FIT", plain(Placement::FirstFit)),
        // It grows for long enough that a class fills its runs, and shrinks for long enough that its magazine is full. Few
        // requests are huge: each that fails has all magazines given back.
        (
            "GENERAL",
            Setup {
                heap_size: HEAP_SIZE_WITH_CLASSES,
                config: CONFIG_WITH_CLASSES,
                placement: Placement::General,
                favourites: &[64, 16, 48, 32],
                huge: 1,
                phase: 375,
                growing: [90, 15],
            },
        ),
    ];
    let mut text = String::new();
    for (number, (name, setup)) in (0..).zip(programs) {
        let steps = program(setup, seed + number);
        writeln!(text, "pub static {name}: &[Step] = &[{steps}];").expect("a String takes everything");
    }
    fs::write(out.join("programs.rs"), text).expect("the folder is cargo's, for this");
}

/// What a program is to be like.
struct Setup {
    heap_size: usize,
    config: Config,
    placement: Placement,
    /// Bytes of every third request, one after the other, each for as long as it fills and empties its heap once.
    favourites: &'static [usize],
    /// Requests in a hundred of any size up to the heap's.
    huge: usize,
    /// Steps until it turns from filling its heap to emptying it, or back.
    phase: usize,
    /// Steps in a hundred that allocate while it fills it, and while it empties it.
    growing: [usize; 2],
}

/// Steps of a program that fills and empties its heap by turns and leaves it empty, one a line.
fn program(setup: Setup, seed: u64) -> String {
    let mut recorder = Recorder {
        model: Model::with_granule(GRANULE, BASE, setup.heap_size, setup.config, setup.placement),
        favourite: 0,
        setup,
        random: Random(seed | 1),
        live: Vec::new(),
        given_up: Vec::new(),
        text: String::new(),
    };
    for step in 0..STEPS {
        let phase = step / recorder.setup.phase;
        let growing = recorder.setup.growing[phase % 2];
        recorder.favourite = recorder.setup.favourites[phase / 2 % recorder.setup.favourites.len()];
        recorder.step(growing);
        if step % 16 == 0 {
            let rover = recorder.model.rover().map(|rover| rover - BASE);
            recorder.write(format_args!("Check({rover:?})"));
        }
        if step % 500 == 499 {
            recorder.model.empty_magazines();
            recorder.write(format_args!("EmptyMagazines"));
        }
    }
    while let Some(at) = recorder.live.pop() {
        recorder.free(at);
    }
    recorder.text
}

/// A program as far as it is written, and what is true at its end.
struct Recorder {
    setup: Setup,
    /// Bytes of every third request now.
    favourite: usize,
    model: Model,
    random: Random,
    live: Vec<usize>,
    given_up: Vec<usize>,
    text: String,
}

impl Recorder {
    fn step(&mut self, growing: usize) {
        let anywhere = BASE + self.random.below(self.setup.heap_size + 64) - 32;
        match self.random.below(100) {
            0..3 => self.free(anywhere),
            3 => self.free(BASE - 1 - anywhere % 32),
            4 => self.free(BASE + self.setup.heap_size + anywhere % 32),
            5..10 => self.free(anywhere / GRANULE * GRANULE),
            10..15 => self.given_up.last().copied().into_iter().for_each(|at| self.free(at)),
            15..30 if !self.live.is_empty() => self.realloc(),
            _ if self.random.below(100) < growing => self.alloc(),
            _ if self.live.is_empty() => {}
            _ => {
                let at = self.live.swap_remove(self.random.below(self.live.len()));
                self.free(at);
            }
        }
    }

    fn alloc(&mut self) {
        let (size, align) = (self.size(), self.align());
        let answer = self.model.alloc(size, align);
        self.live.extend(answer.ok());
        self.write(format_args!("Alloc({size}, {align}, {:?})", answer.map(|at| at - BASE)));
    }

    fn realloc(&mut self) {
        let nth = self.random.below(self.live.len());
        let (old, size, align) = (self.live[nth], self.size(), self.align());
        let answer = self.model.realloc(old, size, align).map_err(|error| match error {
            ReallocError::Alloc(error) => error,
            other => unreachable!("a live object was refused: {other}"),
        });
        self.live[nth] = answer.unwrap_or(old);
        let old = old - BASE;
        self.write(format_args!("Realloc({old}, {size}, {align}, {:?})", answer.map(|at| at - BASE)));
    }

    fn free(&mut self, at: usize) {
        let answer: Result<(), Reason> = self.model.free(at).map_err(|wrong| wrong.reason);
        if answer.is_ok() {
            self.live.retain(|&object| object != at);
            self.given_up.push(at);
        }
        let offset = at.wrapping_sub(BASE).cast_signed();
        self.write(format_args!("Free({offset}, {answer:?})"));
    }

    fn size(&mut self) -> usize {
        match self.random.below(95 + self.setup.huge) {
            0..35 => self.favourite,
            35..75 => self.random.below(100),
            75..95 => self.random.below(600),
            _ => self.random.below(self.setup.heap_size),
        }
    }

    fn align(&mut self) -> usize {
        if self.random.below(5) > 0 { GRANULE } else { 1 << self.random.below(7) }
    }

    fn write(&mut self, step: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{step},").expect("a String takes everything");
    }
}

/// Marsaglia's xorshift: the same numbers everywhere, for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }
}
