//! The size of the largest gap that starts in each chunk, in granules.
//!
//! Two trees: one of 16-bit numbers for the chunks, in which all gaps of [`MOST`] granules and more count alike; and one of exact
//! numbers for those gaps. Of them at most one starts in a *span*, as many chunks as such a gap is long. Numbers of 16 bits take half
//! the memory, half the steps, and one instruction for the maximum of eight.
//!
//! On 32-bit cores there is one tree, of 32-bit numbers.

use crate::max_tree::Number;

/// The largest number of a chunk. What is larger counts as this.
#[cfg(target_pointer_width = "64")]
pub(crate) const MOST: u32 = u16::MOST;
/// The largest number of a chunk. What is larger counts as this: no segment has two gaps of half the largest one, so that a search for
/// more finds the only gap that may be as large.
#[cfg(target_pointer_width = "32")]
pub(crate) const MOST: u32 = u32::MOST;

#[cfg(target_pointer_width = "32")]
pub(crate) type Maxima<'a> = crate::max_tree::MaxTree<'a, u32>;

#[cfg(target_pointer_width = "32")]
impl Maxima<'_> {
    /// Returns the size of the largest gap that starts in a chunk, or [`MOST`].
    pub(crate) fn exact(&self, chunk: u32) -> u32 {
        self.get(chunk)
    }
}

#[cfg(target_pointer_width = "64")]
pub(crate) use spans::Maxima;

#[cfg(target_pointer_width = "64")]
mod spans {
    use static_assertions::const_assert_eq;

    use super::MOST;
    use crate::max_tree::{MaxTree, NO_CHUNK, Number};
    use crate::memory::Bump;
    use crate::units::BITS;

    /// Chunks of a span.
    const SPAN: u32 = (MOST + 1) / BITS;

    // Between two gaps lies a block of two granules, so the second starts MOST + 2 granules after the first at least.
    const_assert_eq!(SPAN * BITS, MOST + 1);

    /// Invariants:
    /// - The number of a chunk in `near` is the size of the largest gap that starts in it, or [`MOST`] if that is less.
    /// - `far` has for each span the size of the gap of [`MOST`] granules or more that starts in it, or 0.
    ///   (`far` may saturate too: no segment has two gaps of half the largest one.)
    #[derive(Debug)]
    pub(crate) struct Maxima<'a> {
        near: MaxTree<'a, u16>,
        far: MaxTree<'a, u32>,
    }

    /// Returns how many spans `chunks` chunks have; none if no gap can be of [`MOST`].
    const fn spans_of(chunks: u32) -> u32 {
        if chunks < SPAN { 0 } else { chunks.div_ceil(SPAN) }
    }

    impl<'a> Maxima<'a> {
        /// The maxima of no chunks, all zeros.
        pub(crate) const EMPTY: Self = Self { near: MaxTree::EMPTY, far: MaxTree::EMPTY };

        /// Returns how many bytes the maxima of `chunks` chunks take.
        pub(crate) const fn footprint(chunks: u32) -> usize {
            MaxTree::<u16>::footprint(chunks).saturating_add(MaxTree::<u32>::footprint(spans_of(chunks)))
        }

        /// Makes empty maxima those of `chunks` chunks without a gap.
        pub(crate) fn set_up(&mut self, chunks: u32, memory: &mut Bump<'a>) -> Option<()> {
            self.near.set_up(chunks, memory)?;
            self.far.set_up(spans_of(chunks), memory)
        }

        /// Returns the number of a chunk, 0 if there is no such chunk.
        #[inline(always)]
        pub(crate) fn get(&self, chunk: u32) -> u32 {
            self.near.get(chunk)
        }

        /// Returns the size of the largest gap that starts in a chunk.
        pub(crate) fn exact(&self, chunk: u32) -> u32 {
            match self.near.get(chunk) {
                MOST => self.far.get(chunk / SPAN),
                number => number,
            }
        }

        /// Returns the size of the largest gap of all.
        pub(crate) fn root(&self) -> u32 {
            self.near.root().max(self.far.root())
        }

        /// Counts a gap of `n` granules that starts in a chunk.
        #[inline(always)]
        pub(crate) fn raise(&mut self, chunk: u32, n: u32) {
            self.near.raise(chunk, n);
            if n >= MOST {
                self.raise_far(chunk, n);
            }
        }

        #[cold]
        #[inline(never)]
        fn raise_far(&mut self, chunk: u32, n: u32) {
            self.far.raise(chunk / SPAN, n);
        }

        /// Makes the largest gap that starts in a chunk one of `n` granules, which is not more than it was.
        #[inline(always)]
        pub(crate) fn lower(&mut self, chunk: u32, n: u32) {
            if self.near.lower(chunk, n) == MOST {
                self.lower_far(chunk, n);
            }
        }

        /// Does for the chunk's span what [`lower`](Self::lower) has done for the chunk.
        #[cold]
        #[inline(never)]
        fn lower_far(&mut self, chunk: u32, n: u32) {
            let span = chunk / SPAN;
            match self.chunk_of(span) {
                NO_CHUNK => self.far.lower(span, 0),
                first if first == chunk => self.far.lower(span, n),
                // The gap has come to start in another chunk, and was counted there before.
                _ => 0,
            };
        }

        /// Returns the chunk of a span in which a gap of at least [`MOST`] starts.
        fn chunk_of(&self, span: u32) -> u32 {
            let chunk = self.near.first(span.wrapping_mul(SPAN), MOST);
            if chunk / SPAN == span { chunk } else { NO_CHUNK }
        }

        /// Finds the first chunk from `from` on in which a gap of at least `n` starts, or [`NO_CHUNK`].
        #[inline(always)]
        pub(crate) fn first(&self, from: u32, n: u32) -> u32 {
            if n > MOST { self.first_far(from, n) } else { self.near.first(from, n) }
        }

        /// Finds the first chunk of all in which a gap of at least `n` starts, or [`NO_CHUNK`].
        #[inline(always)]
        pub(crate) fn first_of_all(&self, n: u32) -> u32 {
            if n > MOST { self.first_far(0, n) } else { self.near.first_of_all(n) }
        }

        #[cold]
        #[inline(never)]
        fn first_far(&self, from: u32, n: u32) -> u32 {
            let span = from / SPAN;
            if self.far.get(span) >= n.min(u32::MOST) {
                let chunk = self.chunk_of(span);
                if chunk >= from {
                    return chunk;
                }
            }
            match self.far.first(span.wrapping_add(1), n) {
                NO_CHUNK => NO_CHUNK,
                span => self.chunk_of(span),
            }
        }

        /// Finds the last chunk before `before`, which is a chunk, in which a gap of at least `n` starts, at most [`MOST`]; or
        /// [`NO_CHUNK`].
        pub(crate) fn last(&self, before: u32, n: u32) -> u32 {
            self.near.last(before, n)
        }

        /// Returns whether each maximum is that of the numbers below it, and the spans are those that have such a gap.
        pub(crate) fn is_whole(&self) -> bool {
            let agrees = |span| (self.far.get(span) != 0) == (self.chunk_of(span) != NO_CHUNK);
            self.near.is_whole() && self.far.is_whole() && (0..self.far.room()).all(agrees)
        }
    }

    /// What tests reach.
    #[cfg(test)]
    impl<'a> Maxima<'a> {
        pub(crate) fn near(&mut self) -> &mut MaxTree<'a, u16> {
            &mut self.near
        }

        pub(crate) fn far(&mut self) -> &mut MaxTree<'a, u32> {
            &mut self.far
        }
    }
}
