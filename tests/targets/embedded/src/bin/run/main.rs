//! A firmware that measures its allocator and tells the debugger, a figure a line: instructions and bytes of stack of every
//! call, and how much fits into the heap.
#![no_std]
#![no_main]

extern crate alloc;

mod call;

use core::panic::PanicInfo;
use core::{array, mem, ptr};

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};

use self::call::{Cost, Meter};

const LIVE: usize = 64;
const STEPS: usize = 6_000;
/// More objects than any allocator finds room for.
const MOST: usize = slabfit_embedded::HEAP / 16;

#[entry]
fn main() -> ! {
    slabfit_embedded::start();
    let meter = Meter::new();
    first(&meter);
    hprintln!("fits.24 {}", fits(&meter, |_| 24).0);
    hprintln!("fits.100 {}", fits(&meter, |_| 100).0);
    hprintln!("fits.mixed {}", fits(&meter, mixed).1);
    let (costs, failed) = workload(&meter, mixed);
    for (name, costs) in ["alloc", "free", "realloc"].into_iter().zip(costs) {
        hprintln!("{}.mean {}", name, costs.mean());
        hprintln!("{}.max {}", name, costs.most.instructions);
        hprintln!("{}.stack {}", name, costs.most.stack);
    }
    hprintln!("failed {}", failed);
    // What slabfit has a slab for; nobody is asked for another size.
    let ([alloc, free, _], failed) = workload(&meter, |_| 32);
    for (name, costs) in [("alloc", alloc), ("free", free)] {
        hprintln!("32.{}.mean {}", name, costs.mean());
        hprintln!("32.{}.max {}", name, costs.most.instructions);
    }
    hprintln!("32.failed {}", failed);
    debug::exit(debug::EXIT_SUCCESS);
    unreachable!("the debugger has ended the program");
}

/// What the first request takes, which may be the one that sets the heap up.
fn first(meter: &Meter) {
    let (object, cost) = Object::new(meter, 100);
    object.expect("the heap is empty").free(meter);
    hprintln!("first {}", cost.instructions);
}

/// How many objects fit, and how many bytes, until the first that does not.
fn fits(meter: &Meter, size: impl Fn(&mut Random) -> usize) -> (usize, usize) {
    let mut random = Random(SEED);
    let mut objects = [const { None }; MOST];
    let (mut count, mut bytes) = (0, 0);
    for place in &mut objects {
        let size = size(&mut random);
        let (Some(object), _) = Object::new(meter, size) else { break };
        *place = Some(object);
        count += 1;
        bytes += size;
    }
    objects.into_iter().flatten().for_each(|object| _ = object.free(meter));
    (count, bytes)
}

/// Keeps `LIVE` objects; frees one at random and allocates another, or gives it another size. What `alloc`, `free` and
/// `realloc` took, and how many requests failed.
fn workload(meter: &Meter, size: impl Fn(&mut Random) -> usize) -> ([Costs; 3], usize) {
    let mut random = Random(SEED);
    let mut objects: [Option<Object>; LIVE] = array::from_fn(|_| Object::new(meter, size(&mut random)).0);
    let [mut alloc, mut free, mut realloc] = [const { Costs::new() }; 3];
    let mut failed = objects.iter().filter(|object| object.is_none()).count();
    for _ in 0..STEPS {
        let place = &mut objects[random.below(LIVE)];
        let wanted = size(&mut random);
        match place {
            Some(object) if random.below(4) == 0 => {
                let (done, cost) = object.resize(meter, wanted);
                realloc.add(cost);
                failed += usize::from(!done);
            }
            _ => {
                if let Some(object) = place.take() {
                    free.add(object.free(meter));
                }
                let (object, cost) = Object::new(meter, wanted);
                alloc.add(cost);
                failed += usize::from(object.is_none());
                *place = object;
            }
        }
    }
    objects.into_iter().flatten().for_each(|object| free.add(object.free(meter)));
    ([alloc, free, realloc], failed)
}

/// From 8 to 320 bytes, small ones more often.
fn mixed(random: &mut Random) -> usize {
    8 + random.below(313).min(random.below(313)).min(random.below(313))
}

/// What calls have taken.
struct Costs {
    sum: u32,
    count: u32,
    most: Cost,
}

impl Costs {
    const fn new() -> Self {
        Self { sum: 0, count: 0, most: Cost { instructions: 0, stack: 0 } }
    }

    fn mean(&self) -> u32 {
        self.sum / self.count
    }

    fn add(&mut self, cost: Cost) {
        self.sum += cost.instructions;
        self.count += 1;
        self.most.instructions = self.most.instructions.max(cost.instructions);
        self.most.stack = self.most.stack.max(cost.stack);
    }
}

/// A live object. Its first and its last word say where it was allocated, so that one that lies over another is noticed.
struct Object {
    address: usize,
    size: usize,
}

impl Object {
    fn new(meter: &Meter, size: usize) -> (Option<Self>, Cost) {
        let (address, cost) = meter.measure(call::alloc, size, 0, 0);
        let object = (address != 0).then_some(Self { address, size });
        object.iter().for_each(Self::mark);
        (object, cost)
    }

    /// Whether it has the new size now.
    fn resize(&mut self, meter: &Meter, size: usize) -> (bool, Cost) {
        self.check();
        let (address, cost) = meter.measure(call::realloc, self.address, self.size, size);
        if address == 0 {
            return (false, cost);
        }
        let old = mem::replace(self, Self { address, size });
        // SAFETY: every object has more than a word.
        assert!(unsafe { self.first().read() } == old.address, "the bytes did not come along");
        self.mark();
        (true, cost)
    }

    fn free(self, meter: &Meter) -> Cost {
        self.check();
        meter.measure(call::free, self.address, self.size, 0).1
    }

    fn mark(&self) {
        // SAFETY: every object has two words, and is aligned to a word.
        unsafe { self.first().write(self.address) };
        // SAFETY: the last four bytes are its own.
        unsafe { self.last().write_unaligned(self.address) };
    }

    fn check(&self) {
        // SAFETY: as in `mark`.
        let first = unsafe { self.first().read() };
        // SAFETY: as in `mark`.
        let last = unsafe { self.last().read_unaligned() };
        assert!(first == self.address && last == self.address, "somebody else has written into an object");
    }

    fn first(&self) -> *mut usize {
        ptr::with_exposed_provenance_mut(self.address)
    }

    fn last(&self) -> *mut usize {
        self.first().wrapping_byte_add(self.size - size_of::<usize>())
    }
}

const SEED: u32 = 0x5077_6041;

/// Marsaglia's xorshift: the same numbers everywhere, for ever.
struct Random(u32);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 >> 8) as usize % limit
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    loop {
        debug::exit(debug::EXIT_FAILURE);
    }
}
