//! Set-up: what a heap answers before it, twice, after a failure, and raced by threads.

use std::mem::MaybeUninit;
use std::ptr::{NonNull, without_provenance_mut};
use std::sync::Barrier;
use std::thread;

use slabfit::{AllocError, Config, InitError, InvalidFree, MIN_REGION, Reason, RegionArray};
use slabfit_tests::abuse::lab::{raw_alloc, raw_free, raw_realloc};
use slabfit_tests::any_heap::AnyHeap;
use slabfit_tests::model::Placement;

use super::{Matrix, is_usable, lab};

fn before_a_request(placement: Placement, size: usize) {
    let heap: AnyHeap = AnyHeap::empty(placement);
    for align in [1, 16, 32, 1 << 62] {
        assert_eq!(raw_alloc(&heap, size, align), Err(AllocError::NotInitialised));
    }
    assert_eq!(heap.alloc_zeroed(size), Err(AllocError::NotInitialised));
}

fn before_a_free(placement: Placement, address: usize) {
    let heap: AnyHeap = AnyHeap::empty(placement);
    let refused = InvalidFree { address, reason: Reason::OutsideHeap };
    assert_eq!(raw_free(&heap, address), Err(refused));
    assert_eq!(raw_realloc(&heap, address, 16, 16), Err(refused.into()));
    assert!(!heap.owns(without_provenance_mut(address)));
}

pub(super) fn cases() -> Matrix {
    let mut rows = Matrix::default();
    before(&mut rows);
    rows.add("twice: the second is refused and the first heap goes on", || {
        let lab = lab();
        let before = raw_alloc(lab.heap(), 100, 16).expect("it fits");
        let again = lab.heap().init(leaked(4096), Config::new(64));
        assert_eq!(again, Err(InitError::AlreadyInitialised));
        assert_eq!(raw_free(lab.heap(), before), Ok(()));
        assert_eq!(lab.heap().check(), Ok(()));
    });
    after_a_failure(&mut rows);
    rows.add("raced by 16 threads: one wins", raced);
    rows
}

fn before(rows: &mut Matrix) {
    for (name, size) in [("0", 0), ("1", 1), ("64", 64), ("usize::MAX", usize::MAX)] {
        for placement in [Placement::NextFit, Placement::General] {
            rows.add(format!("before: a request of {name}, {placement:?}"), move || before_a_request(placement, size));
        }
    }
    for (name, address) in [("null", 0), ("16", 16), ("any", 0x1234_5670), ("the highest", usize::MAX)] {
        for placement in [Placement::NextFit, Placement::General] {
            rows.add(format!("before: a free and a resize of {name}, {placement:?}"), move || {
                before_a_free(placement, address);
            });
        }
    }
    for placement in [Placement::NextFit, Placement::General] {
        rows.add(
            format!("before: check, repair, walks, figures, a dump and empty magazines, {placement:?}"),
            move || {
                let heap: AnyHeap = AnyHeap::empty(placement);
                let mut text = String::new();
                assert_eq!((heap.check(), heap.repair(), heap.dump(&mut text)), (Ok(()), Ok(0), Ok(())));
                assert_eq!((heap.blocks().count(), heap.overwritten().count(), heap.rover()), (0, 0, None));
                assert_eq!(heap.empty_magazines(), Ok(()));
            },
        );
    }
}

fn after_a_failure(rows: &mut Matrix) {
    let failures: [(&str, usize, usize, InitError); 3] = [
        (
            "a region that is too small",
            MIN_REGION - 16,
            64,
            InitError::TooSmall { size: MIN_REGION - 16, minimum: MIN_REGION },
        ),
        ("no region at all", 0, 64, InitError::TooSmall { size: 0, minimum: MIN_REGION }),
        ("a slab size of 0", 4096, 0, InitError::SlabSizeZero),
    ];
    for (name, size, slab_size, error) in failures {
        rows.add(format!("after a failure: {name}"), move || {
            let heap: AnyHeap = AnyHeap::empty(Placement::NextFit);
            assert_eq!(heap.init(leaked(size), Config::new(slab_size)), Err(error));
            assert_eq!(heap.alloc(1), Err(AllocError::NotInitialised));
            assert_eq!(heap.init(leaked(4096), Config::new(64)), Ok(()));
            is_usable(&heap);
        });
    }
}

fn raced() {
    for _ in 0..50 {
        let heap: AnyHeap = AnyHeap::empty(Placement::NextFit);
        let together = Barrier::new(16);
        let answers: Vec<_> = thread::scope(|scope| {
            let all: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        together.wait();
                        heap.init(leaked(2048), Config::new(32))
                    })
                })
                .collect();
            all.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        assert!(answers.iter().all(|answer| matches!(answer, Ok(()) | Err(InitError::AlreadyInitialised))));
        is_usable(&heap);
    }
}

/// Memory for a heap that is never given back.
fn leaked(size: usize) -> &'static mut [MaybeUninit<u8>] {
    let array: NonNull<RegionArray<4096>> = NonNull::from(Box::leak(Box::new(RegionArray::new())));
    // SAFETY: leaked just now, so nobody else has it, and it is never freed.
    let array = unsafe { &mut *array.as_ptr() };
    &mut array.as_mut()[..size]
}
