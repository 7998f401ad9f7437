//! Slices of the bookkeeping, exclusive or shared: like Rust's own, but the empty ones are all zeros.
//!
//! [`Bump`](crate::memory::Bump) hands them out; the rest of the crate holds them. Apart from it, so that only this file can reach
//! beyond a slice's bounds.
#![allow(unsafe_code)]

#[cfg(target_has_atomic = "64")]
use core::iter;
use core::marker::PhantomData;
#[cfg(target_has_atomic = "64")]
use core::ops::Range;
use core::ptr::{self, NonNull};

#[cfg(target_has_atomic = "64")]
use crate::sync::{AtomicU8, AtomicU16};

/// What the bookkeeping is made of.
///
/// # Safety
/// Every bit pattern is a value, that of zero bytes is `ZERO`, and there is nothing to drop.
pub(crate) unsafe trait Plain: Copy + PartialEq {
    const ZERO: Self;
}
// SAFETY: an integer.
unsafe impl Plain for u8 {
    const ZERO: Self = 0;
}
// SAFETY: an integer.
#[cfg(target_pointer_width = "64")]
unsafe impl Plain for u16 {
    const ZERO: Self = 0;
}
// SAFETY: an integer.
unsafe impl Plain for u32 {
    const ZERO: Self = 0;
}
// SAFETY: an integer.
unsafe impl Plain for usize {
    const ZERO: Self = 0;
}

/// A slice of the bookkeeping, like `&mut [T]`, but that the empty one is all zeros: a static heap is then `.bss`.
///
/// Invariant: `start` points to `len` initialised values that are lent for 'a and nobody else's; or both are 0.
#[derive(Debug)]
pub(crate) struct Lent<'a, T> {
    start: *mut T,
    len: usize,
    lent: PhantomData<&'a mut [T]>,
}

// SAFETY: it is the exclusive right to lent integers, as `&mut [T]` is, which is Send.
unsafe impl<T: Plain + Send> Send for Lent<'_, T> {}
// SAFETY: through `&Lent` values are only read, as through `&&mut [T]`, which is Sync.
unsafe impl<T: Plain + Sync> Sync for Lent<'_, T> {}

impl<T: Plain> Lent<'_, T> {
    pub(crate) const EMPTY: Self = Self { start: ptr::null_mut(), len: 0, lent: PhantomData };

    /// Lends the `len` values at `start`.
    ///
    /// # Safety
    /// They are initialised, aligned, lent for the slice's lifetime and nobody else's.
    pub(crate) unsafe fn new(start: NonNull<T>, len: usize) -> Self {
        Self { start: start.as_ptr(), len, lent: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns value `index`, or zero if there is none.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> T {
        if index >= self.len {
            return T::ZERO;
        }
        // SAFETY: in bounds: just compared.
        let place = unsafe { self.start.add(index) };
        // SAFETY: valid for reads, aligned, initialised: by the invariant.
        unsafe { place.read() }
    }

    /// Borrows value `index`.
    #[inline(always)]
    pub(crate) fn get_ref(&self, index: usize) -> Option<&T> {
        if index >= self.len {
            return None;
        }
        // SAFETY: in bounds: just compared.
        let place = unsafe { self.start.add(index) };
        // SAFETY: valid, aligned, initialised, and not written to while `self` is borrowed: by the invariant.
        Some(unsafe { &*place })
    }

    /// Borrows value `index` to change it.
    #[inline(always)]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.len {
            return None;
        }
        // SAFETY: in bounds: just compared.
        let place = unsafe { self.start.add(index) };
        // SAFETY: valid, aligned, initialised, and borrowed exclusively as `self` is: by the invariant.
        Some(unsafe { &mut *place })
    }

    /// Returns what `look` makes of the `N` values from `index` on; `none` if there are not so many.
    #[inline(always)]
    pub(crate) fn look_at<const N: usize, R>(&self, index: usize, none: R, look: impl FnOnce(&[T; N]) -> R) -> R {
        if index >= self.len.saturating_sub(const { N - 1 }) {
            return none;
        }
        // SAFETY: in bounds: index + N - 1 < len was just compared.
        let place = unsafe { self.start.add(index) };
        // SAFETY: valid for reads, aligned, initialised: by the invariant; not written to while `self` is borrowed.
        look(unsafe { &*place.cast::<[T; N]>() })
    }

    /// Returns the first value's address, and one that [`len`](Self::len) values follow.
    pub(crate) fn start(&self) -> *mut T {
        self.start
    }
}

/// What the shared part of the bookkeeping is made of.
///
/// # Safety
/// Zero bytes are a value, and there is nothing to drop.
#[cfg(target_has_atomic = "64")]
pub(crate) unsafe trait Zeroable: Sync {}
// SAFETY: an atomic integer.
#[cfg(target_has_atomic = "64")]
unsafe impl Zeroable for AtomicU8 {}
// SAFETY: an atomic integer.
#[cfg(target_has_atomic = "64")]
unsafe impl Zeroable for AtomicU16 {}

/// A slice of the bookkeeping that is shared, like `&[T]`, but that the empty one is all zeros.
///
/// Invariant: `start` points to `len` initialised values that are lent for 'a and reached by shared references alone; or both are 0.
#[cfg(target_has_atomic = "64")]
#[derive(Debug)]
pub(crate) struct Shared<'a, T> {
    start: *const T,
    len: usize,
    lent: PhantomData<&'a [T]>,
}

#[cfg(target_has_atomic = "64")]
impl<T> Clone for Shared<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

#[cfg(target_has_atomic = "64")]
impl<T> Copy for Shared<'_, T> {}

// SAFETY: it is `&[T]`, which is Send where T is Sync.
#[cfg(target_has_atomic = "64")]
unsafe impl<T: Sync> Send for Shared<'_, T> {}
// SAFETY: it is `&[T]`, which is Sync where T is.
#[cfg(target_has_atomic = "64")]
unsafe impl<T: Sync> Sync for Shared<'_, T> {}

#[cfg(target_has_atomic = "64")]
impl<'a, T> Shared<'a, T> {
    pub(crate) const EMPTY: Self = Self { start: ptr::null(), len: 0, lent: PhantomData };

    /// Lends the `len` values at `start`, to be shared.
    ///
    /// # Safety
    /// They are initialised, aligned, lent for the slice's lifetime and reached by shared references alone.
    pub(crate) unsafe fn new(start: NonNull<T>, len: usize) -> Self {
        Self { start: start.as_ptr(), len, lent: PhantomData }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Returns the whole pages of the slice that its bytes `about` reach into: which bytes each has, and where it is. A page is a power of
    /// two.
    pub(crate) fn pages(
        &self,
        about: Range<usize>,
        page: usize,
    ) -> impl Iterator<Item = (Range<usize>, NonNull<[u8]>)> + use<'_, T> {
        let (start, size) = (self.start.cast_mut().cast::<u8>(), self.len.wrapping_mul(size_of::<T>()));
        let lead = start.addr().wrapping_neg() & page.wrapping_sub(1);
        let whole = |bytes: usize| bytes & !page.wrapping_sub(1);
        // Counted from the first whole page on.
        let first = whole(about.start.saturating_sub(lead));
        let behind = about.end.min(size).saturating_sub(lead);
        let behind = behind.checked_next_multiple_of(page.max(1)).unwrap_or(0).min(whole(size.saturating_sub(lead)));
        // `step_by` would panic for a page of 0 bytes.
        let next = move |at: &usize| at.checked_add(page).filter(|next| *next < behind && page > 0);
        let pages = iter::successors(Some(first).filter(|first| *first < behind), next);
        pages.filter_map(move |at| {
            let at = lead.wrapping_add(at);
            let place = NonNull::new(start.wrapping_add(at))?;
            Some((at..at.wrapping_add(page), NonNull::slice_from_raw_parts(place, page)))
        })
    }

    /// Borrows value `index`.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Option<&'a T> {
        if index >= self.len {
            return None;
        }
        // SAFETY: in bounds: just compared.
        let place = unsafe { self.start.add(index) };
        // SAFETY: valid, aligned, initialised, shared: by the invariant.
        Some(unsafe { &*place })
    }
}
