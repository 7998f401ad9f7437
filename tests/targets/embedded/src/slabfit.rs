//! slabfit: next fit with a slab for 32 bytes, first fit without a slab, or size classes in front of it.

#[cfg(feature = "slabfit-first")]
use slabfit::FirstFit as Policy;
#[cfg(feature = "slabfit-general")]
use slabfit::General as Policy;
#[cfg(feature = "slabfit-next")]
use slabfit::NextFit as Policy;
use slabfit::{Config, CriticalSectionLock};
#[cfg(not(feature = "banks"))]
use slabfit::{StaticArray, StaticHeap};

/// The slab has a quarter of the array.
#[cfg(feature = "slabfit-next")]
const PLAIN: Config = Config::new(32);
#[cfg(any(feature = "slabfit-first", feature = "slabfit-general"))]
const PLAIN: Config = Config::without_slab();

#[cfg(not(feature = "banks"))]
static ARRAY: StaticArray<{ crate::HEAP }, CriticalSectionLock, Policy> = StaticArray::new();

#[cfg(feature = "hooks")]
const CONFIG: Config = PLAIN.hooks(&hooks::HOOKS);
#[cfg(not(feature = "hooks"))]
const CONFIG: Config = PLAIN;

/// Hooks that do as little as they can.
#[cfg(feature = "hooks")]
mod hooks {
    use core::alloc::Layout;
    use core::sync::atomic::{AtomicUsize, Ordering};

    use slabfit::{Hooks, InvalidFree};

    pub static HOOKS: Hooks = Hooks::new().out_of_memory(give_way).invalid_free(note);
    static WRONG: AtomicUsize = AtomicUsize::new(0);

    fn give_way(_: Layout) -> bool {
        WRONG.load(Ordering::Relaxed) == 0
    }

    fn note(wrong: InvalidFree) {
        WRONG.store(wrong.address, Ordering::Relaxed);
    }
}

/// Half of the bytes in each of two banks.
#[cfg(feature = "banks")]
mod banks {
    use slabfit::{Banks, StaticArray, StaticHeap};

    use super::{CONFIG, CriticalSectionLock, Policy};

    static FAST_ARRAY: StaticArray<{ crate::HEAP / 2 }, CriticalSectionLock, Policy> = StaticArray::new();
    static FAST: StaticHeap<CriticalSectionLock, Policy> = StaticHeap::new(&FAST_ARRAY, CONFIG);
    static SLOW_ARRAY: StaticArray<{ crate::HEAP / 2 }, CriticalSectionLock, Policy> = StaticArray::new();
    static SLOW: StaticHeap<CriticalSectionLock, Policy> = StaticHeap::new(&SLOW_ARRAY, CONFIG);

    #[global_allocator]
    static GLOBAL: Banks<2> = Banks::new([&FAST, &SLOW]);
}

#[cfg(not(feature = "banks"))]
#[global_allocator]
static GLOBAL: StaticHeap<CriticalSectionLock, Policy> = StaticHeap::new(&ARRAY, CONFIG);

pub fn start() {}
