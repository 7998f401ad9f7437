//! Memory from where firmware has it. Each function is what a program would write.

use core::mem::MaybeUninit;

use cortex_m_semihosting::hprintln;
use slabfit::{Config, ExtendError, FirstFit, Heap, InitError, Memory, RegionArray};

use crate::masked::Masked;

type FirmwareHeap = Heap<'static, Masked, FirstFit>;

/// The memory between the statics and the stack, from the linker's symbols: of any alignment, and never initialised.
mod from_the_linker {
    use super::*;

    /// Left to the stack, whose end the linker does not know. (This heap is not used for long.)
    const STACK: usize = 3 << 10;

    unsafe extern "C" {
        static mut __sheap: u8;
        static mut _stack_start: u8;
    }

    static HEAP: FirmwareHeap = Heap::empty();

    pub fn heap() -> Result<&'static FirmwareHeap, InitError> {
        let (start, end) = (&raw mut __sheap, &raw mut _stack_start);
        let size = end.addr() - start.addr() - STACK;
        // One further, to show that any address will do.
        let start = start.wrapping_add(1);
        // SAFETY: RAM that nobody else uses: above the statics, and below what the stack reaches.
        let memory = unsafe { Memory::from_raw(start, size - 1) };
        HEAP.init(memory, Config::new(32))?;
        Ok(&HEAP)
    }
}

/// A section that start-up code does not zero: CCM, battery-backed or external RAM.
mod from_a_section {
    use super::*;

    #[unsafe(link_section = ".uninit.heap")]
    static mut RAM: RegionArray<512> = RegionArray::new();
    static HEAP: FirmwareHeap = Heap::empty();

    pub fn heap() -> Result<&'static FirmwareHeap, InitError> {
        // SAFETY: nothing else names RAM.
        HEAP.init(unsafe { &mut *&raw mut RAM }, Config::without_slab())?;
        Ok(&HEAP)
    }
}

/// Bytes that something else in the program gives away for ever, such as `cortex_m::singleton!` or a `StaticCell`.
fn from_bytes() -> Result<FirmwareHeap, InitError> {
    let bytes: &'static mut [u8] = cortex_m::singleton!(BYTES: [u8; 512] = [0xa5; 512]).expect("the first call");
    Heap::from_memory(bytes, Config::without_slab())
}

fn from_uninitialised_bytes() -> Result<FirmwareHeap, InitError> {
    type Bytes = [MaybeUninit<u8>; 512];
    let bytes: &'static mut [MaybeUninit<u8>] =
        cortex_m::singleton!(UNINIT: Bytes = [MaybeUninit::uninit(); 512]).expect("the first call");
    Heap::from_memory(bytes, Config::without_slab())
}

/// A controller that is set up in two steps: the second half of its RAM comes later.
fn in_two_steps() -> Result<FirmwareHeap, ExtendError> {
    static mut RAM: RegionArray<512> = RegionArray::new();
    // SAFETY: nothing else names RAM.
    let ram = unsafe { (*&raw mut RAM).as_mut() };
    // SAFETY: the first half of an array that nobody else has.
    let half = unsafe { Memory::from_raw(ram.as_mut_ptr().cast(), 256) };
    let heap = Heap::from_memory(half, Config::without_slab().reserve(256)).expect("256 bytes are enough");
    // SAFETY: the second half follows in the same array.
    unsafe { heap.extend(256) }?;
    Ok(heap)
}

/// Makes a heap of each, and uses it.
pub fn run() {
    let heaps = [
        (from_the_linker::heap().expect("a heap"), 1500),
        (from_a_section::heap().expect("a heap"), 300),
        (&from_bytes().expect("a heap"), 300),
        (&from_uninitialised_bytes().expect("a heap"), 300),
        (&in_two_steps().expect("a heap"), 280),
    ];
    for (heap, least) in heaps {
        let object = heap.alloc(least).expect("there is as much").as_ptr();
        // SAFETY: nobody uses the object.
        assert_eq!(unsafe { heap.free(object) }, Ok(()));
        assert_eq!(heap.check(), Ok(()));
    }
    hprintln!("lent: {} heaps, of {} bytes the first", heaps.len(), heaps[0].0.size());
}
