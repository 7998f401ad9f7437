//! Statics are all zeros, and so in `.bss`: a heap that is not used costs nothing in the program file, and no RAM that start-up
//! code must fill. The linker says where `.bss` is.
#![cfg(all(target_os = "linux", not(miri)))]

use core::ops::Range;
use core::sync::atomic::AtomicUsize;

use crate::adapter::{StaticArray, StaticHeap};
use crate::layout::Config;
use crate::lock::NoLock;
use crate::policy::{FirstFit, NextFit};
use crate::segments::Heap;
use crate::spin::SpinLock;

/// What one thread uses, for a static that nobody does.
struct Unused<T>(T);

// SAFETY: nothing but its address is ever used.
unsafe impl<T> Sync for Unused<T> {}

static NEXT_FIT: Heap<'static, SpinLock, NextFit> = Heap::empty();
static FIRST_FIT: Heap<'static, SpinLock, FirstFit> = Heap::empty();
static WITHOUT_LOCK: Unused<Heap<'static, NoLock, NextFit>> = Unused(Heap::empty());
static ARRAY: StaticArray<5000> = StaticArray::new();
static FIRST_FIT_ARRAY: StaticArray<5001, SpinLock, FirstFit> = StaticArray::new();
static HANDLE: StaticHeap = StaticHeap::new(&ARRAY, Config::new(64));
/// Not zeros, but changed by whoever uses it.
static OTHER: AtomicUsize = AtomicUsize::new(1);

unsafe extern "C" {
    #[link_name = "__bss_start"]
    static BSS_START: u8;
    #[link_name = "_end"]
    static BSS_END: u8;
}

fn bss() -> Range<usize> {
    (&raw const BSS_START).addr()..(&raw const BSS_END).addr()
}

fn is_in_bss<T>(value: &'static T) -> bool {
    let start = (&raw const *value).addr();
    bss().contains(&start) && start + size_of::<T>() <= bss().end
}

#[test]
fn a_static_heap_is_all_zeros() {
    assert!(is_in_bss(&NEXT_FIT) && is_in_bss(&FIRST_FIT) && is_in_bss(&WITHOUT_LOCK.0));
    assert!(is_in_bss(&ARRAY) && is_in_bss(&FIRST_FIT_ARRAY));
}

#[test]
fn what_is_not_all_zeros_is_elsewhere() {
    assert!(!is_in_bss(&OTHER) && !is_in_bss(&HANDLE));
}
