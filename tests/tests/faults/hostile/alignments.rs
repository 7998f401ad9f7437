//! Alignments.

use std::alloc::Layout;

use slabfit::AllocError;

use super::{Matrix, lab};

pub(super) fn cases() -> Matrix {
    let mut rows = Matrix::default();
    for shift in 0..usize::BITS {
        rows.add(format!("an alignment of 2^{shift}"), move || {
            let align = 1usize << shift;
            let mut lab = lab();
            // Past 2^62 only a layout of no bytes is one at all.
            for size in [0, 1, 16, 64, 100].into_iter().filter(|&size| Layout::from_size_align(size, align).is_ok()) {
                let served = lab.alloc(size, align).unwrap();
                lab.compare().unwrap();
                match served {
                    Ok(address) => {
                        assert_eq!(address % align, 0);
                        assert_eq!(lab.free(address).unwrap(), Ok(()));
                    }
                    Err(error) => assert!(align > 2048 && error == AllocError::Fragmented, "{error}"),
                }
            }
        });
    }
    for align in [0, 3, 6, 24, 48, 100, usize::MAX] {
        rows.add(format!("an alignment of {align}, which no layout has"), move || {
            assert!(Layout::from_size_align(16, align).is_err());
        });
    }
    rows
}
