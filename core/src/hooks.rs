//! What a program wants to be told of, as `fn` pointers. No lock is held while one runs.

use core::alloc::Layout;
use core::ptr;

use crate::error::{AllocError, Damage, InvalidFree, Violation};

/// Functions that a heap calls where it has no other way to say what happened: [`Config::hooks`](crate::Config::hooks).
///
/// - *Out of memory*: a global allocator cannot serve a request. The function may free something, and asks for one more try by
///   returning `true`.
/// - *Invalid free*: a global allocator, or an `Allocator` of crate allocator-api2, has refused a free or a realloc. Without this hook
///   the refusal is counted ([`Stats`](crate::Stats)) and the program goes on, with the object as it was. To stop the program instead,
///   abort or panic in the function.
/// - *Violation*: [`check`](crate::Heap::check) has failed. The function is told what it returns.
///
/// - *Damage*: a [hardened](crate::Hardened) heap has found bytes that the program wrote although they are no live object's. Any call
///   can find them, so any call tells this hook. Without it, a free or a realloc that finds them at its own object is refused, and what
///   an allocation finds is cleared.
///
/// But for damage, a call that returns an error, such as [`Heap::alloc`](crate::Heap::alloc), tells its caller, and calls no hook.
///
/// A function may use the heap: no lock is held. If it asks for memory that there is not, it is called again from within itself. It
/// runs on the thread or in the handler that made the call. A handler that interrupts the heap is refused, and reported
/// ([`Reason::Reentered`](crate::Reason)): the heap refuses what that hook asks of it. A panic in the first two functions aborts the
/// program, as a global allocator must not unwind.
///
/// ```
/// use std::alloc::Layout;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use slabfit::{Config, Hooks, InvalidFree, StaticArray, StaticHeap};
///
/// static ARRAY: StaticArray<{ 1 << 20 }> = StaticArray::new();
/// static HOOKS: Hooks = Hooks::new().out_of_memory(give_way).invalid_free(stop);
///
/// #[global_allocator]
/// static HEAP: StaticHeap = StaticHeap::new(&ARRAY, Config::without_slab().hooks(&HOOKS));
///
/// static ASKED: AtomicUsize = AtomicUsize::new(0);
///
/// fn give_way(request: Layout) -> bool {
///     ASKED.store(request.size(), Ordering::Relaxed);
///     false // nothing to give: the request fails
/// }
///
/// fn stop(wrong: InvalidFree) {
///     panic!("{wrong}"); // prints the address and the reason, and aborts
/// }
///
/// fn main() {
///     assert!(Vec::<u8>::new().try_reserve(2 << 20).is_err());
///     assert_eq!(ASKED.load(Ordering::Relaxed), 2 << 20);
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Hooks {
    out_of_memory: Option<fn(Layout) -> bool>,
    invalid_free: Option<fn(InvalidFree)>,
    violation: Option<fn(Violation)>,
    damage: Option<fn(Damage)>,
}

impl Hooks {
    /// Makes hooks that call nothing.
    pub const fn new() -> Self {
        Self { out_of_memory: None, invalid_free: None, violation: None, damage: None }
    }

    /// Sets the function that is called when there is no memory for a request. It returns whether to try once more.
    pub const fn out_of_memory(self, call: fn(Layout) -> bool) -> Self {
        Self { out_of_memory: Some(call), ..self }
    }

    /// Sets the function that is called when a free or a realloc was refused.
    pub const fn invalid_free(self, call: fn(InvalidFree)) -> Self {
        Self { invalid_free: Some(call), ..self }
    }

    /// Sets the function that is called when a check has failed.
    pub const fn violation(self, call: fn(Violation)) -> Self {
        Self { violation: Some(call), ..self }
    }

    /// Sets the function that is called when a [hardened](crate::Hardened) heap has found bytes that the program must not have written.
    pub const fn damage(self, call: fn(Damage)) -> Self {
        Self { damage: Some(call), ..self }
    }

    /// Tells that a request for `layout` has failed, and returns whether to try once more.
    #[cold]
    #[inline(never)]
    pub(crate) fn ask_for_memory(&self, layout: Layout, error: AllocError) -> bool {
        let is_out = matches!(error, AllocError::Full | AllocError::Fragmented);
        let call = self.out_of_memory.filter(|_| is_out);
        call.is_some_and(|call| without_unwinding(|| call(layout)))
    }

    /// Tells that a free or a realloc was refused.
    #[cold]
    #[inline(never)]
    pub(crate) fn report(&self, wrong: InvalidFree) {
        if let Some(call) = self.invalid_free {
            without_unwinding(|| call(wrong));
        }
    }

    /// Tells of bytes that the program must not have written.
    #[cold]
    #[inline(never)]
    pub(crate) fn report_damage(&self, damage: Damage) {
        if let Some(call) = self.damage {
            without_unwinding(|| call(damage));
        }
    }

    /// Tells that a check has failed.
    pub(crate) fn report_violation(&self, violation: Violation) {
        match self.violation {
            Some(call) if violation != Violation::Reentered => call(violation),
            _ => {}
        }
    }
}

/// Two are equal if they are one and the same: the addresses of functions tell nothing.
impl PartialEq for Hooks {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self, other)
    }
}

impl Eq for Hooks {}

/// Runs `work`, the code of somebody else. A panic in it aborts: it cannot unwind through `extern "C"`, and a global allocator and its
/// lock must not unwind.
#[inline]
pub(crate) extern "C" fn without_unwinding<R>(work: impl FnOnce() -> R) -> R {
    work()
}
