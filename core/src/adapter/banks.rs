//! One allocator over several pieces of memory, each of them a heap.
#![allow(unsafe_code)]

use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

use crate::adapter::StaticHeap;
use crate::bytes;
use crate::claim::OfSize;
use crate::error::{AllocError, InvalidFree, ReallocError, Reason};
use crate::hooks::{Hooks, without_unwinding};
use crate::lock::RawLock;
use crate::policy::Policy;
use crate::segments::Heap;
use crate::units::Granules;

/// What can be a bank of [`Banks`]: a [`StaticHeap`], a [`Heap`], or banks.
pub trait Bank: sealed::Sealed {
    #[doc(hidden)]
    fn alloc_in_bank(&self, layout: Layout) -> Result<NonNull<u8>, AllocError>;

    /// Allocates zero bytes.
    #[doc(hidden)]
    #[inline(always)]
    fn alloc_zeroed_in_bank(&self, layout: Layout) -> Result<NonNull<u8>, AllocError>
    where
        Self: Sized,
    {
        let object = self.alloc_in_bank(layout)?;
        // SAFETY: just handed out, of the layout's size, and known to nobody yet.
        unsafe { bytes::clear(object, layout.size(), usize::MAX) };
        Ok(object)
    }

    /// # Safety
    /// As for [`Heap::free_sized`].
    #[doc(hidden)]
    unsafe fn free_in_bank(&self, ptr: *mut u8, layout: Layout) -> Result<(), InvalidFree>;

    /// # Safety
    /// As for [`Heap::realloc_layout`].
    #[doc(hidden)]
    unsafe fn resize_in_bank(&self, ptr: *mut u8, layout: Layout, new_size: usize)
    -> Result<NonNull<u8>, ReallocError>;

    #[doc(hidden)]
    fn is_in_bank(&self, ptr: *const u8) -> bool;
}

mod sealed {
    pub trait Sealed {}
    impl<L: crate::RawLock, P: crate::Policy> Sealed for crate::Heap<'static, L, P> {}
    impl<L: crate::RawLock, P: crate::Policy> Sealed for crate::StaticHeap<L, P> {}
    impl<const N: usize> Sealed for super::Banks<N> {}
}

impl<L: RawLock, P: Policy> Bank for Heap<'static, L, P> {
    #[inline(always)]
    fn alloc_in_bank(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.alloc_layout(layout)
    }

    #[inline(always)]
    fn alloc_zeroed_in_bank(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.alloc_layout_zeroed(layout)
    }

    #[inline(always)]
    unsafe fn free_in_bank(&self, ptr: *mut u8, layout: Layout) -> Result<(), InvalidFree> {
        // SAFETY: as the caller promises.
        unsafe { self.free_as(ptr, OfSize::at(ptr, layout)) }
    }

    #[inline(always)]
    unsafe fn resize_in_bank(
        &self,
        ptr: *mut u8,
        layout: Layout,
        new_size: usize,
    ) -> Result<NonNull<u8>, ReallocError> {
        // SAFETY: as the caller promises.
        unsafe { self.resize(ptr, new_size, layout.align(), OfSize::at(ptr, layout)) }
    }

    #[inline(always)]
    fn is_in_bank(&self, ptr: *const u8) -> bool {
        self.owns(ptr)
    }
}

impl<L: RawLock, P: Policy> Bank for StaticHeap<L, P> {
    fn alloc_in_bank(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.alloc_layout(layout)
    }

    unsafe fn free_in_bank(&self, ptr: *mut u8, layout: Layout) -> Result<(), InvalidFree> {
        // SAFETY: as the caller promises.
        unsafe { self.as_is().free_in_bank(ptr, layout) }
    }

    unsafe fn resize_in_bank(
        &self,
        ptr: *mut u8,
        layout: Layout,
        new_size: usize,
    ) -> Result<NonNull<u8>, ReallocError> {
        // SAFETY: as the caller promises.
        unsafe { self.as_is().resize_in_bank(ptr, layout, new_size) }
    }

    fn is_in_bank(&self, ptr: *const u8) -> bool {
        self.as_is().owns(ptr)
    }
}

/// `N` heaps, the *banks*, as one allocator for a `static`: RAM that is not in one piece, or not all alike.
///
/// A request goes to the banks in their order, or in the order of a [`rule`](Self::rule), until one serves it. An object is freed
/// where its address lies. Each bank has the lock, the policy and the figures of its own, and is used by itself as well: a driver asks
/// the bank that a device can reach. The banks never wait for each other.
///
/// An object that grows stays in its bank if the rule names that, and if it has room; otherwise it moves.
///
/// A bank that is an empty [`Heap`] serves nothing until [`Heap::init`]: so memory is added later, when a controller has been set up.
///
/// Time: that of each bank that is asked, and a comparison of addresses for each bank in a free.
///
/// ```
/// use std::alloc::Layout;
/// use slabfit::{Banks, Config, DefaultLock, FirstFit, Heap, NextFit, RegionArray, StaticArray, StaticHeap};
///
/// // On the target each array has a section: #[unsafe(link_section = ".ccmram")]
/// static FAST_ARRAY: StaticArray<8192, DefaultLock, FirstFit> = StaticArray::new();
/// static FAST: StaticHeap<DefaultLock, FirstFit> = StaticHeap::new(&FAST_ARRAY, Config::without_slab());
///
/// static DMA_ARRAY: StaticArray<{ 1 << 20 }> = StaticArray::new();
/// static DMA: StaticHeap = StaticHeap::new(&DMA_ARRAY, Config::new(64));
///
/// static EXTERNAL: Heap = Heap::empty();
///
/// #[global_allocator]
/// static HEAP: Banks<3> = Banks::new([&FAST, &DMA, &EXTERNAL]).rule(by_alignment);
///
/// /// The device wants buffers at multiples of 64, and reaches one bank.
/// fn by_alignment(request: Layout) -> &'static [usize] {
///     if request.align() >= 64 { &[1] } else { &[0, 1, 2] }
/// }
///
/// #[repr(align(64))]
/// struct Buffer([u8; 512]);
///
/// fn main() -> Result<(), slabfit::InitError> {
///     let (number, buffer) = (Box::new(7), Box::new(Buffer([0; 512])));
///     assert_eq!(HEAP.bank_of((&raw const *number).cast()), Some(0));
///     assert_eq!(HEAP.bank_of((&raw const *buffer).cast()), Some(1));
///     EXTERNAL.init(Box::leak(Box::new(RegionArray::<4096>::new())), Config::without_slab())
/// }
/// ```
pub struct Banks<const N: usize> {
    banks: [&'static (dyn Bank + Sync); N],
    rule: fn(Layout) -> &'static [usize],
    hooks: Option<&'static Hooks>,
}

/// All banks, the first one first.
fn in_order<const N: usize>(_: Layout) -> &'static [usize] {
    const { &numbers::<N>() }
}

/// The numbers from 0 up.
const fn numbers<const N: usize>() -> [usize; N] {
    let (mut numbers, mut left) = ([0; N], N);
    loop {
        let all: &mut [usize] = &mut numbers;
        let Some((number, _)) = all.split_at_mut(left).0.split_last_mut() else { break };
        left = left.wrapping_sub(1);
        *number = left;
    }
    numbers
}

impl<const N: usize> Banks<N> {
    /// Makes one allocator of these heaps.
    pub const fn new(banks: [&'static (dyn Bank + Sync); N]) -> Self {
        Self { banks, rule: in_order::<N>, hooks: None }
    }

    /// Has `rule` choose the banks for each request: it returns their numbers, counted from 0, in the order in which they are asked.
    /// What is no bank's number is left out. It must not allocate; if it panics, the program aborts.
    pub const fn rule(self, rule: fn(Layout) -> &'static [usize]) -> Self {
        Self { rule, ..self }
    }

    /// Calls these functions where, as a global allocator, it cannot return an error. The hooks of the banks are not called.
    pub const fn hooks(self, hooks: &'static Hooks) -> Self {
        Self { hooks: Some(hooks), ..self }
    }

    pub(super) const fn own_hooks(&self) -> Option<&'static Hooks> {
        self.hooks
    }

    /// Returns the numbers of the banks for a request. A global allocator must not unwind.
    fn order(&self, layout: Layout) -> &'static [usize] {
        without_unwinding(|| (self.rule)(layout))
    }

    /// Returns the number of the bank that an address lies in.
    pub fn bank_of(&self, ptr: *const u8) -> Option<usize> {
        self.banks.iter().position(|bank| bank.is_in_bank(ptr))
    }

    /// Allocates for `layout`, in the first of its banks that can.
    ///
    /// # Errors
    /// That of the last bank that was asked; [`AllocError::Full`] if none was.
    pub fn alloc_layout(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let mut failed = AllocError::Full;
        for &number in self.order(layout) {
            let Some(bank) = self.banks.get(number) else { continue };
            match bank.alloc_in_bank(layout) {
                Ok(object) => return Ok(object),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Frees the object at `ptr` that was asked for with `layout`, as [`Heap::free_sized`] does.
    ///
    /// # Errors
    /// As [`Heap::free_sized`]. An address in no bank counts as outside of the first one.
    ///
    /// # Safety
    /// As for [`Heap::free`].
    pub unsafe fn free_sized(&self, ptr: *mut u8, layout: Layout) -> Result<(), InvalidFree> {
        let (_, bank) = self.owner(ptr)?;
        // SAFETY: as the caller promises.
        unsafe { bank.free_in_bank(ptr, at_least_1(layout)) }
    }

    /// Changes the size of the object at `ptr` from `layout`'s to `new_size`, as [`Heap::realloc_layout`] does: in its bank, or by a move
    /// to another.
    ///
    /// # Errors
    /// As [`Heap::realloc_layout`].
    ///
    /// # Safety
    /// As for [`Heap::realloc`].
    pub unsafe fn realloc_layout(
        &self,
        ptr: *mut u8,
        layout: Layout,
        new_size: usize,
    ) -> Result<NonNull<u8>, ReallocError> {
        let layout = at_least_1(layout);
        let (number, bank) = self.owner(ptr)?;
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
            return Err(AllocError::Full.into());
        };
        let may_stay = self.order(new_layout).contains(&number);
        // An object that is to leave is given its own size: that it is live is confirmed before it is read.
        let size = if may_stay { new_size } else { layout.size() };
        // SAFETY: as the caller promises.
        let old = match unsafe { bank.resize_in_bank(ptr, layout, size) } {
            Ok(object) if may_stay => return Ok(object),
            Ok(object) => object,
            Err(error @ ReallocError::Alloc(_)) => NonNull::new(ptr).ok_or(error)?,
            Err(error) => return Err(error),
        };
        let new = self.alloc_layout(new_layout)?;
        let count = Granules::from_bytes_ceil(layout.size().min(new_size));
        // SAFETY: whole granules of both lie in regions: the old object was live, and of its layout, when its bank was asked; the new
        // one was just handed out.
        unsafe { bytes::copy(old, new, count) };
        // Refused only if another thread has freed it meanwhile.
        // SAFETY: as the caller promises.
        let _ = unsafe { bank.free_in_bank(old.as_ptr(), layout) };
        Ok(new)
    }

    /// Returns the bank that an address lies in, or else the first one, which refuses it; and the bank's number.
    #[inline(never)]
    fn owner(&self, ptr: *mut u8) -> Result<(usize, &'static (dyn Bank + Sync)), InvalidFree> {
        let number = self.bank_of(ptr).unwrap_or(0);
        let outside = InvalidFree { address: ptr.addr(), reason: Reason::OutsideHeap };
        self.banks.get(number).map(|bank| (number, *bank)).ok_or(outside)
    }
}

/// Counts 0 bytes as 1, as an alloc does.
fn at_least_1(layout: Layout) -> Layout {
    if layout.size() > 0 {
        return layout;
    }
    // Not reached: an alignment of which there is no layout.
    Layout::from_size_align(1, layout.align()).unwrap_or(layout)
}

impl<const N: usize> Bank for Banks<N> {
    #[inline(always)]
    fn alloc_in_bank(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.alloc_layout(layout)
    }

    #[inline(always)]
    unsafe fn free_in_bank(&self, ptr: *mut u8, layout: Layout) -> Result<(), InvalidFree> {
        // SAFETY: as the caller promises.
        unsafe { self.free_sized(ptr, layout) }
    }

    #[inline(always)]
    unsafe fn resize_in_bank(
        &self,
        ptr: *mut u8,
        layout: Layout,
        new_size: usize,
    ) -> Result<NonNull<u8>, ReallocError> {
        // SAFETY: as the caller promises.
        unsafe { self.realloc_layout(ptr, layout, new_size) }
    }

    #[inline(always)]
    fn is_in_bank(&self, ptr: *const u8) -> bool {
        self.bank_of(ptr).is_some()
    }
}

impl<const N: usize> fmt::Debug for Banks<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Banks").field("count", &N).finish_non_exhaustive()
    }
}
