//! A heap in a WebAssembly module's memory: it has what lies after the module's own data, and where that is not enough, a hook has
//! the memory grown by whole pages and extends the heap by them.
#![no_std]

extern crate alloc;

use alloc::vec::Vec;
use core::alloc::Layout;
use core::arch::wasm32::{memory_grow, memory_size, unreachable};
use core::panic::PanicInfo;

use slabfit::{Config, DefaultLock, General, Heap, Hooks, Memory, bookkeeping_size};

/// Bytes of a page.
const PAGE: usize = 64 << 10;
/// The heap is never larger than this.
const MOST: usize = 64 << 20;

#[global_allocator]
static HEAP: Heap<'static, DefaultLock, General> = Heap::empty();
static HOOKS: Hooks = Hooks::new().out_of_memory(grow);

unsafe extern "C" {
    /// Where the module's own data end: the linker says.
    static mut __heap_base: u8;
}

const CONFIG: Config = Config::without_slab().reserve(MOST).hooks(&HOOKS);

/// Gives the heap the memory that there is, and pages for its bookkeeping. The first call; nothing allocates before it.
#[unsafe(no_mangle)]
extern "C" fn start() {
    let pages = bookkeeping_size::<General>(PAGE, CONFIG).div_ceil(PAGE) + 1;
    assert!(memory_grow(0, pages) != usize::MAX, "no memory to begin with");
    let base = &raw mut __heap_base;
    let size = memory_size(0) * PAGE - base.addr();
    // SAFETY: nothing else lies from there to the memory's end, and nobody else has it.
    let memory = unsafe { Memory::from_raw(base, size) };
    HEAP.init(memory, CONFIG).expect("more than the bookkeeping takes");
}

/// Adds the pages that a request needs, and asks for one more try.
fn grow(request: Layout) -> bool {
    let pages = (request.size() + request.align() + 64).div_ceil(PAGE);
    if pages * PAGE > MOST || memory_grow(0, pages) == usize::MAX {
        return false;
    }
    // SAFETY: the pages follow the memory's old end, which was the heap's, and nobody else has them.
    unsafe { HEAP.extend(pages * PAGE) }.is_ok()
}

/// Fills vectors of so many bytes in all, and returns how many bytes were as they had been written.
#[unsafe(no_mangle)]
extern "C" fn fill(bytes: usize) -> usize {
    let mut rows: Vec<Vec<u8>> = Vec::new();
    for row in 0..bytes / 1000 {
        rows.push(core::iter::repeat_n(row as u8, 1000).collect());
    }
    let intact = rows.iter().enumerate().filter(|(row, bytes)| bytes.iter().all(|&byte| byte == *row as u8));
    intact.map(|(_, bytes)| bytes.len()).sum()
}

/// Returns 1 if a request of so many bytes is served.
#[unsafe(no_mangle)]
extern "C" fn serves(bytes: usize) -> usize {
    let mut vec: Vec<u8> = Vec::new();
    usize::from(vec.try_reserve_exact(bytes).is_ok())
}

/// Returns 1 if every invariant of the heap holds and nothing is live in it.
#[unsafe(no_mangle)]
extern "C" fn is_empty_and_whole() -> usize {
    let _ = HEAP.empty_magazines();
    let nothing = HEAP.stats().is_ok_and(|stats| stats.blocks.live_objects == 0 && stats.blocks.free_blocks == 1);
    usize::from(HEAP.check().is_ok() && nothing)
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    unreachable()
}
