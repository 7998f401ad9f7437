//! Both locks at once, for `fork`.

use crate::lock::{Guard, Hold, RawLock};
use crate::policy::Policy;
use crate::segments::Heap;

/// A heap that no other thread is in, for as long as this lives; see [`Heap::lock_all`].
///
/// It stays on the thread that made it, whose locks they are.
#[must_use = "dropping it lets the other threads in again"]
pub struct HeapGuard<'h, L: RawLock> {
    _blocks: Option<Hold<'h, L>>,
    _slab: Option<Hold<'h, L>>,
}

impl<L: RawLock<Token = ()>, P: Policy> Heap<'_, L, P> {
    /// Waits until no other thread is in the heap, and keeps them out until the answer is dropped.
    ///
    /// `fork` copies the memory of a process, but of its threads only the caller. A heap that another thread is
    /// in at that moment stays locked in the child for ever, and half changed. So call this before the fork, and drop
    /// the guard after it, in the parent and in the child.
    ///
    /// Meanwhile the calling thread is in the heap itself: its calls are refused as [`Reentered`](crate::Reentered) by a
    /// lock that knows its owner, and wait for ever with one that does not. A lock that this thread has already, because it
    /// forks in a signal handler that interrupted the heap, is neither taken nor released.
    ///
    /// Works with locks whose tokens are empty. A lock that restores a state, as one that masks interrupts does, must be released in
    /// the reverse order of locking, which a value cannot promise.
    ///
    /// ```
    /// use slabfit::{AllocError, Config, Heap, NoLock, RegionArray};
    ///
    /// let mut array = RegionArray::<4096>::new();
    /// let heap: Heap<'_, NoLock> = Heap::from_memory(&mut array, Config::new(64))?;
    /// let held = heap.lock_all();
    /// drop(heap.lock_all()); // takes nothing and gives nothing back
    /// assert_eq!(heap.alloc(64), Err(AllocError::Reentered));
    /// assert_eq!(heap.alloc(65), Err(AllocError::Reentered));
    /// drop(held);
    /// assert!(heap.alloc(64).is_ok() && heap.alloc(65).is_ok());
    /// # Ok::<(), slabfit::InitError>(())
    /// ```
    pub fn lock_all(&self) -> HeapGuard<'_, L> {
        let (slab, blocks) = self.lock_both();
        HeapGuard { _slab: slab.ok().map(Guard::into_hold), _blocks: blocks.ok().map(Guard::into_hold) }
    }
}
