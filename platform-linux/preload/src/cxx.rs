//! C++'s sized `operator delete`, which tells how many bytes the object was asked for with. A hardened heap compares that.
//!
//! Of the operators no others are here. libstdc++'s `new` asks malloc, and when there is no memory it calls the program's handler
//! and throws, which takes the C++ runtime; its `delete` calls free. All that is lost on the way is the size.
//!
//! A program or library may replace some of the operators, and a sized one that it leaves alone has to call its plain one. So these do,
//! as libstdc++'s do, unless all of the operators are those of the runtime.
#![allow(unsafe_code)]

use core::ffi::c_void;
use core::ptr::null;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::heap::HEAP;
use crate::libc;
use crate::malloc::{free, give_back_sized};

type Delete = unsafe extern "C" fn(*mut c_void);
type AlignedDelete = unsafe extern "C" fn(*mut c_void, usize);

/// What the loader finds under the operators' names: null for what is not there, as in a program in C.
#[repr(C)]
struct Operators {
    delete: Option<Delete>,
    delete_array: Option<Delete>,
    delete_aligned: Option<AlignedDelete>,
    delete_array_aligned: Option<AlignedDelete>,
    new: [*const c_void; 4],
    /// `std::get_new_handler`, which nobody replaces.
    get_new_handler: *const c_void,
}

// SAFETY: addresses of functions, and nobody writes them.
unsafe impl Sync for Operators {}

// Weak references, which stable Rust has none of. With `dlsym` in their place each name that is not there would cost an allocation.
core::arch::global_asm!(
    ".weak _ZdlPv, _ZdaPv, _ZdlPvSt11align_val_t, _ZdaPvSt11align_val_t",
    ".weak _Znwm, _Znam, _ZnwmSt11align_val_t, _ZnamSt11align_val_t, _ZSt15get_new_handlerv",
    ".pushsection .data.rel.ro.slabfit_operators,\"aw\",@progbits",
    ".globl slabfit_operators",
    ".hidden slabfit_operators",
    ".type slabfit_operators, @object",
    ".size slabfit_operators, {size}",
    ".p2align 3",
    "slabfit_operators:",
    ".quad _ZdlPv, _ZdaPv, _ZdlPvSt11align_val_t, _ZdaPvSt11align_val_t",
    ".quad _Znwm, _Znam, _ZnwmSt11align_val_t, _ZnamSt11align_val_t",
    ".quad _ZSt15get_new_handlerv",
    ".popsection",
    size = const size_of::<Operators>(),
);

unsafe extern "C" {
    safe static slabfit_operators: Operators;
}

/// Whether sizes are compared: all operators are the runtime's.
static COMPARES: AtomicBool = AtomicBool::new(false);

/// Looks whose the operators are. To be called when the library is loaded.
pub(crate) fn look() {
    let found = &slabfit_operators;
    let address = |delete: Option<Delete>| delete.map_or(null(), |it| it as *const c_void);
    let aligned_address = |delete: Option<AlignedDelete>| delete.map_or(null(), |it| it as *const c_void);
    let plain = [found.delete, found.delete_array].map(address);
    let aligned = [found.delete_aligned, found.delete_array_aligned].map(aligned_address);
    let runtime = libc::start_of_object(found.get_new_handler);
    let mut all = plain.iter().chain(&aligned).chain(&found.new);
    let is_all = runtime.is_some() && all.all(|&address| libc::start_of_object(address) == runtime);
    COMPARES.store(is_all && HEAP.is_hardened(), Ordering::Relaxed);
}

/// # Safety
/// The object is not used after this.
#[inline]
unsafe fn delete(function: &str, ptr: *mut c_void, size: usize, plain: Option<Delete>) {
    if COMPARES.load(Ordering::Relaxed) {
        // SAFETY: as the caller promises.
        return unsafe { give_back_sized(function, ptr, 1, size) };
    }
    // SAFETY: as the caller promises.
    unsafe { plain.unwrap_or(free)(ptr) }
}

/// # Safety
/// The object is not used after this.
#[inline]
unsafe fn delete_aligned(
    function: &str,
    ptr: *mut c_void,
    size: usize,
    alignment: usize,
    plain: Option<AlignedDelete>,
) {
    if COMPARES.load(Ordering::Relaxed) {
        // libstdc++ asks for a multiple of the alignment, as C11 wants it.
        let rounded = size.max(1).checked_next_multiple_of(alignment.max(1)).unwrap_or(size);
        let is_rounded = HEAP.usable_size(ptr.cast()) == Ok(rounded);
        // SAFETY: as the caller promises.
        return unsafe { give_back_sized(function, ptr, alignment, if is_rounded { rounded } else { size }) };
    }
    match plain {
        // SAFETY: as the caller promises.
        Some(plain) => unsafe { plain(ptr, alignment) },
        // SAFETY: as the caller promises.
        None => unsafe { free(ptr) },
    }
}

/// `operator delete(void *, size_t)`: as [`free`]; an object that was asked for with another size is refused by a hardened heap.
///
/// # Safety
/// The object is not used after this.
// SAFETY: the name is the C++ runtime's, whose function this stands in for, with the same signature; so below.
#[unsafe(export_name = "_ZdlPvm")]
pub unsafe extern "C" fn sized_delete(ptr: *mut c_void, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { delete("operator delete", ptr, size, slabfit_operators.delete) }
}

/// `operator delete[](void *, size_t)`, in the same way.
///
/// # Safety
/// The object is not used after this.
// SAFETY: as for `sized_delete`.
#[unsafe(export_name = "_ZdaPvm")]
pub unsafe extern "C" fn sized_delete_array(ptr: *mut c_void, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { delete("operator delete[]", ptr, size, slabfit_operators.delete_array) }
}

/// `operator delete(void *, size_t, std::align_val_t)`, in the same way.
///
/// # Safety
/// The object is not used after this.
// SAFETY: as for `sized_delete`.
#[unsafe(export_name = "_ZdlPvmSt11align_val_t")]
pub unsafe extern "C" fn sized_aligned_delete(ptr: *mut c_void, size: usize, alignment: usize) {
    // SAFETY: as the caller promises.
    unsafe { delete_aligned("operator delete", ptr, size, alignment, slabfit_operators.delete_aligned) }
}

/// `operator delete[](void *, size_t, std::align_val_t)`, in the same way.
///
/// # Safety
/// The object is not used after this.
// SAFETY: as for `sized_delete`.
#[unsafe(export_name = "_ZdaPvmSt11align_val_t")]
pub unsafe extern "C" fn sized_aligned_delete_array(ptr: *mut c_void, size: usize, alignment: usize) {
    // SAFETY: as the caller promises.
    unsafe { delete_aligned("operator delete[]", ptr, size, alignment, slabfit_operators.delete_array_aligned) }
}
