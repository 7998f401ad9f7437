//! How much of it: a taste under `cargo test`, the figure that is promised in CI, as much as a night allows in a soak.

use std::env;
use std::thread;

/// How long the abuse tests may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Seconds, for `cargo test`.
    Fast,
    /// Minutes, `SLABFIT_ABUSE=ci`.
    Ci,
    /// Hours, `SLABFIT_ABUSE=soak`.
    Soak,
}

impl Level {
    /// What the environment says.
    ///
    /// # Panics
    /// If it says something else than `fast`, `ci` or `soak`.
    pub fn from_environment() -> Self {
        match env::var("SLABFIT_ABUSE").as_deref() {
            Err(_) | Ok("" | "fast") => Self::Fast,
            Ok("ci") => Self::Ci,
            Ok("soak") => Self::Soak,
            Ok(other) => panic!("SLABFIT_ABUSE={other}: neither fast nor ci nor soak"),
        }
    }

    /// One of three figures.
    pub fn of<T>(self, fast: T, ci: T, soak: T) -> T {
        match self {
            Self::Fast => fast,
            Self::Ci => ci,
            Self::Soak => soak,
        }
    }
}

/// A number that the environment gives, underscores allowed.
///
/// # Panics
/// If it is none.
pub fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

/// The seed to run again, if there is one.
pub fn replayed() -> Option<u64> {
    number("SLABFIT_SEED")
}

/// Runs `work` on every processor at once, each told which one it is and of how many, and answers with what each says.
///
/// # Panics
/// If one of them does.
pub fn on_every_processor<T: Send>(work: impl Fn(usize, usize) -> T + Sync) -> Vec<T> {
    let count = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|nth| {
                scope.spawn({
                    let work = &work;
                    move || work(nth, count)
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}
