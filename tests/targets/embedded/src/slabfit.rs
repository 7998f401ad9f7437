//! slabfit: next fit with a slab for 32 bytes, or first fit without a slab.

use slabfit::{Config, CriticalSectionLock, StaticArray, StaticHeap};

/// The slab has a quarter of the array.
#[cfg(feature = "slabfit-next")]
const CONFIG: Config = Config::new(32);
/// A slot that is larger than the slab's quarter: there are none, and the quarter lies idle.
#[cfg(feature = "slabfit-first")]
const CONFIG: Config = Config::new(crate::HEAP).first_fit();

static ARRAY: StaticArray<{ crate::HEAP }, CriticalSectionLock> = StaticArray::new();

#[global_allocator]
static GLOBAL: StaticHeap<CriticalSectionLock> = StaticHeap::new(&ARRAY, CONFIG);

pub fn start() {}
