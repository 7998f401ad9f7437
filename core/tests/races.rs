//! What another thread does between two steps of a call, as often as there are steps: a lock that lets it in at the right moment
//! takes its part, so that nothing is left to chance.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};

use slabfit::{Config, Heap, NoLock, Policy, RawLock, Reentered, RegionArray};
use slabfit::{FirstFit, NextFit};

type Visit = Box<dyn FnOnce()>;

thread_local! {
    /// Who comes when so many more locks have been taken.
    static VISITOR: RefCell<Option<(usize, Visit)>> = const { RefCell::new(None) };
    static VISITS: Cell<usize> = const { Cell::new(0) };
}

/// A lock that lets a visitor in before it is taken.
struct Visited(NoLock);

// SAFETY: it is taken and given back as the lock within.
unsafe impl RawLock for Visited {
    const INIT: Self = Self(NoLock::INIT);

    type Token = ();

    fn lock(&self) -> Result<(), Reentered> {
        let due = VISITOR.with_borrow_mut(|visitor| {
            let (left, _) = visitor.as_mut()?;
            *left = left.checked_sub(1)?;
            if *left > 0 { None } else { visitor.take() }
        });
        if let Some((_, visit)) = due {
            VISITS.set(VISITS.get() + 1);
            visit();
        }
        self.0.lock()
    }

    unsafe fn unlock(&self, (): ()) {
        // SAFETY: as the caller promises.
        unsafe { self.0.unlock(()) };
    }
}

fn a_realloc_meets_a_free<P: Policy>(old_size: usize, new_size: usize) {
    let mut refused = 0;
    for step in 1.. {
        let array = Box::leak(Box::new(RegionArray::<16384>::new()));
        let heap: &'static Heap<'static, Visited, P> =
            Box::leak(Box::new(Heap::from_memory(array, Config::new(64)).expect("it is large enough")));
        let old = heap.alloc(old_size).expect("there is room").as_ptr();
        // In the way of one that grows.
        let neighbour = heap.alloc(old_size).expect("there is room").as_ptr();
        let address = old.expose_provenance();
        let visit = move || {
            // SAFETY: in this test the object is given up by whoever is first.
            let _ = unsafe { heap.free(std::ptr::with_exposed_provenance_mut(address)) };
        };
        let before = VISITS.get();
        VISITOR.set(Some((step, Box::new(visit))));
        // SAFETY: as above.
        let moved = unsafe { heap.realloc(old, new_size) };
        let came = VISITS.get() > before;
        VISITOR.set(None);
        if let Ok(object) = moved {
            // SAFETY: nobody uses it.
            unsafe { heap.free(object.as_ptr()) }.expect("whoever has an answer has an object");
        } else {
            refused += 1;
        }
        // SAFETY: nobody uses it.
        unsafe { heap.free(neighbour) }.expect("it is live");
        let stats = heap.stats().expect("nobody is in the heap");
        let live = stats.slab.live_objects + stats.blocks.live_objects;
        assert_eq!((live, heap.check()), (0, Ok(())), "free before lock {step} of a realloc to {new_size}");
        if !came {
            break;
        }
    }
    assert!(refused > 0, "the free came first at least once");
}

#[test]
fn a_realloc_that_loses_its_object_on_the_way_leaves_nothing_behind() {
    for (old, new) in [(100, 1000), (64, 65), (64, 1000), (100, 64), (2000, 100)] {
        a_realloc_meets_a_free::<NextFit>(old, new);
        a_realloc_meets_a_free::<FirstFit>(old, new);
    }
}
