//! The bytes of the heap under test, and the pattern that proves who wrote them last.
//!
//! This is the only file of the tester that touches the heap's memory. An [`Object`] can only be made inside the
//! window, so that an allocator which hands out a wrong address is reported and never written through.

use core::ptr::NonNull;

/// What a heap aligns every object to, and rounds every size to.
pub const GRANULE: usize = 16;

/// Bytes that the heap handed out, as a place in its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    offset: usize,
    size: usize,
}

impl Object {
    /// Bytes between the heap's first byte and the object's.
    #[must_use]
    pub fn offset(self) -> usize {
        self.offset
    }

    /// Bytes asked for.
    #[must_use]
    pub fn size(self) -> usize {
        self.size
    }

    /// The first offset after the object.
    #[must_use]
    pub fn end(self) -> usize {
        self.offset + self.size
    }

    /// The object in two pieces that do not overlap, each of `most` bytes at most: its ends, where neighbours meet.
    /// Filling all of an object of gigabytes would take longer than what is tested with it.
    #[must_use]
    pub fn ends(self, most: usize) -> [Self; 2] {
        let first = self.size.min(most);
        let last = (self.size - first).min(most);
        [Self { offset: self.offset, size: first }, Self { offset: self.end() - last, size: last }]
    }

    /// The first `size` bytes of the object, or all of it.
    #[must_use]
    pub fn first(self, size: usize) -> Self {
        Self { offset: self.offset, size: size.min(self.size) }
    }
}

/// Bytes that are not what was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overwritten {
    /// The first wrong byte, counted from the object's first.
    pub at: usize,
    /// What was written.
    pub expected: u8,
    /// What stands there.
    pub found: u8,
}

/// The memory of one heap.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    base: NonNull<u8>,
    size: usize,
}

// SAFETY: a window is an address and a size; who may use which bytes when is the contract of `new`, for all threads.
unsafe impl Send for Window {}
// SAFETY: as for `Send`.
unsafe impl Sync for Window {}

impl Window {
    /// # Safety
    /// The `size` bytes at `base` can be read and written for as long as a copy of the window is in use, by raw
    /// accesses only: no reference into them exists. The bytes of an object are used by one thread at a time.
    #[must_use]
    pub unsafe fn new(base: NonNull<u8>, size: usize) -> Self {
        Self { base, size }
    }

    /// Bytes in the window.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Where the window starts.
    #[must_use]
    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// The object of `size` bytes at `address`, if all of it lies in the window.
    #[must_use]
    pub fn object(&self, address: NonNull<u8>, size: usize) -> Option<Object> {
        let offset = address.addr().get().checked_sub(self.base.addr().get())?;
        let fits = offset <= self.size && size <= self.size - offset;
        fits.then_some(Object { offset, size })
    }

    /// Where `object` begins.
    #[must_use]
    pub fn address(&self, object: Object) -> NonNull<u8> {
        // SAFETY: an object lies inside the window it was made from, which is one allocation.
        unsafe { self.base.add(object.offset) }
    }

    /// Writes the pattern of `id` over `object`, from byte `from` on (rounded down to a multiple of eight).
    pub fn fill(&self, object: Object, id: u64, from: usize) {
        let (words, tail) = (object.size / 8, object.size % 8);
        let first = from.min(object.size) / 8;
        let start = self.address(object).as_ptr();
        let mut word = word_at(id, first);
        for index in first..words {
            let place = start.wrapping_add(index * 8).cast::<u64>();
            // SAFETY: in bounds because `index` < `words`, which is the object's size in words, and the object lies in
            // the window; exclusive by the contract of `new`; `write_unaligned` asks for no alignment.
            unsafe { place.write_unaligned(word) };
            word = word.wrapping_add(STEP);
        }
        for (index, byte) in word.to_le_bytes().into_iter().enumerate().take(tail) {
            let place = start.wrapping_add(words * 8 + index);
            // SAFETY: in bounds because `index` < `tail`, the bytes left behind the last word; exclusive as above.
            unsafe { place.write(byte) };
        }
    }

    /// Whether `object` still holds the pattern of `id`.
    ///
    /// # Errors
    /// The first byte that differs.
    pub fn verify(&self, object: Object, id: u64) -> Result<(), Overwritten> {
        let words = object.size / 8;
        let mut word = word_at(id, 0);
        let mut difference = 0;
        for index in 0..words {
            difference |= self.word(object, index) ^ word.to_le();
            word = word.wrapping_add(STEP);
        }
        let tail_holds = (words * 8..object.size).all(|at| self.byte(object, at) == byte_at(id, at));
        if difference == 0 && tail_holds {
            return Ok(());
        }
        let differs = |&at: &usize| self.byte(object, at) != byte_at(id, at);
        match (0..object.size).find(differs) {
            Some(at) => Err(Overwritten { at, expected: byte_at(id, at), found: self.byte(object, at) }),
            None => Ok(()),
        }
    }

    /// Whether `object` is zero-filled.
    ///
    /// # Errors
    /// The first byte that is not zero.
    pub fn verify_zero(&self, object: Object) -> Result<(), Overwritten> {
        let differs = |&at: &usize| self.byte(object, at) != 0;
        match (0..object.size).find(differs) {
            Some(at) => Err(Overwritten { at, expected: 0, found: self.byte(object, at) }),
            None => Ok(()),
        }
    }

    /// The eight bytes at `offset`, if they lie in the window: a field of a header.
    #[must_use]
    pub fn read_field(&self, offset: usize) -> Option<u64> {
        let object = self.field(offset)?;
        Some(self.word(object, 0))
    }

    /// Overwrites the eight bytes at `offset` as a program with a wild pointer would. Outside the window nothing is
    /// written.
    pub fn write_field(&self, offset: usize, value: u64) {
        if let Some(object) = self.field(offset) {
            let place = self.address(object).as_ptr().cast::<u64>();
            // SAFETY: the eight bytes lie in the window; the tester's thread is the only one that uses the heap where
            // headers are overwritten; `write_unaligned` asks for no alignment.
            unsafe { place.write_unaligned(value) };
        }
    }

    fn field(&self, offset: usize) -> Option<Object> {
        (offset.checked_add(8)? <= self.size).then_some(Object { offset, size: 8 })
    }

    fn word(&self, object: Object, index: usize) -> u64 {
        debug_assert!(index < object.size / 8);
        let place = self.address(object).as_ptr().wrapping_add(index * 8).cast::<u64>();
        // SAFETY: `word` is private, and its callers pass an index below the object's size in words; the object lies in
        // the window; `read_unaligned` asks for no alignment, and every bit pattern is a `u64`.
        unsafe { place.read_unaligned() }
    }

    fn byte(&self, object: Object, at: usize) -> u8 {
        debug_assert!(at < object.size);
        let place = self.address(object).as_ptr().wrapping_add(at);
        // SAFETY: `byte` is private, and its callers pass an offset below the object's size; the object lies in the
        // window; every bit pattern is a `u8`.
        unsafe { place.read() }
    }
}

/// Added from word to word, so that a block shifted by any number of words is noticed. Odd, hence no word repeats.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The pattern's word at `index`. The id is mixed so that neighbouring ids differ in every byte, and none is all zero.
fn word_at(id: u64, index: usize) -> u64 {
    let mut seed = (id ^ 0x0507_7604).wrapping_add(1).wrapping_mul(0xff51_afd7_ed55_8ccd);
    seed ^= seed >> 33;
    seed.wrapping_mul(0xc4ce_b9fe_1a85_ec53).wrapping_add(STEP.wrapping_mul(index as u64))
}

fn byte_at(id: u64, at: usize) -> u8 {
    word_at(id, at / 8).to_le_bytes()[at % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window over `bytes`, which outlives it and is not touched meanwhile but through it.
    fn window(bytes: &mut [u8]) -> Window {
        let base = NonNull::new(bytes.as_mut_ptr()).unwrap();
        // SAFETY: every test below uses the window on its own thread only, and `bytes` no more but through `poke`,
        // which ends before the window is used again.
        unsafe { Window::new(base, bytes.len()) }
    }

    #[test]
    fn an_object_lies_in_the_window_or_is_none() {
        let mut bytes = [0; 100];
        let heap = window(&mut bytes);
        let at = |offset: usize| NonNull::new(heap.base().wrapping_add(offset)).unwrap();
        assert_eq!(heap.object(at(90), 10), Some(Object { offset: 90, size: 10 }));
        assert_eq!(heap.object(at(100), 0), Some(Object { offset: 100, size: 0 }));
        assert_eq!(heap.object(at(90), 11), None);
        assert_eq!(heap.object(at(101), 0), None);
        assert_eq!(heap.object(at(usize::MAX), 1), None);
        assert_eq!(heap.object(at(10), usize::MAX), None);
    }

    #[test]
    fn the_ends_of_an_object_never_overlap() {
        let ends = |size: usize| Object { offset: 100, size }.ends(16).map(|end| (end.offset, end.size));
        assert_eq!(ends(0), [(100, 0), (100, 0)]);
        assert_eq!(ends(16), [(100, 16), (116, 0)]);
        assert_eq!(ends(20), [(100, 16), (116, 4)]);
        assert_eq!(ends(32), [(100, 16), (116, 16)]);
        assert_eq!(ends(1000), [(100, 16), (1084, 16)]);
    }

    #[test]
    fn every_single_changed_byte_is_found() {
        let mut bytes = [0; 64];
        let heap = window(&mut bytes);
        for size in 0..=40 {
            let object = heap.object(NonNull::new(heap.base().wrapping_add(3)).unwrap(), size).unwrap();
            heap.fill(object, 17, 0);
            assert_eq!(heap.verify(object, 17), Ok(()));
            for at in 0..size {
                let expected = heap.byte(object, at);
                poke(&heap, object, at, !expected);
                assert_eq!(heap.verify(object, 17), Err(Overwritten { at, expected, found: !expected }));
                poke(&heap, object, at, expected);
            }
            assert_eq!(heap.verify(object, 18).is_err(), size > 0, "another id has another pattern");
        }
    }

    fn poke(heap: &Window, object: Object, at: usize, byte: u8) {
        // SAFETY: `at` is below the object's size in the only test that calls this.
        let place = unsafe { heap.address(object).add(at) };
        // SAFETY: `place` lies in the window.
        unsafe { place.write(byte) };
    }

    #[test]
    fn filling_from_the_middle_completes_the_same_pattern() {
        let mut bytes = [0; 64];
        let heap = window(&mut bytes);
        let object = heap.object(NonNull::new(heap.base()).unwrap(), 61).unwrap();
        for from in 0..70 {
            heap.fill(object, 99, 0);
            heap.fill(object.first(from), 99, 0);
            heap.fill(object, 99, from);
            assert_eq!(heap.verify(object, 99), Ok(()), "from {from}");
        }
    }

    #[test]
    fn fields_outside_the_window_are_neither_read_nor_written() {
        let mut bytes = [0; 32];
        let heap = window(&mut bytes);
        heap.write_field(24, u64::MAX);
        heap.write_field(25, 1);
        heap.write_field(usize::MAX, 1);
        assert_eq!(heap.read_field(24), Some(u64::MAX));
        assert_eq!(heap.read_field(25), None);
        assert_eq!(heap.read_field(usize::MAX), None);
    }
}
