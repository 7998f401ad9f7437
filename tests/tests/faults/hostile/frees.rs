//! Frees and resizes of every byte address in many states of a heap, of foreign addresses, and of one object by two threads.

use std::ops::Range;
use std::ptr::without_provenance_mut;
use std::sync::Barrier;
use std::thread;

use slabfit::{Config, GRANULE, InvalidFree, MAGIC, Reason};
use slabfit_tests::abuse::fenced::Case;
use slabfit_tests::abuse::lab::{Lab, raw_alloc};
use slabfit_tests::any_heap::AnyHeap;
use slabfit_tests::header::LINK;
use slabfit_tests::model::Placement;

use super::{Matrix, case, with_classes};

/// A heap in some state.
type State = fn() -> Lab;

/// An address that is no heap's.
type Address = fn() -> usize;

/// Five blocks side by side, with payloads of 48 bytes; the heap is otherwise as it was made.
fn five() -> (Lab, [usize; 5]) {
    let mut lab = Lab::new(case(1024, 32));
    let blocks = [(); 5].map(|()| lab.alloc(48, GRANULE).unwrap().expect("it fits"));
    (lab, blocks)
}

fn five_without(freed: &[usize]) -> Lab {
    let (mut lab, blocks) = five();
    for &nth in freed {
        assert_eq!(lab.free(blocks[nth]).unwrap(), Ok(()));
    }
    lab
}

fn slots(live: usize, returned: &[usize]) -> Lab {
    let mut lab = Lab::new(case(1040, 40));
    let slots: Vec<usize> = (0..live).map(|_| lab.alloc(40, GRANULE).unwrap().expect("it fits")).collect();
    for &nth in returned {
        assert_eq!(lab.free(slots[nth]).unwrap(), Ok(()));
    }
    lab
}

/// A heap with size classes: so many live slots for `size` bytes side by side, of which some were freed.
fn run_of(size: usize, live: usize, freed: &[usize]) -> Lab {
    let mut lab = Lab::new(with_classes());
    let slots: Vec<usize> = (0..live).map(|_| lab.alloc(size, GRANULE).unwrap().expect("it fits")).collect();
    for &nth in freed {
        assert_eq!(lab.free(slots[nth]).unwrap(), Ok(()));
    }
    lab
}

const STATES: &[(&str, State)] = &[
    ("fresh", || Lab::new(case(1024, 32))),
    ("five blocks live", || five_without(&[])),
    ("the first block freed", || five_without(&[0])),
    ("a block freed between live ones", || five_without(&[2])),
    ("the last block freed into the rest", || five_without(&[4])),
    ("coalesced to the left", || five_without(&[1, 2])),
    ("coalesced to the right", || five_without(&[2, 1])),
    ("coalesced on both sides", || five_without(&[1, 3, 2])),
    ("every other block freed", || five_without(&[0, 2, 4])),
    ("all blocks freed, in order", || five_without(&[0, 1, 2, 3, 4])),
    ("all blocks freed, backwards", || five_without(&[4, 3, 2, 1, 0])),
    ("one slot live", || slots(1, &[])),
    ("two slots live and one returned between", || slots(3, &[1])),
    ("all slots live, with a tail behind the last", || slots(5, &[])),
    ("all slots returned", || slots(5, &[0, 4, 2, 1, 3])),
    ("a slot spilled", || slots(6, &[])),
    ("the segment full", || {
        let mut lab = Lab::new(case(1024, 32));
        lab.alloc(752, GRANULE).unwrap().expect("it fits");
        lab
    }),
    ("a remainder of 16 bytes with the last block", || {
        let mut lab = Lab::new(case(1024, 32));
        lab.alloc(736, GRANULE).unwrap().expect("it fits");
        lab
    }),
    ("an aligned block behind a gap", || {
        let mut lab = Lab::new(case(1024, 32));
        lab.alloc(1, GRANULE).unwrap().expect("it fits");
        lab.alloc(64, 128).unwrap().expect("it fits");
        lab
    }),
    ("shrunk in place", || {
        let (mut lab, blocks) = five();
        assert_eq!(lab.realloc(blocks[2], 1, GRANULE).unwrap(), Ok(blocks[2]));
        lab
    }),
    ("grown in place", || {
        let (mut lab, blocks) = five();
        assert_eq!(lab.realloc(blocks[4], 100, GRANULE).unwrap(), Ok(blocks[4]));
        lab
    }),
    ("with size classes, fresh", || Lab::new(with_classes())),
    ("a run with its first slot live", || run_of(48, 1, &[])),
    ("a run with slots in the magazine", || run_of(48, 5, &[1, 3])),
    ("a run with all slots live", || run_of(64, 16, &[])),
    ("a run whose slots were given back to it", || {
        let mut lab = run_of(16, 40, &[3, 5]);
        lab.empty_magazines().unwrap();
        lab
    }),
    ("a run without a live slot", || run_of(64, 3, &[0, 1, 2])),
    ("a run given back", || {
        let mut lab = run_of(64, 3, &[0, 1, 2]);
        lab.empty_magazines().unwrap();
        lab
    }),
    ("a run and a granule behind it", || {
        let mut lab = Lab::new(with_classes());
        let first = lab.alloc(1024, GRANULE).unwrap().expect("it fits");
        lab.alloc(1024, GRANULE).unwrap().expect("it fits");
        assert_eq!(lab.free(first).unwrap(), Ok(()));
        lab.alloc(16, GRANULE).unwrap().expect("it fits");
        lab
    }),
    ("a block where no run could be opened", || {
        let mut lab = Lab::new(with_classes());
        lab.alloc(31 << 10, GRANULE).unwrap().expect("it fits");
        lab.alloc(16, GRANULE).unwrap().expect("it fits");
        lab
    }),
    ("carved, with its bookkeeping below", || {
        let mut lab = Lab::new(Case { carved: true, ..case(1024, 32) });
        lab.alloc(32, GRANULE).unwrap().expect("it fits");
        lab.alloc(100, GRANULE).unwrap().expect("it fits");
        lab
    }),
];

/// Every byte address from a page before the heap to a page behind it: refused by the model's name for it and counted,
/// with nothing changed; or live, and then freed, from the same state each time.
fn every_byte_address(state: State, resize: bool) {
    let mut lab = state();
    let saved = lab.save();
    let addresses: Range<usize> = lab.base() - 4096..lab.base() + lab.heap().size() + 4096;
    for address in addresses {
        let live = lab.model.usable_size(address).is_ok();
        if resize {
            assert_eq!(lab.realloc(address, 16, GRANULE).unwrap().is_ok(), live, "{address:#x}");
        } else {
            assert_eq!(lab.free(address).unwrap().is_ok(), live, "{address:#x}");
        }
        if live {
            lab.compare().unwrap();
            lab.restore(&saved);
        }
    }
    lab.compare().unwrap();
    let mut fresh = state();
    fresh.compare().unwrap();
}

pub(super) fn cases() -> Matrix {
    let mut rows = Matrix::default();
    for &(name, state) in STATES {
        rows.add(format!("a free of every byte address: {name}"), move || every_byte_address(state, false));
        rows.add(format!("a resize of every byte address: {name}"), move || every_byte_address(state, true));
    }
    foreign(&mut rows);
    for nth in 0..3 {
        rows.add(format!("a free of a header copied into user data, granule {nth}"), move || forged(nth));
    }
    rows.add("a free of a start that was handed out again frees it: no allocator can tell", handed_out_again);
    let next_fit = (Placement::NextFit, 2048);
    rows.add("a slot freed by two threads at once: one is served", move || freed_by_two(next_fit, 32));
    rows.add("a block freed by two threads at once: one is served", move || freed_by_two(next_fit, 100));
    let general = (Placement::General, 48 << 10);
    rows.add("a slot of a run freed by two threads at once: one is served", move || freed_by_two(general, 16));
    rows
}

/// Frees of what is not the heap's.
fn foreign(rows: &mut Matrix) {
    let foreign: [(&str, Address); 8] = [
        ("null", || 0),
        ("one", || 1),
        ("the highest address", || usize::MAX),
        ("the highest granule", || usize::MAX & !15),
        ("the middle of the addresses", || 1 << 63),
        ("the stack", || stack_address()),
        ("a static", || (&raw const FOREIGN).addr()),
        ("a function", || stack_address as fn() -> usize as usize),
    ];
    for (name, address) in foreign {
        rows.add(format!("a free of {name}"), move || refused_outside(&mut five().0, address()));
    }
    rows.add("a free of what the system's allocator gave", || {
        let object = Box::new(FOREIGN);
        refused_outside(&mut five().0, (&raw const *object).addr());
    });
    rows.add("a free of another heap's object", || {
        let (mut other, blocks) = five();
        refused_outside(&mut five().0, blocks[1]);
        assert_eq!(other.free(blocks[1]).unwrap(), Ok(()));
    });
    rows.add("a free of the inaccessible page behind the heap, and before its bookkeeping", || {
        let mut lab = five().0;
        let end = lab.base() + lab.heap().size();
        (end..end + 4096).for_each(|address| refused_outside(&mut lab, address));
    });
}

static FOREIGN: [u64; 4] = [7; 4];

fn stack_address() -> usize {
    let local = 7u64;
    (&raw const local).addr()
}

fn refused_outside(lab: &mut Lab, address: usize) {
    let refused = InvalidFree { address, reason: Reason::OutsideHeap };
    assert_eq!(lab.free(address).unwrap(), Err(refused));
    assert_eq!(lab.realloc(address, 100, GRANULE).unwrap(), Err(refused.into()));
    lab.compare().unwrap();
}

fn handed_out_again() {
    let (mut lab, blocks) = five();
    assert_eq!(lab.free(blocks[2]).unwrap(), Ok(()));
    assert_eq!(raw_alloc(lab.heap(), 700, GRANULE), lab.model.alloc(700, GRANULE));
    let mut again = lab.alloc(48, GRANULE).unwrap();
    while again != Ok(blocks[2]) {
        again = lab.alloc(48, GRANULE).unwrap();
    }
    assert_eq!(lab.free(blocks[2]).unwrap(), Ok(()));
    assert_eq!(lab.free(blocks[2]).unwrap().map_err(|wrong| wrong.reason), Err(Reason::DoubleFree));
}

fn forged(nth: usize) {
    let (mut lab, blocks) = five();
    for length in [16i32, 32, 48, 0, -1, i32::MAX] {
        let header = blocks[1] + nth * GRANULE;
        lab.write(header, &length.to_ne_bytes());
        lab.write(header + LINK, &MAGIC.to_ne_bytes());
        lab.note();
        // Behind the last granule of the payload the next block's header begins, which is no start of a payload either.
        for address in [header, header + GRANULE].into_iter().filter(|&address| address != blocks[1]) {
            let refused = Err(InvalidFree { address, reason: Reason::NotAStart });
            assert_eq!(lab.free(address).unwrap(), refused);
        }
    }
    lab.compare().unwrap();
}

fn freed_by_two((placement, heap_size): (Placement, usize), size: usize) {
    let memory = Case { size: heap_size, placement, carved: true, ..case(heap_size, 32) }.memory();
    for _ in 0..300 {
        // SAFETY: the memory outlives the heap, the only one of its time. Nobody looks at the memory.
        let pieces = unsafe { memory.memory() };
        let heap: AnyHeap = AnyHeap::from_memory(pieces, Config::new(32), placement).expect("enough");
        let object = heap.alloc(size).expect("it fits").addr().get();
        let classes = heap.stats().expect("nobody is in the heap").classes;
        assert_eq!(classes.iter().any(|class| class.live_objects > 0), placement == Placement::General);
        let together = Barrier::new(2);
        let free = || {
            together.wait();
            // SAFETY: nobody uses the object.
            unsafe { heap.free(without_provenance_mut(object)) }
        };
        let answers = thread::scope(|scope| {
            let both = [scope.spawn(free), scope.spawn(free)];
            both.map(|thread| thread.join().expect("no panic"))
        });
        let refused = Err(InvalidFree { address: object, reason: Reason::DoubleFree });
        assert!(answers == [Ok(()), refused] || answers == [refused, Ok(())], "{answers:?}");
        assert_eq!(heap.check(), Ok(()));
    }
}
