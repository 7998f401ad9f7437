//! A thread that comes back into a heap while it is inside, as a signal handler may: a lock that knows its owner says so,
//! and every call that needs this lock is refused with nothing changed. The other segment can still be used.

use std::cell::Cell;
use std::mem::MaybeUninit;

use slabfit::{
    AllocError, Config, Heap, InitError, InvalidFree, Memory, RawLock, ReallocError, Reason, Reentered, RegionArray,
    SpinLock, State, Violation,
};

thread_local! {
    /// The locks that this thread took last, the very last one first.
    static TAKEN: Cell<[usize; 2]> = const { Cell::new([0; 2]) };
    /// The lock that this thread is said to hold.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// A spin lock that a test can say the thread holds already.
struct OwnedLock {
    inner: SpinLock,
}

// SAFETY: mutual exclusion and ordering are those of the spin lock; a refused lock gives no token.
unsafe impl RawLock for OwnedLock {
    const INIT: Self = Self { inner: SpinLock::INIT };
    type Token = <SpinLock as RawLock>::Token;

    fn lock(&self) -> Result<Self::Token, Reentered> {
        let this = (&raw const *self).addr();
        TAKEN.set([this, TAKEN.get()[0]]);
        if HELD.get() == this { Err(Reentered) } else { self.inner.lock() }
    }

    unsafe fn unlock(&self, token: Self::Token) {
        // SAFETY: the token is of the lock inside, which is locked.
        unsafe { self.inner.unlock(token) }
    }
}

const SLAB_SIZE: usize = 32;

/// A heap with a live slot and a live block, and a used block after that.
struct Stage<'a> {
    heap: Heap<'a, OwnedLock>,
    slot: *mut u8,
    block: *mut u8,
}

impl<'a> Stage<'a> {
    fn new(array: &'a mut RegionArray<2048>) -> Self {
        let heap = Heap::from_memory(array.as_mut(), Config::new(SLAB_SIZE)).expect("enough");
        let [slot, block, _] = [SLAB_SIZE, 48, 100].map(|size| heap.alloc(size).expect("room").as_ptr());
        Self { heap, slot, block }
    }

    /// Calls while the slab's lock is held.
    fn inside_the_slab<T>(&self, call: impl FnOnce(&Heap<'a, OwnedLock>) -> T) -> T {
        self.heap.usable_size(self.slot).expect("a live slot");
        self.inside(call)
    }

    /// Calls while the lock of next fit is held.
    fn inside_the_blocks<T>(&self, call: impl FnOnce(&Heap<'a, OwnedLock>) -> T) -> T {
        self.heap.usable_size(self.block).expect("a live block");
        self.inside(call)
    }

    /// Calls while the lock that was taken last is held, which must change nothing.
    fn inside<T>(&self, call: impl FnOnce(&Heap<'a, OwnedLock>) -> T) -> T {
        let [taken, _] = TAKEN.get();
        let before = (self.heap.stats(), self.heap.blocks().collect::<Vec<_>>());
        HELD.set(taken);
        let answer = call(&self.heap);
        HELD.set(0);
        assert_eq!(before, (self.heap.stats(), self.heap.blocks().collect::<Vec<_>>()));
        assert_eq!(self.heap.check(), Ok(()));
        answer
    }
}

#[test]
fn a_request_is_refused_by_the_segment_that_the_thread_is_in() {
    let mut array = RegionArray::new();
    let stage = Stage::new(&mut array);
    assert_eq!(stage.inside_the_slab(|heap| heap.alloc(SLAB_SIZE)), Err(AllocError::Reentered));
    assert_eq!(stage.inside_the_blocks(|heap| heap.alloc(100)), Err(AllocError::Reentered));
}

#[test]
fn a_request_that_would_spill_is_refused_by_next_fit() {
    let mut array = RegionArray::new();
    let stage = Stage::new(&mut array);
    while stage.heap.stats().expect("outside").spilled == 0 {
        stage.heap.alloc(SLAB_SIZE).expect("room");
    }
    assert_eq!(stage.inside_the_blocks(|heap| heap.alloc(SLAB_SIZE)), Err(AllocError::Reentered));
}

#[test]
fn a_free_is_refused_by_the_segment_that_the_thread_is_in() {
    let mut array = RegionArray::new();
    let stage = Stage::new(&mut array);
    let refused = |address: *mut u8| Err(InvalidFree { address: address.addr(), reason: Reason::Reentered });
    // SAFETY: the free is refused.
    assert_eq!(stage.inside_the_slab(|heap| unsafe { heap.free(stage.slot) }), refused(stage.slot));
    // SAFETY: the free is refused.
    assert_eq!(stage.inside_the_blocks(|heap| unsafe { heap.free(stage.block) }), refused(stage.block));
}

#[test]
fn a_realloc_is_refused_by_the_segment_that_has_the_object_or_would_get_it() {
    let mut array = RegionArray::new();
    let stage = Stage::new(&mut array);
    let refused = |address: *mut u8| InvalidFree { address: address.addr(), reason: Reason::Reentered }.into();
    let no_memory = Err(ReallocError::Alloc(AllocError::Reentered));
    // SAFETY: every realloc is refused.
    let realloc = |heap: &Heap<'_, OwnedLock>, object, size| unsafe { heap.realloc(object, size) };
    assert_eq!(stage.inside_the_slab(|heap| realloc(heap, stage.slot, 8)), Err(refused(stage.slot)));
    assert_eq!(stage.inside_the_blocks(|heap| realloc(heap, stage.slot, 100)), no_memory);
    assert_eq!(stage.inside_the_blocks(|heap| realloc(heap, stage.block, 100)), Err(refused(stage.block)));
}

#[test]
fn the_other_segment_can_be_used_meanwhile() {
    let mut array = RegionArray::new();
    let Stage { heap, slot, block } = Stage::new(&mut array);
    heap.usable_size(slot).expect("a live slot");
    HELD.set(TAKEN.get()[0]);
    let other = heap.alloc(100).expect("next fit is not held");
    // SAFETY: nobody uses the object afterwards.
    assert_eq!(unsafe { heap.free(other.as_ptr()) }, Ok(()));
    HELD.set(0);
    heap.usable_size(block).expect("a live block");
    HELD.set(TAKEN.get()[0]);
    let other = heap.alloc(SLAB_SIZE).expect("the slab is not held");
    // SAFETY: nobody uses the object afterwards.
    assert_eq!(unsafe { heap.free(other.as_ptr()) }, Ok(()));
    HELD.set(0);
    assert_eq!(heap.check(), Ok(()));
    assert_eq!(heap.blocks().filter(|block| block.state == State::Used).count(), 3);
}

#[test]
fn nothing_is_told_of_a_heap_that_the_thread_is_in() {
    let mut array = RegionArray::new();
    let stage = Stage::new(&mut array);
    let look = |heap: &Heap<'_, OwnedLock>| {
        assert_eq!(heap.stats(), Err(Reentered));
        assert_eq!(heap.check(), Err(Violation::Reentered));
        assert_eq!(heap.repair(), Err(Reentered));
        heap.blocks().count()
    };
    let all = stage.heap.blocks().count();
    assert_eq!(stage.inside_the_slab(look), 0);
    assert!(stage.inside_the_blocks(look) < all);
    assert_eq!(stage.inside_the_blocks(Heap::rover), Err(Reentered));
}

const UNTOUCHED: u8 = 0xa5;

/// Memory to be lent to a heap that may not take it, and that is looked at then.
fn lent<'a>(bytes: &mut [MaybeUninit<u8>]) -> Memory<'a> {
    bytes.iter_mut().for_each(|byte| {
        byte.write(UNTOUCHED);
    });
    // SAFETY: the caller has nothing to do with them while there is a heap in them.
    unsafe { Memory::from_raw(bytes.as_mut_ptr().cast(), bytes.len()) }
}

#[test]
fn a_heap_is_not_initialised_by_a_thread_that_is_in_it() {
    for lock in 0..2 {
        let mut array = RegionArray::<2048>::new();
        let heap: Heap<'_, OwnedLock> = Heap::empty();
        let refused = lent(array.as_mut());
        // A walk looks for slots first and for blocks then.
        assert_eq!(heap.blocks().next(), None);
        let [blocks, slab] = TAKEN.get();
        assert_ne!(blocks, slab);
        HELD.set([blocks, slab][lock]);
        assert_eq!(heap.init(refused, Config::new(SLAB_SIZE)), Err(InitError::Reentered));
        HELD.set(0);
        assert_eq!((heap.size(), heap.base()), (0, None));
        assert_eq!(heap.alloc(1), Err(AllocError::NotInitialised));
        let untouched = array.as_mut().iter().all(|byte| {
            // SAFETY: `lent` has written all of them.
            unsafe { byte.assume_init() == UNTOUCHED }
        });
        assert!(untouched, "memory that the heap did not take was written to");
        assert_eq!(heap.init(lent(array.as_mut()), Config::new(SLAB_SIZE)), Ok(()));
        assert!(heap.alloc(SLAB_SIZE).is_ok() && heap.alloc(100).is_ok());
        assert_eq!(heap.check(), Ok(()));
    }
}
