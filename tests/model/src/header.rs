//! The C headers as they stand in memory: an `int` at their start, and a pointer.

use std::mem::offset_of;

use slabfit::{AllocatedHeader, FreeHeader};
use static_assertions::const_assert_eq;

/// Where the pointer stands, `next` or `magic`.
pub const LINK: usize = offset_of!(FreeHeader, next);

const_assert_eq!(offset_of!(AllocatedHeader, magic), LINK);
const_assert_eq!(offset_of!(FreeHeader, length), 0);
const_assert_eq!(offset_of!(AllocatedHeader, length), 0);

/// The `int` and the pointer of the header that `memory` begins with.
///
/// # Panics
/// If it is shorter than a header.
pub fn fields(memory: &[u8]) -> (i32, usize) {
    let (length, _) = memory.split_first_chunk().expect("a header");
    let (link, _) = memory[LINK..].split_first_chunk().expect("a header");
    (i32::from_ne_bytes(*length), usize::from_ne_bytes(*link))
}
