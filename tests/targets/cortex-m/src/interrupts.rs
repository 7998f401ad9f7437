//! One heap for thread mode and for an interrupt handler, which pass objects to each other: whatever moment the handler
//! comes in, every object is whole when it is freed, by whichever of the two.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use cortex_m::Peripherals;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;
use cortex_m_semihosting::hprintln;
use critical_section::Mutex;

use crate::HEAP;

const TICKS: u32 = 5_000;
const LONGEST_QUEUE: usize = 12;

/// Packets on their way, whose bytes are all the same.
static QUEUE: Mutex<RefCell<VecDeque<Box<[u8]>>>> = Mutex::new(RefCell::new(VecDeque::new()));
static TICKED: Mutex<Cell<u32>> = Mutex::new(Cell::new(0));

/// Runs thread mode until the handler has come often enough.
pub fn run() {
    let mut timer = Peripherals::take().expect("nobody has asked before").SYST;
    timer.set_reload(1_000);
    timer.set_clock_source(SystClkSource::Core);
    timer.clear_current();
    timer.enable_counter();
    timer.enable_interrupt();
    let mut rounds = 0u32;
    while ticked() < TICKS {
        rounds = rounds.wrapping_add(1);
        send(rounds);
        receive();
        collections(rounds);
        if rounds % 64 == 0 {
            assert_eq!(HEAP.check(), Ok(()));
        }
    }
    timer.disable_interrupt();
    critical_section::with(|section| drop(QUEUE.borrow(section).take()));

    assert_eq!(HEAP.check(), Ok(()));
    let stats = HEAP.stats().expect("nobody is in the heap");
    assert_eq!((stats.slab.live_objects, stats.blocks.live_objects), (0, 0));
    assert_eq!(stats.slab.refused_frees + stats.blocks.refused_frees + stats.refused_outside, 0);
    assert!(rounds > 0 && stats.slab.allocs > 0);
    hprintln!("interrupts: {} of them beside {} rounds, {} blocks", TICKS, rounds, stats.blocks.allocs);
}

#[exception]
fn SysTick() {
    let tick = critical_section::with(|section| {
        let ticked = TICKED.borrow(section);
        ticked.set(ticked.get() + 1);
        ticked.get()
    });
    send(tick.rotate_left(16));
    receive();
    // SAFETY: thread mode is not at the timer while this runs.
    let mut timer = unsafe { Peripherals::steal() }.SYST;
    // Each time after another while, so that it comes at every moment sooner or later.
    timer.set_reload(600 + tick.wrapping_mul(2_654_435_761) % 3_001);
}

fn ticked() -> u32 {
    critical_section::with(|section| TICKED.borrow(section).get())
}

/// Sends a packet, unless too many are on their way.
fn send(number: u32) {
    let mixed = number.wrapping_mul(2_654_435_761).rotate_left(11);
    let length = if mixed & 1 == 0 { 32 } else { mixed as usize % 400 + 1 };
    let mut packet = Vec::new();
    if packet.try_reserve_exact(length).is_err() {
        return;
    }
    packet.resize(length, mixed as u8);
    critical_section::with(|section| {
        let mut queue = QUEUE.borrow(section).borrow_mut();
        if queue.len() < LONGEST_QUEUE {
            queue.push_back(packet.into_boxed_slice());
        }
    });
}

/// Takes the oldest packet, if there is one, reads it and gives it back.
fn receive() {
    let packet = critical_section::with(|section| QUEUE.borrow(section).borrow_mut().pop_front());
    if let Some(packet) = packet {
        let first = packet[0];
        assert!(packet.iter().all(|&byte| byte == first), "somebody else has written into a packet");
    }
}

/// Work for the allocator that a program might have.
fn collections(round: u32) {
    let words: BTreeMap<u32, _> = (0..8).map(|n| (n * 5 % 8, format!("{round:x}-{n}"))).collect();
    let mut numbers = vec![round; 40];
    numbers.extend(words.keys());
    numbers.sort_unstable();
    assert!(numbers.is_sorted() && words.values().is_sorted_by_key(|word| word.len()));
}
