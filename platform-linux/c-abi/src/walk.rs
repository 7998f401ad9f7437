//! A heap's slots and blocks, one after the other, as C is shown them.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_void};
use core::ptr;

use slabfit::{Kind, Policy, State};

use crate::errno::{Answer, Failure};
use crate::request::CHeap;

/// `struct mem_block`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct HeapBlock {
    address: *const c_void,
    size: usize,
    used: c_int,
    slot: c_int,
}

/// `mem_visit`, which is called for each of them, or null. It returns 0 for the next one, and anything else to end the walk.
pub type Visit = Option<unsafe extern "C" fn(block: *const HeapBlock, arg: *mut c_void) -> c_int>;

impl From<slabfit::Block> for HeapBlock {
    fn from(block: slabfit::Block) -> Self {
        Self {
            address: ptr::without_provenance(block.address),
            size: block.size,
            used: c_int::from(block.state == State::Used),
            slot: c_int::from(block.kind == Kind::Slot),
        }
    }
}

/// Calls `visit` for every slot and every block, in address order, and returns what the last call returned. No lock is held meanwhile.
///
/// # Safety
/// `visit` can be called with `arg` and with any block.
pub(crate) unsafe fn walk<P: Policy>(heap: &CHeap<P>, visit: Visit, arg: *mut c_void) -> Answer<c_int> {
    let visit = visit.ok_or(Failure::INVALID)?;
    // A walk in a handler that has interrupted the heap would end at once.
    heap.stats()?;
    for block in heap.blocks() {
        // SAFETY: as the caller promises.
        let answer = unsafe { visit(&block.into(), arg) };
        if answer != 0 {
            return Ok(answer);
        }
    }
    Ok(0)
}
