//! A hardened heap finds each byte that the program writes beside its objects, and raises no false alarm.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;

use slabfit::{
    Config, Damage, DefaultLock, FirstFit, GRANULE, General, Hardened, Heap, Hooks, Policy, Reason, RegionArray,
    Segment, Violation,
};

const KEY: [u64; 2] = [0x8f2c_6a1d_73b5_e049, 0x1b94_d7e2_5c08_a36f];

thread_local! {
    static TOLD: Cell<Option<Damage>> = const { Cell::new(None) };
}

static HOOKS: Hooks = Hooks::new().damage(|damage| TOLD.set(Some(damage)));

fn config() -> Config {
    Config::without_slab().key(KEY).hooks(&HOOKS)
}

fn told() -> Option<Damage> {
    TOLD.take()
}

/// Runs `test` with a hardened heap of `N` bytes, bookkeeping included, full of garbage at first.
fn with_heap<const N: usize, P: Policy>(test: impl FnOnce(&Heap<'_, DefaultLock, P>)) {
    // Not an array in a box, which without optimisation would be on the stack first.
    let mut memory = vec![MaybeUninit::new(0xa5); N];
    let heap = Heap::from_memory(memory.as_mut_slice(), config()).expect("there is room");
    test(&heap);
}

fn alloc<P: Policy>(heap: &Heap<'_, DefaultLock, P>, size: usize) -> *mut u8 {
    let object = heap.alloc(size).expect("there is room").as_ptr();
    assert!(is_stamped(object, size, 0), "a new object of {size} bytes is zeros");
    object
}

/// Frees an object that nobody uses afterwards.
fn free<P: Policy>(heap: &Heap<'_, DefaultLock, P>, object: *mut u8) -> Result<(), Reason> {
    // SAFETY: as this function says.
    unsafe { heap.free(object) }.map_err(|wrong| wrong.reason)
}

/// Writes a byte that differs from what is there, the mistake that is to be found.
fn scribble(at: *mut u8) {
    // SAFETY: in the heap's memory.
    let byte = unsafe { at.read() };
    // SAFETY: as above.
    unsafe { at.write(!byte) };
}

const SIZES: [usize; 12] = [0, 1, 8, 15, 16, 24, 100, 200, 504, 505, 3000, 9000];

fn each_write_past_the_end_is_found_at_the_free<P: Policy>() {
    with_heap::<{ 256 << 10 }, P>(|heap| {
        for size in SIZES {
            for past in 0..8 {
                let object = alloc(heap, size);
                scribble(object.wrapping_add(size + past));
                let damage = Damage::PastEnd { address: object.addr(), size, bytes: past + 1 };
                assert_eq!(heap.check(), Err(Violation::Damaged(damage)), "{size} bytes, byte {past} after them");
                assert_eq!(free(heap, object), Err(Reason::WrittenPastEnd), "{size} bytes, byte {past} after them");
                assert_eq!(told(), Some(damage));
                assert_eq!(heap.repair(), Ok(1));
                assert_eq!((heap.check(), free(heap, object), told()), (Ok(()), Ok(()), None));
            }
        }
    });
}

#[test]
fn each_write_past_the_end_of_a_slot_or_block_is_found_at_the_free() {
    each_write_past_the_end_is_found_at_the_free::<Hardened<General>>();
    each_write_past_the_end_is_found_at_the_free::<Hardened<FirstFit>>();
}

fn each_write_before_the_start_is_found_at_the_free<P: Policy>() {
    with_heap::<{ 256 << 10 }, P>(|heap| {
        for size in SIZES {
            for round in 0..80 {
                let (object, before) = (alloc(heap, size), 1 + round % 8);
                if object.addr() == heap.segment(Segment::Blocks).start {
                    continue;
                }
                scribble(object.wrapping_sub(before));
                assert!(heap.check().is_err(), "{size} bytes, {before} before them");
                assert_eq!(free(heap, object), Err(Reason::WrittenBeforeStart), "{size} bytes, {before} before them");
                let damage = told().expect("somebody is told");
                let Damage::BeforeStart { address, size: told, bytes } = damage else { panic!("{damage}") };
                assert_eq!((address, told, bytes), (object.addr(), size, before));
                assert_eq!(heap.repair(), Ok(1));
                assert_eq!((heap.check(), free(heap, object)), (Ok(()), Ok(())));
            }
        }
    });
}

#[test]
fn each_write_before_the_start_of_a_slot_or_block_is_found_at_the_free() {
    each_write_before_the_start_is_found_at_the_free::<Hardened<General>>();
    each_write_before_the_start_is_found_at_the_free::<Hardened<FirstFit>>();
}

fn a_write_after_the_free_is_found_when_the_memory_is_handed_out<P: Policy>() {
    for size in SIZES.into_iter().filter(|size| *size > 0) {
        with_heap::<{ 256 << 10 }, P>(|heap| {
            let object = alloc(heap, size);
            assert_eq!(free(heap, object), Ok(()));
            scribble(object.wrapping_add(size - 1));
            assert!(matches!(heap.check(), Err(Violation::Damaged(Damage::AfterFree { .. }))), "{size} bytes");
            let mut objects = Vec::new();
            while let (None, Ok(next)) = (TOLD.get(), heap.alloc(size)) {
                objects.push(next);
            }
            let damage = told().expect("the write is found");
            let Damage::AfterFree { address, offset, bytes } = damage else { panic!("{damage}") };
            assert_eq!((address + offset, bytes), (object.addr() + size - 1, 1), "{size} bytes");
            assert_eq!(heap.check(), Ok(()), "what was found is cleared");
        });
    }
}

#[test]
fn a_write_after_the_free_of_a_slot_or_block_is_found_when_its_memory_is_handed_out() {
    a_write_after_the_free_is_found_when_the_memory_is_handed_out::<Hardened<General>>();
    a_write_after_the_free_is_found_when_the_memory_is_handed_out::<Hardened<FirstFit>>();
}

#[test]
fn a_write_after_the_free_is_found_when_the_slot_comes_back_among_others() {
    // The last granule of a smaller slot is the whole of it, and its neighbour notices first.
    for size in SIZES.into_iter().filter(|size| (24..=504).contains(size)) {
        with_heap::<{ 256 << 10 }, Hardened<General>>(|heap| {
            let object = alloc(heap, size);
            assert_eq!(free(heap, object), Ok(()));
            scribble(object.wrapping_add(size / 2));
            let comes_back = (0..100_000).any(|_| {
                let other = alloc(heap, size);
                assert_eq!(free(heap, other), Ok(()));
                other == object
            });
            assert!(comes_back, "{size} bytes");
            let Some(Damage::AfterFree { address, offset, bytes }) = told() else { panic!("{size} bytes: not found") };
            assert_eq!((address + offset, bytes), (object.addr() + size / 2, 1), "{size} bytes");
        });
    }
}

#[test]
fn an_object_is_in_quarantine_for_64_frees_of_its_class() {
    with_heap::<{ 4 << 20 }, Hardened<General>>(|heap| {
        for size in [16, 100, 500, 700] {
            let object = alloc(heap, size);
            assert_eq!(free(heap, object), Ok(()));
            for round in 0..64 {
                let other = alloc(heap, size);
                assert_ne!(other, object, "{size} bytes, round {round}");
                assert_eq!(free(heap, object), Err(Reason::DoubleFree));
                assert_eq!(free(heap, other), Ok(()));
            }
            let comes_back = (0..100_000).any(|_| {
                let other = alloc(heap, size);
                assert_eq!(free(heap, other), Ok(()));
                other == object
            });
            assert!(comes_back, "{size} bytes");
        }
        let quarantine = heap.stats().expect("free to enter").quarantine;
        assert!(quarantine.objects <= 4 * 80 && quarantine.bytes > 0, "{quarantine:?}");
    });
}

#[test]
fn blocks_in_quarantine_have_a_bounded_number_of_bytes() {
    with_heap::<{ 1 << 20 }, Hardened<FirstFit>>(|heap| {
        for round in 0..200 {
            let object = alloc(heap, 1000 + round * 50);
            assert_eq!(free(heap, object), Ok(()));
            let quarantine = heap.stats().expect("free to enter").quarantine;
            assert!(quarantine.bytes <= (1 << 20) / 32 || quarantine.objects == 1, "{quarantine:?}");
            assert_eq!(heap.check(), Ok(()));
        }
    });
}

#[test]
fn a_heap_that_is_full_of_freed_objects_serves_all_that_it_can() {
    with_heap::<{ 64 << 10 }, Hardened<General>>(|heap| {
        for size in [8, 24, 100, 400, 2000, 40_000] {
            for _ in 0..3 {
                let objects: Vec<_> = std::iter::from_fn(|| heap.alloc(size).ok()).collect();
                assert!(objects.len() * size.max(100) > 20_000, "{} objects of {size} bytes", objects.len());
                for object in objects {
                    assert_eq!(free(heap, object.as_ptr()), Ok(()));
                }
                assert_eq!(heap.check(), Ok(()));
            }
        }
    });
}

#[test]
fn a_size_must_be_the_objects_to_the_byte() {
    with_heap::<{ 256 << 10 }, Hardened<General>>(|heap| {
        for size in SIZES.into_iter().filter(|size| *size > 1) {
            let object = alloc(heap, size);
            assert_eq!(heap.usable_size(object), Ok(size));
            for wrong in [size - 1, size + 1, 2 * size] {
                let layout = std::alloc::Layout::from_size_align(wrong, 1).expect("small");
                // SAFETY: it is refused.
                let freed = unsafe { heap.free_sized(object, layout) };
                assert_eq!(freed.map_err(|wrong| wrong.reason), Err(Reason::SizeMismatch), "{size} as {wrong}");
            }
            let layout = std::alloc::Layout::from_size_align(size, 1).expect("small");
            // SAFETY: nobody uses it afterwards.
            assert_eq!(unsafe { heap.free_sized(object, layout) }, Ok(()));
        }
    });
}

/// Numbers that look random, the same in each run (Marsaglia, "Xorshift RNGs", 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }

    fn size(&mut self, most: usize) -> usize {
        let most = most.min(1 << (1 + self.below(15)));
        self.below(most)
    }
}

/// The live objects of a test: the size of each, and the byte that it is filled with.
type Live = BTreeMap<usize, (*mut u8, usize, u8)>;

fn stamp(object: *mut u8, size: usize, byte: u8) {
    // SAFETY: the object has so many bytes.
    unsafe { object.write_bytes(byte, size) };
}

fn is_stamped(object: *const u8, size: usize, byte: u8) -> bool {
    // SAFETY: the object has so many bytes, and nobody writes them meanwhile.
    let bytes = unsafe { std::slice::from_raw_parts(object, size) };
    bytes.iter().all(|found| *found == byte)
}

/// Does one random thing with a heap, and with what is known of it.
fn step<P: Policy>(heap: &Heap<'_, DefaultLock, P>, random: &mut Random, live: &mut Live, most: usize) {
    let (size, byte) = (random.size(most), random.below(256) as u8);
    let chosen = live.keys().copied().nth(random.below(live.len().max(1)));
    match (random.below(8), chosen) {
        (0..4, _) => {
            let most = if random.below(4) == 0 { 10 } else { 5 };
            let alignment = 1 << random.below(most);
            let layout = std::alloc::Layout::from_size_align(size, alignment).expect("small");
            let Ok(object) = heap.alloc_layout_zeroed(layout) else { return };
            let object = object.as_ptr();
            assert!(object.addr() % alignment == 0 && is_stamped(object, size, 0), "{size} at {alignment}");
            stamp(object, size, byte);
            assert_eq!(live.insert(object.addr(), (object, size, byte)), None);
        }
        (4, Some(at)) => {
            let (old, old_size, old_byte) = live[&at];
            // SAFETY: nobody uses the old object if this succeeds.
            let Ok(object) = (unsafe { heap.realloc(old, size) }) else { return };
            let object = object.as_ptr();
            live.remove(&at);
            assert!(is_stamped(object, size.min(old_size), old_byte), "{old_size} bytes, now {size}");
            stamp(object, size, byte);
            assert_eq!(live.insert(object.addr(), (object, size, byte)), None);
        }
        (_, Some(at)) => {
            let (object, size, byte) = live.remove(&at).expect("chosen");
            assert!(is_stamped(object, size, byte), "{size} bytes are their owner's alone");
            assert_eq!(heap.usable_size(object), Ok(size));
            assert_eq!(free(heap, object), Ok(()), "{size} bytes");
            assert_eq!(free(heap, object), Err(Reason::DoubleFree), "{size} bytes");
        }
        _ => {}
    }
}

fn random_operations_raise_no_alarm<const N: usize, P: Policy>(seed: u64, steps: usize) {
    with_heap::<N, P>(|heap| {
        let (mut random, mut live) = (Random(seed), Live::new());
        for round in 0..steps {
            step(heap, &mut random, &mut live, N / 4);
            if round % 64 == 0 {
                assert_eq!(heap.check(), Ok(()), "seed {seed}, step {round}");
            }
        }
        for (object, ..) in live.into_values() {
            assert_eq!(free(heap, object), Ok(()));
        }
        assert_eq!((heap.check(), told()), (Ok(()), None));
    });
}

const STEPS: usize = if cfg!(miri) { 300 } else { 40_000 };

#[test]
fn random_operations_raise_no_alarm_in_heaps_of_each_size() {
    for seed in 1..5 {
        random_operations_raise_no_alarm::<{ 12 << 10 }, Hardened<FirstFit>>(seed, STEPS);
        random_operations_raise_no_alarm::<{ 48 << 10 }, Hardened<General>>(seed, STEPS);
        random_operations_raise_no_alarm::<{ 1 << 20 }, Hardened<General>>(seed, STEPS);
    }
}

fn each_byte_that_is_no_objects_is_found<const N: usize, P: Policy>(seed: u64) {
    with_heap::<N, P>(|heap| {
        let (mut random, mut live) = (Random(seed), Live::new());
        let blocks = heap.segment(Segment::Blocks);
        let base = heap.base().expect("it has memory").as_ptr();
        for round in 0..STEPS / 100 {
            for _ in 0..20 {
                step(heap, &mut random, &mut live, N / 8);
            }
            let at = blocks.start + random.below(blocks.len());
            let owner = live.range(..=at).next_back().filter(|(start, object)| *start + object.1 > at);
            if owner.is_some() {
                continue;
            }
            scribble(base.wrapping_add(at - blocks.start));
            assert!(heap.check().is_err(), "seed {seed}, round {round}: byte {at:#x} is found");
            assert_eq!(heap.repair(), Ok(1), "seed {seed}, round {round}");
            assert_eq!(heap.check(), Ok(()), "seed {seed}, round {round}");
        }
    });
}

#[test]
fn each_byte_that_is_written_outside_all_objects_is_found_by_the_next_check() {
    for seed in 1..9 {
        each_byte_that_is_no_objects_is_found::<{ 12 << 10 }, Hardened<FirstFit>>(seed);
        each_byte_that_is_no_objects_is_found::<{ 96 << 10 }, Hardened<General>>(seed);
    }
}

#[test]
fn no_two_keys_hand_out_slots_in_the_same_order() {
    let order = |key| {
        let mut array = Box::new(RegionArray::<{ 256 << 10 }>::new());
        let heap: Heap<'_, DefaultLock, Hardened<General>> =
            Heap::from_memory(&mut *array, Config::without_slab().key(key)).expect("there is room");
        let base = heap.segment(Segment::Blocks).start;
        let order: Vec<_> = (0..40).map(|_| alloc(&heap, 40).addr() - base).collect();
        assert!(order.windows(2).any(|pair| pair[1] != pair[0] + 3 * GRANULE), "not one after the other");
        order
    };
    assert_ne!(order(KEY), order([KEY[1], KEY[0]]));
}

#[test]
fn threads_that_free_each_others_objects_raise_no_alarm() {
    with_heap::<{ 4 << 20 }, Hardened<General>>(|heap| {
        let (sender, receiver) = std::sync::mpsc::channel::<(usize, usize, u8)>();
        let receiver = std::sync::Mutex::new(receiver);
        std::thread::scope(|scope| {
            for seed in 1..5 {
                let (sender, receiver) = (sender.clone(), &receiver);
                scope.spawn(move || {
                    let mut random = Random(seed);
                    for _ in 0..STEPS / 40 {
                        let (size, byte) = (random.size(20_000), random.below(256) as u8);
                        let object = heap.alloc(size).expect("there is room").as_ptr();
                        assert!(is_stamped(object, size, 0), "{size} bytes");
                        stamp(object, size, byte);
                        sender.send((object.expose_provenance(), size, byte)).expect("somebody listens");
                        let (other, size, byte) = receiver.lock().expect("nobody panics").recv().expect("one was sent");
                        let other = std::ptr::with_exposed_provenance_mut(other);
                        assert!(is_stamped(other, size, byte), "{size} bytes are whole");
                        assert_eq!(free(heap, other), Ok(()));
                    }
                });
            }
        });
        assert_eq!((heap.check(), told()), (Ok(()), None));
    });
}

#[test]
fn of_two_frees_at_once_one_is_refused() {
    with_heap::<{ 1 << 20 }, Hardened<General>>(|heap| {
        for size in [24, 5000].into_iter().cycle().take(STEPS / 200) {
            let object = alloc(heap, size).expose_provenance();
            let free = || free(heap, std::ptr::with_exposed_provenance_mut(object));
            let both =
                std::thread::scope(|scope| [scope.spawn(free), scope.spawn(free)].map(|it| it.join().expect("ends")));
            let accepted = both.iter().filter(|freed| freed.is_ok()).count();
            assert_eq!(accepted, 1, "{size} bytes: {both:?}");
        }
        assert_eq!((heap.check(), told()), (Ok(()), None));
    });
}
