//! Sizes of requests, of the slab, and of what an object is resized to.

use slabfit::{AllocError, GRANULE, Reason};
use slabfit_tests::abuse::lab::{Lab, raw_free};

use super::{Matrix, case, lab, with_classes};

pub(super) fn cases() -> Matrix {
    let mut rows = Matrix::default();
    too_large(&mut rows);
    of_the_whole_segment(&mut rows);
    until_nothing_is_left(&mut rows);
    around_the_slab_size(&mut rows);
    resized(&mut rows);
    rows
}

fn too_large(rows: &mut Matrix) {
    for less in 0..=64 {
        rows.add(format!("a request of usize::MAX - {less}"), move || refuses_all_of(usize::MAX - less));
    }
    for (name, size) in [
        ("isize::MAX", isize::MAX as usize),
        ("isize::MAX + 1", isize::MAX as usize + 1),
        ("u32::MAX", u32::MAX as usize),
        ("u32::MAX + 1", 1 << 32),
        ("i32::MAX", i32::MAX as usize),
        ("the granules of 2^32", (1 << 32) * GRANULE),
        ("the granules of 2^32, less 16", ((1 << 32) - 1) * GRANULE),
        ("64 GiB", 64 << 30),
    ] {
        rows.add(format!("a request of {name}"), move || refuses_all_of(size));
    }
}

/// The block segment has 3072 bytes.
fn of_the_whole_segment(rows: &mut Matrix) {
    for size in [3055, 3056] {
        rows.add(format!("a request of the whole segment, {size} bytes"), move || {
            let mut lab = lab();
            let address = lab.alloc(size, GRANULE).unwrap().expect("it fits");
            assert_eq!(lab.alloc(1, GRANULE).unwrap(), Err(AllocError::Full));
            assert_eq!(lab.free(address).unwrap(), Ok(()));
            lab.compare().unwrap();
        });
    }
    for size in [3057, 3058, 3072, 4096, 4097] {
        rows.add(format!("a request of more than the segment, {size} bytes"), move || refuses_all_of(size));
    }
}

fn until_nothing_is_left(rows: &mut Matrix) {
    for size in [0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 62, 63, 64, 65, 66, 80, 96, 127, 128, 129] {
        rows.add(format!("requests of {size} bytes until nothing is left"), move || fills_up(size));
    }
    for size in [0, 1, 15, 16, 17, 32, 33, 48, 49, 63, 64, 65, 80, 512, 513] {
        rows.add(format!("requests of {size} bytes until nothing is left, with size classes"), move || {
            fills_up_with_classes(size);
        });
    }
}

fn around_the_slab_size(rows: &mut Matrix) {
    for slab_size in [1, 15, 16, 17, 48, 63, 64, 65, 1024, 1025, 3056, 3057, usize::MAX - 15, usize::MAX] {
        rows.add(format!("a slab size of {slab_size}, and one more and one fewer"), move || {
            let mut lab = Lab::new(case(4096, slab_size));
            for size in [slab_size, slab_size.saturating_sub(1), slab_size.saturating_add(1)] {
                let served = lab.alloc(size, GRANULE).unwrap();
                lab.compare().unwrap();
                if let Ok(address) = served {
                    assert_eq!(lab.free(address).unwrap(), Ok(()));
                }
            }
        });
    }
}

fn resized(rows: &mut Matrix) {
    rows.add("every size from 0 to 4096, served, zeroed, resized and freed", || {
        let mut lab = Lab::new(case(32 << 10, 64));
        for size in 0..=4096 {
            let address = lab.alloc(size, GRANULE).unwrap().expect("it fits");
            let moved = lab.realloc(address, 4096 - size, GRANULE).unwrap().expect("it fits");
            assert_eq!(lab.free(moved).unwrap(), Ok(()));
            assert_eq!(lab.free(moved).unwrap().map_err(|wrong| wrong.reason), Err(Reason::DoubleFree));
            let zeroed = lab.heap().alloc_zeroed(size).expect("it fits").addr().get();
            assert_eq!(lab.model.alloc(size, GRANULE), Ok(zeroed));
            assert!(lab.read(zeroed, size).iter().all(|&byte| byte == 0), "{size} bytes");
            assert_eq!(raw_free(lab.heap(), zeroed), lab.model.free(zeroed));
        }
        lab.compare().unwrap();
    });
    for size in [0, 1, 16, 17, 64, 65, 3056, 3057, 1 << 40, usize::MAX - 16, usize::MAX] {
        rows.add(format!("a resize to {size} of a slot, a block, and what is neither"), move || {
            for align in [1, GRANULE, 64, 4096] {
                let mut lab = lab();
                let (slot, block) = (lab.alloc(64, 1).unwrap(), lab.alloc(100, 1).unwrap());
                for address in [slot.expect("room"), block.expect("room"), lab.base() + 3000, 0, usize::MAX] {
                    let _ = lab.realloc(address, size, align).unwrap();
                    lab.compare().unwrap();
                }
            }
        });
    }
}

/// No call serves so much, and nothing changes but the count of failures.
fn refuses_all_of(size: usize) {
    let mut lab = lab();
    let object = lab.alloc(100, GRANULE).unwrap().expect("it fits");
    for align in [1, GRANULE, 32, 4096] {
        assert_eq!(lab.alloc(size, align).unwrap(), Err(AllocError::Full));
        let kept = lab.realloc(object, size, align).unwrap();
        assert_eq!(kept, Err(AllocError::Full.into()));
    }
    assert_eq!(lab.heap().alloc_zeroed(size), Err(AllocError::Full));
    assert_eq!(lab.model.alloc(size, GRANULE), Err(AllocError::Full));
    lab.compare().unwrap();
    assert_eq!(lab.free(object).unwrap(), Ok(()));
}

fn fills_up(size: usize) {
    let mut lab = lab();
    let mut objects = Vec::new();
    while let Ok(address) = lab.alloc(size, GRANULE).unwrap() {
        objects.push(address);
    }
    let bytes = GRANULE + size.max(1).next_multiple_of(GRANULE);
    // Sixteen slots of 64 before next fit has its turn; a rest that is too small for a block stays with the last.
    let slots = if size == 64 { 16 } else { 0 };
    assert_eq!(objects.len(), slots + 3072 / bytes);
    lab.compare().unwrap();
    for address in objects {
        assert_eq!(lab.free(address).unwrap(), Ok(()));
    }
    lab.compare().unwrap();
    assert_eq!(lab.heap().stats().map(|stats| stats.blocks.free_blocks), Ok(1));
}

fn fills_up_with_classes(size: usize) {
    let mut lab = Lab::new(with_classes());
    let mut objects = Vec::new();
    while let Ok(address) = lab.alloc(size, GRANULE).unwrap() {
        objects.push(address);
    }
    let bytes = size.max(1).next_multiple_of(GRANULE);
    // 32 runs of 1 KiB, or blocks.
    let expected = if size <= 64 { 32 * (1024 / bytes) } else { (32 << 10) / (GRANULE + bytes) };
    assert_eq!(objects.len(), expected);
    lab.compare().unwrap();
    for address in objects {
        assert_eq!(lab.free(address).unwrap(), Ok(()));
    }
    lab.empty_magazines().unwrap();
    lab.compare().unwrap();
    assert_eq!(lab.heap().stats().map(|stats| stats.blocks.free_blocks), Ok(1));
}
