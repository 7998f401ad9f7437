//! What the documentation says that a heap takes is what it takes.
#![allow(missing_docs)]
#![cfg(target_pointer_width = "64")]

use slabfit::{Config, DefaultLock, GRANULE, General, Heap, NextFit, Policy, StaticArray, bookkeeping_size};

/// The sizes that the documentation names.
const REGIONS: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 1 << 20, 64 << 20];

/// Bytes of an aligned region that are not heap.
fn lost<P: Policy>(region: usize, config: Config) -> usize {
    let mut bytes = vec![0; region + 64];
    let start = bytes.as_ptr().align_offset(64);
    // SAFETY: for as long as the heap lives, nobody else touches the bytes.
    let memory = unsafe { slabfit::Memory::from_raw(bytes[start..].as_mut_ptr(), region) };
    let heap: Heap<'_, DefaultLock, P> = Heap::from_memory(memory, config).expect("large enough");
    let lost = region - heap.size();
    let guard = 4 * GRANULE;
    assert_eq!(lost, (bookkeeping_size::<P>(region, config) + guard).next_multiple_of(GRANULE));
    lost
}

/// A row of the table: the share of each region that is not heap.
fn row<P: Policy>(name: &str, config: Config) -> String {
    let shares = REGIONS.map(|region| format!(" {:.1}% |", lost::<P>(region, config) as f64 * 100. / region as f64));
    format!("//! | {name} |{}\n", shares.concat())
}

#[test]
fn the_table_of_shares_is_true() {
    let rows = [
        row::<NextFit>("slots of 64 bytes in a quarter", Config::new(64)),
        row::<NextFit>("no slab", Config::without_slab()),
        row::<General>("no slab, `General`", Config::without_slab()),
    ];
    let documentation = include_str!("../src/lib.rs");
    for row in rows {
        assert!(documentation.contains(&row), "to be written into core/src/lib.rs:\n{row}");
    }
}

/// (The firmware in tests/targets/cortex-m has the sizes of 32-bit targets, on which numbers of 64 bits are aligned to 8 bytes.)
#[test]
fn the_bytes_of_statics_are_true() {
    let documentation = include_str!("../src/lib.rs").replace("\n//! ", " ");
    let (heap, beside) = (size_of::<Heap<'_>>(), size_of::<StaticArray<4096>>() - 4096);
    let said = [format!("is {heap} bytes on 64-bit targets"), format!("has {beside} bytes more than its array")];
    for said in said {
        assert!(documentation.contains(&said), "to be written into core/src/lib.rs: {said}");
    }
}
