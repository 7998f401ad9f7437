//! A kernel that refuses memory at any step: the n-th mapping, without memory or by a seccomp filter. What was mapped before
//! is given back, the error says which of the two it was, and the next attempt succeeds. Each test looks at the size of its process, so
//! it has one of its own.

use std::env::consts::ARCH;
use std::ffi::{c_int, c_void};
use std::{io, ptr, thread};

use libloading::{Library, Symbol};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use slabfit::{Config, NextFit, bookkeeping_size};
use slabfit_linux::{MapError, MappedHeap, ProcessHeap, SystemError};

use crate::c_common;
use crate::system::{in_own_process, status_bytes};

const SLAB_SIZE: usize = 64;
/// So many that a reservation which is left behind shows in the size of the process.
const HEAP: usize = 1 << 30;
const PAGE: usize = 4096;

/// A system call, told by its number and its second argument, which is a length.
#[derive(Clone, Copy, Debug)]
struct Step {
    call: i64,
    len: usize,
}

/// Guards, and what is there to start the heap at a multiple of 8 KiB.
fn reservation(heap: usize, bookkeeping: usize) -> Step {
    Step { call: libc::SYS_mmap, len: heap + bookkeeping + 3 * PAGE + 8192 }
}

fn opening(len: usize) -> Step {
    Step { call: libc::SYS_mprotect, len }
}

/// What a heap asks of the kernel, in order.
fn steps_of_a_heap() -> [Step; 3] {
    let bookkeeping = bookkeeping_size::<NextFit>(HEAP, Config::new(SLAB_SIZE)).next_multiple_of(PAGE);
    [reservation(HEAP, bookkeeping), opening(HEAP), opening(bookkeeping)]
}

/// Runs `work` in a thread to which the kernel refuses this step.
fn refusing<T: Send>(step: Step, errno: c_int, work: impl FnOnce() -> T + Send) -> T {
    let len = step.len as u64;
    let is_len = SeccompCondition::new(1, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, len).expect("an argument");
    let rules = [(step.call, vec![SeccompRule::new(vec![is_len]).expect("a condition")])];
    let refusal = SeccompAction::Errno(errno as u32);
    let arch = ARCH.try_into().expect("it is one of two");
    let filter = SeccompFilter::new(rules.into_iter().collect(), SeccompAction::Allow, refusal, arch);
    let program: BpfProgram = filter.expect("two actions that differ").try_into().expect("it is short");
    thread::scope(|scope| {
        let refused = scope.spawn(move || {
            seccompiler::apply_filter(&program).expect("the kernel has filters");
            work()
        });
        refused.join().expect("it does not panic")
    })
}

#[track_caller]
fn nothing_is_left(before: usize, step: Step) {
    let more = status_bytes("VmSize:").saturating_sub(before);
    assert!(more < HEAP / 2, "{more} bytes are left mapped after a refusal of {step:?}");
}

#[test]
fn a_heap_is_refused_at_every_step_and_leaves_nothing_mapped() {
    in_own_process("refused_memory::a_heap_is_refused_at_every_step_and_leaves_nothing_mapped", || {
        let before = status_bytes("VmSize:");
        for step in steps_of_a_heap() {
            for (errno, error) in [
                (libc::ENOMEM, SystemError::OutOfMemory),
                (libc::EPERM, SystemError::Refused { errno: libc::EPERM }),
                (libc::ENOSYS, SystemError::Refused { errno: libc::ENOSYS }),
            ] {
                let made = refusing(step, errno, || MappedHeap::new(HEAP, Config::new(SLAB_SIZE)).map(|_| ()));
                assert_eq!(made, Err(MapError::System(error)), "{step:?}");
                nothing_is_left(before, step);
            }
        }
    });
}

#[test]
fn a_refused_heap_of_the_process_can_be_had_later() {
    in_own_process("refused_memory::a_refused_heap_of_the_process_can_be_had_later", || {
        static PROCESS: ProcessHeap = ProcessHeap::empty();
        let before = status_bytes("VmSize:");
        for step in steps_of_a_heap() {
            let made = refusing(step, libc::ENOMEM, || PROCESS.init(HEAP, Config::new(SLAB_SIZE)).map(|_| ()));
            assert_eq!(made, Err(MapError::System(SystemError::OutOfMemory)), "{step:?}");
            assert_eq!((PROCESS.base(), PROCESS.size()), (None, 0));
            nothing_is_left(before, step);
        }
        assert!(PROCESS.init(HEAP, Config::new(SLAB_SIZE)).is_ok());
        assert!(PROCESS.alloc(SLAB_SIZE).is_ok() && PROCESS.alloc(100).is_ok());
    });
}

#[test]
fn in_c_a_refusal_is_null_and_an_errno() {
    in_own_process("refused_memory::in_c_a_refusal_is_null_and_an_errno", refused_in_c);
}

fn refused_in_c() {
    type Init = unsafe extern "C" fn(c_int, c_int) -> *mut c_void;
    type Create = unsafe extern "C" fn(usize, usize, c_int) -> *mut c_void;
    type Destroy = unsafe extern "C" fn(*mut c_void) -> c_int;

    // SAFETY: the library does nothing when it is loaded.
    let library = unsafe { Library::new(c_common::library()) }.expect("cargo has built it");
    // SAFETY: mem.h declares it so.
    let init: Symbol<'_, Init> = unsafe { library.get(b"Mem_Init") }.expect("it is there");
    // SAFETY: as above.
    let create: Symbol<'_, Create> = unsafe { library.get(b"mem_heap_create") }.expect("it is there");
    // SAFETY: as above.
    let destroy: Symbol<'_, Destroy> = unsafe { library.get(b"mem_heap_destroy") }.expect("it is there");
    // SAFETY: any arguments may be passed.
    let try_init = || unsafe { init(HEAP as c_int, SLAB_SIZE as c_int) };
    // SAFETY: any arguments may be passed.
    let try_create = || unsafe { create(HEAP, SLAB_SIZE, 0) };
    let before = status_bytes("VmSize:");
    // The handle has a page of its own, and no bookkeeping.
    let handle = [reservation(PAGE, 0), opening(PAGE)];
    for errno in [libc::ENOMEM, libc::EPERM] {
        let refused = |call: &(dyn Fn() -> *mut c_void + Sync), step| {
            let said = refusing(step, errno, || (call().is_null(), io::Error::last_os_error().raw_os_error()));
            assert_eq!(said, (true, Some(errno)), "{step:?}");
            nothing_is_left(before, step);
        };
        steps_of_a_heap().into_iter().for_each(|step| refused(&try_init, step));
        steps_of_a_heap().into_iter().chain(handle).for_each(|step| refused(&try_create, step));
    }
    let heap = try_create();
    assert_ne!(heap, ptr::null_mut());
    // SAFETY: the heap was just made.
    assert_eq!(unsafe { destroy(heap) }, 0);
    assert_ne!(try_init(), ptr::null_mut());
}
