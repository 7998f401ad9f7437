//! A firmware that puts a heap to the test on a Cortex-M: in memory from all over, beside the reference model's
//! answers, and shared by thread mode and an interrupt handler. It tells the debugger what went well, and exits with 1 at the first thing that did not.
#![no_std]
#![no_main]

extern crate alloc;

mod beside_the_model;
mod interrupts;
mod lent;
mod masked;

use core::panic::PanicInfo;

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use slabfit::{Config, CriticalSectionLock, StaticArray, StaticHeap};

static ARRAY: StaticArray<{ 16 << 10 }, CriticalSectionLock> = StaticArray::new();

/// The program's allocator. A handler may use it, as its lock masks interrupts.
#[global_allocator]
static HEAP: StaticHeap<CriticalSectionLock> = StaticHeap::new(&ARRAY, Config::new(32));

#[entry]
fn main() -> ! {
    lent::run();
    beside_the_model::run();
    interrupts::run();
    debug::exit(debug::EXIT_SUCCESS);
    unreachable!("the debugger has ended the program");
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    cortex_m::interrupt::disable();
    hprintln!("{}", info);
    loop {
        debug::exit(debug::EXIT_FAILURE);
    }
}
