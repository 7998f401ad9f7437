//! How long each call holds a lock, at most, in instructions: a lock that reads the timer when it is taken and when it is given back.
#![no_std]
#![no_main]

use core::alloc::Layout;
use core::arch::asm;
use core::hint::black_box;
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use slabfit::{Config, FirstFit, General, NextFit, Policy, RawLock, Reentered, StaticArray, StaticHeap};

/// Bytes of each heap.
const HEAP: usize = 64 << 10;
/// Objects that are live at most.
const LIVE: usize = 300;
const STEPS: usize = 6_000;
/// All that the timer has.
const COUNTED_DOWN_FROM: u32 = 0x00FF_FFFF;
const SEED: u32 = 0x5077_6041;

/// Ticks of the longest hold since it was set to 0.
static LONGEST: AtomicU32 = AtomicU32::new(0);

/// A lock for the only thread, which measures.
struct Timed(AtomicU32);

// SAFETY: nothing else runs here, so nobody is to be kept out.
unsafe impl RawLock for Timed {
    const INIT: Self = Self(AtomicU32::new(0));
    type Token = ();

    #[inline(never)]
    fn lock(&self) -> Result<(), Reentered> {
        self.0.store(SYST::get_current(), Ordering::Relaxed);
        Ok(())
    }

    #[inline(never)]
    unsafe fn unlock(&self, (): ()) {
        let ticks = self.0.load(Ordering::Relaxed).wrapping_sub(SYST::get_current()) & COUNTED_DOWN_FROM;
        LONGEST.store(LONGEST.load(Ordering::Relaxed).max(ticks), Ordering::Relaxed);
    }
}

#[entry]
fn main() -> ! {
    let mut timer = Peripherals::take().expect("nobody has asked before").SYST;
    timer.set_reload(COUNTED_DOWN_FROM);
    timer.set_clock_source(SystClkSource::Core);
    timer.clear_current();
    timer.enable_counter();
    let meter = Meter::new();

    static NEXT: StaticArray<HEAP, Timed, NextFit> = StaticArray::new();
    static FIRST: StaticArray<HEAP, Timed, FirstFit> = StaticArray::new();
    static CLASSES: StaticArray<HEAP, Timed, General> = StaticArray::new();
    static NEXT_HEAP: StaticHeap<Timed, NextFit> = StaticHeap::new(&NEXT, Config::new(32));
    static FIRST_HEAP: StaticHeap<Timed, FirstFit> = StaticHeap::new(&FIRST, Config::without_slab());
    static CLASSES_HEAP: StaticHeap<Timed, General> = StaticHeap::new(&CLASSES, Config::without_slab());
    meter.table("slabfit-next", &NEXT_HEAP);
    meter.table("slabfit-first", &FIRST_HEAP);
    meter.table("slabfit-general", &CLASSES_HEAP);
    debug::exit(debug::EXIT_SUCCESS);
    unreachable!("the debugger has ended the program");
}

/// How ticks become instructions.
struct Meter {
    /// Ticks of `KNOWN` instructions.
    known: u32,
    /// Ticks of a hold in which nothing is done.
    nothing: u32,
}

impl Meter {
    const KNOWN: u32 = 40_000;

    fn new() -> Self {
        let ticks = |times: u32| {
            let before = SYST::get_current();
            // SAFETY: it counts a register down.
            unsafe { asm!("2: subs {0}, #1", "bne 2b", inout(reg) times => _) };
            before.wrapping_sub(SYST::get_current()) & COUNTED_DOWN_FROM
        };
        let known = ticks(1 + Self::KNOWN / 2) - ticks(1);
        let lock = Timed::INIT;
        lock.lock().expect("it refuses nobody");
        // SAFETY: it was taken above.
        unsafe { lock.unlock(()) };
        Self { known, nothing: LONGEST.load(Ordering::Relaxed) }
    }

    /// The longest hold since the last time that this was asked, in instructions.
    fn longest(&self) -> u32 {
        let ticks = u64::from(LONGEST.load(Ordering::Relaxed).saturating_sub(self.nothing));
        LONGEST.store(0, Ordering::Relaxed);
        ((ticks * u64::from(Self::KNOWN) + u64::from(self.known / 2)) / u64::from(self.known)) as u32
    }

    /// Does all that can be asked of a heap, and says what each kind of call took at most.
    fn table<P: Policy>(&self, name: &str, heap: &StaticHeap<Timed, P>) {
        let mut most = [0; CALLS.len()];
        let mut took = |call: usize| most[call] = self.longest().max(most[call]);
        let mut random = Random(SEED);
        let mut objects = [ptr::null_mut::<u8>(); LIVE];
        self.longest();
        let first = heap.alloc(1).expect("the heap is empty");
        assert!(heap_free(heap, first.as_ptr()));
        took(0);
        for step in 0..STEPS {
            let object = &mut objects[random.below(LIVE)];
            let size = 1 + random.below(500).min(random.below(500)).min(random.below(500));
            if object.is_null() {
                let (served, call) = match random.below(8) {
                    0 => (heap.alloc_layout(Layout::from_size_align(size, 64).expect("64 is a power of two")), 2),
                    _ => (heap.alloc(size), 1),
                };
                took(call);
                *object = served.map_or(ptr::null_mut(), |object| object.as_ptr());
            } else if random.below(4) == 0 {
                // SAFETY: nobody uses the object by its old address.
                let moved = unsafe { heap.realloc(*object, size) };
                took(4);
                *object = moved.map_or(*object, |object| object.as_ptr());
            } else {
                assert!(heap.usable_size(*object).is_ok());
                took(5);
                assert!(heap_free(heap, *object));
                took(3);
                assert!(!heap_free(heap, *object));
                took(6);
                *object = ptr::null_mut();
            }
            if step % 500 == 499 {
                assert!(black_box(heap.stats()).is_ok());
                took(7);
                assert!(heap.blocks().count() > 0);
                took(8);
                assert!(heap.overwritten().count() == 0);
                took(9);
                assert!(heap.empty_magazines().is_ok());
                took(10);
                assert!(heap.check().is_ok());
                took(11);
                assert!(heap.repair() == Ok(0));
                took(12);
            }
        }
        for (call, most) in CALLS.iter().zip(most) {
            hprintln!("{},hold.{},{}", name, call, most);
        }
    }
}

/// What is called, in the order of `table`'s numbers.
const CALLS: [&str; 13] = [
    "first",
    "alloc",
    "aligned",
    "free",
    "realloc",
    "usable_size",
    "wrong_free",
    "stats",
    "walk",
    "overwritten",
    "empty_magazines",
    "check",
    "repair",
];

fn heap_free<P: Policy>(heap: &StaticHeap<Timed, P>, object: *mut u8) -> bool {
    // SAFETY: the firmware does not use what it has freed.
    unsafe { heap.free(object) }.is_ok()
}

/// Marsaglia's xorshift: the same numbers everywhere, for ever.
struct Random(u32);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 >> 8) as usize % limit
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    loop {
        debug::exit(debug::EXIT_FAILURE);
    }
}
