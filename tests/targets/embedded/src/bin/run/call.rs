//! A call of the allocator, and what it takes.

use alloc::alloc::{alloc as global_alloc, dealloc, realloc as global_realloc};
use core::alloc::Layout;
use core::arch::{asm, global_asm};
use core::ptr;

use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

/// A function to be measured.
type Call = unsafe extern "C" fn(usize, usize, usize) -> usize;

/// Bytes of stack that are looked at: no call may use so many.
const PAINTED: usize = 8 << 10;
const PAINT: u32 = 0xC0A7_ED5A;
/// All that the timer has.
const COUNTED_DOWN_FROM: u32 = 0x00FF_FFFF;
/// Instructions by which two calls of `count_down` differ.
const KNOWN: u32 = 2 * COUNTED as u32;
const COUNTED: usize = 20_000;

#[derive(Clone, Copy)]
pub struct Cost {
    pub instructions: u32,
    pub stack: usize,
}

/// The timer, and how its ticks become instructions.
pub struct Meter {
    /// Ticks of a call that does nothing but return.
    nothing: u32,
    /// Ticks of `KNOWN` instructions.
    known: u32,
}

impl Meter {
    /// Starts the timer, and looks how fast it is.
    pub fn new() -> Self {
        let mut timer = Peripherals::take().expect("nobody has asked before").SYST;
        timer.set_reload(COUNTED_DOWN_FROM);
        timer.set_clock_source(SystClkSource::Core);
        timer.clear_current();
        timer.enable_counter();
        let ticks = |times| call(count_down, times, 0, 0).1;
        let known = ticks(1 + COUNTED) - ticks(1);
        let meter = Self { nothing: call(nothing, 0, 0, 0).1, known };
        assert!(
            meter.measure(count_down, 1_000, 0, 0).1.instructions == 2_000,
            "the timer does not count instructions"
        );
        meter
    }

    /// Calls, and says what was answered and what it took, beside a call that does nothing.
    pub fn measure(&self, function: Call, a: usize, b: usize, c: usize) -> (usize, Cost) {
        let (answer, ticks, stack) = call(function, a, b, c);
        let instructions = u64::from(ticks.saturating_sub(self.nothing)) * u64::from(KNOWN);
        let instructions = (instructions + u64::from(self.known / 2)) / u64::from(self.known);
        (answer, Cost { instructions: instructions as u32, stack })
    }
}

/// Calls, and says what was answered, how many ticks passed and how many bytes of stack were used.
fn call(function: Call, a: usize, b: usize, c: usize) -> (usize, u32, usize) {
    let (answer, after, before, lowest, top): (usize, u32, u32, usize, usize);
    // SAFETY: the function is one of this file, called as its convention wants it; what is painted lies below the stack's
    // end and is nobody's, as no interrupt comes; reading the timer changes nothing.
    unsafe {
        asm!(
            "mov r11, sp",
            "sub r9, r11, #{painted}",
            "2: str r8, [r9], #4",
            "cmp r9, r11",
            "bne 2b",
            "ldr r10, [r4]",
            "blx r5",
            "ldr r1, [r4]",
            // The lowest word that has changed: above the stack's end there is one for sure.
            "sub r9, r11, #{painted}",
            "3: ldr r2, [r9], #4",
            "cmp r2, r8",
            "beq 3b",
            painted = const PAINTED,
            in("r4") &raw const (*SYST::PTR).cvr,
            in("r5") function,
            in("r8") PAINT,
            inlateout("r0") a => answer,
            inlateout("r1") b => after,
            in("r2") c,
            out("r9") lowest,
            out("r10") before,
            out("r11") top,
            clobber_abi("C"),
        );
    }
    let stack = (top + 4).saturating_sub(lowest);
    assert!(stack < PAINTED, "more stack is used than is looked at");
    (answer, before.wrapping_sub(after) & COUNTED_DOWN_FROM, stack)
}

pub unsafe extern "C" fn alloc(size: usize, _: usize, _: usize) -> usize {
    // SAFETY: no object is of 0 bytes.
    unsafe { global_alloc(layout(size)) }.expose_provenance()
}

pub unsafe extern "C" fn free(address: usize, size: usize, _: usize) -> usize {
    // SAFETY: the firmware frees live objects, with their sizes, and does not use them afterwards.
    unsafe { dealloc(ptr::with_exposed_provenance_mut(address), layout(size)) };
    0
}

pub unsafe extern "C" fn realloc(address: usize, size: usize, new_size: usize) -> usize {
    // SAFETY: as in `free`.
    unsafe { global_realloc(ptr::with_exposed_provenance_mut(address), layout(size), new_size) }.expose_provenance()
}

fn layout(size: usize) -> Layout {
    // SAFETY: 4 is a power of two, and the firmware's sizes are small.
    unsafe { Layout::from_size_align_unchecked(size, 4) }
}

unsafe extern "C" {
    /// Does nothing but return.
    fn nothing(_: usize, _: usize, _: usize) -> usize;
    /// Takes two instructions `times` times, which is not 0.
    fn count_down(times: usize, _: usize, _: usize) -> usize;
}

global_asm!(".thumb_func", "nothing: bx lr", ".thumb_func", "count_down: subs r0, #1", "bne count_down", "bx lr",);
