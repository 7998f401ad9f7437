//! Where a call comes from: the return addresses on its thread's stack, found by frame pointers.
//!
//! The first address is exact in every program. Those above it are found where the code between keeps frame pointers
//! (`-fno-omit-frame-pointer`, `-C force-frame-pointers`); elsewhere the register holds anything, and the list ends early.
//! Nothing is trusted on the way: a frame must lie above the one before it, below the stack's end, and the kernel does the
//! reading, so that an address that is not there ends the list and not the program.
#![allow(unsafe_code)]

use crate::libc;
use crate::settings::MOST_ADDRESSES;

/// Bytes of a stack that are looked at, where its end is not known: what a thread has if nobody says otherwise.
const STACK: usize = 8 << 20;

/// Where one of the functions of `malloc` was called from: its return address, and its caller's frame pointer.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) address: usize,
    pub(crate) frame: usize,
}

/// Return addresses, the innermost first.
pub(crate) struct Stack {
    addresses: [usize; MOST_ADDRESSES],
    len: usize,
}

impl Stack {
    pub(crate) const NONE: Self = Self { addresses: [0; MOST_ADDRESSES], len: 0 };

    /// Follows a call to its callers, to `most` addresses.
    pub(crate) fn of(caller: Caller, most: usize) -> Self {
        let mut stack = Self::NONE;
        let here = (&raw const stack).addr();
        let end = end_of_stack(here);
        let (mut below, mut frame) = (here, caller.frame);
        let mut address = caller.address;
        while address != 0 && stack.len < most {
            let Some(place) = stack.addresses.get_mut(stack.len) else { break };
            *place = address;
            stack.len += 1;
            let fits = frame > below && frame % size_of::<usize>() == 0 && frame < end.saturating_sub(FRAME);
            if !fits || stack.len == most {
                break;
            }
            let Some([next, returns_to]) = libc::read_own(frame) else { break };
            (below, frame, address) = (frame, next, returns_to);
        }
        stack
    }

    pub(crate) fn addresses(&self) -> &[usize] {
        self.addresses.get(..self.len).unwrap_or_default()
    }
}

/// Bytes of what stands at a frame pointer: the frame pointer before it, and a return address.
const FRAME: usize = 2 * size_of::<usize>();

/// An address that no frame of this thread's stack reaches, with `here` on it. A thread's own data lies at the end of its stack; the
/// first thread's does not, and the loader knows where that stack began.
fn end_of_stack(here: usize) -> usize {
    let furthest = here.saturating_add(STACK);
    [thread_pointer(), libc::first_stack()].into_iter().filter(|&end| end > here).fold(furthest, usize::min)
}

#[cfg(target_arch = "x86_64")]
fn thread_pointer() -> usize {
    let pointer;
    // SAFETY: by the processor's ABI the first word of a thread's data is its own address. Only read.
    unsafe { core::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, readonly, preserves_flags)) };
    pointer
}

#[cfg(target_arch = "aarch64")]
fn thread_pointer() -> usize {
    let pointer;
    // SAFETY: a register that every program may read.
    unsafe { core::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, nomem, preserves_flags)) };
    pointer
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn thread_pointer() -> usize {
    usize::MAX
}

/// Declares a function `$name` that goes on in `$next` with two arguments more, which it puts into these registers: its caller's
/// frame pointer, and the address it returns to. What calls it must do so last, with no frame of its own left, as the compiler has it
/// wherever it optimises; else the address is one in here, and no harm is done.
///
/// A compiled function knows neither of the two: its own use of the register may come before all else in it.
macro_rules! with_caller {
    ($($x86_frame:literal $x86_address:literal $arm_frame:literal $arm_address:literal
        fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty => $next:ident;)*) => {$(
        #[cfg(target_arch = "x86_64")]
        core::arch::global_asm!(
            concat!(".hidden slabfit_", stringify!($name)),
            concat!(".globl slabfit_", stringify!($name)),
            concat!(".type slabfit_", stringify!($name), ", @function"),
            concat!("slabfit_", stringify!($name), ":"),
            concat!("mov ", $x86_frame, ", rbp"),
            concat!("mov ", $x86_address, ", [rsp]"),
            "jmp {next}",
            next = sym $next,
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::global_asm!(
            concat!(".hidden slabfit_", stringify!($name)),
            concat!(".globl slabfit_", stringify!($name)),
            concat!(".type slabfit_", stringify!($name), ", @function"),
            concat!("slabfit_", stringify!($name), ":"),
            concat!("mov ", $arm_frame, ", x29"),
            concat!("mov ", $arm_address, ", x30"),
            "b {next}",
            next = sym $next,
        );
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        unsafe extern "C" {
            #[link_name = concat!("slabfit_", stringify!($name))]
            fn $name($($argument: $type),*) -> $result;
        }
        /// On other processors nothing is known of the caller.
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        #[allow(unused_unsafe, reason = "some of these functions are safe")]
        unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            // SAFETY: the same function, with the same arguments.
            unsafe { $next($($argument,)* 0, 0) }
        }
    )*};
}
pub(crate) use with_caller;
