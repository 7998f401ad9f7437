//! What a thread that is inside of one segment may ask of the other: the locks of both are never taken together.

use core::alloc::Layout;
use core::cell::Cell;
use std::boxed::Box;

use crate::error::{AllocError, InvalidFree, ReallocError, Reason, Reentered};
use crate::layout::{Config, Segment};
use crate::lock::{NoLock, RawLock};
use crate::memory::RegionArray;
use crate::policy::{FirstFit, NextFit, Policy};
use crate::segments::Heap;
use crate::units::GRANULE;

const SLOT: usize = 64;

type Region = RegionArray<40_000>;

/// A lock that a thread never gets while it holds the other one, as if somebody else always had it.
struct Contended {
    held: Cell<bool>,
}

// SAFETY: exclusion: `held` refuses a second `lock`, and as `Cell` is not Sync all calls come from one thread, which also gives
// the ordering; nothing panics.
unsafe impl RawLock for Contended {
    const INIT: Self = Self { held: Cell::new(false) };

    type Token = ();

    fn lock(&self) -> Result<(), Reentered> {
        if self.held.replace(true) { Err(Reentered) } else { Ok(()) }
    }

    fn lock_unless_holding(&self, other: &Self) -> Result<(), Reentered> {
        if other.held.get() { Err(Reentered) } else { self.lock() }
    }

    unsafe fn unlock(&self, (): ()) {
        self.held.set(false);
    }
}

fn no_call_takes_both_locks_under<P: Policy>() {
    let mut region = Box::new(Region::new());
    let heap: Heap<'_, Contended, P> = Heap::from_memory(region.as_mut(), Config::new(SLOT)).unwrap();
    let slots = heap.segment(Segment::Slab).len() / SLOT;
    let mut objects: std::vec::Vec<_> = (0..slots).map(|_| heap.alloc(SLOT).unwrap()).collect();
    assert_eq!(heap.stats().unwrap().spilled, 0);
    // The slab is full: each of these is served by a block.
    let layout = |alignment| Layout::from_size_align(SLOT, alignment).unwrap();
    objects.push(heap.alloc(SLOT).unwrap());
    objects.push(heap.alloc_zeroed(SLOT).unwrap());
    objects.push(heap.alloc_layout(layout(GRANULE)).unwrap());
    objects.push(heap.alloc_layout_zeroed(layout(GRANULE)).unwrap());
    assert_eq!(heap.stats().unwrap().spilled, 4);
    objects.push(heap.alloc_layout(layout(256)).unwrap());
    objects.push(heap.alloc_layout_zeroed(layout(256)).unwrap());
    // A block that moves for a slot that is not there, and one that grows; a slot that becomes a block.
    for (index, size) in [(slots, SLOT), (slots, 500), (0, 500)] {
        // SAFETY: the object goes by its new address from now on.
        objects[index] = unsafe { heap.realloc(objects[index].as_ptr(), size) }.unwrap();
        assert_eq!(heap.usable_size(objects[index].as_ptr()).unwrap(), usize::next_multiple_of(size, GRANULE));
    }
    assert_eq!(heap.alloc(50_000), Err(AllocError::Full));
    assert_eq!((heap.check(), heap.repair(), heap.overwritten().next()), (Ok(()), Ok(0), None));
    assert!(heap.blocks().count() > slots + 5);
    assert!(heap.with_free_ranges(0, GRANULE, GRANULE, |_| ()).is_ok());
    for object in objects {
        // SAFETY: nobody uses the object.
        unsafe { heap.free(object.as_ptr()) }.unwrap();
    }
    heap.check().unwrap();
}

#[test]
fn no_call_waits_for_one_lock_while_it_holds_the_other() {
    no_call_takes_both_locks_under::<NextFit>();
    no_call_takes_both_locks_under::<FirstFit>();
}

/// As in a handler that interrupts one segment: the other can be had, and is not why a request fails.
#[test]
fn a_call_into_a_segment_that_this_thread_is_in_is_refused_as_reentered() {
    let mut region = Box::new(Region::new());
    let heap: Heap<'_, NoLock> = Heap::from_memory(region.as_mut(), Config::new(SLOT)).unwrap();
    let [slot, block] = [SLOT, SLOT + 1].map(|size| heap.alloc(size).unwrap().as_ptr());
    let layout = Layout::from_size_align(SLOT, GRANULE).unwrap();
    let slab = heap.lock_slab().unwrap();
    assert_eq!(heap.alloc(SLOT), Err(AllocError::Reentered));
    assert_eq!(heap.alloc_zeroed(SLOT), Err(AllocError::Reentered));
    assert_eq!(heap.alloc_layout_zeroed(layout), Err(AllocError::Reentered));
    assert_eq!(heap.usable_size(slot).unwrap_err().reason, Reason::Reentered);
    assert!(heap.alloc(SLOT + 1).is_ok() && heap.usable_size(block).is_ok());
    drop(slab);
    let blocks = heap.lock_blocks().unwrap();
    assert_eq!(heap.alloc(SLOT + 1), Err(AllocError::Reentered));
    assert_eq!(heap.usable_size(block).unwrap_err().reason, Reason::Reentered);
    assert!(heap.alloc(SLOT).is_ok() && heap.usable_size(slot).is_ok());
    drop(blocks);
    let stats = heap.stats().unwrap();
    let failed = (stats.blocks.failed_full, stats.blocks.failed_fragmented, stats.spilled);
    assert_eq!(failed, (0, 0, 0), "a refused call counts as nothing");
}

std::thread_local! {
    /// How many locks this thread gets before one is refused.
    static BEFORE_REFUSAL: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// A lock that is refused once, as if this thread had been in the heap.
struct RefusedOnce(NoLock);

// SAFETY: what is not refused is the other lock's.
unsafe impl RawLock for RefusedOnce {
    const INIT: Self = Self(NoLock::INIT);

    type Token = ();

    fn lock(&self) -> Result<(), Reentered> {
        match BEFORE_REFUSAL.replace(BEFORE_REFUSAL.get().wrapping_sub(1)) {
            0 => Err(Reentered),
            _ => self.0.lock(),
        }
    }

    unsafe fn unlock(&self, (): ()) {
        // SAFETY: as the caller promises.
        unsafe { self.0.unlock(()) };
    }
}

#[test]
fn a_request_that_is_refused_the_slabs_lock_does_not_take_a_block_instead() {
    let mut region = Box::new(Region::new());
    let heap: Heap<'_, RefusedOnce> = Heap::from_memory(region.as_mut(), Config::new(SLOT)).unwrap();
    BEFORE_REFUSAL.set(0);
    assert_eq!(heap.alloc(SLOT), Err(AllocError::Reentered));
    let slot = heap.alloc(SLOT).unwrap();
    assert!(heap.segment(Segment::Slab).contains(&slot.addr().get()));
    assert_eq!(heap.stats().unwrap().spilled, 0);
}

/// The object that is to move can be copied and not be freed: as if another thread had freed it meanwhile.
#[test]
fn a_realloc_that_cannot_free_the_old_object_leaves_no_new_one() {
    let mut region = Box::new(Region::new());
    let heap: Heap<'_, RefusedOnce> = Heap::from_memory(region.as_mut(), Config::new(SLOT)).unwrap();
    let [object, _] = [(); 2].map(|()| heap.alloc(100).unwrap().as_ptr());
    let before: std::vec::Vec<_> = heap.blocks().collect();
    // One lock to look at the old object, and one to allocate a new one.
    BEFORE_REFUSAL.set(2);
    // SAFETY: nobody uses the object.
    let moved = unsafe { heap.realloc(object, 5000) };
    let address = object.addr();
    assert_eq!(moved, Err(ReallocError::InvalidFree(InvalidFree { address, reason: Reason::Reentered })));
    assert_eq!(heap.blocks().collect::<std::vec::Vec<_>>(), before);
    assert_eq!((heap.check(), heap.usable_size(object)), (Ok(()), Ok(112)));
}

#[test]
fn a_wrong_address_in_a_segment_that_this_thread_is_in_is_refused_and_not_counted() {
    let mut region = Box::new(Region::new());
    let heap: Heap<'_, NoLock> = Heap::from_memory(region.as_mut(), Config::new(SLOT)).unwrap();
    let objects = [SLOT, SLOT + 1].map(|size| heap.alloc(size).unwrap().as_ptr().wrapping_add(1));
    let locked = heap.lock_all();
    for object in objects {
        // SAFETY: it is no object's start.
        assert_eq!(unsafe { heap.free(object) }.unwrap_err().reason, Reason::Misaligned);
    }
    drop(locked);
    let stats = heap.stats().unwrap();
    assert_eq!((stats.slab.refused_frees, stats.blocks.refused_frees), (0, 0));
}

/// Under Miri: what a guard shows twice is shared, and neither view ends the other.
#[test]
fn a_guard_can_be_looked_into_twice_at_once() {
    let mut region = Box::new(Region::new());
    let heap: Heap<'_, NoLock> = Heap::from_memory(region.as_mut(), Config::new(SLOT)).unwrap();
    assert_eq!(heap.rover().unwrap(), Some(heap.segment(Segment::Blocks).start));
    let slab = heap.lock_slab().unwrap();
    let (first, second) = (&slab.region, &slab.returned);
    assert_eq!((u32::from(second.contains(0)), first.granules().bytes()), (0, heap.segment(Segment::Slab).len()));
}
