//! slabfit: next fit with a slab for 32 bytes, first fit without a slab, or size classes in front of it.

#[cfg(feature = "slabfit-first")]
use slabfit::FirstFit as Policy;
#[cfg(feature = "slabfit-general")]
use slabfit::General as Policy;
#[cfg(feature = "slabfit-next")]
use slabfit::NextFit as Policy;
use slabfit::{Config, CriticalSectionLock, StaticArray, StaticHeap};

/// The slab has a quarter of the array.
#[cfg(feature = "slabfit-next")]
const CONFIG: Config = Config::new(32);
#[cfg(any(feature = "slabfit-first", feature = "slabfit-general"))]
const CONFIG: Config = Config::without_slab();

static ARRAY: StaticArray<{ crate::HEAP }, CriticalSectionLock, Policy> = StaticArray::new();

#[global_allocator]
static GLOBAL: StaticHeap<CriticalSectionLock, Policy> = StaticHeap::new(&ARRAY, CONFIG);

pub fn start() {}
