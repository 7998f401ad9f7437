//! Hostile C calls: `Mem_Init`, `Mem_Alloc`, `Mem_Free` and `Mem_Dump` as `libmem` makes them of the crate `slabfit-linux`,
//! with any `int` and any pointer, and writes past what they hand out. One heap of the process for all inputs, as in C;
//! at its end every input gives back what it has, and repairs what it broke, so that it can be replayed alone.
#![no_main]

use std::ffi::c_int;
use std::fmt;
use std::ptr::without_provenance_mut;
use std::sync::Mutex;

use libfuzzer_sys::fuzz_target;
use slabfit::{Config, GRANULE, Segment};
use slabfit_linux::ProcessHeap;
use slabfit_tests::model::{Model, Placement};

static HEAP: ProcessHeap = ProcessHeap::empty();
static MODEL: Mutex<Option<Model>> = Mutex::new(None);

const SIZE: usize = 16 << 10;

struct Nowhere;

impl fmt::Write for Nowhere {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }
}

fn positive(number: c_int) -> Option<usize> {
    usize::try_from(number).ok().filter(|&number| number != 0)
}

/// As `libmem` does it; the model must agree.
fn mem_alloc(model: &mut Model, size: c_int) -> Option<usize> {
    let size = positive(size)?;
    let object = if size == HEAP.slab_size() { HEAP.alloc_zeroed(size) } else { HEAP.alloc(size) };
    let address = object.ok().map(|object| object.addr().get());
    assert_eq!(address, model.alloc(size, GRANULE).ok(), "Mem_Alloc({size})");
    address
}

fn mem_free(model: &mut Model, address: usize) -> c_int {
    if address == 0 {
        return 0;
    }
    // SAFETY: nobody uses the object.
    let freed = unsafe { HEAP.free(without_provenance_mut(address)) };
    assert_eq!(freed, model.free(address), "Mem_Free({address:#x})");
    if freed.is_ok() { 0 } else { -1 }
}

fn number(bytes: &mut &[u8], count: usize) -> u64 {
    let (now, rest) = bytes.split_at(count.min(bytes.len()));
    *bytes = rest;
    now.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Writes past an object's end, and says to the model which live headers are not what they were.
fn overflow(model: &mut Model, address: usize, bytes: &mut &[u8]) {
    let end = address + model.usable_size(address).expect("it is live");
    let limit = HEAP.segment(Segment::Blocks).end;
    let len = (number(bytes, 1) as usize % 64).min(limit - end);
    let base = HEAP.base().expect("initialised").as_ptr();
    for at in end..end + len {
        // SAFETY: the byte lies in the heap, which is mapped for good.
        unsafe { base.with_addr(at).write(number(bytes, 1) as u8) };
    }
    let listed: Vec<usize> = HEAP.overwritten().collect();
    let live = model.headers().into_iter().filter(|header| header.live && listed.contains(&header.address));
    model.overwritten = live.map(|header| header.address).collect();
}

fuzz_target!(|input: &[u8]| {
    let mut bytes = input;
    let mut model = MODEL.lock().expect("a failure ends the process");
    if model.is_none() {
        // Refused as often as one likes; the first good one counts.
        assert!(HEAP.init(0, Config::new(64)).is_err() && HEAP.init(SIZE, Config::new(0)).is_err());
        let base = HEAP.init(SIZE, Config::new(64)).expect("there is memory").addr().get();
        *model = Some(Model::new(base, SIZE, Config::new(64), Placement::NextFit));
    }
    let model = model.as_mut().expect("just made");
    let mut given: Vec<usize> = Vec::new();
    while !bytes.is_empty() {
        let operation = number(&mut bytes, 1);
        let one = given.get(number(&mut bytes, 1) as usize % given.len().max(1)).copied().unwrap_or(0);
        match operation % 12 {
            0 => given.extend(mem_alloc(model, number(&mut bytes, 4) as c_int)),
            1 => given.extend(mem_alloc(model, number(&mut bytes, 2) as c_int)),
            2 | 3 => given.extend(mem_alloc(model, number(&mut bytes, 1) as c_int)),
            4 => given.extend(mem_alloc(model, 64)),
            5..8 => {
                if mem_free(model, one) == 0 {
                    given.retain(|&address| address != one);
                }
            }
            8 => assert!(given.contains(&(number(&mut bytes, 8) as usize)) || mem_free(model, usize::MAX - one) == -1),
            9 => {
                let near = one.wrapping_add(number(&mut bytes, 2) as usize).wrapping_sub(256);
                if mem_free(model, near) == 0 {
                    given.retain(|&address| address != near);
                }
            }
            10 if one != 0 => overflow(model, one, &mut bytes),
            10 => assert!(HEAP.init(SIZE, Config::new(64)).is_err()),
            _ => assert_eq!(HEAP.dump(&mut Nowhere), Ok(())),
        }
        assert_eq!(HEAP.rover(), Ok(model.rover()));
    }
    assert!(HEAP.blocks().eq(model.blocks()));
    HEAP.repair().expect("nobody is in the heap");
    model.overwritten.clear();
    given.sort_unstable();
    assert!(given.windows(2).all(|pair| pair[0] != pair[1]), "handed out twice");
    for address in given {
        assert_eq!(mem_free(model, address), 0);
    }
    assert_eq!(HEAP.check(), Ok(()));
    assert_eq!(HEAP.stats().ok(), Some(model.stats()));
});
