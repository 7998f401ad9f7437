//! slabfit: next fit with a slab for 32 bytes, or first fit without a slab.

#[cfg(feature = "slabfit-first")]
use slabfit::FirstFit as Policy;
#[cfg(feature = "slabfit-next")]
use slabfit::NextFit as Policy;
use slabfit::{Config, CriticalSectionLock, StaticArray, StaticHeap};

/// The slab has a quarter of the array.
#[cfg(feature = "slabfit-next")]
const CONFIG: Config = Config::new(32);
#[cfg(feature = "slabfit-first")]
const CONFIG: Config = Config::without_slab();

static ARRAY: StaticArray<{ crate::HEAP }, CriticalSectionLock, Policy> = StaticArray::new();

#[global_allocator]
static GLOBAL: StaticHeap<CriticalSectionLock, Policy> = StaticHeap::new(&ARRAY, CONFIG);

pub fn start() {}
