//! Allocates, frees and checks a heap in a static array, with nothing around it but the kernel. It exits with 0, or with
//! the number of the first step that went wrong.
#![no_std]
#![no_main]

mod memory;

use core::alloc::Layout;
use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

use slabfit::{Config, Heap, Reason, StaticArray, StaticHeap};

static ARRAY: StaticArray<65536> = StaticArray::new();
static HEAP: StaticHeap = StaticHeap::new(&ARRAY, Config::new(64));

// The kernel enters here with the stack pointer at a multiple of 16, and a function expects that of its caller's.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "call {start}", "ud2", start = sym start);
#[cfg(target_arch = "x86")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "call {start}", "ud2", start = sym start);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "bl {start}", "brk #1", start = sym start);

extern "C" fn start() -> ! {
    exit(match run(&HEAP) {
        Ok(()) => 0,
        Err(step) => step,
    })
}

/// Each step, by number, must do what it is here for.
fn run(heap: &Heap<'static>) -> Result<(), u8> {
    let slot = heap.alloc(64).map_err(|_| 1)?.as_ptr();
    let block = heap.alloc_zeroed(1000).map_err(|_| 2)?.as_ptr();
    let aligned = heap.alloc_layout(Layout::new::<Page>()).map_err(|_| 3)?.cast::<Page>();
    // SAFETY: memory for a page that nobody else has.
    unsafe { aligned.write(Page([0x5A; 4096])) };
    // SAFETY: the block is not used by its old address any more.
    let block = unsafe { heap.realloc(block, 2000) }.map_err(|_| 4)?.as_ptr();
    // SAFETY: the page was written above, and nobody has freed it.
    if unsafe { aligned.as_ref() }.0.iter().any(|&byte| byte != 0x5A) {
        return Err(5);
    }
    heap.check().map_err(|_| 6)?;
    for object in [slot, block, aligned.as_ptr().cast()] {
        // SAFETY: nobody uses the object afterwards.
        unsafe { heap.free(object) }.map_err(|_| 7)?;
        // SAFETY: there is no object there any more.
        let again = unsafe { heap.free(object) };
        if again.map_err(|wrong| wrong.reason) != Err(Reason::DoubleFree) {
            return Err(8);
        }
    }
    let stats = heap.stats().map_err(|_| 9)?;
    if stats.blocks.free_blocks == 1 && stats.slab.live_objects == 0 { Ok(()) } else { Err(10) }
}

#[repr(align(4096))]
struct Page([u8; 4096]);

/// Ends the process.
fn exit(code: u8) -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: exit_group takes a number and does not return.
    unsafe {
        asm!("syscall", in("rax") 231, in("rdi") u64::from(code), options(noreturn, nostack));
    }
    #[cfg(target_arch = "x86")]
    // SAFETY: as above.
    unsafe {
        asm!("int 0x80", in("eax") 252, in("ebx") u32::from(code), options(noreturn, nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        asm!("svc #0", in("x8") 94, in("x0") u64::from(code), options(noreturn, nostack));
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(255)
}
