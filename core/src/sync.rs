//! What the threads of a program share: atomics, the cell behind a lock, and the pause of a thread that waits.
//!
//! tests/loom builds this crate with a model checker's in their place. Its cfg is not `loom`: whoever checks a program of
//! their own sets that one for every crate in it.

#[cfg(not(slabfit_loom))]
mod real {
    pub(crate) use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
    #[cfg(target_has_atomic = "8")]
    pub(crate) use core::{hint::spin_loop, sync::atomic::AtomicBool};

    /// A value that is reached through a shared reference, by who may.
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        /// Reaches the value for as long as `work` runs, and no longer: a checker looks at both ends.
        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, work: impl FnOnce(*mut T) -> R) -> R {
            work(self.0.get())
        }
    }
}

#[cfg(not(slabfit_loom))]
pub(crate) use real::*;
#[cfg(slabfit_loom)]
pub(crate) use slabfit_loom::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, UnsafeCell, spin_loop};
