//! What threads share: atomics, the cell that a lock guards, and the pause of a thread that waits.
//!
//! tests/loom builds this crate with a model checker's in their place. Its cfg is not `loom`: whoever checks a program of
//! their own sets that one for every crate in it.
#![allow(unsafe_code)]

#[cfg(not(slabfit_loom))]
mod real {
    pub(crate) use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
    #[cfg(target_has_atomic = "64")]
    pub(crate) use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};
    // What one owner at a time writes and, statistics and checks apart, reads. The checker proves that.
    #[cfg(target_has_atomic = "64")]
    pub(crate) use core::sync::atomic::{AtomicU32 as OwnersU32, AtomicU64 as OwnersU64, AtomicUsize as OwnersUsize};
    #[cfg(target_has_atomic = "8")]
    pub(crate) use core::{hint::spin_loop, sync::atomic::AtomicBool};

    /// A value that is reached through a shared reference, by the holder of its lock.
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    /// The way to the value, for as long as this lives: a checker looks at both ends.
    pub(crate) struct MutPtr<T>(*mut T);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn get_mut(&self) -> MutPtr<T> {
            MutPtr(self.0.get())
        }
    }

    impl<T> MutPtr<T> {
        /// # Safety
        /// Nobody else reaches the value while the reference lives.
        #[expect(clippy::mut_from_ref, reason = "the holder of the lock is the only one who has it")]
        #[inline(always)]
        pub(crate) unsafe fn deref(&self) -> &mut T {
            // SAFETY: valid: it points into the cell, which the caller borrows; exclusive: as the caller promises.
            unsafe { &mut *self.0 }
        }

        /// Calls `look` with a pointer to the value, for those who must not make an exclusive reference.
        #[inline(always)]
        pub(crate) fn with<R>(&self, look: impl FnOnce(*mut T) -> R) -> R {
            look(self.0)
        }
    }
}

#[cfg(not(slabfit_loom))]
pub(crate) use real::*;
#[cfg(slabfit_loom)]
pub(crate) use slabfit_loom::{AtomicBool, AtomicPtr, AtomicUsize, MutPtr, Ordering, UnsafeCell, spin_loop};
// Those of the bookkeeping lie in lent memory, so they are bytes there and no others.
#[cfg(slabfit_loom)]
pub(crate) use slabfit_loom::lent::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, OwnersU32, OwnersU64, OwnersUsize};
