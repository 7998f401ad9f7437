//! Who watches: a case that does not end, or that touches an inaccessible page, is named with its seed before the
//! process dies of it.

use std::cell::Cell;
use std::process;
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A case that takes longer than this hangs. The slowest takes a thousandth of it.
const LIMIT: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(250);

thread_local! {
    /// For the signal handler, which runs in the thread whose access was refused.
    static RUNNING: Cell<(&'static str, u64)> = const { Cell::new(("no case", 0)) };
}

/// Watches the cases of one thread, until it is dropped.
pub struct Watch {
    name: &'static str,
    shared: Arc<Shared>,
}

struct Shared {
    seed: AtomicU64,
    cases: AtomicU64,
    done: AtomicBool,
}

impl Watch {
    /// Watches cases of this name.
    pub fn over(name: &'static str) -> Self {
        name_the_case_on_faults();
        let shared =
            Arc::new(Shared { seed: AtomicU64::new(0), cases: AtomicU64::new(0), done: AtomicBool::new(false) });
        let watched = Arc::clone(&shared);
        thread::spawn(move || watched.watch(name));
        Self { name, shared }
    }

    /// The next case begins. Its seed is all that it takes to run it again.
    pub fn case(&self, seed: u64) {
        RUNNING.set((self.name, seed));
        self.shared.seed.store(seed, Ordering::Relaxed);
        self.shared.cases.fetch_add(1, Ordering::Relaxed);
    }

    /// How many cases have begun.
    pub fn cases(&self) -> u64 {
        self.shared.cases.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.done.store(true, Ordering::Relaxed);
        if thread::panicking() {
            let seed = self.shared.seed.load(Ordering::Relaxed);
            eprintln!("{}: failed; replay with SLABFIT_SEED={seed}", self.name);
        }
        RUNNING.set(("no case", 0));
    }
}

impl Shared {
    fn watch(&self, name: &str) {
        let (mut last, mut waited) = (0, Duration::ZERO);
        while !self.done.load(Ordering::Relaxed) {
            thread::sleep(STEP);
            let cases = self.cases.load(Ordering::Relaxed);
            waited = if cases == last { waited + STEP } else { Duration::ZERO };
            last = cases;
            if waited > LIMIT {
                eprintln!("{name}: hangs; replay with SLABFIT_SEED={}", self.seed.load(Ordering::Relaxed));
                process::abort();
            }
        }
    }
}

fn name_the_case_on_faults() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: all zero is a legal value of this C struct.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_fault as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESETHAND;
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            // SAFETY: the handler does nothing that a signal handler must not.
            let set = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
            assert_eq!(set, 0, "a handler can be set");
        }
    });
}

/// Writes the case's name and seed and returns to the access, which is then the end of the process.
extern "C" fn on_fault(_: libc::c_int) {
    let (name, mut seed) = RUNNING.get();
    let mut digits = [b'\n'; 21];
    let mut first = 20;
    loop {
        first -= 1;
        digits[first] = b'0' + (seed % 10) as u8;
        seed /= 10;
        if seed == 0 {
            break;
        }
    }
    for text in [name.as_bytes(), b": touched an inaccessible page; replay with SLABFIT_SEED=", &digits[first..]] {
        // SAFETY: the bytes are there, and `write` may be called in a handler. Nobody can be told if it fails.
        let _ = unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
    }
}
