//! The work: sequences of operations, made before anything is measured, the same for every subject.

/// One operation on the object in a slot of the driver's table. Eight bytes, read in order: the harness stays cheap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// The slot, and the kind in the two highest bits.
    slot: u32,
    /// Bytes, for a free those of the object.
    pub size: u32,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A new object.
    Alloc,
    /// The end of one.
    Free,
    /// Another size for one.
    Realloc,
}

const KIND_SHIFT: u32 = 30;

impl Op {
    /// An operation on `slot`.
    pub fn new(kind: Kind, slot: usize, size: u32) -> Self {
        assert!(slot < 1 << KIND_SHIFT, "more slots than an operation can name");
        let kind = match kind {
            Kind::Alloc => 0,
            Kind::Free => 1,
            Kind::Realloc => 2,
        };
        Self { slot: kind << KIND_SHIFT | slot as u32, size }
    }

    /// The slot's number.
    #[inline(always)]
    pub fn slot(self) -> usize {
        (self.slot & ((1 << KIND_SHIFT) - 1)) as usize
    }

    /// What it does.
    #[inline(always)]
    pub fn kind(self) -> Kind {
        match self.slot >> KIND_SHIFT {
            0 => Kind::Alloc,
            1 => Kind::Free,
            _ => Kind::Realloc,
        }
    }
}

/// A row's work: what brings a heap into the state the row is about, then what is measured.
#[derive(Default)]
pub struct Stream {
    /// Not measured.
    pub warm: Vec<Op>,
    /// Measured.
    pub ops: Vec<Op>,
    /// Slots that the operations name.
    pub slots: usize,
}

/// A small random number generator (splitmix64): a seed gives the same work everywhere.
pub struct Rng(pub u64);

impl Rng {
    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below((high - low + 1) as usize) as u32
    }
}

/// Where the sizes of a row's requests come from.
#[derive(Clone, Copy)]
pub enum Sizes {
    /// All of one size.
    Always(u32),
    /// Evenly between two sizes, both included.
    Between(u32, u32),
    /// Half of the first size, half between the other two.
    HalfAlways(u32, u32, u32),
}

impl Sizes {
    /// The next request's size.
    pub fn draw(self, rng: &mut Rng) -> u32 {
        match self {
            Self::Always(size) => size,
            Self::Between(low, high) => rng.between(low, high),
            Self::HalfAlways(size, _, _) if rng.below(2) == 0 => size,
            Self::HalfAlways(_, low, high) => rng.between(low, high),
        }
    }
}

/// Objects that live and the slots they live in, while a sequence is made.
struct Population {
    size_of: Vec<u32>,
    live: Vec<usize>,
    vacant: Vec<usize>,
}

impl Population {
    fn new(slots: usize) -> Self {
        Self { size_of: vec![0; slots], live: Vec::new(), vacant: (0..slots).rev().collect() }
    }

    fn alloc(&mut self, size: u32) -> Op {
        let slot = self.vacant.pop().expect("the caller keeps a slot vacant");
        self.live.push(slot);
        self.size_of[slot] = size;
        Op::new(Kind::Alloc, slot, size)
    }

    fn free_at(&mut self, index: usize) -> Op {
        let slot = self.live.swap_remove(index);
        self.vacant.push(slot);
        Op::new(Kind::Free, slot, self.size_of[slot])
    }

    fn free_any(&mut self, rng: &mut Rng) -> Op {
        let index = rng.below(self.live.len());
        self.free_at(index)
    }
}

/// A steady population of `live` objects: bursts of 1 to 16 frees of random ones, then as many allocs; `warm_up` such
/// operations, then `count` to be measured.
///
/// Bursts, and not the toss of a coin for each operation: a loop that mispredicts its own branch every other time hides
/// several nanoseconds of the allocator's work after that, which then seem to cost nothing. Measured so, a lock and an
/// unlock took 0.7 ns instead of 5.
pub fn churn(live: usize, sizes: Sizes, [warm_up, count]: [usize; 2], seed: u64) -> Stream {
    const LONGEST_BURST: usize = 16;
    let (mut rng, mut objects) = (Rng(seed), Population::new(live));
    let mut warm: Vec<_> = (0..live).map(|_| objects.alloc(sizes.draw(&mut rng))).collect();
    let mut bursts = |out: &mut Vec<Op>, count: usize| {
        let enough = out.len() + count;
        while out.len() < enough {
            let burst = 1 + rng.below(LONGEST_BURST);
            out.extend((0..burst).map(|_| objects.free_any(&mut rng)));
            out.extend((0..burst).map(|_| objects.alloc(sizes.draw(&mut rng))));
        }
    };
    bursts(&mut warm, warm_up);
    let mut ops = Vec::with_capacity(count + 2 * LONGEST_BURST);
    bursts(&mut ops, count);
    Stream { warm, ops, slots: live }
}

/// `live` objects as a stack: runs of frees from its top, then as many allocs.
pub fn stack(live: usize, size: u32, count: usize, seed: u64) -> Stream {
    const LONGEST_RUN: usize = 64;
    let mut rng = Rng(seed);
    let warm = (0..live).map(|slot| Op::new(Kind::Alloc, slot, size)).collect();
    let mut ops = Vec::with_capacity(count + 2 * LONGEST_RUN);
    while ops.len() < count {
        let top = live - 1 - rng.below(LONGEST_RUN);
        ops.extend((top..live).rev().map(|slot| Op::new(Kind::Free, slot, size)));
        ops.extend((top..live).map(|slot| Op::new(Kind::Alloc, slot, size)));
    }
    Stream { warm, ops, slots: live }
}

/// Fills `bytes` of blocks (a block is what `block` says for a request), then frees a random object and allocates one.
pub fn tight(bytes: usize, block: fn(u32) -> usize, sizes: Sizes, count: usize, seed: u64) -> Stream {
    let mut rng = Rng(seed);
    let mut requests = Vec::new();
    let mut taken = 0;
    while taken < bytes {
        let size = sizes.draw(&mut rng);
        taken += block(size);
        requests.push(size);
    }
    let slots = requests.len();
    let mut objects = Population::new(slots);
    let mut warm: Vec<_> = requests.into_iter().map(|size| objects.alloc(size)).collect();
    let mut live: usize = taken;
    let mut pair = |out: &mut Vec<Op>| {
        let freed = objects.free_any(&mut rng);
        live -= block(freed.size);
        // A request that would lift the filling above what the row is about is drawn again.
        let mut size = sizes.draw(&mut rng);
        while live + block(size) > bytes {
            size = sizes.draw(&mut rng).min(freed.size);
        }
        live += block(size);
        out.extend([freed, objects.alloc(size)]);
    };
    (0..4 * slots).for_each(|_| pair(&mut warm));
    let mut ops = Vec::with_capacity(count);
    (0..count / 2).for_each(|_| pair(&mut ops));
    Stream { warm, ops, slots }
}

/// `vectors` vectors that double from 16 bytes to `longest` and start again, a random one of them at a time.
pub fn vectors(vectors: usize, longest: u32, count: usize, seed: u64) -> Stream {
    const FIRST: u32 = 16;
    let mut rng = Rng(seed);
    let mut sizes = vec![0; vectors];
    let mut step = || {
        let slot = rng.below(vectors);
        let size: &mut u32 = &mut sizes[slot];
        let (kind, of) = match *size {
            0 => (Kind::Alloc, FIRST),
            old if old == longest => (Kind::Free, old),
            old => (Kind::Realloc, 2 * old),
        };
        *size = if kind == Kind::Free { 0 } else { of };
        Op::new(kind, slot, of)
    };
    let warm = (0..64 * vectors).map(|_| step()).collect();
    let ops = (0..count).map(|_| step()).collect();
    Stream { warm, ops, slots: vectors }
}

/// A program that grows: two allocs to a random free, until `bytes` are live, which is more than the heap has.
pub fn grow(bytes: usize, sizes: Sizes, seed: u64) -> Stream {
    let mut rng = Rng(seed);
    let mut objects = Population::new(0);
    let (mut ops, mut live, mut slots) = (Vec::new(), 0, 0);
    while live < bytes {
        if objects.live.len() > 16 && rng.below(3) == 0 {
            let freed = objects.free_any(&mut rng);
            live -= freed.size as usize;
            ops.push(freed);
        } else {
            if objects.vacant.is_empty() {
                objects.vacant.push(slots);
                objects.size_of.push(0);
                slots += 1;
            }
            let size = sizes.draw(&mut rng);
            live += size as usize;
            ops.push(objects.alloc(size));
        }
    }
    Stream { warm: Vec::new(), ops, slots }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every free and realloc meets a live object of the size it names, every alloc a vacant slot.
    fn is_consistent(stream: &Stream) -> bool {
        let mut sizes = vec![None; stream.slots];
        stream.warm.iter().chain(&stream.ops).all(|op| {
            let slot: &mut Option<u32> = &mut sizes[op.slot()];
            let fits = match op.kind() {
                Kind::Alloc => slot.is_none(),
                Kind::Free => *slot == Some(op.size),
                Kind::Realloc => slot.is_some(),
            };
            *slot = (op.kind() != Kind::Free).then_some(op.size);
            fits
        })
    }

    #[test]
    fn every_sequence_frees_only_what_lives() {
        let sizes = Sizes::HalfAlways(64, 4, 200);
        assert!(is_consistent(&churn(300, sizes, [600, 5_000], 1)));
        assert!(is_consistent(&stack(300, 64, 5_000, 2)));
        assert!(is_consistent(&tight(100_000, |size| size as usize + 16, sizes, 5_000, 3)));
        assert!(is_consistent(&vectors(10, 4096, 5_000, 4)));
        assert!(is_consistent(&grow(100_000, sizes, 5)));
    }

    #[test]
    fn the_same_seed_gives_the_same_work() {
        let [one, other] = [7, 7].map(|seed| churn(50, Sizes::Between(4, 200), [0, 500], seed));
        assert_eq!(one.ops, other.ops);
    }
}
