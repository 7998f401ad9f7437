//! What mapped heaps and their errors are called, to the letter.
#![allow(missing_docs)]

use std::error::Error;
use std::fmt::Write;

use slabfit::{Config, InitError, Reentered};
use slabfit_linux::picture::PictureError;
use slabfit_linux::{MapError, MappedHeap, Output, ProcessHeap, SystemError};

#[test]
fn of_memory_that_is_refused() {
    for (error, words) in [
        (SystemError::OutOfMemory, "the system is out of memory"),
        (SystemError::Refused { errno: 13 }, "the system refused memory with error 13"),
    ] {
        assert_eq!(error.to_string(), words);
        let map = MapError::from(error);
        assert_eq!(map.to_string(), words);
        assert_eq!(map.source().expect("there is a cause").to_string(), words);
    }
    let map = MapError::from(InitError::SlabSizeZero);
    assert_eq!(map.to_string(), "the slab size is 0 bytes");
    assert_eq!(map.source().expect("there is a cause").to_string(), "the slab size is 0 bytes");
}

#[test]
fn of_heaps_themselves() {
    let heap = MappedHeap::new(4096, Config::new(64)).expect("there is memory");
    assert_eq!(format!("{heap:?}"), format!("MappedHeap {{ mapping: {:?}, .. }}", heap.mapping()));
    let heap: ProcessHeap = ProcessHeap::empty();
    assert_eq!(format!("{heap:?}"), "ProcessHeap { base: None, .. }");
    let first = heap.init(4096, Config::new(64)).expect("there is memory");
    assert_eq!(format!("{heap:?}"), format!("ProcessHeap {{ base: Some({first:?}), .. }}"));
}

#[test]
fn of_text_that_is_kept_back() {
    // SAFETY: no file is open under the largest number there is.
    let mut out = unsafe { Output::to(i32::MAX) };
    out.write_str("so far").expect("it is kept back");
    let text = format!("{out:?}");
    assert!(text.starts_with("Output { file: ") && text.ends_with(", len: 6, .. }"), "{text}");
}

#[test]
fn of_pictures_that_are_not_drawn() {
    assert_eq!(PictureError::from(Reentered).to_string(), Reentered.to_string());
    assert_eq!(PictureError::from(std::fmt::Error).to_string(), "the picture cannot be written");
}
