//! The locks of crate lock_api: any `RawMutex` can be a heap's lock.
//!
//! Its versions have different traits of that name, one feature each. In the first the mutex holds all its state, in the
//! second `lock` leaves some with the caller, as ours does.
#![allow(unsafe_code)]

use crate::error::Reentered;
use crate::hooks::without_unwinding;
use crate::lock::RawLock;

macro_rules! lock_api {
    ($feature:literal, $Lock:ident, $api:ident, $Token:ty, $token:pat, $arguments:tt) => {
        /// A `RawMutex` of the crate lock_api as a heap's lock.
        ///
        /// It cannot tell that the calling thread holds it already: where a signal or interrupt handler may allocate,
        /// take one that masks them. (Of two heaps whose locks mask interrupts, drop the guards of `Heap::lock_all` in
        /// the reverse order.) For a global allocator the mutex must not allocate: that of parking_lot does when
        /// threads wait for it.
        #[cfg(feature = $feature)]
        #[derive(Debug)]
        pub struct $Lock<M>(M);

        // SAFETY: exclusion and ordering are what a `RawMutex` must give, by that trait's contract; a mutex that panics
        // ends the program.
        #[cfg(feature = $feature)]
        unsafe impl<M: $api::RawMutex> RawLock for $Lock<M> {
            const INIT: Self = Self(M::INIT);

            type Token = $Token;

            #[inline]
            fn lock(&self) -> Result<Self::Token, Reentered> {
                Ok(without_unwinding(|| self.0.lock()))
            }

            #[inline]
            unsafe fn unlock(&self, $token: Self::Token) {
                // SAFETY: this thread holds the mutex, and the token is what `lock` left, as the caller promises.
                without_unwinding(|| unsafe { self.0.unlock $arguments });
            }
        }
    };
}

lock_api!("lock-api-04", LockApi04, lock_api_04, (), (), ());
lock_api!("lock-api-05", LockApi05, lock_api_05, M::Guard, token, (token));
