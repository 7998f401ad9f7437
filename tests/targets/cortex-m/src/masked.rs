//! A lock of the firmware's own, as the crate `slabfit` asks for one: it masks interrupts, and gives them back as they were.

use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::interrupt;
use cortex_m::register::primask;
use slabfit::{RawLock, Reentered};

/// Masks interrupts while it is held, on the one core there is.
pub struct Masked {
    held: AtomicBool,
}

// SAFETY: exclusion: there is one core, and nothing interrupts it but what cannot be masked, which `held` refuses; ordering:
// masking and unmasking are barriers to the compiler, and one core sees its own writes in order; the token is the mask
// before, so that one inside another's is no harm; nothing panics.
unsafe impl RawLock for Masked {
    const INIT: Self = Self { held: AtomicBool::new(false) };

    /// Whether interrupts came through before.
    type Token = bool;

    fn lock(&self) -> Result<bool, Reentered> {
        let before = primask::read().is_active();
        interrupt::disable();
        if self.held.load(Ordering::Relaxed) {
            restore(before);
            return Err(Reentered);
        }
        self.held.store(true, Ordering::Relaxed);
        Ok(before)
    }

    unsafe fn unlock(&self, before: bool) {
        self.held.store(false, Ordering::Relaxed);
        restore(before);
    }
}

fn restore(before: bool) {
    if before {
        // SAFETY: interrupts came through before the lock was taken, and its holder has no more need of their absence.
        unsafe { interrupt::enable() };
    }
}
